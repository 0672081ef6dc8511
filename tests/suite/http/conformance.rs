//! HTTP/2, frame by frame: what RFC 9113 and RFC 7541 demand of a server, section by section.
//!
//! The cases are in `tests/foreign/http2`, in Python, since codecs that others wrote read there
//! what we write; each names its section. Here they are run, a group a test, and the backend is
//! asked whether anything reached it that was to be refused.

use portunus_tests::foreign::{program, python_with};
use portunus_tests::{Http, Proxy, http, https};

use super::NAME;

/// Runs `group`, of which there are at least `count` cases, and returns what the backend saw.
async fn judge(group: &str, count: usize) -> Option<Http> {
    let backend = http();
    let proxy = Proxy::builder().listener(https(NAME)).backend(&backend).start().await;
    let python = python_with(&["h2", "hpack", "hyperframe"])?;
    let address = proxy.first_address();
    let python = python.arg(program("http2/run.py")).arg(group);
    let python = python.args([address.ip().to_string(), address.port().to_string()]);
    let output = python.arg(proxy.ca()).run().await;
    assert!(output.status.success(), "{}", output.everything());
    let said = String::from_utf8_lossy(&output.out).into_owned();
    // What is allowed and not the best, for who runs this with `--nocapture`.
    println!("{group}:\n{said}");
    let last = said.lines().last().unwrap_or_default();
    let cases: usize = last.split(' ').next().unwrap().parse().unwrap();
    assert!(cases >= count, "there were more cases once: {said}");
    let reached = backend.seen();
    // What is found out only behind its head may have begun, and must not have been completed.
    let may_not = |target: &str| target.contains("refused") || target.contains("smuggled");
    let refused = reached.iter().find(|seen| may_not(&seen.target) && seen.complete);
    assert!(refused.is_none(), "the backend saw {refused:?}");
    Some(backend)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_begins_and_is_framed_as_it_must() {
    judge("starting", 42).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_takes_in_each_state_what_it_may() {
    judge("streams", 40).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_type_of_frame_is_checked_for_length_stream_and_values() {
    judge("frames", 60).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn windows_hold_in_both_directions() {
    judge("flow", 20).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_requests_are_refused_and_never_forwarded() {
    let Some(backend) = judge("messages", 140).await else { return };
    let seen = backend.seen();
    let cookies = seen.iter().find(|seen| seen.target == "/cookies").unwrap();
    assert_eq!(cookies.field("cookie"), "a=1; b=2; c=3", "RFC 9113 section 8.2.3");
}

#[tokio::test(flavor = "multi_thread")]
async fn compressed_heads_are_decoded_or_refused() {
    judge("compression", 40).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_state_machine_of_another_implementation_agrees() {
    judge("library", 8).await;
}

//! Content of a gibibyte: it arrives as it was sent, and the proxy never holds more of it than its
//! windows and buffers do.

use std::time::Duration;

use portunus_tests::foreign::{Conversation, curl_for, program, python, shell, url};
use portunus_tests::{Proxy, https};

use super::NAME;

/// What is sent each way, over each version.
const BYTES: u64 = 1 << 30;
/// How much more memory the proxy may have at its peak than before.
const GROWTH_MAX_KIB: u64 = 24 << 10;
const PATIENCE: Duration = Duration::from_secs(300);

/// A proxy in front of a backend for content that fits nowhere, and that backend.
async fn bulk() -> Option<(Proxy, Conversation)> {
    let mut backend = python()?.arg(program("bulk.py")).arg("serve").start();
    backend.hear("\n").await;
    let port = backend.heard().trim().to_owned();
    let proxy = Proxy::builder()
        .listener(https(NAME))
        .endpoints("app", &[&format!("127.0.0.1:{port}")])
        .start()
        .await;
    Some((proxy, backend))
}

/// What the kernel says of the proxy's memory, in KiB.
fn memory(proxy: &Proxy, name: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", proxy.process().id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.trim_matches(|c: char| !c.is_ascii_digit()).parse().unwrap()
}

/// The digest of the last content that the backend sent or took.
async fn digest(proxy: &Proxy) -> Option<String> {
    let curl = curl_for(proxy, NAME)?.arg(url(proxy, NAME, "/digest"));
    Some(curl.run().await.expect_success())
}

/// Runs `command` of a shell, with the pieces of a curl command as `$@`, and compares digests.
async fn transfer(option: &str, path: &str, command: &str) {
    let Some((proxy, backend)) = bulk().await else { return };
    digest(&proxy).await;
    let before = memory(&proxy, "VmRSS:");
    let Some(shell) = shell() else { return };
    let address = proxy.first_address();
    let shell = shell
        .args(["-c", command, "sh", "-q", "-sS", "--fail", option, "--noproxy", "*", "--resolve"])
        .arg(format!("{NAME}:{}:{}", address.port(), address.ip()))
        .arg("--cacert")
        .arg(proxy.ca())
        .arg(url(&proxy, NAME, path))
        .env("BYTES", BYTES.to_string())
        .env("SOURCE", program("bulk.py"));
    let output = shell.patience(PATIENCE).run().await;
    let said = output.everything();
    assert!(output.status.success(), "{said}");
    let expected = digest(&proxy).await.unwrap();
    assert!(expected.len() == 64 && said.contains(&expected), "{expected} and not {said}");
    let grown = memory(&proxy, "VmHWM:").saturating_sub(before);
    assert!(grown < GROWTH_MAX_KIB, "{grown} KiB more than the {before} KiB of before");
    drop(backend);
}

const DOWN: &str = "set -o pipefail; curl \"$@\" | sha256sum";
const UP: &str = "set -o pipefail; python3 \"$SOURCE\" source \"$BYTES\" | curl -T - \"$@\"";

#[tokio::test(flavor = "multi_thread")]
async fn a_gibibyte_comes_down_over_http_1_1_in_flat_memory() {
    transfer("--http1.1", &format!("/down/{BYTES}"), DOWN).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gibibyte_comes_down_over_http_2_in_flat_memory() {
    transfer("--http2", &format!("/down/{BYTES}"), DOWN).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gibibyte_goes_up_over_http_1_1_in_flat_memory() {
    transfer("--http1.1", "/up", UP).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gibibyte_goes_up_over_http_2_in_flat_memory() {
    transfer("--http2", "/up", UP).await;
}

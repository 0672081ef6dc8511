//! Resumption as OpenSSL sees it: by TLS 1.2 session id and by TLS 1.3 ticket.

use std::path::Path;

use portunus_tests::foreign::s_client;
use portunus_tests::{Proxy, echo, tls};

use super::fleet::says_hello;

/// The options of the two kinds of session that are kept.
pub(super) const KINDS: [&[&str]; 2] = [&["-tls1_2", "-no_ticket"], &["-tls1_3"]];

/// One connection of s_client, with a session in, a session out, or both; says whether it was
/// resumed.
pub(super) async fn visit(
    proxy: &Proxy,
    name: &str,
    kind: &[&str],
    from: Option<&Path>,
    to: Option<&Path>,
) -> Option<bool> {
    let mut client = s_client(proxy, name)?.args(kind);
    if let Some(from) = from {
        client = client.arg("-sess_in").arg(from);
    }
    if let Some(to) = to {
        client = client.arg("-sess_out").arg(to);
    }
    Some(says_hello(client).await)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_was_written_down_is_resumed() {
    let proxy = Proxy::builder().listener(tls("app.example")).backend(echo()).start().await;
    let (first, second) = (proxy.folder().join("first"), proxy.folder().join("second"));
    for kind in KINDS {
        let visit = async |from, to| visit(&proxy, "app.example", kind, from, to).await;
        let Some(resumed) = visit(None, Some(&first)).await else { return };
        assert!(!resumed, "{kind:?}: nobody was there before");
        let resumed = visit(Some(first.as_path()), Some(&second)).await;
        assert_eq!(resumed, Some(true), "{kind:?}");
        // TLS 1.3 gives a new ticket for the old one, TLS 1.2 stays with what it has.
        let next = if second.exists() { &second } else { &first };
        assert_eq!(visit(Some(next.as_path()), None).await, Some(true), "{kind:?}");
    }
    let count = |kind| [("listener", "tls"), ("kind", kind)];
    let handshakes = "portunus_handshakes_total";
    assert_eq!(proxy.metric(handshakes, &count("session_id")).await, 2.0);
    assert_eq!(proxy.metric(handshakes, &count("stateful")).await, 2.0);
    assert_eq!(proxy.metric(handshakes, &count("full")).await, 2.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn five_reconnections_are_five_resumptions() {
    let proxy = Proxy::builder().listener(tls("app.example")).backend(echo()).start().await;
    // In TLS 1.3 s_client is gone before it has read a ticket.
    let Some(client) = s_client(&proxy, "app.example") else { return };
    let output = client.args(KINDS[0]).arg("-reconnect").run().await.expect_success();
    let count = |word: &str| output.lines().filter(|line| line.starts_with(word)).count();
    assert_eq!((count("New, "), count("Reused, ")), (1, 5), "{output}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tls_1_3_ticket_is_good_for_one_connection() {
    let proxy = Proxy::builder().listener(tls("app.example")).backend(echo()).start().await;
    let session = proxy.folder().join("session");
    let visit = async |from, to| visit(&proxy, "app.example", &["-tls1_3"], from, to).await;
    let Some(_) = visit(None, Some(session.as_path())).await else { return };
    assert_eq!(visit(Some(session.as_path()), None).await, Some(true));
    assert_eq!(visit(Some(session.as_path()), None).await, Some(false));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_survives_a_renewed_certificate() {
    let proxy = Proxy::builder().listener(tls("app.example")).backend(echo()).start().await;
    let session = proxy.folder().join("session");
    for kind in KINDS {
        let visit = async |from, to| visit(&proxy, "app.example", kind, from, to).await;
        let Some(_) = visit(None, Some(session.as_path())).await else { return };
        let renewed = portunus_tests::authority().issue(&["app.example"]);
        proxy.replace_certificate("app.example", &renewed).await;
        assert_eq!(visit(Some(session.as_path()), None).await, Some(true), "{kind:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn resumption_can_be_switched_off() {
    let proxy = Proxy::builder()
        .listener(tls("app.example"))
        .backend(echo())
        .set("resumption.mode", "\"off\"")
        .start()
        .await;
    for kind in KINDS {
        let Some(client) = s_client(&proxy, "app.example") else { return };
        let output = client.args(kind).arg("-reconnect").run().await.expect_success();
        assert!(!output.contains("\nReused, "), "{kind:?}: {output}");
    }
}

//! PostgreSQL before TLS and behind it.

use portunus_tests::{Proxy, Tls, echo};

use super::bytes::{at_once, expect, is_not_heard_as_clear, say};
use super::{NAME, count, encrypt, starttls};

const SSL_REQUEST: &[u8] = &[0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];
const GSS_REQUEST: &[u8] = &[0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x30];
const CANCEL: &[u8] = &[0, 0, 0, 16, 0x04, 0xd2, 0x16, 0x2e, 0, 0, 0, 7, 1, 2, 3, 4];
const STARTUP: &[u8] = b"\0\0\0\x12\0\x03\0\0user\0ann\0\0";

/// A proxy with an echo behind it: what comes back is what a database would hear.
async fn start(require_tls: &str) -> (Proxy, portunus_tests::Backend) {
    let backend = echo();
    let listener = starttls("postgresql").with("require_tls", require_tls);
    (Proxy::builder().listener(listener).backend(&backend).start().await, backend)
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_tls_a_database_hears_the_client_and_nothing_of_before() {
    let (proxy, _) = start("true").await;
    for (request, answer) in
        [(SSL_REQUEST.to_vec(), &b"S"[..]), ([GSS_REQUEST, SSL_REQUEST].concat(), b"NS")]
    {
        let mut tcp = proxy.client(NAME).tcp().await;
        say(&mut tcp, &request).await;
        expect(&mut tcp, answer).await;
        let mut tls = encrypt(&proxy.client(NAME), tcp).await;
        tls.send(STARTUP).await;
        tls.expect(STARTUP).await;
    }
    count(&proxy, "upgraded", 2.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_at_once_is_taken_of_clients_that_name_the_protocol() {
    let (proxy, backend) = start("true").await;
    let mut tls = proxy.client(NAME).alpn(&["postgresql"]).connect().await;
    assert_eq!(tls.protocol().as_deref(), Some("postgresql"));
    tls.send(STARTUP).await;
    tls.expect(STARTUP).await;
    count(&proxy, "direct_tls", 1.0).await;
    let before = backend.connections();
    // Without a name it could be any protocol that somebody was led to send here.
    let ended = async |tls: std::io::Result<Tls>| match tls {
        Ok(mut tls) => tls.receive_all().await.map_or(true, |said| said.is_empty()),
        Err(_) => true,
    };
    assert!(ended(proxy.client(NAME).try_connect().await).await);
    assert!(ended(proxy.client(NAME).alpn(&["http/1.1"]).try_connect().await).await);
    assert_eq!(backend.connections(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_smuggled_into_tls() {
    let (proxy, backend) = start("true").await;
    for request in [SSL_REQUEST.to_vec(), [GSS_REQUEST, SSL_REQUEST].concat()] {
        let heard = at_once(&proxy, &[&request, STARTUP].concat()).await;
        assert!(!heard.contains(&b'S'), "{heard:?}");
    }
    count(&proxy, "injected", 2.0).await;
    let mut tcp = proxy.client(NAME).tcp().await;
    say(&mut tcp, SSL_REQUEST).await;
    expect(&mut tcp, b"S").await;
    is_not_heard_as_clear(tcp, STARTUP).await;
    assert_eq!(backend.connections(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_session_begins_without_tls_where_it_is_required() {
    let (proxy, backend) = start("true").await;
    let heard = at_once(&proxy, STARTUP).await;
    assert!(heard.starts_with(b"E"), "{heard:?}");
    let heard = String::from_utf8_lossy(&heard).into_owned();
    assert!(heard.contains("C28000\0") && heard.contains("sslmode=require"), "{heard}");
    assert_eq!(at_once(&proxy, CANCEL).await, b"");
    assert!(at_once(&proxy, &[GSS_REQUEST, STARTUP].concat()).await.starts_with(b"NE"));
    count(&proxy, "no_tls", 3.0).await;
    assert_eq!(at_once(&proxy, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await, b"");
    count(&proxy, "not_the_protocol", 1.0).await;
    assert_eq!(backend.connections(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_without_tls_is_passed_on_whole_where_it_may_be() {
    let (proxy, _) = start("false").await;
    for (before, answer) in [(&b""[..], &b""[..]), (GSS_REQUEST, b"N")] {
        let mut tcp = proxy.client(NAME).tcp().await;
        say(&mut tcp, &[before, STARTUP].concat()).await;
        expect(&mut tcp, &[answer, STARTUP].concat()).await;
        say(&mut tcp, b"more").await;
        expect(&mut tcp, b"more").await;
    }
    count(&proxy, "clear", 2.0).await;
}

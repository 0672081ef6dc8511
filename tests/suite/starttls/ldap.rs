//! LDAP before TLS and behind it.

use portunus_tests::{Backend, Proxy, echo};

use super::bytes::{at_once, expect, is_not_heard_as_clear, say};
use super::{NAME, count, encrypt, starttls};

/// `StartTLS` with the id 1, and its answer.
const START: &[u8] = b"\x30\x1d\x02\x01\x01\x77\x18\x80\x161.3.6.1.4.1.1466.20037";
const STARTED: &[u8] = b"\x30\x24\x02\x01\x01\x78\x1f\x0a\x01\x00\x04\x00\x04\x00\
    \x8a\x161.3.6.1.4.1.1466.20037";

/// A simple bind with the id 2.
const BIND: &[u8] = b"\x30\x11\x02\x01\x02\x60\x0c\x02\x01\x03\x04\x04cn=a\x80\x01b";

/// The answer to it before TLS begins so: confidentialityRequired is 13.
const REFUSED: &[u8] = b"\x30\x20\x02\x01\x02\x61\x1b\x0a\x01\x0d";

const UNBIND: &[u8] = b"\x30\x05\x02\x01\x03\x42\x00";

async fn start(require_tls: &str) -> (Proxy, Backend) {
    let backend = echo();
    let listener = starttls("ldap").with("require_tls", require_tls);
    (Proxy::builder().listener(listener).backend(&backend).start().await, backend)
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_tls_a_directory_hears_the_client_and_nothing_of_before() {
    let (proxy, _) = start("true").await;
    let mut tcp = proxy.client(NAME).tcp().await;
    for piece in START.chunks(5) {
        say(&mut tcp, piece).await;
    }
    expect(&mut tcp, STARTED).await;
    let mut tls = encrypt(&proxy.client(NAME), tcp).await;
    tls.send(BIND).await;
    tls.expect(BIND).await;
    count(&proxy, "upgraded", 1.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_binds_without_tls_where_it_is_required() {
    let (proxy, backend) = start("true").await;
    let heard = at_once(&proxy, &[BIND, UNBIND].concat()).await;
    assert!(heard.starts_with(REFUSED), "{heard:?}");
    count(&proxy, "quit", 1.0).await;
    // Who is told and tells nothing more gets on to TLS all the same.
    let mut tcp = proxy.client(NAME).tcp().await;
    say(&mut tcp, BIND).await;
    expect(&mut tcp, REFUSED).await;
    assert_eq!(at_once(&proxy, &BIND.repeat(30)).await.len() % 34, 0);
    count(&proxy, "too_many_errors", 1.0).await;
    at_once(&proxy, b"GET / HTTP/1.1\r\n\r\n").await;
    count(&proxy, "not_the_protocol", 1.0).await;
    assert_eq!(backend.connections(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_smuggled_into_tls() {
    let (proxy, backend) = start("true").await;
    let heard = at_once(&proxy, &[START, BIND].concat()).await;
    // An answer to StartTLS that is operationsError, and nothing behind it.
    assert!(heard.starts_with(b"\x30\x39\x02\x01\x01\x78\x34\x0a\x01\x01"), "{heard:?}");
    assert_eq!(heard.len(), 2 + 0x39);
    count(&proxy, "injected", 1.0).await;
    let mut tcp = proxy.client(NAME).tcp().await;
    say(&mut tcp, START).await;
    expect(&mut tcp, STARTED).await;
    is_not_heard_as_clear(tcp, BIND).await;
    assert_eq!(backend.connections(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_without_tls_is_passed_on_whole_where_it_may_be() {
    let (proxy, _) = start("false").await;
    let mut tcp = proxy.client(NAME).tcp().await;
    say(&mut tcp, BIND).await;
    expect(&mut tcp, BIND).await;
    say(&mut tcp, START).await;
    expect(&mut tcp, START).await;
    count(&proxy, "clear", 1.0).await;
}

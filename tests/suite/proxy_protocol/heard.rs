//! Listeners that require a header: who the client is then, and what becomes of all others.

use std::io::ErrorKind;

use portunus_tests::wait::within;
use portunus_tests::{Listener, Proxy, echo, http, https, read_response, tls};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};

use super::{BINARY, CLIENT, FROM, LINE, NAME, after};

const HEADERS: &str = "portunus_proxy_header_total";

fn listener() -> Listener {
    tls(NAME).with(FROM.0, FROM.1)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_client_is_whom_the_header_tells_of() {
    let proxy = Proxy::builder().listener(listener()).backend(echo()).start().await;
    for header in [LINE, BINARY] {
        let mut client = after(header, &proxy.client(NAME)).await;
        client.send(b"hello").await;
        client.expect(b"hello").await;
        client.close_notify().await;
        let line = proxy.wait_for_log("closed", &[("client", CLIENT), ("reason", "done")]).await;
        assert!(line.text().contains("127.0.0.1:"), "and the peer who told: {}", line.text());
    }
    assert_eq!(proxy.metric(HEADERS, &[("result", "accepted")]).await, 2.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_header_and_the_handshake_come_in_any_pieces() {
    let proxy = Proxy::builder().listener(listener()).backend(echo()).start().await;
    for header in [LINE, BINARY] {
        let client = proxy.client(NAME);
        let mut tls = client.tls();
        let mut hello = Vec::new();
        tls.write_tls(&mut hello).unwrap();
        let all = [header, &hello].concat();
        for piece in [all.len(), header.len() + 3, 20, 7] {
            let mut tcp = client.tcp().await;
            for part in all.chunks(piece) {
                tcp.write_all(part).await.unwrap();
                tokio::task::yield_now().await;
            }
            let mut first = [0; 1];
            within("a ServerHello", tcp.read_exact(&mut first)).await.unwrap();
            assert_eq!(first, [0x16], "a ServerHello, to pieces of {piece} bytes");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_header_is_reset_without_a_byte() {
    let long = [b"PROXY UNKNOWN ", &[b'x'; 100][..]].concat();
    let proxy = Proxy::builder().listener(listener()).backend(echo()).start().await;
    let hello = proxy.client(NAME).hello();
    let cases = [
        (&hello[..], "missing"),
        (b"GET / HTTP/1.1\r\n\r\n", "missing"),
        (b"PROXY TCP4 192.0.2.1 198.51.100.2 1000\r\n", "malformed"),
        (b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x03", "malformed"),
        (b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff", "too_large"),
        (&long, "too_large"),
    ];
    expect_resets(&proxy, &cases).await;
    let proxy = Proxy::builder()
        .listener(listener())
        .backend(echo())
        .set("limits.proxy_header_timeout", "\"2s\"")
        .start()
        .await;
    expect_resets(&proxy, &[(b"PROXY TCP4 192", "timeout"), (b"", "timeout")]).await;
}

/// Whoever says one of these is reset, and is counted by its result.
async fn expect_resets(proxy: &Proxy, cases: &[(&[u8], &str)]) {
    for &(bytes, result) in cases {
        let before = proxy.metric(HEADERS, &[("result", result)]).await;
        let mut tcp = proxy.client(NAME).tcp().await;
        tcp.write_all(bytes).await.unwrap();
        let error = within("a reset", tcp.read(&mut [0; 8])).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{result}");
        let after = proxy.metric(HEADERS, &[("result", result)]).await;
        assert_eq!(after, before + 1.0, "{result}");
    }
    let (closed, all) = ("portunus_connections_closed_total", cases.len() as f64);
    proxy.wait_for_metric(closed, &[("reason", "proxy_header")], |count| count == all).await;
    proxy.wait_for_metric("portunus_connections_active", &[], |count| count == 0.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_but_those_named_may_say_who_the_client_is() {
    let strict = tls(NAME).with("proxy_protocol.from", "[\"192.0.2.0/24\"]");
    let proxy = Proxy::builder().listener(strict).backend(echo()).start().await;
    let visit = async {
        let mut tcp = TcpStream::connect(proxy.first_address()).await?;
        tcp.write_all(LINE).await?;
        tcp.read(&mut [0; 8]).await
    };
    // It may be reset before it has said a word, or even noticed that it is connected.
    assert_eq!(within("a reset", visit).await.unwrap_err().kind(), ErrorKind::ConnectionReset);
    proxy.wait_for_metric(HEADERS, &[("result", "untrusted")], |count| count == 1.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_that_requires_no_header_takes_none() {
    let proxy = Proxy::builder().listener(tls(NAME)).backend(echo()).start().await;
    for header in [LINE, BINARY] {
        let mut tcp = proxy.client(NAME).tcp().await;
        tcp.write_all(header).await.unwrap();
        let mut all = Vec::new();
        // An alert, perhaps, and certainly the end.
        let _ = within("the end", tcp.read_to_end(&mut all)).await;
        assert!(!all.starts_with(&[0x16]), "no ServerHello: {all:?}");
    }
    let failures = "portunus_handshake_failures_total";
    proxy.wait_for_metric(failures, &[], |count| count == 2.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_no_address_stands_for_the_client() {
    let proxy = Proxy::builder().listener(listener()).backend(echo()).start().await;
    for (header, result) in [
        (&b"PROXY UNKNOWN\r\n"[..], "unknown"),
        (b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0", "local"),
        (b"\r\n\r\n\0\r\nQUIT\n\x21\0\0\0", "unknown"),
        (&[&b"\r\n\r\n\0\r\nQUIT\n\x21\x31\0\xd8/a"[..], &[0; 214]].concat(), "unknown"),
    ] {
        let mut tcp = proxy.client(NAME).tcp().await;
        let here = tcp.local_addr().unwrap().to_string();
        tcp.write_all(header).await.unwrap();
        let mut client = super::over(tcp, &proxy.client(NAME)).await;
        client.send(b"hello").await;
        client.expect(b"hello").await;
        client.close_notify().await;
        proxy.wait_for_log("closed", &[("client", &here), ("reason", "done")]).await;
        assert!(proxy.metric(HEADERS, &[("result", result)]).await >= 1.0, "{result}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unix_socket_can_be_believed_as_well() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("in.sock");
    let at = format!("unix:{}", path.display());
    let listener = tls(NAME).at(&[&at]).with("proxy_protocol.from", "[\"unix\"]");
    let proxy = Proxy::builder().listener(listener).backend(echo()).start().await;
    let mut stream = UnixStream::connect(&path).await.unwrap();
    stream.write_all(LINE).await.unwrap();
    drop(stream);
    proxy.wait_for_log("handshake failed", &[("client", CLIENT), ("peer", "unix")]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_go_by_the_client_and_not_by_who_tells_of_it() {
    let proxy = Proxy::builder()
        .listener(listener())
        .backend(echo())
        .set("limits.handshakes_per_source", "1")
        .start()
        .await;
    let from = |last: u8| format!("PROXY TCP4 192.0.2.{last} 198.51.100.2 1000 443\r\n");
    // One handshake that does not go on, for each of two clients.
    let mut held = Vec::new();
    for last in [1, 2] {
        let mut tcp = proxy.client(NAME).tcp().await;
        tcp.write_all(from(last).as_bytes()).await.unwrap();
        held.push(tcp);
    }
    proxy.wait_for_metric("portunus_handshakes_pending", &[], |count| count == 2.0).await;
    let mut tcp = proxy.client(NAME).tcp().await;
    tcp.write_all(from(1).as_bytes()).await.unwrap();
    let error = within("a reset", tcp.read(&mut [0; 8])).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset, "a second one of the first client");
    let labels = [("limit", "handshakes_per_source")];
    assert_eq!(proxy.metric("portunus_limit_hits_total", &labels).await, 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_forwarded_as_those_of_the_client() {
    let backend = http();
    // That the peer is believed about requests says nothing of the client that it tells of.
    let listener = https(NAME).with(FROM.0, FROM.1).with("trusted_peers", "[\"127.0.0.0/8\"]");
    let proxy = Proxy::builder().listener(listener).backend(&backend).start().await;
    for header in [LINE, BINARY] {
        let mut client = after(header, &proxy.client(NAME)).await;
        let request = format!(
            "GET / HTTP/1.1\r\nHost: {NAME}\r\nX-Forwarded-For: 6.6.6.6\r\n\
             X-Forwarded-Port: 6\r\n\r\n"
        );
        client.send(request.as_bytes()).await;
        read_response(&mut client, &mut Vec::new()).await.unwrap();
        assert_eq!(backend.last().field("x-forwarded-for"), "192.0.2.1");
        assert_eq!(backend.last().field("x-forwarded-port"), "443");
    }
    // A client that is believed itself speaks for others, whoever tells of it.
    let listener = https(NAME).with(FROM.0, FROM.1).with("trusted_peers", "[\"192.0.2.0/24\"]");
    let proxy = Proxy::builder().listener(listener).backend(&backend).start().await;
    let mut client = after(LINE, &proxy.client(NAME)).await;
    let request = format!("GET / HTTP/1.1\r\nHost: {NAME}\r\nX-Forwarded-For: 203.0.113.7\r\n\r\n");
    client.send(request.as_bytes()).await;
    read_response(&mut client, &mut Vec::new()).await.unwrap();
    assert_eq!(backend.last().field("x-forwarded-for"), "203.0.113.7, 192.0.2.1");
}

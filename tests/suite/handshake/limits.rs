//! Clients that take their time, break off, or come in masses.

use std::time::Duration;

use portunus_tests::wait::within;
use portunus_tests::{Client, Proxy, echo, tls};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::time::{Instant, interval};

use super::last_words;

const FAILURES: &str = "portunus_handshake_failures_total";

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_client_is_closed_in_time() {
    let proxy = Proxy::builder()
        .listener(tls("app.example"))
        .backend(echo())
        .set("limits.client_hello_timeout", "\"300ms\"")
        .start()
        .await;
    // The server's clock starts a little later, when it accepts.
    let begin = Instant::now();
    let mut tcp = proxy.client("app.example").tcp().await;
    last_words(&mut tcp).await;
    assert!(begin.elapsed() >= Duration::from_millis(290), "{:?}", begin.elapsed());
    assert!(begin.elapsed() < Duration::from_secs(15), "{:?}", begin.elapsed());
    proxy.wait_for_metric(FAILURES, &[("reason", "timeout_hello")], |count| count == 1.0).await;
    proxy.wait_for_log("handshake failed", &[("reason", "timeout_hello")]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_time_for_a_hello_begins_behind_what_comes_first() {
    let proxy = Proxy::builder()
        .listener(tls("app.example").with("proxy_protocol.from", "[\"127.0.0.1\"]"))
        .backend(echo())
        .set("limits.proxy_header_timeout", "\"60s\"")
        .set("limits.client_hello_timeout", "\"3s\"")
        .start()
        .await;
    let client = proxy.client("app.example");
    let mut tcp = client.tcp().await;
    let silence = tokio::io::AsyncReadExt::read_u8(&mut tcp);
    let silence = tokio::time::timeout(Duration::from_millis(3_100), silence).await;
    silence.expect_err("it is the client's turn");
    tcp.write_all(b"PROXY TCP4 192.0.2.7 192.0.2.1 4000 443\r\n").await.unwrap();
    let mut tls = portunus_tests::Tls::new(tcp, client.tls(), usize::MAX);
    tls.handshake().await.unwrap();
    tls.send(b"hello").await;
    tls.expect(b"hello").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hello_in_drips_has_one_deadline_for_all_of_it() {
    let proxy = Proxy::builder()
        .listener(tls("app.example"))
        .backend(echo())
        .set("limits.client_hello_timeout", "\"1s\"")
        .start()
        .await;
    let client = proxy.client("app.example");
    let mut tcp = client.tcp().await;
    let begin = Instant::now();
    drip(&mut tcp, &client.hello()).await;
    assert!(begin.elapsed() < Duration::from_secs(15), "{:?}", begin.elapsed());
    proxy.wait_for_metric(FAILURES, &[("reason", "timeout_hello")], |count| count == 1.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_stops_after_its_hello_is_closed_in_time() {
    let proxy = Proxy::builder()
        .listener(tls("app.example"))
        .backend(echo())
        .set("limits.handshake_timeout", "\"500ms\"")
        .start()
        .await;
    let client = proxy.client("app.example");
    let mut tcp = client.tcp().await;
    tcp.write_all(&client.hello()).await.unwrap();
    let begin = Instant::now();
    assert!(!last_words(&mut tcp).await.is_empty());
    assert!(begin.elapsed() < Duration::from_secs(15), "{:?}", begin.elapsed());
    proxy.wait_for_metric(FAILURES, &[("reason", "timeout")], |count| count == 1.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn handshakes_that_are_broken_off_leave_nothing_behind() {
    let proxy = Proxy::builder().listener(tls("app.example")).backend(echo()).start().await;
    let client = proxy.client("app.example");
    for round in 0..40 {
        let mut tcp = client.tcp().await;
        let hello = client.hello();
        let part = hello.len() * (round % 3) / 2;
        tcp.write_all(&hello[..part]).await.unwrap();
        if round % 2 == 0 {
            socket2::SockRef::from(&tcp).set_linger(Some(Duration::ZERO)).unwrap();
        }
    }
    proxy.wait_for_metric(FAILURES, &[], |count| count == 40.0).await;
    proxy.wait_for_metric("portunus_connections_active", &[], |count| count == 0.0).await;
    proxy.wait_for_metric("portunus_handshakes_pending", &[], |count| count == 0.0).await;
    client.connect().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_handshakes_is_shed_and_established_connections_go_on() {
    let proxy = Proxy::builder()
        .listener(tls("app.example"))
        .backend(echo())
        .set("limits.handshakes", "4")
        .start()
        .await;
    let client = proxy.client("app.example");
    let mut established = client.connect().await;
    let held = hold(&proxy, &client, 4).await;
    for _ in 0..20 {
        client.try_connect().await.unwrap_err();
        established.send(b"hello").await;
        established.expect(b"hello").await;
    }
    assert_eq!(proxy.metric(FAILURES, &[("reason", "shed")]).await, 20.0);
    assert_eq!(proxy.metric("portunus_limit_hits_total", &[("limit", "handshakes")]).await, 20.0);
    drop(held);
    proxy.wait_for_metric("portunus_handshakes_pending", &[], |count| count == 0.0).await;
    client.connect().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_source_gets_no_more_than_its_share_of_handshakes() {
    let proxy = Proxy::builder()
        .listener(tls("app.example"))
        .backend(echo())
        .set("limits.handshakes_per_source", "3")
        .start()
        .await;
    let client = proxy.client("app.example");
    let held = hold(&proxy, &client, 3).await;
    client.try_connect().await.unwrap_err();
    assert_eq!(proxy.metric(FAILURES, &[("reason", "source_limit")]).await, 1.0);
    drop(held);
    proxy.wait_for_metric("portunus_handshakes_pending", &[], |count| count == 0.0).await;
    client.connect().await;
}

/// As many handshakes as said, begun and not gone on with.
async fn hold(proxy: &Proxy, client: &Client, count: usize) -> Vec<TcpStream> {
    // A client knows of the end of its handshake a little before the proxy does.
    proxy.wait_for_metric("portunus_handshakes_pending", &[], |pending| pending == 0.0).await;
    proxy.hold_handshakes(client, count).await
}

/// Writes a byte every now and then, until the other side has had enough.
async fn drip(tcp: &mut TcpStream, bytes: &[u8]) {
    let mut drops = interval(Duration::from_millis(50));
    let (mut from, mut to) = tcp.split();
    let write = async {
        for byte in bytes {
            drops.tick().await;
            if to.write_all(&[*byte]).await.is_err() {
                return;
            }
        }
    };
    let mut ended = [0; 1];
    let read = tokio::io::AsyncReadExt::read(&mut from, &mut ended);
    let either = async {
        tokio::select! {
            () = write => {}
            _ = read => {}
        }
    };
    within("the end of a drip-fed connection", either).await;
}

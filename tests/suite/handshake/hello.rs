//! The first message in every shape that TCP and TLS allow, and in some that they do not.

use portunus_tests::{Client, Proxy, Tls, echo, tls};
use rustls::crypto::aws_lc_rs::kx_group::X25519;
use tokio::io::AsyncWriteExt as _;

use super::{alert, last_words};

#[tokio::test(flavor = "multi_thread")]
async fn one_byte_at_a_time_is_a_handshake() {
    let proxy = Proxy::builder().listener(tls("app.example")).backend(echo()).start().await;
    let client = proxy.client("app.example");
    for client in [client.clone(), client.tls12()] {
        let mut client = client.writing_at_most(1).connect().await;
        client.send(b"hello").await;
        client.expect(b"hello").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn several_records_in_one_segment_are_all_read() {
    let proxy = Proxy::builder().listener(tls("app.example")).backend(echo()).start().await;
    let client = proxy.client("app.example");
    for client in [client.clone(), client.tls12()] {
        let mut client = client.connect().await;
        client.send_as_one_segment(&[b"one ", b"two ", b"", b"three"]).await;
        client.expect(b"one two three").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hello_may_be_split_between_segments_at_any_byte() {
    let proxy = Proxy::builder().listener(tls("app.example")).backend(echo()).start().await;
    let client = proxy.client("app.example").group(X25519);
    for place in 1..client.hello().len() {
        let (tls, hello) = flight(&client);
        let mut tcp = client.tcp().await;
        tcp.write_all(&hello[..place]).await.unwrap();
        // Lets the proxy see the first part alone, as often as the machine allows it.
        tokio::task::yield_now().await;
        tcp.write_all(&hello[place..]).await.unwrap();
        Tls::new(tcp, tls, usize::MAX).handshake().await.unwrap_or_else(|error| {
            panic!("split at {place} of {}: {error}", hello.len());
        });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hello_may_be_split_between_records_at_any_byte() {
    let proxy = Proxy::builder().listener(tls("app.example")).backend(echo()).start().await;
    let client = proxy.client("app.example").group(X25519);
    for place in 1..message(&client.hello()).len() {
        let (tls, hello) = flight(&client);
        let (first, second) = message(&hello).split_at(place);
        let records = [record(first), record(second)].concat();
        let mut tcp = client.tcp().await;
        tcp.write_all(&records).await.unwrap();
        Tls::new(tcp, tls, usize::MAX).handshake().await.unwrap_or_else(|error| {
            panic!("split at {place}: {error}");
        });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hello_may_be_spread_over_many_records() {
    let proxy = Proxy::builder().listener(tls("app.example")).backend(echo()).start().await;
    // The default offer has a post-quantum share, which alone is more than a kilobyte.
    for client in [proxy.client("app.example"), proxy.client("app.example").tls12()] {
        for size in [1, 7, 100] {
            let (tls, hello) = flight(&client);
            let records: Vec<u8> = message(&hello).chunks(size).flat_map(record).collect();
            let mut tcp = client.tcp().await;
            tcp.write_all(&records).await.unwrap();
            let mut client = Tls::new(tcp, tls, usize::MAX);
            client.handshake().await.unwrap_or_else(|error| panic!("by {size}: {error}"));
            client.send(b"hello").await;
            client.expect(b"hello").await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fragmented_hello_for_an_unknown_name_is_refused_like_a_whole_one() {
    let proxy = Proxy::builder().listener(tls("app.example")).backend(echo()).start().await;
    let client = proxy.client("other.example");
    for size in [1, 50, usize::MAX] {
        let hello = client.hello();
        let mut tcp = client.tcp().await;
        let message = message(&hello);
        let records = message.chunks(size.min(message.len())).flat_map(record);
        tcp.write_all(&records.collect::<Vec<u8>>()).await.unwrap();
        assert_eq!(alert(&last_words(&mut tcp).await), UNRECOGNIZED_NAME, "by {size}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hello_that_is_too_large_is_refused() {
    let proxy = Proxy::builder().listener(tls("app.example")).backend(echo()).start().await;
    let mut tcp = proxy.client("app.example").tcp().await;
    let length = 40_000_u32.to_be_bytes();
    let message = [&[1], &length[1..], &[3, 3], &[0; 39_998]].concat();
    let records: Vec<u8> = message.chunks(16_000).flat_map(record).collect();
    // The proxy may have refused it before all of it was written.
    let _ = tcp.write_all(&records).await;
    let words = last_words(&mut tcp).await;
    assert!(words.is_empty() || alert(&words) == DECODE_ERROR, "{words:?}");
    proxy.wait_for_log("handshake failed", &[("reason", "hello_too_large")]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hello_that_is_too_large_gets_the_alert_decode_error() {
    let proxy = Proxy::builder().listener(tls("app.example")).backend(echo()).start().await;
    let mut tcp = proxy.client("app.example").tcp().await;
    // The first record tells how long it would become; nothing else needs to be sent.
    let length = 40_000_u32.to_be_bytes();
    let message = [&[1], &length[1..], &[3, 3], &[0; 16_300]].concat();
    tcp.write_all(&record(&message)).await.unwrap();
    tcp.write_all(&record(&[0; 1_000])).await.unwrap();
    assert_eq!(alert(&last_words(&mut tcp).await), DECODE_ERROR);
}

#[tokio::test(flavor = "multi_thread")]
async fn http_in_clear_text_is_answered_in_words() {
    let backend = echo();
    let proxy = Proxy::builder().listener(tls("app.example")).backend(&backend).start().await;
    let requests = ["GET / HTTP/1.1\r\nHost: app.example\r\n\r\n", "POST /a HTTP/1.0\r\n\r\n"];
    for request in requests {
        let mut tcp = proxy.client("app.example").tcp().await;
        tcp.write_all(request.as_bytes()).await.unwrap();
        let answer = String::from_utf8(last_words(&mut tcp).await).unwrap();
        assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
        assert!(
            answer.contains("\r\nConnection: close\r\n") || answer.contains("connection: close")
        );
        assert!(answer.to_lowercase().contains("https"), "{answer}");
    }
    let labels = [("reason", "plaintext_http")];
    let failures = "portunus_handshake_failures_total";
    proxy.wait_for_metric(failures, &labels, |count| count == 2.0).await;
    assert_eq!(backend.connections(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_is_counted_and_closed() {
    let backend = echo();
    let proxy = Proxy::builder().listener(tls("app.example")).backend(&backend).start().await;
    let garbage: [&[u8]; 4] =
        [b"\0\0\0\0\0\0\0\0", b"SSH-2.0-OpenSSH_9.6\r\n", &[0xff; 4096], b"\x16\x03\x01\x00\x00"];
    for bytes in garbage {
        let mut tcp = proxy.client("app.example").tcp().await;
        tcp.write_all(bytes).await.unwrap();
        tcp.shutdown().await.unwrap();
        let words = last_words(&mut tcp).await;
        assert!(words.len() <= 7, "{bytes:?} was answered by {words:?}");
    }
    let failures = "portunus_handshake_failures_total";
    proxy.wait_for_metric(failures, &[], |count| count == 4.0).await;
    assert!(proxy.metric(failures, &[("reason", "not_tls")]).await >= 3.0);
    let active = "portunus_connections_active";
    proxy.wait_for_metric(active, &[("listener", "tls")], |count| count == 0.0).await;
    assert_eq!(backend.connections(), 0);
    let mut client = proxy.client("app.example").connect().await;
    client.send(b"hello").await;
    client.expect(b"hello").await;
}

/// TLS that has said its hello, and the hello.
fn flight(client: &Client) -> (rustls::ClientConnection, Vec<u8>) {
    let mut tls = client.tls();
    let mut hello = Vec::new();
    tls.write_tls(&mut hello).unwrap();
    (tls, hello)
}

/// The handshake message in the one record that `hello` is.
fn message(hello: &[u8]) -> &[u8] {
    &hello[5..]
}

/// A record of the handshake with `content`.
fn record(content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len()).unwrap().to_be_bytes();
    [&[22, 3, 1], &length[..], content].concat()
}

const DECODE_ERROR: u8 = 50;
const UNRECOGNIZED_NAME: u8 = 112;

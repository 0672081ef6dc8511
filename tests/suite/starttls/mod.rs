//! Protocols that begin in the clear: what is said before TLS, and what of it is heard after.
//!
//! Owns the words of a client before its TLS, and backends that speak by the book. Refuses to know
//! the protocols: each has a module.

mod bytes;
mod endpoint;
mod imap;
mod ldap;
mod mysql;
mod pop3;
mod postgresql;
mod smtp;
mod xmpp;

use std::time::Duration;

use portunus_tests::wait::within;
use portunus_tests::{Backend, Client, Listener, Proxy, Tls, raw, tls};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Who is asked for.
const NAME: &str = "mx.test";

/// A listener that speaks `protocol` before TLS, for [`NAME`].
fn starttls(protocol: &str) -> Listener {
    tls(NAME).with("starttls", &format!("{protocol:?}"))
}

/// Says `words` in the clear.
async fn say(tcp: &mut TcpStream, words: &str) {
    within("room for words", tcp.write_all(words.as_bytes())).await.unwrap();
}

/// Hears words in the clear up to `end`, and no byte more.
async fn hear(tcp: &mut TcpStream, end: &str) -> String {
    let mut heard = Vec::new();
    within(&format!("{end:?}"), async {
        while !heard.ends_with(end.as_bytes()) {
            match tcp.read_u8().await {
                Ok(byte) => heard.push(byte),
                Err(error) => panic!("{error} after {:?}", String::from_utf8_lossy(&heard)),
            }
        }
    })
    .await;
    String::from_utf8(heard).unwrap()
}

/// Hears words in the clear up to the end of the connection, however it ends.
async fn hear_all(tcp: &mut TcpStream) -> String {
    let mut heard = Vec::new();
    let _ = within("the end", tcp.read_to_end(&mut heard)).await;
    String::from_utf8(heard).unwrap()
}

/// Begins TLS where words in the clear were said.
async fn encrypt(client: &Client, tcp: TcpStream) -> Tls {
    let mut tls = Tls::new(tcp, client.tls(), usize::MAX);
    tls.handshake().await.expect("the handshake succeeds");
    tls
}

/// A backend that greets with `greeting`, one byte a segment, and then answers each of `turns`: it
/// reads what stands first and says what stands second. What is not as it should be ends it.
fn by_the_book(greeting: &'static str, turns: &'static [(&'static str, &'static str)]) -> Backend {
    raw(move |mut stream, _| async move {
        for byte in greeting.bytes() {
            if stream.write_all(&[byte]).await.is_err() {
                return;
            }
        }
        for (asked, answer) in turns {
            let mut heard = vec![0; asked.len()];
            if stream.read_exact(&mut heard).await.is_err() || heard != asked.as_bytes() {
                return;
            }
            let _ = stream.write_all(answer.as_bytes()).await;
        }
        // Until the other side has ended.
        let _ = stream.read(&mut [0]).await;
    })
}

/// Says `words` to a new connection of a listener, in one segment, and returns all that is heard
/// until the connection ends.
async fn said_at_once(proxy: &Proxy, words: &str) -> String {
    let mut tcp = proxy.client(NAME).tcp().await;
    say(&mut tcp, words).await;
    hear_all(&mut tcp).await
}

/// Waits until `outcome` was counted so many times.
async fn count(proxy: &Proxy, outcome: &str, times: f64) {
    let labels = [("listener", "tls"), ("outcome", outcome)];
    proxy.wait_for_metric("portunus_starttls_total", &labels, |count| count == times).await;
}

/// Waits until the backend was charged with `reason`.
async fn failed(proxy: &Proxy, reason: &str) {
    let labels = [("backend", "app"), ("reason", reason)];
    proxy.wait_for_metric("portunus_backend_errors_total", &labels, |count| count == 1.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_has_so_much_time_before_tls_and_no_more() {
    for (protocol, end) in [
        ("smtp", "\n421 4.4.2 Too slow\r\n"),
        ("imap", "\n* BYE Too slow\r\n"),
        ("pop3", "ready\r\n"),
        ("postgresql", ""),
        ("ldap", ""),
        ("xmpp", ""),
    ] {
        let backend = by_the_book("", &[]);
        let builder = Proxy::builder().listener(starttls(protocol)).backend(&backend);
        let proxy = builder.set("limits.starttls_timeout", "\"300ms\"").start().await;
        let begin = tokio::time::Instant::now();
        let mut tcp = proxy.client(NAME).tcp().await;
        let heard = hear_all(&mut tcp).await;
        assert!(heard.ends_with(end), "{protocol}: {heard}");
        assert!(begin.elapsed() >= Duration::from_millis(300), "{protocol}");
        count(&proxy, "timeout", 1.0).await;
        proxy.wait_for_log("closed", &[("reason", "timeout")]).await;
        assert_eq!(backend.connections(), 0, "{protocol}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_time_of_a_handshake_begins_where_the_dialogue_ends() {
    let backend = by_the_book("+OK ready\r\n", &[("NOOP\r\n", "+OK\r\n")]);
    let proxy = Proxy::builder().listener(starttls("pop3")).backend(&backend).start().await;
    let mut tcp = proxy.client(NAME).tcp().await;
    hear(&mut tcp, "\n").await;
    let silence = tokio::time::timeout(Duration::from_secs(1), tcp.read_u8()).await;
    silence.expect_err("it is the client's turn");
    let begin = tokio::time::Instant::now();
    say(&mut tcp, "STLS\r\n").await;
    hear(&mut tcp, "\n").await;
    let mut tls = encrypt(&proxy.client(NAME), tcp).await;
    tls.send(b"NOOP\r\n").await;
    tls.expect(b"+OK\r\n").await;
    let took = proxy.metric("portunus_handshake_duration_seconds_sum", &[]).await;
    assert!(took < begin.elapsed().as_secs_f64(), "{took} s");
}

//! The words before TLS over a socket: what the client hears, and what is left for TLS.

use std::io::{Read as _, Write as _};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::time::Instant;

use crate::config::StarttlsProtocol;
use crate::handshake::starttls::{Consult, Consulted, Conversed, NoBackend, converse};
use crate::net::Socket;
use crate::outcome::StarttlsOutcome;
use crate::starttls::{Next, Refusal, ServerDialogue, Step, WithoutTls, smtp};

const GREETING: &str = "220 mx.test ESMTP\r\n";

/// Plays `said` to a dialogue that requires TLS, in one piece, and returns what comes of it with
/// what the client hears until then.
async fn play(said: &[u8]) -> (StarttlsOutcome, String) {
    let (mut client, proxy) = UnixStream::pair().unwrap();
    client.write_all(said).await.unwrap();
    let proxy = Socket::Unix(proxy);
    let mut dialogue = smtp::server("mx.test", WithoutTls::Refused);
    let outcome = match converse(proxy, &mut dialogue, &mut NoBackend, in_a_while()).await {
        Ok(conversed) => conversed.outcome(StarttlsProtocol::Smtp),
        Err(error) => error.outcome(),
    };
    let mut heard = String::new();
    client.read_to_string(&mut heard).await.unwrap();
    (outcome, heard)
}

fn in_a_while() -> Instant {
    Instant::now() + Duration::from_secs(30)
}

#[tokio::test(start_paused = true)]
async fn the_next_byte_behind_the_last_words_is_the_clients_hello() {
    let (outcome, heard) = play(b"EHLO c\r\nSTARTTLS\r\n").await;
    let words = "250-mx.test\r\n250 STARTTLS\r\n220 2.0.0 Ready to start TLS\r\n";
    assert_eq!(heard, format!("{GREETING}{words}"));
    assert_eq!(outcome, StarttlsOutcome::Upgraded);
}

#[tokio::test(start_paused = true)]
async fn a_client_hears_why_it_is_refused_although_it_said_more_than_was_read() {
    let (outcome, heard) = play(&b"NOOP\r\n".repeat(10_000)).await;
    assert!(heard.ends_with("421 4.7.0 Too much before STARTTLS\r\n"), "{heard}");
    assert_eq!(outcome, StarttlsOutcome::Flooded);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_is_answered_first() {
    let (outcome, heard) = play(b"QUIT\r\n").await;
    assert_eq!(heard, format!("{GREETING}221 2.0.0 Bye\r\n"));
    assert_eq!(outcome, StarttlsOutcome::Quit);
}

#[tokio::test(start_paused = true)]
async fn a_client_has_so_much_time_and_no_more() {
    let (mut client, proxy) = UnixStream::pair().unwrap();
    let start = Instant::now();
    let mut dialogue = smtp::server("mx.test", WithoutTls::Refused);
    let deadline = start + Duration::from_secs(30);
    let error = converse(Socket::Unix(proxy), &mut dialogue, &mut NoBackend, deadline).await;
    assert_eq!(error.unwrap_err().outcome(), StarttlsOutcome::Timeout);
    assert!(start.elapsed() >= Duration::from_secs(30), "{:?}", start.elapsed());
    let mut heard = String::new();
    client.read_to_string(&mut heard).await.unwrap();
    assert_eq!(heard, format!("{GREETING}421 4.4.2 Too slow\r\n"));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_closes_is_no_error_of_ours() {
    let (client, proxy) = UnixStream::pair().unwrap();
    drop(client);
    let mut dialogue = smtp::server("mx.test", WithoutTls::Refused);
    let error = converse(Socket::Unix(proxy), &mut dialogue, &mut NoBackend, in_a_while()).await;
    assert_eq!(error.unwrap_err().outcome(), StarttlsOutcome::ClientClosed);
}

/// Consents to TLS at once, by when the client has said more.
#[derive(Debug)]
struct TooLate {
    client: std::os::unix::net::UnixStream,
    fed: u32,
}

impl ServerDialogue for TooLate {
    fn greeting(&mut self) -> Vec<u8> {
        Vec::new()
    }

    fn feed(&mut self, bytes: &[u8]) -> Step {
        self.fed += 1;
        if self.fed == 1 {
            assert_eq!(bytes, b"STARTTLS");
            self.client.write_all(b"evil").unwrap();
            return Step { say: b"said ".to_vec(), next: Next::Upgrade(b"consent".to_vec()) };
        }
        assert_eq!(bytes, b"evil");
        Step::refuse(b"refused".to_vec(), Refusal::Injected)
    }
}

#[tokio::test(start_paused = true)]
async fn what_comes_in_a_segment_of_its_own_before_the_consent_is_refused() {
    let (mut client, proxy) = std::os::unix::net::UnixStream::pair().unwrap();
    proxy.set_nonblocking(true).unwrap();
    client.write_all(b"STARTTLS").unwrap();
    let mut dialogue = TooLate { client: client.try_clone().unwrap(), fed: 0 };
    let proxy = Socket::Unix(UnixStream::from_std(proxy).unwrap());
    let error = converse(proxy, &mut dialogue, &mut NoBackend, in_a_while()).await;
    assert_eq!(error.unwrap_err().outcome(), StarttlsOutcome::Injected);
    drop(dialogue);
    let mut heard = String::new();
    client.read_to_string(&mut heard).unwrap();
    assert_eq!(heard, "said refused");
}

/// A backend that repeats the question.
struct Echo;

impl Consult for Echo {
    async fn consult(&mut self, question: &[u8]) -> Consulted {
        Consulted::Said([b"250 ", question].concat())
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_goes_on_without_tls_is_handed_over_with_what_was_read_of_it() {
    let (mut client, proxy) = UnixStream::pair().unwrap();
    client.write_all(b"EHLO c.test\r\nMAIL FROM:<>\r\nRCPT").await.unwrap();
    let mut dialogue = smtp::server("mx.test", WithoutTls::Allowed);
    let conversed = converse(Socket::Unix(proxy), &mut dialogue, &mut Echo, in_a_while()).await;
    let Ok(Conversed::Clear { start, socket: _socket }) = conversed else {
        panic!("{conversed:?}");
    };
    assert_eq!(start, b"MAIL FROM:<>\r\nRCPT");
    let words = format!("{GREETING}250-EHLO c.test\r\n250 STARTTLS\r\n");
    let mut heard = vec![0; words.len()];
    client.read_exact(&mut heard).await.unwrap();
    assert_eq!(heard, words.as_bytes());
}

#[tokio::test(start_paused = true)]
async fn a_client_whose_backend_is_away_is_told() {
    let (mut client, proxy) = UnixStream::pair().unwrap();
    client.write_all(b"EHLO c.test\r\n").await.unwrap();
    let mut dialogue = smtp::server("mx.test", WithoutTls::Allowed);
    let error = converse(Socket::Unix(proxy), &mut dialogue, &mut NoBackend, in_a_while()).await;
    assert_eq!(error.unwrap_err().outcome(), StarttlsOutcome::Backend);
    let mut heard = String::new();
    client.read_to_string(&mut heard).await.unwrap();
    assert_eq!(heard, format!("{GREETING}421 4.3.2 The mail service is not available\r\n"));
}

//! Words before TLS that are bytes rather than lines.
//!
//! Owns saying and hearing them. Refuses to know what they mean.

use portunus_tests::wait::within;
use portunus_tests::{Client, Proxy, Tls};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::NAME;

/// Says `bytes` to a new connection of the first listener, in one segment, and returns all that is
/// heard until the connection ends.
pub(super) async fn at_once(proxy: &Proxy, bytes: &[u8]) -> Vec<u8> {
    let mut tcp = proxy.client(NAME).tcp().await;
    say(&mut tcp, bytes).await;
    let mut heard = Vec::new();
    let _ = within("the end", tcp.read_to_end(&mut heard)).await;
    heard
}

/// Says `bytes` in the clear.
pub(super) async fn say(tcp: &mut TcpStream, bytes: &[u8]) {
    within("room for words", tcp.write_all(bytes)).await.unwrap();
}

/// Hears just so many bytes in the clear as `expected` has, which they have to be.
pub(super) async fn expect(tcp: &mut TcpStream, expected: &[u8]) {
    let mut heard = vec![0; expected.len()];
    within("words in the clear", tcp.read_exact(&mut heard)).await.unwrap();
    assert_eq!(heard, expected);
}

/// Says `request`, with the hello of `client` behind it in the same segment, and goes through the
/// handshake.
pub(super) async fn encrypt_at_once(client: &Client, mut tcp: TcpStream, request: &[u8]) -> Tls {
    let mut tls = client.tls();
    let mut bytes = request.to_vec();
    tls.write_tls(&mut bytes).unwrap();
    say(&mut tcp, &bytes).await;
    let mut tls = Tls::new(tcp, tls, usize::MAX);
    tls.handshake().await.unwrap();
    tls
}

/// Says `behind` in the place of a hello, and sees to it that TLS answers, not a backend.
pub(super) async fn is_not_heard_as_clear(mut tcp: TcpStream, behind: &[u8]) {
    say(&mut tcp, behind).await;
    let mut heard = Vec::new();
    let _ = within("the end", tcp.read_to_end(&mut heard)).await;
    assert!(heard.is_empty() || heard.starts_with(&[ALERT, 3]), "{heard:?}");
}

/// The first byte of an alert (RFC 8446 §5.1).
const ALERT: u8 = 21;

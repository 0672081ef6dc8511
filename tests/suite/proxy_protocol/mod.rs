//! The PROXY protocol, heard and said: with headers written here, and with HAProxy and nginx.

mod heard;
mod relayed;
mod told;

use portunus_tests::{Client, Tls};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

const NAME: &str = "app.example";
/// The key of a listener that believes this machine.
const FROM: (&str, &str) = ("proxy_protocol.from", "[\"127.0.0.0/8\"]");
/// Where the client is that the headers here tell of.
const CLIENT: &str = "192.0.2.1:1000";
/// The same client in both versions, come to 198.51.100.2:443.
const LINE: &[u8] = b"PROXY TCP4 192.0.2.1 198.51.100.2 1000 443\r\n";
const BINARY: &[u8] =
    b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x01\xc6\x33\x64\x02\x03\xe8\x01\xbb";

/// Has `client` say `header` first, and then establish TLS.
async fn after(header: &[u8], client: &Client) -> Tls {
    let mut tcp = client.tcp().await;
    tcp.write_all(header).await.unwrap();
    over(tcp, client).await
}

/// Has `client` establish TLS over `tcp`.
async fn over(tcp: TcpStream, client: &Client) -> Tls {
    let mut tls = Tls::new(tcp, client.tls(), usize::MAX);
    tls.handshake().await.unwrap();
    tls
}

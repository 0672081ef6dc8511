//! PROXY headers off real sockets: exactly the header, from exactly those who may send it.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::time::Instant;

use crate::config::{ProxyProtocol, UnixPeers};
use crate::handshake::introduction::{IntroductionError, client, hear, outcome};
use crate::metrics::Heard;
use crate::net::{PeerAddr, Socket};
use crate::proxy_protocol::{Ends, Introduction};

const LINE: &[u8] = b"PROXY TCP4 192.0.2.1 198.51.100.2 1000 443\r\n";
/// The same in version 2, with a NOOP that is as long as a header may be.
fn binary() -> Vec<u8> {
    let noop = [&[4, 0x0f, 0xe1][..], &[7; 0x0fe1]].concat();
    let addresses = [192, 0, 2, 1, 198, 51, 100, 2, 3, 232, 1, 187];
    let fixed = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x0f\xf0";
    [&fixed[..], &addresses, &noop].concat()
}

fn rule(block: &str) -> ProxyProtocol {
    ProxyProtocol { from: vec![block.parse().unwrap()], from_unix: UnixPeers::Refused }
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(3)
}

async fn tcp() -> (TcpStream, Socket, PeerAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    client.set_nodelay(true).unwrap();
    let (socket, peer) = listener.accept().await.unwrap();
    (client, Socket::Tcp(socket), PeerAddr::new(peer))
}

async fn hear_of(bytes: &[u8]) -> Result<Introduction, IntroductionError> {
    let (mut sender, mut socket, peer) = tcp().await;
    sender.write_all(bytes).await.unwrap();
    sender.shutdown().await.unwrap();
    hear(&mut socket, peer, &rule("127.0.0.0/8"), soon()).await
}

#[tokio::test]
async fn exactly_the_header_is_taken_however_it_comes() {
    for header in [LINE.to_vec(), binary()] {
        let all = [&header[..], b"\x16\x03\x01 and so on"].concat();
        // From all at once to byte by byte, as far as the length allows.
        let step = if header.len() > 200 { 61 } else { 1 };
        for piece in [all.len(), header.len(), header.len() - 1, 50, 17, step] {
            let (mut sender, mut socket, peer) = tcp().await;
            let talk = async {
                for part in all.chunks(piece) {
                    sender.write_all(part).await.unwrap();
                    tokio::task::yield_now().await;
                }
                sender
            };
            let rule = rule("127.0.0.1/32");
            let listen = hear(&mut socket, peer, &rule, soon());
            let (sender, heard) = tokio::join!(talk, listen);
            let heard = heard.unwrap();
            let expected = Ends::Tcp {
                source: "192.0.2.1:1000".parse().unwrap(),
                destination: "198.51.100.2:443".parse().unwrap(),
            };
            assert_eq!(heard.ends, expected);
            assert_eq!(client(peer, &heard).to_string(), "192.0.2.1:1000");
            drop(sender);
            let mut rest = Vec::new();
            socket.read_to_end(&mut rest).await.unwrap();
            assert_eq!(rest, b"\x16\x03\x01 and so on", "in pieces of {piece}");
        }
    }
}

#[tokio::test]
async fn a_header_is_heard_on_a_unix_socket_if_its_peers_are_believed() {
    let (mut sender, ours) = UnixStream::pair().unwrap();
    let mut socket = Socket::Unix(ours);
    sender.write_all(&[LINE, b"rest"].concat()).await.unwrap();
    let everybody = ProxyProtocol { from: Vec::new(), from_unix: UnixPeers::Believed };
    let refused = hear(&mut socket, PeerAddr::UNIX, &rule("0.0.0.0/0"), soon()).await;
    assert!(matches!(refused, Err(IntroductionError::Untrusted { .. })), "{refused:?}");
    let heard = hear(&mut socket, PeerAddr::UNIX, &everybody, soon()).await.unwrap();
    assert_eq!(client(PeerAddr::UNIX, &heard).to_string(), "192.0.2.1:1000");
    let mut rest = [0; 4];
    socket.read_exact(&mut rest).await.unwrap();
    assert_eq!(&rest, b"rest");
}

#[tokio::test]
async fn whoever_is_not_named_is_reset_unheard() {
    let (mut sender, mut socket, peer) = tcp().await;
    sender.write_all(LINE).await.unwrap();
    let heard = hear(&mut socket, peer, &rule("10.0.0.0/8"), soon()).await;
    assert_eq!(outcome(&heard), Heard::Untrusted);
    drop(socket);
    let error = sender.read(&mut [0; 8]).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn whoever_speaks_for_itself_or_for_nobody_known_is_the_client() {
    for (header, expected) in [
        (&b"PROXY UNKNOWN\r\n"[..], Heard::Unknown),
        (b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0", Heard::Local),
        (b"\r\n\r\n\0\r\nQUIT\n\x21\0\0\0", Heard::Unknown),
    ] {
        let (mut sender, mut socket, peer) = tcp().await;
        sender.write_all(header).await.unwrap();
        let heard = hear(&mut socket, peer, &rule("127.0.0.0/8"), soon()).await;
        assert_eq!(outcome(&heard), expected);
        assert_eq!(client(peer, &heard.unwrap()), peer.into());
    }
}

#[tokio::test]
async fn every_other_beginning_is_closed_and_counted_as_what_it_is() {
    let long = [b"PROXY UNKNOWN ", &[b'x'; 100][..]].concat();
    for (bytes, expected) in [
        (&b"GET / HTTP/1.1\r\n"[..], Heard::Missing),
        (b"\x16\x03\x01\x02\x00", Heard::Missing),
        (b"PROXY TCP4 1.2.3.4 5.6.7.8 1\r\n", Heard::Malformed),
        (b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x03", Heard::Malformed),
        (b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff", Heard::TooLarge),
        (&long, Heard::TooLarge),
        (b"", Heard::Ended),
        (b"PROXY TCP4 1.2.3.4 5.6", Heard::Ended),
    ] {
        assert_eq!(outcome(&hear_of(bytes).await), expected, "{bytes:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_header_that_does_not_come_in_time_is_not_waited_for() {
    for part in [&b""[..], b"PROXY TCP4 192", &binary()[..4000]] {
        let (mut sender, mut socket, peer) = tcp().await;
        sender.write_all(part).await.unwrap();
        let deadline = soon();
        let heard = hear(&mut socket, peer, &rule("127.0.0.0/8"), deadline).await;
        assert_eq!(outcome(&heard), Heard::Timeout);
        assert!(Instant::now() >= deadline);
        drop(socket);
        let error = sender.read(&mut [0; 8]).await.unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    }
}

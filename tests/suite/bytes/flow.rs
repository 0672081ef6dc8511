//! When bytes travel: at once, whoever speaks first, however little it is.

use std::io::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use portunus_tests::wait::within;
use portunus_tests::{Proxy, authority, echo, raw, tls};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::version::{TLS12, TLS13};
use rustls::{ServerConfig, ServerConnection, SupportedProtocolVersion};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{NAME, Path, Way};

const GREETING: &[u8] = b"220 mail.example ESMTP, and more than one word of it\r\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_that_speaks_first_is_heard_byte_by_byte_whatever_the_way() {
    for way in Way::ALL {
        let backend = raw(|mut stream, _| async move {
            for byte in GREETING {
                stream.write_all(&[*byte]).await.unwrap();
                tokio::task::yield_now().await;
            }
            // It says nothing more before it is answered.
            let _ = stream.read_to_end(&mut Vec::new()).await;
        });
        let path = Path::start(way, backend).await;
        let mut client = path.connect().await;
        let mut greeting = vec![0; GREETING.len()];
        within("the greeting", client.read_exact(&mut greeting)).await.unwrap();
        assert_eq!(greeting, GREETING, "{way:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_greeting_in_the_segment_of_the_handshake_s_end_is_heard() {
    for version in [&TLS12, &TLS13] {
        let config = server(version);
        let backend = raw(move |stream, _| hasty(stream, Arc::clone(&config)));
        let authority = authority().pem();
        let near = Proxy::builder()
            .listener(tls(NAME).without_sites().with("clear", "true"))
            .backend(backend)
            .set("backend.app.tls.ca", "\"roots.pem\"")
            .set("backend.app.tls.server_name", &format!("{NAME:?}"))
            .file("roots.pem", &authority)
            .start()
            .await;
        let mut client = TcpStream::connect(near.first_address()).await.unwrap();
        let mut greeting = vec![0; GREETING.len()];
        within("the greeting", client.read_exact(&mut greeting)).await.unwrap();
        assert_eq!(greeting, GREETING, "{version:?}");
    }
}

fn server(version: &'static SupportedProtocolVersion) -> Arc<ServerConfig> {
    let pem = authority().issue(&[NAME]).pem();
    let chain = CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<_, _>>().unwrap();
    let key = PrivateKeyDer::from_pem_slice(pem.as_bytes()).unwrap();
    let config = ServerConfig::builder_with_protocol_versions(&[version])
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    Arc::new(config)
}

/// A TLS server whose greeting leaves with the last words of its handshake, in one write.
async fn hasty(mut stream: TcpStream, config: Arc<ServerConfig>) {
    let mut tls = ServerConnection::new(config).unwrap();
    let mut has_greeted = false;
    loop {
        let mut words = Vec::new();
        while tls.wants_write() {
            tls.write_tls(&mut words).unwrap();
        }
        // In TLS 1.3 a server may speak behind its Finished, before the client's (RFC 8446 §4.4.4).
        let may_speak = !tls.is_handshaking()
            || tls.protocol_version() == Some(rustls::ProtocolVersion::TLSv1_3);
        if may_speak && !has_greeted {
            has_greeted = true;
            tls.writer().write_all(GREETING).unwrap();
            while tls.wants_write() {
                tls.write_tls(&mut words).unwrap();
            }
        }
        if stream.write_all(&words).await.is_err() {
            return;
        }
        let mut buffer = [0; 4096];
        let Ok(count @ 1..) = stream.read(&mut buffer).await else { return };
        let mut bytes = &buffer[..count];
        while !bytes.is_empty() {
            tls.read_tls(&mut bytes).unwrap();
            tls.process_new_packets().unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn single_bytes_to_and_fro_wait_for_nothing_whatever_the_way() {
    for way in Way::ALL {
        let path = Path::start(way, echo()).await;
        let mut client = path.connect().await;
        let mut swift = 0;
        for turn in 0..TURNS {
            let start = Instant::now();
            client.write_all(&[turn]).await.unwrap();
            client.flush().await.unwrap();
            let mut back = [0];
            within("a byte", client.read_exact(&mut back)).await.unwrap();
            assert_eq!(back, [turn]);
            swift += usize::from(start.elapsed() < STALL);
        }
        // A delayed acknowledgement that Nagle's algorithm waits for would make every turn slow;
        // a busy machine only some.
        assert!(swift > usize::from(TURNS) / 2, "{way:?}: {swift} of {TURNS}");
    }
}

const TURNS: u8 = 100;

/// Half of what the kernel waits with an acknowledgement.
const STALL: Duration = Duration::from_millis(20);

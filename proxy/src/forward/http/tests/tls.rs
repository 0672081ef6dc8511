//! Endpoints under TLS: who is believed, what is spoken, and what is never read.

use std::fs;

use bytes::Bytes;
use http::Response;
use portunus_certs::issue::DevelopmentCa;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::{HandshakeKind, RootCertStore, ServerConfig};
use tempfile::TempDir;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::*;
use crate::backend::{Reuse, Speech};
use crate::proxy_protocol::Introduction;

const GET: &str = "GET / HTTP/1.1\r\nHost: app.example\r\n\r\n";

/// An authority, with its files.
struct Trust {
    ca: DevelopmentCa,
    folder: TempDir,
}

/// What an endpoint offers and asks for.
#[derive(Clone, Copy)]
struct Offer {
    name: &'static str,
    alpn: &'static [&'static str],
    clients: Clients,
}

#[derive(Clone, Copy, PartialEq)]
enum Clients {
    Anyone,
    Known,
}

const PLAIN: Offer = Offer { name: "127.0.0.1", alpn: &[], clients: Clients::Anyone };

impl Trust {
    fn new() -> Self {
        let ca = DevelopmentCa::new(UnixTime::now()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("ca.pem"), ca.certificate_pem()).unwrap();
        let client = ca.issue_client("portunus", UnixTime::now()).unwrap();
        let credential = format!("{}{}", client.chain_pem, *client.key_pem);
        fs::write(folder.path().join("client.pem"), credential).unwrap();
        Self { ca, folder }
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    /// The keys of a backend that believes this authority.
    fn keys(&self, addr: &str, protocol: &str, more: &str) -> String {
        let ca = self.path("ca.pem");
        format!("endpoints = ['{addr}']\nprotocol = '{protocol}'\ntls = {{ ca = '{ca}'{more} }}")
    }

    fn server(&self, offer: Offer) -> TlsAcceptor {
        let issued = self.ca.issue(&[offer.name], UnixTime::now()).unwrap();
        let chain = CertificateDer::pem_slice_iter(issued.chain_pem.as_bytes());
        let chain = chain.collect::<Result<_, _>>().unwrap();
        let key = PrivateKeyDer::from_pem_slice(issued.key_pem.as_bytes()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .unwrap();
        let builder = match offer.clients {
            Clients::Anyone => builder.with_no_client_auth(),
            Clients::Known => {
                let mut roots = RootCertStore::empty();
                let ca = CertificateDer::from_pem_slice(self.ca.certificate_pem().as_bytes());
                roots.add(ca.unwrap()).unwrap();
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                builder.with_client_cert_verifier(verifier.build().unwrap())
            }
        };
        let mut config = builder.with_single_cert(chain, key).unwrap();
        config.alpn_protocols = offer.alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        TlsAcceptor::from(Arc::new(config))
    }

    /// An endpoint that answers with what is spoken, and closes connections of HTTP/1.1.
    async fn endpoint(&self, watch: &DrainWatch, offer: Offer) -> (String, Handshakes) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap().to_string();
        let acceptor = self.server(offer);
        let kinds = Handshakes::default();
        let (log, tasks) = (Arc::clone(&kinds), watch.clone());
        watch.spawn(async move {
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                if let Ok(stream) = acceptor.accept(socket).await {
                    log.lock().unwrap().push(stream.get_ref().1.handshake_kind().unwrap());
                    tasks.spawn(answer(stream));
                }
            }
        });
        (addr, kinds)
    }
}

type Handshakes = Arc<Mutex<Vec<HandshakeKind>>>;

async fn answer(mut stream: TlsStream<TcpStream>) {
    if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
        let mut connection = ::h2::server::handshake(stream).await.unwrap();
        while let Some(Ok((_, mut respond))) = connection.accept().await {
            let mut body = respond.send_response(Response::new(()), false).unwrap();
            body.send_data(Bytes::from_static(b"over HTTP/2"), true).unwrap();
        }
        return;
    }
    let mut heard = Vec::new();
    while !heard.ends_with(b"\r\n\r\n") {
        let mut buf = [0; 4096];
        match stream.read(&mut buf).await {
            Ok(0) | Err(_) => return,
            Ok(read) => heard.extend_from_slice(&buf[..read]),
        }
    }
    let words = "over HTTP/1.1";
    let head = format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", 13);
    stream.write_all(format!("{head}{words}").as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
}

/// A client of a proxy in front of the backend that `keys` describe.
async fn client_of(keys: &str) -> (Client, Drain) {
    let (drain, watch) = Drain::new();
    let make = |_: &str| {
        let place = Place { host: "app.example", ..Place::default() };
        let (service, metrics, backend) =
            service_before(keys, |_| {}, &[place], &config::Behind::forwarding(0), |_| {});
        watch.spawn(backend.maintain(Arc::default(), watch.clone()));
        (service, metrics)
    };
    (Client::at(vec![vec![say("")]], make, facts()).await, drain)
}

async fn answer_to(keys: &str) -> (String, String) {
    let (mut client, _drain) = client_of(keys).await;
    client.send(&GET.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n")).await;
    let answer = client.read_to_end().await;
    (answer, client.metrics())
}

#[tokio::test]
async fn the_protocol_is_what_both_sides_speak() {
    let trust = Trust::new();
    let both: &[&str] = &["h2", "http/1.1"];
    let cases: [(&str, &'static [&'static str], &str); 8] = [
        ("auto", both, "over HTTP/2"),
        ("auto", &["http/1.1"], "over HTTP/1.1"),
        ("auto", &[], "over HTTP/1.1"),
        ("http1", both, "over HTTP/1.1"),
        ("http1", &[], "over HTTP/1.1"),
        ("http2", both, "over HTTP/2"),
        ("http2", &[], "502 Bad Gateway"),
        ("http2", &["http/1.1"], "502 Bad Gateway"),
    ];
    for (protocol, alpn, words) in cases {
        let (_drain, watch) = Drain::new();
        let (addr, _) = trust.endpoint(&watch, Offer { alpn, ..PLAIN }).await;
        let (answer, _) = answer_to(&trust.keys(&addr, protocol, "")).await;
        assert!(answer.contains(words), "{protocol} with {alpn:?}: {answer}");
    }
}

#[tokio::test]
async fn an_endpoint_that_has_no_websockets_is_still_a_good_one() {
    let trust = Trust::new();
    let (_drain, watch) = Drain::new();
    let offer = Offer { alpn: &["h2"], ..PLAIN };
    let (one, _) = trust.endpoint(&watch, offer).await;
    let (other, _) = trust.endpoint(&watch, offer).await;
    let keys = trust.keys(&format!("{one}', '{other}"), "auto", "");
    let place = Place { host: "app.example", ..Place::default() };
    let (service, metrics, backend) =
        service_before(&keys, |_| {}, &[place], &config::Behind::forwarding(0), |_| {});
    let make = |_: &str| (service, metrics);
    let mut client = Client::at(vec![vec![say("")]], make, facts()).await;
    let ask = "GET / HTTP/1.1\r\nHost: app.example\r\nConnection: upgrade\r\n\
               Upgrade: websocket\r\n\r\n";
    client.send(ask).await;
    let answer = client.read_until("\n").await;
    assert!(answer.starts_with("HTTP/1.1 501 Not Implemented\r\n"), "{answer}");
    for _ in 0..10 {
        backend.lease(None, Speech::Http1, Reuse::Allowed).await.unwrap_err();
    }
    let text = client.metrics();
    for line in [
        format!("portunus_endpoint_up{{backend=\"app\",endpoint=\"{one}\"}} 1"),
        format!("portunus_endpoint_up{{backend=\"app\",endpoint=\"{other}\"}} 1"),
        "portunus_backend_ejections_total{backend=\"app\"} 0".to_owned(),
    ] {
        assert!(text.contains(&line), "{line} is not in\n{text}");
    }
}

#[tokio::test]
async fn what_comes_free_is_for_whoever_can_use_it() {
    let trust = Trust::new();
    let (_drain, watch) = Drain::new();
    let offer = Offer { alpn: &["h2", "http/1.1"], ..PLAIN };
    let (addr, _) = trust.endpoint(&watch, offer).await;
    let keys = trust.keys(&addr, "auto", "") + "\nmax_connections = 1\nstreams = 2";
    let (_, _, backend) =
        service_before(&keys, |_| {}, &[], &config::Behind::forwarding(0), |_| {});
    watch.spawn(Arc::clone(&backend).maintain(Arc::default(), watch.clone()));
    let lease = |speech| backend.lease(None, speech, Reuse::Allowed);
    let (one, other) = (lease(Speech::Any).await.unwrap(), lease(Speech::Any).await.unwrap());
    let mut socket = Box::pin(lease(Speech::Http1));
    let mut exchange = Box::pin(lease(Speech::Any));
    tokio::select! {
        biased;
        _ = &mut socket => panic!("there is no room"),
        _ = &mut exchange => panic!("there is no room"),
        () = std::future::ready(()) => {}
    }
    drop(one);
    let exchange = tokio::select! {
        exchange = exchange => exchange.unwrap(),
        _ = &mut socket => panic!("there is no room"),
    };
    // And when nobody uses the connection, another one may take its place.
    drop((other, exchange));
    socket.await.unwrap();
}

#[tokio::test]
async fn a_certificate_of_another_authority_or_name_is_not_believed() {
    let (trust, stranger) = (Trust::new(), Trust::new());
    let (_drain, watch) = Drain::new();
    let (addr, _) = trust.endpoint(&watch, PLAIN).await;
    let cases = [
        (stranger.keys(&addr, "http1", ""), Some("tls_untrusted")),
        (trust.keys(&addr, "http1", ", server_name = 'other.example'"), Some("tls_wrong_name")),
        (trust.keys(&addr, "http1", ", server_name = '127.0.0.1'"), None),
    ];
    for (keys, failure) in cases {
        let is_good = failure.is_none();
        let (answer, metrics) = answer_to(&keys).await;
        assert_eq!(answer.contains("over HTTP/1.1"), is_good, "{keys}\n{answer}");
        assert_eq!(answer.starts_with("HTTP/1.1 502 "), !is_good, "{keys}\n{answer}");
        if let Some(failure) = failure {
            let reason = format!("backend=\"app\",reason=\"{failure}\"");
            let line = format!("portunus_backend_errors_total{{{reason}}} 1");
            assert!(metrics.contains(&line), "{keys}\n{metrics}");
        }
    }
}

#[tokio::test]
async fn an_endpoint_may_ask_who_we_are() {
    let trust = Trust::new();
    let (_drain, watch) = Drain::new();
    let offer = Offer { clients: Clients::Known, ..PLAIN };
    let (addr, _) = trust.endpoint(&watch, offer).await;
    let more = format!(", credential = '{}'", trust.path("client.pem"));
    let (answer, _) = answer_to(&trust.keys(&addr, "http1", &more)).await;
    assert!(answer.contains("over HTTP/1.1"), "{answer}");
    let (answer, _) = answer_to(&trust.keys(&addr, "http1", "")).await;
    assert!(answer.starts_with("HTTP/1.1 502 "), "{answer}");
}

#[tokio::test]
async fn connections_of_a_backend_resume_their_sessions() {
    let trust = Trust::new();
    let (_drain, watch) = Drain::new();
    let (addr, kinds) = trust.endpoint(&watch, PLAIN).await;
    let (mut client, _of_backend) = client_of(&trust.keys(&addr, "http1", "")).await;
    for _ in 0..2 {
        client.send(GET).await;
        client.read_until("over HTTP/1.1").await;
    }
    let kinds = kinds.lock().unwrap().clone();
    assert!(matches!(kinds[..], [HandshakeKind::Full, HandshakeKind::Resumed]), "{kinds:?}");
}

#[tokio::test]
async fn what_is_said_before_tls_stands_is_not_heard() {
    let trust = Trust::new();
    let (_drain, watch) = Drain::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    let acceptor = trust.server(PLAIN);
    watch.spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let early = b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\npoison";
        socket.write_all(early).await.unwrap();
        let _ = acceptor.accept(socket).await;
    });
    let (answer, _) = answer_to(&trust.keys(&addr, "http1", "")).await;
    assert!(answer.starts_with("HTTP/1.1 502 ") && !answer.contains("poison"), "{answer}");
}

#[tokio::test]
async fn bytes_are_encrypted_too() {
    let trust = Trust::new();
    let (_drain, watch) = Drain::new();
    let (addr, _) = trust.endpoint(&watch, PLAIN).await;
    let (_, _, backend) = service_before(
        &trust.keys(&addr, "http1", ""),
        |_| {},
        &[],
        &config::Behind::forwarding(0),
        |_| {},
    );
    let mut dedicated = backend.connect(None, &Introduction::default()).await.unwrap();
    dedicated.link.write_all(b"HELO\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    dedicated.link.read_to_string(&mut answer).await.unwrap();
    assert!(answer.ends_with("over HTTP/1.1"), "{answer}");
}

#[tokio::test]
async fn files_that_are_others_count_from_the_next_connection_and_bad_ones_never() {
    let (trust, stranger) = (Trust::new(), Trust::new());
    let (_drain, watch) = Drain::new();
    let (addr, _) = trust.endpoint(&watch, PLAIN).await;
    let place = config::Behind::forwarding(0);
    let keys = stranger.keys(&addr, "http1", "");
    let (_, _, backend) = service_before(&keys, |_| {}, &[], &place, |_| {});
    assert!(backend.connect(None, &Introduction::default()).await.is_err());
    assert!(!backend.reload_tls().unwrap(), "they are the same");
    fs::copy(trust.path("ca.pem"), stranger.path("ca.pem")).unwrap();
    assert!(backend.reload_tls().unwrap());
    backend.connect(None, &Introduction::default()).await.unwrap();
    for bad in ["", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
        fs::write(stranger.path("ca.pem"), bad).unwrap();
        backend.reload_tls().unwrap_err();
        backend.connect(None, &Introduction::default()).await.unwrap();
    }
    fs::remove_file(stranger.path("ca.pem")).unwrap();
    backend.reload_tls().unwrap_err();
    backend.connect(None, &Introduction::default()).await.unwrap();
}

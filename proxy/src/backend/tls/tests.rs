//! Endpoints that are not who they should be, and what is remembered of those that are.

use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use portunus_certs::issue::{DevelopmentCa, Issued, KeyChoice};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::version::{TLS12, TLS13};
use rustls::{HandshakeKind, RootCertStore, ServerConfig, SupportedProtocolVersion};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::backend::{Backend, ConnectError, Link};
use crate::config::Config;
use crate::drain::{Drain, DrainWatch};
use crate::log::Chain;
use crate::metrics::{BackendTrait, Exposition, Metrics};
use crate::outcome::BackendFailure;
use crate::proxy_protocol::Introduction;

/// An authority, with its files.
struct Authority {
    ca: DevelopmentCa,
    folder: TempDir,
}

/// What a server does beside showing its certificate.
#[derive(Clone, Copy)]
struct Manner {
    versions: &'static [&'static SupportedProtocolVersion],
    demands_certificate: bool,
    alpn: &'static [&'static str],
}

const PLAIN: Manner = Manner { versions: &[&TLS13, &TLS12], demands_certificate: false, alpn: &[] };
const V1_2: &[&SupportedProtocolVersion] = &[&TLS12];
const V1_3: &[&SupportedProtocolVersion] = &[&TLS13];

impl Authority {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let ca = DevelopmentCa::load_or_create(folder.path(), UnixTime::now()).unwrap();
        Self { ca, folder }
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    fn issue(&self, name: &str) -> Issued {
        self.ca.issue(&[name], UnixTime::now()).unwrap()
    }

    /// A certificate for the time from so many seconds from now to so many.
    fn issue_between(&self, start: i64, end: i64) -> Issued {
        let now = i64::try_from(UnixTime::now().as_secs()).unwrap();
        let names = ["127.0.0.1"];
        self.ca.issue_with(&names, KeyChoice::EcdsaP256, now + start, now + end).unwrap()
    }

    /// Its own certificate, as openssl makes them for those who ask for nothing else.
    fn own(&self) -> Issued {
        let read = |name| fs::read_to_string(self.path(name)).unwrap();
        Issued { chain_pem: read("ca.pem"), key_pem: read("ca.key").into() }
    }

    /// Writes a credential of ours and returns the key of the configuration that names it.
    fn client(&self) -> String {
        let issued = self.ca.issue_client("portunus", UnixTime::now()).unwrap();
        let path = self.path("client.pem");
        fs::write(&path, format!("{}{}", issued.chain_pem, *issued.key_pem)).unwrap();
        format!("credential = '{path}'")
    }

    fn acceptor(&self, issued: &Issued, manner: Manner) -> TlsAcceptor {
        let chain = CertificateDer::pem_slice_iter(issued.chain_pem.as_bytes());
        let chain = chain.collect::<Result<_, _>>().unwrap();
        let key = PrivateKeyDer::from_pem_slice(issued.key_pem.as_bytes()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(manner.versions)
            .unwrap();
        let builder = if manner.demands_certificate {
            let mut roots = RootCertStore::empty();
            let ca = CertificateDer::from_pem_slice(self.ca.certificate_pem().as_bytes());
            roots.add(ca.unwrap()).unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            builder.with_client_cert_verifier(verifier.build().unwrap())
        } else {
            builder.with_no_client_auth()
        };
        let mut config = builder.with_single_cert(chain, key).unwrap();
        config.alpn_protocols = manner.alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        TlsAcceptor::from(Arc::new(config))
    }

    /// A backend that believes this authority, with these endpoints and keys of its `tls`.
    fn backend(&self, addrs: &[&str], keys: &[&str]) -> (Arc<Backend>, Metrics) {
        let ca = format!("ca = '{}'", self.path("ca.pem"));
        let keys = [&[ca.as_str()], keys].concat().join(", ");
        let text = format!(
            "[listener.a]\nlisten = ['[::]:1']\nmode = 'tcp'\nbackend = 'app'\n\
             [backend.app]\nendpoints = {addrs:?}\nbalance = 'round-robin'\ntls = {{ {keys} }}\n",
        );
        let config = Config::parse(&text, "config.toml", Path::new("/")).unwrap();
        let config = config.backends.first().unwrap();
        let metrics = Metrics::new();
        metrics.expect_backend("app", &[BackendTrait::Tls]);
        (Backend::new(config, Arc::default(), metrics.backend("app")).unwrap(), metrics)
    }
}

/// Says a word over every connection once TLS stands, and notes how it came about.
async fn server(watch: &DrainWatch, acceptor: TlsAcceptor) -> (String, Handshakes) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    let kinds = Handshakes::default();
    let (log, tasks) = (Arc::clone(&kinds), watch.clone());
    watch.spawn(async move {
        loop {
            let (socket, _) = listener.accept().await.unwrap();
            let (acceptor, log) = (acceptor.clone(), Arc::clone(&log));
            tasks.spawn(async move {
                let Ok(mut stream) = acceptor.accept(socket).await else { return };
                log.lock().unwrap().push(stream.get_ref().1.handshake_kind().unwrap());
                stream.write_all(b"word").await.unwrap();
                let _ = stream.shutdown().await;
                let _ = stream.read(&mut [0]).await;
            });
        }
    });
    (addr, kinds)
}

type Handshakes = Arc<Mutex<Vec<HandshakeKind>>>;

/// Connects, and hears the word, with which come the sessions.
async fn visit(backend: &Backend) {
    let mut dedicated = backend.connect(None, &Introduction::default()).await.unwrap();
    let mut word = String::new();
    dedicated.link.read_to_string(&mut word).await.unwrap();
    assert_eq!(word, "word");
}

fn kinds(handshakes: &Handshakes) -> String {
    let letter = |kind: &HandshakeKind| match kind {
        HandshakeKind::Resumed => 'R',
        HandshakeKind::Full | HandshakeKind::FullWithHelloRetryRequest => 'F',
    };
    handshakes.lock().unwrap().iter().map(letter).collect()
}

fn text(metrics: &Metrics) -> String {
    metrics.encode(Exposition::Text)
}

async fn refusal(backend: &Backend) -> (BackendFailure, String) {
    let error: ConnectError = backend.connect(None, &Introduction::default()).await.unwrap_err();
    (error.failure(), Chain(&error).to_string())
}

#[tokio::test]
async fn every_fault_of_an_endpoint_has_its_name_and_a_way_out() {
    const DAY: i64 = 86_400;
    let (trust, stranger) = (Authority::new(), Authority::new());
    let cases = [
        (trust.issue_between(-2 * DAY, -DAY), BackendFailure::TlsExpired, "have it renewed"),
        (trust.issue_between(DAY, 2 * DAY), BackendFailure::TlsNotYetValid, "the clocks"),
        (trust.issue("other.example"), BackendFailure::TlsWrongName, "tls.server_name"),
        (stranger.issue("127.0.0.1"), BackendFailure::TlsUntrusted, "tls.ca"),
        (stranger.own(), BackendFailure::TlsUntrusted, "no authority itself"),
        (trust.own(), BackendFailure::TlsUntrusted, "no authority itself"),
    ];
    for (issued, failure, words) in cases {
        let (_drain, watch) = Drain::new();
        let (addr, _) = server(&watch, trust.acceptor(&issued, PLAIN)).await;
        let (backend, metrics) = trust.backend(&[&addr], &[]);
        let (named, said) = refusal(&backend).await;
        assert_eq!(named, failure, "{said}");
        assert!(said.contains(words) && said.contains(&addr), "{said}");
        let labels = format!("backend=\"app\",reason=\"{failure}\"");
        let line = format!("portunus_backend_errors_total{{{labels}}} 1");
        assert!(text(&metrics).contains(&line), "{line}");
    }
}

#[tokio::test]
async fn an_endpoint_that_demands_a_certificate_is_heard_to_refuse() {
    let trust = Authority::new();
    let (_drain, watch) = Drain::new();
    let manner = Manner { versions: V1_2, demands_certificate: true, ..PLAIN };
    let acceptor = trust.acceptor(&trust.issue("127.0.0.1"), manner);
    let (addr, _) = server(&watch, acceptor).await;
    let (named, said) = refusal(&trust.backend(&[&addr], &[]).0).await;
    assert_eq!(named, BackendFailure::TlsRefused, "{said}");
    assert!(said.contains("tls.credential"), "{said}");
    visit(&trust.backend(&[&addr], &[&trust.client()]).0).await;
}

#[tokio::test]
async fn an_endpoint_that_refuses_us_after_our_last_word_is_heard_too() {
    let trust = Authority::new();
    let (_drain, watch) = Drain::new();
    let manner = Manner { versions: V1_3, demands_certificate: true, ..PLAIN };
    let acceptor = trust.acceptor(&trust.issue("127.0.0.1"), manner);
    let (addr, _) = server(&watch, acceptor).await;
    let (backend, metrics) = trust.backend(&[&addr], &[]);
    // RFC 8446 §2: we are done before the endpoint has seen what we show.
    let mut dedicated = backend.connect(None, &Introduction::default()).await.unwrap();
    let error = dedicated.link.read_to_string(&mut String::new()).await.unwrap_err();
    dedicated.note_broken(&error, backend.metrics());
    let text = text(&metrics);
    for line in [
        "portunus_backend_errors_total{backend=\"app\",reason=\"tls_refused\"} 1".to_owned(),
        "portunus_backend_errors_total{backend=\"app\",reason=\"broken\"} 0".to_owned(),
        format!("portunus_endpoint_up{{backend=\"app\",endpoint=\"{addr}\"}} 0"),
    ] {
        assert!(text.contains(&line), "{line} is not in\n{text}");
    }
}

#[tokio::test]
async fn bytes_are_offered_under_the_names_of_the_configuration() {
    let trust = Authority::new();
    let cases: [(&'static [&'static str], &[&str], Option<&str>); 4] = [
        (&["imap"], &["alpn = ['xmpp', 'imap']"], Some("imap")),
        (&[], &["alpn = ['imap']"], Some("")),
        (&["imap"], &[], Some("")),
        (&["smtp"], &["alpn = ['imap']"], None),
    ];
    for (alpn, keys, expected) in cases {
        let (_drain, watch) = Drain::new();
        let manner = Manner { alpn, ..PLAIN };
        let acceptor = trust.acceptor(&trust.issue("127.0.0.1"), manner);
        let (addr, _) = server(&watch, acceptor).await;
        let (backend, _) = trust.backend(&[&addr], keys);
        let Some(expected) = expected else {
            let (named, said) = refusal(&backend).await;
            assert_eq!(named, BackendFailure::TlsRefused, "{said}");
            assert!(said.contains("no protocol that was offered"), "{said}");
            continue;
        };
        let dedicated = backend.connect(None, &Introduction::default()).await.unwrap();
        let Link::Tls(stream) = &dedicated.link else { unreachable!("it has TLS") };
        let agreed = stream.get_ref().1.alpn_protocol().unwrap_or_default();
        assert_eq!(agreed, expected.as_bytes(), "{alpn:?} {keys:?}");
    }
}

#[tokio::test]
async fn what_speaks_no_tls_and_what_breaks_off_is_told_apart() {
    let trust = Authority::new();
    for (answer, words) in [("220 mail\r\n", "is not TLS"), ("", "broke off")] {
        let (_drain, watch) = Drain::new();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap().to_string();
        watch.spawn(async move {
            let (mut socket, _) = listener.accept().await.unwrap();
            // Reset by what is left unread, if it came after the hello.
            let _ = socket.read(&mut [0; 4096]).await;
            socket.write_all(answer.as_bytes()).await.unwrap();
        });
        let (named, said) = refusal(&trust.backend(&[&addr], &[]).0).await;
        assert_eq!(named, BackendFailure::Tls, "{said}");
        assert!(said.contains(words), "{said}");
    }
}

#[tokio::test]
async fn an_endpoint_that_is_not_believed_is_asked_no_more_often_than_one_that_refuses() {
    let (trust, stranger) = (Authority::new(), Authority::new());
    let (_drain, watch) = Drain::new();
    let (bad, visits) = server(&watch, trust.acceptor(&stranger.issue("127.0.0.1"), PLAIN)).await;
    let (good, _) = server(&watch, trust.acceptor(&trust.issue("127.0.0.1"), PLAIN)).await;
    let (backend, metrics) = trust.backend(&[&bad, &good], &[]);
    for _ in 0..40 {
        visit(&backend).await;
    }
    assert_eq!(kinds(&visits), "");
    let text = text(&metrics);
    for line in [
        "portunus_backend_errors_total{backend=\"app\",reason=\"tls_untrusted\"} 5",
        "portunus_backend_ejections_total{backend=\"app\"} 1",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
}

#[tokio::test]
async fn a_session_is_shown_to_nobody_but_the_endpoint_that_gave_it() {
    let trust = Authority::new();
    for versions in [V1_2, V1_3] {
        let (_drain, watch) = Drain::new();
        // One server, which would take its session back wherever it is reached.
        let manner = Manner { versions, ..PLAIN };
        let acceptor = trust.acceptor(&trust.issue("app.example"), manner);
        let (one, of_one) = server(&watch, acceptor.clone()).await;
        let (other, of_other) = server(&watch, acceptor).await;
        let (backend, metrics) = trust.backend(&[&one, &other], &["server_name = 'app.example'"]);
        for _ in 0..6 {
            visit(&backend).await;
        }
        assert_eq!((kinds(&of_one).as_str(), kinds(&of_other).as_str()), ("FRR", "FRR"));
        let text = text(&metrics);
        for (kind, count) in [("full", 2), ("resumed", 4)] {
            let name = "portunus_backend_tls_handshakes_total";
            let line = format!("{name}{{backend=\"app\",kind=\"{kind}\"}} {count}");
            assert!(text.contains(&line), "{line} is not in\n{text}");
        }
    }
}

#[tokio::test]
async fn no_session_outlives_the_trust_or_the_credential_that_it_was_made_with() {
    let trust = Authority::new();
    for versions in [V1_2, V1_3] {
        let (_drain, watch) = Drain::new();
        let manner = Manner { versions, ..PLAIN };
        let (addr, handshakes) =
            server(&watch, trust.acceptor(&trust.issue("127.0.0.1"), manner)).await;
        let (backend, _) = trust.backend(&[&addr], &[&trust.client()]);
        visit(&backend).await;
        visit(&backend).await;
        trust.client();
        assert!(backend.reload_tls().unwrap(), "another credential");
        visit(&backend).await;
        visit(&backend).await;
        let ca = fs::read_to_string(trust.path("ca.pem")).unwrap();
        fs::write(trust.path("ca.pem"), ca.clone() + Authority::new().ca.certificate_pem())
            .unwrap();
        assert!(backend.reload_tls().unwrap(), "another trust");
        visit(&backend).await;
        fs::write(trust.path("ca.pem"), ca).unwrap();
        assert_eq!(kinds(&handshakes), "FRFRF");
    }
}

#[tokio::test]
async fn an_endpoint_is_looked_at_again_after_an_hour_however_often_it_was_resumed() {
    let trust = Authority::new();
    for versions in [V1_2, V1_3] {
        let (_drain, watch) = Drain::new();
        let manner = Manner { versions, ..PLAIN };
        let (addr, handshakes) =
            server(&watch, trust.acceptor(&trust.issue("127.0.0.1"), manner)).await;
        let (backend, _) = trust.backend(&[&addr], &[]);
        for minutes in [59, 2] {
            visit(&backend).await;
            tokio::time::pause();
            tokio::time::advance(Duration::from_secs(minutes * 60)).await;
            tokio::time::resume();
        }
        visit(&backend).await;
        // The session of the second visit is young, and vouches for what the first one saw.
        assert_eq!(kinds(&handshakes), "FRF");
    }
}

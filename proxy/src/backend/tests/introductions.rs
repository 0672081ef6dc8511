//! What an endpoint hears first, over real sockets.

use portunus_certs::issue::DevelopmentCa;
use rustls::pki_types::UnixTime;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::*;
use crate::config::{
    BackendTls, Health, HealthCheck, ProxyTlv, ProxyVersion, SendProxy, StarttlsProtocol,
};
use crate::metrics::BackendTrait;
use crate::proxy_protocol::{Decoded, Ends, Shown, TlsIntroduction, decode};

fn telling(endpoint: &str, version: ProxyVersion, tlvs: &[ProxyTlv]) -> config::Backend {
    let send_proxy = Some(SendProxy { version, tlvs: tlvs.to_vec() });
    config::Backend { send_proxy, ..config(&[endpoint.to_owned()], Balance::P2c) }
}

fn open(config: &config::Backend) -> (Arc<Backend>, Metrics) {
    let metrics = Metrics::new();
    metrics.expect_backend("app", &[BackendTrait::Ejection, BackendTrait::SendProxy]);
    (Backend::new(config, Arc::default(), metrics.backend("app")).unwrap(), metrics)
}

fn client() -> Introduction {
    Introduction {
        ends: Ends::Tcp {
            source: "192.0.2.1:1000".parse().unwrap(),
            destination: "198.51.100.2:443".parse().unwrap(),
        },
        alpn: Some(b"imap".to_vec()),
        authority: Some("a.example".into()),
        unique_id: Some(b"name".to_vec()),
        tls: Some(TlsIntroduction {
            version: Some("TLSv1.3".into()),
            shown: Shown::Now,
            certificate: Some(vec![0x30; 300]),
            ..TlsIntroduction::default()
        }),
    }
}

/// The header that `stream` begins with, and what comes behind it.
async fn heard(stream: &mut TcpStream) -> (Introduction, Vec<u8>) {
    let mut bytes = Vec::new();
    loop {
        assert_ne!(stream.read_buf(&mut bytes).await.unwrap(), 0, "an end before {bytes:?}");
        if let Decoded::Complete { introduction, length } = decode(&bytes).unwrap() {
            return (*introduction, bytes.split_off(length));
        }
    }
}

#[tokio::test]
async fn an_endpoint_hears_of_the_client_before_anything_else() {
    let (listener, addr) = listening().await;
    let tlvs = [
        ProxyTlv::Alpn,
        ProxyTlv::Authority,
        ProxyTlv::ClientCert,
        ProxyTlv::Ssl,
        ProxyTlv::UniqueId,
    ];
    let addresses = Introduction::of(client().ends);
    for (version, tlvs, expected) in [
        (ProxyVersion::V1, &[][..], &addresses),
        (ProxyVersion::V2, &[], &addresses),
        (ProxyVersion::V2, &tlvs, &client()),
    ] {
        let (backend, metrics) = open(&telling(&addr, version, tlvs));
        assert!(backend.introduces());
        // It comes without a byte of the client.
        let said = client();
        let (dedicated, accepted) = tokio::join!(backend.connect(None, &said), listener.accept());
        let (mut dedicated, mut stream) = (dedicated.unwrap(), accepted.unwrap().0);
        assert_eq!(heard(&mut stream).await, (expected.clone(), Vec::new()));
        dedicated.link.write_all(b"HELO").await.unwrap();
        let mut word = [0; 4];
        stream.read_exact(&mut word).await.unwrap();
        assert_eq!(&word, b"HELO");
        let line = "portunus_backend_proxy_tlvs_omitted_total{backend=\"app\"} 0";
        assert!(text(&metrics).contains(line));
    }
}

#[tokio::test]
async fn an_endpoint_that_is_told_nothing_hears_nothing() {
    let (listener, addr) = listening().await;
    let (backend, _) = backend(&[addr], Balance::P2c);
    assert!(!backend.introduces());
    let said = client();
    let (dedicated, accepted) = tokio::join!(backend.connect(None, &said), listener.accept());
    drop(dedicated.unwrap());
    let mut all = Vec::new();
    accepted.unwrap().0.read_to_end(&mut all).await.unwrap();
    assert!(all.is_empty(), "{all:?}");
}

#[tokio::test]
async fn what_has_no_room_is_left_out_and_counted() {
    let (listener, addr) = listening().await;
    let (backend, metrics) =
        open(&telling(&addr, ProxyVersion::V2, &[ProxyTlv::ClientCert, ProxyTlv::Authority]));
    let mut introduction = client();
    introduction.tls.as_mut().unwrap().certificate = Some(vec![0x30; 5000]);
    let (_dedicated, accepted) =
        tokio::join!(backend.connect(None, &introduction), listener.accept());
    let (told, rest) = heard(&mut accepted.unwrap().0).await;
    assert_eq!(told.tls.unwrap().certificate, None);
    assert_eq!(told.authority.as_deref(), Some("a.example"));
    assert!(rest.is_empty());
    let line = "portunus_backend_proxy_tlvs_omitted_total{backend=\"app\"} 1";
    assert!(text(&metrics).contains(line));
}

#[tokio::test]
async fn the_header_stands_before_tls() {
    let (listener, addr) = listening().await;
    let ca = DevelopmentCa::new(UnixTime::now()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ca.pem");
    std::fs::write(&path, ca.certificate_pem()).unwrap();
    let server_name = Some("a.example".try_into().unwrap());
    let tls = Some(BackendTls { ca: Some(path), server_name, ..BackendTls::default() });
    let config = config::Backend { tls, ..telling(&addr, ProxyVersion::V2, &[]) };
    let (backend, _) = open(&config);
    let accept = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let (told, mut rest) = heard(&mut stream).await;
        assert_eq!(told.ends, client().ends);
        while rest.is_empty() {
            stream.read_buf(&mut rest).await.unwrap();
        }
        assert_eq!(rest.first(), Some(&0x16), "a record of a handshake");
    };
    let introduction = client();
    let (connected, ()) = tokio::join!(backend.connect(None, &introduction), accept);
    connected.unwrap_err();
}

/// Two endpoints that hear a header, if one is sent, and greet with a refusal.
async fn refusals(send_proxy: Option<SendProxy>) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ca.pem");
    std::fs::write(&path, DevelopmentCa::new(UnixTime::now()).unwrap().certificate_pem()).unwrap();
    let starttls = Some(StarttlsProtocol::Smtp);
    let tls = Some(BackendTls { ca: Some(path), starttls, ..BackendTls::default() });
    let (one, other) = (listening().await, listening().await);
    let endpoints = [one.1, other.1];
    let config = config(&endpoints, Balance::RoundRobin);
    let config = config::Backend { tls, send_proxy, ..config };
    let (backend, metrics) = open(&config);
    let refuse = async |listener: &TcpListener| loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        if config.send_proxy.is_some() {
            heard(&mut stream).await;
        }
        stream.write_all(b"421 4.7.0 too many connections from you\r\n").await.unwrap();
        stream.shutdown().await.unwrap();
        // Until we are gone.
        let _ = stream.read_to_end(&mut Vec::new()).await;
    };
    let ask = async {
        for _ in 0..6 {
            let error = backend.connect(None, &client()).await.unwrap_err();
            assert_eq!(error.failure(), BackendFailure::Starttls);
        }
    };
    tokio::select! {
        () = refuse(&one.0) => {}
        () = refuse(&other.0) => {}
        () = ask => {}
    }
    text(&metrics)
}

#[tokio::test]
async fn a_client_that_is_unwelcome_has_no_endpoint_left_out() {
    let form = SendProxy { version: ProxyVersion::V2, tlvs: Vec::new() };
    let text = refusals(Some(form)).await;
    assert!(text.contains("portunus_backend_ejections_total{backend=\"app\"} 0"), "{text}");
    assert!(text.contains("portunus_backend_retries_total{backend=\"app\"} 0"), "{text}");
    let count = "portunus_backend_errors_total{backend=\"app\",reason=\"starttls\"} 6";
    assert!(text.contains(count), "{text}");
    let up = |line: &&str| line.starts_with("portunus_endpoint_up") && line.ends_with(" 1");
    assert_eq!(text.lines().filter(up).count(), 2, "{text}");
}

#[tokio::test]
async fn an_endpoint_that_refuses_whoever_comes_is_left_out() {
    let text = refusals(None).await;
    assert!(!text.contains("portunus_backend_ejections_total{backend=\"app\"} 0"), "{text}");
    assert!(!text.contains("portunus_backend_retries_total{backend=\"app\"} 0"), "{text}");
}

#[tokio::test]
async fn a_connection_that_belongs_to_no_client_says_so() {
    let (listener, addr) = listening().await;
    for version in [ProxyVersion::V1, ProxyVersion::V2] {
        let health = Health {
            check: HealthCheck::Tcp,
            interval: Duration::from_millis(1),
            timeout: Duration::from_secs(5),
            rise: 1,
            fall: 1,
        };
        let config =
            config::Backend { health: Some(health), ..telling(&addr, version, &[ProxyTlv::Ssl]) };
        let (backend, _) = open(&config);
        for checks in [true, false] {
            let reach = async {
                match checks {
                    true => drop(tokio::time::timeout(PATIENCE, backend.watch_health()).await),
                    false => drop(backend.lease(None, Speech::Any, Reuse::Allowed).await),
                }
            };
            let hear = async {
                let (mut stream, peer) = listener.accept().await.unwrap();
                (heard(&mut stream).await.0, peer)
            };
            let (told, peer) = tokio::select! {
                heard = hear => heard,
                () = async { reach.await; std::future::pending::<()>().await } => unreachable!(),
            };
            let expected = match version {
                ProxyVersion::V1 => {
                    Ends::Tcp { source: peer, destination: listener.local_addr().unwrap() }
                }
                ProxyVersion::V2 => Ends::Local,
            };
            assert_eq!(told, Introduction::of(expected));
        }
    }
}

const PATIENCE: Duration = Duration::from_secs(10);

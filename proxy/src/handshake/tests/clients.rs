//! Clients that show a certificate, or none, or a bad one; and sessions, which must not help them.

use rustls::client::{
    ClientSessionMemoryCache, ClientSessionStore, Tls12ClientSessionValue, Tls13ClientSessionValue,
};
use rustls::{AlertDescription, Error, NamedGroup};

use super::*;
use crate::log::Chain;
use crate::metrics::HandshakeKind;
use crate::outcome::HandshakeFailure;

#[tokio::test]
async fn a_client_with_a_good_certificate_is_known_by_its_fingerprint() {
    let bench = Bench::new();
    let good = bench.good();
    let der = CertificateDer::from_pem_slice(good.chain_pem.as_bytes()).unwrap();
    for version in VERSIONS {
        for name in ["a.example", "deep.a.example", "c.example"] {
            let config = bench.client(version, Some(&good));
            let (facts, heard) = bench.connect(name, config).await;
            let client = facts.unwrap().client.unwrap();
            assert_eq!(client.chain(), std::slice::from_ref(&der), "{name}");
            assert_eq!(client.fingerprint().len(), 64);
            assert_eq!(heard, Ok(()));
        }
        // Nobody asks.
        let config = bench.client(version, Some(&good));
        let (facts, _) = bench.connect("b.example", config).await;
        assert!(facts.unwrap().client.is_none());
    }
}

#[tokio::test]
async fn a_client_without_a_certificate_gets_no_further_than_its_site_allows() {
    let bench = Bench::new();
    for (version, alert) in [
        (&version::TLS12, AlertDescription::CertificateRequired),
        (&version::TLS13, AlertDescription::CertificateRequired),
    ] {
        let (facts, heard) = bench.connect("a.example", bench.client(version, None)).await;
        let error = facts.unwrap_err();
        assert_eq!(error.failure(), HandshakeFailure::ClientCertMissing);
        assert_eq!(error.profile().server_name.as_deref(), Some("a.example"));
        let words = Chain(&error).to_string();
        assert!(words.contains("no certificate"), "{words}");
        assert_eq!(heard, Err(Error::AlertReceived(alert)), "{version:?}");
        for name in ["b.example", "c.example"] {
            let (facts, _) = bench.connect(name, bench.client(version, None)).await;
            assert!(facts.unwrap().client.is_none(), "{name}");
        }
    }
}

#[tokio::test]
async fn a_client_of_another_authority_is_told_so_even_where_it_need_not_show_anything() {
    let bench = Bench::new();
    let now = UnixTime::now();
    let stranger = DevelopmentCa::new(now).unwrap().issue_client("someone", now).unwrap();
    for version in VERSIONS {
        for name in ["a.example", "c.example"] {
            let config = bench.client(version, Some(&stranger));
            let (facts, heard) = bench.connect(name, config).await;
            let error = facts.unwrap_err();
            assert_eq!(error.failure(), HandshakeFailure::ClientCertUnknownIssuer, "{name}");
            let words = Chain(&error).to_string();
            assert!(words.contains("invalid peer certificate: UnknownIssuer"), "{words}");
            assert_eq!(heard, Err(Error::AlertReceived(AlertDescription::UnknownCA)));
        }
    }
}

#[tokio::test]
async fn a_certificate_that_is_not_for_clients_is_refused() {
    let bench = Bench::new();
    let server = bench.authority.issue(&["a.example"], UnixTime::now()).unwrap();
    for version in VERSIONS {
        let config = bench.client(version, Some(&server));
        let (facts, heard) = bench.connect("a.example", config).await;
        assert_eq!(facts.unwrap_err().failure(), HandshakeFailure::ClientCertPurpose);
        let alert = AlertDescription::UnsupportedCertificate;
        assert_eq!(heard, Err(Error::AlertReceived(alert)));
    }
}

#[tokio::test]
async fn a_client_that_names_nobody_is_under_the_policy_of_the_first_site() {
    let bench = Bench::new();
    let good = bench.good();
    for version in VERSIONS {
        let nameless = |own| {
            let mut config = bench.client(version, own);
            config.enable_sni = false;
            config
        };
        let (facts, _) = bench.connect("b.example", nameless(None)).await;
        assert_eq!(facts.unwrap_err().failure(), HandshakeFailure::ClientCertMissing);
        let (facts, _) = bench.connect("b.example", nameless(Some(&good))).await;
        let facts = facts.unwrap();
        assert!(facts.server_name.is_none() && facts.client.is_some());
    }
}

/// Remembers sessions without the name of the server that they belong to, which no good client
/// does.
#[derive(Debug)]
struct Nameless(ClientSessionMemoryCache);

fn anyone() -> ServerName<'static> {
    ServerName::try_from("anyone").unwrap()
}

impl ClientSessionStore for Nameless {
    fn set_kx_hint(&self, _: ServerName<'static>, group: NamedGroup) {
        self.0.set_kx_hint(anyone(), group);
    }

    fn kx_hint(&self, _: &ServerName<'_>) -> Option<NamedGroup> {
        self.0.kx_hint(&anyone())
    }

    fn set_tls12_session(&self, _: ServerName<'static>, value: Tls12ClientSessionValue) {
        self.0.set_tls12_session(anyone(), value);
    }

    fn tls12_session(&self, _: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        self.0.tls12_session(&anyone())
    }

    fn remove_tls12_session(&self, _: &ServerName<'static>) {
        self.0.remove_tls12_session(&anyone());
    }

    fn insert_tls13_ticket(&self, _: ServerName<'static>, value: Tls13ClientSessionValue) {
        self.0.insert_tls13_ticket(anyone(), value);
    }

    fn take_tls13_ticket(&self, _: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        self.0.take_tls13_ticket(&anyone())
    }
}

#[tokio::test]
async fn a_session_is_neither_made_nor_resumed_where_clients_are_authenticated() {
    let bench = Bench::new();
    let good = bench.good();
    for version in VERSIONS {
        for own in [None, Some(&good)] {
            let mut config = bench.client(version, own);
            config.resumption =
                Resumption::store(Arc::new(Nameless(ClientSessionMemoryCache::new(8))));
            let kind = async |name| bench.connect(name, config.clone()).await.0.map(|f| f.kind);
            // That sessions are offered at all is shown where they may be resumed.
            assert_eq!(kind("b.example").await.unwrap(), HandshakeKind::Full);
            assert_ne!(kind("b.example").await.unwrap(), HandshakeKind::Full);
            for name in ["c.example", "a.example"] {
                match (own, kind(name).await) {
                    (None, Err(error)) => {
                        assert_eq!((name, error.failure()), MISSING);
                    }
                    (_, kind) => assert_eq!(kind.unwrap(), HandshakeKind::Full, "{name}"),
                }
                // Nor did that handshake leave anything to be resumed.
                if let Ok(kind) = kind(name).await {
                    assert_eq!(kind, HandshakeKind::Full, "{name}");
                }
            }
        }
    }
}

const MISSING: (&str, HandshakeFailure) = ("a.example", HandshakeFailure::ClientCertMissing);

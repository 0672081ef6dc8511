//! Handshakes in memory: what the server's half costs, without sockets.
//!
//! Owns a batch of connections that go through their flights in step, so that the clock is read
//! around the server's share of many handshakes and never within one. The server is put together
//! as the product does it, from `portunus-certs` and rustls: AES-128 first, one ticket, and a
//! session store of its own for each connection.

mod measure;

use std::sync::Arc;

use portunus_certs::session::memory::{Options, SessionCache};
use portunus_certs::session::{ContextFields, ScopedStore, SiteContext};
use portunus_certs::store::{CertificateStore, StoreOptions};
use portunus_certs::{Credential, DevelopmentCa, HostName, KeyChoice, Offer};
use rustls::client::{Resumption, Tls12Resumption};
use rustls::crypto::aws_lc_rs::{cipher_suite, default_provider, kx_group};
use rustls::crypto::{CryptoProvider, SupportedKxGroup};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ResolvesServerCert;
use rustls::sign::CertifiedKey;
use rustls::{
    CipherSuite, ClientConfig, ClientConnection, ConnectionCommon, HandshakeKind, ProtocolVersion,
    RootCertStore, ServerConfig, ServerConnection, SideData, SignatureScheme,
    SupportedProtocolVersion, version,
};

use measure::{cpu, run};

fn main() {
    let ecdsa = Bench::new(KeyChoice::EcdsaP256);
    let rsa = Bench::new(KeyChoice::Rsa2048);
    let (tls12, tls13) = (&version::TLS12, &version::TLS13);
    let (x25519, hybrid) = (kx_group::X25519, kx_group::X25519MLKEM768);
    let full = HandshakeKind::Full;
    let resumed = HandshakeKind::Resumed;
    ecdsa.run("handshake/full/tls13/ecdsa", tls13, x25519, full);
    ecdsa.run("handshake/full/tls13/ecdsa_mlkem", tls13, hybrid, full);
    rsa.run("handshake/full/tls13/rsa", tls13, x25519, full);
    ecdsa.run("handshake/full/tls12/ecdsa", tls12, x25519, full);
    ecdsa.run("handshake/stateful/tls13", tls13, x25519, resumed);
    ecdsa.run("handshake/session_id/tls12", tls12, x25519, resumed);
}

/// A site with one certificate.
struct Bench {
    authority: CertificateDer<'static>,
    credential: Arc<Credential>,
    template: ServerConfig,
    sessions: Arc<SessionCache>,
    site: SiteContext,
}

impl Bench {
    fn new(key: KeyChoice) -> Self {
        let now = UnixTime::now();
        let seconds = i64::try_from(now.as_secs()).expect("a date of this age");
        let folder = tempfile::tempdir().expect("a temporary folder");
        let ca = DevelopmentCa::new(now).expect("an authority");
        ca.issue_with(&[NAME], key, seconds - 3_600, seconds + 86_400)
            .and_then(|issued| issued.write(folder.path(), "leaf"))
            .expect("a certificate");
        let provider =
            Arc::new(CryptoProvider { cipher_suites: SUITES.to_vec(), ..default_provider() });
        let options = StoreOptions {
            paths: vec![folder.path().to_owned()],
            strict_permissions: false,
            provider: Arc::clone(&provider),
        };
        let (store, _) = CertificateStore::open(options, now);
        let name = HostName::parse(NAME).expect("a well-formed name");
        let credential =
            Arc::clone(store.load().select(Some(&name), &OFFER).expect("a credential"));
        let mut template = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("the provider has suites of both versions")
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(One(Arc::clone(credential.key()))));
        template.ignore_client_order = true;
        template.send_tls13_tickets = 1;
        let site = SiteContext::new(&ContextFields {
            listener_class: "tls",
            listener: "bench",
            site: "",
            min_version: ProtocolVersion::TLSv1_2,
            alpn: &[],
            client_auth: None,
        });
        Self {
            authority: CertificateDer::from_pem_slice(ca.certificate_pem().as_bytes())
                .expect("the authority is PEM"),
            credential,
            template,
            sessions: Arc::new(SessionCache::new(Options::default())),
            site,
        }
    }

    fn run(
        &self,
        name: &str,
        version: &'static SupportedProtocolVersion,
        group: &'static dyn SupportedKxGroup,
        kind: HandshakeKind,
    ) {
        let clients: Vec<_> = (0..BATCH)
            .map(|_| self.client(version, group, kind == HandshakeKind::Resumed))
            .collect();
        // The first sample of the measurement is not told, and is where sessions come from.
        let mut expected = HandshakeKind::Full;
        run(name, BATCH, || self.batch(&clients, std::mem::replace(&mut expected, kind)));
    }

    /// One handshake of each client; returns what the server spent on all.
    fn batch(&self, configs: &[Arc<ClientConfig>], expected: HandshakeKind) -> u64 {
        let name = ServerName::try_from(NAME).expect("a well-formed name");
        let mut clients: Vec<_> = configs
            .iter()
            .map(|config| ClientConnection::new(Arc::clone(config), name.clone()))
            .collect::<Result<_, _>>()
            .expect("a client");
        let mut servers = Vec::with_capacity(BATCH);
        let mut wires = vec![Vec::new(); BATCH];
        let mut spent = cpu(|| servers.extend((0..BATCH).map(|_| self.server())));
        for _ in 0..FLIGHTS {
            clients.iter_mut().zip(&mut wires).for_each(|(client, wire)| step(client, wire));
            spent += cpu(|| {
                servers.iter_mut().zip(&mut wires).for_each(|(server, wire)| step(server, wire));
            });
        }
        clients.iter_mut().zip(&mut wires).for_each(|(client, wire)| step(client, wire));
        for (client, server) in clients.iter().zip(&servers) {
            assert_eq!(server.handshake_kind(), Some(expected), "another kind of handshake");
            assert!(!client.is_handshaking() && !server.is_handshaking(), "not finished");
        }
        spent
    }

    /// A connection as the product makes it for each client.
    fn server(&self) -> ServerConnection {
        let mut config = self.template.clone();
        let context = self.site.with_credential(&self.credential);
        config.session_storage = Arc::new(ScopedStore::new(Arc::clone(&self.sessions), context));
        ServerConnection::new(Arc::new(config)).expect("a server")
    }

    fn client(
        &self,
        version: &'static SupportedProtocolVersion,
        group: &'static dyn SupportedKxGroup,
        resumption: bool,
    ) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.authority.clone()).expect("an authority");
        // TLS 1.2 wants the curve of the certificate among the groups.
        let kx_groups = vec![group, kx_group::SECP256R1];
        let provider = CryptoProvider { kx_groups, ..default_provider() };
        let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(&[version])
            .expect("the provider has suites of this version")
            .with_root_certificates(roots)
            .with_no_client_auth();
        // What is measured is the handshake, not how often a compressed certificate is kept.
        config.cert_decompressors.clear();
        config.resumption = if resumption {
            Resumption::in_memory_sessions(8).tls12_resumption(Tls12Resumption::SessionIdOnly)
        } else {
            Resumption::disabled()
        };
        Arc::new(config)
    }
}

/// Takes what is on the wire, and leaves there what comes of it.
fn step<Data: SideData>(connection: &mut ConnectionCommon<Data>, wire: &mut Vec<u8>) {
    let mut incoming = wire.as_slice();
    while !incoming.is_empty() {
        connection.read_tls(&mut incoming).expect("memory does not fail");
        connection.process_new_packets().expect("both sides speak TLS");
    }
    wire.clear();
    while connection.wants_write() {
        connection.write_tls(wire).expect("memory does not fail");
    }
}

/// The one certificate.
#[derive(Debug)]
struct One(Arc<CertifiedKey>);

impl ResolvesServerCert for One {
    fn resolve(&self, _: rustls::server::ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}

const NAME: &str = "bench.test";

/// Handshakes in a sample.
const BATCH: usize = 100;

/// Flights of a client: its hello and its last word.
const FLIGHTS: usize = 2;

const SUITES: [rustls::SupportedCipherSuite; 3] = [
    cipher_suite::TLS13_AES_128_GCM_SHA256,
    cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    cipher_suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
];

const OFFER: Offer<'_> = Offer {
    signature_schemes: &[SignatureScheme::ECDSA_NISTP256_SHA256, SignatureScheme::RSA_PSS_SHA256],
    cipher_suites: &[CipherSuite::TLS13_AES_128_GCM_SHA256],
};

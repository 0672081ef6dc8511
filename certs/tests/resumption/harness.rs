//! Two ends of a connection in memory, with the server end built as the proxy builds it.

use std::io::{Read, Write};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use portunus_certs::{
    CertificateStore, Chosen, ContextFields, Credential, DevelopmentCa, HostName, Issued, Offer,
    ScopedStore, SessionCache, SessionOptions, SiteContext, StoreOptions,
};
use rustls::client::Resumption;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::{StoresServerSessions, WebPkiClientVerifier};
use rustls::{
    ClientConfig, ClientConnection, HandshakeKind, ProtocolVersion, RootCertStore, ServerConfig,
    ServerConnection, SupportedProtocolVersion, version,
};

pub(crate) const VERSIONS: [&SupportedProtocolVersion; 2] = [&version::TLS13, &version::TLS12];
pub(crate) const NAMES: [&str; 2] = ["a.example", "b.example"];
pub(crate) struct World {
    pub(crate) authority: DevelopmentCa,
    pub(crate) store: CertificateStore,
    pub(crate) folder: tempfile::TempDir,
    pub(crate) cache: Arc<SessionCache>,
}

impl World {
    pub(crate) fn new() -> Self {
        let authority = DevelopmentCa::new(UnixTime::now()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let issued = authority.issue(&NAMES, UnixTime::now()).unwrap();
        issued.write(folder.path(), "site").unwrap();
        let (store, report) =
            CertificateStore::open(options(folder.path().into()), UnixTime::now());
        assert_eq!(report.loaded, 1, "{report:?}");
        let cache = Arc::new(SessionCache::new(SessionOptions::default()));
        Self { authority, store, folder, cache }
    }

    pub(crate) fn credential(&self) -> Arc<Credential> {
        let schemes = [rustls::SignatureScheme::ECDSA_NISTP256_SHA256];
        let suites = [rustls::CipherSuite::TLS13_AES_128_GCM_SHA256];
        let offer = Offer { signature_schemes: &schemes, cipher_suites: &suites };
        let name = HostName::parse("a.example").unwrap();
        Arc::clone(self.store.load().select(Some(&name), &offer).unwrap())
    }

    fn roots(&self) -> Arc<RootCertStore> {
        let mut roots = RootCertStore::empty();
        let pem = self.authority.certificate_pem().as_bytes();
        roots.add(CertificateDer::from_pem_slice(pem).unwrap()).unwrap();
        Arc::new(roots)
    }

    /// A client that keeps its sessions from one connection to the next.
    pub(crate) fn client(&self, version: &'static SupportedProtocolVersion) -> ClientConfig {
        let mut config = self.client_builder(version).with_no_client_auth();
        config.resumption = Resumption::in_memory_sessions(64);
        config
    }

    pub(crate) fn client_with(
        &self,
        version: &'static SupportedProtocolVersion,
        own: &Issued,
    ) -> ClientConfig {
        let chain = vec![CertificateDer::from_pem_slice(own.chain_pem.as_bytes()).unwrap()];
        let key = PrivateKeyDer::from_pem_slice(own.key_pem.as_bytes()).unwrap();
        self.client_builder(version).with_client_auth_cert(chain, key).unwrap()
    }

    fn client_builder(
        &self,
        version: &'static SupportedProtocolVersion,
    ) -> rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert> {
        ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(self.roots())
    }

    /// What a connection to `site` gets, as the proxy builds it.
    pub(crate) fn server(&self, site: &Site<'_>) -> ServerConfig {
        let builder = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&VERSIONS)
            .unwrap();
        let builder = match site.fields.client_auth {
            None => builder.with_no_client_auth(),
            Some(_) => builder.with_client_cert_verifier(
                WebPkiClientVerifier::builder_with_provider(self.roots(), provider())
                    .build()
                    .unwrap(),
            ),
        };
        let credential = self.credential();
        let mut config = builder.with_cert_resolver(Arc::new(Chosen(Arc::clone(credential.key()))));
        let context = SiteContext::new(&site.fields).with_credential(&credential);
        let store = ScopedStore::new(Arc::clone(&self.cache), context);
        config.session_storage = Arc::new(Spy { store, calls: Arc::clone(&site.calls) });
        config.send_tls13_tickets = 1;
        config
    }
}

pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

pub(crate) fn options(path: PathBuf) -> StoreOptions {
    StoreOptions { paths: vec![path], strict_permissions: true, provider: provider() }
}

/// A site as the configuration describes it, and what its store was asked.
#[derive(Clone)]
pub(crate) struct Site<'a> {
    pub(crate) fields: ContextFields<'a>,
    pub(crate) calls: Arc<Mutex<Vec<&'static str>>>,
}

pub(crate) fn site() -> Site<'static> {
    Site {
        fields: ContextFields {
            listener_class: "tls",
            listener: "https",
            site: "a.example",
            min_version: ProtocolVersion::TLSv1_2,
            alpn: &[],
            client_auth: None,
        },
        calls: Arc::default(),
    }
}

/// Notes what rustls asks of the store.
#[derive(Debug)]
pub(crate) struct Spy {
    pub(crate) store: ScopedStore,
    pub(crate) calls: Arc<Mutex<Vec<&'static str>>>,
}

impl StoresServerSessions for Spy {
    fn put(&self, key: Vec<u8>, value: Vec<u8>) -> bool {
        self.calls.lock().unwrap().push("put");
        self.store.put(key, value)
    }
    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.calls.lock().unwrap().push("get");
        self.store.get(key)
    }
    fn take(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.calls.lock().unwrap().push("take");
        self.store.take(key)
    }
    fn can_cache(&self) -> bool {
        self.store.can_cache()
    }
}

/// One whole connection: handshake, a byte each way so that tickets arrive, and the end.
pub(crate) fn connect(
    client: &ClientConfig,
    server: ServerConfig,
    name: &'static str,
) -> HandshakeKind {
    try_connect(client, server, name).unwrap()
}

pub(crate) fn try_connect(
    client: &ClientConfig,
    server: ServerConfig,
    name: &'static str,
) -> Result<HandshakeKind, rustls::Error> {
    let name = ServerName::try_from(name).unwrap();
    let mut client = ClientConnection::new(Arc::new(client.clone()), name).unwrap();
    let mut server = ServerConnection::new(Arc::new(server)).unwrap();
    client.writer().write_all(b"?").unwrap();
    server.writer().write_all(b"!").unwrap();
    for _ in 0..10 {
        let mut wire = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut wire).unwrap();
        }
        feed(&wire, |bytes| server.read_tls(bytes));
        server.process_new_packets()?;
        let mut wire = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut wire).unwrap();
        }
        feed(&wire, |bytes| client.read_tls(bytes));
        client.process_new_packets()?;
    }
    let mut byte = [0];
    client.reader().read_exact(&mut byte).unwrap();
    server.reader().read_exact(&mut byte).unwrap();
    Ok(server.handshake_kind().unwrap())
}

fn feed(mut wire: &[u8], mut read: impl FnMut(&mut dyn Read) -> std::io::Result<usize>) {
    while !wire.is_empty() {
        read(&mut wire).unwrap();
    }
}

pub(crate) fn resumed(kind: HandshakeKind) -> bool {
    kind == HandshakeKind::Resumed
}

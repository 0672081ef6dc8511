//! Handshakes from the first byte to the facts, with clients that rustls plays and clients that are
//! written byte by byte.
//!
//! Three sites: `a.example` requires a certificate, `b.example` wants none, `c.example` takes one.

mod clients;
mod costs;
mod hellos;
mod introductions;
mod offers;
mod passing;
mod starttls;

use std::future::poll_fn;
use std::sync::Arc;

use portunus_certs::client_auth::{ClientAuth, ClientAuthOptions};
use portunus_certs::issue::{DevelopmentCa, Issued};
use portunus_certs::session::memory::{Options, SessionCache};
use portunus_certs::store::{CertificateStore, StoreOptions};
use portunus_certs::tickets::{RingOptions, TicketKeys};
use rustls::client::Resumption;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, RootCertStore, SupportedProtocolVersion, version};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::time::Instant;

use super::policy::{Means, Policy};
use super::sites::Sites;
use super::{Arrival, Established, Facts, HandshakeError, Start, establish, resume};
use crate::config::{Config, ResumptionMode};
use crate::limit::{Admission, Bill, HandshakeLimit};
use crate::metrics::{Meter, Metrics};
use crate::net::Socket;

const SITES: &str = "[listener.web]\nlisten = ['[::]:1']\n\
    [[listener.web.site]]\nhosts = ['a.example', '*.a.example']\nbackend = 'b'\n\
    client_auth.ca = 'clients.pem'\n\
    [[listener.web.site]]\nhosts = ['b.example']\nbackend = 'b'\n\
    [[listener.web.site]]\nhosts = ['c.example']\nbackend = 'b'\n\
    client_auth = { ca = 'clients.pem', mode = 'request' }\n\
    [backend.b]\nendpoints = ['h:1']\n";

const VERSIONS: [&SupportedProtocolVersion; 2] = [&version::TLS12, &version::TLS13];

/// A listener, and the authority of its clients.
struct Bench {
    policy: Policy,
    config: Config,
    metrics: Metrics,
    /// Of servers and clients alike.
    authority: DevelopmentCa,
    _folder: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        Self::of(SITES)
    }

    /// The first listener of the configuration that `text` is.
    fn of(text: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = Config::parse(text, "config.toml", folder.path()).unwrap();
        let now = UnixTime::now();
        let authority = DevelopmentCa::new(now).unwrap();
        let names = ["a.example", "*.a.example", "b.example", "c.example"];
        let issued = authority.issue(&names, now).unwrap();
        issued.write(&config.certificates.paths[0], "web").unwrap();
        std::fs::write(folder.path().join("clients.pem"), authority.certificate_pem()).unwrap();
        let (certificates, _) = CertificateStore::open(
            StoreOptions {
                paths: config.certificates.paths.clone(),
                strict_permissions: false,
                provider: provider(),
            },
            now,
        );
        let client_auths = config.client_auths.iter().map(|auth| {
            let options = ClientAuthOptions {
                demand: auth.demand,
                ca: auth.ca.clone(),
                crls: auth.crls.clone(),
                crl_depth: auth.crl_depth,
                bounds: config.limits.client_chain,
                provider: provider(),
            };
            Arc::new(ClientAuth::open(options, now).unwrap().0)
        });
        let client_auths: Vec<_> = client_auths.collect();
        let resumption = &config.resumption;
        let sessions = Arc::new(SessionCache::new(Options {
            bytes_max: resumption.memory,
            entry_bytes_max: resumption.session_bytes_max,
            lifetime: resumption.lifetime,
        }));
        let listener = &config.listeners[0];
        let clock = Arc::new(rustls::time_provider::DefaultTimeProvider);
        let tickets = TicketKeys::local(RingOptions::default(), clock).unwrap();
        let means = Means {
            certificates: &Arc::new(certificates),
            client_auths: &client_auths,
            client_auth_configs: &config.client_auths,
            resumption: resume::Resumption {
                mode: resumption.mode,
                sessions,
                shared: None,
                tickets: (resumption.mode == ResumptionMode::Tickets).then(|| Arc::new(tickets)),
            },
        };
        let policy = Policy::new(listener, Arc::new(Sites::new(&listener.sites)), means).unwrap();
        Self { policy, config, metrics: Metrics::new(), authority, _folder: folder }
    }

    /// A configuration for a client that trusts the server, and shows `own` if it is asked.
    fn client(
        &self,
        version: &'static SupportedProtocolVersion,
        own: Option<&Issued>,
    ) -> ClientConfig {
        self.client_of(provider(), version, own)
    }

    /// The same with what `provider` can.
    fn client_of(
        &self,
        provider: Arc<CryptoProvider>,
        version: &'static SupportedProtocolVersion,
        own: Option<&Issued>,
    ) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        let authority = self.authority.certificate_pem().as_bytes();
        roots.add(CertificateDer::from_pem_slice(authority).unwrap()).unwrap();
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match own {
            None => builder.with_no_client_auth(),
            Some(own) => {
                let chain = CertificateDer::from_pem_slice(own.chain_pem.as_bytes()).unwrap();
                let key = PrivateKeyDer::from_pem_slice(own.key_pem.as_bytes()).unwrap();
                builder.with_client_auth_cert(vec![chain], key).unwrap()
            }
        };
        config.resumption = Resumption::disabled();
        config
    }

    /// A certificate for a client, from the authority that is trusted.
    fn good(&self) -> Issued {
        self.authority.issue_client("someone", UnixTime::now()).unwrap()
    }

    /// What the handshake on `socket` comes to; then the connection ends.
    async fn serve(&self, socket: UnixStream) -> Result<Facts, HandshakeError> {
        let Arrival::Established(Established { mut stream, facts }) =
            self.meet(socket, Bill::default()).await?
        else {
            unreachable!("no site passes anything through");
        };
        poll_fn(|cx| stream.poll_flush(cx)).await.unwrap();
        Ok(facts)
    }

    /// What the ClientHello on `socket` comes to, if its client pays this `bill`.
    async fn meet(&self, socket: UnixStream, bill: Bill) -> Result<Arrival, HandshakeError> {
        let meter = Arc::new(Meter::new(&self.metrics.listener("web").bytes));
        let limits = &self.config.limits;
        let socket = Socket::Unix(socket);
        let start = Start { socket, early: Vec::new(), protocol: None, at: Instant::now() };
        let gauge = self.metrics.process().handshakes_pending;
        let permit = HandshakeLimit::new(9, 9, gauge).admit(None).unwrap();
        let mut admission = Admission::new(permit, bill);
        let establish = establish(start, || &self.policy, limits, &mut admission, meter);
        Box::pin(establish).await
    }

    /// What the server and the client make of a connection to `name`.
    async fn connect(
        &self,
        name: &'static str,
        config: ClientConfig,
    ) -> (Result<Facts, HandshakeError>, Result<(), rustls::Error>) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let name = ServerName::try_from(name).unwrap();
        let client = ClientConnection::new(Arc::new(config), name).unwrap();
        tokio::join!(Box::pin(self.serve(ours)), Box::pin(talk(theirs, client)))
    }
}

/// Plays the client until the server closes the connection.
async fn talk(mut socket: UnixStream, mut tls: ClientConnection) -> Result<(), rustls::Error> {
    loop {
        while tls.wants_write() {
            let mut words = Vec::new();
            tls.write_tls(&mut words).unwrap();
            // A server that has refused us has closed already, and what it said is still there.
            let _ = socket.write_all(&words).await;
        }
        let mut buf = [0; 4096];
        let count = socket.read(&mut buf).await.unwrap_or(0);
        if count == 0 {
            return Ok(());
        }
        let mut bytes = &buf[..count];
        while !bytes.is_empty() {
            tls.read_tls(&mut bytes).unwrap();
            tls.process_new_packets()?;
        }
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

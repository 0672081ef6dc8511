//! What a client gets: the site, the certificate and the TLS configuration of its connection.
//!
//! Owns the TLS half of a listener, built once, and the choice made for each ClientHello from one
//! certificate index that is loaded once, so that a reload is seen whole or not at all. A name that
//! is not served is refused, never answered with another site's policy. Sessions reach rustls only
//! through a store bound to the site's context. Refuses to know backends. Read next: `tls`.

use std::sync::Arc;

use portunus_certs::name::{HostName, NamePattern};
use portunus_certs::resolver::{Chosen, Offer};
use portunus_certs::session::memory::SessionCache;
use portunus_certs::session::{ContextFields, ScopedStore, SiteContext};
use portunus_certs::store::CertificateStore;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::{NoServerSessionStorage, ResolvesServerCertUsingSni};
use rustls::{CipherSuite, ProtocolVersion, ServerConfig, SupportedProtocolVersion, version};

use crate::config::{self, Mode, NoSni, ResumptionMode, TlsVersion};
use crate::outcome::HandshakeFailure;

use super::hello::Hello;
use super::refusal::fatal_alert;
use super::sites::{SiteId, Sites};

/// The TLS half of a listener.
#[derive(Debug)]
pub struct Policy {
    sites: Arc<Sites>,
    no_sni: NoSni,
    certificates: Arc<CertificateStore>,
    templates: Templates,
    sessions: Option<Arc<SessionCache>>,
    /// In the order of the sites; one where there are none.
    contexts: Vec<SiteContext>,
    /// A name of the first site, for clients that name nobody.
    first_name: Option<HostName>,
}

/// A configuration for each order of cipher suites.
#[derive(Debug)]
struct Templates {
    aes_first: Arc<ServerConfig>,
    chacha_first: Arc<ServerConfig>,
}

/// What one client gets.
#[derive(Debug)]
pub struct Choice {
    /// The site that the client asked for.
    pub site: SiteId,
    /// Everything that rustls needs for this one connection.
    pub config: Arc<ServerConfig>,
}

impl Policy {
    /// The policy of `listener`. Sessions are kept in `sessions` unless resumption is off.
    pub fn new(
        listener: &config::Listener,
        sites: Arc<Sites>,
        certificates: Arc<CertificateStore>,
        mode: ResumptionMode,
        sessions: &Arc<SessionCache>,
    ) -> Result<Self, rustls::Error> {
        let templates = Templates {
            aes_first: template(listener, mode, provider(AES_FIRST))?,
            chacha_first: template(listener, mode, provider(CHACHA_FIRST))?,
        };
        let named: &[config::Site] = match &listener.sites {
            config::Sites::Any(_) => &[],
            config::Sites::Named(sites) => sites,
        };
        let contexts = match named {
            [] => vec![context(listener, &[])],
            sites => sites.iter().map(|site| context(listener, &site.hosts)).collect(),
        };
        let first_name = named.first().into_iter().flat_map(|site| &site.hosts);
        let first_name = first_name.filter_map(exact).next();
        let sessions = match mode {
            ResumptionMode::Off => None,
            ResumptionMode::Stateful => Some(Arc::clone(sessions)),
        };
        let no_sni = listener.no_sni;
        Ok(Self { sites, no_sni, certificates, templates, sessions, contexts, first_name })
    }

    /// Chooses for the client that sent `hello`.
    pub fn choose(&self, hello: &Hello) -> Result<Choice, Refused> {
        let client = hello.client();
        let name = hello.server_name();
        let site = match &name {
            Some(name) => self.sites.of_name(name).ok_or(Refused::UnknownName)?,
            None if hello.has_server_name() => return Err(Refused::UnknownName),
            None => match self.no_sni {
                NoSni::Default => SiteId::FIRST,
                NoSni::Reject => return Err(Refused::NoName),
            },
        };
        let suites = client.cipher_suites();
        let offer = Offer { signature_schemes: client.signature_schemes(), cipher_suites: suites };
        let index = self.certificates.load();
        let credential = match &name {
            Some(name) => index.select(Some(name), &offer),
            None => self
                .first_name
                .as_ref()
                .and_then(|name| index.select(Some(name), &offer))
                .or_else(|| index.default_credential(&offer)),
        };
        // Where certificates say what is served, a name without one is not.
        let refused = match &name {
            Some(_) if self.sites.is_any() => Refused::UnknownName,
            _ => Refused::NoCertificate,
        };
        let credential = credential.ok_or(refused)?;
        let template = match suites.iter().find(|suite| is_first_choice(**suite)) {
            Some(CipherSuite::TLS13_CHACHA20_POLY1305_SHA256) => &self.templates.chacha_first,
            _ => &self.templates.aes_first,
        };
        let mut config = ServerConfig::clone(template);
        config.cert_resolver = Arc::new(Chosen(Arc::clone(credential.key())));
        if let (Some(sessions), Some(context)) = (&self.sessions, self.contexts.get(site.index())) {
            let context = context.with_credential(credential);
            config.session_storage = Arc::new(ScopedStore::new(Arc::clone(sessions), context));
        }
        Ok(Choice { site, config: Arc::new(config) })
    }
}

/// Whether a suite says what hardware the client has; TLS 1.2 clients are served AES first.
fn is_first_choice(suite: CipherSuite) -> bool {
    matches!(
        suite,
        CipherSuite::TLS13_AES_128_GCM_SHA256
            | CipherSuite::TLS13_AES_256_GCM_SHA384
            | CipherSuite::TLS13_CHACHA20_POLY1305_SHA256
    )
}

/// What sessions of a site are bound to: none is resumed where any of this differs.
fn context(listener: &config::Listener, hosts: &[NamePattern]) -> SiteContext {
    let mut names: Vec<_> = hosts.iter().map(ToString::to_string).collect();
    names.sort_unstable();
    SiteContext::new(&ContextFields {
        listener_class: "tls",
        listener: &listener.name,
        site: &names.join(" "),
        min_version: match listener.tls_version_min {
            TlsVersion::V1_2 => ProtocolVersion::TLSv1_2,
            TlsVersion::V1_3 => ProtocolVersion::TLSv1_3,
        },
        alpn: &alpn(listener.mode),
        client_auth: None,
    })
}

fn exact(pattern: &NamePattern) -> Option<HostName> {
    match pattern {
        NamePattern::Exact(name) => Some(name.clone()),
        NamePattern::Wildcard(_) => None,
    }
}

/// What both protocols are called in ALPN, the better one first (RFC 7301, RFC 9113 §3.1).
fn alpn(mode: Mode) -> Vec<Vec<u8>> {
    match mode {
        Mode::Http => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
        Mode::Tcp => Vec::new(),
    }
}

fn template(
    listener: &config::Listener,
    mode: ResumptionMode,
    provider: CryptoProvider,
) -> Result<Arc<ServerConfig>, rustls::Error> {
    let versions: &[&SupportedProtocolVersion] = match listener.tls_version_min {
        TlsVersion::V1_2 => &[&version::TLS13, &version::TLS12],
        TlsVersion::V1_3 => &[&version::TLS13],
    };
    let mut config = ServerConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(versions)?
        .with_no_client_auth()
        // Replaced for each connection; nobody is served by the template itself.
        .with_cert_resolver(Arc::new(ResolvesServerCertUsingSni::new()));
    config.alpn_protocols = alpn(listener.mode);
    config.ignore_client_order = true;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    // A ticket is used once, and the connection that uses it gets the next one.
    config.send_tls13_tickets = match mode {
        ResumptionMode::Off => 0,
        ResumptionMode::Stateful => 1,
    };
    Ok(Arc::new(config))
}

/// The provider with its suites in `order`. Groups are an allow-list, not an order: rustls takes
/// the first of the client's list that is there.
fn provider(order: [CipherSuite; 9]) -> CryptoProvider {
    let mut provider = aws_lc_rs::default_provider();
    let place = |suite| order.iter().position(|other| *other == suite).unwrap_or(order.len());
    provider.cipher_suites.retain(|suite| order.contains(&suite.suite()));
    provider.cipher_suites.sort_by_key(|suite| place(suite.suite()));
    provider.kx_groups = vec![
        aws_lc_rs::kx_group::X25519MLKEM768,
        aws_lc_rs::kx_group::X25519,
        aws_lc_rs::kx_group::SECP256R1,
        aws_lc_rs::kx_group::SECP384R1,
    ];
    provider
}

/// Why a client gets no certificate.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Refused {
    /// The name is served, but there is no certificate for it.
    #[error("no certificate is loaded for the name")]
    NoCertificate,
    /// There is no name, and the listener asks for one.
    #[error("the client names no server, and the listener has `no_sni = \"reject\"`")]
    NoName,
    /// The name is not served here.
    #[error("the name belongs to no site and no certificate of the listener")]
    UnknownName,
}

impl Refused {
    /// The reason as metrics and logs have it.
    pub fn failure(self) -> HandshakeFailure {
        match self {
            Self::NoCertificate => HandshakeFailure::NoCertificate,
            Self::NoName | Self::UnknownName => HandshakeFailure::UnknownName,
        }
    }

    /// What the client is told: `unrecognized_name` (RFC 6066 §3).
    pub(super) fn alert(self) -> [u8; 7] {
        fatal_alert(112)
    }
}

/// AES-128 before AES-256: no weaker in practice, and its hash is the cheaper one.
const AES_FIRST: [CipherSuite; 9] = [
    CipherSuite::TLS13_AES_128_GCM_SHA256,
    CipherSuite::TLS13_AES_256_GCM_SHA384,
    CipherSuite::TLS13_CHACHA20_POLY1305_SHA256,
    CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
    CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
    CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
];

/// For clients that list ChaCha20 first, which says that they have no hardware for AES.
const CHACHA_FIRST: [CipherSuite; 9] = [
    CipherSuite::TLS13_CHACHA20_POLY1305_SHA256,
    CipherSuite::TLS13_AES_128_GCM_SHA256,
    CipherSuite::TLS13_AES_256_GCM_SHA384,
    CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
    CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
    CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
];

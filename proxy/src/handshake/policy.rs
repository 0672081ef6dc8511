//! What a client gets: the site, the certificate and the TLS configuration of its connection.
//!
//! Owns the TLS half of a listener, built once, and the choice made for each ClientHello from one
//! certificate index and one trust in clients, each loaded once, so that a reload is seen whole or
//! not at all. A name that is not served is refused, never answered with another site's policy.
//! After a HelloRetryRequest the choice stands: rustls refuses a second ClientHello that asks for
//! another name. What sessions are bound to is made here, in one place for every front end: a site
//! without a context keeps none. Refuses to know backends. Read next: `template`, then `resume`.

use std::sync::Arc;

use portunus_certs::client_auth::ClientAuth;
use portunus_certs::credential::Credential;
use portunus_certs::name::{HostName, NamePattern};
use portunus_certs::resolver::{Chosen, Offer};
use portunus_certs::session::{ContextFields, ContextId, SiteContext};
use portunus_certs::store::CertificateStore;
use rustls::pki_types::UnixTime;
use rustls::{ProtocolVersion, ServerConfig};

use crate::config::{self, ClientResumption, NoSni, Termination, TlsVersion};
use crate::outcome::HandshakeFailure;

use super::client::Authentication;
use super::facts::OwnCertificate;
use super::hello::Hello;
use super::refusal::fatal_alert;
use super::resume::Resumption;
use super::sites::{NoSite, SiteId, Sites};
use super::template::{Templates, alpn};

/// The TLS half of a listener.
#[derive(Debug)]
pub struct Policy {
    sites: Arc<Sites>,
    no_sni: NoSni,
    ja4: bool,
    certificates: Arc<CertificateStore>,
    templates: Templates,
    resumption: Resumption,
    /// In the order of the sites; one where there are none.
    by_site: Vec<SitePolicy>,
    /// A name of the first site, for clients that name nobody.
    first_name: Option<HostName>,
}

/// The TLS half of a site.
#[derive(Debug)]
struct SitePolicy {
    termination: Termination,
    clients: Clients,
    /// What is agreed on by ALPN in place of what the listener speaks, the better one first.
    alpn: Option<Vec<Vec<u8>>>,
}

/// Who the clients of a site are, and what their sessions are bound to.
#[derive(Debug)]
enum Clients {
    /// They stay anonymous.
    Anonymous(SiteContext),
    /// They are verified. Without a context no session of theirs is kept, and none resumed.
    Authenticated(Arc<ClientAuth>, Option<SiteContext>),
}

/// What listeners share of TLS.
#[derive(Clone, Debug)]
pub struct Means<'a> {
    /// Every certificate.
    pub certificates: &'a Arc<CertificateStore>,
    /// Every client authentication, in the order of the configuration.
    pub client_auths: &'a [Arc<ClientAuth>],
    /// Every client authentication as it was configured, in the same order.
    pub client_auth_configs: &'a [config::ClientAuth],
    /// Where sessions lie.
    pub resumption: Resumption,
}

/// What one client gets.
#[derive(Debug)]
pub enum Choice {
    /// The TLS of the endpoint behind this site, which hears the client's own words.
    PassThrough(SiteId),
    /// Ours.
    Terminate(Box<Terms>),
}

/// What a client gets whose TLS ends here.
#[derive(Debug)]
pub struct Terms {
    /// The site that the client asked for.
    pub site: SiteId,
    /// How the client is authenticated; not at all, if it stays anonymous.
    pub authentication: Option<Authentication>,
    /// What its session is bound to; without it, none is kept and none resumed.
    pub context: Option<ContextId>,
    /// What it is shown.
    pub certificate: OwnCertificate,
    /// Everything that rustls needs for this one connection, but for sessions.
    pub config: ServerConfig,
}

impl Policy {
    /// The policy of `listener`.
    pub fn new(
        listener: &config::Listener,
        sites: Arc<Sites>,
        means: Means<'_>,
    ) -> Result<Self, rustls::Error> {
        let named: &[config::Site] = match &listener.sites {
            config::Sites::Any(_) => &[],
            config::Sites::Named(sites) => sites,
        };
        let by_site = match named {
            [] => vec![SitePolicy {
                termination: Termination::Here,
                clients: means.clients(listener, &[], &alpn(listener), listener.client_auth)?,
                alpn: None,
            }],
            sites => {
                sites.iter().map(|site| means.site(listener, site)).collect::<Result<_, _>>()?
            }
        };
        let first_name = named.first().into_iter().flat_map(|site| &site.hosts);
        let first_name = first_name.filter_map(exact).next();
        let config::Listener { no_sni, ja4, .. } = *listener;
        let templates = Templates::new(listener)?;
        let Means { certificates, resumption, .. } = means;
        let certificates = Arc::clone(certificates);
        Ok(Self { sites, no_sni, ja4, certificates, templates, resumption, by_site, first_name })
    }

    /// Whether it is told which software clients are like.
    pub(super) fn tells_ja4(&self) -> bool {
        self.ja4
    }

    /// Where sessions lie.
    pub(super) fn resumption(&self) -> &Resumption {
        &self.resumption
    }

    /// Chooses for the client that sent `hello`.
    pub fn choose(&self, hello: &Hello) -> Result<Choice, Refused> {
        let name = hello.server_name();
        let site = match &name {
            None if hello.has_server_name() => return Err(Refused::UnknownName),
            None if self.no_sni == NoSni::Reject => return Err(Refused::NoName),
            name => self.sites.of_client(name.as_ref(), |protocol| hello.offers_protocol(protocol)),
        };
        let site = site.map_err(|none| match none {
            NoSite::Name => Refused::UnknownName,
            NoSite::Protocol => Refused::NoProtocol,
        })?;
        let policy = self.by_site.get(site.index()).ok_or(Refused::UnknownName)?;
        if policy.termination == Termination::Endpoint {
            return Ok(Choice::PassThrough(site));
        }
        let client = hello.client();
        let suites = client.cipher_suites();
        let offer = Offer { signature_schemes: client.signature_schemes(), cipher_suites: suites };
        let credential = self.credential(name.as_ref(), &offer)?;
        let (mut config, authentication, context) = match &policy.clients {
            Clients::Anonymous(context) => {
                (self.templates.anonymous(suites), None, Some(context.with_credential(&credential)))
            }
            Clients::Authenticated(auth, context) => {
                let trust = auth.load();
                let context = context.map(|context| {
                    context.with_client_trust(trust.digest()).with_credential(&credential)
                });
                let demand = auth.options().demand;
                let again = context.map(|_| trust.verifier());
                let config = self.templates.authenticated(suites, trust.verifier());
                (config, Some(Authentication { demand, again }), context)
            }
        };
        let now = i64::try_from(UnixTime::now().as_secs()).unwrap_or(i64::MAX);
        config.cert_resolver = Arc::new(Chosen(Arc::clone(credential.key_at(now))));
        if let Some(alpn) = &policy.alpn {
            config.alpn_protocols.clone_from(alpn);
        }
        let certificate = OwnCertificate::of(&credential);
        Ok(Choice::Terminate(Box::new(Terms {
            site,
            authentication,
            context,
            certificate,
            config,
        })))
    }

    /// The certificate for a client that asks for `name` and makes this offer.
    fn credential(
        &self,
        name: Option<&HostName>,
        offer: &Offer<'_>,
    ) -> Result<Arc<Credential>, Refused> {
        let index = self.certificates.load();
        let credential = match name {
            Some(name) => index.select(Some(name), offer),
            None => self
                .first_name
                .as_ref()
                .and_then(|name| index.select(Some(name), offer))
                .or_else(|| index.default_credential(offer)),
        };
        // Where certificates say what is served, a name without one is not.
        let refused = match name {
            Some(_) if self.sites.is_any() => Refused::UnknownName,
            _ => Refused::NoCertificate,
        };
        credential.map(Arc::clone).ok_or(refused)
    }
}

impl Means<'_> {
    fn site(
        &self,
        listener: &config::Listener,
        site: &config::Site,
    ) -> Result<SitePolicy, rustls::Error> {
        let own = site.alpn.iter().map(|protocol| protocol.to_vec()).collect::<Vec<_>>();
        let own = (!own.is_empty()).then_some(own);
        let spoken = own.clone().unwrap_or_else(|| alpn(listener));
        Ok(SitePolicy {
            termination: site.termination,
            clients: self.clients(listener, &site.hosts, &spoken, site.client_auth)?,
            alpn: own,
        })
    }

    /// The clients of a site with these names, where this is agreed on by ALPN.
    fn clients(
        &self,
        listener: &config::Listener,
        hosts: &[NamePattern],
        alpn: &[Vec<u8>],
        auth: Option<usize>,
    ) -> Result<Clients, rustls::Error> {
        let Some(index) = auth else {
            return Ok(Clients::Anonymous(context(listener, hosts, alpn, None)));
        };
        let auths = self.client_auths.get(index).zip(self.client_auth_configs.get(index));
        // Without its authentication a site must not be served at all.
        let missing = || rustls::Error::General("no client authentication".to_owned());
        let (auth, config) = auths.ok_or_else(missing)?;
        let context = match config.resumption {
            ClientResumption::Off => None,
            ClientResumption::Revalidate => Some(context(listener, hosts, alpn, Some(REVALIDATED))),
        };
        Ok(Clients::Authenticated(Arc::clone(auth), context))
    }
}

/// What sessions of a site are bound to: none is resumed where any of this differs.
fn context(
    listener: &config::Listener,
    hosts: &[NamePattern],
    alpn: &[Vec<u8>],
    client_auth: Option<&[u8]>,
) -> SiteContext {
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
        alpn,
        client_auth,
    })
}

/// What stands in a context for clients whose certificates are verified again; which authorities
/// and lists do that is added for each connection.
const REVALIDATED: &[u8] = b"revalidated";

fn exact(pattern: &NamePattern) -> Option<HostName> {
    match pattern {
        NamePattern::Exact(name) => Some(name.clone()),
        NamePattern::Wildcard(_) => None,
    }
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
    /// The name is served, and the client offers no protocol that is spoken there.
    #[error("what the client offers by ALPN is not spoken here")]
    NoProtocol,
    /// The name is not served here.
    #[error("the name belongs to no site and no certificate of the listener")]
    UnknownName,
}

impl Refused {
    /// The reason as metrics and logs have it.
    pub fn failure(self) -> HandshakeFailure {
        match self {
            Self::NoCertificate => HandshakeFailure::NoCertificate,
            Self::NoName => HandshakeFailure::NoName,
            Self::NoProtocol => HandshakeFailure::NoAlpn,
            Self::UnknownName => HandshakeFailure::UnknownName,
        }
    }

    /// What the client is told: `unrecognized_name` (RFC 6066 §3), or `no_application_protocol`
    /// (RFC 7301 §3.2).
    pub(super) fn alert(self) -> [u8; 7] {
        match self {
            Self::NoCertificate | Self::NoName | Self::UnknownName => fatal_alert(112),
            Self::NoProtocol => fatal_alert(120),
        }
    }
}

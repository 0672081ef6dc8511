//! What a listener is: addresses, what is spoken before, in and by TLS, and who is served.
//!
//! Owns the types; what may be written is in `schema`, what it means together in `listeners`. Read
//! next: `site`, what is behind it, and `starttls`.

use std::path::PathBuf;
use std::sync::Arc;

use ipnet::IpNet;
use portunus_certs::client_auth::{CrlDepth, Demand};

use super::{Behind, HttpListener, ResumptionMode, Sites, Starttls, Termination};
use crate::net::ListenAddr;

/// A named set of listening sockets with one protocol.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Listener {
    /// The name in the configuration, in logs and metrics.
    pub name: Arc<str>,
    /// At least one.
    pub addresses: Vec<ListenAddr>,
    /// What is spoken inside TLS.
    pub mode: Mode,
    /// The oldest version of TLS that is accepted.
    pub tls_version_min: TlsVersion,
    /// Whether certificates are compressed for clients that offer it (RFC 8879).
    pub certificate_compression: bool,
    /// Whether the logs tell which software clients are like.
    pub ja4: bool,
    /// What a client without a server name gets.
    pub no_sni: NoSni,
    /// What clients can resume with.
    pub resumption: ResumptionMode,
    /// Who is served.
    pub sites: Sites,
    /// Whether connections come in by a handshake.
    pub entrance: Entrance,
    /// Who stands in front of it and says who the client is, if anybody does.
    pub proxy_protocol: Option<ProxyProtocol>,
    /// What is spoken before TLS, if anything is.
    pub starttls: Option<Starttls>,
    /// The protocols that are agreed on by ALPN, the better one first; only for `tcp`, and empty
    /// for whatever the client says.
    pub alpn: Vec<Arc<[u8]>>,
    /// What an end of a direction means that nobody vouches for; only for `tcp`.
    pub on_truncation: Truncation,
    /// What HTTP needs besides; without meaning for `tcp`.
    pub http: HttpListener,
    /// What is asked of clients where there are no sites, which else say it for themselves: an
    /// index into [`super::Config::client_auths`].
    pub client_auth: Option<usize>,
}

impl Listener {
    /// The same listener, with other indices of its backends and client authentications.
    #[must_use]
    pub fn renumbered(
        mut self,
        backend: impl Fn(usize) -> usize,
        client_auth: impl Fn(usize) -> usize,
    ) -> Self {
        self.client_auth = self.client_auth.map(&client_auth);
        let behind = |behind: &mut Behind| behind.renumber(&backend);
        match &mut self.sites {
            Sites::Any(any) => behind(any),
            Sites::Named(sites) => sites.iter_mut().for_each(|site| {
                site.client_auth = site.client_auth.map(&client_auth);
                behind(&mut site.behind);
            }),
        }
        self
    }

    /// Whether TLS of any client ends here, for which there has to be a certificate.
    pub fn terminates(&self) -> bool {
        self.entrance == Entrance::Tls
            && match &self.sites {
                Sites::Any(_) => true,
                Sites::Named(sites) => {
                    sites.iter().any(|site| site.termination == Termination::Here)
                }
            }
    }
}

/// How connections come in.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Entrance {
    /// Without TLS: it begins here, towards the endpoint.
    Clear,
    /// By a handshake.
    Tls,
}

/// Who stands in front of a listener and says who the client is. Every connection begins with a
/// PROXY header, and nobody else may connect.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ProxyProtocol {
    /// The address blocks that are believed.
    pub from: Vec<IpNet>,
    /// Whether whoever can open a unix socket of the listener is believed.
    pub from_unix: UnixPeers,
}

/// Whether whoever can open a unix socket is believed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum UnixPeers {
    /// Yes.
    Believed,
    /// No.
    Refused,
}

/// What an end of a direction under TLS without `close_notify` means (RFC 8446 §6.1).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Truncation {
    /// An end like any other: the other side hears it, and may still answer.
    End,
    /// That something may be missing: the other side gets a reset.
    Reset,
}

/// What is spoken inside TLS.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Mode {
    /// HTTP/1.1 or HTTP/2, chosen by ALPN.
    Http,
    /// Bytes.
    Tcp,
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum TlsVersion {
    /// RFC 5246.
    V1_2,
    /// RFC 8446.
    V1_3,
}

/// What a client without a server name gets.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum NoSni {
    /// The first certificate, and the first site.
    Default,
    /// The alert `unrecognized_name`.
    Reject,
}

/// What is asked of clients, and what backends hear of it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ClientAuth {
    /// Whether a client may do without a certificate.
    pub demand: Demand,
    /// PEM bundle of the authorities whose clients are let in.
    pub ca: PathBuf,
    /// Revocation lists; without any, nothing is ever revoked.
    pub crls: Vec<PathBuf>,
    /// How far revocation is checked.
    pub crl_depth: CrlDepth,
    /// What backends hear.
    pub forward: ClientCertForward,
    /// Whether these clients resume at all.
    pub resumption: ClientResumption,
}

/// Whether authenticated clients resume.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ClientResumption {
    /// Never: they prove themselves in every handshake.
    Off,
    /// Yes, and what they once proved is verified again before a byte is forwarded.
    Revalidate,
}

/// What of a client's certificate backends hear (RFC 9440).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ClientCertForward {
    /// Nothing.
    None,
    /// `Client-Cert`.
    Leaf,
    /// `Client-Cert` and `Client-Cert-Chain`.
    Chain,
}

//! What a backend is: endpoints, how they are spoken to, chosen, watched and given up.
//!
//! Owns the types; what may be written is in `schema`. Every time and count is within bounds that
//! make arithmetic with it safe.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderName;
use http::uri::PathAndQuery;
use ipnet::IpNet;
use rustls::pki_types::ServerName;

use super::StarttlsProtocol;
use crate::net::EndpointName;

/// A named group of endpoints.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Backend {
    /// The name in the configuration, in logs and metrics.
    pub name: Arc<str>,
    /// At least one, no two names alike.
    pub endpoints: Vec<Endpoint>,
    /// What is spoken with them.
    pub protocol: BackendProtocol,
    /// How it is encrypted, if it is.
    pub tls: Option<BackendTls>,
    /// What endpoints are told of the client before its first byte, if anything.
    pub send_proxy: Option<SendProxy>,
    /// Who is next.
    pub balance: Balance,
    /// How endpoints are asked whether they are well; without it only their use tells.
    pub health: Option<Health>,
    /// When an endpoint that fails is left out for a while; without it never.
    pub ejection: Option<Ejection>,
    /// How long an endpoint that came back gets less than its share; zero for not at all.
    pub slow_start: Duration,
    /// Connections to one endpoint that wait, are used or are being made.
    pub pool: PoolBounds,
    /// How names become addresses.
    pub resolve: Resolve,
}

/// An endpoint as the configuration has it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Endpoint {
    /// Where it is.
    pub name: EndpointName,
    /// Its share beside the others', 1 to 256.
    pub weight: u16,
    /// Whether it is used only if no other can be.
    pub is_backup: bool,
}

/// What is spoken with endpoints.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum BackendProtocol {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2, in the clear with prior knowledge (RFC 9113 §3.3).
    Http2,
    /// What ALPN says; only with TLS.
    Auto,
}

/// How connections to endpoints are encrypted; by default as the system trusts.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct BackendTls {
    /// PEM bundle of the authorities that endpoints are believed from; without it those of the
    /// system.
    pub ca: Option<PathBuf>,
    /// The name in their certificates; without it that of the endpoint.
    pub server_name: Option<ServerName<'static>>,
    /// What we show of ourselves: a PEM file with chain and key, if anything.
    pub credential: Option<PathBuf>,
    /// Revocation lists; without any, nothing is ever revoked.
    pub crls: Vec<PathBuf>,
    /// The protocols that are offered by ALPN where bytes are forwarded; empty for none.
    pub alpn: Vec<Arc<[u8]>>,
    /// What is spoken before TLS, if anything is; never MySQL or XMPP.
    pub starttls: Option<StarttlsProtocol>,
}

/// What endpoints are told of the client before its first byte.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SendProxy {
    /// How it is written.
    pub version: ProxyVersion,
    /// What is said besides addresses, as far as it is known; none in version 1.
    pub tlvs: Vec<ProxyTlv>,
}

/// A version of the PROXY protocol.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ProxyVersion {
    /// A line of text.
    V1,
    /// Binary.
    V2,
}

/// What a PROXY header can say besides addresses.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum ProxyTlv {
    /// What was agreed on by ALPN.
    Alpn,
    /// The server name that the client asked for.
    Authority,
    /// The client's certificate, within what is said of TLS.
    ClientCert,
    /// Version and cipher suite of TLS, and who the client is by its certificate.
    Ssl,
    /// The same for all that one connection leads to.
    UniqueId,
}

impl BackendTls {
    /// The name that the certificate of `endpoint` has to be for, if there can be one.
    pub fn name_of(&self, endpoint: &EndpointName) -> Option<ServerName<'static>> {
        self.server_name.clone().or_else(|| match endpoint {
            EndpointName::Host { host, .. } => ServerName::try_from(host.to_string()).ok(),
            // The name that was asked for is the one that is believed (RFC 6125 §6.2.1): what DNS
            // answers to it anybody could have said.
            EndpointName::Service(_) => ServerName::try_from(endpoint.authority()).ok(),
            EndpointName::Unix(_) => None,
        })
    }
}

/// How an endpoint is chosen; every way heeds weights.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Balance {
    /// The less busy one of two that chance names.
    P2c,
    /// One after the other.
    RoundRobin,
    /// The least busy one of all.
    Least,
    /// Always the same for the same client address.
    HashClient,
    /// Always the same for the same value of a request field.
    HashHeader(HeaderName),
    /// Always the same for the same value of a cookie.
    HashCookie(Arc<str>),
}

/// How endpoints are asked whether they are well.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Health {
    /// What is asked.
    pub check: HealthCheck,
    /// From one answer to the next question, give or take a tenth.
    pub interval: Duration,
    /// How long an answer may take.
    pub timeout: Duration,
    /// Good answers in a row that make an endpoint healthy.
    pub rise: u32,
    /// Bad answers in a row that make it unhealthy.
    pub fall: u32,
}

/// What an endpoint is asked.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum HealthCheck {
    /// To accept a connection.
    Tcp,
    /// To answer a GET.
    Http {
        /// The request target.
        path: PathAndQuery,
        /// The `Host`; without it the name of the endpoint.
        host: Option<Arc<str>>,
        /// The status codes that are good; at least one.
        expect: Vec<RangeInclusive<u16>>,
    },
}

/// When an endpoint that fails is left out for a while.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Ejection {
    /// Failures in a row.
    pub failures: u32,
    /// How long, the first time; twice as long each further time.
    pub base: Duration,
    /// How long at most.
    pub longest: Duration,
    /// The share of the endpoints, in percent, that may be left out at once; one always stays.
    pub share_max: u8,
    /// The status codes of responses that are failures. 503 is none by default: servers say it to a
    /// client that asks too often, and that must not take them away from the others.
    pub statuses: Vec<RangeInclusive<u16>>,
}

/// Connections to one endpoint.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct PoolBounds {
    /// All of them; further exchanges wait for one, no longer than to connect.
    pub connections_max: usize,
    /// How old one may be when it is used again.
    pub age_max: Duration,
    /// Exchanges at once on one connection of HTTP/2.
    pub streams_max: usize,
}

/// How names become addresses.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Resolve {
    /// The longest that an answer is believed, whatever it says of itself.
    pub interval: Duration,
    /// How long the last good answer is used if there is no new one.
    pub stale_max: Duration,
    /// Where addresses may lie that come out of DNS; empty for anywhere.
    pub allow: Vec<IpNet>,
}

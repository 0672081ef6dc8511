//! What lies behind the names of a listener: sites, routes, and what a route does.
//!
//! Owns the types; what may be written is in `schema`, what it means together in `routes`. Refuses
//! to know how a path is matched and how a field is set: `route` and `forward::header` do.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, HeaderValue, StatusCode};
use ipnet::IpNet;
use portunus_certs::name::NamePattern;

use crate::net::ListenAddr;

/// Who is served on a listener.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Sites {
    /// Every name that a certificate is there for.
    Any(Behind),
    /// The names of the sites; at least one.
    Named(Vec<Site>),
}

/// Names served on a listener.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Site {
    /// At least one.
    pub hosts: Vec<NamePattern>,
    /// Only clients that offer one of these by ALPN are meant, and get the first that they offer;
    /// empty for all clients that no other site of the same host is for. Only for `tcp`.
    pub alpn: Vec<Arc<[u8]>>,
    /// Where TLS ends.
    pub termination: Termination,
    /// What is behind them.
    pub behind: Behind,
    /// What is asked of clients: an index into [`super::Config::client_auths`]; without one they
    /// stay anonymous.
    pub client_auth: Option<usize>,
}

/// Where the TLS of a client ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Termination {
    /// Here.
    Here,
    /// At the endpoint, which gets what the client sent as it is. Only for `tcp`.
    Endpoint,
}

/// What lies behind a site.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Behind {
    /// At least one, no two with the same path and match. In `tcp` mode exactly one, which
    /// forwards.
    pub routes: Vec<Route>,
    /// `Strict-Transport-Security` of every response (RFC 6797), if any.
    pub hsts: Option<HeaderValue>,
}

impl Behind {
    /// Has it mean the backends by other indices.
    pub(super) fn renumber(&mut self, to: impl Fn(usize) -> usize) {
        for route in &mut self.routes {
            if let Action::Forward { backend, .. } = &mut route.action {
                *backend = to(*backend);
            }
        }
    }

    /// Everything goes to one backend, an index into the backends.
    pub fn forwarding(backend: usize) -> Self {
        let route = Route {
            path: "/".into(),
            matching: PathMatch::Prefix,
            action: Action::Forward { backend, rewrite: Rewrite::Keep },
            request_fields: Vec::new(),
            response_fields: Vec::new(),
            body_bytes_max: None,
            response_head_timeout: None,
            response_body_timeout: None,
            request_body_timeout: None,
            trailers: false,
        };
        Self { routes: vec![route], hsts: None }
    }
}

/// Some paths of a site, and what happens to requests for them.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Route {
    /// Compared byte by byte, without decoding; begins with `/`.
    pub path: Arc<str>,
    /// Which paths are meant.
    pub matching: PathMatch,
    /// What happens.
    pub action: Action,
    /// Done to the fields of the request, in this order, before our own are added.
    pub request_fields: Vec<FieldEdit>,
    /// Done to the fields of the response, in this order.
    pub response_fields: Vec<FieldEdit>,
    /// The most bytes of a request body.
    pub body_bytes_max: Option<u64>,
    /// Instead of [`super::HttpLimits::response_head_timeout`].
    pub response_head_timeout: Option<Duration>,
    /// Instead of [`super::HttpLimits::response_body_timeout`].
    pub response_body_timeout: Option<Duration>,
    /// Instead of [`super::HttpLimits::request_body_timeout`].
    pub request_body_timeout: Option<Duration>,
    /// Whether trailer fields pass, in both directions.
    pub trailers: bool,
}

/// Which paths a route is for.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum PathMatch {
    /// Those that begin with its path; the longest wins.
    Prefix,
    /// That one alone, before any prefix.
    Exact,
}

/// What happens to a request.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Action {
    /// It goes to a backend.
    Forward {
        /// An index into the backends.
        backend: usize,
        /// What happens to the path of the route in the request target.
        rewrite: Rewrite,
    },
    /// The client is sent elsewhere.
    Redirect {
        /// 301, 302, 303, 307 or 308.
        status: StatusCode,
        /// Where: a text in which `{host}`, `{path}` (path and query) and `{rest}` (path and query
        /// behind the route's path) stand for those of the request.
        to: Arc<str>,
    },
    /// The answer stands in the configuration.
    Respond {
        /// From 200 to 599.
        status: StatusCode,
        /// The content.
        body: Arc<str>,
        /// Its type.
        content_type: HeaderValue,
    },
}

/// What happens to the path of the route in the request target.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Rewrite {
    /// Nothing.
    Keep,
    /// This stands in its place; what remains begins with `/` in any case.
    Replace(Arc<str>),
}

/// A change of header fields.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum FieldEdit {
    /// One more line.
    Add(HeaderName, HeaderValue),
    /// No line at all.
    Remove(HeaderName),
    /// This line and no other.
    Set(HeaderName, HeaderValue),
}

/// What HTTP listeners have besides sites.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct HttpListener {
    /// Peers whose word about the client is believed: `X-Forwarded-For`, `-Proto` and `-Port`, or
    /// `Forwarded`; and `X-Request-Id`.
    pub trusted_peers: Vec<IpNet>,
    /// Which fields tell backends of the client.
    pub forwarded: ForwardedFields,
    /// Whether backends hear of TLS: `X-Tls-Version`, `-Cipher`, `-Sni`, `-Resumed`.
    pub tls_fields: bool,
    /// The answer to a request for a host that is not served.
    pub unknown_host: UnknownHost,
    /// Whether a request with `_` in the name of a field is refused.
    pub reject_underscores: bool,
    /// Whether clients may open WebSockets over HTTP/2 (RFC 8441).
    pub extended_connect: bool,
    /// Where requests in the clear are sent to the listener, if anywhere.
    pub redirect: Option<RedirectListener>,
}

/// Which fields tell backends of the client.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ForwardedFields {
    /// `X-Forwarded-For`, `-Host`, `-Port` and `-Proto`.
    XForwarded,
    /// `Forwarded` (RFC 7239).
    Forwarded,
}

/// The answer to a request for a host that is not served.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum UnknownHost {
    /// 421: the client may try another connection.
    Misdirected,
    /// 404.
    NotFound,
}

/// Addresses where requests in the clear are answered with a redirect to HTTPS.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RedirectListener {
    /// At least one.
    pub addresses: Vec<ListenAddr>,
    /// The port of the URL that clients are sent to; 443 does not show.
    pub port: u16,
    /// The folder with the files of `/.well-known/acme-challenge/` (RFC 8555 §8.3), if any.
    pub challenges: Option<PathBuf>,
}

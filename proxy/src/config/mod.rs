//! What the operator asked for, resolved: addresses, durations, sizes, references that exist.
//!
//! Owns [`Config`], the vocabulary of the rest of the crate. What may be written in TOML is in
//! `schema`, how it becomes this is in `validate` ([`Config::parse`]), how a file is read is in
//! `load` ([`Config::load`]). Paths in the file that are relative are relative to its folder.
//! Nothing below this folder deserialises. Refuses to know sockets, TLS and HTTP. Read next:
//! `snapshot`, which turns a listener's part into what a connection needs.

mod admin;
mod backend;
mod backends;
mod between;
mod client_auth;
mod diff;
mod error;
mod list;
mod listener;
mod listeners;
mod load;
mod mixed;
mod number;
mod reference;
mod resumption;
mod schema;
mod section;
mod settings;
mod site;
mod starttls;
mod suggest;
mod text;
mod traces;
mod units;
mod validate;
mod value;

use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroU64, NonZeroUsize};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use portunus_certs::client_auth::ChainBounds;

pub use self::admin::Sought;
pub use self::backend::{
    Backend, BackendProtocol, BackendTls, Balance, Ejection, Endpoint, Health, HealthCheck,
    PoolBounds, ProxyTlv, ProxyVersion, Resolve, SendProxy,
};
pub use self::diff::{Change, Changes, Subject, changes};
pub use self::error::{
    BackendProblem, BytesProblem, ConfigError, ConfigErrors, FieldProblem, Problem, RouteProblem,
};
pub use self::listener::{
    ClientAuth, ClientCertForward, ClientResumption, Entrance, Listener, Mode, NoSni,
    ProxyProtocol, TlsVersion, Truncation, UnixPeers,
};
pub use self::load::{FILE_DEFAULT, LoadError, ReadError, read_file};
pub use self::reference::ReferenceError;
pub use self::resumption::{
    Resumption, ResumptionMode, SharedEngine, SharedTier, TicketKeySource, Tickets,
};
pub use self::site::{
    Action, Behind, FieldEdit, ForwardedFields, HttpListener, PathMatch, RedirectListener, Rewrite,
    Route, Site, Sites, Termination, UnknownHost,
};
pub use self::starttls::{Starttls, StarttlsProtocol, WithoutTls};
pub use self::traces::{TraceParents, Traces};
pub use self::units::UnitError;
pub use self::validate::json_schema;
use crate::net::{Keepalive, ListenAddr};

/// The whole configuration of a process.
#[derive(Clone, Debug)]
pub struct Config {
    /// The process.
    pub server: Server,
    /// What is logged, and how.
    pub log: Log,
    /// The admin listener; `None` switches it off.
    pub admin: Option<Admin>,
    /// Which traces are recorded, and where they go; `None` switches them off.
    pub traces: Option<Traces>,
    /// Where certificates come from.
    pub certificates: Certificates,
    /// Sessions kept for resumption.
    pub resumption: Resumption,
    /// Every timeout and cap.
    pub limits: Arc<Limits>,
    /// What is asked of clients: sites have indices into it, and no two are alike.
    pub client_auths: Vec<ClientAuth>,
    /// At least one, names unique, in the order of the file.
    pub listeners: Vec<Listener>,
    /// At least one, names unique, in the order of the file.
    pub backends: Vec<Backend>,
    /// Who is asked for the addresses of endpoints; empty for what the system has.
    pub nameservers: Vec<SocketAddr>,
    /// The file that it was read from, if it was one.
    pub path: Option<PathBuf>,
    /// The files that values were read from, besides that one.
    pub files: Vec<PathBuf>,
    /// All of this as it was written, for those who ask what has changed.
    settings: Arc<settings::Settings>,
}

/// The process.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Server {
    /// Worker threads of the data plane.
    pub workers: NonZeroUsize,
    /// Connections held at once over all listeners.
    pub connections_max: usize,
    /// How long connections are still accepted after readiness became false.
    pub drain_delay: Duration,
    /// How long connections get to finish after the listeners closed.
    pub drain_timeout: Duration,
    /// Who the process becomes once its sockets are open; without it, it stays who it is.
    pub user: Option<String>,
    /// Whether the process gives up what it does not need.
    pub sandbox: Sandbox,
    /// Memory in bytes that the process keeps within, if not what its control group allows.
    pub memory_max: Option<NonZeroU64>,
    /// How long a worker may get nowhere before the process ends itself, if that ever matters.
    pub watchdog: Option<Duration>,
}

/// Whether the process gives up what it does not need: other files, other programs, a higher rank.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Sandbox {
    /// As far as the kernel can.
    Auto,
    /// Everything, or it does not start.
    Require,
    /// Nothing.
    Off,
}

/// What is logged, and how.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Log {
    /// A level or a list of `target=level` directives.
    pub level: String,
    /// Text for people or JSON for machines.
    pub format: LogFormat,
    /// Where a line about each request goes.
    pub access: AccessLog,
}

/// Where a line about each request goes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum AccessLog {
    /// To this file, which is opened anew at SIGHUP.
    File(PathBuf),
    /// Nowhere.
    Off,
    /// To standard output.
    Stdout,
}

/// How a log line looks.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}

/// The admin listener.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Admin {
    /// Loopback or a unix socket, or anything if there is a token.
    pub listen: ListenAddr,
    /// What a request must show as `Authorization: Bearer …`; required beyond this machine.
    pub token: Option<Secret>,
}

/// A text that is never printed.
#[derive(Clone, Eq, PartialEq)]
pub struct Secret(Arc<str>);

impl Secret {
    /// Keeps `text`.
    pub fn new(text: &str) -> Self {
        Self(text.into())
    }

    /// The text itself, for the one place that compares it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// Where certificates come from.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Certificates {
    /// Files and folders; empty only if no TLS ends here, so that none are needed.
    pub paths: Vec<PathBuf>,
    /// How often the contents are compared even if no event told of a change.
    pub poll_interval: Duration,
    /// How long the files must have been quiet before they are read unasked.
    pub settle: Duration,
    /// Refuse private keys that others than their owner can read, instead of warning.
    pub strict_permissions: bool,
}

/// Every timeout and cap; times are from the moment that the name says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Limits {
    /// From accept to the complete ClientHello.
    pub client_hello_timeout: Duration,
    /// Bytes of TLS records until the ClientHello is complete.
    pub client_hello_bytes_max: usize,
    /// From accept to the end of the PROXY header, where there has to be one.
    pub proxy_header_timeout: Duration,
    /// For what is said before TLS, where something is.
    pub starttls_timeout: Duration,
    /// From accept to the finished handshake.
    pub handshake_timeout: Duration,
    /// What a client may show of itself.
    pub client_chain: ChainBounds,
    /// Handshakes going on at once; further connections are reset.
    pub handshakes_max: usize,
    /// Handshakes going on at once from one IPv4 address or IPv6 /64.
    pub handshakes_per_source_max: usize,
    /// Handshakes in a second from one source that resume nothing or fail, if there is a limit.
    pub handshake_rate_per_source_max: Option<NonZeroU32>,
    /// To connect to one endpoint.
    pub connect_timeout: Duration,
    /// Endpoints tried for one connection or request.
    pub connect_attempts_max: usize,
    /// Connection attempts going on at once, for each backend; further ones wait their turn.
    pub connects_max: usize,
    /// Nothing moved in either direction of a tunnel.
    pub tunnel_idle_timeout: Duration,
    /// Nothing moved in the remaining direction after the other has ended.
    pub half_close_timeout: Duration,
    /// TCP keepalive and user timeout, on both sides.
    pub keepalive: Keepalive,
    /// HTTP.
    pub http: HttpLimits,
}

/// What a configuration without `[limits]` has, for one worker.
impl Default for Limits {
    fn default() -> Self {
        validate::limits(&validate::defaults("limits"), NonZeroUsize::MIN)
    }
}

/// Timeouts and caps of HTTP listeners.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct HttpLimits {
    /// From the first wait for a request head to its end.
    pub request_head_timeout: Duration,
    /// Silence between two requests.
    pub keepalive_timeout: Duration,
    /// Requests on one connection of HTTP/1.1.
    pub requests_max: u64,
    /// The age of a connection at which it ends after what is going on.
    pub connection_age_max: Duration,
    /// Fields of a request head.
    pub header_fields_max: usize,
    /// Bytes of a request head.
    pub header_bytes_max: usize,
    /// Bytes of a request target.
    pub uri_bytes_max: usize,
    /// Silence within a request body.
    pub request_body_timeout: Duration,
    /// Bytes per second that a request body must reach after its first ten seconds.
    pub request_body_rate_min: u64,
    /// From the complete request to the head of the response.
    pub response_head_timeout: Duration,
    /// Silence within a response body of a backend.
    pub response_body_timeout: Duration,
    /// The client takes nothing of what is there for it.
    pub write_timeout: Duration,
    /// How long a connection to an endpoint waits for its next request.
    pub pool_idle_timeout: Duration,
    /// Connections that wait, per endpoint.
    pub pool_idle_max: usize,
    /// Concurrent HTTP/2 streams of one connection.
    pub h2_streams_max: u32,
    /// Flow-control window of an HTTP/2 stream, in bytes.
    pub h2_stream_window: u32,
    /// Flow-control window of an HTTP/2 connection, in bytes.
    pub h2_connection_window: u32,
    /// Bytes of response that wait for the window of an HTTP/2 stream.
    pub h2_send_buffer: usize,
    /// Requests on one connection of HTTP/2.
    pub h2_requests_max: u64,
    /// Streams that a client may reset within ten seconds.
    pub h2_resets_max: u32,
    /// Frames that a client may send within ten seconds without asking or sending anything.
    pub h2_control_frames_max: u32,
    /// Silence before an HTTP/2 client with open streams is asked whether it still lives.
    pub h2_ping_interval: Duration,
    /// How long it may take to say so.
    pub h2_ping_timeout: Duration,
}

/// What a configuration without `[limits.http]` has.
impl Default for HttpLimits {
    fn default() -> Self {
        validate::http_limits(&validate::defaults("limits.http"))
    }
}

#[cfg(test)]
mod tests;

//! A named group of endpoints, and the way to one of them.
//!
//! Owns [`Backend`]: which addresses there are (`members`, kept current by `maintain`), which one
//! is next (`balance`), and how it is reached (`reach`): over a connection that waits or is shared
//! (`connections`, `upstream`), or over a new one (`connect`, `tls`). A raw connection is
//! [`Dedicated`] and is never shared; a [`Lease`] is for one HTTP exchange. Refuses to know
//! clients and headers. Read next: `endpoint`, then `reach`.

mod alarm;
mod balance;
mod connect;
mod connections;
mod endpoint;
mod health;
mod interim;
mod introduction;
mod key;
mod link;
mod maintain;
mod members;
mod pool;
mod random;
mod reach;
mod report;
mod resolve;
mod standing;
mod starttls;
#[cfg(test)]
mod tests;
mod tls;
mod upload;
mod upstream;

use std::path::Path;
use std::sync::{Arc, OnceLock};

use http::{HeaderMap, StatusCode};
use tokio::time::Instant;

pub(crate) use alarm::Alarm;
pub use connect::DialError;
pub use connections::Speech;
pub use endpoint::Verdict;
pub use interim::{INTERIMS_MAX, Interims};
pub use link::Link;
pub(crate) use random::random;
pub use reach::{Dedicated, Reuse};
pub use report::{BackendReport, EndpointReport};
pub use resolve::Resolver;
pub use standing::Draining;
pub use starttls::StarttlsError;
pub use tls::{TlsError, TrustError, check_trust};
pub use upload::{Sieve, Upload, UploadBounds, UploadError, UploadProgress, UploadState};
pub use upstream::{Guards, Lease, SendError, SendFault, Tunnel};

use crate::config::{self, BackendProtocol, Limits, StarttlsProtocol};
use crate::drain::{DrainWatch, WeakWatch};
use crate::limit::Slots;
use crate::metrics::BackendMetrics;
use crate::net::{ClientAddr, EndpointAddr};
use crate::outcome::BackendFailure;
use endpoint::{Endpoint, Load, Means};
use members::Members;
use tls::Encryption;

/// A named group of endpoints.
#[derive(Debug)]
pub struct Backend {
    name: Arc<str>,
    members: Arc<Members>,
    /// Turns to connect: a backend that does not answer must not collect attempts without end.
    turns: Arc<Slots>,
    protocol: BackendProtocol,
    means: Arc<Means>,
    /// Runs what goes on behind shared connections; there is none before the backend is maintained.
    watch: OnceLock<WeakWatch>,
    metrics: BackendMetrics,
}

impl Backend {
    /// The backend of the configuration. Endpoints with literal addresses can be reached at once,
    /// those with names after [`Backend::resolve_now`].
    pub fn new(
        config: &config::Backend,
        limits: Arc<Limits>,
        metrics: BackendMetrics,
    ) -> Result<Arc<Self>, TrustError> {
        let turns = Slots::new(limits.connects_max);
        let open = |tls| Encryption::open(tls, &metrics);
        let encryption = config.tls.as_ref().map(open).transpose()?;
        let means = Arc::new(Means::new(config, limits, encryption));
        Ok(Arc::new(Self {
            name: Arc::clone(&config.name),
            members: Members::new(config, &means, &metrics),
            turns,
            protocol: config.protocol,
            means,
            watch: OnceLock::new(),
            metrics,
        }))
    }

    /// Whether endpoints may speak HTTP/2.
    pub fn may_speak_http2(&self) -> bool {
        self.protocol != BackendProtocol::Http1
    }

    /// What its endpoints are asked for TLS in, if they are.
    pub fn starttls(&self) -> Option<StarttlsProtocol> {
        self.means.encryption.as_ref().and_then(Encryption::starttls)
    }

    /// Whether endpoints are told whom a connection of [`Backend::connect`] is for.
    pub fn introduces(&self) -> bool {
        self.means.send_proxy.is_some()
    }

    /// The name in the configuration.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// What the backend counts.
    pub fn metrics(&self) -> &BackendMetrics {
        &self.metrics
    }

    /// From now on, these limits hold, for what waits in pools as well. What was begun under others
    /// goes on.
    pub fn set_limits(&self, limits: &Arc<Limits>) {
        self.turns.resize(limits.connects_max);
        self.means.set_limits(Arc::clone(limits));
        for (endpoint, _) in self.members.all() {
            endpoint.connections.set_limits(&limits.http);
        }
    }

    /// Whether somebody keeps it current, or has.
    pub fn is_maintained(&self) -> bool {
        self.watch.get().is_some()
    }

    /// Counts what was its fault, if anything was.
    pub fn charge(&self, failure: Option<BackendFailure>) {
        if let Some(failure) = failure {
            self.metrics.errors.of(failure).inc();
        }
    }

    /// Reads the files of its TLS again, and returns whether they are others. What is bad changes
    /// nothing, and what is connected stays so.
    pub fn reload_tls(&self) -> Result<bool, TrustError> {
        self.means.encryption.as_ref().map_or(Ok(false), Encryption::reload)
    }

    /// The files of its TLS.
    pub fn tls_files(&self) -> impl Iterator<Item = &Path> {
        self.means.encryption.iter().flat_map(Encryption::paths)
    }

    /// What the backend says of itself.
    pub fn report(&self) -> BackendReport {
        BackendReport {
            name: Arc::clone(&self.name),
            endpoints: self.members.report(),
            resolve_age: self.members.ledger().age(Instant::now()),
        }
    }

    /// Has nothing new go to the endpoints with this name or address, or something again; what is
    /// going on finishes. Returns how many addresses that are now, or `None` if there is no such
    /// endpoint.
    pub fn set_draining(&self, endpoint: &str, draining: Draining) -> Option<usize> {
        self.members.set_draining(endpoint, draining)
    }

    /// Whether endpoints can be asked in `speech`: those of HTTP/2 alone are spared what they do
    /// not understand.
    pub fn speaks(&self, speech: Speech) -> bool {
        speech == Speech::Any || self.protocol != BackendProtocol::Http2
    }

    /// What the choice of an endpoint goes by for this request, if requests that are alike in it
    /// are to go to the same one. `headers` are those that the client sent.
    pub fn balance_key(&self, client: ClientAddr, headers: &HeaderMap) -> Option<u64> {
        self.members.key(client, headers)
    }

    /// What a response with this status says of its endpoint.
    pub fn verdict(&self, status: StatusCode) -> Verdict {
        let ejection = self.members.config().ejection.as_ref();
        let mut statuses = ejection.into_iter().flat_map(|ejection| &ejection.statuses);
        match statuses.any(|statuses| statuses.contains(&status.as_u16())) {
            true => Verdict::Failed,
            false => Verdict::Good,
        }
    }

    /// Runs what goes on behind shared connections, unless the process is about to end.
    fn watch(&self) -> Option<DrainWatch> {
        self.watch.get()?.upgrade()
    }

    /// The endpoint whose turn it is, without those in `tried`.
    fn choose(&self, key: Option<u64>, tried: &[Arc<Endpoint>]) -> Result<Load, ConnectError> {
        self.members.choose(key, tried).ok_or_else(|| {
            if tried.is_empty() {
                self.metrics.errors.of(BackendFailure::NoEndpoint).inc();
            }
            ConnectError::NoEndpoint { backend: Arc::clone(&self.name) }
        })
    }
}

/// Why no endpoint of a backend could be reached.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The last endpoint that was tried could not be connected to.
    #[error("cannot connect to endpoint {endpoint} of backend `{backend}`")]
    Dial {
        /// The name of the backend.
        backend: Arc<str>,
        /// The address that was tried last.
        endpoint: EndpointAddr,
        /// Whether there is no other that might have been tried.
        all_tried: bool,
        /// Why.
        source: DialError,
    },
    /// No endpoint has an address, or none that has one can be used.
    #[error("backend `{backend}` has no endpoint that can be used")]
    NoEndpoint {
        /// The name of the backend.
        backend: Arc<str>,
    },
}

impl ConnectError {
    /// The endpoint that was tried last, if any was.
    pub fn endpoint(&self) -> Option<&EndpointAddr> {
        match self {
            Self::Dial { endpoint, .. } => Some(endpoint),
            Self::NoEndpoint { .. } => None,
        }
    }

    /// The reason in metrics and logs.
    pub fn failure(&self) -> BackendFailure {
        match self {
            Self::Dial { source, .. } => source.failure(),
            Self::NoEndpoint { .. } => BackendFailure::NoEndpoint,
        }
    }
}

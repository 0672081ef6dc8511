//! A named group of endpoints, and the way to one of them.
//!
//! Owns [`Backend`]: which addresses there are (`members`, kept current by `maintain`), which one is
//! next (`balance`), how it is reached (`connect`), and which connections wait for their next request
//! (`pool`, `upstream`). A raw connection is [`Dedicated`] and is never shared; a [`Lease`] is for
//! one HTTP exchange. Refuses to know clients, TLS and headers. Read next: `endpoint`.

mod alarm;
mod balance;
mod connect;
mod endpoint;
mod health;
mod interim;
mod key;
mod maintain;
mod members;
mod pool;
mod random;
mod report;
mod resolve;
mod standing;
#[cfg(test)]
mod tests;
mod upload;
mod upstream;

use std::sync::Arc;

use http::HeaderMap;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};

pub(crate) use alarm::Alarm;
pub use connect::DialError;
pub use interim::{INTERIMS_MAX, Interims};
pub(crate) use random::random;
pub use report::{BackendReport, EndpointReport};
pub use resolve::Resolver;
pub use standing::Draining;
pub use upload::{Upload, UploadBounds, UploadError, UploadProgress, UploadState};
pub use upstream::{Guards, Lease, Tunnel};

use crate::config::{self, Limits};
use crate::metrics::{Active, BackendMetrics};
use crate::net::{ClientAddr, EndpointAddr, Socket};
use crate::outcome::BackendFailure;
use endpoint::{Endpoint, Load, Verdict};
use members::Members;
use upstream::Upstream;

/// A named group of endpoints.
#[derive(Debug)]
pub struct Backend {
    name: Arc<str>,
    members: Arc<Members>,
    /// Turns to connect: a backend that does not answer must not collect attempts without end.
    turns: Semaphore,
    limits: Arc<Limits>,
    metrics: BackendMetrics,
}

impl Backend {
    /// The backend of the configuration. Endpoints with literal addresses can be reached at once,
    /// those with names after [`Backend::resolve_now`].
    pub fn new(
        config: &config::Backend,
        limits: Arc<Limits>,
        metrics: BackendMetrics,
    ) -> Arc<Self> {
        Arc::new(Self {
            name: Arc::clone(&config.name),
            members: Members::new(config, &limits, &metrics),
            turns: Semaphore::new(limits.connects_max),
            limits,
            metrics,
        })
    }

    /// The name in the configuration.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// What the backend counts.
    pub fn metrics(&self) -> &BackendMetrics {
        &self.metrics
    }

    /// What the backend says of itself.
    pub fn report(&self) -> BackendReport {
        BackendReport { name: Arc::clone(&self.name), endpoints: self.members.report() }
    }

    /// Has nothing new go to the endpoints with this name or address, or something again; what is
    /// going on finishes. Returns how many addresses that are now, or `None` if there is no such
    /// endpoint.
    pub fn set_draining(&self, endpoint: &str, draining: Draining) -> Option<usize> {
        self.members.set_draining(endpoint, draining)
    }

    /// What the choice of an endpoint goes by for this request, if requests that are alike in it are
    /// to go to the same one. `headers` are those that the client sent.
    pub fn balance_key(&self, client: ClientAddr, headers: &HeaderMap) -> Option<u64> {
        self.members.key(client, headers)
    }

    /// A new connection that nobody else will ever use, to an endpoint that `key` may name.
    pub async fn connect(&self, key: Option<u64>) -> Result<Dedicated, ConnectError> {
        let dedicated = self.connect_from(self.choose(key, &[])?, key).await?;
        // What follows is not ours to judge.
        dedicated.load.note(Verdict::Good);
        Ok(dedicated)
    }

    /// A connection for one HTTP exchange: one that waits, if `reuse` allows and there is one at
    /// the endpoint whose turn it is, else a new one. `key` is that of [`Backend::balance_key`].
    pub async fn lease(&self, key: Option<u64>, reuse: Reuse) -> Result<Lease, ConnectError> {
        let load = self.choose(key, &[])?;
        if reuse == Reuse::Allowed {
            let now = Instant::now();
            while let Some(mut upstream) = load.endpoint().pool.take(now) {
                if upstream.is_usable().await {
                    return Ok(Lease::new(upstream, load));
                }
            }
        }
        // Rare beside reuse, and large: kept out of the future of each request.
        Box::pin(self.open_from(load, key)).await
    }

    async fn open_from(&self, load: Load, key: Option<u64>) -> Result<Lease, ConnectError> {
        let Dedicated { socket, active, load } = self.connect_from(load, key).await?;
        let upstream = Upstream::open(socket, active)
            .await
            .map_err(|source| ConnectError::Http { backend: Arc::clone(&self.name), source })?;
        Ok(Lease::new(upstream, load))
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

    /// Connects to the endpoint of `load`, or to others if that fails.
    async fn connect_from(
        &self,
        mut load: Load,
        key: Option<u64>,
    ) -> Result<Dedicated, ConnectError> {
        let mut tried = Vec::new();
        loop {
            let error = match self.dial(load.endpoint()).await {
                Ok(socket) => {
                    let active = Active::new(&self.metrics.connections_active);
                    return Ok(Dedicated { socket, active, load });
                }
                Err(error) => error,
            };
            load.note(Verdict::Failed);
            tried.push(Arc::clone(load.endpoint()));
            let next = self.choose(key, &tried).ok();
            let all_tried = next.is_none();
            match next.filter(|_| tried.len() < self.limits.connect_attempts_max) {
                Some(next) => load = next,
                None => {
                    return Err(ConnectError::Dial {
                        backend: Arc::clone(&self.name),
                        endpoint: load.endpoint().addr.clone(),
                        all_tried,
                        source: error,
                    });
                }
            }
            self.metrics.retries.inc();
        }
    }

    /// Dials when it is this attempt's turn.
    async fn dial(&self, endpoint: &Endpoint) -> Result<Socket, DialError> {
        let limit = self.limits.connect_timeout;
        // The semaphore is never closed.
        let Ok(_turn) = timeout(limit, self.turns.acquire()).await else {
            self.metrics.errors.of(BackendFailure::ConnectTimeout).inc();
            return Err(DialError::Timeout(limit));
        };
        endpoint.dial(&self.limits, &self.metrics).await
    }
}

/// A connection to an endpoint for one use; what is counted is counted until this is dropped.
#[derive(Debug)]
pub struct Dedicated {
    /// The connection, tuned.
    pub socket: Socket,
    active: Active,
    load: Load,
}

/// Whether a connection that waits may be used.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Reuse {
    /// Yes.
    Allowed,
    /// No: only a connection that was just made.
    Forbidden,
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
    /// A new connection could not be set up for HTTP.
    #[error("cannot speak HTTP with backend `{backend}`")]
    Http {
        /// The name of the backend.
        backend: Arc<str>,
        /// Why.
        source: hyper::Error,
    },
    /// No endpoint has an address, or none that has one can be used.
    #[error("backend `{backend}` has no endpoint that can be used")]
    NoEndpoint {
        /// The name of the backend.
        backend: Arc<str>,
    },
}

impl ConnectError {
    /// The reason in metrics and logs.
    pub fn failure(&self) -> BackendFailure {
        match self {
            Self::Dial { source, .. } => source.failure(),
            Self::Http { .. } => BackendFailure::Connect,
            Self::NoEndpoint { .. } => BackendFailure::NoEndpoint,
        }
    }
}

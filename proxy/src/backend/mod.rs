//! A named group of endpoints, and the way to one of them.
//!
//! Owns [`Backend`]: which addresses there are (`resolve`, in the background), which one is next
//! (`balance`), how it is reached (`connect`), and which connections wait for their next request
//! (`pool`, `upstream`). A raw connection is [`Dedicated`] and is never shared; a [`Lease`] is for
//! one HTTP exchange. Refuses to know clients, TLS and headers. Read next: `endpoint`.

mod alarm;
mod balance;
mod connect;
mod endpoint;
mod pool;
mod random;
mod resolve;
#[cfg(test)]
mod tests;
mod upload;
mod upstream;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::Semaphore;
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};

pub(crate) use alarm::Alarm;
pub use connect::DialError;
pub(crate) use random::random;
pub use upload::{Upload, UploadError, UploadProgress, UploadState};
pub use upstream::{Guards, Lease, Tunnel};

use crate::config::{self, Balance, Limits};
use crate::drain::DrainWatch;
use crate::metrics::{Active, BackendMetrics};
use crate::net::{EndpointAddr, EndpointName, Socket};
use crate::outcome::BackendFailure;
use endpoint::{Endpoint, Load};
use upstream::Upstream;

/// A named group of endpoints.
#[derive(Debug)]
pub struct Backend {
    name: Arc<str>,
    balance: Balance,
    turn: AtomicU64,
    names: Vec<EndpointName>,
    endpoints: ArcSwap<Vec<Arc<Endpoint>>>,
    /// Turns to connect: a backend that does not answer must not collect attempts without end.
    turns: Semaphore,
    resolve_interval: Duration,
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
        let literal = |(place, name): (usize, &EndpointName)| {
            Some(Endpoint::new(place, name, resolve::literal(name)?, &limits, &metrics))
        };
        let names = config.endpoints.iter().map(|endpoint| &endpoint.name);
        let endpoints = names.enumerate().filter_map(literal).collect();
        Arc::new(Self {
            name: Arc::clone(&config.name),
            balance: config.balance.clone(),
            turn: AtomicU64::new(0),
            names: config.endpoints.iter().map(|endpoint| endpoint.name.clone()).collect(),
            endpoints: ArcSwap::from_pointee(endpoints),
            turns: Semaphore::new(limits.connects_max),
            resolve_interval: config.resolve.interval,
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

    /// A new connection that nobody else will ever use.
    pub async fn connect(&self) -> Result<Dedicated, ConnectError> {
        self.connect_from(self.choose(&[])?).await
    }

    /// A connection for one HTTP exchange: one that waits, if `reuse` allows and there is one at
    /// the endpoint whose turn it is, else a new one.
    pub async fn lease(&self, reuse: Reuse) -> Result<Lease, ConnectError> {
        let load = self.choose(&[])?;
        if reuse == Reuse::Allowed {
            let now = Instant::now();
            while let Some(mut upstream) = load.endpoint().pool.take(now) {
                if upstream.is_usable().await {
                    return Ok(Lease::new(upstream, load));
                }
            }
        }
        // Rare beside reuse, and large: kept out of the future of each request.
        Box::pin(self.open_from(load)).await
    }

    async fn open_from(&self, load: Load) -> Result<Lease, ConnectError> {
        let Dedicated { socket, active, load } = self.connect_from(load).await?;
        let upstream = Upstream::open(socket, active)
            .await
            .map_err(|source| ConnectError::Http { backend: Arc::clone(&self.name), source })?;
        Ok(Lease::new(upstream, load))
    }

    /// Looks up every endpoint that is named, and waits for the answers. A name without an answer
    /// keeps the addresses that it had.
    pub async fn resolve_now(&self) {
        let mut endpoints = Vec::new();
        let known = self.endpoints.load_full();
        for (place, name) in self.names.iter().enumerate() {
            let mut of_name = known.iter().filter(|endpoint| endpoint.place == place);
            match resolve::lookup(name).await {
                Ok(addrs) => endpoints.extend(addrs.into_iter().map(|addr| {
                    let same = of_name.clone().find(|endpoint| endpoint.addr == addr);
                    same.cloned().unwrap_or_else(|| {
                        Endpoint::new(place, name, addr, &self.limits, &self.metrics)
                    })
                })),
                Err(error) => {
                    self.report_unresolved(name, &error, of_name.clone().count());
                    endpoints.extend(of_name.by_ref().cloned());
                }
            }
        }
        self.endpoints.store(Arc::new(endpoints));
    }

    /// Keeps addresses fresh and the pool small, until the process finishes.
    pub async fn maintain(self: Arc<Self>, mut watch: DrainWatch) {
        tokio::select! {
            () = watch.finish() => {}
            () = self.refresh() => {}
            () = self.sweep() => {}
        }
    }

    async fn refresh(&self) {
        if self.names.iter().all(|name| resolve::literal(name).is_some()) {
            return std::future::pending().await;
        }
        let mut ticks = ticks(self.resolve_interval);
        loop {
            ticks.tick().await;
            self.resolve_now().await;
        }
    }

    async fn sweep(&self) {
        let mut ticks = ticks(self.limits.http.pool_idle_timeout / 4);
        loop {
            let now = ticks.tick().await;
            for endpoint in self.endpoints.load().iter() {
                endpoint.pool.sweep(now);
            }
        }
    }

    /// The endpoint whose turn it is, without those in `tried`.
    fn choose(&self, tried: &[Arc<Endpoint>]) -> Result<Load, ConnectError> {
        let all = self.endpoints.load();
        let rest: Vec<Arc<Endpoint>>;
        let candidates = if tried.is_empty() {
            &**all
        } else {
            let fresh = |one: &&Arc<Endpoint>| !tried.iter().any(|other| other.addr == one.addr);
            rest = all.iter().filter(fresh).cloned().collect();
            &rest
        };
        let number = match &self.balance {
            // A second choice for the same connection does not cost anybody a turn.
            Balance::RoundRobin if tried.is_empty() => self.turn.fetch_add(1, Ordering::Relaxed),
            _ => random(),
        };
        let load = |place: usize| candidates.get(place).map_or(0, |endpoint| endpoint.load());
        balance::choose(&self.balance, number, candidates.len(), load)
            .and_then(|place| candidates.get(place))
            .map(|endpoint| Load::new(Arc::clone(endpoint)))
            .ok_or_else(|| {
                if tried.is_empty() {
                    self.metrics.errors.of(BackendFailure::NoEndpoint).inc();
                }
                ConnectError::NoEndpoint { backend: Arc::clone(&self.name) }
            })
    }

    /// Connects to the endpoint of `load`, or to others if that fails.
    async fn connect_from(&self, mut load: Load) -> Result<Dedicated, ConnectError> {
        let mut tried = Vec::new();
        loop {
            let error = match self.dial(load.endpoint()).await {
                Ok(socket) => {
                    let active = Active::new(&self.metrics.connections_active);
                    return Ok(Dedicated { socket, active, load });
                }
                Err(error) => error,
            };
            tried.push(Arc::clone(load.endpoint()));
            let next = self.choose(&tried).ok();
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

    fn report_unresolved(&self, name: &EndpointName, error: &io::Error, kept: usize) {
        self.metrics.errors.of(BackendFailure::Resolve).inc();
        tracing::warn!(
            backend = %self.name, endpoint = %name, error = %error, kept,
            "the name of an endpoint cannot be resolved",
        );
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
    /// No name of an endpoint has an address.
    #[error("backend `{backend}` has no endpoint with an address")]
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

fn ticks(period: Duration) -> tokio::time::Interval {
    let period = period.max(PERIOD_MIN);
    let mut ticks = interval_at(Instant::now() + period, period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

/// A period of zero would spin.
const PERIOD_MIN: Duration = Duration::from_millis(100);

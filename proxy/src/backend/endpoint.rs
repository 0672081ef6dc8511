//! One address that can be dialled, and what is known of it.
//!
//! Owns the load that balancing looks at, the gauge that says whether the last attempt to connect
//! succeeded, and the connections that wait for their next request. What follows from how it did is
//! decided by `standing`. Read next: `connect`.

use std::error::Error;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use arc_swap::{ArcSwap, Guard};
use prometheus::IntGauge;
use tokio::time::Instant;
use tracing::{info, warn};

use super::balance::Candidate;
use super::connect::{DialError, Limit, Secure, dial};
use super::connections::Connections;
use super::introduction::{Herald, OnBehalf};
use super::key::digest;
use super::link::Link;
use super::members::Members;
use super::tls::{Alpn, Encryption, EndpointTls, TlsError};
use crate::config::{self, Limits, PoolBounds, SendProxy};
use crate::log::Chain;
use crate::metrics::BackendMetrics;
use crate::net::EndpointAddr;
use crate::outcome::BackendFailure;

/// An endpoint after resolution.
#[derive(Debug)]
pub(super) struct Endpoint {
    /// The place of its name in the configuration of the backend.
    pub(super) place: usize,
    pub(super) addr: EndpointAddr,
    pub(super) connections: Connections,
    /// Its part of TLS, if it has that.
    tls: Option<EndpointTls>,
    /// Who is told how it did.
    members: Weak<Members>,
    /// Whether something speaks against it: only then a success is worth telling.
    pub(super) is_suspect: AtomicBool,
    /// What makes it different from others, in every process.
    mark: u64,
    in_flight: AtomicUsize,
    up: IntGauge,
    /// Whether the last attempt to use it failed.
    is_down: AtomicBool,
    /// What the log was last told, and when.
    told: Mutex<Option<(Standing, Instant)>>,
}

/// How the endpoints of a backend are reached.
#[derive(Debug)]
pub(super) struct Means {
    limits: ArcSwap<Limits>,
    pub(super) pool: PoolBounds,
    /// What endpoints are told first, if anything.
    pub(super) send_proxy: Option<SendProxy>,
    pub(super) encryption: Option<Encryption>,
}

impl Means {
    pub(super) fn new(
        config: &config::Backend,
        limits: Arc<Limits>,
        encryption: Option<Encryption>,
    ) -> Self {
        let send_proxy = config.send_proxy.clone();
        Self { limits: ArcSwap::new(limits), pool: config.pool, send_proxy, encryption }
    }

    /// The limits that hold now.
    pub(super) fn limits(&self) -> Guard<Arc<Limits>> {
        self.limits.load()
    }

    /// From now on, these limits hold.
    pub(super) fn set_limits(&self, limits: Arc<Limits>) {
        self.limits.store(limits);
    }

    /// Who tells an endpoint whom a connection is for, if it is to be told.
    pub(super) fn herald<'a>(
        &'a self,
        whom: OnBehalf<'a>,
        metrics: &'a BackendMetrics,
    ) -> Option<Herald<'a>> {
        let omitted = &metrics.proxy_tlvs_omitted;
        self.send_proxy.as_ref().map(|form| Herald { form, whom, omitted })
    }
}

/// Whether an endpoint can be connected to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Standing {
    Down(BackendFailure),
    Up,
}

impl Endpoint {
    pub(super) fn new(
        place: usize,
        name: &str,
        addr: EndpointAddr,
        members: &Weak<Members>,
        means: &Means,
        metrics: &BackendMetrics,
    ) -> Arc<Self> {
        Arc::new(Self {
            place,
            mark: digest(addr.to_string().as_bytes()),
            addr,
            members: Weak::clone(members),
            // There may be failures on record of the address, when it had another name.
            is_suspect: AtomicBool::new(true),
            connections: Connections::new(&means.limits().http, means.pool),
            tls: means.encryption.as_ref().map(|encryption| encryption.endpoint(name)),
            in_flight: AtomicUsize::new(0),
            up: metrics.endpoint_up(name),
            is_down: AtomicBool::new(false),
            told: Mutex::default(),
        })
    }

    /// Connects for `whom`, and remembers whether that worked.
    pub(super) async fn dial(
        &self,
        means: &Means,
        metrics: &BackendMetrics,
        (alpn, whom): (Alpn, OnBehalf<'_>),
        limit: Limit,
    ) -> Result<Link, DialError> {
        let start = Instant::now();
        let secure = self.secure(means, alpn);
        let herald = means.herald(whom, metrics);
        let keepalive = means.limits().keepalive;
        let result = dial(&self.addr, limit, &keepalive, herald, secure).await;
        match &result {
            Ok(link) => {
                metrics.connect_duration.observe(start.elapsed().as_secs_f64());
                if let Some(kind) = link.handshake() {
                    metrics.tls_handshakes.of(kind).inc();
                }
                if self.is_news(Standing::Up) {
                    info!(backend = metrics.name(), endpoint = %self.addr, "endpoint is up again");
                }
            }
            Err(error) => {
                metrics.errors.of(error.failure()).inc();
                match error {
                    DialError::NoHttp1(_) | DialError::Unwelcome(_) => {
                        // It is there, and has said so.
                        self.tell_up(true);
                        return result;
                    }
                    // It had no time to.
                    DialError::NoTurn(_) => return result,
                    _ => {}
                }
                self.tell_down(error.failure(), error, metrics);
            }
        }
        self.tell_up(result.is_ok());
        result
    }

    /// Remembers that the endpoint refused us when TLS stood already.
    pub(super) fn note_refusal(&self, refusal: &TlsError, metrics: &BackendMetrics) {
        metrics.errors.of(refusal.failure()).inc();
        self.tell_down(refusal.failure(), refusal, metrics);
        self.tell_up(false);
    }

    fn tell_down(
        &self,
        failure: BackendFailure,
        error: &(dyn Error + 'static),
        metrics: &BackendMetrics,
    ) {
        if self.is_news(Standing::Down(failure)) {
            let (backend, error) = (metrics.name(), Chain(error));
            warn!(backend, endpoint = %self.addr, %error, "endpoint is down");
        }
    }

    /// How TLS is established, if it is.
    pub(super) fn secure<'a>(&'a self, means: &'a Means, alpn: Alpn) -> Option<Secure<'a>> {
        let (encryption, endpoint) = means.encryption.as_ref().zip(self.tls.as_ref())?;
        Some(Secure { encryption, endpoint, alpn })
    }

    /// Remembers whether the last attempt to use the endpoint succeeded, and has the metric say it.
    pub(super) fn tell_up(&self, is_up: bool) {
        self.up.set(i64::from(is_up));
        self.is_down.store(!is_up, Ordering::Relaxed);
    }

    /// Whether the last attempt to use it failed. Before the first one, nothing speaks against it.
    pub(super) fn is_down(&self) -> bool {
        self.is_down.load(Ordering::Relaxed)
    }

    /// Whether the log is to be told: when the standing changes, or the reason for it, but not each
    /// time if it changes with each attempt. That an endpoint is up is expected at first.
    fn is_news(&self, standing: Standing) -> bool {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let is_news = match *told {
            None => standing != Standing::Up,
            Some((last, at)) => last != standing && at.elapsed() >= PAUSE_OF_NEWS,
        };
        if is_news {
            *told = Some((standing, Instant::now()));
        }
        is_news
    }
}

impl Candidate for Arc<Endpoint> {
    /// Connections and requests that are going on, those that are being connected included.
    fn load(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    fn mark(&self) -> u64 {
        self.mark
    }

    fn is(&self, other: &Self) -> bool {
        self.addr == other.addr
    }
}

/// How an endpoint did in one exchange or connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Verdict {
    /// It did not connect, did not answer in time, broke off its response, gave a bad one, or one
    /// with a status that the configuration names.
    Failed,
    /// It answered.
    Good,
}

/// A connection or a request at an endpoint; counts as load as long as it lives.
#[derive(Debug)]
pub(super) struct Load(Arc<Endpoint>);

impl Load {
    pub(super) fn new(endpoint: Arc<Endpoint>) -> Self {
        endpoint.in_flight.fetch_add(1, Ordering::Relaxed);
        Self(endpoint)
    }

    pub(super) fn endpoint(&self) -> &Arc<Endpoint> {
        &self.0
    }

    /// Remembers how the endpoint did. To be called once for each exchange or connection that came
    /// to an answer or to none; one that the client broke off says nothing of the endpoint.
    pub(super) fn note(&self, verdict: Verdict) {
        if verdict == Verdict::Good && self.0.is_down() {
            // It answers over a connection that it had already.
            self.0.tell_up(true);
        }
        if verdict == Verdict::Good && !self.0.is_suspect.load(Ordering::Relaxed) {
            return;
        }
        if let Some(members) = self.0.members.upgrade() {
            members.note(&self.0, verdict);
        }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Between two lines of the log about one endpoint.
const PAUSE_OF_NEWS: Duration = Duration::from_secs(5);

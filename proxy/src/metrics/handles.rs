//! Handles: counters with their labels already resolved, one struct for each area.

use std::marker::PhantomData;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use prometheus::{Gauge, IntGauge};

use super::labels::{
    BackendHandshake, CheckResult, CodeClass, Direction, Group, HandshakeKind, Heard, Http2Defence,
    HttpReject, HttpVersion, Limit, NotResumed, ResolveResult, SpanResult, Standing, Suite,
    TlsVersion,
};
use super::vector::{GaugeVec, HistogramVec, IntCounterVec, IntGaugeVec, Vector};
use crate::count::{COUNTS, Histogram, IntCounter};
use crate::outcome::{BackendFailure, CloseReason, HandshakeFailure, Label, StarttlsOutcome};

/// What a listener counts. Cheap to clone.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the families say what each number is")]
pub struct ListenerMetrics {
    pub connections: IntCounter,
    pub connections_active: IntGauge,
    pub connections_closed: Counters<CloseReason>,
    pub connection_duration: Histogram,
    pub bytes: Counters<Direction>,
    pub handshakes: Pairs<TlsVersion, HandshakeKind>,
    pub handshakes_not_resumed: Counters<NotResumed>,
    pub handshake_failures: Counters<HandshakeFailure>,
    pub passed_through: IntCounter,
    pub tls_eof_without_notify: IntCounter,
    pub starttls: Counters<StarttlsOutcome>,
    pub handshake_duration: Histograms<HandshakeKind>,
    pub key_exchanges: Counters<Group>,
    pub ciphers: Counters<Suite>,
    pub proxy_headers: Counters<Heard>,
    pub http_requests: Pairs<HttpVersion, CodeClass>,
    pub http_rejects: Counters<HttpReject>,
    pub http2_defences: Counters<Http2Defence>,
}

/// What a backend counts. Cheap to clone.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the families say what each number is")]
pub struct BackendMetrics {
    pub(super) name: Arc<str>,
    pub connections_active: IntGauge,
    pub connections_limit: IntGauge,
    pub responses: Counters<CodeClass>,
    pub connect_duration: Histogram,
    pub errors: Counters<BackendFailure>,
    pub retries: IntCounter,
    pub tls_handshakes: Counters<BackendHandshake>,
    pub proxy_tlvs_omitted: IntCounter,
    pub tls_eof_without_notify: IntCounter,
    pub request_duration: Histogram,
    pub(super) endpoint_up: IntGaugeVec,
    pub(super) credential_not_before: GaugeVec,
    pub(super) credential_not_after: GaugeVec,
    pub(super) crl_this_update: GaugeVec,
    pub(super) crl_next_update: GaugeVec,
    pub endpoints: Gauges<Standing>,
    pub ejections: IntCounter,
    pub health_checks: Counters<CheckResult>,
    pub resolutions: Counters<ResolveResult>,
    pub resolve_age: Gauge,
}

impl BackendMetrics {
    /// The name of the backend in the configuration.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The gauge of one endpoint, by its name in the configuration.
    pub fn endpoint_up(&self, endpoint: &str) -> IntGauge {
        self.endpoint_up.with_label_values(&[&*self.name, endpoint])
    }

    /// Shows how long what the backend shows of itself is valid; without a credential there is
    /// nothing to show.
    pub fn show_credential(&self, validity: &Range<i64>) {
        self.credential_not_before.with_label_values(&[&self.name]).set(validity.start as f64);
        self.credential_not_after.with_label_values(&[&self.name]).set(validity.end as f64);
    }

    /// Shows how long one file of revocation lists holds.
    pub fn show_crl(&self, crl: &str, validity: &Range<i64>) {
        self.crl_this_update.with_label_values(&[crl]).set(validity.start as f64);
        self.crl_next_update.with_label_values(&[crl]).set(validity.end as f64);
    }
}

/// What there is only one of.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the families say what each number is")]
pub struct ProcessMetrics {
    pub build_info: IntGaugeVec,
    pub phase: IntGaugeVec,
    pub workers: IntGauge,
    pub connections_limit: IntGauge,
    pub handshakes_limit: IntGauge,
    pub handshakes_pending: IntGauge,
    pub dialogues_pending: IntGauge,
    pub tasks: IntGauge,
    pub drain_forced: IntCounter,
    pub worker_stalls: IntCounter,
    pub workers_stalled: IntGauge,
    pub limit_hits: Counters<Limit>,
    pub memory_pressure: IntGauge,
    pub memory_used: IntGauge,
    pub memory_available: IntGauge,
    pub panics: IntCounter,
    pub log_dropped: IntCounter,
    pub log_suppressed: IntCounter,
    pub traces_exported: Counters<SpanResult>,
    pub traces_dropped: IntCounter,
    pub resumption_lookups: IntCounterVec,
    pub resumption_shared_up: Occasional<IntGauge>,
    pub resumption_shared_stored: IntCounter,
    pub resumption_shared_dropped: IntCounter,
    pub resumption_shared_lost: IntCounter,
    pub resumption_shared_errors: IntCounterVec,
    pub ticket_key_age: Gauge,
    pub ticket_key_rotation: Occasional<Gauge>,
    pub key_files_bad: IntGauge,
    pub sessions: IntGauge,
    pub session_bytes: IntGauge,
    pub session_limit: IntGauge,
    pub session_evictions: IntCounter,
    pub certificate_not_after: GaugeVec,
    pub certificate_not_before: GaugeVec,
    pub staple_next_update: GaugeVec,
    pub certificates: IntGaugeVec,
    pub certificate_watch_mode: IntGaugeVec,
    pub certificate_watch_overflows: IntCounter,
    pub client_auth_reloads: IntCounterVec,
    pub crl_this_update: GaugeVec,
    pub crl_next_update: GaugeVec,
    pub certificate_reloads: IntCounterVec,
    pub certificate_reload_success: Gauge,
    pub config_generation: IntGauge,
    pub upgrades: IntCounterVec,
    pub config_reloads: IntCounterVec,
    pub config_reload_success: Gauge,
    pub config_reload_successful: IntGauge,
}

/// A number that is shown only while it means something.
#[derive(Clone, Debug)]
pub struct Occasional<N>(Vector<N>);

impl<N: Clone> Occasional<N> {
    /// The only child of a family without labels.
    pub(super) fn new(family: &Vector<N>) -> Self {
        Self(family.clone())
    }

    /// The number, shown from now on.
    pub fn shown(&self) -> N {
        self.0.with_label_values::<&str>(&[])
    }

    /// Shows it no longer.
    pub fn hide(&self) {
        self.0.reset();
    }
}

/// A counter for each member of a closed set.
#[derive(Clone, Debug)]
pub struct Counters<K> {
    counters: Arc<[IntCounter]>,
    keys: PhantomData<K>,
}

impl<K: Label> Counters<K> {
    /// Resolves the children of a family with the labels (name, K), not all of which are shown.
    pub(super) fn resolve(family: &IntCounterVec, name: &str) -> Self {
        let child = |key: &K| family.unseen(&[name, key.label()]);
        Self { counters: K::ALL.iter().map(child).collect(), keys: PhantomData }
    }

    /// Resolves the children of a family whose only label is K.
    pub(super) fn resolve_plain(family: &IntCounterVec) -> Self {
        let child = |key: &K| family.with_label_values(&[key.label()]);
        Self { counters: K::ALL.iter().map(child).collect(), keys: PhantomData }
    }

    /// The counter of `key`.
    pub fn of(&self, key: K) -> &IntCounter {
        self.counters.get(key.index()).expect("there is a counter for each member")
    }
}

/// A gauge for each member of a closed set.
#[derive(Clone, Debug)]
pub struct Gauges<K> {
    gauges: Arc<[IntGauge]>,
    keys: PhantomData<K>,
}

impl<K: Label> Gauges<K> {
    /// Resolves the children of a family with the labels (name, K).
    pub(super) fn resolve(family: &IntGaugeVec, name: &str) -> Self {
        let child = |key: &K| family.with_label_values(&[name, key.label()]);
        Self { gauges: K::ALL.iter().map(child).collect(), keys: PhantomData }
    }

    /// The gauge of `key`.
    pub fn of(&self, key: K) -> &IntGauge {
        self.gauges.get(key.index()).expect("there is a gauge for each member")
    }
}

/// A counter for each pair of members of two closed sets.
#[derive(Clone, Debug)]
pub struct Pairs<A, B> {
    counters: Arc<[IntCounter]>,
    keys: PhantomData<(A, B)>,
}

impl<A: Label, B: Label> Pairs<A, B> {
    /// Resolves the children of a family with the labels (name, A, B).
    pub(super) fn resolve(family: &IntCounterVec, name: &str) -> Self {
        let pairs = A::ALL.iter().flat_map(|a| B::ALL.iter().map(move |b| (a, b)));
        let child = |(a, b): (&A, &B)| family.unseen(&[name, a.label(), b.label()]);
        Self { counters: pairs.map(child).collect(), keys: PhantomData }
    }

    /// The counter of the pair.
    pub fn of(&self, a: A, b: B) -> &IntCounter {
        let index = a.index() * B::ALL.len() + b.index();
        self.counters.get(index).expect("there is a counter for each pair")
    }
}

/// A histogram for each member of a closed set.
#[derive(Clone, Debug)]
pub struct Histograms<K> {
    histograms: Arc<[Histogram]>,
    keys: PhantomData<K>,
}

impl<K: Label> Histograms<K> {
    /// Resolves the children of a family with the labels (name, K).
    pub(super) fn resolve(family: &HistogramVec, name: &str) -> Self {
        let child = |key: &K| family.unseen(&[name, key.label()]);
        Self { histograms: K::ALL.iter().map(child).collect(), keys: PhantomData }
    }

    /// The histogram of `key`.
    pub fn of(&self, key: K) -> &Histogram {
        self.histograms.get(key.index()).expect("there is a histogram for each member")
    }
}

/// What passed over one connection, counted there and for its listener.
#[derive(Debug)]
pub struct Meter {
    downstream: AtomicU64,
    upstream: AtomicU64,
    listener: Counters<Direction>,
}

impl Meter {
    /// A meter at zero.
    pub fn new(listener: &Counters<Direction>) -> Self {
        let listener = listener.clone();
        Self { downstream: AtomicU64::new(0), upstream: AtomicU64::new(0), listener }
    }

    /// Counts `bytes` more.
    pub fn add(&self, direction: Direction, bytes: usize) {
        let bytes = bytes as u64;
        self.total_of(direction).fetch_add(bytes, Ordering::Relaxed);
        self.listener.of(direction).inc_by(bytes);
    }

    /// The bytes of the connection so far.
    pub fn total(&self, direction: Direction) -> u64 {
        self.total_of(direction).load(Ordering::Relaxed)
    }

    fn total_of(&self, direction: Direction) -> &AtomicU64 {
        match direction {
            Direction::Downstream => &self.downstream,
            Direction::Upstream => &self.upstream,
        }
    }
}

/// A gauge that is one higher as long as this lives.
#[derive(Debug)]
pub struct Active(IntGauge);

impl Active {
    /// Raises `gauge`.
    pub fn new(gauge: &IntGauge) -> Self {
        if COUNTS {
            gauge.inc();
        }
        Self(gauge.clone())
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        if COUNTS {
            self.0.dec();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn indices_follow_declaration<K: Label>() {
        for (place, key) in K::ALL.iter().enumerate() {
            assert_eq!(key.index(), place, "{key:?}");
        }
    }

    #[test]
    fn the_index_of_a_label_is_its_place() {
        indices_follow_declaration::<CloseReason>();
        indices_follow_declaration::<HandshakeFailure>();
        indices_follow_declaration::<StarttlsOutcome>();
        indices_follow_declaration::<BackendFailure>();
        indices_follow_declaration::<Heard>();
        indices_follow_declaration::<Suite>();
        indices_follow_declaration::<Group>();
    }
}

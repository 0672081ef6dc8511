//! The numbers that Prometheus reads.
//!
//! Owns the metric families and the handles that are resolved from them once, when a listener or a
//! backend is built, so that the path of a connection increments plain counters. Label values are
//! closed sets or names of the configuration. Refuses to know what the numbers are of: whoever
//! counts holds a handle. Names, help texts and labels stand in `families`, which handle counts
//! what in `resolve`; `reference` writes them down for people, `exposition` for scrapers. Read
//! next: `admin::page`, which serves them.

mod expect;
mod exposition;
mod families;
mod handles;
mod labels;
mod process;
mod reference;
mod resolve;
mod vector;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

pub use expect::{BackendTrait, ListenerTrait};
pub use exposition::Exposition;
pub use handles::{
    Active, BackendMetrics, Counters, Gauges, Histograms, ListenerMetrics, Meter, Occasional,
    Pairs, ProcessMetrics,
};
pub use labels::{
    BackendHandshake, CheckResult, CodeClass, Direction, Group, HandshakeKind, Heard, Http2Defence,
    HttpReject, HttpVersion, Limit, NotResumed, ResolveResult, SpanResult, Standing, Suite,
    TlsVersion,
};
pub use process::{Usage, code_bytes, own_bytes};
pub use reference::reference;
pub use vector::{GaugeVec, IntCounterVec, IntGaugeVec, Vector};

use families::Families;

/// All metrics of a process, or of a test.
pub struct Metrics {
    families: Families,
    refreshers: Mutex<Vec<Refresher>>,
    /// How many bytes they were when they were last written down.
    bytes: AtomicUsize,
}

type Refresher = Box<dyn Fn() + Send + Sync>;

impl Metrics {
    /// Numbers that nobody has counted yet.
    pub fn new() -> Self {
        let families = Families::new();
        families.begin();
        Self { families, refreshers: Mutex::default(), bytes: AtomicUsize::new(0) }
    }

    /// The handles of the listener `name`.
    pub fn listener(&self, name: &str) -> ListenerMetrics {
        self.families.listener(name)
    }

    /// The handles of the backend `name`.
    pub fn backend(&self, name: &str) -> BackendMetrics {
        self.families.backend(name)
    }

    /// Shows at zero what the listener `name` can count, being all of this.
    pub fn expect_listener(&self, name: &str, traits: &[ListenerTrait]) {
        self.families.expect_listener(name, traits);
    }

    /// Shows at zero what the backend `name` can count, being all of this.
    pub fn expect_backend(&self, name: &str, traits: &[BackendTrait]) {
        self.families.expect_backend(name, traits);
    }

    /// Lets go of the numbers of the listener `name`: there is none any more.
    pub fn forget_listener(&self, name: &str) {
        self.families.forget("listener", name);
    }

    /// Lets go of the numbers of the backend `name`: there is none any more.
    pub fn forget_backend(&self, name: &str) {
        self.families.forget("backend", name);
    }

    /// Lets go of what is shown of an endpoint: the backend has none of this name any more.
    pub fn forget_endpoint(&self, backend: &str, endpoint: &str) {
        self.families.forget_endpoint(backend, endpoint);
    }

    /// Lets go of what is shown of a file of revocation lists that is not read any more.
    pub fn forget_crl(&self, path: &str) {
        self.families.forget("crl", path);
    }

    /// The handles of what there is only one of.
    pub fn process(&self) -> ProcessMetrics {
        self.families.process()
    }

    /// Has `refresh` run before each scrape, for numbers that are read rather than counted.
    pub fn on_scrape(&self, refresh: impl Fn() + Send + Sync + 'static) {
        self.refreshers.lock().unwrap_or_else(PoisonError::into_inner).push(Box::new(refresh));
    }

    /// Reads the numbers that are read rather than counted.
    pub fn refresh(&self) {
        for refresh in self.refreshers.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            refresh();
        }
    }

    /// Everything, as it is now.
    pub fn encode(&self, exposition: Exposition) -> String {
        self.families.read_process();
        self.refresh();
        // A little more than last time, so that it need not be moved.
        let bytes = self.bytes.load(Ordering::Relaxed);
        let text = exposition.write(bytes + bytes / 16, |page| self.families.tell(page));
        self.bytes.store(text.len(), Ordering::Relaxed);
        text
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_certificates_are_watched_has_its_place_before_it_is_known() {
        let text = Metrics::new().encode(Exposition::Text);
        for mode in ["events", "poll"] {
            let line = format!("portunus_certificate_watch_mode{{mode=\"{mode}\"}} 0\n");
            assert!(text.contains(&line), "{text}");
        }
    }

    #[test]
    fn what_is_gone_is_not_shown_any_more_and_begins_anew_if_it_comes_back() {
        let metrics = Metrics::new();
        let shown = || metrics.encode(Exposition::Text);
        for name in ["web", "mail"] {
            metrics.listener(name).connections.inc();
            metrics.backend(name).endpoint_up("h:1").set(1);
        }
        metrics.forget_listener("web");
        let text = shown();
        assert!(!text.contains("listener=\"web\""), "{text}");
        assert!(text.contains("portunus_connections_total{listener=\"mail\"} 1"), "{text}");
        assert!(text.contains("backend=\"web\""), "{text}");
        metrics.forget_backend("web");
        assert!(!shown().contains("\"web\""));
        metrics.listener("web").connections.inc();
        assert!(shown().contains("portunus_connections_total{listener=\"web\"} 1"));
    }
}

//! The numbers of resumption, read before each scrape.
//!
//! Owns how what the tiers count becomes what is shown. Tiers begin to count anew when they are
//! replaced, and what is shown never goes back: only what was added since the last time is.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use portunus_certs::session::engine::ErrorKind;
use portunus_certs::session::memory::SessionCache;
use portunus_certs::session::shared::SharedTier;
use portunus_certs::session::trace::{LookupResult, Tier};
use portunus_certs::tickets::TicketKeys;

use crate::count::IntCounter;
use crate::metrics::ProcessMetrics;

use super::Sessions;

/// What was shown of one set of sessions.
#[derive(Debug, Default)]
pub(super) struct Shown(Mutex<HashMap<(&'static str, &'static str), u64>>);

impl Sessions {
    /// Has the metrics say what they can only say when they are asked.
    pub(in crate::runtime) fn show(&self, process: &ProcessMetrics) {
        let shown = &*self.shown;
        shown.memory(process, &self.memory);
        match &self.store {
            Some(store) => store.shown.shared(process, &store.tier),
            None => process.resumption_shared_up.hide(),
        }
        if let Some(tickets) = &self.tickets {
            shown.tickets(process, tickets);
        }
    }
}

impl Shown {
    /// Adds to `counter` what `total` has grown by since the last time.
    fn grow(&self, of: (&'static str, &'static str), counter: &IntCounter, total: u64) {
        let mut shown = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let last = shown.insert(of, total).unwrap_or_default();
        counter.inc_by(total.saturating_sub(last));
    }

    fn memory(&self, process: &ProcessMetrics, memory: &SessionCache) {
        let stats = memory.stats();
        process.sessions.set(stats.sessions as i64);
        process.session_bytes.set(stats.bytes as i64);
        self.grow(("memory", "evictions"), &process.session_evictions, stats.evictions);
        let results = [
            (LookupResult::Hit, stats.hits),
            (LookupResult::Miss, stats.misses),
            (LookupResult::Expired, stats.expired),
            (LookupResult::Policy, stats.policy),
        ];
        for (result, total) in results {
            self.lookups(process, Tier::Memory, result, total);
        }
    }

    fn shared(&self, process: &ProcessMetrics, shared: &Arc<SharedTier>) {
        let stats = shared.stats();
        process.resumption_shared_up.shown().set(i64::from(!stats.is_open));
        self.grow(("shared", "lost"), &process.resumption_shared_lost, stats.unknown);
        self.grow(("shared", "stored"), &process.resumption_shared_stored, stats.stored);
        self.grow(("shared", "dropped"), &process.resumption_shared_dropped, stats.queue_dropped);
        for result in LookupResult::ALL {
            self.lookups(process, Tier::Shared, result, stats.lookups(result));
        }
        for kind in ErrorKind::ALL {
            let errors = process.resumption_shared_errors.with_label_values(&[kind.label()]);
            self.grow(("errors", kind.label()), &errors, stats.errors(kind));
        }
    }

    fn tickets(&self, process: &ProcessMetrics, tickets: &TicketKeys) {
        let stats = tickets.stats();
        process.ticket_key_age.set(stats.age.unwrap_or_default().as_secs_f64());
        let results = [
            (LookupResult::Hit, stats.hit),
            (LookupResult::Miss, stats.miss),
            (LookupResult::Expired, stats.expired),
            (LookupResult::Policy, stats.policy),
        ];
        for (result, total) in results {
            self.lookups(process, Tier::Ticket, result, total);
        }
    }

    fn lookups(&self, process: &ProcessMetrics, tier: Tier, result: LookupResult, total: u64) {
        let labels = [tier.label(), result.label()];
        let lookups = process.resumption_lookups.with_label_values(&labels);
        self.grow((tier.label(), result.label()), &lookups, total);
    }
}

//! What happened at the shared tier, in numbers.
//!
//! Owns the counters and [`TierStats`], their reading. Refuses to know metrics.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::session::engine::ErrorKind;
use crate::session::seal::OpenError;
use crate::session::trace::LookupResult;

/// The numbers of a shared tier: some that stand for its state, and what happened since it was
/// made.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct TierStats {
    /// Sessions that lie in the store, or did until they were fetched or expired.
    pub stored: u64,
    /// Sessions that the store certainly did not take; they stayed in memory.
    pub refused: u64,
    /// Sessions of which nobody knows whether the store took them, forgotten here for that
    /// reason.
    pub unknown: u64,
    /// Sessions that left the queue for lack of room, and stayed in memory.
    pub queue_dropped: u64,
    /// Sessions that wait for their hand-over.
    pub queued: u64,
    /// Look-ups that wait for the store.
    pub in_flight: u64,
    /// Whether the store is left alone since it failed.
    pub is_open: bool,
    /// How often that came about.
    pub opened_total: u64,
    pub(super) lookups: [u64; LookupResult::ALL.len()],
    pub(super) errors: [u64; ErrorKind::ALL.len()],
    pub(super) rejected: [u64; OPEN_ERRORS],
}

impl TierStats {
    /// Look-ups that came to `result`. Those that were not made because the store is left alone
    /// count as errors, those for which there was no slot as time-outs.
    #[must_use]
    pub fn lookups(&self, result: LookupResult) -> u64 {
        self.lookups.get(lookup_index(result)).copied().unwrap_or_default()
    }

    /// Calls of the engine that failed in this manner, probes included.
    #[must_use]
    pub fn errors(&self, kind: ErrorKind) -> u64 {
        self.errors.get(kind as usize).copied().unwrap_or_default()
    }

    /// Entries of the store that were of no use for this reason.
    #[must_use]
    pub fn rejected(&self, reason: OpenError) -> u64 {
        self.rejected.get(reason as usize).copied().unwrap_or_default()
    }
}

#[derive(Default)]
pub(super) struct Counters {
    pub(super) stored: AtomicU64,
    pub(super) refused: AtomicU64,
    pub(super) unknown: AtomicU64,
    lookups: [AtomicU64; LookupResult::ALL.len()],
    errors: [AtomicU64; ErrorKind::ALL.len()],
    rejected: [AtomicU64; OPEN_ERRORS],
}

impl Counters {
    pub(super) fn looked_up(&self, result: LookupResult) {
        add_one(self.lookups.get(lookup_index(result)));
    }

    pub(super) fn failed(&self, kind: ErrorKind) {
        add_one(self.errors.get(kind as usize));
    }

    pub(super) fn rejected(&self, reason: OpenError) {
        add_one(self.rejected.get(reason as usize));
    }

    /// What is counted here; the rest is left at nothing.
    pub(super) fn read(&self) -> TierStats {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        TierStats {
            stored: load(&self.stored),
            refused: load(&self.refused),
            unknown: load(&self.unknown),
            lookups: self.lookups.each_ref().map(load),
            errors: self.errors.each_ref().map(load),
            rejected: self.rejected.each_ref().map(load),
            ..TierStats::default()
        }
    }
}

/// The results are numbered from one.
fn lookup_index(result: LookupResult) -> usize {
    (result as usize).saturating_sub(LookupResult::Miss as usize)
}

fn add_one(counter: Option<&AtomicU64>) {
    if let Some(counter) = counter {
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

const OPEN_ERRORS: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_counted_under_its_own_name() {
        let reasons =
            [OpenError::Damaged, OpenError::Policy, OpenError::UnknownKey, OpenError::Version];
        let counters = Counters::default();
        LookupResult::ALL.into_iter().for_each(|result| counters.looked_up(result));
        ErrorKind::ALL.into_iter().for_each(|kind| counters.failed(kind));
        reasons.into_iter().for_each(|reason| counters.rejected(reason));
        let stats = counters.read();
        assert!(LookupResult::ALL.into_iter().all(|result| stats.lookups(result) == 1));
        assert!(ErrorKind::ALL.into_iter().all(|kind| stats.errors(kind) == 1));
        assert!(reasons.into_iter().all(|reason| stats.rejected(reason) == 1));
    }
}

//! The numbers of tickets and ticket keys.
//!
//! Owns [`TicketStats`], a reading, and the counters behind it. Refuses to know metrics.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::Source;
use crate::session::trace::LookupResult;

/// What became of tickets so far, and the keys of this moment.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct TicketStats {
    /// Tickets that opened.
    pub hit: u64,
    /// Those whose key is not known, and what is no ticket of ours.
    pub miss: u64,
    /// Those that are too old.
    pub expired: u64,
    /// Those whose key is known and that do not open with it: they belong to another policy, or
    /// are damaged. The one cannot be told from the other.
    pub policy: u64,
    /// Those that were not looked at, since the connection had offered enough of them.
    pub truncated: u64,
    /// Tickets that were made.
    pub sealed: u64,
    /// Sessions of which no ticket was made, being too large or for want of a key.
    pub refused: u64,
    /// Keys that open.
    pub keys: usize,
    /// Where the key that seals comes from; `None` if none does.
    pub sealing: Option<Source>,
    /// See [`super::TicketKeys::age`].
    pub age: Option<Duration>,
}

/// What [`TicketStats`] is read from.
#[derive(Default)]
pub(super) struct Counts {
    pub(super) hit: AtomicU64,
    pub(super) miss: AtomicU64,
    pub(super) expired: AtomicU64,
    pub(super) policy: AtomicU64,
    pub(super) truncated: AtomicU64,
    pub(super) sealed: AtomicU64,
    pub(super) refused: AtomicU64,
}

impl Counts {
    /// The part of the numbers that is counted.
    pub(super) fn read(&self) -> TicketStats {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        TicketStats {
            hit: read(&self.hit),
            miss: read(&self.miss),
            expired: read(&self.expired),
            policy: read(&self.policy),
            truncated: read(&self.truncated),
            sealed: read(&self.sealed),
            refused: read(&self.refused),
            ..TicketStats::default()
        }
    }

    pub(super) fn note(&self, result: LookupResult) {
        let count = match result {
            LookupResult::Hit => &self.hit,
            LookupResult::Expired => &self.expired,
            LookupResult::Policy => &self.policy,
            LookupResult::Miss | LookupResult::Timeout | LookupResult::Error => &self.miss,
        };
        count.fetch_add(1, Ordering::Relaxed);
    }
}

//! Why a connection resumed, or did not.
//!
//! Owns the words: [`Tier`], [`LookupResult`], and [`Trace`], in which every store and every
//! ticketer of one connection writes what it found. Refuses to know metrics and logs.

use std::sync::atomic::{AtomicU8, Ordering};

/// Where a session was looked for.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Tier {
    /// In the memory of the process.
    Memory,
    /// In the store that processes share.
    Shared,
    /// In what the client brought, sealed.
    Ticket,
}

/// What came of it. Ordered by how much it explains: what is found wins over what is wrong with
/// it, and that over nothing.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[repr(u8)]
pub enum LookupResult {
    /// It is not there, or its ticket key is not known.
    Miss = 1,
    /// The store did not answer in time.
    Timeout,
    /// The store failed, or what it holds is not what was put there.
    Error,
    /// It is too old.
    Expired,
    /// It belongs to another policy or to another protocol version.
    Policy,
    /// It is there.
    Hit,
}

impl Tier {
    /// Its name as metrics and logs have it.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Shared => "shared",
            Self::Ticket => "ticket",
        }
    }
}

impl LookupResult {
    /// Every result.
    pub const ALL: [Self; 6] =
        [Self::Miss, Self::Timeout, Self::Error, Self::Expired, Self::Policy, Self::Hit];

    /// Its name as metrics and logs have it.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Miss => "miss",
            Self::Timeout => "timeout",
            Self::Error => "error",
            Self::Expired => "expired",
            Self::Policy => "policy",
            Self::Hit => "hit",
        }
    }
}

/// What the look-ups of one connection came to: the one that explains most.
#[derive(Debug, Default)]
pub struct Trace(AtomicU8);

impl Trace {
    /// Takes note of a look-up.
    pub fn note(&self, result: LookupResult) {
        self.0.fetch_max(result as u8, Ordering::Relaxed);
    }

    /// What explains most; `None` if nothing was looked up.
    #[must_use]
    pub fn result(&self) -> Option<LookupResult> {
        let noted = self.0.load(Ordering::Relaxed);
        LookupResult::ALL.into_iter().find(|result| *result as u8 == noted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_explains_most_is_what_remains() {
        let trace = Trace::default();
        assert_eq!(trace.result(), None);
        let steps = [
            (LookupResult::Miss, LookupResult::Miss),
            (LookupResult::Policy, LookupResult::Policy),
            (LookupResult::Timeout, LookupResult::Policy),
            (LookupResult::Hit, LookupResult::Hit),
            (LookupResult::Expired, LookupResult::Hit),
        ];
        for (noted, remains) in steps {
            trace.note(noted);
            assert_eq!(trace.result(), Some(remains));
        }
    }
}

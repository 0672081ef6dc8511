//! What the store holds of a hello's sessions, before TLS begins.
//!
//! Owns the one question that a connection asks the store: for every id that memory lacks, under
//! every key that it may lie under, in one call, within the budget. The answer is opened in the
//! connection's context, and waits in [`Prefetched`] for rustls to ask. Refuses to know rustls.
//!
//! A session of another policy that may be used once is lost by being asked for: the store knows
//! no policies, and deletes what it hands out. It costs its client a full handshake, and whoever
//! can offer the session could as well have used it up.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::timeout;

use super::SharedTier;
use crate::session::ContextId;
use crate::session::engine::{EngineError, ErrorKind, Wanted};
use crate::session::id::{Offered, SessionId, Traits, Use};
use crate::session::memory::Exported;
use crate::session::seal::{ENTRY_OVERHEAD_BYTES, KEYS_MAX, OpenError, SealingKeys};
use crate::session::trace::LookupResult;

/// What came of one connection's question to the store.
#[derive(Default)]
pub struct Prefetched([Option<Found>; IDS_MAX]);

/// What came of one id.
pub(in crate::session) struct Found {
    id: SessionId,
    usage: Use,
    /// What is to be noted of it.
    pub(in crate::session) result: LookupResult,
    /// The session itself, in the context that it was opened in.
    pub(in crate::session) session: Option<Exported>,
}

impl Prefetched {
    /// Gives away what came of this id.
    pub(in crate::session) fn take(&mut self, id: &SessionId, usage: Use) -> Option<Found> {
        let is_it = |found: &mut Found| found.id == *id && found.usage == usage;
        self.0.iter_mut().find_map(|found| found.take_if(is_it))
    }

    /// Whether there is a session of this id, in this context, still to be given away, and it suits
    /// a connection that will be `wanted`.
    pub(in crate::session) fn suits(
        &self,
        id: &SessionId,
        usage: Use,
        context: &ContextId,
        wanted: &Traits<'_>,
    ) -> bool {
        let found = self.0.iter().flatten().find(|found| found.id == *id && found.usage == usage);
        let session = found.and_then(|found| found.session.as_ref());
        session.is_some_and(|exported| {
            exported.context == *context
                && Traits::of(&exported.session).is_some_and(|traits| traits.suit(wanted))
        })
    }

    /// What came of each id that was looked up.
    pub fn results(&self) -> impl Iterator<Item = LookupResult> {
        self.0.iter().flatten().map(|found| found.result)
    }
}

impl SharedTier {
    /// Asks the store for those of the offered sessions that memory lacks. Never fails and never
    /// takes longer than [`super::Options::timeout`], which ends with a whole millisecond; returns
    /// at once if there is nothing to ask for, or nobody to ask.
    pub async fn prefetch(&self, offered: &Offered, context: &ContextId) -> Prefetched {
        let asked = self.lacking(offered, context);
        if asked.iter().all(Option::is_none) {
            return Prefetched::default();
        }
        if !self.is_available() {
            return self.nothing(asked, LookupResult::Error);
        }
        let Some(_slot) = Slot::take(&self.in_flight, self.options.in_flight_max) else {
            return self.nothing(asked, LookupResult::Timeout);
        };
        let keys = self.keys.load_full();
        let mut wanted = [Wanted { key: [0; 32], usage: Use::Single }; WANTED_MAX];
        let places = asked.iter().flatten().flat_map(|(usage, id)| {
            keys.entry_keys(*usage, id).map(|key| Wanted { key, usage: *usage })
        });
        let mut count = 0;
        for (slot, place) in wanted.iter_mut().zip(places) {
            *slot = place;
            count += 1;
        }
        let wanted = wanted.get(..count).unwrap_or_default();
        let answer = timeout(self.options.timeout, self.engine.fetch(wanted)).await;
        match answer.unwrap_or_else(|_| Err(ErrorKind::Timeout.into())) {
            Ok(entries) if entries.len() == count => {
                self.answered();
                self.found(asked, &keys, context, &entries)
            }
            Ok(_) => {
                self.failed(EngineError::new(ErrorKind::Other, "an answer of another length"));
                self.nothing(asked, LookupResult::Error)
            }
            Err(error) => {
                let is_late = error.kind() == ErrorKind::Timeout;
                self.failed(error);
                let result = if is_late { LookupResult::Timeout } else { LookupResult::Error };
                self.nothing(asked, result)
            }
        }
    }

    /// Takes a TLS 1.2 session out of the store, so that nobody resumes it any more. Waits no
    /// longer than a look-up; a store that is away keeps it until it expires.
    pub(in crate::session) async fn forget(&self, id: &SessionId) {
        if !self.is_available() {
            return;
        }
        let keys = self.keys();
        let taken = keys.entry_keys(Use::Repeated, id);
        let taken: Vec<_> = taken.map(|key| Wanted { key, usage: Use::Single }).collect();
        let answer = timeout(self.options.timeout, self.engine.fetch(&taken)).await;
        match answer.unwrap_or_else(|_| Err(ErrorKind::Timeout.into())) {
            Ok(_) => self.answered(),
            Err(error) => self.failed(error),
        }
    }

    /// The ids that memory does not hold, each once.
    fn lacking(&self, offered: &Offered, context: &ContextId) -> Asked {
        let mut asked: Asked = [None; IDS_MAX];
        for (slot, (usage, id)) in offered.ids().enumerate().take(IDS_MAX) {
            let is_known = asked.contains(&Some((usage, id)));
            if !is_known && !self.memory.contains(&id, *context, usage) {
                asked.iter_mut().skip(slot).take(1).for_each(|slot| *slot = Some((usage, id)));
            }
        }
        asked
    }

    fn nothing(&self, asked: Asked, result: LookupResult) -> Prefetched {
        Prefetched(asked.map(|asked| {
            let (usage, id) = asked?;
            self.counters.looked_up(result);
            Some(Found { id, usage, result, session: None })
        }))
    }

    fn found(
        &self,
        asked: Asked,
        keys: &SealingKeys,
        context: &ContextId,
        entries: &[Option<Vec<u8>>],
    ) -> Prefetched {
        let mut entries = entries.chunks(entries.len() / asked.iter().flatten().count().max(1));
        Prefetched(asked.map(|asked| {
            let (usage, id) = asked?;
            let entries = entries.next().unwrap_or_default();
            let mut result = LookupResult::Miss;
            let mut session = None;
            for entry in entries.iter().flatten() {
                match self.open(keys, usage, context, &id, entry) {
                    Ok(opened) => (result, session) = (LookupResult::Hit, Some(opened)),
                    Err(fault) => result = result.max(fault),
                }
            }
            self.counters.looked_up(result);
            Some(Found { id, usage, result, session })
        }))
    }

    /// The session in an entry, if it is one of ours, of this context, and not too old.
    fn open(
        &self,
        keys: &SealingKeys,
        usage: Use,
        context: &ContextId,
        id: &SessionId,
        entry: &[u8],
    ) -> Result<Exported, LookupResult> {
        let limits = self.memory.options();
        let opened = if entry.len() > limits.entry_bytes_max + ENTRY_OVERHEAD_BYTES {
            Err(OpenError::Damaged)
        } else {
            keys.open(usage, context, id, entry)
        };
        let opened = opened.map_err(|reason| {
            self.counters.rejected(reason);
            match reason {
                OpenError::Policy => LookupResult::Policy,
                OpenError::Damaged | OpenError::UnknownKey | OpenError::Version => {
                    LookupResult::Error
                }
            }
        })?;
        // Without a clock nothing has an age, and what has none is too old.
        let now = self.wall_secs().ok_or(LookupResult::Expired)?;
        let age = age(opened.issued_at, now, limits.lifetime).ok_or(LookupResult::Expired)?;
        Ok(Exported { context: *context, usage, session: opened.session, age })
    }
}

/// How old an entry is, unless that is more than its lifetime. One that comes from the future is
/// new if the clocks of two machines explain it, and worth nothing otherwise.
pub(super) fn age(issued_at: u64, now: u64, lifetime: Duration) -> Option<Duration> {
    if issued_at.saturating_sub(now) > SKEW_SECS_MAX {
        return None;
    }
    let age = Duration::from_secs(now.saturating_sub(issued_at));
    (age < lifetime).then_some(age)
}

/// One look-up that waits for the store, counted for as long as it lives.
pub(super) struct Slot<'a>(&'a AtomicUsize);

impl<'a> Slot<'a> {
    /// Takes one of `most`, if there is one left.
    fn take(taken: &'a AtomicUsize, most: usize) -> Option<Self> {
        let one_more = |count| (count < most).then_some(count + 1);
        taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).ok()?;
        Some(Self(taken))
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl fmt::Debug for Prefetched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.results()).finish()
    }
}

/// What is asked for, in the order of the client.
type Asked = [Option<(Use, SessionId)>; IDS_MAX];

const IDS_MAX: usize = 2;
const WANTED_MAX: usize = IDS_MAX * KEYS_MAX;
/// How far apart the clocks of two machines may be.
const SKEW_SECS_MAX: u64 = 60;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_has_an_age_from_just_now_to_its_lifetime_and_a_minute_of_skew() {
        let hour = Duration::from_secs(3600);
        let cases = [
            (1_000, Some(0)),
            (999, Some(1)),
            (1_060, Some(0)),
            (1_061, None),
            (u64::MAX, None),
            (0, Some(1_000)),
        ];
        for (issued_at, expected) in cases {
            assert_eq!(age(issued_at, 1_000, hour), expected.map(Duration::from_secs));
        }
        assert_eq!(age(1_000, 4_599, hour), Some(Duration::from_secs(3_599)));
        assert_eq!(age(1_000, 4_600, hour), None);
    }
}

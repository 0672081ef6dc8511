//! One shard of the memory: a map, a queue in order of arrival, and the rules of forgetting.
//!
//! Owns the bound on bytes and the expiry. Pure: time is an argument, nothing locks.
//!
//! Every session lives equally long, so the order of arrival is also the order of expiry, and one
//! queue serves both: eviction and expiry take from its front. A session that was taken leaves its
//! place in the queue behind, and such places are swept when they outnumber the living. One that
//! comes from elsewhere is older than its place says: a look-up knows better, and it is cleared
//! away no later than if it had been made here.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};
use std::time::Duration;

use zeroize::Zeroizing;

use super::{Exported, SessionStats};
use crate::session::ContextId;
use crate::session::id::{SessionId, Use};
use crate::session::trace::LookupResult;

#[derive(Default)]
pub(super) struct Shard {
    entries: HashMap<SessionId, Entry, BuildHasherDefault<Verbatim>>,
    queue: VecDeque<(SessionId, u64)>,
    limits: Limits,
    bytes: usize,
    next_ticket: u64,
    stored: u64,
    hits: u64,
    misses: u64,
    expired: u64,
    policy: u64,
    exported: u64,
    imported: u64,
    evictions: u64,
}

impl Shard {
    pub(super) fn put(&mut self, key: SessionId, entry: Entry, now: Duration) -> bool {
        let is_in = self.insert(key, entry, now);
        self.stored += u64::from(is_in);
        is_in
    }

    /// Like [`Self::put`], for a session that was made before `now`.
    pub(super) fn import(&mut self, key: SessionId, entry: Entry, now: Duration) -> bool {
        let is_in = !entry.is_expired(self.limits, now) && self.insert(key, entry, now);
        self.imported += u64::from(is_in);
        is_in
    }

    /// The session with its age, which stays only if it may be used repeatedly.
    pub(super) fn export(&mut self, key: &SessionId, now: Duration) -> Option<Exported> {
        let entry = self.entries.get(key).filter(|entry| !entry.is_expired(self.limits, now))?;
        let exported = Exported {
            context: entry.context,
            usage: entry.usage,
            session: Zeroizing::new(entry.value.to_vec()),
            age: now.saturating_sub(entry.stored_at),
        };
        if entry.usage == Use::Single {
            self.remove(key);
        }
        self.exported += 1;
        Some(exported)
    }

    /// The session that came first, with its age, which is there no longer; none if it is longer
    /// than `room`.
    pub(super) fn depart(&mut self, room: usize, now: Duration) -> Option<(SessionId, Exported)> {
        loop {
            let (key, ticket) = *self.queue.front()?;
            let entry = self.entries.get(&key).filter(|entry| entry.ticket == ticket);
            let living = entry.filter(|entry| !entry.is_expired(self.limits, now));
            if living.is_some_and(|entry| entry.value.len() > room) {
                return None;
            }
            let (is_own, is_living) = (entry.is_some(), living.is_some());
            self.queue.pop_front();
            let Some(entry) = is_own.then(|| self.remove(&key)).flatten() else { continue };
            if is_living {
                self.exported += 1;
                let age = now.saturating_sub(entry.stored_at);
                let Entry { value, context, usage, .. } = entry;
                let session = Zeroizing::new(value.to_vec());
                return Some((key, Exported { context, usage, session, age }));
            }
        }
    }

    fn insert(&mut self, key: SessionId, mut entry: Entry, now: Duration) -> bool {
        let bytes = entry.bytes();
        let Limits { bytes_max, entry_bytes_max, .. } = self.limits;
        if entry.value.len() > entry_bytes_max || bytes > bytes_max {
            return false;
        }
        self.remove(&key);
        self.expire(now, EXPIRED_PER_PUT);
        while self.bytes + bytes > bytes_max && self.evict() {}
        entry.ticket = self.next_ticket;
        self.queue.push_back((key, entry.ticket));
        self.next_ticket += 1;
        self.bytes += bytes;
        self.entries.insert(key, entry);
        true
    }

    /// Whether `key` may be used in this manner, and why not.
    pub(super) fn find(
        &self,
        key: &SessionId,
        context: ContextId,
        usage: Use,
        now: Duration,
    ) -> Result<(), LookupResult> {
        match self.entries.get(key) {
            None => Err(LookupResult::Miss),
            Some(entry) if entry.is_expired(self.limits, now) => Err(LookupResult::Expired),
            Some(entry) if entry.context != context || entry.usage != usage => {
                Err(LookupResult::Policy)
            }
            Some(_) => Ok(()),
        }
    }

    /// The session, if `key` may be used in this manner.
    pub(super) fn peek(
        &self,
        key: &SessionId,
        context: ContextId,
        usage: Use,
        now: Duration,
    ) -> Option<&[u8]> {
        self.find(key, context, usage, now).ok()?;
        self.entries.get(key).map(|entry| &*entry.value as &[u8])
    }

    /// The same, counted; and what is too old is gone.
    pub(super) fn look_up(
        &mut self,
        key: &SessionId,
        context: ContextId,
        usage: Use,
        now: Duration,
    ) -> Result<(), LookupResult> {
        let found = self.find(key, context, usage, now);
        match found {
            Ok(()) => self.hits += 1,
            Err(LookupResult::Expired) => {
                self.expired += 1;
                self.remove(key);
            }
            Err(LookupResult::Policy) => self.policy += 1,
            Err(_) => self.misses += 1,
        }
        found
    }

    pub(super) fn age_of(&self, key: &SessionId, now: Duration) -> Option<Duration> {
        self.entries.get(key).map(|entry| now.saturating_sub(entry.stored_at))
    }

    /// The session itself, which stays.
    pub(super) fn copy_of(&self, key: &SessionId) -> Option<Vec<u8>> {
        self.entries.get(key).map(|entry| entry.value.to_vec())
    }

    /// The session itself, which is there no longer.
    pub(super) fn take(&mut self, key: &SessionId) -> Option<Vec<u8>> {
        self.remove(key).map(|entry| entry.value.to_vec())
    }

    fn remove(&mut self, key: &SessionId) -> Option<Entry> {
        let entry = self.entries.remove(key)?;
        self.bytes -= entry.bytes();
        self.sweep();
        Some(entry)
    }

    /// Drops the oldest session; false if there is none.
    pub(super) fn evict(&mut self) -> bool {
        while let Some((key, ticket)) = self.queue.pop_front() {
            if self.entries.get(&key).is_some_and(|entry| entry.ticket == ticket) {
                self.remove(&key);
                self.evictions += 1;
                return true;
            }
        }
        false
    }

    /// Drops at most `most` sessions that are past their time, so that no put pays for all.
    fn expire(&mut self, now: Duration, most: usize) {
        for _ in 0..most {
            let Some((key, ticket)) = self.queue.front().copied() else {
                return;
            };
            match self.entries.get(&key) {
                Some(entry) if entry.ticket == ticket => {
                    if !entry.is_expired(self.limits, now) {
                        return;
                    }
                    self.queue.pop_front();
                    self.remove(&key);
                }
                _ => drop(self.queue.pop_front()),
            }
        }
    }

    /// Keeps the places that nobody holds any more from outnumbering the others; each sweep pays
    /// for itself with the removals before it.
    fn sweep(&mut self) {
        if self.queue.len() > 2 * self.entries.len() + QUEUE_SLACK {
            let entries = &self.entries;
            self.queue.retain(|(key, ticket)| {
                entries.get(key).is_some_and(|entry| entry.ticket == *ticket)
            });
        }
    }

    pub(super) fn limit(&mut self, limits: Limits, now: Duration) {
        self.limits = limits;
        self.expire(now, usize::MAX);
        while self.bytes > limits.bytes_max && self.evict() {}
    }

    pub(super) fn clear(&mut self) {
        self.entries.clear();
        self.queue.clear();
        self.bytes = 0;
    }

    pub(super) fn add_to(&self, stats: &mut SessionStats) {
        stats.sessions += self.entries.len() as u64;
        stats.bytes += self.bytes as u64;
        stats.stored += self.stored;
        stats.hits += self.hits;
        stats.misses += self.misses;
        stats.expired += self.expired;
        stats.policy += self.policy;
        stats.exported += self.exported;
        stats.imported += self.imported;
        stats.evictions += self.evictions;
    }
}

pub(super) struct Entry {
    /// The session, which is secret.
    value: Zeroizing<Box<[u8]>>,
    context: ContextId,
    stored_at: Duration,
    /// Which place in the queue is its own; an older one under the same id is not.
    ticket: u64,
    usage: Use,
}

impl Entry {
    pub(super) fn new(context: ContextId, usage: Use, value: &[u8], now: Duration) -> Self {
        Self { value: Zeroizing::new(value.into()), context, stored_at: now, ticket: 0, usage }
    }

    fn bytes(&self) -> usize {
        self.value.len() + ENTRY_OVERHEAD_BYTES
    }

    fn is_expired(&self, limits: Limits, now: Duration) -> bool {
        now.saturating_sub(self.stored_at) >= limits.lifetime
    }
}

#[derive(Clone, Copy, Default)]
pub(super) struct Limits {
    pub(super) bytes_max: usize,
    pub(super) entry_bytes_max: usize,
    pub(super) lifetime: Duration,
}

/// Passes a [`SessionId`]'s own bytes through.
#[derive(Default)]
struct Verbatim(u64);

impl Hasher for Verbatim {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = value;
    }
}

/// What a session costs beside its own bytes, in the worst case: a slot of the map at its lowest
/// load (120 bytes at 7/16), two places in a queue that has just doubled (4 × 40), and the
/// allocator's share of the value.
pub(super) const ENTRY_OVERHEAD_BYTES: usize = 460;
/// More than arrive at once, so the expired never pile up.
const EXPIRED_PER_PUT: usize = 4;
const QUEUE_SLACK: usize = 64;

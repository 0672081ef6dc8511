//! The memory of sessions that all workers and all sites share.
//!
//! Owns a map from session id to session, bounded in bytes, expiring, and split
//! into shards so that workers seldom meet. Its lifetime is that of the process: reloads come and
//! go above it. It knows contexts as opaque bytes; what they mean is [`super`]. Sessions leave it
//! and come back with their age, as `Exported`; where they go is nothing to it.
//!
//! `shard` is where sessions lie, `parcel` how they go to another process; this file is what the
//! shards have in common.

mod parcel;
mod shard;

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use zeroize::Zeroizing;

use super::ContextId;
use super::id::{SessionId, Traits, Use};
use super::trace::LookupResult;
pub use parcel::ParcelError;
use shard::{Entry, Limits, Shard};

/// How much is remembered, and for how long.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Options {
    /// The most that all sessions together may occupy, bookkeeping included. Zero turns the cache
    /// off.
    pub bytes_max: usize,
    /// The largest session that is kept; one that holds a client's certificate chain can be large.
    pub entry_bytes_max: usize,
    /// How long a session can be resumed.
    pub lifetime: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            bytes_max: 64 << 20,
            entry_bytes_max: 8 << 10,
            lifetime: Duration::from_secs(60 * 60),
        }
    }
}

/// The sessions of a process.
pub struct SessionCache {
    shards: Box<[Mutex<Shard>]>,
    options: Mutex<Options>,
    bytes_max: AtomicU64,
    epoch: Instant,
    refused: AtomicU64,
    truncated: AtomicU64,
}

impl SessionCache {
    /// An empty cache. It allocates as sessions come.
    #[must_use]
    pub fn new(options: Options) -> Self {
        let shards = (options.bytes_max / SHARD_BYTES_MIN).clamp(1, SHARDS_MAX);
        let shards = if shards.is_power_of_two() { shards } else { shards.next_power_of_two() / 2 };
        let cache = Self {
            shards: (0..shards).map(|_| Mutex::default()).collect(),
            options: Mutex::new(options),
            bytes_max: AtomicU64::new(0),
            epoch: Instant::now(),
            refused: AtomicU64::new(0),
            truncated: AtomicU64::new(0),
        };
        cache.reconfigure(options);
        cache
    }

    /// Takes other limits while running. Sessions stay as far as the new limits allow.
    pub fn reconfigure(&self, options: Options) {
        let now = self.now();
        *self.options.lock().unwrap_or_else(PoisonError::into_inner) = options;
        self.bytes_max.store(options.bytes_max as u64, Ordering::Relaxed);
        let share = Limits {
            bytes_max: options.bytes_max / self.shards.len(),
            entry_bytes_max: options.entry_bytes_max,
            lifetime: options.lifetime,
        };
        for shard in &self.shards {
            lock(shard).limit(share, now);
        }
    }

    /// The limits that hold now.
    #[must_use]
    pub fn options(&self) -> Options {
        *self.options.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The numbers of this moment.
    #[must_use]
    pub fn stats(&self) -> SessionStats {
        let mut stats = SessionStats {
            refused: self.refused.load(Ordering::Relaxed),
            truncated: self.truncated.load(Ordering::Relaxed),
            ..SessionStats::default()
        };
        for shard in &self.shards {
            lock(shard).add_to(&mut stats);
        }
        stats
    }

    /// Whether anything is remembered at all.
    #[must_use]
    pub fn is_enabled(&self) -> bool {
        self.bytes_max.load(Ordering::Relaxed) > 0
    }

    /// Forgets one session.
    pub(super) fn forget(&self, id: &SessionId) {
        if let Some(mut shard) = self.shard(id) {
            shard.take(id);
        }
    }

    /// Forgets everything.
    pub fn clear(&self) {
        for shard in &self.shards {
            lock(shard).clear();
        }
    }

    pub(super) fn put(&self, key: SessionId, context: ContextId, value: Vec<u8>) -> bool {
        self.put_at(key, context, value, self.now())
    }

    pub(super) fn get(&self, key: &SessionId, context: ContextId) -> Result<Vec<u8>, LookupResult> {
        self.get_at(key, context, self.now())
    }

    pub(super) fn take(
        &self,
        key: &SessionId,
        context: ContextId,
    ) -> Result<Vec<u8>, LookupResult> {
        self.take_at(key, context, self.now())
    }

    /// How old a session is that is there. Not counted as a look-up.
    pub(super) fn age_of(&self, key: &SessionId) -> Option<Duration> {
        let now = self.now();
        self.shard(key)?.age_of(key, now)
    }

    /// Whether a look-up would find the session. Not counted as one.
    pub(super) fn contains(&self, key: &SessionId, context: ContextId, usage: Use) -> bool {
        let now = self.now();
        self.shard(key).is_some_and(|shard| shard.find(key, context, usage, now).is_ok())
    }

    /// Whether a look-up would find the session, and it suits a connection that will be `wanted`.
    pub(super) fn suits(&self, key: &SessionId, context: ContextId, wanted: &Traits<'_>) -> bool {
        let now = self.now();
        self.shard(key).is_some_and(|shard| {
            let session = shard.peek(key, context, wanted.usage, now);
            session.and_then(Traits::of).is_some_and(|traits| traits.suit(wanted))
        })
    }

    /// The session for another place: moved if it may be used once, and copied otherwise. Not
    /// counted as a look-up.
    pub(super) fn export(&self, key: &SessionId) -> Option<Exported> {
        self.export_at(key, self.now())
    }

    /// Lays down a session that has an age already; false if it is too old or too large.
    pub(super) fn import(&self, key: SessionId, exported: &Exported) -> bool {
        self.import_at(key, exported, self.now())
    }

    /// Counts a look-up that was not made because its connection had made enough.
    pub(super) fn count_truncated(&self) {
        self.truncated.fetch_add(1, Ordering::Relaxed);
    }

    fn put_at(&self, key: SessionId, context: ContextId, value: Vec<u8>, now: Duration) -> bool {
        let value = Zeroizing::new(value);
        let stored = match Use::of(&value) {
            Some(usage) => self.shard(&key).is_some_and(|mut shard| {
                shard.put(key, Entry::new(context, usage, &value, now), now)
            }),
            None => false,
        };
        if !stored {
            self.refused.fetch_add(1, Ordering::Relaxed);
        }
        stored
    }

    fn get_at(
        &self,
        key: &SessionId,
        context: ContextId,
        now: Duration,
    ) -> Result<Vec<u8>, LookupResult> {
        let mut shard = self.shard(key).ok_or(LookupResult::Miss)?;
        shard.look_up(key, context, Use::Repeated, now)?;
        shard.copy_of(key).ok_or(LookupResult::Miss)
    }

    fn take_at(
        &self,
        key: &SessionId,
        context: ContextId,
        now: Duration,
    ) -> Result<Vec<u8>, LookupResult> {
        let mut shard = self.shard(key).ok_or(LookupResult::Miss)?;
        shard.look_up(key, context, Use::Single, now)?;
        shard.take(key).ok_or(LookupResult::Miss)
    }

    fn export_at(&self, key: &SessionId, now: Duration) -> Option<Exported> {
        self.shard(key)?.export(key, now)
    }

    fn import_at(&self, key: SessionId, exported: &Exported, now: Duration) -> bool {
        let Exported { context, usage, session, age } = exported;
        self.shard(&key).is_some_and(|mut shard| {
            shard.import(key, Entry::new(*context, *usage, session, now.saturating_sub(*age)), now)
        })
    }

    /// Ids are random, so their last byte spreads them; the map within uses the first ones.
    fn shard(&self, key: &SessionId) -> Option<MutexGuard<'_, Shard>> {
        let [.., last] = key.0;
        self.shards.get(usize::from(last) & (self.shards.len() - 1)).map(lock)
    }

    /// Monotonic, so that nobody who sets the clock back makes sessions live longer. It begins
    /// late enough for sessions that are older than the cache.
    fn now(&self) -> Duration {
        BEGIN + Instant::now().duration_since(self.epoch)
    }
}

impl fmt::Debug for SessionCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionCache").field("stats", &self.stats()).finish_non_exhaustive()
    }
}

/// A session on its way between memory and another place.
pub(super) struct Exported {
    /// The policy that it belongs to.
    pub(super) context: ContextId,
    /// How often it may be used.
    pub(super) usage: Use,
    /// The session as rustls writes it, which is secret.
    pub(super) session: Zeroizing<Vec<u8>>,
    /// How long ago it was made.
    pub(super) age: Duration,
}

/// The numbers of a cache: two that stand for its size, and what happened since it was made.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct SessionStats {
    /// Sessions that are held.
    pub sessions: u64,
    /// Bytes that they occupy, bookkeeping included.
    pub bytes: u64,
    /// Sessions stored.
    pub stored: u64,
    /// Look-ups that gave a session.
    pub hits: u64,
    /// Look-ups for what is not there.
    pub misses: u64,
    /// Look-ups for what is there, but too old.
    pub expired: u64,
    /// Look-ups for what is there, but belongs to another policy or another protocol version.
    pub policy: u64,
    /// Sessions that left for another place, or were copied there.
    pub exported: u64,
    /// Sessions that came from another place.
    pub imported: u64,
    /// Sessions that were dropped for room, before their time.
    pub evictions: u64,
    /// Sessions that were not stored, being too large or of no known form.
    pub refused: u64,
    /// Look-ups that were not made, since the connection had made its share.
    pub truncated: u64,
}

fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Longer than any session lives.
const BEGIN: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);
const SHARDS_MAX: usize = 64;
const SHARD_BYTES_MIN: usize = 256 << 10;

#[cfg(test)]
mod tests;

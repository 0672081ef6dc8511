//! The memory of sessions that all workers and all sites share.
//!
//! Owns a map from session id to session, bounded in bytes, expiring, and split
//! into shards so that workers seldom meet. Its lifetime is that of the process: reloads come and
//! go above it. It knows contexts as opaque bytes; what they mean is [`super`].
//!
//! `shard` is where sessions lie; this file is what the shards have in common.

mod shard;

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use zeroize::Zeroizing;

use super::ContextId;
use super::id::{SessionId, Use};
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
            epoch: now(),
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

    /// Forgets everything.
    pub fn clear(&self) {
        for shard in &self.shards {
            lock(shard).clear();
        }
    }

    pub(super) fn put(&self, key: SessionId, context: ContextId, value: Vec<u8>) -> bool {
        self.put_at(key, context, value, self.now())
    }

    pub(super) fn get(&self, key: &SessionId, context: ContextId) -> Option<Vec<u8>> {
        self.get_at(key, context, self.now())
    }

    pub(super) fn take(&self, key: &SessionId, context: ContextId) -> Option<Vec<u8>> {
        self.take_at(key, context, self.now())
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

    fn get_at(&self, key: &SessionId, context: ContextId, now: Duration) -> Option<Vec<u8>> {
        let mut shard = self.shard(key)?;
        if !shard.look_up(key, context, Use::Repeated, now) {
            return None;
        }
        shard.copy_of(key)
    }

    fn take_at(&self, key: &SessionId, context: ContextId, now: Duration) -> Option<Vec<u8>> {
        let mut shard = self.shard(key)?;
        if !shard.look_up(key, context, Use::Single, now) {
            return None;
        }
        shard.take(key)
    }

    /// Ids are random, so their last byte spreads them; the map within uses the first ones.
    fn shard(&self, key: &SessionId) -> Option<MutexGuard<'_, Shard>> {
        let [.., last] = key.0;
        self.shards.get(usize::from(last) & (self.shards.len() - 1)).map(lock)
    }

    /// Monotonic, so that nobody who sets the clock back makes sessions live longer.
    fn now(&self) -> Duration {
        now().duration_since(self.epoch)
    }
}

impl fmt::Debug for SessionCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionCache").field("stats", &self.stats()).finish_non_exhaustive()
    }
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

/// The one reading of a clock in this crate; everything below gets its time as an argument.
#[expect(clippy::disallowed_methods, reason = "there is no runtime here whose clock could pause")]
fn now() -> Instant {
    Instant::now()
}

const SHARDS_MAX: usize = 64;
const SHARD_BYTES_MIN: usize = 256 << 10;

#[cfg(test)]
mod tests;

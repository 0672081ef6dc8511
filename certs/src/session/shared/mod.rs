//! The tier of sessions that processes share, whichever engine stands behind it.
//!
//! Owns [`SharedTier`]: what lies in the store beside memory, and when the store is asked. Refuses
//! to know connections and stores: a connection asks once before TLS begins (`prefetch`), and
//! an [`Engine`] answers. Nothing here starts a task or logs; whoever owns a runtime drives
//! [`SharedTier::run`] for as long as it serves.
//!
//! A TLS 1.3 session is used once, so it lies in exactly one place: in the memory of the process
//! that made it, and from its hand-over on in the store, where whoever fetches it is the only one
//! who did. A TLS 1.2 session lies in both, and in the memory of every process that saw it.
//!
//! - `prefetch`: what the store holds of a hello's sessions.
//! - `hand_over`: sessions on their way to the store, and the watch over a store that is away.
//! - `agree`: one text for all processes.
//! - `breaker` and `queue`: the rules of both, pure. `stats`: the numbers.
//!
//! Security consequences: everything that leaves is sealed and bound to its context by
//! [`super::seal`], and whatever comes back is opened in the context of the connection that asks.
//! A store that forgets, stalls or fails costs full handshakes, and nothing else. One that answers
//! the same question twice, by intent or as it fails over, can have a session of TLS 1.3 be used
//! twice, by the client that it belongs to.

mod agree;
mod breaker;
mod hand_over;
mod prefetch;
mod queue;
mod stats;

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use aws_lc_rs::rand;
use rustls::time_provider::TimeProvider;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::engine::{Engine, EngineError};
use super::id::SessionId;
use super::memory::SessionCache;
use super::seal::SealingKeys;
use breaker::Breaker;
use queue::Queue;
use stats::Counters;

pub use agree::AgreeError;
pub use prefetch::Prefetched;
pub use stats::TierStats;

/// The limits of a shared tier. How long sessions live is the memory's to say.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Options {
    /// The longest that a handshake waits for the store.
    pub timeout: Duration,
    /// Look-ups that wait for the store at the same moment; further ones go without.
    pub in_flight_max: usize,
    /// Sessions that wait for their hand-over.
    pub queue_max: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { timeout: Duration::from_millis(5), in_flight_max: 1024, queue_max: 8192 }
    }
}

/// A store beside the memory of this process.
pub struct SharedTier {
    engine: Arc<dyn Engine>,
    keys: ArcSwap<SealingKeys>,
    memory: Arc<SessionCache>,
    options: Options,
    /// Tells how old what other processes made is.
    clock: Arc<dyn TimeProvider>,
    /// From when on the breaker counts time.
    epoch: Instant,
    breaker: Mutex<Breaker>,
    /// What the breaker says, for connections, which should not wait for its lock.
    is_open: AtomicBool,
    /// Wakes the watch when the breaker opens.
    opened: Notify,
    queue: Queue,
    /// Whose turn it is to gather a batch, and when that was done last.
    turn: tokio::sync::Mutex<Option<Instant>>,
    /// Batches on their way.
    batches: AtomicUsize,
    /// Wakes those who wait until there are none.
    arrived: Notify,
    /// Look-ups that wait for the store.
    in_flight: AtomicUsize,
    counters: Counters,
}

impl SharedTier {
    /// A tier in front of `engine`, which is not asked before a connection or [`Self::run`] does.
    #[must_use]
    pub fn new(
        engine: Arc<dyn Engine>,
        keys: SealingKeys,
        memory: Arc<SessionCache>,
        options: Options,
        clock: Arc<dyn TimeProvider>,
    ) -> Self {
        let mut seed = [0; 8];
        // Without randomness, processes probe in step, and no session can be sealed anyway.
        let _ = rand::fill(&mut seed);
        Self {
            engine,
            keys: ArcSwap::from_pointee(keys),
            memory,
            options,
            clock,
            epoch: Instant::now(),
            breaker: Mutex::new(Breaker::new(u64::from_ne_bytes(seed))),
            is_open: AtomicBool::new(false),
            opened: Notify::new(),
            queue: Queue::new(options.queue_max),
            turn: tokio::sync::Mutex::default(),
            batches: AtomicUsize::new(0),
            arrived: Notify::new(),
            in_flight: AtomicUsize::new(0),
            counters: Counters::default(),
        }
    }

    /// Spreads probes by this seed instead of by chance, for tests that repeat themselves.
    #[must_use]
    pub fn with_jitter_seed(self, seed: u64) -> Self {
        *self.breaker() = Breaker::new(seed);
        self
    }

    /// Seals with other keys from now on. What lies in the store opens for as long as its key is
    /// among them.
    pub fn replace_keys(&self, keys: SealingKeys) {
        self.keys.store(Arc::new(keys));
    }

    /// The keys that seal now.
    #[must_use]
    pub fn keys(&self) -> Arc<SealingKeys> {
        self.keys.load_full()
    }

    /// The store.
    #[must_use]
    pub fn engine(&self) -> &dyn Engine {
        &*self.engine
    }

    /// Whether the store is asked; false while it is left alone since it failed.
    #[must_use]
    pub fn is_available(&self) -> bool {
        !self.is_open.load(Ordering::Relaxed)
    }

    /// The numbers of this moment.
    #[must_use]
    pub fn stats(&self) -> TierStats {
        let (is_open, opened_total) = {
            let breaker = self.breaker();
            (breaker.is_open(), breaker.opened())
        };
        TierStats {
            queue_dropped: self.queue.dropped(),
            queued: self.queue.len() as u64,
            in_flight: self.in_flight.load(Ordering::Relaxed) as u64,
            is_open,
            opened_total,
            ..self.counters.read()
        }
    }

    /// Lets a session that was just laid into memory wait for its hand-over.
    pub(super) fn enqueue(&self, id: SessionId) {
        self.queue.push(id);
    }

    /// Takes note of a call that the store answered.
    fn answered(&self) {
        self.breaker().answered();
    }

    /// Takes note of a call that failed.
    fn failed(&self, error: EngineError) {
        self.counters.failed(error.kind());
        let now = self.now();
        let mut breaker = self.breaker();
        if breaker.failed(error, now) {
            self.is_open.store(true, Ordering::Relaxed);
            self.opened.notify_one();
        }
    }

    /// The limit on calls that no handshake waits for: enough for a new connection to the store.
    fn patience(&self) -> Duration {
        (self.options.timeout * PATIENCE_FACTOR).max(PATIENCE_MIN)
    }

    fn wall_secs(&self) -> Option<u64> {
        self.clock.current_time().map(|time| time.as_secs())
    }

    fn now(&self) -> Duration {
        Instant::now().duration_since(self.epoch)
    }

    fn breaker(&self) -> MutexGuard<'_, Breaker> {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for SharedTier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedTier")
            .field("engine", &self.engine)
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

/// A change of what the store is worth.
#[derive(Debug)]
pub enum Change {
    /// It failed too often and is left alone; this is how it failed last.
    Away(EngineError),
    /// It answers again.
    Back {
        /// For how long it was left alone.
        after: Duration,
    },
}

const PATIENCE_FACTOR: u32 = 10;
const PATIENCE_MIN: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests;

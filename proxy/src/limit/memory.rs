//! What is given up, step by step, when memory runs short.
//!
//! Owns [`Memory`]: how short it is, who is told, and what connections hold, so that the largest go
//! first in the end. On the path of a request there is one look at a number. Refuses to know how
//! much there is and who takes it: `runtime` measures, and says so here. Read next: `pressure`,
//! then `footprint`.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::footprint::{Footprint, Share};
use super::pressure::Pressure;

/// How short memory is, and who holds it.
pub struct Memory {
    level: AtomicU8,
    changes: watch::Sender<Pressure>,
    /// None where nobody measures.
    shards: Option<[Shard; SHARDS]>,
    /// Since when nothing new is accepted.
    closed_since: Mutex<Option<Instant>>,
    next: AtomicUsize,
    savers: Mutex<Vec<Saver>>,
}

type Shard = Mutex<HashMap<usize, Arc<Footprint>>>;
type Saver = Box<dyn Fn() + Send + Sync>;

impl Memory {
    /// Memory that nobody measures: there is no pressure, and nothing is remembered.
    pub fn unguarded() -> Arc<Self> {
        Self::new(None)
    }

    /// Memory that is measured.
    pub fn guarded() -> Arc<Self> {
        Self::new(Some(std::array::from_fn(|_| Shard::default())))
    }

    fn new(shards: Option<[Shard; SHARDS]>) -> Arc<Self> {
        let (changes, _) = watch::channel(Pressure::None);
        let (level, next, savers) = (AtomicU8::new(0), AtomicUsize::new(0), Mutex::default());
        let closed_since = Mutex::default();
        Arc::new(Self { level, changes, shards, closed_since, next, savers })
    }

    /// Whether connections should end after what they are at.
    pub fn is_short(&self) -> bool {
        self.level.load(Ordering::Relaxed) >= Pressure::High.index()
    }

    /// Whether nothing new is accepted.
    pub fn is_closed(&self) -> bool {
        self.level.load(Ordering::Relaxed) >= Pressure::Severe.index()
    }

    /// Whether nothing new was accepted for so long by `now` that clients had better go elsewhere.
    pub fn is_long_closed(&self, now: Instant) -> bool {
        let since = *self.closed_since.lock().unwrap_or_else(PoisonError::into_inner);
        since.is_some_and(|since| now.duration_since(since) >= CLOSED_MAX)
    }

    /// Waits until something new is accepted.
    pub async fn opened(&self) {
        let mut changes = self.changes.subscribe();
        // The sender lives as long as this.
        let _ = changes.wait_for(|level| *level < Pressure::Severe).await;
    }

    /// Has `save` called whenever memory is short, to give back what is kept for later.
    pub fn on_pressure(&self, save: impl Fn() + Send + Sync + 'static) {
        self.savers().push(Box::new(save));
    }

    /// From now on memory is as short as `level` says; those who can save something are told.
    pub fn enter(&self, level: Pressure) {
        self.level.store(level.index(), Ordering::Relaxed);
        let mut since = self.closed_since.lock().unwrap_or_else(PoisonError::into_inner);
        *since = since.or_else(|| Some(Instant::now())).filter(|_| level >= Pressure::Severe);
        drop(since);
        self.changes.send_if_modified(|now| std::mem::replace(now, level) != level);
        if level >= Pressure::High {
            self.savers().iter().for_each(|save| save());
        }
    }

    /// What a new connection will hold.
    pub fn share(self: &Arc<Self>) -> Share {
        let Some(shards) = &self.shards else { return Share::default() };
        let place = self.next.fetch_add(1, Ordering::Relaxed);
        let footprint = Arc::new(Footprint::default());
        if let Some(shard) = shards.get(place % SHARDS) {
            lock(shard).insert(place, Arc::clone(&footprint));
        }
        Share::new(footprint, Arc::clone(self), place)
    }

    /// Connections that there are.
    pub fn connections(&self) -> usize {
        self.shards.iter().flatten().map(|shard| lock(shard).len()).sum()
    }

    pub(super) fn forget(&self, place: usize) {
        if let Some(shard) = self.shards.as_ref().and_then(|all| all.get(place % SHARDS)) {
            lock(shard).remove(&place);
        }
    }

    /// Breaks off the connections that hold the most, until `bytes` come free or enough of them
    /// have gone for one time; says how many.
    pub fn break_off(&self, bytes: u64) -> usize {
        let mut all: Vec<_> = Vec::new();
        for shard in self.shards.iter().flatten() {
            // Whoever holds nothing has nothing to give.
            all.extend(lock(shard).values().filter(|footprint| footprint.bytes() > 0).cloned());
        }
        all.sort_by_cached_key(|footprint| std::cmp::Reverse(footprint.bytes()));
        let count_max = all.len().div_ceil(PART_AT_ONCE);
        let mut freed = 0;
        let mut count = 0;
        for footprint in all.iter().take(count_max) {
            if freed >= bytes {
                break;
            }
            freed += footprint.bytes() as u64;
            count += usize::from(footprint.doom());
        }
        count
    }

    fn savers(&self) -> MutexGuard<'_, Vec<Saver>> {
        self.savers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Memory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Memory").field("level", &*self.changes.borrow()).finish_non_exhaustive()
    }
}

fn lock(shard: &Shard) -> MutexGuard<'_, HashMap<usize, Arc<Footprint>>> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How long clients may wait to be accepted before others are told to go elsewhere.
const CLOSED_MAX: Duration = Duration::from_secs(2);

const SHARDS: usize = 16;

/// Of so many connections at most one goes at a time: what they say they hold is an estimate.
const PART_AT_ONCE: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_go_first_and_as_many_as_it_takes() {
        let memory = Memory::guarded();
        let shares: Vec<_> = (0..100).map(|_| memory.share()).collect();
        for (number, share) in shares.iter().enumerate() {
            share.footprint().expect("it is guarded").set(number * 1_000);
        }
        assert_eq!(memory.break_off(150_000), 2);
        let doomed: Vec<_> = (0..100).filter(|&number| shares[number].is_doomed()).collect();
        assert_eq!(doomed, [98, 99]);
        // Those are gone; of the others no more than a part goes at once, and none that holds
        // nothing.
        drop(shares);
        let small: Vec<_> = (0..64).map(|_| memory.share()).collect();
        assert_eq!(memory.break_off(1 << 40), 0);
        small.iter().for_each(|share| share.footprint().expect("it is guarded").set(1));
        assert_eq!(memory.break_off(1 << 40), 8);
    }

    #[test]
    fn unguarded_memory_remembers_nothing_and_is_never_short() {
        let memory = Memory::unguarded();
        let share = memory.share();
        assert!(share.footprint().is_none() && !share.is_doomed());
        assert_eq!(memory.break_off(1 << 40), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_door_that_is_closed_for_long_is_told_of() {
        let memory = Memory::guarded();
        let second = Duration::from_secs(1);
        memory.enter(Pressure::Severe);
        tokio::time::advance(second).await;
        memory.enter(Pressure::Critical);
        assert!(!memory.is_long_closed(Instant::now()));
        tokio::time::advance(second).await;
        assert!(memory.is_long_closed(Instant::now()));
        memory.enter(Pressure::High);
        assert!(!memory.is_long_closed(Instant::now()));
    }

    #[tokio::test]
    async fn whoever_keeps_something_is_told_while_memory_is_short() {
        let memory = Memory::guarded();
        let told = Arc::new(AtomicUsize::new(0));
        let telling = Arc::clone(&told);
        memory.on_pressure(move || {
            telling.fetch_add(1, Ordering::Relaxed);
        });
        memory.enter(Pressure::High);
        assert!(memory.is_short() && !memory.is_closed());
        memory.enter(Pressure::Severe);
        assert!(memory.is_closed());
        let opened = memory.opened();
        memory.enter(Pressure::None);
        opened.await;
        assert_eq!(told.load(Ordering::Relaxed), 2);
    }
}

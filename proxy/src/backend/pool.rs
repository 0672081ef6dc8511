//! Connections to one endpoint that wait for their next request.
//!
//! Owns the list: last in, first out, so that what is not needed grows old; bounded in number and
//! in age, in shards, so that workers do not wait for each other. A worker looks into its own
//! shard first: what it was the last to use is warm. Refuses to know what it keeps, and whether
//! that still works: who takes something asks. Read next: `connections`, which keeps pools.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::available_parallelism;
use std::time::Duration;

use tokio::time::Instant;

/// What waits.
#[derive(Debug)]
pub(super) struct Pool<T> {
    shards: Box<[Shard<T>]>,
    /// In all shards together.
    count: AtomicUsize,
    count_max: AtomicUsize,
    /// In milliseconds.
    age_max: AtomicU64,
}

type Shard<T> = Mutex<Vec<(Instant, T)>>;

impl<T> Pool<T> {
    /// An empty pool for at most `count_max` things, none of which waits longer than `age_max`.
    pub(super) fn new(count_max: usize, age_max: Duration) -> Self {
        let shards = available_parallelism().map_or(1, NonZeroUsize::get).min(SHARDS_MAX);
        let shards = (0..shards).map(|_| Shard::default()).collect();
        let (count, count_max) = (AtomicUsize::new(0), AtomicUsize::new(count_max));
        Self { shards, count, count_max, age_max: AtomicU64::new(milliseconds(age_max)) }
    }

    /// From now on, at most `count_max` things wait, none of them longer than `age_max`.
    pub(super) fn set_bounds(&self, count_max: usize, age_max: Duration) {
        self.count_max.store(count_max, Ordering::Relaxed);
        self.age_max.store(milliseconds(age_max), Ordering::Relaxed);
        while self.count.load(Ordering::Relaxed) > count_max && self.drop_oldest() {}
    }

    /// Keeps `thing`, unless the pool is full: then it is dropped.
    pub(super) fn put(&self, thing: T, now: Instant) {
        let Some(shard) = self.shards_from_own().next() else { return };
        // Two at once may leave a place free that both of them wanted; none is ever overfull.
        if self.count.fetch_add(1, Ordering::Relaxed) < self.count_max.load(Ordering::Relaxed) {
            lock(shard).push((now, thing));
        } else {
            self.count.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// The thing that this worker put last, or else one of another's, if it is not too old.
    pub(super) fn take(&self, now: Instant) -> Option<T> {
        if self.count.load(Ordering::Relaxed) == 0 {
            return None;
        }
        self.shards_from_own().find_map(|shard| {
            let (since, thing) = lock(shard).pop()?;
            self.count.fetch_sub(1, Ordering::Relaxed);
            (now.duration_since(since) < self.age_max()).then_some(thing)
        })
    }

    /// Drops the thing that has waited the longest in its shard, and says whether there was one.
    pub(super) fn drop_oldest(&self) -> bool {
        let oldest = self.shards_from_own().find_map(|shard| {
            let mut waiting = lock(shard);
            (!waiting.is_empty()).then(|| waiting.remove(0))
        });
        // Dropped without the lock, like those that have expired.
        let was_there = oldest.is_some();
        if was_there {
            self.count.fetch_sub(1, Ordering::Relaxed);
        }
        was_there
    }

    /// Drops what has waited too long.
    pub(super) fn sweep(&self, now: Instant) {
        let age_max = self.age_max();
        for shard in &self.shards {
            let expired: Vec<_> = {
                let mut waiting = lock(shard);
                let old = |(since, _): &(Instant, T)| now.duration_since(*since) >= age_max;
                let young = waiting.partition_point(old);
                waiting.drain(..young).collect()
            };
            self.count.fetch_sub(expired.len(), Ordering::Relaxed);
            // Closing a connection costs a system call, and is done without the lock.
            drop(expired);
        }
    }

    fn age_max(&self) -> Duration {
        Duration::from_millis(self.age_max.load(Ordering::Relaxed))
    }

    /// How many things wait.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// Every shard, that of this worker first.
    fn shards_from_own(&self) -> impl Iterator<Item = &Shard<T>> {
        let own = own_place() % self.shards.len().max(1);
        let (before, from) = self.shards.split_at(own);
        from.iter().chain(before)
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn lock<T>(shard: &Shard<T>) -> MutexGuard<'_, Vec<(Instant, T)>> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A number of this thread's own.
fn own_place() -> usize {
    static THREADS: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static PLACE: usize = THREADS.fetch_add(1, Ordering::Relaxed);
    }
    PLACE.with(|place| *place)
}

const SHARDS_MAX: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    const AGE_MAX: Duration = Duration::from_secs(50);

    #[tokio::test(start_paused = true)]
    async fn the_last_one_in_is_the_first_one_out() {
        let pool = Pool::new(2, AGE_MAX);
        for thing in ["one", "two", "three"] {
            pool.put(thing, Instant::now());
        }
        let taken: Vec<_> = std::iter::from_fn(|| pool.take(Instant::now())).collect();
        assert_eq!(taken, ["two", "one"]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_too_old_is_neither_given_out_nor_kept() {
        let pool = Pool::new(9, AGE_MAX);
        let start = Instant::now();
        pool.put("old", start);
        pool.put("young", start + AGE_MAX / 2);
        pool.sweep(start + AGE_MAX);
        assert_eq!(pool.len(), 1);
        assert_eq!(pool.take(start + AGE_MAX * 3 / 2), None);
        assert_eq!(pool.len(), 0);
    }

    #[test]
    fn what_one_thread_put_another_finds() {
        let pool = Pool::new(9, AGE_MAX);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let now = runtime.block_on(async { Instant::now() });
        std::thread::scope(|scope| {
            for number in 0..4 {
                let pool = &pool;
                scope.spawn(move || pool.put(number, now));
            }
        });
        let mut taken: Vec<_> = std::iter::from_fn(|| pool.take(now)).collect();
        taken.sort_unstable();
        assert_eq!(taken, [0, 1, 2, 3]);
    }
}

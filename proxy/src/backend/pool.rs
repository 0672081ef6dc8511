//! Connections to one endpoint that wait for their next request.
//!
//! Owns the list: last in, first out, so that what is not needed grows old; bounded in number and
//! in age. Refuses to know what it keeps, and whether that still works: who takes something asks.
//! Read next: `upstream`, which is what is kept.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// What waits.
#[derive(Debug)]
pub(super) struct Pool<T> {
    waiting: Mutex<Vec<(Instant, T)>>,
    count_max: usize,
    age_max: Duration,
}

impl<T> Pool<T> {
    /// An empty pool for at most `count_max` things, none of which waits longer than `age_max`.
    pub(super) fn new(count_max: usize, age_max: Duration) -> Self {
        Self { waiting: Mutex::default(), count_max, age_max }
    }

    /// Keeps `thing`, unless the pool is full: then it is dropped.
    pub(super) fn put(&self, thing: T, now: Instant) {
        let mut waiting = self.lock();
        if waiting.len() < self.count_max {
            waiting.push((now, thing));
        }
    }

    /// The thing that came last, if it is not too old.
    pub(super) fn take(&self, now: Instant) -> Option<T> {
        let (since, thing) = self.lock().pop()?;
        (now.duration_since(since) < self.age_max).then_some(thing)
    }

    /// Drops what has waited too long.
    pub(super) fn sweep(&self, now: Instant) {
        let expired: Vec<_> = {
            let mut waiting = self.lock();
            let young =
                waiting.partition_point(|(since, _)| now.duration_since(*since) >= self.age_max);
            waiting.drain(..young).collect()
        };
        // Closing a connection costs a system call, and is done without the lock.
        drop(expired);
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(Instant, T)>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

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
        assert_eq!(pool.lock().len(), 1);
        assert_eq!(pool.take(start + AGE_MAX * 3 / 2), None);
    }
}

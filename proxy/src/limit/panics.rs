//! How many panics are too many.
//!
//! Owns [`Panics`]: one is a bug that costs a connection, many in a short time are a process that
//! should get no more clients. Refuses to know what panicked: `runtime` hears of it, readiness
//! asks.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// The last panics of the process.
#[derive(Debug, Default)]
pub struct Panics {
    /// At most [`COUNT_MAX`], the latest last.
    recent: Mutex<VecDeque<Instant>>,
}

/// What a panic means beside those before it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Severity {
    /// The first for a while.
    First,
    /// There were others.
    Further,
    /// The one that made them too many.
    TooMany,
}

impl Panics {
    /// Notes a panic at `now`.
    pub fn note(&self, now: Instant) -> Severity {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        let were_too_many = is_full(&recent, now);
        let last = recent.back().copied();
        if recent.len() >= COUNT_MAX {
            recent.pop_front();
        }
        recent.push_back(now);
        match last {
            _ if is_full(&recent, now) && !were_too_many => Severity::TooMany,
            Some(last) if now.duration_since(last) < PERIOD => Severity::Further,
            Some(_) | None => Severity::First,
        }
    }

    /// Whether there were so many before `now` that new clients had better go elsewhere.
    pub fn are_too_many(&self, now: Instant) -> bool {
        is_full(&self.recent.lock().unwrap_or_else(PoisonError::into_inner), now)
    }
}

fn is_full(recent: &VecDeque<Instant>, now: Instant) -> bool {
    let oldest = recent.front().filter(|_| recent.len() >= COUNT_MAX);
    oldest.is_some_and(|&oldest| now.duration_since(oldest) < PERIOD)
}

/// Panics that are too many...
const COUNT_MAX: usize = 10;

/// ...within this time.
const PERIOD: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn ten_within_a_minute_are_too_many_until_the_minute_is_over() {
        let (panics, start) = (Panics::default(), Instant::now());
        let second = Duration::from_secs(1);
        assert_eq!(panics.note(start), Severity::First);
        for number in 1..9 {
            assert_eq!(panics.note(start + number * second), Severity::Further);
            assert!(!panics.are_too_many(start + number * second));
        }
        assert_eq!(panics.note(start + 9 * second), Severity::TooMany);
        assert_eq!(panics.note(start + 10 * second), Severity::Further);
        assert!(panics.are_too_many(start + 60 * second));
        assert!(!panics.are_too_many(start + 61 * second));
    }

    #[tokio::test(start_paused = true)]
    async fn one_every_ten_seconds_never_is() {
        let (panics, start) = (Panics::default(), Instant::now());
        for number in 0..100 {
            let now = start + number * Duration::from_secs(10);
            assert_ne!(panics.note(now), Severity::TooMany, "{number}");
            assert!(!panics.are_too_many(now));
        }
    }
}

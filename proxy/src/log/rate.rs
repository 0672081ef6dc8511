//! How often a kind of line may come: a fault that strikes every connection must not become a log
//! that fills the disk.
//!
//! Owns the count. A kind is one place in the program that speaks. A short burst is let through
//! whole, since what happens at the start of a process, or to many endpoints at once, is worth
//! every line; then ten lines a second. Who asked for a line about each connection gets two
//! thousand, and then a hundred a second. Refuses to know what lines say, except the words of one
//! that was held back, which stand for all of its kind.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tracing::Level;
use tracing::callsite::Identifier;

/// Every kind of line that has come so far; there are no more than places that speak.
#[derive(Default)]
pub(super) struct Limiter(Mutex<HashMap<Identifier, Kind>>);

struct Kind {
    level: Level,
    /// When all lines so far would have been due at the steady rate.
    due: Instant,
    held_back: u64,
    words: String,
}

/// Whether a line is written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Verdict {
    /// It is not, and nobody has said yet what its kind says.
    First,
    /// It is not.
    HeldBack,
    /// It is.
    Written,
}

/// Lines of one kind that were held back.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct HeldBack {
    pub(super) level: Level,
    /// What one of them would have said.
    pub(super) words: String,
    pub(super) count: u64,
}

impl Limiter {
    /// Counts a line that comes `now`.
    pub(super) fn admit(&self, kind: &Identifier, level: Level, now: Instant) -> Verdict {
        let (pause, burst) = pace(level);
        let mut kinds = self.kinds();
        let kind = kinds.entry(kind.clone()).or_insert_with(|| Kind {
            level,
            due: now,
            held_back: 0,
            words: String::new(),
        });
        let due = kind.due.max(now);
        if due.saturating_duration_since(now) >= burst {
            kind.held_back += 1;
            return if kind.held_back == 1 { Verdict::First } else { Verdict::HeldBack };
        }
        kind.due = due.checked_add(pause).unwrap_or(due);
        Verdict::Written
    }

    /// Notes what a kind of line says.
    pub(super) fn name(&self, kind: &Identifier, words: String) {
        if let Some(kind) = self.kinds().get_mut(kind) {
            kind.words = words;
        }
    }

    /// What was held back since the last call.
    pub(super) fn take(&self) -> Vec<HeldBack> {
        let mut kinds = self.kinds();
        let some = kinds.values_mut().filter(|kind| kind.held_back > 0);
        let take = |kind: &mut Kind| HeldBack {
            level: kind.level,
            words: std::mem::take(&mut kind.words),
            count: std::mem::take(&mut kind.held_back),
        };
        some.map(take).collect()
    }

    fn kinds(&self) -> MutexGuard<'_, HashMap<Identifier, Kind>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The pause between two lines of a kind at the steady rate, and how much may come ahead of it.
fn pace(level: Level) -> (Duration, Duration) {
    let (pause, lines) = match level {
        Level::ERROR | Level::WARN => (Duration::from_millis(100), 100),
        // Each listener says where it listens.
        Level::INFO => (Duration::from_millis(100), 1_000),
        _ => (Duration::from_millis(10), 2_000),
    };
    (pause, pause.saturating_mul(lines))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two places that speak.
    fn kinds() -> [Identifier; 2] {
        let kind = |span: tracing::Span| span.metadata().unwrap().callsite();
        [kind(tracing::info_span!("a")), kind(tracing::info_span!("b"))]
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_passes_and_then_ten_lines_a_second() {
        let _logs = tracing::subscriber::set_default(tracing_subscriber::registry());
        let limiter = Limiter::default();
        let [one, other] = kinds();
        let start = Instant::now();
        let admit = |kind, at| limiter.admit(kind, Level::WARN, start + at) == Verdict::Written;
        assert_eq!((0..1_000).filter(|_| admit(&one, Duration::ZERO)).count(), 100);
        assert!(admit(&other, Duration::ZERO), "each kind has its own measure");
        let flood = (1..=10_000).map(Duration::from_millis);
        assert_eq!(flood.filter(|at| admit(&one, *at)).count(), 100, "in ten seconds");
        let later = Duration::from_secs(100);
        assert_eq!((0..1_000).filter(|_| admit(&one, later)).count(), 100, "quiet is made good");
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_held_back_is_told_once() {
        let _logs = tracing::subscriber::set_default(tracing_subscriber::registry());
        let limiter = Limiter::default();
        let [one, _] = kinds();
        let now = Instant::now();
        let verdicts: Vec<_> = (0..103).map(|_| limiter.admit(&one, Level::WARN, now)).collect();
        assert_eq!(verdicts[100..], [Verdict::First, Verdict::HeldBack, Verdict::HeldBack]);
        limiter.name(&one, "words".to_owned());
        let told = HeldBack { level: Level::WARN, words: "words".to_owned(), count: 3 };
        assert_eq!(limiter.take(), [told]);
        assert_eq!(limiter.take(), []);
        assert_eq!(limiter.admit(&one, Level::WARN, now), Verdict::First);
    }

    #[test]
    fn who_asks_for_each_connection_gets_ten_times_more() {
        assert_eq!(pace(Level::DEBUG).0 * 10, pace(Level::ERROR).0);
    }
}

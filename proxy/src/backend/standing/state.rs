//! What is known of one endpoint.
//!
//! Owns [`State`]: health by checks (so many good answers in a row make it healthy, so many bad
//! ones unhealthy), ejection by use (for longer each time, until something succeeds), and the slow
//! start of one that came back. Refuses to know the others. Read next: the parent module.

use std::time::Duration;

use tokio::time::Instant;

use super::Draining;
use crate::config::Ejection;
use crate::metrics::Standing;

/// What an endpoint is there for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::backend) struct Share {
    /// Beside the others'.
    pub(in crate::backend) weight: u16,
    /// Whether it is used only if no other can be.
    pub(in crate::backend) is_backup: bool,
}

/// What is known of one endpoint.
#[derive(Debug)]
pub(super) struct State {
    is_draining: bool,
    health: Health,
    /// Answers in a row that contradict `health`.
    contradictions: u32,
    /// Failures in a row.
    failures: u32,
    /// Ejections since something last succeeded.
    ejections: u32,
    ejected_until: Option<Instant>,
    back_since: Option<Instant>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Health {
    /// Believed to be good until the first answer, which decides alone.
    Unknown,
    Good,
    Bad,
}

impl State {
    pub(super) fn new(back_since: Option<Instant>) -> Self {
        Self {
            is_draining: false,
            health: Health::Unknown,
            contradictions: 0,
            failures: 0,
            ejections: 0,
            ejected_until: None,
            back_since,
        }
    }

    pub(super) fn standing(&self, now: Instant) -> Standing {
        if self.is_draining {
            Standing::Draining
        } else if self.health == Health::Bad {
            Standing::Unhealthy
        } else if self.is_ejected(now) {
            Standing::Ejected
        } else {
            Standing::Usable
        }
    }

    pub(super) fn is_ejected(&self, now: Instant) -> bool {
        self.ejected_until.is_some_and(|until| now < until)
    }

    /// Nothing new goes there, or something does again, slowly at first.
    pub(super) fn set_draining(&mut self, draining: Draining, now: Instant) {
        let is_draining = draining == Draining::On;
        if self.is_draining && !is_draining {
            self.back_since = Some(now);
        }
        self.is_draining = is_draining;
    }

    /// Counts a failure; returns whether that makes enough. What was begun before an ejection and
    /// fails during it is no news.
    pub(super) fn fail(&mut self, enough: u32, now: Instant) -> bool {
        if self.is_ejected(now) {
            return false;
        }
        self.failures = self.failures.saturating_add(1);
        self.failures >= enough
    }

    /// Ejects, for twice as long as the last time unless something has succeeded since. The time is
    /// up to a tenth shorter, so that those ejected together do not come back together. Failures go
    /// on being counted: without a success in between, the first one afterwards is one too many.
    pub(super) fn eject(&mut self, rule: &Ejection, now: Instant, chance: u64) -> Duration {
        let factor = 1_u32.checked_shl(self.ejections).unwrap_or(u32::MAX);
        let length = rule.base.saturating_mul(factor).min(rule.longest);
        let less = u32::try_from(chance % 1_000).unwrap_or_default();
        let length = length - length / 10_000 * less;
        self.ejections = self.ejections.saturating_add(1);
        self.ejected_until = Some(now + length);
        length
    }

    /// Counts a success; returns whether nothing speaks against the endpoint any more. What was
    /// begun before an ejection and succeeds during it does not end it.
    pub(super) fn succeed(&mut self, now: Instant) -> bool {
        if self.is_ejected(now) {
            return false;
        }
        self.failures = 0;
        self.ejections = 0;
        true
    }

    /// Whether an ejection ended with `now`, which is told once.
    pub(super) fn come_back(&mut self, now: Instant) -> bool {
        let Some(until) = self.ejected_until.filter(|until| *until <= now) else { return false };
        self.ejected_until = None;
        self.back_since = Some(until);
        true
    }

    /// Takes the answer to a health check; returns what the endpoint became by it, if anything.
    pub(super) fn check(
        &mut self,
        is_good: bool,
        rise: u32,
        fall: u32,
        now: Instant,
    ) -> Option<bool> {
        let (said, enough) = if is_good { (Health::Good, rise) } else { (Health::Bad, fall) };
        let before = self.health;
        if before == said {
            self.contradictions = 0;
            return None;
        }
        self.contradictions += 1;
        if before != Health::Unknown && self.contradictions < enough {
            return None;
        }
        self.contradictions = 0;
        self.health = said;
        match (before, said) {
            (Health::Unknown, Health::Good) => None,
            (_, Health::Good) => {
                // It was away: what happened before says nothing of what is there now.
                (self.failures, self.ejections, self.ejected_until) = (0, 0, None);
                self.back_since = Some(now);
                Some(true)
            }
            _ => Some(false),
        }
    }

    /// The weight at `now` of an endpoint whose own is `weight`, in tenths: in a slow start one
    /// tenth of it at first, and one more with each tenth of the time.
    pub(super) fn weight(&self, weight: u16, slow_start: Duration, now: Instant) -> u32 {
        u32::from(weight) * self.tenths(slow_start, now)
    }

    /// When the endpoint changes by itself, if it does.
    pub(super) fn next_change(&self, slow_start: Duration, now: Instant) -> Option<Instant> {
        if let Some(until) = self.ejected_until {
            return Some(until);
        }
        match (self.back_since, self.tenths(slow_start, now)) {
            (Some(since), tenths @ ..TENTHS) => Some(since + slow_start / TENTHS * (tenths + 1)),
            _ => None,
        }
    }

    fn tenths(&self, slow_start: Duration, now: Instant) -> u32 {
        let tenth = (slow_start / TENTHS).as_nanos();
        let passed = match self.back_since {
            Some(since) => now.saturating_duration_since(since).as_nanos().checked_div(tenth),
            None => None,
        };
        let passed = passed.and_then(|passed| u32::try_from(passed).ok()).unwrap_or(TENTHS);
        passed.clamp(1, TENTHS)
    }
}

const TENTHS: u32 = 10;

//! Whether the store is asked at all.
//!
//! Owns the rule by which a store that fails is left alone, and the moments at which it is tried
//! again. Pure: time is an argument, chance comes from a seed, nothing locks. Refuses to know
//! engines beyond their errors.
//!
//! A store that fails now and then among many answers is still worth asking, so a failure counts
//! only together with others: within a second and with few answers between them, or with none at
//! all between them, however long that takes. One that goes away again soon after it came back is
//! tried less and less often.

use std::collections::VecDeque;
use std::time::Duration;

use crate::session::engine::{EngineError, ErrorKind};

pub(super) struct Breaker {
    state: State,
    /// The latest failures, oldest first.
    failures: VecDeque<Failure>,
    answers: u64,
    opened: u64,
    /// How often it opened soon after it had closed.
    relapses: u32,
    closed_at: Option<Duration>,
    random: u64,
}

enum State {
    Closed,
    Open {
        since: Duration,
        probe_at: Duration,
        /// Probes that failed since.
        probes: u32,
        /// Why, until somebody was told.
        news: Option<EngineError>,
    },
}

struct Failure {
    at: Duration,
    /// Answers that had come by then.
    answers: u64,
}

impl Breaker {
    pub(super) fn new(seed: u64) -> Self {
        let failures = VecDeque::with_capacity(FAILURES_MAX);
        Self {
            state: State::Closed,
            failures,
            answers: 0,
            opened: 0,
            relapses: 0,
            closed_at: None,
            random: seed,
        }
    }

    pub(super) fn is_open(&self) -> bool {
        matches!(self.state, State::Open { .. })
    }

    /// How often it opened.
    pub(super) fn opened(&self) -> u64 {
        self.opened
    }

    /// When the store is tried next; `None` while it is asked anyway.
    pub(super) fn probe_at(&self) -> Option<Duration> {
        match self.state {
            State::Closed => None,
            State::Open { probe_at, .. } => Some(probe_at),
        }
    }

    /// Why it is open, for the first who asks.
    pub(super) fn news(&mut self) -> Option<EngineError> {
        match &mut self.state {
            State::Closed => None,
            State::Open { news, .. } => news.take(),
        }
    }

    pub(super) fn answered(&mut self) {
        self.answers += 1;
    }

    /// True if this is what opens it.
    pub(super) fn failed(&mut self, error: EngineError, now: Duration) -> bool {
        if self.is_open() {
            return false;
        }
        if self.failures.len() == FAILURES_MAX {
            self.failures.pop_front();
        }
        self.failures.push_back(Failure { at: now, answers: self.answers });
        let opens = self.failures.len() == FAILURES_MAX
            && self.failures.front().is_some_and(|first| {
                let answers = self.answers - first.answers;
                let is_dense = now.saturating_sub(first.at) <= FAILURES_WITHIN
                    && answers <= ANSWERS_BETWEEN_MAX;
                is_dense || answers == 0
            });
        if opens {
            let is_relapse =
                self.closed_at.is_some_and(|at| now.saturating_sub(at) <= RELAPSE_WITHIN);
            self.relapses = if is_relapse { self.relapses.saturating_add(1) } else { 0 };
            let factor = 2_u32.saturating_pow(self.relapses).min(RELAPSE_FACTOR_MAX);
            let probe_at = now + self.regular_wait() * factor;
            self.state = State::Open { since: now, probe_at, probes: 0, news: Some(error) };
            self.failures.clear();
            self.opened += 1;
        }
        opens
    }

    /// Takes note of a probe; for how long the store was away, if this is what closes it.
    pub(super) fn probed(&mut self, fault: Option<ErrorKind>, now: Duration) -> Option<Duration> {
        let State::Open { since, probes, .. } = self.state else {
            return None;
        };
        let Some(kind) = fault else {
            self.state = State::Closed;
            self.closed_at = Some(now);
            return Some(now.saturating_sub(since));
        };
        let wait = match kind {
            ErrorKind::Unreachable => self.growing_wait(probes),
            _ => self.regular_wait(),
        };
        if let State::Open { probe_at, probes, .. } = &mut self.state {
            *probes = probes.saturating_add(1);
            *probe_at = now + wait;
        }
        None
    }

    /// Apart from each other, so that many processes do not ask at the same moment.
    fn regular_wait(&mut self) -> Duration {
        self.between(PROBE_WAIT - PROBE_WAIT / 5, PROBE_WAIT + PROBE_WAIT / 5)
    }

    /// Spread over the whole of a growing span, so that a store that comes back is not met by
    /// everybody at once.
    fn growing_wait(&mut self, probes: u32) -> Duration {
        let span = PROBE_WAIT.saturating_mul(2_u32.saturating_pow(probes)).min(PROBE_WAIT_MAX);
        self.between(PROBE_WAIT_MIN, span)
    }

    fn between(&mut self, least: Duration, most: Duration) -> Duration {
        // SplitMix64, by Sebastiano Vigna.
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        let span = u64::try_from(most.saturating_sub(least).as_nanos()).unwrap_or(u64::MAX);
        least + Duration::from_nanos(mixed % span.max(1))
    }
}

/// So many failures, within this time, open it,
const FAILURES_MAX: usize = 5;
const FAILURES_WITHIN: Duration = Duration::from_secs(1);
/// unless more than nine in ten calls between them were answered.
const ANSWERS_BETWEEN_MAX: u64 = 45;
/// Who opens again so soon has not recovered, and is tried half as often each time, down to this.
const RELAPSE_WITHIN: Duration = Duration::from_secs(10);
const RELAPSE_FACTOR_MAX: u32 = 32;
const PROBE_WAIT: Duration = Duration::from_secs(1);
const PROBE_WAIT_MIN: Duration = Duration::from_millis(50);
const PROBE_WAIT_MAX: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn fail(breaker: &mut Breaker, millis: u64) -> bool {
        breaker.failed(ErrorKind::Full.into(), Duration::from_millis(millis))
    }

    fn open(seed: u64, at: u64) -> Breaker {
        let mut breaker = Breaker::new(seed);
        let opened = (0..5).map(|_| fail(&mut breaker, at)).collect::<Vec<_>>();
        assert_eq!(opened, [false, false, false, false, true]);
        breaker
    }

    #[test]
    fn five_failures_within_a_second_open_it_and_four_or_slower_ones_do_not() {
        let mut breaker = Breaker::new(0);
        breaker.answered();
        for millis in [0, 300, 600, 900] {
            assert!(!fail(&mut breaker, millis), "at {millis}");
            breaker.answered();
        }
        assert!(!fail(&mut breaker, 1_001));
        assert!(!fail(&mut breaker, 1_301));
        assert!(fail(&mut breaker, 1_600));
        assert!(breaker.is_open());
        assert_eq!(breaker.opened(), 1);
        assert!(!fail(&mut breaker, 1_601), "it opens once");
    }

    #[test]
    fn a_store_that_answers_nine_in_ten_calls_is_asked_on() {
        let mut breaker = Breaker::new(0);
        for millis in 0..100 {
            (0..12).for_each(|_| breaker.answered());
            assert!(!fail(&mut breaker, millis));
        }
        assert!(fail(&mut breaker, 100), "one more, and no answers before it");
    }

    #[test]
    fn five_failures_with_no_answer_between_them_open_it_however_long_they_take() {
        let mut breaker = Breaker::new(0);
        for hours in 0..4 {
            assert!(!fail(&mut breaker, hours * 3_600_000));
        }
        assert!(fail(&mut breaker, 4 * 3_600_000));
    }

    #[test]
    fn a_store_that_goes_away_again_soon_is_tried_less_and_less_often() {
        let mut breaker = open(0, 0);
        let (mut now, mut waits) = (Duration::ZERO, Vec::new());
        for _ in 0..8 {
            now = breaker.probe_at().unwrap();
            assert!(breaker.probed(None, now).is_some());
            (0..5).for_each(|_| {
                breaker.failed(ErrorKind::Timeout.into(), now);
            });
            waits.push(breaker.probe_at().unwrap() - now);
        }
        for (wait, least) in waits.iter().zip([2, 4, 8, 16, 32, 32, 32, 32]) {
            assert!((SECOND * 4 / 5 * least..SECOND * 6 / 5 * least).contains(wait), "{wait:?}");
        }
        breaker.probed(None, now + 60 * SECOND);
        let later = now + 120 * SECOND;
        (0..5).for_each(|_| {
            breaker.failed(ErrorKind::Timeout.into(), later);
        });
        assert!(breaker.probe_at().unwrap() - later < 2 * SECOND, "it had recovered meanwhile");
    }

    #[test]
    fn why_it_opened_is_told_once() {
        let mut breaker = open(0, 0);
        assert_eq!(breaker.news().map(|error| error.kind()), Some(ErrorKind::Full));
        assert!(breaker.news().is_none());
    }

    #[test]
    fn it_is_probed_after_a_second_give_or_take_a_fifth_and_closes_when_that_succeeds() {
        let mut waits = Vec::new();
        for seed in 0..200 {
            let mut breaker = open(seed, 0);
            let first = breaker.probe_at().unwrap();
            waits.push(first);
            assert_eq!(breaker.probed(Some(ErrorKind::Loading), first), None);
            waits.push(breaker.probe_at().unwrap() - first);
            assert_eq!(breaker.probed(None, 3 * SECOND), Some(3 * SECOND));
            assert!(!breaker.is_open());
            assert_eq!(breaker.probe_at(), None);
        }
        assert!(waits.iter().all(|wait| (SECOND * 4 / 5..SECOND * 6 / 5).contains(wait)));
        assert!(waits.iter().any(|wait| *wait < SECOND * 9 / 10));
        assert!(waits.iter().any(|wait| *wait > SECOND * 11 / 10));
    }

    #[test]
    fn a_store_out_of_reach_is_probed_at_moments_spread_over_up_to_five_seconds() {
        let mut longest = [Duration::ZERO; 6];
        for seed in 0..500 {
            let mut breaker = open(seed, 0);
            let mut now = breaker.probe_at().unwrap();
            for longest in &mut longest {
                assert_eq!(breaker.probed(Some(ErrorKind::Unreachable), now), None);
                let next = breaker.probe_at().unwrap();
                assert!(next - now >= Duration::from_millis(50));
                *longest = (*longest).max(next - now);
                now = next;
            }
        }
        for (longest, most) in longest.into_iter().zip([1, 2, 4, 5, 5, 5]) {
            assert!(longest <= most * SECOND && longest > most * SECOND * 9 / 10, "{longest:?}");
        }
    }

    #[test]
    fn failures_before_it_closed_do_not_open_it_again() {
        let mut breaker = open(0, 0);
        assert!(breaker.probed(None, SECOND).is_some());
        for _ in 0..4 {
            assert!(!fail(&mut breaker, 1_000));
        }
        assert!(fail(&mut breaker, 1_000));
        assert_eq!(breaker.opened(), 2);
    }
}

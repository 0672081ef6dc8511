//! What has happened: turns, connections and faults of each client.
//!
//! Owns the counts, which clients add to while a test reads them. Refuses to judge: how many faults
//! are too many is said by [`Tally::expect_flawless`] alone.

use std::fmt;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::{Fault, Habit};

/// What clients add to.
#[derive(Debug)]
pub(super) struct Record {
    since: Instant,
    clients: Vec<Counts>,
    failures: Mutex<Vec<Failure>>,
    /// Those beyond [`FAILURES_KEPT`] as well.
    failed: AtomicUsize,
}

#[derive(Debug)]
struct Counts {
    habit: Habit,
    begun: AtomicU64,
    ended: AtomicU64,
    connections: AtomicU64,
    slowest: AtomicU64,
}

/// A turn that has begun.
#[derive(Debug)]
pub(super) struct Turn<'a> {
    record: &'a Record,
    place: usize,
    number: u64,
    since: Instant,
}

/// A fault, with whose it was and when.
#[derive(Clone, Debug)]
pub struct Failure {
    /// What the client was doing.
    pub habit: Habit,
    /// Which of its turns, counted from 0.
    pub turn: u64,
    /// When the turn began, counted from the begin of the traffic.
    pub begun: Duration,
    /// How long it took to fail.
    pub took: Duration,
    /// What went wrong.
    pub fault: Fault,
}

/// What one client did.
#[derive(Clone, Copy, Debug)]
pub struct Sum {
    /// What it kept doing.
    pub habit: Habit,
    /// How many turns it ended, well or not.
    pub turns: u64,
    /// How many connections it had.
    pub connections: u64,
    /// The longest that a turn took.
    pub slowest: Duration,
}

/// What has happened.
#[derive(Clone, Debug)]
pub struct Tally {
    /// Of each client.
    pub clients: Vec<Sum>,
    /// What did not go well, the first of them.
    pub failures: Vec<Failure>,
    /// How many did not go well.
    pub failed: usize,
    /// For how long.
    pub took: Duration,
}

impl Record {
    pub(super) fn new(habits: &[Habit]) -> Self {
        let clients = habits.iter().map(|&habit| Counts {
            habit,
            begun: AtomicU64::new(0),
            ended: AtomicU64::new(0),
            connections: AtomicU64::new(0),
            slowest: AtomicU64::new(0),
        });
        Self {
            since: Instant::now(),
            clients: clients.collect(),
            failures: Mutex::default(),
            failed: AtomicUsize::new(0),
        }
    }

    /// The client at `place` begins a turn.
    pub(super) fn begin(&self, place: usize) -> Turn<'_> {
        let number = self.clients[place].begun.fetch_add(1, Ordering::SeqCst);
        Turn { record: self, place, number, since: Instant::now() }
    }

    /// The client at `place` has a connection more.
    pub(super) fn connected(&self, place: usize) {
        self.clients[place].connections.fetch_add(1, Ordering::Relaxed);
    }

    /// How many turns each client has begun.
    pub(super) fn begun(&self) -> Vec<u64> {
        self.clients.iter().map(|counts| counts.begun.load(Ordering::SeqCst)).collect()
    }

    /// Whether each client has ended one turn more than it had begun then; the patient ones are not
    /// asked, unless there is nobody else.
    pub(super) fn has_ended_beyond(&self, begun: &[u64]) -> bool {
        let is_alone = self.clients.len() == 1;
        let clients = self.clients.iter().zip(begun);
        let mut asked = clients.filter(|(one, _)| is_alone || one.habit != Habit::Patient);
        asked.all(|(counts, &begun)| counts.ended.load(Ordering::SeqCst) > begun)
    }

    pub(super) fn tally(&self) -> Tally {
        let sum = |counts: &Counts| Sum {
            habit: counts.habit,
            turns: counts.ended.load(Ordering::SeqCst),
            connections: counts.connections.load(Ordering::Relaxed),
            slowest: Duration::from_micros(counts.slowest.load(Ordering::Relaxed)),
        };
        Tally {
            clients: self.clients.iter().map(sum).collect(),
            failures: self.failures.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            failed: self.failed.load(Ordering::SeqCst),
            took: self.since.elapsed(),
        }
    }
}

impl Turn<'_> {
    /// Ends it, well or not.
    pub(super) fn end(self, outcome: Result<(), Fault>) {
        let Self { record, place, number, since } = self;
        let (counts, took) = (&record.clients[place], since.elapsed());
        if let Err(fault) = outcome {
            record.failed.fetch_add(1, Ordering::SeqCst);
            let mut failures = record.failures.lock().unwrap_or_else(PoisonError::into_inner);
            if failures.len() < FAILURES_KEPT {
                let (habit, begun) = (counts.habit, since - record.since);
                failures.push(Failure { habit, turn: number, begun, took, fault });
            }
        }
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        counts.slowest.fetch_max(micros, Ordering::Relaxed);
        counts.ended.fetch_add(1, Ordering::SeqCst);
    }
}

impl Tally {
    /// What the clients of this habit did.
    pub fn of(&self, habit: Habit) -> impl Iterator<Item = &Sum> {
        self.clients.iter().filter(move |sum| sum.habit == habit)
    }

    /// How many turns there were.
    pub fn turns(&self) -> u64 {
        self.clients.iter().map(|sum| sum.turns).sum()
    }

    /// Fails unless every turn ended as it has to, and there were some of each client.
    pub fn expect_flawless(&self) {
        let is_idle = self.clients.iter().any(|sum| sum.turns == 0 || sum.connections == 0);
        assert!(self.failed == 0 && !is_idle, "{self}");
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} of {} turns failed in {:.1?}", self.failed, self.turns(), self.took)?;
        for Sum { habit, turns, connections, slowest } in &self.clients {
            let habit = format!("{habit:?}");
            let counts = format!("{turns:>7} turns, {connections:>6} connections");
            writeln!(f, "  {habit:<12}{counts}, slowest {slowest:.1?}")?;
        }
        for Failure { habit, turn, begun, took, fault } in &self.failures {
            writeln!(f, "  {begun:.3?}: {habit:?} {turn}, after {took:.1?}: {fault}")?;
        }
        Ok(())
    }
}

const FAILURES_KEPT: usize = 100;

//! Who knows everything: which session was made where and when, and what became of it.

use std::collections::HashMap;
use std::time::Duration;

use portunus_certs::ContextId;
use portunus_certs::session::id::{SessionId, Use};
use portunus_certs::session::trace::LookupResult;
use tokio::time::Instant;

#[derive(Default)]
pub(crate) struct Oracle {
    sessions: HashMap<SessionId, Made>,
    /// The same in the order in which they were made.
    order: Vec<SessionId>,
    /// The first rule that was broken.
    pub(crate) violation: Option<String>,
    pub(crate) tally: Tally,
}

/// What happened, so that a world in which nothing happens is not taken for a good one.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) visits: u64,
    pub(crate) resumed: u64,
    /// Resumed at another node than the one that made the session.
    pub(crate) moved: u64,
    pub(crate) results: [u64; LookupResult::ALL.len()],
    pub(crate) times_away: u64,
    pub(crate) refused: u64,
    pub(crate) unknown: u64,
}

#[derive(Clone, Copy)]
pub(crate) struct Made {
    pub(crate) context: ContextId,
    pub(crate) usage: Use,
    at: Instant,
    node: usize,
    resumed: u32,
}

impl Oracle {
    pub(crate) fn made(&mut self, id: SessionId, node: usize, context: ContextId, usage: Use) {
        let made = Made { context, usage, at: Instant::now(), node, resumed: 0 };
        self.sessions.insert(id, made);
        self.order.push(id);
    }

    pub(crate) fn resumed(&mut self, id: SessionId, node: usize, context: ContextId, text: &[u8]) {
        let Some(made) = self.sessions.get_mut(&id) else {
            return self.broken(format!("{id:?} was resumed and never made"));
        };
        made.resumed += 1;
        let made = *made;
        self.tally.resumed += 1;
        self.tally.moved += u64::from(made.node != node);
        let age = made.at.elapsed();
        if text != session(id, made.usage) {
            self.broken(format!("{id:?} is not what was made"));
        }
        if made.context != context {
            self.broken(format!("{id:?} was resumed under another policy"));
        }
        if made.usage == Use::Single && made.resumed > 1 {
            self.broken(format!("{id:?} was resumed {} times", made.resumed));
        }
        if age > LIFETIME + SKEW_MAX + ROUNDING {
            self.broken(format!("{id:?} was resumed at the age of {age:?}"));
        }
    }

    pub(crate) fn broken(&mut self, rule: String) {
        self.violation.get_or_insert(rule);
    }

    /// The latest sessions that may be used once and were not, with what is known of them.
    pub(crate) fn unused(&self, most: usize) -> Vec<(SessionId, Made)> {
        let made = self.order.iter().rev().map(|id| (*id, self.sessions[id]));
        made.filter(|(_, made)| made.usage == Use::Single && made.resumed == 0).take(most).collect()
    }

    pub(crate) fn add(&mut self, other: &Tally) {
        self.tally.add(other);
    }
}

impl Tally {
    pub(crate) fn add(&mut self, other: &Self) {
        self.visits += other.visits;
        self.resumed += other.resumed;
        self.moved += other.moved;
        self.times_away += other.times_away;
        self.refused += other.refused;
        self.unknown += other.unknown;
        self.results.iter_mut().zip(other.results).for_each(|(sum, result)| *sum += result);
    }
}

/// A session as rustls begins it: no server name, the version, the rest.
pub(crate) fn session(id: SessionId, usage: Use) -> Vec<u8> {
    let minor = if usage == Use::Single { 4 } else { 3 };
    [&[0, 3, minor][..], id.as_bytes()].concat()
}

pub(crate) const LIFETIME: Duration = Duration::from_secs(120);
/// How far apart the clocks of two nodes are at most.
pub(crate) const SKEW_MAX: Duration = Duration::from_secs(60);
/// Clocks count whole seconds.
const ROUNDING: Duration = Duration::from_secs(2);

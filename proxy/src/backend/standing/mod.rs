//! Who can be used: what is known of each endpoint of a backend, and what follows from it.
//!
//! Owns [`Roster`], a pure state machine: verdicts of exchanges, answers to health checks, what
//! the operator said, and the time go in; the [`Group`] to choose from comes out. Ejection never
//! takes the last endpoint that can be used, and what is ejected is still used when there is
//! nothing else; an endpoint that is unhealthy or draining never is. Refuses to know sockets,
//! clocks and chance. Read next: `state`, for one endpoint alone.

mod state;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

pub(super) use state::Share;

use super::balance::{Candidate, Group, Weighted};
use crate::config::{self, Balance, Ejection};
use crate::metrics::Standing;
use state::State;

/// What a backend goes by.
#[derive(Clone, Debug)]
pub(super) struct Rules {
    pub(super) balance: Balance,
    pub(super) ejection: Option<Ejection>,
    pub(super) slow_start: Duration,
    /// Good answers in a row that make an endpoint healthy.
    pub(super) rise: u32,
    /// Bad answers in a row that make it unhealthy.
    pub(super) fall: u32,
}

impl Rules {
    pub(super) fn new(config: &config::Backend) -> Self {
        let thresholds = config.health.as_ref().map(|health| (health.rise, health.fall));
        let (rise, fall) = thresholds.unwrap_or((1, 1));
        Self {
            balance: config.balance.clone(),
            ejection: config.ejection.clone(),
            slow_start: config.slow_start,
            rise,
            fall,
        }
    }
}

/// The endpoints of a backend.
#[derive(Debug)]
pub(super) struct Roster<T> {
    rules: Rules,
    members: Vec<Member<T>>,
}

/// What the operator wants of an endpoint.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Draining {
    /// It gets what it should.
    Off,
    /// It gets nothing new; what is going on finishes.
    On,
}

/// An endpoint, and how it stands.
#[derive(Debug)]
pub(super) struct Member<T> {
    pub(super) item: T,
    pub(super) share: Share,
    state: State,
}

impl<T> Member<T> {
    pub(super) fn standing(&self, now: Instant) -> Standing {
        self.state.standing(now)
    }
}

impl<T: Candidate> Roster<T> {
    pub(super) fn new(rules: Rules) -> Self {
        Self { rules, members: Vec::new() }
    }

    pub(super) fn members(&self) -> &[Member<T>] {
        &self.members
    }

    /// From now on, these are the endpoints. Those that were there keep what is known of them;
    /// those that join others begin slowly.
    pub(super) fn replace(&mut self, items: Vec<(T, Share)>, now: Instant) {
        let joins = !self.members.is_empty();
        // By their marks, since there may be thousands.
        let mut old: HashMap<u64, Vec<Member<T>>> = HashMap::new();
        for member in self.members.drain(..) {
            old.entry(member.item.mark()).or_default().push(member);
        }
        self.members = items
            .into_iter()
            .map(|(item, share)| {
                let alike = old.get_mut(&item.mark());
                let found = alike.and_then(|alike| {
                    let place = alike.iter().position(|member| member.item.is(&item))?;
                    Some(alike.swap_remove(place))
                });
                let state = match found {
                    Some(member) => member.state,
                    None => State::new(joins.then_some(now)),
                };
                Member { item, share, state }
            })
            .collect();
    }

    /// Counts a failure of `item`. If that was one too many, and enough others can be used, it is
    /// ejected; returns for how long. `chance` is random.
    pub(super) fn fail(&mut self, item: &T, now: Instant, chance: u64) -> Option<Duration> {
        let rule = self.rules.ejection.as_ref()?;
        let place = self.place(item)?;
        let may_eject = self.may_eject(place, rule, now);
        let state = &mut self.members.get_mut(place)?.state;
        (state.fail(rule.failures, now) && may_eject).then(|| state.eject(rule, now, chance))
    }

    /// Counts a success of `item`; returns whether nothing speaks against it any more.
    pub(super) fn succeed(&mut self, item: &T, now: Instant) -> bool {
        let place = self.place(item);
        let member = place.and_then(|place| self.members.get_mut(place));
        member.is_none_or(|member| member.state.succeed(now))
    }

    /// Takes the answer of `item` to a health check; returns whether it became healthy or unhealthy
    /// by it, if it did.
    pub(super) fn check(&mut self, item: &T, is_good: bool, now: Instant) -> Option<bool> {
        let place = self.place(item)?;
        let state = &mut self.members.get_mut(place)?.state;
        state.check(is_good, self.rules.rise, self.rules.fall, now)
    }

    /// What goes to whom from now on, as `way` says.
    pub(super) fn set_all_draining(&mut self, way: impl Fn(&T) -> Draining, now: Instant) {
        for member in &mut self.members {
            member.state.set_draining(way(&member.item), now);
        }
    }

    /// Lets those whose ejection is over come back; returns them.
    pub(super) fn advance(&mut self, now: Instant) -> Vec<T> {
        let members = self.members.iter_mut();
        let back = members.filter_map(|member| member.state.come_back(now).then_some(&member.item));
        back.cloned().collect()
    }

    /// What can be chosen from, and until when: first the primary endpoints that nothing speaks
    /// against, then such backups, then those that are ejected.
    pub(super) fn group(&self, now: Instant) -> Group<T> {
        let (mut primary, mut backup, mut ejected) = (Vec::new(), Vec::new(), Vec::new());
        for member in &self.members {
            let tier = match (member.state.standing(now), member.share.is_backup) {
                (Standing::Usable, false) => &mut primary,
                (Standing::Usable, true) => &mut backup,
                (Standing::Ejected, _) => &mut ejected,
                (Standing::Draining | Standing::Unhealthy, _) => continue,
            };
            let weight = member.state.weight(member.share.weight, self.rules.slow_start, now);
            tier.push(Weighted { item: member.item.clone(), weight });
        }
        let changes = self
            .members
            .iter()
            .filter_map(|member| member.state.next_change(self.rules.slow_start, now));
        Group::new(vec![primary, backup, ejected], &self.rules.balance, changes.min())
    }

    /// Whether the member at `place` may be ejected besides those that are: enough others stay, and
    /// one of them can be used.
    fn may_eject(&self, place: usize, rule: &Ejection, now: Instant) -> bool {
        let others = || {
            let members = self.members.iter().enumerate();
            members.filter(|(other, _)| *other != place).map(|(_, member)| member)
        };
        let ejected = others().filter(|member| member.state.is_ejected(now)).count();
        let ejected_max = (self.members.len() * usize::from(rule.share_max) / 100).max(1);
        ejected < ejected_max
            && others().any(|member| member.state.standing(now) == Standing::Usable)
    }

    fn place(&self, item: &T) -> Option<usize> {
        self.members.iter().position(|member| member.item.is(item))
    }
}

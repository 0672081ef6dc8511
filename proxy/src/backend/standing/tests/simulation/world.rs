//! A backend, its endpoints, and the oracle that keeps its own account of them.
//!
//! Owns the steps and the judgement after each. What the oracle knows it works out from what it saw
//! happen, in another way than the product does.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use tokio::time::Instant;

use super::super::super::{Draining, Roster, Rules, Share};
use super::{Habit, Outcome, Tally};
use crate::backend::balance::{Candidate, Group};
use crate::backend::random::mix;
use crate::config::{Balance, Ejection};
use crate::metrics::Standing;

#[derive(Clone, Debug)]
pub(super) struct Thing {
    pub(super) id: usize,
    pub(super) load: Rc<Cell<usize>>,
}

impl Candidate for Thing {
    fn load(&self) -> usize {
        self.load.get()
    }

    fn mark(&self) -> u64 {
        mix(self.id as u64)
    }

    fn is(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

/// What the oracle knows of one endpoint.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) thing: Thing,
    pub(super) share: Share,
    is_present: bool,
    is_draining: bool,
    /// What is true of it, whether anybody noticed or not.
    fails: bool,
    /// The answers to its checks, the last one last.
    answers: Vec<bool>,
    is_unhealthy: bool,
    ejected_until: Option<Instant>,
    ejections: u32,
    failures: u32,
}

pub(super) struct World {
    seed: u64,
    habit: Habit,
    pub(super) roster: Roster<Thing>,
    pub(super) known: Vec<Known>,
    under_way: Vec<usize>,
    pub(super) group: Group<Thing>,
    pub(super) now: Instant,
    turn: u64,
    pub(super) tally: Tally,
}

impl World {
    pub(super) fn new(seed: u64, habit: Habit, start: Instant) -> Self {
        let mut world = Self {
            seed: mix(seed),
            habit,
            roster: Roster::new(rules(seed)),
            known: Vec::new(),
            under_way: Vec::new(),
            group: Group::default(),
            now: start,
            turn: 0,
            tally: Tally::default(),
        };
        for _ in 0..1 + world.below(8) {
            world.add();
        }
        world.known.iter_mut().for_each(|known| known.is_present = true);
        world.replace();
        world
    }

    pub(super) fn below(&mut self, count: u64) -> u64 {
        self.seed = self.seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.seed) % count
    }

    fn index(&mut self, count: usize) -> usize {
        usize::try_from(self.below(count as u64)).unwrap()
    }

    fn add(&mut self) {
        let weight = [1, 1, 2, 5, 100][self.index(5)];
        let (is_backup, is_present) = (self.below(4) == 0, self.below(2) == 0);
        self.known.push(Known {
            thing: Thing { id: self.known.len(), load: Rc::default() },
            share: Share { weight, is_backup },
            is_present,
            is_draining: false,
            fails: false,
            answers: Vec::new(),
            is_unhealthy: false,
            ejected_until: None,
            ejections: 0,
            failures: 0,
        });
    }

    /// Hands the present ones to the roster, which forgets the others.
    fn replace(&mut self) {
        let items: Vec<_> = self.known.iter().filter(|known| known.is_present).collect();
        let items = items.iter().map(|known| (known.thing.clone(), known.share)).collect();
        self.roster.replace(items, self.now);
        for known in self.known.iter_mut().filter(|known| !known.is_present) {
            (known.is_draining, known.is_unhealthy, known.fails) = (false, false, false);
            (known.ejected_until, known.ejections, known.failures) = (None, 0, 0);
            known.answers.clear();
        }
        self.group = self.roster.group(self.now);
    }

    fn advance(&mut self) {
        if self.habit == Habit::ForgetsWhoComesBack {
            return;
        }
        if self.group.until.is_some_and(|until| until <= self.now) {
            self.tally.came_back += self.roster.advance(self.now).len() as u64;
            self.group = self.roster.group(self.now);
        }
    }

    fn is_ejected(&self, id: usize) -> bool {
        self.known[id].ejected_until.is_some_and(|until| self.now < until)
    }

    fn standing(&self, id: usize) -> Standing {
        let known = &self.known[id];
        match known {
            Known { is_draining: true, .. } => Standing::Draining,
            Known { is_unhealthy: true, .. } => Standing::Unhealthy,
            _ if self.is_ejected(id) => Standing::Ejected,
            _ => Standing::Usable,
        }
    }

    /// How bad it is to choose an endpoint; `None` if it must not be.
    fn rank(&self, id: usize) -> Option<usize> {
        match (self.standing(id), self.known[id].share.is_backup) {
            (Standing::Usable, false) => Some(0),
            (Standing::Usable, true) => Some(1),
            (Standing::Ejected, _) => Some(2),
            (Standing::Draining | Standing::Unhealthy, _) => None,
        }
    }

    fn request(&mut self) -> Outcome {
        self.advance();
        let mut tried: Vec<Thing> = Vec::new();
        for _ in 0..1 + self.below(3) {
            let key = (self.below(2) == 0).then(|| self.below(50));
            let balance = self.roster.rules.balance.clone();
            self.turn += 1;
            let number =
                if balance == Balance::RoundRobin { self.turn } else { self.below(u64::MAX) };
            let chosen = match &*tried {
                [] => self.group.choose(&balance, number, key).cloned(),
                tried => self.group.choose_other(&balance, number, key, tried),
            };
            self.judge(chosen.as_ref(), &tried)?;
            let Some(chosen) = chosen else { break };
            chosen.load.set(chosen.load.get() + 1);
            self.under_way.push(chosen.id);
            tried.push(chosen);
        }
        Ok(())
    }

    /// Whether the choice is one of the best there are.
    fn judge(&mut self, chosen: Option<&Thing>, tried: &[Thing]) -> Outcome {
        let present = self.known.iter().filter(|known| known.is_present);
        let fresh = present.filter(|known| !tried.iter().any(|tried| tried.is(&known.thing)));
        let best = fresh.filter_map(|known| self.rank(known.thing.id)).min();
        let rank = chosen.and_then(|chosen| self.rank(chosen.id));
        if rank != best || chosen.is_some_and(|chosen| !self.known[chosen.id].is_present) {
            return Err(format!(
                "{chosen:?} of rank {rank:?} instead of {best:?}: {:?}",
                self.known
            ));
        }
        self.tally.chosen += u64::from(chosen.is_some());
        self.tally.retried += u64::from(!tried.is_empty());
        self.tally.turned_away += u64::from(chosen.is_none() && tried.is_empty());
        self.tally.backups += u64::from(rank == Some(1));
        self.tally.last_resorts += u64::from(rank == Some(2));
        Ok(())
    }

    fn finish(&mut self) -> Outcome {
        if self.under_way.is_empty() {
            return Ok(());
        }
        let place = self.index(self.under_way.len());
        let id = self.under_way.swap_remove(place);
        let thing = self.known[id].thing.clone();
        thing.load.set(thing.load.get() - 1);
        if !self.known[id].is_present {
            // An exchange may outlive its endpoint.
            self.roster.fail(&thing, self.now, 0);
            return Ok(());
        }
        self.advance();
        if self.known[id].fails && self.below(10) > 0 {
            self.fail(id)?;
        } else {
            self.roster.succeed(&thing, self.now);
            if !self.is_ejected(id) {
                (self.known[id].ejections, self.known[id].failures) = (0, 0);
            }
        }
        self.group = self.roster.group(self.now);
        Ok(())
    }

    fn fail(&mut self, id: usize) -> Outcome {
        let chance = self.below(u64::MAX);
        let others: Vec<_> = self.present().filter(|other| *other != id).collect();
        let out = others.iter().filter(|other| self.is_ejected(**other)).count();
        let is_last = !others.iter().any(|other| self.standing(*other) == Standing::Usable);
        let was_out = self.is_ejected(id);
        let ejected = self.roster.fail(&self.known[id].thing, self.now, chance);
        let Some(rule) = &self.roster.rules.ejection else {
            return ejected.map_or(Ok(()), |_| Err("ejected without a rule".to_owned()));
        };
        let known = &mut self.known[id];
        known.failures += u32::from(!was_out);
        let may_be_out = (others.len() + 1) * usize::from(rule.share_max) / 100;
        let is_due = !was_out && known.failures >= rule.failures;
        if ejected.is_some() != (is_due && !is_last && out < may_be_out.max(1)) {
            let rest = format!("{out} of {} others out, last: {is_last}", others.len());
            return Err(format!("{ejected:?} of {known:?}, {rest}"));
        }
        let Some(length) = ejected else { return Ok(()) };
        let doubled = rule.base.as_secs_f64() * 2_f64.powi(known.ejections.cast_signed());
        let full = doubled.min(rule.longest.as_secs_f64());
        if !(full * 0.899..=full * 1.001).contains(&length.as_secs_f64()) {
            return Err(format!("ejected for {length:?}, not {full} s: {known:?}"));
        }
        self.tally.ejected += 1;
        self.tally.longer += u64::from(known.ejections > 0);
        known.ejections += 1;
        known.ejected_until = Some(self.now + length);
        Ok(())
    }

    pub(super) fn present(&self) -> impl Iterator<Item = usize> {
        let known = self.known.iter();
        known.filter(|known| known.is_present).map(|known| known.thing.id)
    }

    fn check(&mut self) {
        let id = self.index(self.known.len());
        if !self.known[id].is_present {
            return;
        }
        let is_good = !self.known[id].fails;
        let thing = self.known[id].thing.clone();
        if self.habit != Habit::IgnoresChecks {
            self.roster.check(&thing, is_good, self.now);
            self.group = self.roster.group(self.now);
        }
        let Rules { rise, fall, .. } = self.roster.rules;
        let known = &mut self.known[id];
        known.answers.push(is_good);
        let last = |count: u32, good: bool| {
            let tail = known.answers.iter().rev().take(count as usize);
            known.answers.len() >= count as usize && tail.copied().all(|answer| answer == good)
        };
        let is_first = known.answers.len() == 1;
        if !is_good && !known.is_unhealthy && (is_first || last(fall, false)) {
            known.is_unhealthy = true;
            self.tally.unhealthy += 1;
            // A row of answers begins anew.
            known.answers = vec![false];
        } else if is_good && known.is_unhealthy && last(rise, true) {
            known.is_unhealthy = false;
            (known.ejected_until, known.ejections, known.failures) = (None, 0, 0);
        }
    }

    fn drain(&mut self) {
        let id = self.index(self.known.len());
        let known = &mut self.known[id];
        if !known.is_present {
            return;
        }
        known.is_draining = !known.is_draining;
        let draining = if known.is_draining { Draining::On } else { Draining::Off };
        if self.habit != Habit::IgnoresDraining {
            self.roster.set_draining(&self.known[id].thing, draining, self.now);
            self.group = self.roster.group(self.now);
        }
    }

    pub(super) fn step(&mut self) -> Outcome {
        match self.below(100) {
            0..40 => return self.request(),
            40..76 => return self.finish(),
            76..84 => self.check(),
            84..88 => self.drain(),
            88..93 => {
                let id = self.index(self.known.len());
                self.known[id].fails = !self.known[id].fails;
            }
            93..94 => {
                let id = self.index(self.known.len());
                self.known[id].is_present = !self.known[id].is_present;
                self.replace();
            }
            94..95 => {
                self.add();
                self.replace();
            }
            _ => {
                let micros = [1, 1_000, 500_000, 9_000_000, 100_000_000][self.index(5)];
                let wait = Duration::from_micros(self.below(2 * micros));
                self.now += wait;
            }
        }
        Ok(())
    }
}

/// The rules of the backend with this seed.
fn rules(seed: u64) -> Rules {
    let pick = |salt: u64, count: u64| usize::try_from(mix(seed ^ salt << 32) % count).unwrap();
    let balances = [Balance::P2c, Balance::RoundRobin, Balance::Least, Balance::HashClient];
    let base = [1, 10][pick(2, 2)];
    let ejection = Ejection {
        failures: [1, 2, 5][pick(3, 3)],
        base: Duration::from_secs(base),
        longest: Duration::from_secs([base, 300][pick(4, 2)]),
        share_max: [10, 34, 50, 100][pick(5, 4)],
        statuses: Vec::new(),
    };
    Rules {
        balance: balances[pick(6, 4)].clone(),
        ejection: (pick(7, 8) > 0).then_some(ejection),
        slow_start: Duration::from_secs([0, 0, 5, 60][pick(8, 4)]),
        rise: [1, 2][pick(9, 2)],
        fall: [1, 3][pick(10, 2)],
    }
}

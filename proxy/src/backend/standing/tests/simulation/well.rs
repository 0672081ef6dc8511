//! How a backend is to be when everything is well again.
//!
//! Owns the judgement of shares and of keys, for which no endpoint may be busy or in disgrace.

use std::time::Duration;

use super::super::super::{Draining, Share};
use super::Outcome;
use super::world::World;
use crate::config::Balance;

impl World {
    /// Makes everything well, and sees whether everybody gets the share of its weight.
    pub(super) fn heal(&mut self) -> Outcome {
        for id in self.present().collect::<Vec<_>>() {
            let thing = self.known[id].thing.clone();
            self.roster.set_draining(&thing, Draining::Off, self.now);
            for _ in 0..self.roster.rules.rise {
                self.roster.check(&thing, true, self.now);
            }
        }
        for wait in [Duration::from_secs(3_600), self.roster.rules.slow_start] {
            self.now += wait;
            self.roster.advance(self.now);
        }
        for known in &self.known {
            known.thing.load.set(0);
            self.roster.succeed(&known.thing, self.now);
        }
        self.group = self.roster.group(self.now);
        if self.group.until.is_some() {
            return Err("something is still to change".to_owned());
        }
        self.shares()?;
        self.keys()
    }

    fn shares(&mut self) -> Outcome {
        let all: Vec<_> = self.present().collect();
        let has_primary = all.iter().any(|id| !self.known[*id].share.is_backup);
        let weight = |id: &usize| match self.known[*id].share {
            Share { is_backup: true, .. } if has_primary => 0,
            Share { weight, .. } => u64::from(weight),
        };
        let weights: Vec<_> = all.iter().map(weight).collect();
        let (sum, balance) = (weights.iter().sum::<u64>(), self.roster.rules.balance.clone());
        let rounds = if balance == Balance::RoundRobin { sum } else { CHOICES };
        let mut hits = vec![0_u64; self.known.len()];
        for turn in 0..rounds {
            let number = if balance == Balance::RoundRobin { turn } else { self.below(u64::MAX) };
            let key = self.below(u64::MAX);
            if let Some(chosen) = self.group.choose(&balance, number, Some(key)) {
                hits[chosen.id] += 1;
            }
        }
        for (id, weight) in all.iter().zip(weights) {
            let share = weight as f64 / sum as f64;
            let expected = share * rounds as f64;
            let slack = match balance {
                Balance::RoundRobin => 0.0,
                _ => 6.0 * (expected * (1.0 - share)).sqrt(),
            };
            if (hits[*id] as f64 - expected).abs() > slack + 0.5 {
                return Err(format!("{hits:?} by {balance:?}: {:?}", self.known));
            }
        }
        Ok(())
    }

    /// Takes one endpoint out: the keys of the others stay where they are.
    fn keys(&mut self) -> Outcome {
        let balance = self.roster.rules.balance.clone();
        let Some(gone) = self.present().next().filter(|_| balance == Balance::HashClient) else {
            return Ok(());
        };
        let group = self.roster.group(self.now);
        self.roster.set_draining(&self.known[gone].thing, Draining::On, self.now);
        let fewer = self.roster.group(self.now);
        for key in 0..50 {
            let before = group.choose(&balance, 0, Some(key)).map(|thing| thing.id);
            let after = fewer.choose(&balance, 0, Some(key)).map(|thing| thing.id);
            let is_alone = self.present().all(|id| id == gone || self.known[id].share.is_backup);
            if before != after && before != Some(gone) && !is_alone {
                return Err(format!("key {key} moved from {before:?} to {after:?} without need"));
            }
            self.tally.moved += u64::from(before != after);
            self.tally.stayed += u64::from(before == after);
        }
        Ok(())
    }
}

/// Choices by which shares are judged, where they are left to chance.
const CHOICES: u64 = 300;

//! Who is next: the choice of one endpoint among those that can be used.
//!
//! Owns the policies, as a pure function of weights, loads, a number and a key. Refuses to know
//! sockets, names, time, and where the number comes from: chance, or a counter for taking turns.
//! Who can be used at all is decided by `standing`. Read next: `tier`, which has the arithmetic.

#[cfg(test)]
mod tests;
mod tier;

use tokio::time::Instant;

use tier::Tier;

use crate::config::Balance;

/// What can be chosen.
pub(super) trait Candidate: Clone {
    /// How much it has to do.
    fn load(&self) -> usize;

    /// A digest of what it is, the same in every process.
    fn mark(&self) -> u64;

    /// Whether both are the same place to go to.
    fn is(&self, other: &Self) -> bool;
}

/// Something to choose, with its share beside the others.
#[derive(Clone, Debug)]
pub(super) struct Weighted<T> {
    pub(super) item: T,
    /// At least one.
    pub(super) weight: u32,
}

/// All that can be chosen at one time.
#[derive(Debug)]
pub(super) struct Group<T> {
    /// The best first; the others are for when none of it is left.
    tiers: Vec<Tier<T>>,
    /// When it will be different by itself, if it will.
    pub(super) until: Option<Instant>,
}

impl<T> Default for Group<T> {
    fn default() -> Self {
        Self { tiers: Vec::new(), until: None }
    }
}

impl<T: Candidate> Group<T> {
    /// A group that holds until a time; empty tiers do not count.
    pub(super) fn new(
        tiers: Vec<Vec<Weighted<T>>>,
        balance: &Balance,
        until: Option<Instant>,
    ) -> Self {
        let tiers = tiers.into_iter().filter(|tier| !tier.is_empty());
        Self { tiers: tiers.map(|tier| Tier::new(tier, balance)).collect(), until }
    }

    /// The one to use, or `None` if there is none. `number` counts the choices for
    /// [`Balance::RoundRobin`] and is random for all others; `key` makes the choice the same each
    /// time, if `balance` goes by keys.
    pub(super) fn choose(&self, balance: &Balance, number: u64, key: Option<u64>) -> Option<&T> {
        self.tiers.first()?.choose(balance, number, key)
    }

    /// The one to use besides those in `tried`; `number` is random.
    pub(super) fn choose_other(
        &self,
        balance: &Balance,
        number: u64,
        key: Option<u64>,
        tried: &[T],
    ) -> Option<T> {
        let is_fresh = |one: &&Weighted<T>| !tried.iter().any(|other| other.is(&one.item));
        self.tiers.iter().find_map(|tier| {
            let fresh: Vec<_> = tier.members().iter().filter(is_fresh).cloned().collect();
            Tier::new(fresh, balance).choose(balance, number, key).cloned()
        })
    }
}

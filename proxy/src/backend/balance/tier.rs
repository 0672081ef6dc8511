//! Endpoints that are as good as each other but for their weights, and the choice among them.
//!
//! Owns what is worked out once for many choices: sums of weights, and the order of turns. Every
//! way of choosing gives each member its share by weight when all have equally much to do. Refuses
//! to know why these are the members. Read next: `standing`, which does.

use std::cmp::Ordering;

use super::{Candidate, Weighted};
use crate::backend::random::mix;
use crate::config::Balance;

/// Members to choose from.
#[derive(Debug)]
pub(in crate::backend) struct Tier<T> {
    members: Vec<Weighted<T>>,
    /// The sum of the weights up to and with each member.
    sums: Vec<u64>,
    /// Whose turn it is, over and over; only for [`Balance::RoundRobin`].
    turns: Vec<usize>,
}

impl<T: Candidate> Tier<T> {
    pub(super) fn new(members: Vec<Weighted<T>>, balance: &Balance) -> Self {
        let weights = || members.iter().map(|member| u64::from(member.weight));
        let sum = |sum: &mut u64, weight| {
            *sum += weight;
            Some(*sum)
        };
        let sums = weights().scan(0, sum).collect();
        let turns = match balance {
            Balance::RoundRobin => turns(&weights().collect::<Vec<_>>()),
            _ => Vec::new(),
        };
        Self { members, sums, turns }
    }

    pub(super) fn members(&self) -> &[Weighted<T>] {
        &self.members
    }

    pub(super) fn choose(&self, balance: &Balance, number: u64, key: Option<u64>) -> Option<&T> {
        let member = match (&*self.members, balance, key) {
            ([] | [_], ..) => self.members.first(),
            (.., Balance::P2c, _) => self.lighter_of_two(number),
            (.., Balance::RoundRobin, _) => self.in_turn(number),
            (.., Balance::Least, _) => self.lightest(number),
            (_, Balance::HashClient | Balance::HashCookie(_) | Balance::HashHeader(_), key) => {
                match key {
                    Some(key) => self.owner(key),
                    None => self.lighter_of_two(number),
                }
            }
        };
        member.map(|member| &member.item)
    }

    fn in_turn(&self, number: u64) -> Option<&Weighted<T>> {
        let turn = below(number, self.turns.len() as u64)?;
        self.members.get(*self.turns.get(usize::try_from(turn).ok()?)?)
    }

    /// Two are drawn by weight; the one that has less to do for its weight is taken.
    fn lighter_of_two(&self, number: u64) -> Option<&Weighted<T>> {
        let total = *self.sums.last()?;
        let first = self.place_of(below(number & u64::from(u32::MAX), total)?);
        let one = self.members.get(first)?;
        let width = u64::from(one.weight);
        // The second is drawn from what is left without the first.
        let Some(mut point) = below(number >> 32, total - width) else { return Some(one) };
        if point >= self.sums.get(first)? - width {
            point += width;
        }
        let other = self.members.get(self.place_of(point))?;
        Some(if compare(other, one) == Ordering::Less { other } else { one })
    }

    /// The one that has least to do for its weight; equals are drawn by weight.
    fn lightest(&self, number: u64) -> Option<&Weighted<T>> {
        let mut members = self.members.iter();
        let mut best = members.next()?;
        let (mut total, mut chance) = (u64::from(best.weight), number);
        for member in members {
            match compare(member, best) {
                Ordering::Less => (best, total) = (member, u64::from(member.weight)),
                Ordering::Equal => {
                    total += u64::from(member.weight);
                    chance = mix(chance);
                    if below(chance, total)? < u64::from(member.weight) {
                        best = member;
                    }
                }
                Ordering::Greater => {}
            }
        }
        Some(best)
    }

    /// Weighted rendezvous hashing: each member bids for the key, and nobody's bid depends on who
    /// else is there. So a member that goes leaves its keys to others, one that comes takes its
    /// share from all, and no other key moves.
    fn owner(&self, key: u64) -> Option<&Weighted<T>> {
        let bid = |member: &Weighted<T>| {
            let luck = mix(key ^ member.item.mark());
            // 53 bits, within the open interval from 0 to 1.
            #[expect(clippy::cast_precision_loss, reason = "53 bits fit")]
            let luck = ((luck >> 11) as f64 + 0.5) / (1_u64 << 53) as f64;
            -luck.ln() / f64::from(member.weight)
        };
        let bids = self.members.iter().map(|member| (bid(member), member));
        bids.min_by(|one, other| one.0.total_cmp(&other.0)).map(|(_, member)| member)
    }

    /// The place of the member that `point` falls to, if it is below the sum of all.
    fn place_of(&self, point: u64) -> usize {
        self.sums.partition_point(|sum| *sum <= point)
    }
}

/// Who has less to do for its weight.
fn compare<T: Candidate>(one: &Weighted<T>, other: &Weighted<T>) -> Ordering {
    let load = |member: &Weighted<T>| member.item.load() as u64;
    let (mine, theirs) = (load(one), load(other));
    mine.saturating_mul(u64::from(other.weight)).cmp(&theirs.saturating_mul(u64::from(one.weight)))
}

/// The order in which members take turns, each as often as its weight says and as evenly as can
/// be: its turns lie in the middle of equal parts of the round.
pub(super) fn turns(weights: &[u64]) -> Vec<usize> {
    let divisor = weights.iter().copied().reduce(gcd).unwrap_or(1).max(1);
    let total = weights.iter().sum::<u64>() / divisor;
    let scaled = |weight: u64| match total {
        ..=TURNS_MAX => weight / divisor,
        total => (weight / divisor * TURNS_MAX / total).max(1),
    };
    let mut turns: Vec<(u64, usize)> = Vec::new();
    for (place, weight) in weights.iter().enumerate() {
        let count = scaled(*weight);
        turns.extend((0..count).map(|turn| ((2 * turn + 1) * ROUND / (2 * count), place)));
    }
    turns.sort_unstable();
    turns.into_iter().map(|(_, place)| place).collect()
}

fn gcd(one: u64, other: u64) -> u64 {
    if other == 0 { one } else { gcd(other, one % other) }
}

/// `number` brought below `count`, unless that is zero.
fn below(number: u64, count: u64) -> Option<u64> {
    number.checked_rem(count)
}

/// Turns of a round, give or take one for each member: the shares are as exact as one in this.
const TURNS_MAX: u64 = 4_096;

/// The length of a round, in which turns have places.
const ROUND: u64 = 1 << 40;

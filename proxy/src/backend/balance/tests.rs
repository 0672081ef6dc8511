//! Every policy with weights: shares, turns, loads, and keys that stay where they are.

use proptest::prelude::*;

use super::tier::turns;
use super::*;
use crate::backend::random::mix;

/// A thing with a number and a load.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Thing(usize, usize);

impl Candidate for Thing {
    fn load(&self) -> usize {
        self.1
    }

    fn mark(&self) -> u64 {
        mix(self.0 as u64)
    }

    fn is(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

const BALANCES: [Balance; 4] =
    [Balance::P2c, Balance::RoundRobin, Balance::Least, Balance::HashClient];

fn things(weights_and_loads: &[(u32, usize)]) -> Vec<Weighted<Thing>> {
    let thing = |(place, &(weight, load))| Weighted { item: Thing(place, load), weight };
    weights_and_loads.iter().enumerate().map(thing).collect()
}

fn idle(weights: &[u32]) -> Vec<Weighted<Thing>> {
    things(&weights.iter().map(|weight| (*weight, 0)).collect::<Vec<_>>())
}

fn numbers() -> impl Iterator<Item = u64> {
    (0_u64..).map(|number| mix(number.wrapping_mul(0x9e37_79b9_7f4a_7c15)))
}

/// How often each is chosen in `count` choices.
fn hits(members: Vec<Weighted<Thing>>, balance: &Balance, count: usize) -> Vec<usize> {
    let mut hits = vec![0; members.len()];
    let tier = Tier::new(members, balance);
    for (turn, number) in (0_u64..).zip(numbers().take(count)) {
        let number = if *balance == Balance::RoundRobin { turn } else { number };
        hits[tier.choose(balance, number, Some(mix(number))).unwrap().0] += 1;
    }
    hits
}

#[test]
fn nobody_is_chosen_from_nobody() {
    for balance in &BALANCES {
        let group = Group::<Thing>::new(vec![Vec::new(), Vec::new()], balance, None);
        assert_eq!(group.choose(balance, 7, Some(7)), None);
        assert_eq!(group.choose_other(balance, 7, Some(7), &[]), None);
    }
}

#[test]
fn round_robin_takes_turns() {
    let tier = Tier::new(idle(&[1, 1, 1]), &Balance::RoundRobin);
    let turns = |number| tier.choose(&Balance::RoundRobin, number, None).unwrap().0;
    assert_eq!((0..7).map(turns).collect::<Vec<_>>(), [0, 1, 2, 0, 1, 2, 0]);
}

#[test]
fn turns_are_shared_by_weight_and_spread_over_the_round() {
    assert_eq!(hits(idle(&[5, 1, 1]), &Balance::RoundRobin, 700), [500, 100, 100]);
    assert_eq!(hits(idle(&[20, 40]), &Balance::RoundRobin, 3), [1, 2]);
    // In no stretch of a round has anybody more than one turn above its share.
    let turns = turns(&[5, 2, 3]);
    for stretch in 1..turns.len() {
        for (place, weight) in [(0, 5), (1, 2), (2, 3)] {
            let had = turns[..stretch].iter().filter(|turn| **turn == place).count();
            assert!((had * 10).abs_diff(weight * stretch) <= 10, "{place} in {turns:?}");
        }
    }
}

#[test]
fn a_round_is_bounded_and_leaves_nobody_out() {
    let weights: Vec<u64> = (0..1000).map(|place| 1 + place % 256 * 10).collect();
    let turns = turns(&weights);
    assert!(turns.len() <= 4_096 + weights.len());
    assert!((0..1000).all(|place| turns.contains(&place)));
}

#[test]
fn idle_endpoints_are_chosen_by_weight() {
    for balance in &BALANCES {
        let hits = hits(idle(&[1, 2, 5]), balance, 80_000);
        for (hits, share) in hits.iter().zip([10_000, 20_000, 50_000]) {
            assert!(hits.abs_diff(share) < share / 20, "{balance:?}: {hits} for {share}");
        }
    }
}

#[test]
fn the_busier_of_two_is_never_chosen() {
    for balance in [Balance::P2c, Balance::Least] {
        assert_eq!(hits(things(&[(1, 5), (1, 4)]), &balance, 1000), [0, 1000]);
        // Ten times the weight has less to do with five times the load.
        assert_eq!(hits(things(&[(10, 5), (1, 1)]), &balance, 1000), [1000, 0]);
    }
}

#[test]
fn a_key_stays_where_it_is_when_others_come_and_go() {
    let by = Balance::HashClient;
    let all = Tier::new(idle(&[1, 2, 3, 1]), &by);
    let mut fewer = idle(&[1, 2, 3, 1]);
    fewer.remove(2);
    let fewer = Tier::new(fewer, &by);
    let mut moved = 0;
    for key in numbers().take(10_000) {
        let owner = all.choose(&by, 0, Some(key)).unwrap();
        let heir = fewer.choose(&by, 0, Some(key)).unwrap();
        assert!(owner == heir || owner.0 == 2, "a key of {owner:?} moved");
        moved += usize::from(owner != heir);
    }
    assert!(moved.abs_diff(10_000 * 3 / 7) < 300, "{moved}");
}

#[test]
fn a_key_whose_endpoint_was_tried_goes_where_it_goes_without_that_endpoint() {
    let by = Balance::HashClient;
    let group = Group::new(vec![idle(&[1, 1, 1])], &by, None);
    for key in numbers().take(100) {
        let owner = *group.choose(&by, 0, Some(key)).unwrap();
        let next = group.choose_other(&by, 0, Some(key), &[owner]).unwrap();
        let mut others = idle(&[1, 1, 1]);
        others.remove(owner.0);
        assert_eq!(Some(&next), Tier::new(others, &by).choose(&by, 0, Some(key)));
    }
}

#[test]
fn the_next_tier_is_for_when_all_of_the_first_were_tried() {
    for balance in &BALANCES {
        let (first, second) = (things(&[(1, 9)]), vec![Weighted { item: Thing(9, 0), weight: 1 }]);
        let group = Group::new(vec![first, Vec::new(), second], balance, None);
        assert_eq!(group.choose(balance, 0, Some(3)), Some(&Thing(0, 9)));
        let other = |tried: &[Thing]| group.choose_other(balance, 0, Some(3), tried);
        assert_eq!(other(&[Thing(0, 9)]), Some(Thing(9, 0)));
        assert_eq!(other(&[Thing(0, 9), Thing(9, 0)]), None);
    }
}

proptest! {
    #[test]
    fn a_choice_is_a_member_and_never_one_that_was_tried(
        number: u64,
        key: Option<u64>,
        members in prop::collection::vec((1_u32..2561, 0_usize..9), 2..70),
        tried in prop::collection::vec(any::<prop::sample::Index>(), 0..3),
    ) {
        let members = things(&members);
        let item = |place: &prop::sample::Index| members[place.index(members.len())].item;
        let tried: Vec<_> = tried.iter().map(item).collect();
        for balance in &BALANCES {
            let group = Group::new(vec![members.clone()], balance, None);
            prop_assert!(group.choose(balance, number, key).is_some());
            let other = group.choose_other(balance, number, key, &tried);
            prop_assert!(other.is_none_or(|other| !tried.contains(&other)));
            prop_assert!(other.is_some() || tried.len() >= members.len());
        }
    }

    #[test]
    fn the_busiest_alone_is_never_chosen(
        number: u64,
        count in 2_usize..70,
        busy: prop::sample::Index,
    ) {
        let busy = busy.index(count);
        let loads: Vec<_> = (0..count).map(|place| (1, usize::from(place == busy))).collect();
        for balance in [Balance::P2c, Balance::Least] {
            let tier = Tier::new(things(&loads), &balance);
            prop_assert_ne!(tier.choose(&balance, number, None).unwrap().0, busy);
        }
    }
}

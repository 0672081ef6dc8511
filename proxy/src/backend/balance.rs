//! Who is next: the choice of one endpoint among those that can be dialled.
//!
//! Owns the two policies as a pure function of loads and a number. Refuses to know sockets, names
//! and where the number comes from: chance for power of two choices, a counter for round-robin.
//! Read next: the parent module, which asks.

use crate::config::Balance;

/// The place of the endpoint to use out of `count`, or `None` if there is none. `number` is random
/// for [`Balance::P2c`] and counts the choices for [`Balance::RoundRobin`]; `load` says how busy
/// the endpoint at a place is.
pub(super) fn choose(
    balance: &Balance,
    number: u64,
    count: usize,
    load: impl Fn(usize) -> usize,
) -> Option<usize> {
    match (balance, count) {
        (_, 0) => None,
        (_, 1) => Some(0),
        (Balance::P2c, _) => {
            let (one, other) = two_of(number, count);
            Some(if load(other) < load(one) { other } else { one })
        }
        (_, _) => Some(below(number, count)),
    }
}

/// Two different places below `count`, which is at least two; every pair is as likely as any other.
fn two_of(number: u64, count: usize) -> (usize, usize) {
    debug_assert!(count >= 2, "a pair needs two");
    let one = below(number & u64::from(u32::MAX), count);
    let other = below(number >> 32, count - 1);
    (one, if other >= one { other + 1 } else { other })
}

fn below(number: u64, count: usize) -> usize {
    usize::try_from(number % count as u64).expect("a remainder is smaller than the divisor")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn nobody_is_chosen_from_nobody() {
        assert_eq!(choose(&Balance::P2c, 7, 0, |_| 0), None);
        assert_eq!(choose(&Balance::RoundRobin, 7, 0, |_| 0), None);
    }

    #[test]
    fn round_robin_takes_turns() {
        let turns: Vec<_> = (0..7)
            .map(|n| choose(&Balance::RoundRobin, n, 3, |_| 0).expect("there are 3"))
            .collect();
        assert_eq!(turns, [0, 1, 2, 0, 1, 2, 0]);
    }

    #[test]
    fn the_busier_of_two_is_never_chosen() {
        for number in 0..1000_u64 {
            let number = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            assert_eq!(choose(&Balance::P2c, number, 2, |place| [5, 4][place]), Some(1));
        }
    }

    #[test]
    fn equal_loads_are_spread() {
        let mut hits = [0_u32; 5];
        for number in 0..10_000_u64 {
            let number = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            hits[choose(&Balance::P2c, number, 5, |_| 0).expect("there are 5")] += 1;
        }
        assert!(hits.iter().all(|&hits| (1500..2500).contains(&hits)), "{hits:?}");
    }

    proptest! {
        #[test]
        fn a_choice_is_a_place(number: u64, loads in prop::collection::vec(0_usize..9, 1..70)) {
            for balance in [Balance::P2c, Balance::RoundRobin] {
                let place = choose(&balance, number, loads.len(), |place| loads[place]);
                prop_assert!(place.is_some_and(|place| place < loads.len()));
            }
        }

        #[test]
        fn the_busiest_alone_is_never_chosen(
            number: u64,
            count in 2_usize..70,
            busy: prop::sample::Index,
        ) {
            let busy = busy.index(count);
            let place = choose(&Balance::P2c, number, count, |place| usize::from(place == busy));
            prop_assert_ne!(place, Some(busy));
        }

        #[test]
        fn a_pair_is_two(number: u64, count in 2_usize..70) {
            let (one, other) = two_of(number, count);
            prop_assert!(one != other && one < count && other < count);
        }
    }
}

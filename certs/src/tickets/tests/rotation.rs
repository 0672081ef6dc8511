//! The schedule of keys, beside what it promises, over clocks that jump.

use proptest::prelude::*;

use super::*;

#[test]
fn by_default_a_key_waits_an_hour_seals_an_hour_and_opens_an_hour_more() {
    let keys = local(START);
    let seal = |hours: f64| names(&keys, at(START + HOUR.mul_f64(hours))).0;
    let opens = |name, hours: f64| names(&keys, at(START + HOUR.mul_f64(hours))).1.contains(&name);
    let (current, next) = (seal(0.5).unwrap(), seal(1.5).unwrap());
    assert_ne!(current, next);
    assert_eq!(seal(0.999), Some(current));
    assert_eq!(seal(1.0), Some(next));
    assert!(opens(current, 1.999) && !opens(current, 2.0));
    assert!(opens(next, 1.0 - 0.9 / 60.0) && !opens(next, 1.0 - 1.1 / 60.0));
    assert!(opens(next, 2.999) && !opens(next, 3.0));
}

#[test]
fn without_anybody_making_keys_nothing_seals_after_two_rotations() {
    let keys = local(START);
    let limit = START + 2 * HOUR;
    assert!(keys.is_usable(at(limit - Duration::from_secs(1))));
    assert!(!keys.is_usable(at(limit)));
    assert_eq!(keys.age(at(START + 3 * HOUR / 2)), Some(3 * HOUR / 2));
    keys.advance(at(limit)).unwrap();
    assert!(keys.is_usable(at(limit)));
    assert_eq!(keys.age(at(limit)), Some(Duration::ZERO));
}

#[test]
fn a_key_made_in_the_middle_of_a_period_ends_with_it() {
    let middle = START + HOUR / 2;
    let keys = local(middle);
    let (first, _) = names(&keys, at(middle));
    assert!(names(&keys, at(START + HOUR * 2 - HOUR / 60)).1.contains(&first.unwrap()));
    assert!(!names(&keys, at(START + HOUR * 2)).1.contains(&first.unwrap()));
}

#[test]
fn setting_the_wall_clock_changes_nothing_for_keys_that_are_made_here() {
    let keys = local(START);
    let before = names(&keys, at(START));
    for wall in [Duration::ZERO, START - HOUR, START + 10_000 * HOUR] {
        let now = Moment { wall, steady: START };
        keys.advance(now).unwrap();
        assert_eq!(names(&keys, now), before);
    }
}

#[test]
fn a_key_that_is_over_is_gone_from_memory_even_if_nobody_connects() {
    let keys = local(START);
    let held: Vec<_> = keys.ring().keys().iter().map(Arc::downgrade).collect();
    assert_eq!(held.len(), 2);
    let mut now = START;
    while now < START + 3 * HOUR {
        assert!(held[1].upgrade().is_some(), "the second key is over at {:?}", now - START);
        assert_eq!(held[0].upgrade().is_some(), now < START + 2 * HOUR);
        // Nobody else has to be asked: whoever sleeps as told is never too late.
        now += keys.next_change(at(now));
        assert!(keys.is_usable(at(now)));
        keys.advance(at(now)).unwrap();
    }
    assert_eq!(now, START + 3 * HOUR, "the end of a life is a change");
    assert!(held.iter().all(|key| key.upgrade().is_none()));
}

#[test]
fn whoever_sleeps_as_told_is_there_when_a_period_ends() {
    let keys = local(START);
    let second = Duration::from_secs(1);
    assert_eq!(keys.next_change(at(START + HOUR / 2)), 60 * second);
    assert_eq!(keys.next_change(at(START + HOUR - 10 * second)), 10 * second);
}

/// What is behind a key is wiped on drop: this compiles.
#[test]
fn what_is_dropped_is_wiped() {
    fn wiped<T: zeroize::ZeroizeOnDrop>() {}
    wiped::<Zeroizing<[u8; crate::sealing::KEY_BYTES]>>();
    wiped::<Zeroizing<Vec<u8>>>();
}

#[test]
fn rotations_and_lifetimes_have_limits() {
    let new = |rotation, lifetime| {
        RingOptions::new(Duration::from_secs(rotation), Duration::from_secs(lifetime))
    };
    assert!(new(3600, 7200).is_ok() && new(1, 1).is_ok() && new(604_800, 604_800).is_ok());
    assert_eq!(new(3600, 7201), Err(RingOptionsError::Lifetime));
    assert_eq!(new(3600, 0), Err(RingOptionsError::Lifetime));
    assert_eq!(new(604_800, 604_801), Err(RingOptionsError::Lifetime));
    assert_eq!(new(0, 0), Err(RingOptionsError::Rotation));
    assert_eq!(new(604_801, 60), Err(RingOptionsError::Rotation));
    assert_eq!(RingOptions::default(), new(3600, 3600).unwrap());
}

/// A step of the world: time goes by, and somebody sets the wall clock.
#[derive(Clone, Copy, Debug)]
struct Step {
    passes: u64,
    wall_moves: i64,
    is_away: bool,
    forgets: bool,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    const YEAR: i64 = 365 * 24 * 3600;
    let moves = prop_oneof![
        6 => Just(0),
        2 => -90_i64..90,
        2 => -20_000_i64..20_000,
        1 => -5 * YEAR..5 * YEAR,
    ];
    let passes = prop_oneof![3 => 0_u64..120, 3 => 0_u64..4000, 1 => 0_u64..40_000];
    let step = (passes, moves, prop::bool::weighted(0.3), prop::bool::weighted(0.05));
    let step = step.prop_map(|(passes, wall_moves, is_away, forgets)| Step {
        passes,
        wall_moves,
        is_away,
        forgets,
    });
    prop::collection::vec(step, 1..40)
}

fn options() -> impl Strategy<Value = RingOptions> {
    (2_u64..10_000).prop_flat_map(|rotation| {
        (1..=2 * rotation).prop_map(move |lifetime| {
            let [rotation, lifetime] = [rotation, lifetime].map(Duration::from_secs);
            RingOptions::new(rotation, lifetime).unwrap()
        })
    })
}

/// What holds after each step, whatever was done to the clock. `born` says when this process first
/// had each key.
fn examine(
    keys: &TicketKeys,
    now: Moment,
    born: &mut HashMap<key::KeyName, Duration>,
) -> Result<(), TestCaseError> {
    let (sealing, opening) = names(keys, now);
    let sealing = sealing.expect("there is always a key to seal with");
    prop_assert!(opening.contains(&sealing), "what seals does not open");
    for name in &opening {
        let since = *born.entry(*name).or_insert(now.steady);
        prop_assert!(now.steady - since < keys.options.life_max(), "a key is too old");
    }
    let sealing_age = now.steady - born[&sealing];
    let longest = 2 * keys.options.rotation() + keys.options.settling();
    prop_assert!(sealing_age <= longest, "it has sealed for {sealing_age:?}");
    prop_assert!(keys.ring().keys().len() <= KEYS_MAX, "{:?}", keys.ring());
    prop_assert!(keys.next_change(now) <= LOOK);
    for key in keys.ring().keys() {
        let period = key.origin().period().expect("every key has a period");
        let [from, until] = keys.options.opens(period);
        let wall = keys.scheduled(now).wall;
        let is_opening = opening.contains(key.name());
        prop_assert!(!is_opening || (from..until).contains(&wall), "outside of its period");
        prop_assert!(wall < until, "a key that is over is still here");
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn at_any_time_one_key_seals_and_none_is_too_old(
        options in options(),
        steps in steps(),
        is_agreed in any::<bool>(),
    ) {
        let store = Store::default();
        let mut now = at(START);
        let keys = if is_agreed {
            TicketKeys::agreed(options, clock(START))
        } else {
            TicketKeys::empty(options, Source::Local, clock(START))
        };
        let mut born = HashMap::new();
        for step in steps {
            let passes = Duration::from_secs(step.passes);
            now.steady += passes;
            let wall = (now.wall + passes).as_secs().saturating_add_signed(step.wall_moves);
            now.wall = Duration::from_secs(wall);
            store.set_away(step.is_away);
            if step.forgets {
                store.forget();
            }
            // Whatever happened in between, nothing that is over does anything.
            let (_, opening) = names(&keys, now);
            for name in opening {
                let since = born.get(&name).copied().unwrap_or(now.steady);
                prop_assert!(now.steady - since < options.life_max());
            }
            round(&keys, &store, now);
            examine(&keys, now, &mut born)?;
        }
        prop_assert!(*store.longest.lock().unwrap() <= options.life_max());
    }
}

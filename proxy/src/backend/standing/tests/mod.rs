//! Rules of standing, one at a time, on a clock that is a number; `simulation` has all at once.

mod simulation;

use super::*;

/// An endpoint that is never busy.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Thing(u64);

impl Candidate for Thing {
    fn load(&self) -> usize {
        0
    }

    fn mark(&self) -> u64 {
        self.0
    }

    fn is(&self, other: &Self) -> bool {
        self == other
    }
}

impl<T: Candidate> Roster<T> {
    /// Has `item` alone drain, or not any more.
    fn set_draining(&mut self, item: &T, way: Draining, now: Instant) {
        let place = self.place(item).unwrap();
        self.members[place].state.set_draining(way, now);
    }
}

const EJECTION: Ejection = Ejection {
    failures: 5,
    base: Duration::from_secs(10),
    longest: Duration::from_secs(300),
    share_max: 50,
    statuses: Vec::new(),
};

fn rules() -> Rules {
    Rules {
        balance: Balance::P2c,
        ejection: Some(EJECTION),
        slow_start: Duration::ZERO,
        rise: 2,
        fall: 3,
    }
}

/// Endpoints numbered from 0, all alike.
fn roster(count: u64, rules: Rules, now: Instant) -> Roster<Thing> {
    let mut roster = Roster::new(rules);
    let share = Share { weight: 1, is_backup: false };
    roster.replace((0..count).map(|number| (Thing(number), share)).collect(), now);
    roster
}

fn standing(roster: &Roster<Thing>, number: usize, now: Instant) -> Standing {
    roster.members()[number].standing(now)
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn failures_in_a_row_eject_and_for_twice_as_long_each_time() {
    let mut now = Instant::now();
    let mut roster = roster(2, rules(), now);
    for _ in 0..4 {
        assert_eq!(roster.fail(&Thing(0), now, 0), None);
    }
    assert_eq!(roster.fail(&Thing(0), now, 0), Some(seconds(10)));
    assert_eq!(standing(&roster, 0, now), Standing::Ejected);
    for length in [20, 40, 80, 160, 300, 300] {
        now += seconds(300);
        assert_eq!(roster.advance(now), [Thing(0)]);
        assert_eq!(standing(&roster, 0, now), Standing::Usable);
        // Nothing has succeeded since: one failure is enough.
        assert_eq!(roster.fail(&Thing(0), now, 0), Some(seconds(length)));
    }
}

#[test]
fn a_success_between_failures_or_after_an_ejection_starts_the_count_anew() {
    let now = Instant::now();
    let mut roster = roster(2, rules(), now);
    for _ in 0..20 {
        for _ in 0..4 {
            assert_eq!(roster.fail(&Thing(0), now, 0), None);
        }
        assert!(roster.succeed(&Thing(0), now));
    }
    for _ in 0..4 {
        roster.fail(&Thing(0), now, 0);
    }
    assert!(roster.fail(&Thing(0), now, 0).is_some());
    // An answer to what was asked before the ejection does not end it.
    assert!(!roster.succeed(&Thing(0), now));
    let later = now + seconds(11);
    assert!(roster.succeed(&Thing(0), later));
    for _ in 0..4 {
        assert_eq!(roster.fail(&Thing(0), later, 0), None);
    }
    assert_eq!(roster.fail(&Thing(0), later, 0), Some(seconds(10)));
}

#[test]
fn ejections_differ_by_up_to_a_tenth_and_are_never_longer_than_the_longest() {
    for chance in [0, 1, 999, 1_000, u64::MAX] {
        let now = Instant::now();
        let mut roster = roster(2, rules(), now);
        let ejected = (0..5).filter_map(|_| roster.fail(&Thing(0), now, chance)).next().unwrap();
        assert!(ejected > seconds(9) && ejected <= seconds(10), "{ejected:?} by {chance}");
    }
}

#[test]
fn no_more_are_ejected_than_the_share_and_never_the_last() {
    for (count, expected) in [(1, 0), (2, 1), (3, 1), (4, 2), (10, 5)] {
        let now = Instant::now();
        let mut roster = roster(count, rules(), now);
        let things = (0..10).flat_map(|_| (0..count).map(Thing));
        let ejected = things.filter(|thing| roster.fail(thing, now, 0).is_some()).count();
        assert_eq!(ejected, expected, "of {count}");
    }
    // All of them may be, but one of those that are well stays.
    let now = Instant::now();
    let ejection = Some(Ejection { share_max: 100, failures: 1, ..EJECTION });
    let mut roster = roster(4, Rules { ejection, ..rules() }, now);
    roster.check(&Thing(3), false, now);
    roster.set_draining(&Thing(2), Draining::On, now);
    assert!(roster.fail(&Thing(0), now, 0).is_some());
    assert_eq!(roster.fail(&Thing(1), now, 0), None);
}

#[test]
fn what_is_ejected_is_used_when_there_is_nothing_else_and_what_drains_never() {
    let now = Instant::now();
    let mut roster = roster(2, rules(), now);
    fail(&mut roster, 5, now);
    let chosen = |roster: &Roster<Thing>| roster.group(now).choose(&Balance::P2c, 7, None).copied();
    assert_eq!(chosen(&roster), Some(Thing(1)));
    roster.set_draining(&Thing(1), Draining::On, now);
    assert_eq!(chosen(&roster), Some(Thing(0)));
    roster.set_draining(&Thing(0), Draining::On, now);
    assert_eq!(chosen(&roster), None);
    roster.set_draining(&Thing(1), Draining::Off, now);
    assert_eq!(chosen(&roster), Some(Thing(1)));
}

#[test]
fn checks_rise_and_fall_and_the_first_answer_decides_alone() {
    let now = Instant::now();
    let mut roster = roster(3, rules(), now);
    let mut check = |number, is_good| roster.check(&Thing(number), is_good, now);
    // The answers, and what they change.
    let answers = [
        (false, Some(false)),
        (true, None),
        (false, None),
        (true, None),
        (true, Some(true)),
        (true, None),
        (false, None),
        (false, None),
        (true, None),
        (false, None),
        (false, None),
        (false, Some(false)),
    ];
    for (step, (is_good, became)) in answers.into_iter().enumerate() {
        assert_eq!(check(0, is_good), became, "step {step}");
    }
    assert_eq!([check(1, true), check(1, false), check(1, false)], [None; 3]);
    assert_eq!(check(1, false), Some(false));
    assert_eq!(standing(&roster, 1, now), Standing::Unhealthy);
    assert_eq!(standing(&roster, 2, now), Standing::Usable);
}

#[test]
fn who_recovers_by_its_checks_is_forgiven_what_happened_before() {
    let now = Instant::now();
    let mut roster = roster(2, rules(), now);
    fail(&mut roster, 5, now);
    roster.check(&Thing(0), false, now);
    assert_eq!(standing(&roster, 0, now), Standing::Unhealthy);
    roster.check(&Thing(0), true, now);
    assert_eq!(roster.check(&Thing(0), true, now), Some(true));
    assert_eq!(standing(&roster, 0, now), Standing::Usable);
}

#[test]
fn who_comes_back_gets_its_share_little_by_little() {
    let now = Instant::now();
    let rules = Rules { slow_start: seconds(100), balance: Balance::RoundRobin, ..rules() };
    let mut roster = roster(2, rules, now);
    fail(&mut roster, 5, now);
    let back = now + seconds(10);
    roster.advance(back);
    // Seconds since it came back, and its turns beside ten of the other.
    for (passed, turns) in [(0, 1), (19, 1), (20, 2), (55, 5), (99, 9), (100, 10), (9_999, 10)] {
        let at = back + seconds(passed);
        let group = roster.group(at);
        let number = |turn| group.choose(&Balance::RoundRobin, turn, None).copied().unwrap();
        let had = (0..10 + turns).filter(|turn| number(*turn) == Thing(0)).count();
        assert_eq!(had as u64, turns, "after {passed} s");
        assert!(group.until.is_none_or(|until| until > at));
        assert_eq!(group.until.is_none(), passed >= 100);
    }
}

#[test]
fn endpoints_that_stay_keep_what_is_known_of_them() {
    let now = Instant::now();
    let mut roster = roster(3, Rules { slow_start: seconds(100), ..rules() }, now);
    roster.check(&Thing(1), false, now);
    let heavier = Share { weight: 7, is_backup: true };
    roster.replace([3, 1, 0].map(|number| (Thing(number), heavier)).to_vec(), now);
    let expected = [Standing::Usable, Standing::Unhealthy, Standing::Usable];
    assert_eq!([0, 1, 2].map(|place| standing(&roster, place, now)), expected);
    assert_eq!(roster.members()[1].share, heavier);
    // One that joins others begins slowly; those that were the first did not.
    assert_eq!(roster.group(now).until, Some(now + seconds(20)));
    let first = roster_of_one(now);
    assert_eq!(first.group(now).until, None);
}

fn roster_of_one(now: Instant) -> Roster<Thing> {
    roster(1, Rules { slow_start: seconds(100), ..rules() }, now)
}

fn fail(roster: &mut Roster<Thing>, times: usize, now: Instant) {
    for _ in 0..times {
        roster.fail(&Thing(0), now, 0);
    }
}

//! The cache beside a model of it, over sequences of operations that nobody thought of.

use proptest::prelude::*;

use super::*;
use crate::session::ContextId;

const HERE: ContextId = ContextId([1; 32]);
const THERE: ContextId = ContextId([2; 32]);
const HOUR: Duration = Duration::from_secs(3600);

/// A session as rustls begins it: no server name, the version, the rest.
fn session(minor: u8, length: usize) -> Vec<u8> {
    let mut value = vec![0, 3, minor];
    value.resize(length.max(3), 7);
    value
}

fn key(number: u64) -> SessionId {
    let mut bytes = [0; 32];
    // Spread like the random ids that rustls makes.
    let spread = number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes();
    bytes.iter_mut().zip(spread.iter().cycle()).for_each(|(to, from)| *to = *from);
    SessionId(bytes)
}

fn cache(bytes_max: usize) -> SessionCache {
    SessionCache::new(Options { bytes_max, ..Options::default() })
}

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn a_tls13_session_is_taken_once_and_never_looked_at() {
    let cache = cache(1 << 20);
    assert!(cache.put_at(key(1), HERE, session(4, 90), secs(0)));
    assert_eq!(cache.get_at(&key(1), HERE, secs(1)), Err(LookupResult::Policy));
    assert_eq!(cache.take_at(&key(1), HERE, secs(1)), Ok(session(4, 90)));
    assert_eq!(cache.take_at(&key(1), HERE, secs(1)), Err(LookupResult::Miss));
    let stats = cache.stats();
    assert_eq!((stats.policy, stats.hits, stats.misses, stats.sessions), (1, 1, 1, 0));
    assert_eq!(stats.bytes, 0);
}

#[test]
fn a_tls12_session_is_looked_at_and_never_taken() {
    let cache = cache(1 << 20);
    assert!(cache.put_at(key(1), HERE, session(3, 90), secs(0)));
    assert_eq!(cache.take_at(&key(1), HERE, secs(1)), Err(LookupResult::Policy));
    assert_eq!(cache.get_at(&key(1), HERE, secs(1)), Ok(session(3, 90)));
    assert_eq!(cache.get_at(&key(1), HERE, secs(1)), Ok(session(3, 90)));
    assert_eq!(cache.stats().policy, 1);
}

#[test]
fn the_session_of_another_context_is_a_miss_and_stays() {
    let cache = cache(1 << 20);
    assert!(cache.put_at(key(1), HERE, session(4, 90), secs(0)));
    assert_eq!(cache.take_at(&key(1), THERE, secs(1)), Err(LookupResult::Policy));
    assert_eq!(cache.stats().policy, 1);
    assert!(cache.take_at(&key(1), HERE, secs(1)).is_ok());
}

#[test]
fn a_session_past_its_lifetime_is_gone() {
    let cache = cache(1 << 20);
    assert!(cache.put_at(key(1), HERE, session(3, 90), secs(10)));
    assert!(cache.get_at(&key(1), HERE, secs(10) + HOUR - secs(1)).is_ok());
    assert_eq!(cache.get_at(&key(1), HERE, secs(10) + HOUR), Err(LookupResult::Expired));
    let stats = cache.stats();
    assert_eq!((stats.expired, stats.sessions, stats.bytes), (1, 0, 0));
}

#[test]
fn a_stored_session_clears_expired_ones_away() {
    let cache = cache(SHARD_BYTES_MIN);
    for number in 0..100 {
        assert!(cache.put_at(key(number), HERE, session(4, 90), secs(0)));
    }
    for number in 100..125 {
        assert!(cache.put_at(key(number), HERE, session(4, 90), HOUR));
    }
    assert_eq!(cache.stats().sessions, 25);
    assert_eq!(cache.stats().evictions, 0);
}

#[test]
fn what_is_too_large_or_has_no_known_version_is_refused() {
    let cache = cache(1 << 20);
    let most = Options::default().entry_bytes_max;
    assert!(cache.put_at(key(1), HERE, session(4, most), secs(0)));
    assert!(!cache.put_at(key(2), HERE, session(4, most + 1), secs(0)));
    assert!(!cache.put_at(key(3), HERE, session(2, 90), secs(0)));
    assert!(!cache.put_at(key(4), HERE, vec![], secs(0)));
    assert!(!cache.put_at(key(5), HERE, vec![1, 200, 3, 4], secs(0)));
    assert!(!cache.put_at(key(6), HERE, vec![9, 3, 4], secs(0)));
    assert_eq!(cache.stats().refused, 5);
    assert!(cache.put_at(key(7), HERE, vec![1, 1, b'a', 3, 4, 0], secs(0)));
}

#[test]
fn a_cache_without_room_is_off() {
    let cache = cache(0);
    assert!(!cache.is_enabled());
    assert!(!cache.put_at(key(1), HERE, session(4, 90), secs(0)));
}

#[test]
fn the_oldest_sessions_make_room() {
    let cache = cache(10 * (90 + shard::ENTRY_OVERHEAD_BYTES));
    for number in 0..15 {
        assert!(cache.put_at(key(number), HERE, session(3, 90), secs(number)));
    }
    let stats = cache.stats();
    assert_eq!((stats.sessions, stats.evictions), (10, 5));
    assert!(cache.get_at(&key(4), HERE, secs(20)).is_err());
    assert!(cache.get_at(&key(5), HERE, secs(20)).is_ok());
}

#[test]
fn a_tls13_session_is_moved_and_a_tls12_session_is_copied_each_with_its_age() {
    let (from, to) = (cache(1 << 20), cache(1 << 20));
    assert!(from.put_at(key(1), HERE, session(4, 90), secs(5)));
    assert!(from.put_at(key(2), HERE, session(3, 90), secs(5)));
    let moved = from.export_at(&key(1), secs(25)).unwrap();
    assert_eq!((moved.context, moved.usage, moved.age), (HERE, Use::Single, secs(20)));
    assert_eq!(moved.session[..], session(4, 90)[..]);
    assert!(from.export_at(&key(1), secs(25)).is_none());
    let copied = from.export_at(&key(2), secs(25)).unwrap();
    assert_eq!((copied.usage, copied.age), (Use::Repeated, secs(20)));
    assert!(from.get_at(&key(2), HERE, secs(25)).is_ok());
    let stats = from.stats();
    assert_eq!((stats.sessions, stats.stored, stats.exported), (1, 2, 2));
    assert_eq!((stats.hits, stats.misses), (1, 0));
    assert!(to.import_at(key(2), &copied, secs(100)));
    assert!(to.get_at(&key(2), HERE, secs(80) + HOUR - secs(1)).is_ok());
    assert_eq!(to.get_at(&key(2), HERE, secs(80) + HOUR), Err(LookupResult::Expired));
    assert_eq!((to.stats().imported, to.stats().stored), (1, 0));
}

#[test]
fn what_is_too_old_neither_leaves_nor_comes() {
    let cache = cache(1 << 20);
    assert!(cache.put_at(key(1), HERE, session(3, 90), secs(0)));
    let mut copied = cache.export_at(&key(1), HOUR - secs(1)).unwrap();
    assert!(cache.export_at(&key(1), HOUR).is_none());
    copied.age = HOUR;
    assert!(!cache.import_at(key(2), &copied, 2 * HOUR));
    assert_eq!(cache.stats().imported, 0);
}

/// Of the clock itself: one that begins at nothing would make such a session younger.
#[test]
fn a_session_may_be_older_than_the_cache() {
    let cache = cache(1 << 20);
    assert!(cache.put(key(1), HERE, session(3, 90)));
    let mut copied = cache.export(&key(1)).unwrap();
    copied.age = HOUR - secs(60);
    assert!(cache.import(key(2), &copied));
    assert!(cache.export(&key(2)).unwrap().age >= copied.age);
}

#[test]
fn to_contain_is_to_find_and_is_not_counted() {
    let cache = cache(1 << 20);
    assert!(cache.put(key(1), HERE, session(4, 90)));
    assert!(cache.contains(&key(1), HERE, Use::Single));
    assert!(!cache.contains(&key(1), THERE, Use::Single));
    assert!(!cache.contains(&key(1), HERE, Use::Repeated));
    assert!(!cache.contains(&key(2), HERE, Use::Single));
    let stats = cache.stats();
    assert_eq!((stats.hits, stats.misses, stats.policy), (0, 0, 0));
}

/// The bound is on memory, so what a session is charged must cover what it takes.
#[test]
fn the_bookkeeping_is_charged_in_full() {
    let slot = size_of::<(SessionId, Entry)>() + 1;
    let place = size_of::<(SessionId, u64)>();
    assert!(slot * 16 / 7 + 4 * place + 16 <= shard::ENTRY_OVERHEAD_BYTES, "{slot} {place}");
}

#[test]
fn tighter_limits_hold_at_once() {
    let cache = cache(1 << 20);
    for number in 0..500 {
        assert!(cache.put(key(number), HERE, session(3, 90)));
    }
    cache.reconfigure(Options { bytes_max: 64 << 10, ..cache.options() });
    assert!(cache.stats().bytes <= 64 << 10);
    assert!(cache.stats().sessions > 0);
    cache.reconfigure(Options { lifetime: Duration::ZERO, ..cache.options() });
    assert_eq!(cache.stats().sessions, 0);
}

#[test]
fn many_threads_share_it() {
    let cache = cache(1 << 20);
    std::thread::scope(|scope| {
        for thread in 0..4_u64 {
            let cache = &cache;
            scope.spawn(move || {
                for number in 0..2_000 {
                    let key = key(thread * 10_000 + number);
                    assert!(cache.put(key, HERE, session(4, 90)));
                    assert!(cache.take(&key, HERE).is_ok());
                }
            });
        }
    });
    let stats = cache.stats();
    assert_eq!((stats.hits, stats.sessions, stats.bytes), (8_000, 0, 0));
}

#[derive(Clone, Debug)]
enum Step {
    Put { key: u64, minor: u8, length: usize, here: bool },
    Get { key: u64, here: bool },
    Take { key: u64, here: bool },
    Wait { seconds: u64 },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..40_u64, 2..5_u8, 0..600_usize, any::<bool>())
            .prop_map(|(key, minor, length, here)| Step::Put { key, minor, length, here }),
        2 => (0..40_u64, any::<bool>()).prop_map(|(key, here)| Step::Get { key, here }),
        2 => (0..40_u64, any::<bool>()).prop_map(|(key, here)| Step::Take { key, here }),
        1 => (0..900_u64).prop_map(|seconds| Step::Wait { seconds }),
    ]
}

proptest! {
    /// Beside a plain map that forgets nothing: what the cache gives is what was put there last,
    /// in that context, of that version, within its lifetime; and it never exceeds its bound.
    #[test]
    fn no_sequence_exceeds_the_bound_or_gives_what_was_not_put(
        steps in prop::collection::vec(step(), 1..300),
        bytes_max in 0..8_000_usize,
    ) {
        let options = Options { bytes_max, entry_bytes_max: 500, lifetime: HOUR };
        let cache = SessionCache::new(options);
        let mut model = std::collections::HashMap::new();
        let mut now = secs(0);
        for step in steps {
            let context = |here| if here { HERE } else { THERE };
            match step {
                Step::Put { key: number, minor, length, here } => {
                    let value = session(minor, length);
                    if cache.put_at(key(number), context(here), value.clone(), now) {
                        prop_assert!(value.len() <= 500 && minor != 2);
                        model.insert(number, (context(here), value, now));
                    }
                }
                Step::Get { key: number, here } => {
                    if let Ok(value) = cache.get_at(&key(number), context(here), now) {
                        let (owner, put, at) = model.get(&number).unwrap();
                        prop_assert_eq!((*owner, put), (context(here), &value));
                        prop_assert!(now - *at < HOUR && value.get(2) == Some(&3));
                    }
                }
                Step::Take { key: number, here } => {
                    if let Ok(value) = cache.take_at(&key(number), context(here), now) {
                        let (owner, put, at) = model.remove(&number).unwrap();
                        prop_assert_eq!((owner, &put), (context(here), &value));
                        prop_assert!(now - at < HOUR && value.get(2) == Some(&4));
                    }
                }
                Step::Wait { seconds } => now += secs(seconds),
            }
            prop_assert!(cache.stats().bytes <= bytes_max as u64);
        }
    }
}

//! What a connection finds in the store, and how long it waits.

use super::*;

#[tokio::test(start_paused = true)]
async fn what_was_fetched_keeps_its_age_in_memory() {
    let store = store();
    let (one, other) = (node(&store), node(&store));
    one.make(1, Use::Repeated);
    one.runs(10 * MILLI).await;
    other.wall.0.fetch_add(3_000, Ordering::Relaxed);
    assert!(other.resumes(repeated(1)).await);
    tokio::time::advance(590 * SECOND).await;
    assert!(other.resumes(repeated(1)).await);
    tokio::time::advance(11 * SECOND).await;
    assert_eq!(other.memory.stats().expired, 0);
    let prefetched = other.tier.prefetch(&Offered::Nothing, &HERE).await;
    let scoped = ScopedStore::new(Arc::clone(&other.memory), HERE)
        .with_shared(Arc::clone(&other.tier), prefetched);
    assert_eq!(scoped.get(id(1).as_bytes()), None);
    assert_eq!(other.memory.stats().expired, 1);
}

#[tokio::test(start_paused = true)]
async fn nobody_asks_the_store_for_nothing_or_for_what_is_in_memory() {
    let store = store();
    let node = node(&store);
    node.make(1, Use::Single);
    node.make(2, Use::Repeated);
    for offered in [Offered::Nothing, Offered::Identities([None; 2]), single(1), repeated(2)] {
        node.tier.prefetch(&offered, &HERE).await;
    }
    assert_eq!(store.calls(), []);
    let identities = Offered::Identities([Some(id(1)), Some(id(3))]);
    node.tier.prefetch(&identities, &HERE).await;
    assert_eq!(store.calls(), [("fetch", 1)]);
}

#[tokio::test(start_paused = true)]
async fn one_call_asks_for_every_id_under_every_key_and_old_entries_open_after_a_rotation() {
    let store = store();
    let (one, other) = (node(&store), node(&store));
    (1..=2).for_each(|number| one.make(number, Use::Single));
    one.runs(10 * MILLI).await;
    store.calls();
    other.tier.replace_keys(keys(&[3, 2, 1]));
    let both = Offered::Identities([Some(id(2)), Some(id(1))]);
    let results: Vec<_> = other.tier.prefetch(&both, &HERE).await.results().collect();
    assert_eq!(results, [LookupResult::Hit; 2]);
    assert_eq!(store.calls(), [("fetch", 6)]);
    let twice = Offered::Identities([Some(id(4)), Some(id(4))]);
    other.tier.prefetch(&twice, &HERE).await;
    assert_eq!(store.calls(), [("fetch", 3)]);
    one.make(5, Use::Single);
    one.runs(10 * MILLI).await;
    other.tier.replace_keys(keys(&[3]));
    assert!(!other.resumes(single(5)).await);
}

#[tokio::test(start_paused = true)]
async fn what_was_opened_in_one_context_is_not_given_out_in_another() {
    let store = store();
    let (one, other) = (node(&store), node(&store));
    (1..=2).for_each(|number| one.make(number, Use::Repeated));
    one.runs(10 * MILLI).await;
    assert_eq!(other.connect(repeated(1), THERE).await, (Some(LookupResult::Policy), false));
    assert_eq!(other.tier.stats().rejected(OpenError::Policy), 1);
    let prefetched = other.tier.prefetch(&repeated(2), &HERE).await;
    let trace = Arc::new(Trace::default());
    let scoped = ScopedStore::new(Arc::clone(&other.memory), THERE)
        .with_shared(Arc::clone(&other.tier), prefetched)
        .with_trace(Arc::clone(&trace));
    assert_eq!(scoped.get(id(2).as_bytes()), None);
    assert_eq!(trace.result(), Some(LookupResult::Policy));
}

#[tokio::test(start_paused = true)]
async fn a_poisoned_entry_is_an_error_and_a_miss() {
    let store = store();
    let (one, other) = (node(&store), node(&store));
    for (number, poison) in
        [vec![], vec![9; 200], vec![1; 200], vec![1; 1 << 20]].iter().enumerate()
    {
        let number = u16::try_from(number).unwrap();
        one.make(number, Use::Single);
        one.runs(10 * MILLI).await;
        store.entries().values_mut().for_each(|record| record.sealed.clone_from(poison));
        let outcome = other.connect(single(number), HERE).await;
        assert_eq!(outcome, (Some(LookupResult::Error), false));
    }
    let stats = other.tier.stats();
    assert_eq!(stats.rejected(OpenError::Damaged), 2);
    assert_eq!(stats.rejected(OpenError::Version), 1);
    assert_eq!(stats.rejected(OpenError::UnknownKey), 1);
    assert_eq!(stats.lookups(LookupResult::Error), 4);
}

#[tokio::test(start_paused = true)]
async fn a_session_counts_as_too_old_by_the_wall_clock_and_without_one() {
    let store = store();
    let (one, other) = (node(&store), node(&store));
    let skews = [(3_599, true), (3_600, false), (-60, true), (-61, false)];
    for (number, (skew, resumes)) in (0..).zip(skews) {
        one.make(number, Use::Single);
        one.runs(10 * MILLI).await;
        // It was handed over at once.
        other.wall.0.store(1_000_000_u64.checked_add_signed(skew).unwrap(), Ordering::Relaxed);
        assert_eq!(other.resumes(single(number)).await, resumes, "{skew}");
    }
    assert_eq!(other.tier.stats().lookups(LookupResult::Expired), 2);
    one.make(9, Use::Single);
    one.runs(10 * MILLI).await;
    other.wall.0.store(0, Ordering::Relaxed);
    assert!(!other.resumes(single(9)).await);
    other.make(10, Use::Single);
    other.runs(10 * MILLI).await;
    assert!(other.resumes(single(10)).await, "it stays in memory");
}

#[tokio::test(start_paused = true)]
async fn a_handshake_waits_for_the_budget_and_no_longer() {
    let store = store();
    let node = node(&store);
    store.mood(Mood::Hangs);
    let began = Instant::now();
    assert_eq!(node.connect(single(1), HERE).await, (Some(LookupResult::Timeout), false));
    assert!(began.elapsed() <= 6 * MILLI);
    let stats = node.tier.stats();
    assert_eq!(stats.lookups(LookupResult::Timeout), 1);
    assert_eq!((stats.errors(ErrorKind::Timeout), stats.in_flight), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn an_answer_of_another_length_is_an_error_of_the_store() {
    let store = store();
    let node = node(&store);
    store.mood(Mood::Short);
    assert_eq!(node.connect(single(1), HERE).await, (Some(LookupResult::Error), false));
    assert_eq!(node.tier.stats().errors(ErrorKind::Other), 1);
}

#[tokio::test(start_paused = true)]
async fn a_look_up_beyond_the_cap_goes_without_at_once() {
    let store = store();
    let node = node_with(&store, Options { in_flight_max: 2, ..Options::default() });
    store.mood(Mood::Hangs);
    let node = &node;
    let waits = |number| async move {
        let offered = single(number);
        let began = Instant::now();
        node.tier.prefetch(&offered, &HERE).await;
        (began.elapsed() > Duration::ZERO, node.tier.stats().lookups(LookupResult::Timeout))
    };
    let waited = tokio::join!(waits(1), waits(2), waits(3));
    assert_eq!((waited.0.0, waited.1.0, waited.2), (true, true, (false, 1)));
    let stats = store.calls();
    assert_eq!(stats, [("fetch", 1); 2]);
}

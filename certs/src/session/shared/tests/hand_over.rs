//! What becomes of a session that was made here.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_tls13_session_moves_and_is_used_once_in_the_whole_world() {
    let store = store();
    let (one, other) = (node(&store), node(&store));
    one.make(1, Use::Single);
    one.runs(10 * MILLI).await;
    assert_eq!(one.memory.stats().sessions, 0);
    assert_eq!((one.tier.stats().stored, store.entries().len()), (1, 1));
    let contexts = [(Some(LookupResult::Hit), true), (Some(LookupResult::Miss), false)];
    for expected in contexts {
        assert_eq!(other.connect(single(1), HERE).await, expected);
    }
    assert!(!one.resumes(single(1)).await);
    assert_eq!(other.tier.stats().lookups(LookupResult::Hit), 1);
    assert_eq!(other.memory.stats().sessions, 0);
}

#[tokio::test(start_paused = true)]
async fn a_tls12_session_is_copied_once_and_laid_into_the_memory_of_whoever_uses_it() {
    let store = store();
    let (one, other) = (node(&store), node(&store));
    one.make(1, Use::Repeated);
    one.runs(10 * MILLI).await;
    assert_eq!(store.calls(), [("store", 1)]);
    assert!(one.resumes(repeated(1)).await);
    assert_eq!(store.calls(), []);
    for _ in 0..3 {
        assert!(other.resumes(repeated(1)).await);
    }
    other.runs(10 * MILLI).await;
    assert_eq!(store.calls(), [("fetch", 1)], "memory holds it, and nobody hands it over again");
    assert!(node(&store).resumes(repeated(1)).await, "the store holds it still");
}

#[tokio::test(start_paused = true)]
async fn what_the_store_certainly_did_not_take_is_back_in_memory_with_its_age() {
    let store = store();
    for mood in [Mood::Full, Mood::Fails(ErrorKind::Unreachable)] {
        let node = node(&store);
        store.mood(mood);
        node.make(1, Use::Single);
        node.make(2, Use::Repeated);
        tokio::time::advance(100 * SECOND).await;
        node.runs(10 * MILLI).await;
        assert!(node.tier.stats().refused >= 2);
        assert_eq!(node.memory.stats().sessions, 2);
        for number in [1, 2] {
            assert!(node.memory.export(&id(number)).unwrap().age >= 100 * SECOND);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_never_reached_the_store_is_handed_over_when_it_is_back() {
    let store = store();
    let node = node(&store);
    store.mood(Mood::Fails(ErrorKind::Unreachable));
    (0..100).for_each(|number| node.make(number, Use::Single));
    node.runs(SECOND / 2).await;
    assert!(!node.tier.is_available());
    store.mood(Mood::Does);
    node.runs(2 * SECOND).await;
    assert_eq!((node.memory.stats().sessions, store.entries().len()), (0, 100));
}

#[tokio::test(start_paused = true)]
async fn a_session_that_the_store_may_have_is_not_used_here() {
    let store = store();
    for mood in [Mood::Mute, Mood::Hangs, Mood::Short, Mood::Fails(ErrorKind::Broken)] {
        let node = node(&store);
        store.mood(mood);
        node.make(1, Use::Single);
        node.make(2, Use::Repeated);
        node.runs(SECOND).await;
        assert_eq!(node.tier.stats().unknown, 2);
        assert!(!node.memory.contains(&id(1), HERE, Use::Single));
        assert!(node.memory.contains(&id(2), HERE, Use::Repeated));
    }
}

#[tokio::test(start_paused = true)]
async fn one_pipeline_serves_many_handshakes() {
    let store = store();
    let node = node(&store);
    let makes = async {
        node.make(0, Use::Single);
        tokio::time::sleep(MILLI).await;
        assert_eq!(store.calls(), [("store", 1)], "what comes alone does not wait");
        (1..20).for_each(|number| node.make(number, Use::Single));
        tokio::task::yield_now().await;
        (20..40).for_each(|number| node.make(number, Use::Single));
        tokio::time::sleep(10 * MILLI).await;
        assert_eq!(store.calls(), [("store", 39)]);
        (40..240).for_each(|number| node.make(number, Use::Single));
        tokio::time::sleep(10 * MILLI).await;
    };
    node.runs_until(makes).await;
    assert_eq!(store.calls(), [("store", 64), ("store", 64), ("store", 64), ("store", 8)]);
    assert_eq!(node.tier.stats().stored, 240);
}

#[tokio::test(start_paused = true)]
async fn a_queue_without_room_lets_the_oldest_stay_in_memory() {
    let store = store();
    let node = node_with(&store, Options { queue_max: 3, ..Options::default() });
    (0..5).for_each(|number| node.make(number, Use::Single));
    let stats = node.tier.stats();
    assert_eq!((stats.queued, stats.queue_dropped), (3, 2));
    node.runs(10 * MILLI).await;
    assert_eq!((node.memory.stats().sessions, store.entries().len()), (2, 3));
    assert!(node.resumes(single(0)).await && node.resumes(single(4)).await);
}

#[tokio::test(start_paused = true)]
async fn who_stops_hands_over_what_waits_within_its_limit() {
    let store = store();
    let node = node(&store);
    (0..300).for_each(|number| node.make(number, Use::Single));
    node.tier.flush(SECOND).await;
    assert_eq!((store.entries().len(), node.tier.stats().queued), (300, 0));
    store.mood(Mood::Hangs);
    (300..500).for_each(|number| node.make(number, Use::Single));
    let began = Instant::now();
    node.tier.flush(20 * MILLI).await;
    assert!(began.elapsed() <= 21 * MILLI);
}

#[tokio::test(start_paused = true)]
async fn who_stops_waits_for_batches_on_their_way() {
    let store = store();
    let node = node(&store);
    store.mood(Mood::Hangs);
    node.make(1, Use::Single);
    let flush = async {
        tokio::time::sleep(10 * MILLI).await;
        assert_eq!(store.calls(), [("store", 1)]);
        let began = Instant::now();
        node.tier.flush(10 * SECOND).await;
        assert!(began.elapsed() > 400 * MILLI && began.elapsed() < SECOND);
    };
    node.runs_until(flush).await;
}

#[tokio::test(start_paused = true)]
async fn a_run_that_is_dropped_loses_only_what_is_on_its_way() {
    let store = store();
    let node = node(&store);
    store.mood(Mood::Hangs);
    (0..400).for_each(|number| node.make(number, Use::Single));
    node.runs(20 * MILLI).await;
    assert_eq!(store.calls(), [("store", 64); 4]);
    assert_eq!((node.memory.stats().sessions, node.tier.stats().queued), (144, 144));
    store.mood(Mood::Does);
    node.runs(20 * MILLI).await;
    assert_eq!((node.memory.stats().sessions, store.entries().len()), (0, 144));
}

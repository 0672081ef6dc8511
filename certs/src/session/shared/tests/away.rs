//! A store that fails, and what all agree on.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_store_that_is_away_is_left_alone_until_a_probe_succeeds_and_each_change_is_told_once() {
    let store = store();
    let node = node(&store);
    node.trip(&store).await;
    let outcome = node.connect(single(1), HERE).await;
    assert_eq!(outcome, (Some(LookupResult::Error), false));
    node.make(7, Use::Single);
    let told = node.runs(5 * SECOND).await;
    assert!(matches!(&told[..], [Change::Away(error)] if error.kind() == ErrorKind::Loading));
    let calls = store.calls();
    assert!(calls.iter().all(|call| *call == ("probe", 0)), "nobody else asks: {calls:?}");
    assert!((4..=6).contains(&calls.len()), "{calls:?}");
    assert!(node.memory.contains(&id(7), HERE, Use::Single), "what waits can be used here");
    store.mood(Mood::Does);
    let told = node.runs(2 * SECOND).await;
    let [Change::Back { after }] = told[..] else { panic!("{told:?}") };
    assert!((5 * SECOND..7 * SECOND).contains(&after));
    assert!(node.tier.is_available());
    assert_eq!(store.calls(), [("probe", 0), ("store", 1)]);
    let stats = node.tier.stats();
    assert_eq!((stats.is_open, stats.opened_total), (false, 1));
    // Five look-ups, and the probes.
    assert_eq!(stats.errors(ErrorKind::Loading), 5 + calls.len() as u64);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_always_a_little_too_slow_is_left_alone_and_memory_serves() {
    let store = store();
    let node = node(&store);
    store.mood(Mood::Slow);
    let comes_now_and_then = async {
        // Far less often than five times a second, with sessions stored in between.
        for number in 0..5 {
            node.make(2 * number, Use::Single);
            tokio::time::sleep(SECOND).await;
            assert!(!node.resumes(single(2 * number)).await, "it lies in the slow store");
        }
        assert!(!node.tier.is_available());
        for number in 100..110 {
            node.make(number, Use::Single);
            tokio::time::sleep(SECOND).await;
            assert!(node.resumes(single(number)).await, "it stayed in memory");
        }
    };
    let told = node.runs_until(comes_now_and_then).await;
    assert!(matches!(&told[..], [Change::Away(_)]), "it is not tried again and again: {told:?}");
}

#[tokio::test(start_paused = true)]
async fn all_agree_with_the_first_whatever_the_order_of_their_keys() {
    let store = store();
    let (one, other, stranger) = (node(&store), node(&store), node(&store));
    one.tier.replace_keys(keys(&[1, 2]));
    other.tier.replace_keys(keys(&[2, 1]));
    stranger.tier.replace_keys(keys(&[3]));
    let hour = 3_600 * SECOND;
    assert_eq!(one.tier.agree(b"label", b"one", hour).await.unwrap()[..], b"one"[..]);
    assert_eq!(other.tier.agree(b"label", b"other", hour).await.unwrap()[..], b"one"[..]);
    assert_eq!(other.tier.agree(b"label 2", b"other", hour).await.unwrap()[..], b"other"[..]);
    let text = stranger.tier.agree(b"label", b"stranger", hour).await.unwrap();
    assert_eq!(text[..], b"stranger"[..], "who has other keys agrees with nobody");
    store.entries().values_mut().for_each(|record| record.sealed = vec![1; 99]);
    let fault = stranger.tier.agree(b"label", b"stranger", hour).await.unwrap_err();
    assert!(matches!(fault, AgreeError::Unreadable));
    store.mood(Mood::Hangs);
    for _ in 0..5 {
        let fault = one.tier.agree(b"label", b"one", hour).await.unwrap_err();
        assert!(matches!(fault, AgreeError::Store(ErrorKind::Timeout)));
    }
    assert!(!one.tier.is_available());
    let fault = one.tier.agree(b"label", b"one", hour).await.unwrap_err();
    assert!(matches!(fault, AgreeError::Away));
}

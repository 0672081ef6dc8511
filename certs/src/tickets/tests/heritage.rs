//! What the keys of one process are in the next: the same keys, with the same ends.

use super::*;

/// A process that follows the one of `before`, at this moment.
fn follow(before: &TicketKeys, options: RingOptions, time: Duration) -> TicketKeys {
    let heritage = before.bequeath_at(at(time)).unwrap();
    assert!(heritage.len() <= HERITAGE_BYTES_MAX);
    // The wall clock is wrong, which is nothing to keys that are made here.
    let keys = TicketKeys::empty(options, before.source(), clock(START * 2));
    keys.inherit(&heritage, Instant::now()).unwrap();
    keys
}

#[tokio::test(start_paused = true)]
async fn a_successor_seals_and_opens_with_the_same_keys_and_no_longer() {
    let before = local(START);
    let now = START + HOUR / 2;
    let after = follow(&before, RingOptions::default(), now);
    for later in [now, START + HOUR, START + HOUR * 3 / 2] {
        assert_eq!(names(&after, at(later)), names(&before, at(later)), "{:?}", later - START);
        assert_eq!(after.age(at(later)), before.age(at(later)));
    }
    assert_eq!(after.now().steady, now, "the clock goes on where it was");
    // Ten upgrades later it is as old as it is.
    let mut last = after;
    for _ in 0..10 {
        last = follow(&last, RingOptions::default(), now);
    }
    let limit = START + 2 * HOUR;
    assert!(last.is_usable(at(limit - Duration::from_secs(1))));
    assert!(!last.is_usable(at(limit)));
}

#[tokio::test(start_paused = true)]
async fn keys_of_another_rotation_open_and_do_not_seal() {
    let before = local(START);
    let options = RingOptions::new(HOUR / 3, HOUR / 3).unwrap();
    let after = follow(&before, options, START);
    let (sealed_before, _) = names(&before, at(START));
    let (seals, opens) = names(&after, at(START));
    assert!(opens.contains(&sealed_before.unwrap()));
    assert!(seals.is_some() && seals != sealed_before);
    // Not longer than the new options allow.
    let later = names(&after, at(START + options.life_max()));
    assert!(!later.1.contains(&sealed_before.unwrap()));
}

#[tokio::test(start_paused = true)]
async fn agreed_keys_open_and_seal_while_the_store_is_away() {
    let store = Store::default();
    let before = TicketKeys::agreed(RingOptions::default(), clock(START));
    round(&before, &store, at(START));
    let heritage = before.bequeath_at(at(START)).unwrap();
    let after = TicketKeys::agreed(RingOptions::default(), clock(START));
    after.inherit(&heritage, Instant::now()).unwrap();
    store.set_away(true);
    round(&after, &store, at(START));
    assert_eq!(names(&after, at(START)), names(&before, at(START)));
    // Back with nothing in it, it gets the same key.
    store.set_away(false);
    store.forget();
    round(&after, &store, at(START));
    assert_eq!(names(&after, at(START)).0, names(&before, at(START)).0);
}

#[tokio::test(start_paused = true)]
async fn keys_of_a_source_that_is_another_now_are_left_alone() {
    let before = local(START);
    let heritage = before.bequeath_at(at(START)).unwrap();
    let after = TicketKeys::agreed(RingOptions::default(), clock(START));
    after.inherit(&heritage, Instant::now()).unwrap();
    assert_eq!(names(&after, at(START)), (None, Vec::new()));
    let file = FileKeys::parse(&(0..80).collect::<Vec<u8>>()).unwrap();
    let of_file = TicketKeys::of_file(RingOptions::default(), clock(START), &file);
    assert!(of_file.bequeath_at(at(START)).is_none());
}

#[test]
fn what_is_no_heritage_is_refused_and_changes_nothing() {
    let before = local(START);
    let mut heritage = before.bequeath_at(at(START)).unwrap().to_vec();
    let after = local(START);
    let own = names(&after, at(START));
    for length in 0..heritage.len() {
        // What ends between two keys is whole.
        let is_whole = length >= 22 && (length - 22) % 101 == 0;
        if !is_whole {
            let refused = after.inherit(&heritage[..length], Instant::now());
            assert_eq!(refused, Err(HeritageError::Broken), "{length}");
        }
    }
    heritage[0] = 9;
    assert_eq!(after.inherit(&heritage, Instant::now()), Err(HeritageError::Form(9)));
    assert_eq!(names(&after, at(START)), own);
}

#[test]
fn a_ticket_of_the_process_before_opens_after_it() {
    let context = tickets::context("a");
    let before = Arc::new(local(START));
    let sealed = ScopedTicketer::new(Arc::clone(&before), context, None);
    let ticket = sealed.seal_at(&[0, 3, 4, 0x13, 1], at(START)).unwrap();
    let after = Arc::new(follow(&before, RingOptions::default(), START));
    let opens = ScopedTicketer::new(after, context, None);
    assert_eq!(opens.open_at(&ticket, at(START)).unwrap().to_vec(), [0, 3, 4, 0x13, 1]);
}

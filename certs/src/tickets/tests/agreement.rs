//! Processes that agree on keys through a store that forgets, fails and lies.

use super::*;

fn member(at: Duration) -> TicketKeys {
    TicketKeys::agreed(RingOptions::default(), clock(at))
}

fn sealing(keys: &TicketKeys, now: Moment) -> key::KeyName {
    names(keys, now).0.unwrap()
}

fn source(keys: &TicketKeys, now: Moment) -> Source {
    let ring = keys.ring();
    match ring.view(&keys.options, now).sealing().unwrap().origin() {
        Origin::Agreed { .. } => Source::Agreed,
        Origin::Local { .. } => Source::Local,
        Origin::File { .. } => Source::File,
    }
}

#[test]
fn processes_seal_with_the_same_key_from_the_first_round_on() {
    let store = Store::default();
    let processes = [START, START + HOUR / 3].map(member);
    for hours in [0.4, 0.9, 1.1, 1.9, 2.5, 3.7] {
        let now = at(START + HOUR.mul_f64(hours));
        processes.iter().for_each(|keys| round(keys, &store, now));
        assert_eq!(sealing(&processes[0], now), sealing(&processes[1], now));
    }
}

#[test]
fn the_next_key_is_known_to_everybody_before_it_seals() {
    let store = Store::default();
    let processes = [member(START), member(START)];
    let now = at(START + HOUR / 2);
    processes.iter().for_each(|keys| round(keys, &store, now));
    // None of them looks at the store again before the next period.
    let then = at(START + HOUR);
    assert_eq!(sealing(&processes[0], then), sealing(&processes[1], then));
    assert_ne!(sealing(&processes[0], then), sealing(&processes[0], now));
}

#[test]
fn a_key_agreed_on_in_the_last_minute_waits_until_everybody_has_it() {
    let store = Store::default();
    let keys = member(START);
    let early = at(START + HOUR / 2);
    round(&keys, &store, early);
    // The next key is lost on the way, and agreed on again just before it is due.
    let mut ring = keys.ring().keys().to_vec();
    ring.truncate(1);
    keys.ring.store(Arc::new(Ring::new(ring)));
    store.forget();
    let before = sealing(&keys, early);
    round(&keys, &store, at(START + HOUR - Duration::from_secs(10)));
    assert_eq!(sealing(&keys, at(START + HOUR)), before);
    assert_eq!(sealing(&keys, at(START + HOUR + Duration::from_secs(49))), before);
    assert_ne!(sealing(&keys, at(START + HOUR + Duration::from_secs(50))), before);
}

#[test]
fn a_restarted_process_opens_what_others_have_sealed() {
    let store = Store::default();
    let options = RingOptions::new(HOUR, 2 * HOUR).unwrap();
    let new = |time| TicketKeys::agreed(options, clock(time));
    let old = new(START);
    let mut sealed = Vec::new();
    for hours in 0..3 {
        let now = at(START + hours * HOUR);
        round(&old, &store, now);
        sealed.push(sealing(&old, now));
    }
    let now = at(START + 2 * HOUR + HOUR / 2);
    let restarted = new(now.wall);
    round(&restarted, &store, now);
    let (_, opening) = names(&restarted, now);
    assert!(sealed.iter().all(|name| opening.contains(name)));
}

#[test]
fn while_the_store_is_away_keys_in_hand_go_on_and_then_local_ones() {
    let store = Store::default();
    let keys = member(START);
    let now = at(START + HOUR / 2);
    round(&keys, &store, now);
    store.set_away(true);
    let known = sealing(&keys, now);
    for hours in [0.9, 1.5, 1.9] {
        let now = at(START + HOUR.mul_f64(hours));
        assert!(now_or_never(keys.agree(&store, now)).is_err());
        round(&keys, &store, now);
        assert_eq!(source(&keys, now), Source::Agreed, "{hours}");
        assert_eq!(names(&keys, now).1.contains(&known), hours < 2.0);
    }
    let away = at(START + 2 * HOUR + HOUR / 2);
    round(&keys, &store, away);
    assert_eq!(source(&keys, away), Source::Local);
    assert_eq!(keys.next_change(away), Duration::from_secs(5));
    let local = sealing(&keys, away);
    store.set_away(false);
    // An agreed key is at once better than one that nobody else has, which still opens.
    let back = at(away.wall + Duration::from_secs(5));
    round(&keys, &store, back);
    assert_eq!(source(&keys, back), Source::Agreed);
    assert!(names(&keys, back).1.contains(&local));
    assert!(keys.next_change(back) > Duration::from_secs(5));
}

#[test]
fn a_store_that_forgot_everything_gets_it_back_and_so_do_processes_that_start_later() {
    let store = Store::default();
    let old = member(START);
    let mut now = at(START + HOUR / 2);
    round(&old, &store, now);
    store.forget();
    now.wall += Duration::from_secs(60);
    now.steady += Duration::from_secs(60);
    round(&old, &store, now);
    let new = member(now.wall);
    round(&new, &store, now);
    assert_eq!(sealing(&old, now), sealing(&new, now));
    let next = at(START + HOUR);
    assert_eq!(sealing(&old, next), sealing(&new, next));
}

#[test]
fn after_two_came_to_different_keys_one_of_them_wins_and_both_open() {
    let store = Store::default();
    let processes = [member(START), member(START)];
    let now = at(START + HOUR / 2);
    round(&processes[0], &store, now);
    store.forget();
    round(&processes[1], &store, now);
    let [first, second] = [0, 1].map(|index| sealing(&processes[index], now));
    assert_ne!(first, second);
    let later = at(now.wall + Duration::from_secs(60));
    processes.iter().for_each(|keys| round(keys, &store, later));
    let settled = at(later.wall + Duration::from_secs(60));
    assert_eq!(sealing(&processes[0], settled), second);
    assert_eq!(sealing(&processes[1], settled), second);
    assert!(names(&processes[0], settled).1.contains(&first));
}

#[test]
fn a_wall_clock_that_stands_still_or_goes_back_brings_a_key_no_more_time() {
    let store = Store::default();
    let keys = member(START);
    round(&keys, &store, at(START));
    let first = sealing(&keys, at(START));
    let still = |seconds| Moment { wall: START, steady: START + Duration::from_secs(seconds) };
    assert_eq!(names(&keys, still(3600 + 59)).0, Some(first));
    assert_eq!(names(&keys, still(3600 + 60)).0, None);
    assert!(names(&keys, still(2 * 3600 - 1)).1.contains(&first));
    assert!(!names(&keys, still(2 * 3600)).1.contains(&first));
    // Offered again to a store that forgot it, it lies there no longer than it has left.
    store.forget();
    round(&keys, &store, still(3600));
    let label = agreed::label(&keys.options, keys.options.period(at(START)));
    let (_, until) = store.texts.lock().unwrap()[label.as_bytes()].clone();
    assert_eq!(until, START + 2 * HOUR);
}

#[test]
fn what_is_no_key_is_not_taken() {
    for text in [vec![], vec![7; 31], vec![7; 33], vec![7; 32]] {
        let store = Store::default();
        let keys = member(START);
        let label = agreed::label(&keys.options, keys.options.period(at(START)));
        store.texts.lock().unwrap().insert(label.into_bytes(), (text, Duration::MAX));
        let refused = now_or_never(keys.agree(&store, at(START)));
        assert!(matches!(refused, Err(AgreementError::Unfit { .. })), "{refused:?}");
        keys.advance(at(START)).unwrap();
        assert_eq!(source(&keys, at(START)), Source::Local);
    }
}

/// So that a task can wait for it: this compiles.
#[test]
fn a_round_of_agreement_may_move_between_workers() {
    fn moves<T: Send>(_: &T) {}
    let (keys, store) = (member(START), Store::default());
    moves(&keys.agree(&store, at(START)));
}

//! Processes that are stopped, or killed, at any moment.

use std::collections::HashSet;
use std::time::Duration;

use portunus_certs::session::engine::{Engine, ErrorKind, Record, Wanted};
use portunus_certs::session::id::Use;
use portunus_certs::session::local::{LaterEngine, LocalEngine, LocalOptions};
use tokio::time::{Instant, sleep, timeout};

use crate::process::{CHURN, LIMIT, Numbers, Process, fetch, put};

const BYTES: usize = 64 << 20;

/// Stops a process that writes without a pause until it has been caught with LMDB's lock: the
/// store does not answer any more.
async fn stop_with_lock(engine: &LocalEngine, other: &Process) {
    for _ in 0..200 {
        other.signal("STOP");
        // What was only slow answers the second time.
        let silent = async || timeout(Duration::from_millis(200), engine.probe()).await.is_err();
        if silent().await && silent().await {
            return;
        }
        other.signal("CONT");
    }
    panic!("the other process was never caught with the lock");
}

#[tokio::test]
async fn a_stopped_process_costs_callers_their_timeout_and_no_session() {
    let folder = tempfile::tempdir().unwrap();
    let engine = LocalEngine::open(&LocalOptions::new(folder.path())).unwrap();
    put(&engine, 1000, 100).await;
    let mut other = Process::new(folder.path(), BYTES);
    other.hear();
    other.say("write");
    stop_with_lock(&engine, &other).await;

    let begun = Instant::now();
    let late = timeout(Duration::from_millis(5), fetch(&engine, 1000, Use::Single)).await;
    assert!(late.is_err());
    assert!(begun.elapsed() < LIMIT, "the caller was held up");
    other.signal("CONT");
    // Nobody waited any more when its turn came, so it was not taken.
    let found = timeout(LIMIT, fetch(&engine, 1000, Use::Single)).await;
    assert_eq!(found, Ok(true));
}

#[tokio::test]
async fn the_lock_of_a_killed_process_goes_to_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let engine = LocalEngine::open(&LocalOptions::new(folder.path())).unwrap();
    put(&engine, 1000, 100).await;
    for _ in 0..3 {
        let mut other = Process::new(folder.path(), BYTES);
        other.hear();
        other.say("write");
        stop_with_lock(&engine, &other).await;
        other.kill();
        timeout(LIMIT, engine.probe()).await.unwrap().unwrap();
        assert!(fetch(&engine, 1000, Use::Repeated).await);
    }
    assert!(fetch(&engine, 1000, Use::Single).await);
}

#[tokio::test]
async fn an_engine_ends_though_the_store_does_not_answer() {
    let folder = tempfile::tempdir().unwrap();
    let engine = LocalEngine::open(&LocalOptions::new(folder.path())).unwrap();
    let mut other = Process::new(folder.path(), BYTES);
    other.hear();
    other.say("write");
    stop_with_lock(&engine, &other).await;
    let begun = Instant::now();
    drop(engine);
    assert!(begun.elapsed() < LIMIT);

    // Nor does anybody wait for ever who starts meanwhile.
    let elsewhere = Process::new(folder.path(), BYTES);
    assert!(elsewhere.hear().starts_with("Slow"));
    other.signal("CONT");
}

#[tokio::test]
async fn a_folder_that_a_stopped_process_holds_is_opened_when_that_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let first = LocalEngine::open(&LocalOptions::new(folder.path())).unwrap();
    let mut other = Process::new(folder.path(), BYTES);
    other.hear();
    other.say("write");
    stop_with_lock(&first, &other).await;
    drop(first);
    let open_timeout = Duration::from_millis(100);
    let later = LaterEngine::new(LocalOptions { open_timeout, ..LocalOptions::new(folder.path()) });
    let fault = later.probe().await.unwrap_err();
    assert_eq!(fault.kind(), ErrorKind::Unreachable);
    other.signal("CONT");
    other.kill();
    let is_open = async {
        while later.probe().await.is_err() {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(LIMIT, is_open).await.unwrap();
    let record = Record { key: [7; 32], sealed: vec![1; 9], lifetime: Duration::from_secs(60) };
    assert!(later.store(&[record]).await.unwrap().iter().all(Result::is_ok));
    let wanted = [Wanted { key: [7; 32], usage: Use::Single }];
    assert_eq!(later.fetch(&wanted).await.unwrap(), [Some(vec![1; 9])]);
}

#[tokio::test]
async fn no_moment_of_a_kill_stops_the_others_or_gives_a_session_twice() {
    const KILLS: u64 = 120;
    const KILLS_MIN: u64 = 20;
    let folder = tempfile::tempdir().unwrap();
    let engine = LocalEngine::open(&LocalOptions::new(folder.path())).unwrap();
    put(&engine, u64::MAX, 100).await;
    let mut numbers = Numbers(7);
    let mut own = 0;
    let mut winners = HashSet::new();
    let mut win = |lines: Vec<String>| {
        // The first line of each is what it found in the folder; the last may be half a line.
        for line in lines.iter().filter(|line| line.parse::<u64>().is_ok()) {
            assert!(winners.insert(line.clone()), "{line} was won twice");
        }
        winners.len()
    };
    let start = |own: &mut u64| {
        let mut other = Process::new(folder.path(), BYTES);
        *own += 1;
        other.say(&format!("churn {own}"));
        other
    };
    let mut others: Vec<_> = (0..4).map(|_| start(&mut own)).collect();
    let begun = Instant::now();
    let mut kills = 0;
    let is_due = |kills, begun: Instant| match kills {
        0..KILLS_MIN => begun.elapsed() < Duration::from_secs(90),
        _ => kills < KILLS && begun.elapsed() < Duration::from_secs(15),
    };
    while is_due(kills, begun) {
        sleep(Duration::from_micros(numbers.below(60_000))).await;
        let victim = numbers.below(others.len() as u64) as usize;
        win(others.swap_remove(victim).kill());
        kills += 1;
        others.push(start(&mut own));
        // A process that nobody kills goes on: it reads, writes and takes.
        let mine = own * CHURN + CHURN / 2;
        timeout(LIMIT, put(&engine, mine, 300)).await.expect("writing goes on");
        assert!(timeout(LIMIT, fetch(&engine, u64::MAX, Use::Repeated)).await.unwrap());
        assert!(timeout(LIMIT, fetch(&engine, mine, Use::Single)).await.unwrap());
        assert!(!fetch(&engine, mine, Use::Single).await);
        for other in &others {
            win(other.overhear());
        }
    }
    let won = others.drain(..).map(|other| win(other.kill())).last().unwrap();
    println!("{kills} kills, {won} sessions won, in {:?}", begun.elapsed());
    assert!(kills >= KILLS_MIN, "{kills} kills");
    assert!(won >= 100, "{won} won");
}

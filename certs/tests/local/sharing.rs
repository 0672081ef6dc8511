//! What one process stores, others find, and of those who take, one wins.

use std::collections::HashMap;
use std::process::Command;

use portunus_certs::session::engine::{Engine, Record};
use portunus_certs::session::id::Use;
use portunus_certs::session::local::{LocalEngine, LocalError, LocalOptions, Start};

use crate::process::{HOUR, Process, fetch, fill, key, put, record, wanted};

const MEBIBYTE: usize = 1 << 20;

fn open(path: &std::path::Path, bytes_max: usize) -> LocalEngine {
    LocalEngine::open(&LocalOptions { bytes_max, ..LocalOptions::new(path) }).unwrap()
}

#[tokio::test]
async fn a_session_stored_by_one_process_is_found_by_another() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(folder.path(), MEBIBYTE);
    assert_eq!(*engine.start(), Start::Created);
    let mut other = Process::new(folder.path(), MEBIBYTE);
    assert_eq!(other.hear(), "Found 1048576");
    put(&engine, 1, 200).await;
    assert_eq!(other.ask("look 1"), "true");
    assert_eq!(other.ask("take 1"), "true");
    assert!(!fetch(&engine, 1, Use::Single).await);
    assert_eq!(other.ask("put 2 3000"), "stored");
    assert!(fetch(&engine, 2, Use::Repeated).await);
    other.end();
    assert!(fetch(&engine, 2, Use::Repeated).await);
    drop(engine);
    // It outlives every process.
    let engine = open(folder.path(), MEBIBYTE);
    assert_eq!(*engine.start(), Start::Found);
    assert!(fetch(&engine, 2, Use::Single).await);
    engine.probe().await.unwrap();
}

#[tokio::test]
async fn answers_come_in_the_order_of_the_keys() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(folder.path(), MEBIBYTE);
    let records: Vec<_> = [1, 3].iter().map(|n| record(*n, 20)).collect();
    assert_eq!(engine.store(&records).await.unwrap().len(), 2);
    let order = [(3, Use::Single), (2, Use::Single), (1, Use::Repeated), (3, Use::Single)];
    let asked: Vec<_> = order.iter().map(|(n, usage)| wanted(*n, *usage)).collect();
    let found = engine.fetch(&asked).await.unwrap();
    let texts: Vec<_> = found.iter().map(Option::as_deref).collect();
    assert_eq!(texts, [Some(&*records[1].sealed), None, Some(&*records[0].sealed), None]);
    assert!(engine.fetch(&[]).await.unwrap().is_empty());
}

#[tokio::test]
async fn whoever_agrees_second_gets_what_the_first_laid_there() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(folder.path(), MEBIBYTE);
    let with = |text: &str| Record { key: key(1), sealed: text.into(), lifetime: HOUR };
    let (first, second) = (with("first"), with("second"));
    assert_eq!(engine.agree(&first).await.unwrap(), b"first");
    assert_eq!(engine.agree(&second).await.unwrap(), b"first");
}

#[test]
fn a_session_that_many_processes_take_at_once_has_one_winner() {
    const SESSIONS: u64 = 400;
    let folder = tempfile::tempdir().unwrap();
    let mut others: Vec<_> = (0..4).map(|_| Process::new(folder.path(), MEBIBYTE)).collect();
    others.iter().for_each(|other| drop(other.hear()));
    assert_eq!(others[0].ask(&format!("fill 0 {SESSIONS} 300")), SESSIONS.to_string());
    others.iter_mut().for_each(|other| other.say(&format!("race {SESSIONS}")));
    let mut winners: HashMap<String, usize> = HashMap::new();
    for other in &others {
        for line in std::iter::repeat_with(|| other.hear()).take_while(|line| line != "end") {
            *winners.entry(line).or_default() += 1;
        }
    }
    assert_eq!(winners.len() as u64, SESSIONS);
    assert!(winners.values().all(|count| *count == 1), "{winners:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_at_once_share_a_transaction_and_one_of_them_wins() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(folder.path(), MEBIBYTE);
    for number in 0..50 {
        put(&engine, number, 100).await;
        let mut won = 0;
        let mut callers: Vec<_> =
            (0..8).map(|_| Box::pin(fetch(&engine, number, Use::Single))).collect();
        // All are sent before the first is waited for.
        for caller in &mut callers {
            tokio::select! {
                biased;
                winner = caller => won += u32::from(winner),
                () = async {} => {}
            }
        }
        drop(callers);
        assert!(won <= 1);
        assert!(!fetch(&engine, number, Use::Single).await || won == 0);
    }
}

#[tokio::test]
async fn processes_that_ask_for_different_sizes_share_the_largest() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(folder.path(), MEBIBYTE);
    put(&engine, u64::MAX, 100).await;
    let mut larger = Process::new(folder.path(), 8 * MEBIBYTE);
    assert_eq!(larger.hear(), "Found 8388608");
    // More than the first process has mapped.
    assert_eq!(larger.ask("fill 0 2000 1000"), "2000");
    assert_eq!(larger.ask("look 1999"), "true");
    assert!(fetch(&engine, 1999, Use::Repeated).await);
    assert!(fetch(&engine, u64::MAX, Use::Single).await);
    assert_eq!(fill(&engine, 5000, 100, 1000).await, 100);
    let mut smaller = Process::new(folder.path(), 2 * MEBIBYTE);
    assert_eq!(smaller.hear(), "Found 8388608");
    assert_eq!(smaller.ask("take 5099"), "true");
}

#[test]
fn one_process_opens_a_folder_once_and_again_after_that() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(folder.path(), MEBIBYTE);
    let second = LocalEngine::open(&LocalOptions::new(folder.path().join(".")));
    assert!(matches!(second, Err(LocalError::AlreadyOpen { .. })), "{second:?}");
    drop(engine);
    drop(open(folder.path(), MEBIBYTE));
    assert!(format!("{:?}", open(folder.path(), MEBIBYTE)).contains("Found"));
}

#[test]
fn processes_of_one_number_in_two_pid_namespaces_share_sessions() {
    let words = ["unshare", "--map-root-user", "--pid", "--fork", "--kill-child"];
    let may = Command::new(words[0]).args(&words[1..]).arg("true").output();
    if !may.is_ok_and(|output| output.status.success()) {
        println!("skipped: namespaces are not permitted here");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut one = Process::within(&words, folder.path(), MEBIBYTE);
    assert_eq!(one.hear(), "Created 1048576");
    let mut two = Process::within(&words, folder.path(), MEBIBYTE);
    assert_eq!(two.hear(), "Found 1048576");
    assert_eq!(one.ask("put 1 100"), "stored");
    for _ in 0..20 {
        // Only one of them has a row in the table of readers.
        assert_eq!(two.ask("look 1"), "true");
        assert_eq!(one.ask("look 1"), "true");
    }
    assert_eq!(two.ask("take 1"), "true");
    assert_eq!(one.ask("take 1"), "false");
}

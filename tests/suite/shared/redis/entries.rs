//! What lies in the store, for how long, and who gets it.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use portunus_certs::session::engine::{Engine, ErrorKind, Record};
use portunus_certs::session::id::Use;
use portunus_certs::session::redis::{RedisEngine, RedisOptions};
use portunus_tests::redis::{RedisServer, Reply, redis};
use portunus_tests::wait::eventually;
use tokio::task::JoinSet;

use super::{connected, fetch, key, kind, record, store, wanted};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_may_be_used_once_has_one_winner() {
    let Some(redis) = redis() else { return };
    let server = redis.start().await;
    let engines = four(&server).await;
    for round in 0..50 {
        store(&engines[0], record(round)).await.unwrap();
        let mut callers = JoinSet::new();
        for caller in 0..32 {
            let engine = Arc::clone(&engines[caller % engines.len()]);
            callers.spawn(async move { fetch(&engine, round, Use::Single).await.unwrap() });
        }
        let found: Vec<_> = callers.join_all().await.into_iter().flatten().collect();
        assert_eq!(found, [record(round).sealed]);
    }
    assert_eq!(server.ask(&["DBSIZE"]).await.number(), 0);
}

#[tokio::test]
async fn what_may_be_used_again_stays() {
    let Some(redis) = redis() else { return };
    let server = redis.start().await;
    let engine = connected(&server.url()).await;
    store(&engine, record(1)).await.unwrap();
    for _ in 0..2 {
        assert_eq!(fetch(&engine, 1, Use::Repeated).await.unwrap(), Some(record(1).sealed));
    }
}

#[tokio::test]
async fn several_are_asked_for_at_once_and_answered_in_their_order() {
    let Some(redis) = redis() else { return };
    let server = redis.start().await;
    let engine = connected(&server.url()).await;
    let records: Vec<Record> = (0..64).map(record).collect();
    let stored = engine.store(&records).await.unwrap();
    assert_eq!(stored.iter().filter(|stored| stored.is_ok()).count(), 64);
    let asked = [wanted(9, Use::Repeated), wanted(99, Use::Single), wanted(3, Use::Single)];
    let found = engine.fetch(&asked).await.unwrap();
    assert_eq!(found, [Some(record(9).sealed), None, Some(record(3).sealed)]);
    assert_eq!(server.ask(&["DBSIZE"]).await.number(), 63);
    assert_eq!(engine.fetch(&[]).await.unwrap(), Vec::<Option<Vec<u8>>>::new());
    assert!(engine.store(&[]).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_record_lies_there_under_a_name_of_ours_until_its_lifetime_is_over() {
    let Some(redis) = redis() else { return };
    let server = redis.start().await;
    store(&connected(&server.url()).await, record(0)).await.unwrap();
    // The bytes 00 00, and thirty times fb.
    let name = format!("portunus:1:AAD7{}-_s", "-_v7".repeat(9));
    assert_eq!(server.keys().await, [name.as_str()]);
    let left = server.ask(&["PTTL", &name]).await.number();
    assert!((1..=60_000).contains(&left), "{left}");

    let prefix = "elsewhere:".to_owned();
    let options = RedisOptions { prefix, ..RedisOptions::new(&server.url()) };
    let elsewhere = RedisEngine::new(&options).unwrap();
    eventually("a record", async || store(&elsewhere, record(0)).await.ok()).await;
    assert!(server.keys().await.contains(&name.replace("portunus:1:", "elsewhere:")));
}

#[tokio::test]
async fn the_shortest_lifetime_is_over_at_once() {
    let Some(redis) = redis() else { return };
    let server = redis.start().await;
    let engine = connected(&server.url()).await;
    store(&engine, Record { lifetime: Duration::ZERO, ..record(1) }).await.unwrap();
    store(&engine, Record { lifetime: Duration::MAX, ..record(2) }).await.unwrap();
    eventually("the end of a record", async || {
        fetch(&engine, 1, Use::Repeated).await.unwrap().is_none().then_some(())
    })
    .await;
    assert!(fetch(&engine, 2, Use::Repeated).await.unwrap().is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn all_who_agree_at_once_agree_on_one_text() {
    let Some(redis) = redis() else { return };
    let server = redis.start().await;
    let engines = four(&server).await;
    for round in 0..20 {
        let mut callers = JoinSet::new();
        for caller in 0..32 {
            let engine = Arc::clone(&engines[caller % engines.len()]);
            let sealed = format!("proposal {caller}").into_bytes();
            let lifetime = Duration::from_secs(60);
            let record = Record { key: key(round), sealed, lifetime };
            callers.spawn(async move { engine.agree(&record).await.unwrap() });
        }
        let agreed: HashSet<_> = callers.join_all().await.into_iter().collect();
        assert_eq!(agreed.len(), 1, "{agreed:?}");
        assert!(agreed.iter().all(|text| text.starts_with(b"proposal ")));
    }
}

#[tokio::test]
async fn a_probe_leaves_nothing_behind() {
    let Some(redis) = redis() else { return };
    let server = redis.start().await;
    connected(&server.url()).await.probe().await.unwrap();
    assert_eq!(server.ask(&["DBSIZE"]).await.number(), 0);
}

#[tokio::test]
async fn what_no_session_can_be_is_nothing() {
    let Some(redis) = redis() else { return };
    let server = redis.start().await;
    let engine = connected(&server.url()).await;
    store(&engine, record(1)).await.unwrap();
    let name = server.keys().await.remove(0);
    let long = "x".repeat(64 * 1024 + 1);
    server.ask(&["SET", &name, &long]).await.expect_ok();
    assert_eq!(fetch(&engine, 1, Use::Repeated).await.unwrap(), None);
    assert_eq!(server.ask(&["DEL", &name]).await, Reply::Number(1));
    assert_eq!(server.ask(&["LPUSH", &name, "x"]).await, Reply::Number(1));
    assert_eq!(kind(fetch(&engine, 1, Use::Single).await), ErrorKind::Other);
    // Beside it, nothing is lost: what was fetched is told.
    store(&engine, record(2)).await.unwrap();
    let asked = [wanted(1, Use::Single), wanted(2, Use::Single)];
    assert_eq!(engine.fetch(&asked).await.unwrap(), [None, Some(record(2).sealed)]);
}

/// Engines of four processes, as it were, on both ways to the server.
async fn four(server: &RedisServer) -> [Arc<RedisEngine>; 4] {
    let engine = async |url: String| Arc::new(connected(&url).await);
    [
        engine(server.url()).await,
        engine(server.socket_url()).await,
        engine(server.url()).await,
        engine(server.socket_url()).await,
    ]
}

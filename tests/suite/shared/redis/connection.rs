//! The one connection: made once, shared by all, never out of step, replaced when it is lost.

use std::sync::Arc;
use std::time::Duration;

use portunus_certs::session::engine::{Engine, EngineError, ErrorKind};
use portunus_certs::session::id::Use;
use portunus_tests::redis::{RedisServer, redis};
use portunus_tests::wait::{best_of, eventually, within};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::{
    connected, connections, connections_become, engine, everything, fetch, kind, record, store,
    wanted,
};

/// What a caller may wait while the server is deaf.
const BUDGET: Duration = Duration::from_millis(20);

#[tokio::test]
async fn callers_who_come_at_once_share_one_connection_which_ends_with_the_engine() {
    let Some(redis) = redis() else { return };
    let server = redis.start().await;
    eventually("a connection in good time", async || {
        let engine = Arc::new(engine(&server.url()));
        connections_become(&server, 0).await;
        let mut callers = JoinSet::new();
        for number in 0..32 {
            let engine = Arc::clone(&engine);
            callers.spawn(async move { fetch(&engine, number, Use::Single).await });
        }
        let found = callers.join_all().await;
        if found.iter().any(|found| found.as_ref().is_err_and(is_unreachable)) {
            return None;
        }
        assert!(found.iter().all(|found| found.as_ref().is_ok_and(Option::is_none)), "{found:?}");
        assert_eq!(connections(&server).await.len(), 1);
        Some(())
    })
    .await;
    connections_become(&server, 0).await;
}

/// As what takes too long to dial is.
fn is_unreachable(error: &EngineError) -> bool {
    error.kind() == ErrorKind::Unreachable
}

#[tokio::test]
async fn a_caller_who_cannot_wait_for_the_connection_leaves_it_to_the_next() {
    let Some(redis) = redis() else { return };
    let server = redis.start().await;
    best_of(5, async || {
        connections_become(&server, 0).await;
        leaves_it(&server).await
    })
    .await;
}

/// A dial that takes too long is given up, and then there is nothing to leave.
async fn leaves_it(server: &RedisServer) -> Result<(), String> {
    let engine = engine(&server.url());
    // It looks once and leaves; a timer, however short, may give the answer time to come.
    let has_left = tokio::select! {
        biased;
        _ = engine.probe() => false,
        () = std::future::ready(()) => true,
    };
    assert!(has_left);
    let becomes = connections_become(server, 1);
    timeout(Duration::from_secs(5), becomes).await.map_err(|_| "no connection")?;
    let first = connections(server).await;
    engine.probe().await.map_err(|error| everything(&error))?;
    let now = connections(server).await;
    (now == first).then_some(()).ok_or_else(|| format!("{now:?} instead of {first:?}"))
}

#[tokio::test]
async fn answers_to_callers_who_are_gone_go_to_nobody_else() {
    let Some(redis) = redis() else { return };
    let server = redis.start().await;
    for url in [server.url(), server.socket_url()] {
        let engine = Arc::new(connected(&url).await);
        let connection = connections(&server).await.pop();
        let records: Vec<_> = (0..200).map(record).collect();
        engine.store(&records).await.unwrap();
        server.stop();
        for number in 0..50 {
            let wanted = [wanted(number, Use::Single), wanted(number + 50, Use::Repeated)];
            let asked = if number % 2 == 0 { &wanted[..] } else { &wanted[..1] };
            assert!(timeout(BUDGET / 10, engine.fetch(asked)).await.is_err());
        }
        // These wait while the server answers the ones before.
        let mut callers = JoinSet::new();
        for number in 100..200 {
            let engine = Arc::clone(&engine);
            callers.spawn(async move { (number, fetch(&engine, number, Use::Single).await) });
        }
        tokio::task::yield_now().await;
        server.go_on();
        for (number, found) in callers.join_all().await {
            assert_eq!(found.unwrap(), Some(record(number).sealed));
        }
        assert_eq!(connections(&server).await.pop(), connection);
        drop(engine);
        connections_become(&server, 0).await;
    }
}

#[tokio::test]
async fn what_breaks_in_the_middle_is_unknown_and_mends_itself() {
    let Some(redis) = redis() else { return };
    let mut server = redis.start().await;
    let engine = Arc::new(connected(&server.url()).await);
    server.stop();
    let mut callers = JoinSet::new();
    for number in 0..8 {
        let engine = Arc::clone(&engine);
        callers.spawn(async move { store(&engine, record(number)).await });
    }
    tokio::task::yield_now().await;
    server.kill();
    for stored in within("the end of every call", callers.join_all()).await {
        let error = stored.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Broken);
        assert!(!error.is_certain());
    }
    assert_eq!(kind(engine.probe().await), ErrorKind::Unreachable);
    server.restart().await;
    eventually("a record", async || store(&engine, record(1)).await.ok()).await;
    assert_eq!(fetch(&engine, 1, Use::Single).await.unwrap(), Some(record(1).sealed));
}

#[tokio::test]
async fn a_restart_while_nobody_asks_costs_nobody_an_answer() {
    let Some(redis) = redis() else { return };
    let mut server = redis.start().await;
    let engine = connected(&server.url()).await;
    for number in 0..5 {
        server.restart().await;
        eventually("a record", async || match store(&engine, record(number)).await {
            Ok(()) => Some(()),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Unreachable);
                None
            }
        })
        .await;
    }
}

#[tokio::test]
async fn a_deaf_server_is_not_connected_to() {
    let Some(redis) = redis() else { return };
    let server = redis.start().await;
    let engine = engine(&server.url());
    server.stop();
    assert_eq!(kind(engine.probe().await), ErrorKind::Unreachable);
    server.go_on();
    eventually("a connection", async || engine.probe().await.ok()).await;
}

#[tokio::test]
async fn a_probe_that_nobody_answered_is_not_repeated_on_the_same_connection() {
    let Some(redis) = redis() else { return };
    let server = redis.start().await;
    let engine = connected(&server.url()).await;
    let first = connections(&server).await;
    server.stop();
    assert!(timeout(BUDGET, engine.probe()).await.is_err());
    server.go_on();
    eventually("a connection", async || engine.probe().await.ok()).await;
    connections_become(&server, 1).await;
    assert_ne!(connections(&server).await, first);
}

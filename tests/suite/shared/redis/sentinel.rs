//! A master that moves: the engine asks the sentinels again.

use portunus_certs::session::engine::{Engine, ErrorKind};
use portunus_certs::session::id::Use;
use portunus_tests::redis::{Redis, RedisServer, Reply, redis};

use super::{connected, connections_become, engine, everything, fetch, patiently, record, store};

/// A master, a replica that has caught up, and the sentinel that watches both.
async fn watched(redis: &Redis, patience: &str) -> [RedisServer; 3] {
    let master = redis.clone().start().await;
    let port = master.address().port().to_string();
    let replica = redis.clone().with("replicaof", &format!("127.0.0.1 {port}")).start().await;
    replica.info("master_link_status:up").await;
    let sentinel = redis
        .clone()
        .sentinel()
        .with("sentinel", &format!("monitor main 127.0.0.1 {port} 1"))
        .with("sentinel", &format!("down-after-milliseconds main {patience}"))
        .with("sentinel", "failover-timeout main 3000")
        .start()
        .await;
    patiently("a sentinel that knows the replica", async || {
        let Reply::List(replicas) = sentinel.ask(&["SENTINEL", "REPLICAS", "main"]).await else {
            return None;
        };
        (replicas.len() == 1).then_some(())
    })
    .await;
    [master, replica, sentinel]
}

/// Waits until a server plays that role.
async fn becomes(server: &RedisServer, role: &str) {
    patiently(role, async || {
        let Reply::Text(info) = server.ask(&["INFO"]).await else { return None };
        info.lines().any(|line| line == role).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_master_that_is_lost_is_followed() {
    let Some(redis) = redis() else { return };
    let [mut master, replica, sentinel] = watched(&redis, "500").await;
    let url = format!("redis+sentinel://{}/main", sentinel.address());
    let engine = connected(&url).await;
    store(&engine, record(1)).await.unwrap();
    replica.info("db0:keys=1,expires=1,avg_ttl=0").await;
    master.kill();
    patiently("a write to the new master", async || store(&engine, record(2)).await.ok()).await;
    replica.info("role:master").await;
    assert_eq!(fetch(&engine, 1, Use::Single).await.unwrap(), Some(record(1).sealed));
}

#[tokio::test]
async fn a_master_that_becomes_a_replica_is_left() {
    let Some(redis) = redis() else { return };
    let [master, replica, sentinel] = watched(&redis, "20000").await;
    let url = format!("redis+sentinel://{}/main", sentinel.address());
    let engine = connected(&url).await;
    store(&engine, record(1)).await.unwrap();
    // The sentinel may not have heard yet that the replica would do.
    patiently("a failover", async || {
        let answer = sentinel.ask(&["SENTINEL", "FAILOVER", "main"]).await;
        (answer == Reply::Text("OK".to_owned())).then_some(())
    })
    .await;
    becomes(&replica, "role:master").await;
    becomes(&master, "role:slave").await;
    patiently("a write to the new master", async || store(&engine, record(2)).await.ok()).await;
    connections_become(&replica, 1).await;
    connections_become(&master, 0).await;
}

#[tokio::test]
async fn a_master_that_no_sentinel_knows_is_unreachable() {
    let Some(redis) = redis() else { return };
    let sentinel = redis.sentinel().start().await;
    let engine = engine(&format!("redis+sentinel://{}/other", sentinel.address()));
    // The one or other dial may take too long, and be told of as that.
    patiently("words about the master", async || {
        let error = engine.probe().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unreachable);
        everything(&error).contains("/other").then_some(())
    })
    .await;
}

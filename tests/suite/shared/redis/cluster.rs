//! Many nodes, each with a share of the keys.

use std::collections::HashMap;
use std::time::Duration;

use portunus_certs::session::engine::{Engine, ErrorKind, Record, Wanted};
use portunus_certs::session::id::Use;
use portunus_tests::redis::{RedisServer, join, redis};
use portunus_tests::wait::eventually;

use super::{connected, everything, fetch, record, store, wanted};

async fn cluster(redis: portunus_tests::redis::Redis) -> Vec<RedisServer> {
    let mut nodes = Vec::new();
    for _ in 0..3 {
        nodes.push(redis.clone().node().start().await);
    }
    join(&nodes).await;
    nodes
}

#[tokio::test]
async fn every_slot_of_a_cluster_is_used() {
    let Some(redis) = redis() else { return };
    let nodes = cluster(redis.password("word")).await;
    let hosts = [nodes[1].address().to_string(), nodes[0].address().to_string()].join(",");
    let engine = connected(&format!("redis+cluster://:word@{hosts}")).await;
    let records: Vec<Record> = (0..300).map(record).collect();
    for stored in engine.store(&records).await.unwrap() {
        stored.unwrap();
    }
    for node in &nodes {
        assert!(node.ask(&["DBSIZE"]).await.number() > 50);
    }
    let asked: Vec<Wanted> = (0..300).map(|number| wanted(number, Use::Single)).collect();
    let found = engine.fetch(&asked).await.unwrap();
    for (record, found) in records.into_iter().zip(found) {
        assert_eq!(found, Some(record.sealed));
    }
    for node in &nodes {
        assert_eq!(node.ask(&["DBSIZE"]).await.number(), 0);
    }
    assert_eq!(engine.agree(&record(1)).await.unwrap(), record(1).sealed);
    let other = Record { sealed: b"other".to_vec(), ..record(1) };
    assert_eq!(engine.agree(&other).await.unwrap(), record(1).sealed);
}

#[tokio::test]
async fn a_node_that_is_lost_costs_its_own_keys_until_it_is_back() {
    let Some(redis) = redis() else { return };
    let redis = redis.with("cluster-require-full-coverage", "no");
    let mut nodes = cluster(redis).await;
    let engine = connected(&format!("redis+cluster://{}", nodes[0].address())).await;
    nodes[2].kill();
    let mut outcomes: HashMap<Option<ErrorKind>, u16> = HashMap::new();
    for number in 0..60 {
        let stored =
            tokio::time::timeout(Duration::from_millis(50), store(&engine, record(number)));
        let outcome = match stored.await {
            Ok(stored) => stored.err().map(|error| error.kind()),
            Err(_) => Some(ErrorKind::Timeout),
        };
        *outcomes.entry(outcome).or_default() += 1;
    }
    assert!(outcomes[&None] > 20, "{outcomes:?}");
    assert!(outcomes.len() > 1, "{outcomes:?}");

    nodes[2].restart().await;
    eventually("all keys again", async || {
        for number in 0..60 {
            if let Err(error) = store(&engine, record(number)).await {
                assert_ne!(error.kind(), ErrorKind::Auth, "{}", everything(&error));
                return None;
            }
        }
        Some(())
    })
    .await;
    assert_eq!(fetch(&engine, 7, Use::Single).await.unwrap(), Some(record(7).sealed));
}

//! Many nodes, each with a share of the keys.

use std::collections::HashMap;
use std::time::Duration;

use portunus_certs::session::engine::{Engine, EngineError, ErrorKind, Record, Wanted};
use portunus_certs::session::id::Use;
use portunus_certs::session::redis::RedisEngine;
use portunus_tests::redis::{RedisServer, join, redis};
use portunus_tests::wait::{best_of, eventually};

use super::{connected, everything, fetch, patiently, record, store, wanted};

async fn cluster(redis: portunus_tests::redis::Redis) -> Vec<RedisServer> {
    let mut nodes = Vec::new();
    for _ in 0..3 {
        // No other node takes over, so none needs to be declared lost.
        nodes.push(redis.clone().node().with("cluster-node-timeout", "15000").start().await);
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
    best_of(4, async || {
        for node in &nodes {
            node.ask(&["FLUSHALL"]).await.expect_ok();
        }
        every_slot_is_used(&engine, &nodes).await.map_err(|error| everything(&error))
    })
    .await;
    let other = Record { sealed: b"other".to_vec(), ..record(1) };
    for proposed in [record(1), other] {
        let agree = async || engine.agree(&proposed).await.ok();
        assert_eq!(patiently("an agreement", agree).await, record(1).sealed);
    }
}

/// An error if an answer took too long.
async fn every_slot_is_used(
    engine: &RedisEngine,
    nodes: &[RedisServer],
) -> Result<(), EngineError> {
    let records: Vec<Record> = (0..300).map(record).collect();
    for stored in engine.store(&records).await? {
        stored?;
    }
    for node in nodes {
        assert!(node.ask(&["DBSIZE"]).await.number() > 50);
    }
    let asked: Vec<Wanted> = (0..300).map(|number| wanted(number, Use::Single)).collect();
    let found = engine.fetch(&asked).await?;
    for (record, found) in records.into_iter().zip(found) {
        assert_eq!(found, Some(record.sealed));
    }
    for node in nodes {
        assert_eq!(node.ask(&["DBSIZE"]).await.number(), 0);
    }
    Ok(())
}

#[tokio::test]
async fn a_node_that_is_lost_costs_its_own_keys_until_it_is_back() {
    let Some(redis) = redis() else { return };
    let redis = redis.with("cluster-require-full-coverage", "no");
    let mut nodes = cluster(redis).await;
    let engine = connected(&format!("redis+cluster://{}", nodes[0].address())).await;
    nodes[2].kill();
    eventually("a share of the keys", async || {
        let outcomes = outcomes(&engine).await;
        assert!(outcomes.len() > 1 || !outcomes.contains_key(&None), "{outcomes:?}");
        outcomes.get(&None).filter(|&&stored| stored > 20).copied()
    })
    .await;

    nodes[2].restart().await;
    patiently("all keys again", async || {
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

/// What comes of sixty records, as far as it comes at once.
async fn outcomes(engine: &RedisEngine) -> HashMap<Option<ErrorKind>, u16> {
    let mut outcomes = HashMap::new();
    for number in 0..60 {
        let stored = tokio::time::timeout(Duration::from_millis(50), store(engine, record(number)));
        let outcome = match stored.await {
            Ok(stored) => stored.err().map(|error| error.kind()),
            Err(_) => Some(ErrorKind::Timeout),
        };
        *outcomes.entry(outcome).or_default() += 1;
    }
    outcomes
}

//! The harness itself: a Redis that restarts where it was, stops, goes on, and clusters.

use portunus_tests::redis::{Reply, join, redis};

#[tokio::test]
async fn a_redis_of_ones_own_restarts_where_it_was() {
    let Some(redis) = redis() else { return };
    let mut server = redis.password("word").start().await;
    let address = server.address();
    server.ask(&["SET", "key", "value"]).await.expect_ok();
    assert_eq!(server.keys().await, ["key"]);
    server.stop();
    server.go_on();
    assert_eq!(server.ask(&["GET", "key"]).await, Reply::Text("value".to_owned()));
    server.kill();
    server.restart().await;
    assert_eq!(server.address(), address);
    assert_eq!(server.ask(&["GET", "key"]).await, Reply::Nothing);
}

#[tokio::test]
async fn nodes_of_ones_own_make_a_cluster() {
    let Some(redis) = redis() else { return };
    let mut nodes = Vec::new();
    for _ in 0..3 {
        nodes.push(redis.clone().node().start().await);
    }
    join(&nodes).await;
}

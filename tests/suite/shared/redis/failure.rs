//! Every kind of error, by a real cause.

use portunus_certs::session::engine::{Engine, ErrorKind};
use portunus_certs::session::id::Use;
use portunus_tests::redis::{Reply, redis};
use portunus_tests::wait::eventually;

use super::{connected, engine, everything, failure, fetch, kind, record, store, wanted};

const PASSWORD: &str = "planted-word";

#[tokio::test]
async fn a_wrong_password_or_none_is_named() {
    let Some(redis) = redis() else { return };
    let server = redis.password(PASSWORD).start().await;
    let right = connected(&server.url()).await;
    store(&right, record(1)).await.unwrap();
    let wrong = engine(&server.url().replace(PASSWORD, "another-word"));
    let none = engine(&server.url().replace(&format!(":{PASSWORD}@"), ""));
    for engine in [wrong, none] {
        let error = failure(async || store(&engine, record(1)).await).await;
        assert_eq!(error.kind(), ErrorKind::Auth, "{}", everything(&error));
        assert!(error.is_certain());
        let probed = failure(async || engine.probe().await).await;
        assert_eq!(probed.kind(), ErrorKind::Auth);
        assert!(!everything(&error).contains("another-word"));
    }
}

#[tokio::test]
async fn a_user_who_may_not_fetch_is_told_so_by_the_probe() {
    let Some(redis) = redis() else { return };
    let server = redis.start().await;
    let rights = ["on", ">planted-word", "~portunus:*", "+set", "+get", "+getdel"];
    server.ask(&[&["ACL", "SETUSER", "us"], &rights[..]].concat()).await.expect_ok();
    let url = server.url().replace("redis://", "redis://us:planted-word@");
    // Just these commands are enough.
    let engine = connected(&url).await;
    store(&engine, record(1)).await.unwrap();
    assert_eq!(fetch(&engine, 1, Use::Single).await.unwrap(), Some(record(1).sealed));

    server.ask(&["ACL", "SETUSER", "us", "-getdel"]).await.expect_ok();
    let error = failure(async || engine.probe().await).await;
    assert_eq!(error.kind(), ErrorKind::Auth, "{}", everything(&error));
}

#[tokio::test]
async fn a_full_store_says_of_each_record_that_it_is_not_there() {
    let Some(redis) = redis() else { return };
    let server = redis.start().await;
    let engine = connected(&server.url()).await;
    store(&engine, record(0)).await.unwrap();
    server.ask(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]).await.expect_ok();
    server.ask(&["CONFIG", "SET", "maxmemory", "1"]).await.expect_ok();
    for stored in engine.store(&[record(1), record(2)]).await.unwrap() {
        let error = stored.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Full, "{}", everything(&error));
        assert!(error.is_certain());
    }
    assert_eq!(kind(store(&engine, record(1)).await), ErrorKind::Full);
    assert_eq!(kind(engine.agree(&record(1)).await), ErrorKind::Full);
    assert_eq!(kind(engine.probe().await), ErrorKind::Full);
    // What lies there can still be used, and agreed upon.
    assert_eq!(engine.agree(&record(0)).await.unwrap(), record(0).sealed);
    assert_eq!(fetch(&engine, 0, Use::Single).await.unwrap(), Some(record(0).sealed));
}

#[tokio::test]
async fn a_replica_takes_no_writes_and_without_its_master_no_reads() {
    let Some(redis) = redis() else { return };
    let server = redis.start().await;
    let engine = connected(&server.url()).await;
    store(&engine, record(1)).await.unwrap();
    server.ask(&["REPLICAOF", "127.0.0.1", "1"]).await.expect_ok();
    let error = failure(async || store(&engine, record(2)).await).await;
    assert_eq!(error.kind(), ErrorKind::ReadOnly, "{}", everything(&error));
    assert!(error.is_certain());
    let fetched = failure(async || fetch(&engine, 1, Use::Single).await).await;
    assert_eq!(fetched.kind(), ErrorKind::ReadOnly);
    assert_eq!(failure(async || engine.probe().await).await.kind(), ErrorKind::ReadOnly);
    server.ask(&["CONFIG", "SET", "replica-serve-stale-data", "no"]).await.expect_ok();
    let fetched = failure(async || fetch(&engine, 1, Use::Repeated).await).await;
    assert_eq!(fetched.kind(), ErrorKind::Loading);
    server.ask(&["REPLICAOF", "NO", "ONE"]).await.expect_ok();
    eventually("a store that is written to", async || engine.probe().await.ok()).await;
    assert_eq!(fetch(&engine, 1, Use::Single).await.unwrap(), Some(record(1).sealed));
}

#[tokio::test]
async fn nobody_there_is_unreachable_and_certain() {
    let Some(redis) = redis() else { return };
    let mut server = redis.start().await;
    server.kill();
    for url in [server.url(), server.socket_url(), "redis://nowhere.invalid".to_owned()] {
        let error = store(&engine(&url), record(1)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unreachable, "{}", everything(&error));
        assert!(error.is_certain());
    }
}

#[tokio::test]
async fn a_server_that_repeats_what_it_did_not_understand_gives_nothing_away() {
    let Some(redis) = redis() else { return };
    // As every server did before its sixth version.
    let server = redis.password(PASSWORD).with("rename-command", "HELLO \"\"").start().await;
    let repeated = server.ask(&["HELLO", "3", "AUTH", "default", PASSWORD]).await;
    let Reply::Error(repeated) = repeated else { panic!("{repeated:?}") };
    assert!(repeated.contains(PASSWORD), "{repeated}");
    let engine = engine(&server.url());
    // The one or other dial may take too long, and be told of as that.
    eventually("words about what it did not understand", async || {
        let error = engine.fetch(&[wanted(1, Use::Single)]).await.unwrap_err();
        let shown = format!("{} {engine:?}", everything(&error));
        assert!(!shown.contains(PASSWORD), "{shown}");
        shown.contains("HELLO").then_some(())
    })
    .await;
}

//! The way to a store through TLS: who it is, is proven.

use portunus_certs::DevelopmentCa;
use portunus_certs::session::engine::{Engine, ErrorKind};
use portunus_certs::session::id::Use;
use portunus_certs::session::redis::{RedisEngine, RedisOptions};
use portunus_tests::authority;
use portunus_tests::redis::redis;
use portunus_tests::wait::eventually;
use rustls::pki_types::UnixTime;

use super::{everything, fetch, record, store};

#[tokio::test]
async fn a_store_is_who_its_certificate_says() {
    let Some(redis) = redis() else { return };
    let server = redis.password("word").start().await;
    let with = |url: &str, ca: String| {
        let options = RedisOptions { ca: Some(ca.into_bytes()), ..RedisOptions::new(url) };
        RedisEngine::new(&options).unwrap()
    };
    // A machine that builds something else besides may take too long for the one or other dial.
    let engine = with(&server.tls_url(), authority().pem());
    eventually("a connection", async || engine.probe().await.ok()).await;
    store(&engine, record(1)).await.unwrap();
    assert_eq!(fetch(&engine, 1, Use::Single).await.unwrap(), Some(record(1).sealed));

    let stranger = DevelopmentCa::new(UnixTime::now()).unwrap().certificate_pem().to_owned();
    let unnamed = server.tls_url().replace("localhost", "[::ffff:127.0.0.1]");
    for (engine, why) in [
        (with(&server.tls_url(), stranger), "UnknownIssuer"),
        (with(&unnamed, authority().pem()), "not valid for name"),
        (with(&server.url().replace("redis:", "rediss:"), authority().pem()), ""),
    ] {
        eventually(why, async || {
            let error = engine.probe().await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unreachable, "{}", everything(&error));
            everything(&error).contains(why).then_some(())
        })
        .await;
    }
}

//! The one cache: shared by all workers, outliving every reload, bounded, and never a weapon.

use std::sync::Arc;

use portunus_tests::{Client, Proxy, authority, echo, tls};
use rustls::client::{ClientSessionMemoryCache, Resumption};

const LOOKUPS: &str = "portunus_resumption_lookups_total";

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_workers_share_one_cache() {
    let proxy = Proxy::builder()
        .listener(tls("app.example"))
        .backend(echo())
        .set("server.workers", "4")
        .start()
        .await;
    let visits: Vec<_> = (0..20)
        .map(|number| {
            let client = proxy.client("app.example");
            let client = if number % 2 == 0 { client.tls12() } else { client };
            tokio::spawn(async move {
                let mut resumed = 0;
                for _ in 0..6 {
                    resumed += u32::from(visit(&client).await);
                }
                resumed
            })
        })
        .collect();
    for visit in visits {
        assert_eq!(visit.await.unwrap(), 5, "each connection but the first is a resumption");
    }
    let hits = [("tier", "memory"), ("result", "hit")];
    assert_eq!(proxy.metric(LOOKUPS, &hits).await, 100.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_hit_rate_survives_reloads() {
    let proxy = Proxy::builder().listener(tls("app.example")).backend(echo()).start().await;
    let clients = [proxy.client("app.example"), proxy.client("app.example").tls12()];
    for client in &clients {
        assert!(!visit(client).await);
    }
    for _ in 0..3 {
        let renewed = authority().issue(&["app.example"]);
        proxy.replace_certificate("app.example", &renewed).await;
        for client in &clients {
            assert!(visit(client).await, "a client that came back after the reload");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_is_too_old_is_not_resumed() {
    let proxy = Proxy::builder()
        .listener(tls("app.example"))
        .backend(echo())
        .set("resumption.lifetime", "\"1s\"")
        .start()
        .await;
    let client = proxy.client("app.example").tls12();
    assert!(!visit(&client).await);
    let expired = [("result", "expired")];
    portunus_tests::wait::eventually("a session that expires", async || {
        (!visit(&client).await).then_some(())
    })
    .await;
    // It may have been swept before it was asked for.
    let missed = [("result", "miss")];
    let count = proxy.metric(LOOKUPS, &expired).await + proxy.metric(LOOKUPS, &missed).await;
    assert!(count >= 1.0, "{count}");
}

#[tokio::test(flavor = "multi_thread")]
async fn hundreds_of_offered_sessions_are_two_lookups_at_most() {
    let proxy = Proxy::builder()
        .listener(tls("app.example"))
        .backend(echo())
        .set("limits.client_hello_size", "\"64 KiB\"")
        .start()
        .await;
    // One that was never here: what it offers is what is put into its hello.
    let client = proxy.client("app.example");
    let before = proxy.metric(LOOKUPS, &[]).await;
    let hello = super::many::with_identities(&client.hello(), 300);
    let mut tcp = client.tcp().await;
    tokio::io::AsyncWriteExt::write_all(&mut tcp, &hello).await.unwrap();
    tokio::io::AsyncWriteExt::shutdown(&mut tcp).await.unwrap();
    crate::handshake::last_words(&mut tcp).await;
    let lookups = proxy.metric(LOOKUPS, &[]).await - before;
    assert!((1.0..=2.0).contains(&lookups), "{lookups} look-ups");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cache_is_bounded_by_bytes() {
    let proxy = Proxy::builder()
        .listener(tls("app.example"))
        .backend(echo())
        .set("resumption.memory", "\"1 MiB\"")
        .start()
        .await;
    let client = proxy.client("app.example").tls12();
    for _ in 0..50 {
        let fresh = Resumption::store(Arc::new(ClientSessionMemoryCache::new(8)));
        assert!(!visit(&client.clone().resumption(fresh)).await);
    }
    assert_eq!(proxy.metric("portunus_sessions", &[]).await, 50.0);
    let bytes = proxy.metric("portunus_session_bytes", &[]).await;
    assert!(bytes > 50.0 * 32.0 && bytes <= f64::from(1 << 20), "{bytes}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_is_served_no_longer_is_not_resumed_either() {
    let proxy = Proxy::builder()
        .listener(tls("app.example").without_sites())
        .certificate("app", &authority().issue(&["app.example"]))
        .certificate("gone", &authority().issue(&["gone.example"]))
        .backend(echo())
        .start()
        .await;
    let clients = [proxy.client("gone.example"), proxy.client("gone.example").tls12()];
    for client in &clients {
        assert!(!visit(client).await);
        assert!(visit(client).await);
    }
    std::fs::remove_file(proxy.folder().join("certs.d/gone.pem")).unwrap();
    portunus_tests::wait::eventually("the end of the name", async || {
        proxy.client("gone.example").try_connect().await.err()
    })
    .await;
    for client in &clients {
        let refused = client.try_connect().await.map(|_| ()).unwrap_err();
        assert!(refused.to_string().contains("UnrecognisedName"), "{refused}");
    }
}

/// One connection with a word on it, so that tickets are read; says whether it was resumed.
async fn visit(client: &Client) -> bool {
    let mut connection = client.connect().await;
    connection.send(b"hello").await;
    connection.expect(b"hello").await;
    connection.resumed()
}

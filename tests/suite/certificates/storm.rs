//! A thousand certificates, one after the other, while handshakes never stop.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use portunus_tests::{Proxy, authority, echo, tls, write_and_rename};

const NAME: &str = "app.example";
const SWAPS: usize = 1_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_thousand_swaps_under_a_stream_of_handshakes_fail_none_and_tear_none() {
    let issued: Vec<_> = (0..100).map(|_| authority().issue(&[NAME])).collect();
    let proxy = Proxy::builder()
        .listener(tls(NAME))
        .certificate("app", &issued[0])
        .backend(echo())
        .set("certificates.settle", "\"0s\"")
        .set("certificates.poll_interval", "\"1h\"")
        .set("log.level", "\"info\"")
        .start()
        .await;
    let over = Arc::new(AtomicBool::new(false));
    let known: Arc<HashSet<_>> = Arc::new(issued.iter().map(|one| one.leaf.clone()).collect());
    let streams: Vec<_> = (0..3)
        .map(|_| {
            let (client, over) = (proxy.client(NAME), Arc::clone(&over));
            let known = Arc::clone(&known);
            tokio::spawn(async move {
                let mut count = 0;
                let mut seen = HashSet::new();
                while !over.load(Ordering::SeqCst) {
                    // A certificate beside another's key would not get through the handshake.
                    let fresh = client.clone().resumption(rustls::client::Resumption::disabled());
                    let leaf = fresh.connect().await.leaf();
                    assert!(known.contains(&leaf), "a certificate that nobody issued");
                    seen.insert(leaf);
                    count += 1;
                }
                (count, seen.len())
            })
        })
        .collect();
    let file = proxy.folder().join("certs.d/app.pem");
    let reads = |proxy: &Proxy| {
        let lines = proxy.process().lines();
        lines.iter().filter(|line| line.says("certificates read", &[])).count()
    };
    for swap in 1..=SWAPS {
        let before = reads(&proxy);
        write_and_rename(&file, &issued[swap % issued.len()].pem());
        let mut found = 0;
        let another = |line: &portunus_tests::Line| {
            found += usize::from(line.says("certificates read", &[]));
            (found > before).then_some(())
        };
        proxy.process().line("another reading", another).await;
    }
    over.store(true, Ordering::SeqCst);
    for stream in streams {
        let (count, seen) = stream.await.unwrap();
        assert!(count > 100 && seen > 10, "{count} handshakes saw {seen} certificates");
    }
    assert_eq!(proxy.metric("portunus_handshake_failures_total", &[]).await, 0.0);
    let changed = [("result", "changed")];
    let changed = proxy.metric("portunus_certificate_reloads_total", &changed).await;
    assert!(changed >= SWAPS as f64, "{changed}");
}

//! Backends that are slow, partly gone, or gone.

use std::time::Duration;

use hyper::Method;
use portunus_tests::{Asker, Ledger, Proxy, Version, https, ledger, raw};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::task::JoinSet;
use tokio::time::{interval, timeout};

use super::{NAME, watch};

/// Asks for something, whatever comes of it.
async fn ask(proxy: &Proxy) {
    if let Ok(mut asker) = proxy.client(NAME).asker(Version::One).await {
        let _ = Asker::ask(&mut asker, Method::GET, "/", &[], "").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_is_gone_is_a_ticket_and_the_last_one_a_page() {
    let (one, two) = (ledger(Version::One).await, ledger(Version::One).await);
    let proxy = Proxy::builder()
        .listener(https(NAME))
        .endpoints("app", &[&one.endpoint(), &two.endpoint()])
        .set("backend.app.health", "{ interval = \"200ms\", timeout = \"2s\", fall = 2 }")
        .start()
        .await;
    let Some(watch) = watch(&proxy).await else { return };
    ask(&proxy).await;
    watch.is_calm().await;
    one.kill();
    let ticket = watch.fires_amid("PortunusEndpointDown", async || ask(&proxy).await).await;
    assert_eq!(ticket.labels["backend"], "app");
    let firing = watch.firing().await;
    assert!(!firing.contains("PortunusBackendDown") && !firing.contains("PortunusServerErrors"));
    two.kill();
    watch.fires("PortunusBackendDown").await;
    let errors = watch.fires_amid("PortunusServerErrors", async || ask(&proxy).await).await;
    assert_eq!(errors.labels["listener"], "https");
    for endpoint in [&one, &two] {
        Ledger::revive(endpoint).await;
    }
    watch.is_over("PortunusBackendDown").await;
    watch.is_over("PortunusEndpointDown").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_only_endpoint_is_told_of_when_it_refuses_connections() {
    let only = ledger(Version::One).await;
    let proxy = Proxy::builder().listener(https(NAME)).endpoints("app", &[&only.endpoint()]);
    let proxy = proxy.start().await;
    let Some(watch) = watch(&proxy).await else { return };
    watch.is_calm().await;
    only.kill();
    let down = watch.fires_amid("PortunusBackendDown", async || ask(&proxy).await).await;
    assert_eq!(down.labels["severity"], "page");
    watch.fires_amid("PortunusBackendFailing", async || ask(&proxy).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_that_takes_its_time_is_told_of() {
    let slow = raw(|mut stream, _| async move {
        let mut head = [0; 4096];
        while let Ok(1..) = stream.read(&mut head).await {
            // It thinks for longer than anybody should.
            let _ = timeout(Duration::from_secs(3), std::future::pending::<()>()).await;
            let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
            let _ = stream.write_all(answer).await;
        }
    });
    let proxy = Proxy::builder().listener(https(NAME)).backend(&slow).start().await;
    let Some(watch) = watch(&proxy).await else { return };
    let mut asking = JoinSet::new();
    // One after the other, so that answers come all the time.
    let mut beats = interval(Duration::from_millis(300));
    for _ in 0..10 {
        let mut asker = proxy.client(NAME).asker(Version::One).await.unwrap();
        asking.spawn(async move { while asker.ask(Method::GET, "/", &[], "").await.is_ok() {} });
        beats.tick().await;
    }
    let told = watch.fires("PortunusBackendSlow").await;
    assert_eq!(told.labels["backend"], "app");
}

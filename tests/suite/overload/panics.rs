//! A bug of ours in one connection costs that connection.

use std::io::ErrorKind;

use portunus_tests::wait::eventually;
use portunus_tests::{Proxy, echo, tls};

use super::NAME;

const PANICKED: &str = "a bug: a task panicked, its connection is reset";

async fn faulty() -> Proxy {
    let proxy = Proxy::builder().listener(tls(NAME)).backend(echo());
    proxy.under(&["env", "PORTUNUS_FAULTS=1"]).start().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_resets_its_connection_and_no_other_and_tells_its_place_without_words() {
    let proxy = faulty().await;
    let client = proxy.client(NAME);
    let mut other = client.connect().await;
    let hit = client.clone().asking_for("panic.fault.invalid").try_connect().await;
    assert_eq!(hit.unwrap_err().kind(), ErrorKind::ConnectionReset);
    proxy.wait_for_metric("portunus_panics_total", &[], |count| count == 1.0).await;
    let closed = "portunus_connections_closed_total";
    proxy.wait_for_metric(closed, &[("reason", "internal")], |count| count == 1.0).await;
    proxy.wait_for_metric("portunus_handshakes_pending", &[], |count| count == 0.0).await;
    let line = proxy.wait_for_log(PANICKED, &[("level", "ERROR")]).await;
    assert!(line.field("place").contains("fault.rs:"), "{}", line.text());
    assert!(line.field("frames").contains("portunus::handshake::establish"), "{}", line.text());
    other.send(b"hello").await;
    other.expect(b"hello").await;
    client.connect().await;
    let said = proxy.process().text().join("\n");
    assert!(!said.contains("which no log may repeat"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn panics_that_do_not_stop_send_new_clients_elsewhere() {
    let proxy = faulty().await;
    let client = proxy.client(NAME);
    let hit = client.clone().asking_for("panic.fault.invalid");
    for _ in 0..9 {
        hit.try_connect().await.unwrap_err();
    }
    proxy.wait_for_metric("portunus_panics_total", &[], |count| count == 9.0).await;
    assert_eq!(proxy.admin("/readyz").await.status, 200);
    hit.try_connect().await.unwrap_err();
    eventually("the end of readiness", async || {
        (proxy.admin("/readyz").await.status == 503).then_some(())
    })
    .await;
    assert_eq!(proxy.admin("/livez").await.status, 200);
    client.connect().await;
    let of_panics = eventually("a line for each", async || {
        let lines = proxy.process().lines().into_iter();
        let of_panics: Vec<_> = lines.filter(|line| line.says(PANICKED, &[])).collect();
        (of_panics.len() >= 10).then_some(of_panics)
    });
    let of_panics = of_panics.await;
    assert_eq!(of_panics.len(), 10);
    let with_frames = of_panics.iter().filter(|line| !line.field("frames").is_empty()).count();
    assert_eq!(with_frames, 1, "whoever causes panics does not have frames looked up each time");
}

//! Too little of something: descriptors, slots. It is said, it is survived, and it passes.

use std::time::Duration;

use portunus_tests::wait::eventually;
use portunus_tests::{Proxy, echo, tls};
use tokio::net::TcpStream;
use tokio::time::timeout;

const NAME: &str = "app.example";

#[tokio::test(flavor = "multi_thread")]
async fn a_process_without_descriptors_recovers_by_itself() {
    let proxy = Proxy::builder()
        .listener(tls(NAME))
        .backend(echo())
        .set("server.max_connections", "1000")
        .set("limits.handshakes_per_source", "1000")
        .set("limits.client_hello_timeout", "\"60s\"")
        .set("limits.handshake_timeout", "\"60s\"")
        .open_files(64)
        .start()
        .await;
    let client = proxy.client(NAME);
    let mut held = Vec::new();
    for _ in 0..100 {
        // Some are turned away.
        held.extend(TcpStream::connect(proxy.first_address()).await);
    }
    proxy.wait_for_log("cannot accept connections", &[("listener", "tls")]).await;
    drop(held);
    let mut client = eventually("service again", async || client.try_connect().await.ok()).await;
    client.send(b"hello").await;
    client.expect(b"hello").await;
    let hits = [("limit", "descriptors")];
    proxy.wait_for_metric("portunus_limit_hits_total", &hits, |count| count >= 1.0).await;
    let said = proxy.process().lines();
    let said = said.iter().filter(|line| line.says("cannot accept connections", &[])).count();
    assert!(said <= 4, "said {said} times what one line says");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_beyond_the_cap_waits_and_is_served_when_there_is_room() {
    let proxy = Proxy::builder()
        .listener(tls(NAME))
        .backend(echo())
        .set("server.max_connections", "3")
        .start()
        .await;
    let client = proxy.client(NAME);
    let mut held = Vec::new();
    for _ in 0..3 {
        let mut one = client.connect().await;
        one.send(b"hello").await;
        one.expect(b"hello").await;
        held.push(one);
    }
    let hits = [("limit", "connections")];
    proxy.wait_for_metric("portunus_limit_hits_total", &hits, |count| count >= 1.0).await;
    // The kernel takes the connection; nobody answers to it.
    let mut waiting = client.open().await;
    timeout(Duration::from_millis(300), waiting.handshake()).await.unwrap_err();
    assert_eq!(proxy.metric("portunus_connections_active", &[]).await, 3.0);
    held.pop();
    waiting.handshake().await.unwrap();
    waiting.send(b"hello").await;
    waiting.expect(b"hello").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hundreds_of_connections_come_and_go_and_leave_nothing() {
    let proxy = Proxy::builder().listener(tls(NAME)).backend(echo()).start().await;
    let open_files = || {
        let folder = format!("/proc/{}/fd", proxy.process().id());
        std::fs::read_dir(folder).map_or(0, Iterator::count)
    };
    let client = proxy.client(NAME);
    client.connect().await;
    proxy.wait_for_metric("portunus_connections_active", &[], |count| count == 0.0).await;
    let before = open_files();
    for round in 0..300 {
        match round % 3 {
            0 => drop(TcpStream::connect(proxy.first_address()).await.unwrap()),
            1 => client.connect().await.reset(),
            _ => {
                let mut client = client.connect().await;
                client.send(b"hello").await;
                client.expect(b"hello").await;
                client.close_notify().await;
                client.receive_all().await.unwrap();
            }
        }
    }
    proxy.wait_for_metric("portunus_connections_total", &[], |count| count == 301.0).await;
    proxy.wait_for_metric("portunus_connections_active", &[], |count| count == 0.0).await;
    proxy.wait_for_metric("portunus_connections_closed_total", &[], |n| n == 301.0).await;
    // A scrape may hold one more of its own.
    eventually("the descriptors of before", async || (open_files() <= before + 1).then_some(()))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_small_cap_starves_no_listener() {
    let proxy = Proxy::builder()
        .listener(tls(NAME))
        .listener(tls(NAME).named("other"))
        .backend(echo())
        .set("server.max_connections", "1")
        .start()
        .await;
    for listener in ["tls", "other", "tls", "tls", "other", "other"] {
        let mut client = proxy.client(NAME).at(proxy.address(listener)).connect().await;
        client.send(b"hello").await;
        client.expect(b"hello").await;
        drop(client);
        proxy.wait_for_metric("portunus_connections_active", &[], |count| count == 0.0).await;
    }
}

//! Limits that come near, and limits that say no.

use std::time::Duration;

use portunus_tests::wait::within;
use portunus_tests::{Builder, Client, Proxy, Tls, echo, tls};
use tokio::task::JoinSet;
use tokio::time::{interval, timeout};

use super::{NAME, watch};

fn builder() -> Builder {
    Proxy::builder()
        .listener(tls(NAME))
        .backend(echo())
        .set("limits.client_hello_timeout", "\"600s\"")
        .set("limits.handshake_timeout", "\"600s\"")
        .set("limits.handshakes_per_source", "10000")
}

async fn hold(client: &Client, count: usize) -> Vec<Tls> {
    let mut held = Vec::new();
    for _ in 0..count {
        held.push(client.connect().await);
    }
    held
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_are_told_of_before_there_are_none_left_and_when() {
    let proxy = builder().set("server.max_connections", "20").start().await;
    let Some(watch) = watch(&proxy).await else { return };
    watch.is_calm().await;
    let client = proxy.client(NAME);
    let mut held = hold(&client, 17).await;
    watch.fires("PortunusConnectionsNearLimit").await;
    watch.tells_of(&["PortunusConnectionsNearLimit"]).await;
    held.extend(hold(&client, 3).await);
    watch.fires("PortunusConnectionsExhausted").await;
    watch.fires("PortunusLimitReached").await;
    drop(held);
    watch.is_over("PortunusConnectionsExhausted").await;
    watch.is_over("PortunusConnectionsNearLimit").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_to_a_backend_are_told_of_before_there_are_none_left_and_when() {
    let proxy = builder()
        .set("backend.app.max_connections", "10")
        .set("limits.connect_timeout", "\"300ms\"")
        .start()
        .await;
    let Some(watch) = watch(&proxy).await else { return };
    watch.is_calm().await;
    let client = proxy.client(NAME);
    let mut held = Vec::new();
    for mut tls in hold(&client, 9).await {
        tls.send(b"hello").await;
        tls.expect(b"hello").await;
        held.push(tls);
    }
    let near = watch.fires("PortunusBackendNearLimit").await;
    assert_eq!(near.labels["backend"], "app");
    held.extend(hold(&client, 1).await);
    let call = async || drop(client.try_connect().await);
    watch.fires_amid("PortunusBackendFull", call).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn handshakes_that_do_not_go_on_are_told_of_and_so_are_those_that_are_shed() {
    let proxy = builder().set("limits.handshakes", "10").start().await;
    let Some(watch) = watch(&proxy).await else { return };
    watch.is_calm().await;
    let client = proxy.client(NAME);
    let mut held = proxy.hold_handshakes(&client, 9).await;
    watch.fires("PortunusHandshakesNearLimit").await;
    held.extend(proxy.hold_handshakes(&client, 1).await);
    let call = async || drop(client.try_connect().await);
    let page = watch.fires_amid("PortunusHandshakesShed", call).await;
    assert_eq!(page.labels["limit"], "handshakes");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_is_held_back_is_told_of() {
    let proxy = builder().set("limits.handshakes_per_source", "2").start().await;
    let Some(watch) = watch(&proxy).await else { return };
    watch.is_calm().await;
    let client = proxy.client(NAME);
    let _held = proxy.hold_handshakes(&client, 2).await;
    let call = async || drop(client.try_connect().await);
    let ticket = watch.fires_amid("PortunusSourcesLimited", call).await;
    assert_eq!(ticket.labels["limit"], "handshakes_per_source");
}

#[tokio::test(flavor = "multi_thread")]
async fn descriptors_are_told_of_before_there_are_none_left() {
    let proxy = builder().set("server.max_connections", "1000").open_files(128).start().await;
    let Some(watch) = watch(&proxy).await else { return };
    watch.is_calm().await;
    let free = proxy.metric("process_max_fds", &[]).await - proxy.metric(OPEN, &[]).await;
    // Some are left for the admin listener.
    let _held = proxy.hold_handshakes(&proxy.client(NAME), free as usize - 12).await;
    watch.fires("PortunusDescriptorsNearLimit").await;
}

const OPEN: &str = "process_open_fds";

#[tokio::test(flavor = "multi_thread")]
async fn sessions_that_make_room_for_others_are_told_of() {
    let proxy = builder().set("resumption.memory", "\"1 MiB\"").start().await;
    let Some(watch) = watch(&proxy).await else { return };
    let client = proxy.client(NAME);
    // Each of them begins anew, and many at once fill the room in time.
    let visit = async || {
        let mut visits = JoinSet::new();
        for _ in 0..64 {
            let client = client.clone().tls12();
            visits.spawn(async move { drop(client.connect().await) });
        }
        visits.join_all().await;
    };
    watch.fires_amid("PortunusSessionsEvicted", visit).await;
}

/// A proxy that may have so many bytes of memory.
async fn limited(bytes: f64) -> Proxy {
    builder().set("server.memory_max", &format!("\"{bytes:.0} B\"")).start().await
}

/// What memory it says to use, once it has weighed itself again.
async fn used(proxy: &Proxy) -> f64 {
    let mut looks = interval(Duration::from_millis(600));
    looks.tick().await;
    looks.tick().await;
    proxy.metric("portunus_memory_used_bytes", &[]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_is_told_of_before_it_is_short_and_when() {
    let probe = limited(4e9).await;
    let idle = used(&probe).await;
    let held = hold(&probe.client(NAME), CROWD).await;
    let busy = used(&probe).await;
    drop((held, probe));

    // Once memory runs short, some of it is given back.
    let proxy = limited(idle / 0.9).await;
    let Some(watched) = watch(&proxy).await else { return };
    watched.fires("PortunusMemoryNearLimit").await;

    // A tenth of it is a reserve.
    let proxy = limited(busy / 0.9 / 0.94).await;
    let Some(watched) = watch(&proxy).await else { return };
    let client = proxy.client(NAME);
    let mut held = Vec::new();
    let mut press = async || {
        // Who comes too late waits until there is memory again.
        if let Ok(Ok(one)) = timeout(Duration::from_secs(2), client.try_connect()).await {
            held.push(one);
        }
        assert!(held.len() < 6 * CROWD, "memory does not get short");
    };
    within("memory to be short", async {
        while proxy.metric("portunus_memory_pressure", &[]).await < 2.0 {
            press().await;
        }
    })
    .await;
    // What can be given up for it was enough at times, and is not for ever.
    watched.fires_amid("PortunusMemoryShort", press).await;
}

/// Connections that take memory.
const CROWD: usize = 200;

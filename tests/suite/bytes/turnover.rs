//! Many connections, made and left in every way there is: nothing of them stays.
//!
//! `PORTUNUS_TEST_TURNOVER` says how many.

use std::sync::Arc;

use portunus_tests::wait::{eventually, within};
use portunus_tests::{Proxy, echo, tls};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::NAME;

const FAR: &str = "far.example";

#[tokio::test(flavor = "multi_thread")]
async fn what_connections_used_is_free_again_when_they_are_gone() {
    let far = Proxy::builder().listener(tls(FAR)).backend(echo()).start().await;
    let proxy = Proxy::builder()
        .listener(
            tls(NAME)
                .site_with(FAR, "far", "passthrough = true")
                // What is kept on purpose would look like what is lost.
                .with("resumption", "\"off\""),
        )
        .listener(tls(FAR).without_sites().named("clear").with("clear", "true"))
        .endpoints("app", &[&far.first_address().to_string()])
        .endpoints("far", &[&far.first_address().to_string()])
        .set("backend.app.tls.ca", &format!("{:?}", far.ca()))
        .set("backend.app.tls.server_name", &format!("{FAR:?}"))
        .start()
        .await;
    let proxy = Arc::new(proxy);
    let count = turnover();
    // What is allocated once and kept is there before it is counted.
    turn_over(&proxy, count.min(2000)).await;
    let before = use_of(&proxy).await;
    turn_over(&proxy, count).await;
    eventually("what was used before", async || {
        let now = use_of(&proxy).await;
        let is_back = now.tasks <= before.tasks && now.descriptors <= before.descriptors + 1;
        (is_back && now.resident_kib <= before.resident_kib + SLACK_KIB).then_some(())
    })
    .await;
    let gauges = ["portunus_connections_active", "portunus_handshakes_pending"];
    for gauge in gauges.into_iter().chain(["portunus_backend_connections_active"]) {
        proxy.wait_for_metric(gauge, &[], |count| count == 0.0).await;
    }
}

fn turnover() -> usize {
    std::env::var("PORTUNUS_TEST_TURNOVER").map_or(400, |text| text.parse().expect("a number"))
}

/// What the process has.
#[derive(Debug)]
struct Use {
    tasks: f64,
    descriptors: usize,
    resident_kib: u64,
}

/// What the process has when no connection is open.
async fn use_of(proxy: &Proxy) -> Use {
    let active = "portunus_connections_active";
    proxy.wait_for_metric(active, &[], |count| count == 0.0).await;
    let proc = format!("/proc/{}", proxy.process().id());
    let status = std::fs::read_to_string(format!("{proc}/status")).unwrap();
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    Use {
        tasks: proxy.metric("portunus_tasks", &[]).await,
        descriptors: std::fs::read_dir(format!("{proc}/fd")).unwrap().count(),
        resident_kib: resident.trim().trim_end_matches(" kB").parse().unwrap(),
    }
}

/// Makes and leaves `count` connections, a few at a time.
async fn turn_over(proxy: &Arc<Proxy>, count: usize) {
    let mut visits = JoinSet::new();
    for number in 0..count {
        if visits.len() >= AT_ONCE {
            visits.join_next().await.unwrap().unwrap();
        }
        let proxy = Arc::clone(proxy);
        visits.spawn(async move { visit(&proxy, number).await });
    }
    while let Some(visit) = visits.join_next().await {
        visit.unwrap();
    }
}

/// One connection, which ends in one of the ways there are.
async fn visit(proxy: &Proxy, number: usize) {
    let (here, passed) = (proxy.client(NAME), proxy.client(FAR));
    match number % 10 {
        0 => drop(here.tcp().await),
        1 => here.tcp().await.write_all(&here.hello()[..100]).await.unwrap(),
        2 => drop(proxy.client("other.example").try_connect().await.unwrap_err()),
        3 => here.connect().await.reset(),
        4 => drop(passed.connect().await),
        5 => passed.connect().await.reset(),
        6 => {
            let clear = TcpStream::connect(proxy.address("clear")).await.unwrap();
            drop(clear);
        }
        7 => {
            let mut clear = TcpStream::connect(proxy.address("clear")).await.unwrap();
            clear.write_all(b"hello").await.unwrap();
            clear.shutdown().await.unwrap();
            let mut all = Vec::new();
            within("hello", clear.read_to_end(&mut all)).await.unwrap();
            assert_eq!(all, b"hello");
        }
        way => {
            let mut client = if way == 8 { here } else { passed }.connect().await;
            client.send(b"hello").await;
            client.expect(b"hello").await;
            client.close_notify().await;
            assert_eq!(client.receive_all().await.unwrap(), b"");
        }
    }
}

/// Fewer than one source may have in their handshakes.
const AT_ONCE: usize = 24;

/// What an allocator may keep for itself; a few hundred bytes of each of 50,000 connections are
/// more.
const SLACK_KIB: u64 = 8 << 10;

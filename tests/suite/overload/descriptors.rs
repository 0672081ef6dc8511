//! Without descriptors for a while: what is open goes on, the process is calm, and it passes.

use std::time::Duration;

use portunus_tests::wait::{best_of, eventually};
use portunus_tests::{Proxy, echo, tls};
use tokio::net::TcpStream;
use tokio::time::{Instant, interval};

use super::{NAME, seconds, timed};

/// How long there are none; `PORTUNUS_TEST_SCARCITY=60` is the full minute.
const SCARCITY: &str = "PORTUNUS_TEST_SCARCITY";

/// The CPU time of a process, in seconds.
fn cpu_seconds(process: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    let fields: Vec<_> = stat.rsplit_once(')').unwrap().1.split_ascii_whitespace().collect();
    let ticks = |place: usize| fields[place].parse::<f64>().unwrap();
    (ticks(11) + ticks(12)) / 100.0
}

#[tokio::test(flavor = "multi_thread")]
async fn a_while_without_descriptors_is_calm_and_service_is_back_within_two_seconds() {
    best_of(3, async || {
        let took = Box::pin(back_after_scarcity()).await;
        assert!(took < Duration::from_secs(20), "{took:?}");
        (took < Duration::from_secs(2)).then_some(()).ok_or_else(|| format!("back after {took:?}"))
    })
    .await;
}

/// How long it takes until service is back behind a while without descriptors.
async fn back_after_scarcity() -> Duration {
    let length = seconds(SCARCITY, 4);
    let proxy = Proxy::builder()
        .listener(tls(NAME))
        .backend(echo())
        .set("server.max_connections", "1000")
        .set("limits.handshakes_per_source", "1000")
        .set("limits.client_hello_timeout", "\"600s\"")
        .set("limits.handshake_timeout", "\"600s\"")
        .open_files(64)
        .start()
        .await;
    let client = proxy.client(NAME);
    let mut established = client.connect().await;
    established.send(b"hello").await;
    established.expect(b"hello").await;
    let mut held = Vec::new();
    for _ in 0..100 {
        // Some are turned away.
        held.extend(TcpStream::connect(proxy.first_address()).await);
    }
    proxy.wait_for_log("cannot accept connections", &[("listener", "tls")]).await;
    let (start, before) = (Instant::now(), cpu_seconds(proxy.process().id()));
    let mut beats = interval(Duration::from_millis(200));
    while start.elapsed() < length {
        beats.tick().await;
        established.send(b"hello").await;
        established.expect(b"hello").await;
    }
    let share = (cpu_seconds(proxy.process().id()) - before) / start.elapsed().as_secs_f64();
    drop(held);
    let again = eventually("service again", async || client.try_connect().await.ok());
    let (took, mut again) = timed(again).await;
    println!(
        "{length:?} without descriptors: {:.1} % of a CPU, back after {took:?}",
        share * 100.0
    );
    assert!(share < 0.25, "{share}");
    again.send(b"hello").await;
    again.expect(b"hello").await;
    for _ in 0..20 {
        client.connect().await;
    }
    took
}

//! Workers that get nowhere: seen, told of, and in the end a reason to start anew.

use std::time::Duration;

use portunus_tests::wait::{best_of, eventually};
use portunus_tests::{Builder, Client, Proxy, echo, tls};
use tokio::time::{Instant, timeout};

use super::{becomes_unavailable, counts};

const NAME: &str = "app.example";

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_spins_or_blocks_is_told_of_and_ends_the_process() {
    // One that spins is judged by the time that it ran, which may be little on a busy machine.
    for (fault, workers, limit) in [("block", "2", "5s"), ("spin", "2", "3s"), ("block", "1", "5s")]
    {
        best_of(3, async || {
            let proxy = service(limit).set("server.workers", workers).start().await;
            ends_of(fault, proxy).await
        })
        .await;
    }
}

/// Sees a worker that does what `fault` says told of, and the process end of it; an error is that
/// the one came so late, or the other so soon, that there was no time to see it.
async fn ends_of(fault: &str, proxy: Proxy) -> Result<(), String> {
    let asked = Instant::now();
    let stuck = hold_up(&proxy, fault);
    let line = proxy.wait_for_log("a worker has stalled", &[]).await;
    let told = asked.elapsed();
    assert_ne!(line.field("place"), "");
    let mut seen = becomes_unavailable(&proxy, "/livez").await;
    if seen.is_ok() {
        seen = counts(&proxy, "portunus_worker_stalls_total 1").await;
    }
    let exit = proxy.exit().await;
    // By the signal of abort(3).
    assert_eq!(exit.code, None, "{fault}: {:?}", exit.log);
    let last = exit.log.iter().any(|line| line.contains("has stalled for good: aborting"));
    assert!(last, "{fault}: {:?}", exit.log);
    stuck.abort();
    if fault == "block" && told >= Duration::from_secs(5) {
        return Err(format!("told after {told:?}"));
    }
    seen
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_limit_a_worker_is_waited_for() {
    let proxy = service("0s").start().await;
    let stuck = hold_up(&proxy, "block");
    // The other worker serves on, but for what the one that is stuck was about to begin with.
    let client = proxy.client(NAME);
    let attempt = async || {
        let attempt = timeout(Duration::from_secs(2), client.try_connect());
        attempt.await.ok().and_then(Result::ok)
    };
    eventually("service by the other worker", attempt).await;
    assert_eq!(proxy.metric("portunus_worker_stalls_total", &[]).await, 0.0);
    assert_eq!(proxy.admin("/livez").await.status, 200);
    stuck.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_was_stopped_for_longer_than_the_limit_goes_on() {
    let proxy = service("2s").start().await;
    let mut client = proxy.client(NAME).connect().await;
    for _ in 0..2 {
        client.send(b"hello").await;
        proxy.process().signal("STOP");
        stopped(proxy.process().id()).await;
        let answer = timeout(Duration::from_secs(3), proxy.admin("/livez"));
        answer.await.expect_err("who is stopped answers nothing");
        proxy.process().signal("CONT");
        client.expect(b"hello").await;
    }
    assert_eq!(proxy.metric("portunus_worker_stalls_total", &[]).await, 0.0);
    assert_eq!(proxy.admin("/livez").await.status, 200);
    client.close_notify().await;
    client.receive_all().await.unwrap();
    assert_eq!(proxy.drain().await.code, Some(0));
}

/// Waits until every thread of the process has stopped: they do so one after the other, and any of
/// them may answer until then.
async fn stopped(id: u32) {
    eventually("every thread to stop", async || {
        let tasks = std::fs::read_dir(format!("/proc/{id}/task")).unwrap();
        let is_stopped = |task: std::io::Result<std::fs::DirEntry>| {
            let stat = std::fs::read_to_string(task.unwrap().path().join("stat")).unwrap();
            // Its name comes first, in parentheses, and may hold anything.
            stat.rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with('T'))
        };
        tasks.map(is_stopped).fold(true, std::ops::BitAnd::bitand).then_some(())
    })
    .await;
}

fn service(limit: &str) -> Builder {
    Proxy::builder()
        .listener(tls(NAME))
        .backend(echo())
        .set("server.watchdog", &format!("\"{limit}\""))
        .under(&["env", "PORTUNUS_FAULTS=1"])
}

/// Has a worker do what `fault` says, for longer than any of these tests.
fn hold_up(proxy: &Proxy, fault: &str) -> tokio::task::JoinHandle<()> {
    let client = Client::new(proxy.first_address(), &format!("{fault}.fault.invalid"));
    tokio::spawn(async move { drop(client.try_connect().await) })
}

//! A thousand SIGHUPs a second: as few readings as before, none beside another, the last one right.

use std::process::Command;
use std::time::{Duration, Instant};

use portunus_tests::wait::eventually;
use portunus_tests::{Line, Proxy, authority, echo, tls, write_and_rename};

use super::becomes;

const NAME: &str = "app.example";
const BATCHES: usize = 100;
const BATCH: usize = 20;

#[tokio::test(flavor = "multi_thread")]
async fn a_storm_of_hang_ups_is_one_reading_a_second_and_the_last_state_wins() {
    let issued: Vec<_> = (0..BATCHES).map(|_| authority().issue(&[NAME])).collect();
    let proxy = Proxy::builder()
        .listener(tls(NAME))
        .certificate("app", &issued[0])
        .backend(echo())
        .set("certificates.settle", "\"500ms\"")
        .set("certificates.poll_interval", "\"1h\"")
        .start()
        .await;
    proxy.reload().await;
    let memory = "process_resident_memory_bytes";
    let before = proxy.metric(memory, &[]).await;
    let quiet = readings(&proxy).len();
    // The shell's `kill` is built in, so this many of them cost next to nothing.
    let batch = format!("kill -HUP {0};", proxy.process().id()).repeat(BATCH);
    let begin = Instant::now();
    let mut clock = tokio::time::interval(Duration::from_millis(20));
    for new in &issued {
        clock.tick().await;
        write_and_rename(&proxy.folder().join("certs.d/app.pem"), &new.pem());
        let sent = Command::new("sh").args(["-c", &batch]).status().unwrap();
        assert!(sent.success(), "{sent}");
    }
    becomes(&proxy, NAME, &issued[BATCHES - 1].leaf).await;
    // A line is written a moment after what it tells of.
    let during = eventually("the reading to be told", async || {
        let during = readings(&proxy).split_off(quiet);
        (!during.is_empty()).then_some(during)
    })
    .await;
    let most = begin.elapsed().as_secs_f64() + 2.0;
    assert!(during.len() as f64 <= most, "{} readings: {during:?}", during.len());
    for gap in Line::gaps(&during) {
        assert!(gap > 0.9, "{gap} s from one reading to the next: {during:?}");
    }
    let grown = proxy.metric(memory, &[]).await - before;
    assert!(grown < 8.0 * 1024.0 * 1024.0, "{grown} bytes more than before the storm");
}

fn readings(proxy: &Proxy) -> Vec<Line> {
    let lines = proxy.process().lines();
    lines.into_iter().filter(|line| line.says("certificates read", &[])).collect()
}

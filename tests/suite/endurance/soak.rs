//! Everything at once and for long: churn, reloads, services that are rolled out anew.
//!
//! `PORTUNUS_TEST_SOAK=3600` for an hour, in seconds.

use std::time::Duration;

use portunus_tests::traffic::{Road, Traffic, bytes, pages, road_builder};
use portunus_tests::{Proxy, authority, write_and_rename};
use tokio::time::Instant;

use super::{NAME, Size, often};

/// So many rounds have a second quarter in which everything has its room.
const ROUNDS_MIN: usize = 6;

#[tokio::test(flavor = "multi_thread")]
async fn a_soak_fails_no_request_and_leaves_memory_flat() {
    let (first, second, bytes) = (pages().await, pages().await, bytes().await);
    let endpoints = [&first, &second].map(|pages| pages.endpoint());
    let issued: Vec<_> = (0..20).map(|_| authority().issue(&[NAME])).collect();
    let builder = |number: usize| {
        let timeout = format!("\"{}s\"", 60 + number % 2);
        road_builder(NAME, &[&endpoints[0], &endpoints[1]], &[&bytes.endpoint()])
            .certificate("app", &issued[0])
            .set("certificates.settle", "\"0s\"")
            .set("limits.http.keepalive_timeout", &timeout)
            // What is kept to services is gone soon after the traffic.
            .set("limits.http.pool_idle_timeout", "\"10s\"")
            // A session of TLS 1.2 is used for as long as the soak lasts.
            .set("resumption.lifetime", "\"24h\"")
            .taking_orders()
    };
    let proxy = builder(0).start().await;
    let road = Road::to(&proxy, NAME).lasting(Duration::from_secs(5));
    let traffic = Traffic::of_all(road);
    let end = Instant::now() + Duration::from_secs(often("PORTUNUS_TEST_SOAK", 8) as u64);
    let mut sizes = Vec::new();
    for number in 1.. {
        let service = [&first, &second][number % 2];
        let endpoint = [("endpoint", &*endpoints[number % 2])];
        service.leave();
        traffic.round().await;
        service.come_back().await;
        proxy.wait_for_metric("portunus_endpoint_up", &endpoint, |up| up == 1.0).await;
        write_and_rename(
            &proxy.folder().join("certs.d/app.pem"),
            &issued[number % issued.len()].pem(),
        );
        write_and_rename(&proxy.folder().join("config.toml"), &builder(number).toml());
        let (status, told) = proxy.order("/reload").await;
        assert_eq!(status, 200, "{told}");
        traffic.round().await;
        let so_far = traffic.so_far();
        assert_eq!(so_far.failed, 0, "round {number}: {so_far}");
        sizes.push(Size::of(&proxy).await);
        // On a machine that is busy, the first rounds are not early but cold.
        if Instant::now() > end && number >= ROUNDS_MIN {
            break;
        }
    }
    let tally = traffic.end().await;
    tally.expect_flawless();
    let quarter = sizes.len() / 4;
    let (early, late) = (median(&sizes[quarter..2 * quarter + 1]), median(&sizes[3 * quarter..]));
    eprintln!("{tally}early {early:?}\nlate  {late:?}");
    if !late.is_no_more_than(early) {
        Size::comes_back(&proxy, early).await;
    }
    said_nothing_bad(&proxy);
}

/// The middle of each count by itself.
fn median(sizes: &[Size]) -> Size {
    let middle = |count: fn(&Size) -> f64| {
        let mut counts: Vec<_> = sizes.iter().map(count).collect();
        counts.sort_by(f64::total_cmp);
        counts[counts.len() / 2]
    };
    Size { memory: middle(|size| size.memory), files: middle(|size| size.files) }
}

/// No line asks for somebody to act.
fn said_nothing_bad(proxy: &Proxy) {
    let bad = proxy.process().lines().into_iter().find(|line| line.field("level") == "ERROR");
    assert!(bad.is_none(), "{bad:?}");
}

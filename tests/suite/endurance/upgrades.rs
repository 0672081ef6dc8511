//! Upgrade after upgrade of the binary, with sessions kept here and with those that clients carry.
//!
//! `PORTUNUS_TEST_UPGRADES=100` for as many as have to be a matter of course.

use std::time::Duration;

use portunus_tests::traffic::{Road, Traffic};
use portunus_tests::wait::eventually;
use portunus_tests::{Builder, Proxy};

use super::{NAME, Services, Size, often};

#[tokio::test(flavor = "multi_thread")]
async fn upgrades_disturb_nobody() {
    over(Services::begin().await, &|builder| builder).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_that_clients_carry_are_taken_up_across_upgrades() {
    let carried = |builder: Builder| builder.set("resumption.mode", "\"tickets\"");
    over(Services::begin().await, &carried).await;
}

/// Upgrades a proxy under traffic.
async fn over(services: Services, change: &dyn Fn(Builder) -> Builder) {
    let builder = change(services.builder().taking_orders());
    // The new process is believed sooner than it would be.
    let proxy = builder.under(&["env", "PORTUNUS_UPGRADE_WATCH_MS=300"]).start().await;
    // The first is as fresh as the ones that follow.
    upgrade(&proxy).await;
    let before = Size::after_traffic(&proxy).await;
    // A conversation that never ends would be ended by the fifth process that comes after its own.
    let road = Road::to(&proxy, NAME).lasting(Duration::from_secs(1));
    let traffic = Traffic::of_all(road);
    traffic.round().await;
    for number in 1..=often("PORTUNUS_TEST_UPGRADES", 5) {
        upgrade(&proxy).await;
        traffic.round().await;
        let so_far = traffic.so_far();
        assert_eq!(so_far.failed, 0, "upgrade {number}: {so_far}");
        is_alone(&proxy).await;
    }
    let tally = traffic.end().await;
    tally.expect_flawless();
    let after = Size::after_traffic(&proxy).await;
    eprintln!("{tally}before {before:?}\nafter  {after:?}");
    Size::comes_back(&proxy, before).await;
    let first = proxy.process().exited().expect("the first process has ended");
    assert_eq!(first.code(), Some(0), "the first process has finished everything");
}

/// Has a new process take over, which has to be another one.
async fn upgrade(proxy: &Proxy) {
    let before = proxy.generations();
    let (status, told) = proxy.order("/upgrade").await;
    assert_eq!(status, 200, "{told}");
    let after = proxy.generations();
    let is_new = after.last().is_some_and(|id| !before.contains(id));
    assert!(is_new, "{before:?}, then {after:?}: {told}");
    let ready = async || (proxy.admin("/readyz").await.status == 200).then_some(());
    eventually("the new process to be ready", ready).await;
}

/// Waits until nobody drains any more.
async fn is_alone(proxy: &Proxy) {
    eventually("the end of those of before", async || {
        (proxy.generations().len() == 1).then_some(())
    })
    .await;
}

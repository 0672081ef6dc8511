//! What changes by itself: certificates that become valid, and those that cease to be.
//!
//! The poll is an hour away throughout, so whatever happens, happens because its moment has come.

use std::ops::RangeInclusive;

use portunus_tests::wait::eventually;
use portunus_tests::{
    Builder, Credential, Key, Proxy, authority, echo, now, tls, write_and_rename,
};

use super::{becomes, served};

const NAME: &str = "www.app.example";
const FAR: i64 = 86_400;
const END: &str = "portunus_certificate_not_after_seconds{";

/// Long enough for the proxy to start and for the test to look, in seconds.
const SOON: i64 = 4;

/// How many seconds behind its time a reading may come: it may be a busy machine, but never the
/// poll.
const LATE: RangeInclusive<i64> = 0..=20;

fn between(key: Key, not_before: i64, not_after: i64) -> Credential {
    authority().issue_between(key, &[NAME], not_before, not_after)
}

fn proxy() -> Builder {
    Proxy::builder().listener(tls(NAME)).backend(echo()).set("certificates.poll_interval", "\"1h\"")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_is_not_valid_yet_waits_and_is_served_when_its_time_comes() {
    let old = authority().issue(&[NAME]);
    let proxy = proxy().certificate("app", &old).start().await;
    let start = now() + SOON;
    let new = between(Key::Ecdsa, start, start + FAR);
    proxy.replace_certificate("app", &new).await;
    // Only a look before its time says anything.
    let waiting = async || proxy.metric("portunus_certificates", &[("state", "pending")]).await;
    eventually("the new one to wait", async || {
        (waiting().await == 1.0 || now() >= start).then_some(())
    })
    .await;
    let shown = served(&proxy, NAME).await;
    assert!(shown == old.leaf || now() >= start, "served before its time");
    becomes(&proxy, NAME, &new.leaf).await;
    let late = now() - start;
    assert!(LATE.contains(&late), "{late} s behind its time");
    eventually("nothing to wait", async || (waiting().await == 0.0).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_certificate_does_not_replace_a_valid_one() {
    let old = authority().issue(&[NAME]);
    let proxy = proxy().certificate("app", &old).start().await;
    let expired = between(Key::Ecdsa, now() - FAR, now() - 60);
    proxy.replace_certificate("app", &expired).await;
    assert_eq!(served(&proxy, NAME).await, old.leaf);
    let skipped = proxy.wait_for_log("file skipped", &[]).await;
    assert!(skipped.field("error").contains("expired"), "{}", skipped.text());
    let new = authority().issue(&[NAME]);
    write_and_rename(&proxy.folder().join("certs.d/app.pem"), &new.pem());
    becomes(&proxy, NAME, &new.leaf).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_kinds_of_key_the_one_that_expires_makes_room_for_the_other() {
    let end = now() + SOON;
    let ecdsa = between(Key::Ecdsa, now() - FAR, end);
    let rsa = between(Key::Rsa, now() - FAR, now() + FAR);
    let proxy = proxy().certificate("ecdsa", &ecdsa).certificate("rsa", &rsa).start().await;
    let shown = proxy.client(NAME).try_connect().await.map(|tls| tls.leaf());
    if now() < end {
        let shown = shown.expect("it is still valid");
        assert_eq!(shown, ecdsa.leaf, "the better kind of key comes first while it is valid");
    }
    // Our own client would refuse what has expired, so until then it sees the other one.
    eventually("the certificate that is valid", async || {
        let shown = proxy.client(NAME).try_connect().await.ok()?.leaf();
        (shown == rsa.leaf).then_some(())
    })
    .await;
    let late = now() - end;
    assert!(LATE.contains(&late), "{late} s behind its time");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_certificate_of_the_very_name_yields_to_a_valid_wildcard() {
    let exact = between(Key::Ecdsa, now() - FAR, now() - 60);
    let wildcard = authority().issue(&["*.app.example"]);
    let proxy = proxy().certificate("exact", &exact).certificate("wildcard", &wildcard);
    let proxy = proxy.start().await;
    assert_eq!(served(&proxy, NAME).await, wildcard.leaf);
    // Renewed, it is the better one again.
    let renewed = authority().issue(&[NAME]);
    write_and_rename(&proxy.folder().join("certs.d/exact.pem"), &renewed.pem());
    becomes(&proxy, NAME, &renewed.leaf).await;
}

/// Nobody is to be woken by one that no client gets any more.
#[tokio::test(flavor = "multi_thread")]
async fn one_that_expires_and_that_another_has_followed_shows_no_end_any_more() {
    let end = now() + SOON;
    let old = between(Key::Ecdsa, now() - FAR, end);
    let new = authority().issue(&[NAME]);
    let proxy = proxy().certificate("new", &new).certificate("old", &old).start().await;
    let is_shown = async |file: &str| {
        let metrics = proxy.admin("/metrics").await.text();
        let mut ends = metrics.lines().filter(|line| line.starts_with(END));
        ends.any(|line| line.contains(file))
    };
    assert!(is_shown("old.pem").await || now() >= end);
    eventually("the end that is nobody's matter to be gone", async || {
        (!is_shown("old.pem").await).then_some(())
    })
    .await;
    assert!(is_shown("new.pem").await);
    for (state, count) in [("superseded", 1.0), ("expired", 0.0), ("loaded", 2.0)] {
        assert_eq!(proxy.metric("portunus_certificates", &[("state", state)]).await, count);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_of_the_very_name_that_expires_yields_to_a_valid_wildcard_at_that_moment() {
    let end = now() + SOON;
    let exact = between(Key::Ecdsa, now() - FAR, end);
    let wildcard = authority().issue(&["*.app.example"]);
    let proxy = proxy().certificate("exact", &exact).certificate("wildcard", &wildcard);
    let proxy = proxy.start().await;
    eventually("the certificate that is valid", async || {
        let shown = proxy.client(NAME).try_connect().await.ok()?.leaf();
        (shown == wildcard.leaf).then_some(())
    })
    .await;
    let late = now() - end;
    assert!(LATE.contains(&late), "{late} s behind its time");
}

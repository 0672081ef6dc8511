//! Clocks that are set: nothing ends early, nobody is let in who should not be, and it is said.

use std::path::Path;

use portunus_tests::foreign::library;
use portunus_tests::{Builder, ClientAuthority, Flaw, Proxy, echo, greeter, tls};

use super::NAME;

/// Has the process see the time that stands in `file`, but the true monotonic clock. It has to be
/// able to read that file.
fn under_clock(builder: Builder, faketime: &Path, file: &Path) -> Builder {
    let preload = format!("LD_PRELOAD={}", faketime.display());
    let file = format!("FAKETIME_TIMESTAMP_FILE={}", file.display());
    let true_monotonic = ["DONT_FAKE_MONOTONIC=1", "FAKETIME_DONT_FAKE_MONOTONIC=1"];
    let [one, other] = true_monotonic;
    builder.set("server.sandbox", "\"off\"").under(&[
        "env",
        &preload,
        &file,
        "FAKETIME_NO_CACHE=1",
        one,
        other,
    ])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_jumps_a_year_ends_nothing_and_is_said() {
    let Some(faketime) = library("libfaketimeMT.so.1") else { return };
    let folder = tempfile::tempdir().unwrap();
    let clock = folder.path().join("clock");
    std::fs::write(&clock, "+0d").unwrap();
    let builder = Proxy::builder().listener(tls(NAME)).backend(echo());
    let proxy = under_clock(builder, &faketime, &clock).start().await;
    let mut held = proxy.client(NAME).connect().await;
    held.send(b"hello").await;
    held.expect(b"hello").await;
    for (offset, direction) in [("+366d", "forward"), ("-366d", "back")] {
        std::fs::write(&clock, offset).unwrap();
        let said = format!("the clock was set {direction}; certificates are valid by it");
        proxy.wait_for_log(&said, &[("level", "WARN")]).await;
        held.send(b"hello").await;
        held.expect(b"hello").await;
        let mut new = proxy.client(NAME).connect().await;
        new.send(b"hello").await;
        new.expect(b"hello").await;
    }
    assert_eq!(proxy.admin("/readyz").await.status, 200);
    let told = proxy.admin("/metrics").await.text();
    let is_hit =
        |line: &&str| line.starts_with("portunus_limit_hits_total") && !line.ends_with(" 0");
    assert_eq!(told.lines().find(is_hit), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_wakes_in_1970_serves_and_lets_no_client_in_by_certificate() {
    let Some(faketime) = library("libfaketimeMT.so.1") else { return };
    let folder = tempfile::tempdir().unwrap();
    let clock = folder.path().join("clock");
    std::fs::write(&clock, "@1970-01-02 00:00:00").unwrap();
    let clients = ClientAuthority::new("clients");
    let listener = tls(NAME).site_with("staff.example", "app", "client_auth = { ca = \"c.pem\" }");
    let authority = portunus_tests::authority();
    let builder = Proxy::builder()
        .listener(listener)
        .backend(greeter("welcome"))
        .certificate("app", &authority.issue(&[NAME]))
        .certificate("staff", &authority.issue(&["staff.example"]))
        .file("c.pem", &clients.pem());
    let proxy = under_clock(builder, &faketime, &clock).start().await;
    proxy.client(NAME).connect().await.expect(b"welcome").await;
    let credential = clients.issue("someone", Flaw::Nothing);
    let staff = proxy.client("staff.example").certificate(&credential);
    let refused = match staff.try_connect().await {
        Err(_) => true,
        // A refusal of TLS 1.3 comes behind the handshake.
        Ok(mut client) => client.receive().await.is_err(),
    };
    assert!(refused, "a certificate that is not valid yet lets nobody in");
}

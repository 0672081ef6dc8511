//! Why a client that offered a session did not resume it: said by a metric and by the last event
//! of its connection, for every cause that there is.

use portunus_tests::foreign::s_client;
use portunus_tests::wait::eventually;
use portunus_tests::{Builder, Client, Proxy, Wallet, authority, echo, tls};

use super::fleet::{Fleet, Kind, NAME, Store, UP, Visitor, says_hello};

const OTHER: &str = "other.example";
const WHY: &str = "portunus_handshakes_not_resumed_total";

/// One listener with two sites.
fn two_sites() -> Builder {
    Proxy::builder()
        .listener(tls(NAME).site(OTHER, "app"))
        .certificate("all", &authority().issue(&[NAME, OTHER]))
        .backend(echo())
}

/// The reason is counted once, and said in the last event of a connection with a full handshake.
async fn says(proxy: &Proxy, reason: &str) {
    let labels = [("listener", "tls"), ("reason", reason)];
    proxy.wait_for_metric(WHY, &labels, |count| count >= 1.0).await;
    let fields = [("handshake", "full"), ("not_resumed", reason)];
    proxy.wait_for_log("closed", &fields).await;
    assert_eq!(proxy.metric(WHY, &[]).await, 1.0, "no other reason is counted");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_offers_nothing_or_resumes_has_no_reason() {
    let proxy = two_sites().start().await;
    for (visitor, kind) in [(Visitor::tls12(false), "session_id"), (Visitor::tls13(), "stateful")] {
        assert!(!visitor.visit(&proxy).await);
        assert!(visitor.visit(&proxy).await);
        let line = proxy.wait_for_log("closed", &[("handshake", kind)]).await;
        assert_eq!(line.field("not_resumed"), "");
    }
    assert_eq!(proxy.metric(WHY, &[]).await, 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn resumption_that_is_off_is_a_reason() {
    let proxy = two_sites().listener(tls(NAME).named("off").with("resumption", "\"off\""));
    let proxy = proxy.start().await;
    let client = client_with_session(&proxy, NAME).await;
    let mut connection = client.at(proxy.address("off")).connect().await;
    assert!(!connection.resumed());
    connection.close_notify().await;
    let labels = [("listener", "off"), ("reason", "off")];
    proxy.wait_for_metric(WHY, &labels, |count| count == 1.0).await;
    proxy.wait_for_log("closed", &[("not_resumed", "off")]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_nobody_has_is_a_reason() {
    let proxy = two_sites().start().await;
    let visitor = Visitor::tls13();
    visitor.visit(&proxy).await;
    let proxy = proxy.restart().await;
    assert!(!visitor.visit(&proxy).await);
    says(&proxy, "unknown").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_is_too_old_is_a_reason() {
    let proxy = two_sites().set("resumption.lifetime", "\"1s\"").start().await;
    // It may have been swept before it was asked for, and be forgotten then.
    eventually("a session that was too old", async || {
        let visitor = Visitor::tls12(false);
        visitor.visit(&proxy).await;
        while visitor.visit(&proxy).await {}
        let labels = [("listener", "tls"), ("reason", "expired")];
        (proxy.metric(WHY, &labels).await >= 1.0).then_some(())
    })
    .await;
    proxy.wait_for_log("closed", &[("not_resumed", "expired")]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_of_another_site_is_a_reason() {
    let proxy = two_sites().start().await;
    let client = client_with_session(&proxy, NAME).await;
    assert!(!connects(&client.asking_for(OTHER)).await);
    says(&proxy, "policy").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_that_we_do_not_make_is_a_reason() {
    let carried = two_sites().set("resumption.mode", "\"tickets\"").start().await;
    let proxy = two_sites().start().await;
    let visitor = Visitor::tls13();
    visitor.visit(&carried).await;
    assert!(!visitor.visit(&proxy).await);
    says(&proxy, "foreign").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_of_another_cipher_is_a_reason() {
    let proxy = two_sites().start().await;
    let file = proxy.folder().join("session");
    let ciphers = ["ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384"];
    for (cipher, option) in ciphers.into_iter().zip(["-sess_out", "-sess_in"]) {
        let Some(client) = s_client(&proxy, NAME) else { return };
        let client = client.args(["-tls1_2", "-no_ticket", "-cipher", cipher]);
        assert!(!says_hello(client.arg(option).arg(&file)).await);
    }
    says(&proxy, "mismatch").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_does_not_answer_in_time_is_a_reason() {
    let Some(store) = Store::start(Kind::Redis).await else { return };
    let fleet = Fleet::start(store, 2, |builder| builder).await;
    let visitor = known(&fleet).await;
    fleet.store.redis().stop();
    assert!(!visitor.visit(&fleet.proxies[1]).await);
    says(&fleet.proxies[1], "timeout").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_away_is_a_reason() {
    let Some(store) = Store::start(Kind::Redis).await else { return };
    let mut fleet = Fleet::start(store, 2, |builder| builder).await;
    let visitor = known(&fleet).await;
    fleet.store.redis_mut().kill();
    let other = &fleet.proxies[1];
    eventually("a process that notices", async || {
        // Who offers nothing is stored, which fails just as well.
        Visitor::tls13().visit(other).await;
        (other.metric(UP, &[]).await == 0.0).then_some(())
    })
    .await;
    assert!(!visitor.visit(other).await);
    says(other, "error").await;
}

/// A client whose session the first process has handed over.
async fn known(fleet: &Fleet) -> Visitor {
    fleet
        .hand_over(async || {
            let visitor = Visitor::tls12(false);
            visitor.visit(&fleet.proxies[0]).await;
            (1, visitor)
        })
        .await
}

/// A client with a session of `name`, which it offers everywhere.
async fn client_with_session(proxy: &Proxy, name: &str) -> Client {
    let client = proxy.client(name).resumption(Wallet::new().sessions());
    assert!(!connects(&client).await);
    client
}

async fn connects(client: &Client) -> bool {
    let mut client = client.connect().await;
    client.ticket().await;
    client.send(b"hello").await;
    client.expect(b"hello").await;
    client.resumed()
}

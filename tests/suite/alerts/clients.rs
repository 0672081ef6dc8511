//! Clients that do not get in, come without what the listener demands, or cannot resume.

use std::fs;

use portunus_tests::foreign::openssl;
use portunus_tests::redis::redis;
use portunus_tests::{Client, Proxy, Wallet, authority, echo, tls, write, write_and_rename};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use super::{NAME, Watch, amid, watch};

/// Waits until the rules have this much of a past, in scrapes of fifth parts of a second.
async fn past(watch: &Watch, scrapes: usize, turn: impl AsyncFnMut()) {
    amid(turn, watch.server.scrapes(scrapes)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_a_new_policy_shuts_out_are_told_of_and_scanners_are_not() {
    let listener = tls(NAME).with("tls", "{ min_version = \"1.2\" }");
    let proxy = Proxy::builder().listener(listener).backend(echo()).taking_orders().start().await;
    let Some(watch) = watch(&proxy).await else { return };
    let client = proxy.client(NAME).tls12();
    let address = proxy.first_address();
    let scan = async || {
        let Ok(mut stream) = TcpStream::connect(address).await else { return };
        let _ = stream.write_all(b"GET / HTTP/1.0\r\n\r\n").await;
    };
    let visit = async || drop(client.try_connect().await);
    past(&watch, 50, async || {
        visit().await;
        scan().await;
        scan().await;
    })
    .await;
    watch.tells_of(&[]).await;
    let path = proxy.folder().join("config.toml");
    let strict = fs::read_to_string(&path).unwrap().replace("\"1.2\"", "\"1.3\"");
    write(&path, &strict);
    let (_, told) = proxy.order("/reload").await;
    assert_ne!(told["result"], "rejected", "{told}");
    client.try_connect().await.unwrap_err();
    let page = watch.fires_amid("PortunusClientsShutOut", visit).await;
    assert_eq!(page.labels["listener"], "tls");
    watch.fires_amid("PortunusClientsFailing", visit).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_load_balancer_that_forgets_the_proxy_header_is_told_of() {
    let listener = tls(NAME).with("proxy_protocol", "{ from = [\"127.0.0.0/8\"] }");
    let proxy = Proxy::builder().listener(listener).backend(echo()).start().await;
    let Some(watch) = watch(&proxy).await else { return };
    watch.is_calm().await;
    let client = proxy.client(NAME);
    let visit = async || drop(client.try_connect().await);
    let page = watch.fires_amid("PortunusProxyHeadersBad", visit).await;
    assert_eq!(page.labels["severity"], "page");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_key_that_is_replaced_in_one_step_is_told_of_by_what_clients_lose() {
    let key =
        async || Some(openssl()?.args(["rand", "-base64", "48"]).run().await.expect_success());
    let Some(old) = key().await else { return };
    let proxy = Proxy::builder()
        .listener(tls(NAME))
        .certificate("app", &authority().issue(&[NAME]))
        .file("ticket.keys", &old)
        .backend(echo())
        .set("resumption.mode", "\"tickets\"")
        .set("resumption.ticket_keys", "\"file:ticket.keys\"")
        .start()
        .await;
    let Some(watch) = watch(&proxy).await else { return };
    let visitor = || proxy.client(NAME).resumption(Wallet::new().sessions());
    let mut absent = Vec::new();
    for _ in 0..REGULARS {
        absent.push(visitor());
    }
    for client in &absent {
        visit(client).await;
    }
    let regular = visitor();
    past(&watch, 100, async || _ = visit(&regular).await).await;
    watch.tells_of(&[]).await;
    write_and_rename(&proxy.folder().join("ticket.keys"), &key().await.unwrap());
    proxy.wait_for_log("the keys of the file are in use", &[]).await;
    let mut returning = absent.iter();
    let returns = async || {
        if let Some(client) = returning.next() {
            assert!(!visit(client).await, "its key is gone");
        }
    };
    watch.fires_amid("PortunusResumptionCollapsed", returns).await;
}

/// One connection with a word on it, so that tickets are read; says whether it was resumed.
async fn visit(client: &Client) -> bool {
    let mut tls = client.connect().await;
    tls.ticket().await;
    tls.send(b"hello").await;
    tls.expect(b"hello").await;
    tls.resumed()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shared_tier_that_is_away_is_told_of_until_it_is_back() {
    let Some(redis) = redis() else { return };
    let mut redis = redis.start().await;
    let Some(openssl) = openssl() else { return };
    let key = openssl.args(["rand", "-base64", "32"]).run().await.expect_success();
    let shared = format!("{{ url = {:?}, sealing_key = \"file:sealing.key\" }}", redis.url());
    let proxy = Proxy::builder()
        .listener(tls(NAME))
        .certificate("app", &authority().issue(&[NAME]))
        .file("sealing.key", &key)
        .backend(echo())
        .set("resumption.shared", &shared)
        .start()
        .await;
    let Some(watch) = watch(&proxy).await else { return };
    let client = proxy.client(NAME);
    let visit = async || _ = visit(&client).await;
    past(&watch, 10, visit).await;
    watch.tells_of(&[]).await;
    redis.kill();
    watch.fires_amid("PortunusSharedTierAway", visit).await;
    redis.restart().await;
    amid(visit, watch.is_over("PortunusSharedTierAway")).await;
}

/// Clients with a ticket who stay away for a while: as many as come back while an alert is waited
/// for.
const REGULARS: usize = 400;

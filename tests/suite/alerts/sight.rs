//! Rules that look at something: a rule about a metric or a label that nobody shows keeps quiet for
//! ever, and nobody notices.

use std::collections::BTreeSet;
use std::fs;

use hyper::Method;
use portunus_tests::foreign::openssl;
use portunus_tests::redis::redis;
use portunus_tests::{
    ClientAuthority, Flaw, Proxy, Version, Wallet, authority, echo, http, https, now, tls,
    unreachable,
};

use super::selectors::selectors;
use super::{NAME, amid, watch};
use crate::tidy::root;

/// Where a staple comes from is no business of these tests.
const UNSEEN: [&str; 1] = ["portunus_certificate_staple_next_update_seconds{}"];

/// A proxy that has everything that a rule can be about, with the store of its sessions.
async fn furnished() -> Option<(Proxy, portunus_tests::redis::RedisServer)> {
    let redis = redis()?.start().await;
    let key = openssl()?.args(["rand", "-base64", "32"]).run().await.expect_success();
    let shared = format!("{{ url = {:?}, sealing_key = \"file:sealing.key\" }}", redis.url());
    let clients = ClientAuthority::new("clients");
    let list = clients.crl_between(&[], now() - 86_400, now() + 86_400);
    let names = [NAME, "raw.example", "safe.example", "told.example"];
    let front = "{ from = [\"127.0.0.0/8\"] }";
    let auth = "client_auth = { ca = \"clients.pem\", crl = [\"list.pem\"] }";
    let proxy = Proxy::builder()
        .listener(https(NAME))
        .listener(tls("raw.example").to("raw").site_with("safe.example", "raw", auth))
        .listener(tls("told.example").named("told").to("named").with("proxy_protocol", front))
        .endpoints("named", &["localhost:1"])
        .certificate("app", &authority().issue(&names))
        .file("clients.pem", &clients.pem())
        .file("list.pem", &list)
        .file("own.pem", &clients.issue("we", Flaw::Nothing).pem())
        .file("sealing.key", &key)
        .backend(http())
        .backend_named("raw", echo())
        .backend_named("safe", unreachable())
        .set("backend.safe.tls", "{ ca = \"clients.pem\", credential = \"own.pem\" }")
        .set("server.memory_max", "\"4 GiB\"")
        .set("resumption.mode", "\"both\"")
        .set("resumption.shared", &shared)
        .start()
        .await;
    Some((proxy, redis))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_rule_looks_at_something_that_is_there() {
    let Some((proxy, _redis)) = furnished().await else { return };
    let Some(watch) = watch(&proxy).await else { return };
    let client = proxy.client(NAME).resumption(Wallet::new().sessions());
    let visit = async || {
        let mut asker = client.asker(Version::One).await.unwrap();
        asker.ask(Method::GET, "/", &[], "").await.unwrap();
    };
    let rules = ["alerts.yml", "recording.yml"]
        .map(|name| fs::read_to_string(root().join("dashboards/prometheus").join(name)).unwrap());
    let all: BTreeSet<_> = rules.iter().flat_map(|text| selectors(text)).collect();
    assert!(all.len() >= 60, "{}", all.len());
    let look = async || {
        let mut blind = Vec::new();
        for selector in &all {
            let query = selector.query();
            let each = selector.matchers.iter().flat_map(|matcher| matcher.each());
            let each = each.map(|matcher| format!("{}{{{matcher}}}", selector.metric));
            for query in each.chain([query]) {
                let is_recorded = selector.metric.contains(':');
                if is_recorded {
                    watch.server.query_until(&query).await;
                } else if watch.server.query(&query).await.is_empty() {
                    blind.push(query);
                }
            }
        }
        blind
    };
    let look_again = async {
        let mut blind = look().await;
        // After a scrape that came too late there is nothing to be seen until the next one.
        for _ in 0..5 {
            if blind == UNSEEN {
                break;
            }
            watch.server.scrapes(3).await;
            blind = look().await;
        }
        blind
    };
    assert_eq!(amid(visit, look_again).await, UNSEEN);
    // And nothing is wrong.
    watch.tells_of(&[]).await;
}

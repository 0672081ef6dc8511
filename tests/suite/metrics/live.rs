//! Dashboards and rules before a real Prometheus that scrapes a Portunus with work to do.
//!
//! Owns that work: every kind of client, a store that processes share, backends with and without
//! TLS, and faults of clients and of a backend, so that whatever is asked for has happened.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use portunus_tests::prometheus::{Prometheus, PrometheusServer, prometheus};
use portunus_tests::redis::{RedisServer, redis};
use portunus_tests::traffic::{Bytes, Pages, Road, Traffic, bytes, pages, road_builder};
use portunus_tests::wait::eventually;
use portunus_tests::{ClientAuthority, Flaw, Proxy, authority, https, tls, unreachable};
use serde_json::Value;

use super::queries::{Query, dashboards, reference, unknown, words};
use crate::certificates::staple::response;
use crate::tidy::root;

const NAME: &str = "app.example";

/// Its clients have to show a certificate.
const GUARDED: &str = "guarded.example";

/// It begins with a PROXY header and goes on in the clear.
const MAIL: &str = "mail.example";

/// Its TLS ends elsewhere.
const FAR: &str = "there.example";

/// Nobody answers for it.
const AWAY: &str = "away.example";

/// The line of an authority's index of a certificate that is good until 2040.
const GOOD: &str = "V\t400101000000Z\t";

/// What has nothing to show while all is as it is here, and why. Whatever is here and has something
/// to show is a failure too.
const SILENT: [(&str, &str); 0] = [];

/// Selectors of rules that find nothing while all is as it is here.
const SILENT_SELECTORS: [&str; 0] = [];

/// The road of traffic, with something beside it for each thing that is counted.
struct Town {
    proxy: Proxy,
    clients: ClientAuthority,
    _services: (Pages, Bytes, RedisServer),
}

impl Town {
    async fn build() -> Option<Self> {
        let redis = redis()?.start().await;
        let (pages, bytes) = (pages().await, bytes().await);
        let (clients, services) =
            (ClientAuthority::new("clients"), ClientAuthority::new("services"));
        let own = clients.issue("portunus", Flaw::Nothing);
        let away = unreachable();
        let app = authority().issue(&[NAME]);
        let asked = "client_auth = { ca = \"clients.pem\", crl = [\"list.pem\"] }";
        let guarded = https(AWAY).named("guarded").to("away").site_with(GUARDED, "app", asked);
        let mail = tls(MAIL).named("mail").to("named").with("starttls", "\"smtp\"");
        let mail = mail.with("proxy_protocol", "{ from = [\"127.0.0.0/8\"] }");
        let through = "passthrough = true";
        let store = format!("{{ url = {:?}, sealing_key = \"file:sealing.key\" }}", redis.url());
        let secured =
            "{ ca = \"services.pem\", credential = \"own.pem\", server_name = \"x.example\" }";
        let proxy = road_builder(NAME, &[&pages.endpoint()], &[&bytes.endpoint()])
            .listener(guarded)
            .listener(mail)
            .listener(tls("far.example").named("far").to("named").site_with(FAR, "named", through))
            .endpoints("named", &["localhost:1"])
            .set("backend.named.send_proxy", "\"v2\"")
            .backend_named("away", &away)
            .certificate("guarded", &authority().issue(&[GUARDED, AWAY, MAIL, "far.example"]))
            .file("certs.d/app.pem", &(app.pem() + &authority().pem()))
            .file("clients.pem", &clients.pem())
            .file("list.pem", &clients.crl(&[]))
            .file("services.pem", &services.pem())
            .file("own.pem", &own.pem())
            .file("sealing.key", "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVowMTIzNDU=\n")
            .set("backend.away.tls", secured)
            .set("backend.app.health", "{ path = \"/echo\", interval = \"1s\" }")
            .set("resumption.mode", "\"both\"")
            .set("resumption.shared", &store)
            .set("server.memory_max", "\"2 GiB\"")
            .taking_orders()
            .start()
            .await;
        let folder = tempfile::tempdir().unwrap();
        let staple = response(folder.path(), &app, GOOD).await?;
        fs::write(proxy.folder().join("certs.d/app.ocsp"), staple).unwrap();
        proxy.reload().await;
        Some(Self { proxy, clients, _services: (pages, bytes, redis) })
    }

    /// What traffic does not do, once: clients that fail, and some that want what is not there.
    async fn misfortunes(&self) {
        let proxy = &self.proxy;
        let at = |name| proxy.client(name).at(proxy.address("guarded")).alpn(&["http/1.1"]);
        proxy.client("nobody.example").try_connect().await.unwrap_err();
        let own = self.clients.issue("somebody", Flaw::Nothing);
        let requests = [(at(GUARDED).certificate(&own), GUARDED, "200"), (at(AWAY), AWAY, "50")];
        for (client, host, code) in requests {
            let mut client = client.connect().await;
            let request = format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
            client.send(request.as_bytes()).await;
            let answer = client.receive_all().await.unwrap_or_default();
            let answer = String::from_utf8_lossy(&answer).into_owned();
            assert!(answer.starts_with(&format!("HTTP/1.1 {code}")), "{host}: {answer}");
        }
        let mut stranger = at(GUARDED).connect().await;
        stranger.send(b"GET / HTTP/1.1\r\n\r\n").await;
        assert!(stranger.receive_all().await.unwrap_or_default().is_empty());
        assert_eq!(proxy.order("/reload").await.0, 200);
    }
}

/// The rules that ship.
fn rules() -> Vec<PathBuf> {
    let files = fs::read_dir(root().join("dashboards/prometheus")).into_iter().flatten().flatten();
    let files = files.map(|file| file.path());
    files.filter(|path| path.extension().is_some_and(|kind| kind == "yml")).collect()
}

/// A query with all that Grafana puts in.
fn filled(text: &str) -> String {
    let text = text.replace("$__rate_interval", "15s");
    ["$job", "$instance", "$listener", "$backend"]
        .iter()
        .fold(text, |text, variable| text.replace(variable, ".*"))
}

/// Asks everything again and again, until there is something to show or patience ends; returns
/// what stays silent.
async fn silent(server: &PrometheusServer, mut queries: Vec<Query>) -> Vec<Query> {
    for _ in 0..20 {
        let mut left = Vec::new();
        for query in queries {
            let samples = server.query(&filled(&query.text)).await;
            if !samples.iter().any(|sample| sample.value.is_finite()) {
                left.push(query);
            }
        }
        queries = left;
        if queries.iter().all(|query| SILENT.iter().any(|(place, _)| query.place == *place)) {
            break;
        }
        server.scrapes(1).await;
    }
    queries
}

#[tokio::test(flavor = "multi_thread")]
async fn every_query_of_every_dashboard_and_rule_has_something_to_show_under_mixed_load() {
    let Some(prometheus) = prometheus() else { return };
    let Some(town) = Town::build().await else { return };
    let prometheus = prometheus.interval(Duration::from_secs(1));
    let prometheus = prometheus.scrape("portunus", &[town.proxy.address("admin")]);
    let server = rules().iter().fold(prometheus, Prometheus::rules).start().await;
    let traffic = Traffic::of_all(Road::to(&town.proxy, NAME));
    traffic.round().await;
    server.scrapes(2).await;
    town.misfortunes().await;
    server.scrapes(2).await;
    let queries: Vec<_> = dashboards().iter().flat_map(|one| one.queries()).collect();
    assert!(queries.len() > 100, "{}", queries.len());
    let silent = silent(&server, queries).await;
    let places = |of: &mut dyn Iterator<Item = String>| of.collect::<BTreeSet<_>>();
    let expected = places(&mut SILENT.iter().map(|(place, _)| (*place).to_owned()));
    let found = places(&mut silent.iter().map(|query| query.place.clone()));
    assert_eq!(found, expected, "{silent:#?}");
    for query in dashboards().iter().flat_map(|one| one.annotations()) {
        server.query(&filled(&query.text)).await;
    }
    let mut faults = rules_at_fault(&server, &evaluated(&server).await).await;
    // After a scrape that came too late there is nothing to be seen until the next one.
    for _ in 0..5 {
        if faults.is_empty() {
            break;
        }
        server.scrapes(2).await;
        faults = rules_at_fault(&server, &evaluated(&server).await).await;
    }
    assert_eq!(faults, [""; 0]);
    super::all_is_well(&server).await;
    drop(traffic.end().await);
}

/// All rules, once each was evaluated.
async fn evaluated(server: &PrometheusServer) -> Vec<Value> {
    eventually("an evaluation of each rule", async || {
        let rules = server.rules().await;
        rules.iter().all(|rule| rule["health"] != "unknown").then_some(rules)
    })
    .await
}

/// What is wrong with rules: they fail, or ask for what there is not.
async fn rules_at_fault(server: &PrometheusServer, rules: &[Value]) -> Vec<String> {
    let reference = reference();
    let mut found = Vec::new();
    for rule in rules {
        let (name, query) = (text(rule, "name"), text(rule, "query"));
        if rule["health"] != "ok" {
            found.push(format!("{name}: {}", text(rule, "lastError")));
        }
        found.extend(unknown(&query, &reference).into_iter().map(|it| format!("{name}: {it}")));
        for selector in selectors(&query) {
            if SILENT_SELECTORS.contains(&selector.as_str()) {
                continue;
            }
            if server.query(&selector).await.is_empty() {
                found.push(format!("{name}: nothing is {selector}"));
            }
        }
    }
    found
}

fn text(value: &Value, key: &str) -> String {
    value[key].as_str().unwrap_or_default().to_owned()
}

/// Each metric of ours, counted or recorded, in `query`, with its matchers.
fn selectors(query: &str) -> BTreeSet<String> {
    let named = words(query)
        .into_iter()
        .filter(|(word, _)| word.contains("portunus_") || word.starts_with("process_"));
    let selector = |(word, rest): (&str, &str)| {
        let matchers = rest.strip_prefix('{').and_then(|rest| rest.split_once('}'));
        format!("{word}{{{}}}", matchers.map_or("", |(matchers, _)| matchers))
    };
    named.map(selector).collect()
}

//! Two formats, one truth: what Prometheus' own parsers make of each.

use std::collections::{BTreeMap, BTreeSet};

use portunus_tests::foreign::{program, python_with};
use portunus_tests::prometheus::prometheus;
use portunus_tests::{Proxy, http, https, tls};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const NAME: &str = "app.example";

const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0";

/// A proxy with something in every kind of number.
async fn proxy() -> Proxy {
    let proxy = Proxy::builder()
        .listener(https(NAME))
        .listener(tls("raw.example"))
        .backend(http())
        .set("resumption.mode", "\"both\"")
        .start()
        .await;
    let mut client = proxy.client(NAME).alpn(&["http/1.1"]).connect().await;
    client.send(b"GET / HTTP/1.1\r\nHost: app.example\r\nConnection: close\r\n\r\n").await;
    client.receive_all().await.unwrap();
    proxy
}

/// What is shown to somebody who accepts `accept`: its type, and the text.
async fn shown(proxy: &Proxy, accept: &str) -> (String, String) {
    let mut stream = TcpStream::connect(proxy.address("admin")).await.unwrap();
    let request = format!(
        "GET /metrics HTTP/1.1\r\nHost: localhost\r\nAccept: {accept}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    let response = portunus_tests::Response::parse(&answer).unwrap();
    (response.field("content-type").to_owned(), response.text())
}

type Families = BTreeMap<String, Value>;

async fn parsed(format: &str, text: &str) -> Option<Families> {
    let python = python_with(&["prometheus_client.openmetrics.parser"])?;
    let output = python.arg(program("exposition.py")).arg(format).input(text).run().await;
    Some(serde_json::from_str(&output.expect_success()).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_strict_parser_of_openmetrics_takes_every_line_with_the_same_series_as_the_text() {
    let proxy = proxy().await;
    let (kind, open) = shown(&proxy, OPENMETRICS).await;
    assert_eq!(kind, "application/openmetrics-text; version=1.0.0; charset=utf-8");
    assert!(open.ends_with("\n# EOF\n"), "half an answer can be told from a whole one");
    let (kind, text) = shown(&proxy, "*/*").await;
    assert!(kind.starts_with("text/plain; version=0.0.4"), "{kind}");
    let Some(open) = parsed("openmetrics", &open).await else { return };
    let Some(text) = parsed("text", &text).await else { return };
    let series = |families: &Families| -> BTreeSet<String> {
        let all = families.values().flat_map(|family| family["series"].as_array().unwrap());
        all.map(|one| one.as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(series(&open), series(&text));
    assert!(series(&open).len() > 200);
    for (family, kind, unit) in [
        ("portunus_connections", "counter", ""),
        ("portunus_bytes", "counter", "bytes"),
        ("portunus_handshake_duration_seconds", "histogram", "seconds"),
        ("process_cpu_seconds", "counter", "seconds"),
        ("process_resident_memory_bytes", "gauge", "bytes"),
        ("portunus_phase", "gauge", ""),
    ] {
        assert_eq!((&open[family]["type"], &open[family]["unit"]), (&kind.into(), &unit.into()));
        assert!(open[family]["help"].as_str().unwrap().len() > 10, "{family}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn prometheus_scrapes_openmetrics_and_knows_units() {
    let Some(prometheus) = prometheus() else { return };
    let proxy = proxy().await;
    let server = prometheus.scrape("portunus", &[proxy.address("admin")]).start().await;
    server.scrapes(2).await;
    super::all_is_well(&server).await;
    let metadata = server.metadata().await;
    assert_eq!(metadata["portunus_handshake_duration_seconds"]["unit"], "seconds");
    assert_eq!(metadata["portunus_connections"]["type"], "counter");
    let first = "portunus_handshake_duration_seconds_bucket{le=\"5e-05\", kind=\"full\"}";
    assert_eq!(server.query_until(first).await.len(), 2, "one for each listener");
    let last = "portunus_handshake_duration_seconds_bucket{le=\"10.0\", kind=\"full\"}";
    assert_eq!(server.query_until(last).await.len(), 2);
    let total = server.query_until("sum(portunus_connections_total)").await;
    assert!(total[0].value >= 1.0, "{total:?}");
}

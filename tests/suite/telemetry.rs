//! What is said about the product while it runs: metrics and the admin listener.

use portunus_tests::foreign::promtool;
use portunus_tests::wait::within;
use portunus_tests::{Proxy, Response, echo, http, https, tls};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::tidy::root;

const NAME: &str = "app.example";

/// A proxy that has something to tell.
async fn busy() -> Proxy {
    let proxy = Proxy::builder()
        .listener(https(NAME))
        .listener(tls("raw.example").site("raw2.example", "echo"))
        .backend(http())
        .backend_named("echo", echo())
        .start()
        .await;
    for client in [proxy.client(NAME), proxy.client(NAME).tls12()] {
        let mut client = client.alpn(&["http/1.1"]).connect().await;
        client.send(b"GET / HTTP/1.1\r\nHost: app.example\r\nConnection: close\r\n\r\n").await;
        client.receive_all().await.unwrap();
    }
    proxy.client("nobody.example").try_connect().await.unwrap_err();
    proxy
}

#[tokio::test(flavor = "multi_thread")]
async fn promtool_finds_nothing_wrong_with_the_metrics() {
    let proxy = busy().await;
    let metrics = proxy.admin("/metrics").await;
    assert!(metrics.field("content-type").starts_with("text/plain; version=0.0.4"));
    let Some(promtool) = promtool() else { return };
    let output = promtool.args(["check", "metrics"]).input(&metrics.body).run().await;
    output.expect_success();
    assert_eq!(output.everything(), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_metric_stands_in_the_reference() {
    let proxy = busy().await;
    let text = proxy.admin("/metrics").await.text();
    let mut shown: Vec<_> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '))
        .map(|(name, kind)| (name.to_owned(), kind.to_owned()))
        .collect();
    shown.sort();
    let reference = std::fs::read_to_string(root().join("dashboards/METRICS.md")).unwrap();
    let mut written: Vec<_> = reference
        .lines()
        .filter_map(|line| {
            let mut cells = line.strip_prefix("| `")?.split('|').map(str::trim);
            let name = cells.next()?.trim_matches('`').to_owned();
            Some((name, cells.next()?.to_owned()))
        })
        .collect();
    written.sort();
    let missing: Vec<_> = shown.iter().filter(|one| !written.contains(one)).collect();
    assert!(missing.is_empty(), "not in the reference: {missing:?}");
    let names: Vec<_> = written.iter().map(|(name, _)| name).collect();
    let good = |name: &&&String| name.starts_with("portunus_") || name.starts_with("process_");
    assert_eq!(names.iter().filter(good).count(), names.len(), "{names:?}");
    assert!(shown.len() >= 20, "{shown:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_clients_say_makes_no_series() {
    let proxy = busy().await;
    let series = async || {
        let text = proxy.admin("/metrics").await.text();
        text.lines().filter(|line| !line.starts_with('#')).count()
    };
    let before = series().await;
    for number in 0..50 {
        let name = format!("n{number}.example");
        proxy.client(&name).try_connect().await.unwrap_err();
        let mut client = proxy.client(NAME).alpn(&["http/1.1"]).connect().await;
        let request =
            format!("GET /{number} HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n");
        client.send(request.as_bytes()).await;
        client.receive_all().await.unwrap();
    }
    assert_eq!(series().await, before, "as many as before, whoever called");
    let text = proxy.admin("/metrics").await.text();
    assert!(!text.contains("n7.example") && !text.contains("nobody"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_admin_listener_answers_this_machine_and_no_web_page() {
    let proxy = busy().await;
    let cases = [
        ("GET", "/livez", "", 200),
        ("GET", "/readyz", "", 200),
        ("HEAD", "/metrics", "", 200),
        ("HEAD", "/status", "", 200),
        ("GET", "/nothing", "", 404),
        ("POST", "/metrics", "", 405),
        ("GET", "/metrics", "Origin: https://evil.example\r\n", 403),
        ("GET", "/status", "Origin: https://evil.example\r\n", 403),
        ("POST", "/status", "", 405),
    ];
    for (method, path, fields, status) in cases {
        let answer = admin(&proxy, method, path, &format!("Host: localhost\r\n{fields}")).await;
        assert_eq!(answer, status, "{method} {path} {fields}");
    }
    let rebound = admin(&proxy, "GET", "/metrics", "Host: evil.example:9090\r\n").await;
    assert_eq!(rebound, 403, "a name that somebody pointed here");
}

async fn admin(proxy: &Proxy, method: &str, path: &str, fields: &str) -> u16 {
    let mut stream = TcpStream::connect(proxy.address("admin")).await.unwrap();
    let request = format!("{method} {path} HTTP/1.1\r\n{fields}Connection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    within("an answer", stream.read_to_end(&mut answer)).await.unwrap();
    // The answer to HEAD announces what does not come.
    answer.extend(vec![b' '; 1 << 20]);
    Response::parse(&answer).unwrap().status
}

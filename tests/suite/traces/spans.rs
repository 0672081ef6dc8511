//! What spans say, of requests and of connections.

use portunus_tests::foreign::{curl_for, url};
use portunus_tests::{Collector, Proxy, echo, http, https, raw, tls, unreachable};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{about, traced};
use crate::http::{NAME, ask, connect, get};

#[tokio::test(flavor = "multi_thread")]
async fn a_request_and_the_call_for_it_are_spans_of_one_trace() {
    let Some(collector) = Collector::start().await else { return };
    let backend = http();
    let builder = traced(&collector).set("traces.service_name", "\"edge\"");
    let proxy = builder.listener(https(NAME)).backend(&backend).start().await;
    let request = get("/bytes/10?secret=1", "User-Agent: tester/1\r\n");
    assert_eq!(ask(&proxy, request).await.unwrap().status, 200);
    let served = collector.wait_for("SERVER", 1).await.remove(0);
    let called = collector.wait_for("CLIENT", 1).await.remove(0);
    for span in [&served, &called] {
        assert_eq!(span["name"], "GET", "{span}");
        assert_eq!(span["status"], "STATUS_CODE_UNSET", "{span}");
        assert_eq!(span["trace"], served["trace"]);
        assert_eq!(about(span, "http.response.status_code"), 200);
        assert_eq!(about(span, "error.type"), &Value::Null);
        let resource = &span["resource"];
        assert_eq!(resource["service.name"], "edge");
        assert_eq!(resource["service.version"], proxy_version());
        assert!(resource["host.name"].is_string() && resource["service.instance.id"].is_string());
    }
    assert_eq!((&served["parent"], &called["parent"]), (&"".into(), &served["span"]));
    // Whose parent is in another program is known of both, and true of neither.
    assert_eq!((&served["flags"], &called["flags"]), (&0x101.into(), &0x101.into()));
    let told = backend.last().field("traceparent");
    let (trace, span) = (called["trace"].as_str().unwrap(), called["span"].as_str().unwrap());
    assert_eq!(told, format!("00-{trace}-{span}-01"));
    let endpoint: std::net::SocketAddr = backend.endpoint().parse().unwrap();
    let id = backend.last().field("x-request-id");
    for (span, name, value) in [
        (&served, "http.request.method", json!("GET")),
        (&served, "url.path", json!("/bytes/10")),
        (&served, "url.scheme", json!("https")),
        (&served, "server.address", json!(NAME)),
        (&served, "client.address", json!("127.0.0.1")),
        (&served, "network.protocol.version", json!("1.1")),
        (&served, "user_agent.original", json!("tester/1")),
        (&served, "http.response.body.size", json!(10)),
        (&served, "tls.protocol.version", json!("1.3")),
        (&served, "tls.resumed", json!(false)),
        (&served, "tls.client.server_name", json!(NAME)),
        (&served, "portunus.listener", json!("https")),
        (&served, "portunus.backend", json!("app")),
        (&served, "portunus.request_id", json!(id)),
        (&served, "portunus.end", json!("complete")),
        (&called, "http.request.method", json!("GET")),
        (&called, "server.address", json!("127.0.0.1")),
        (&called, "server.port", json!(endpoint.port())),
        (&called, "portunus.backend", json!("app")),
    ] {
        assert_eq!(about(span, name), &value, "{name} of {span}");
    }
    let times = |span: &Value| (span["start"].as_u64().unwrap(), span["end"].as_u64().unwrap());
    let (served_from, served_to) = times(&served);
    let (called_from, called_to) = times(&called);
    assert!(served_from <= called_from && called_to <= served_to, "{served} {called}");
    assert!(!format!("{:?}", collector.requests()).contains("secret"));
    proxy
        .wait_for_metric("portunus_traces_exported_total", &[("result", "taken")], |n| n == 2.0)
        .await;
}

/// The version that the build has.
fn proxy_version() -> &'static str {
    env!("CARGO_PKG_VERSION")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_of_http2_and_one_that_is_answered_here_have_spans_as_well() {
    let Some(collector) = Collector::start().await else { return };
    let proxy = traced(&collector).listener(https(NAME)).backend(http()).start().await;
    let Some(curl) = curl_for(&proxy, NAME) else { return };
    curl.args(["--http2", "-X", "BREW", &url(&proxy, NAME, "/pot")]).run().await.expect_success();
    let served = collector.wait_for("SERVER", 1).await.remove(0);
    assert_eq!(about(&served, "network.protocol.version"), "2");
    assert_eq!(
        (&served["name"], about(&served, "http.request.method")),
        (&"HTTP".into(), &"_OTHER".into())
    );
    assert_eq!(about(&served, "http.request.method_original"), "BREW");
    let port = proxy.first_address().port();
    assert_eq!(about(&served, "server.port"), port);
    collector.wait_for("CLIENT", 1).await;
    let other = "GET /other HTTP/1.1\r\nHost: other.example\r\n\r\n";
    assert_eq!(ask(&proxy, other).await.unwrap().status, 421);
    let refused = collector.wait_for("SERVER", 2).await.remove(1);
    assert_eq!(about(&refused, "http.response.status_code"), 421);
    assert_eq!(refused["status"], "STATUS_CODE_UNSET");
    assert_eq!(collector.wait_for("CLIENT", 1).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_went_wrong_is_said_where_it_went_wrong() {
    let Some(collector) = Collector::start().await else { return };
    let broken = raw(|mut stream, _| async move {
        let _ = stream.read(&mut [0; 1_024]).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf").await;
    });
    let sites = https(NAME).site("gone.example", "gone").site("broken.example", "broken");
    let proxy = traced(&collector)
        .listener(sites)
        .backend(http())
        .backend_named("gone", unreachable())
        .backend_named("broken", &broken)
        .start()
        .await;
    let spans = async |host: &str, path: &str, count: usize| {
        let mut client = connect(&proxy).await;
        let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        client.send(request.as_bytes()).await;
        let _ = client.receive_all().await;
        let served = collector.wait_for("SERVER", count).await.remove(count - 1);
        let called = collector.wait_for("CLIENT", count).await.remove(count - 1);
        (served, called)
    };
    let errors = |(served, called): &(Value, Value)| {
        let of = |span: &Value| {
            let is_error = span["status"] == "STATUS_CODE_ERROR";
            let kind = about(span, "error.type").as_str().unwrap_or_default().to_owned();
            assert_eq!(is_error, !kind.is_empty(), "{span}");
            kind
        };
        [of(served), of(called)]
    };
    let missing = spans(NAME, "/status/404", 1).await;
    assert_eq!(errors(&missing), ["", "404"]);
    let failing = spans(NAME, "/status/500", 2).await;
    assert_eq!(errors(&failing), ["500", "500"]);
    let gone = spans("gone.example", "/", 3).await;
    let status = about(&gone.0, "http.response.status_code").to_string();
    assert_eq!(errors(&gone), [status.as_str(), "connect_refused"]);
    assert_eq!(about(&gone.1, "http.response.status_code"), &Value::Null);
    let broken = spans("broken.example", "/", 4).await;
    assert_eq!(errors(&broken), ["backend", "broken"]);
    assert_eq!(about(&broken.0, "http.response.body.size"), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_of_bytes_is_one_span() {
    let Some(collector) = Collector::start().await else { return };
    let proxy: Proxy = traced(&collector).listener(tls(NAME)).backend(echo()).start().await;
    let mut client = proxy.client(NAME).connect().await;
    client.send(b"hello").await;
    client.expect(b"hello").await;
    client.close_notify().await;
    let _ = client.receive_all().await;
    let span = collector.wait_for("SERVER", 1).await.remove(0);
    for (name, value) in [
        ("network.transport", json!("tcp")),
        ("client.address", json!("127.0.0.1")),
        ("network.peer.address", json!("127.0.0.1")),
        ("tls.client.server_name", json!(NAME)),
        ("tls.resumed", json!(false)),
        ("portunus.handshake", json!("full")),
        ("portunus.listener", json!("tls")),
        ("portunus.bytes_downstream", json!(5)),
        ("portunus.bytes_upstream", json!(5)),
        ("portunus.reason", json!("done")),
    ] {
        assert_eq!(about(&span, name), &value, "{name} of {span}");
    }
    assert_eq!((&span["name"], &span["parent"]), (&"tcp".into(), &"".into()));
}

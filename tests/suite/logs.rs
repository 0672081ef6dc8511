//! Lines that machines read: flat, of one kind a field, and as the document says.

use std::collections::BTreeMap;
use std::fs;

use portunus_tests::foreign::{program, python};
use portunus_tests::wait::eventually;
use portunus_tests::{Proxy, echo, http, https, tls, unreachable};
use serde_json::Value;

use crate::tidy::{fields, root};

const NAME: &str = "app.example";
const RAW: &str = "raw.example";

/// A proxy with a line for each request and each connection, after some of both.
async fn busy() -> Proxy {
    let proxy = Proxy::builder()
        .listener(https(NAME))
        .listener(tls(RAW).to("echo"))
        .backend(http())
        .backend_named("echo", echo())
        .set("log.access", "\"access.log\"")
        .set("log.ja4", "true")
        .start()
        .await;
    let mut web = proxy.client(NAME).alpn(&["http/1.1"]).connect().await;
    web.send(b"GET /a?b=c HTTP/1.1\r\nHost: app.example\r\nConnection: close\r\n\r\n").await;
    web.receive_all().await.unwrap();
    let mut raw = proxy.client(RAW).at(proxy.address("tls")).connect().await;
    raw.send(b"hello").await;
    raw.expect(b"hello").await;
    raw.close_notify().await;
    raw.receive_all().await.unwrap();
    proxy.client("other.example").try_connect().await.unwrap_err();
    proxy.reload().await;
    proxy
}

/// The lines of the access log, once there are `count`.
async fn access(proxy: &Proxy, count: usize) -> Vec<Value> {
    let path = proxy.folder().join("access.log");
    eventually("the lines of the access log", async || {
        let text = fs::read_to_string(&path).ok()?;
        let lines = text.lines().map(|line| serde_json::from_str(line).ok());
        lines.collect::<Option<Vec<Value>>>().filter(|lines| lines.len() == count)
    })
    .await
}

/// What a strict reader makes of `lines`, which have to have all of `names`.
async fn read(lines: &[u8], names: &[&str]) -> Option<BTreeMap<String, String>> {
    let python = python()?.arg(program("lines.py")).args(names).input(lines);
    let said = python.run().await.expect_success();
    let kinds = said.lines().filter_map(|line| line.split_once(' '));
    Some(kinds.map(|(name, kind)| (name.to_owned(), kind.to_owned())).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn each_connection_of_bytes_has_a_line_in_the_access_log() {
    let proxy = busy().await;
    let lines = access(&proxy, 2).await;
    let (request, connection) = (&lines[0], &lines[1]);
    assert_eq!((&request["path"], &request["sni"]), (&"/a".into(), &Value::Null));
    for (name, value) in [
        ("client", "127.0.0.1"),
        ("listener", "tls"),
        ("sni", RAW),
        ("tls", "1.3"),
        ("handshake", "full"),
        ("backend", "echo"),
        ("end", "done"),
    ] {
        assert_eq!(connection[name], value, "{name}: {connection}");
    }
    assert_eq!((&connection["received"], &connection["sent"]), (&5.into(), &5.into()));
    assert!(connection["endpoint"].as_str().unwrap().starts_with("127.0.0.1:"), "{connection}");
    let ja4 = connection["ja4"].as_str().unwrap();
    assert!(ja4.starts_with("t13d") && ja4.len() == 36, "{connection}");
    // It differs in what is offered by ALPN alone.
    let of_request = request["ja4"].as_str().unwrap();
    assert_eq!((&of_request[8..10], &ja4[8..10]), ("h1", "00"));
    let closed = [("sni", RAW), ("ja4", ja4)];
    proxy.wait_for_log("closed", &closed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_could_not_be_reached_is_named() {
    let proxy = Proxy::builder()
        .listener(https(NAME))
        .listener(tls(RAW).to("raw"))
        .backend(unreachable())
        .backend_named("raw", unreachable())
        .set("log.access", "\"access.log\"")
        .start()
        .await;
    let mut web = proxy.client(NAME).alpn(&["http/1.1"]).connect().await;
    web.send(b"GET / HTTP/1.1\r\nHost: app.example\r\nConnection: close\r\n\r\n").await;
    web.receive_all().await.unwrap();
    let mut raw = proxy.client(RAW).at(proxy.address("tls")).connect().await;
    raw.receive_all().await.unwrap_or_default();
    let lines = access(&proxy, 2).await;
    assert_eq!(
        (&lines[0]["status"], &lines[1]["end"]),
        (&503.into(), &"backend_unreachable".into())
    );
    for line in lines {
        assert!(line["endpoint"].is_string(), "{line}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_being_asked_for_no_line_tells_which_software_a_client_is_like() {
    let proxy = Proxy::builder()
        .listener(tls(NAME))
        .backend(echo())
        .set("log.access", "\"access.log\"")
        .start()
        .await;
    drop(proxy.client(NAME).connect().await);
    assert_eq!(access(&proxy, 1).await[0]["ja4"], Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn machines_read_every_line_and_the_document_says_what_they_read() {
    let proxy = busy().await;
    let count = access(&proxy, 2).await.len();
    assert_eq!(count, 2);
    let folder = proxy.folder().to_owned();
    let lines = fs::read(folder.join("access.log")).unwrap();
    let Some(kinds) = read(&lines, &["sni", "path", "ja4", "end"]).await else { return };
    let text = fs::read_to_string(root().join("dashboards/LOGS.md")).unwrap();
    let (_, of_access) = text.split_once("## Fields of the access log").unwrap();
    for (name, kind) in kinds.iter().filter(|(name, _)| *name != "timestamp") {
        let row = format!("| `{name}` | {kind} |");
        assert!(of_access.contains(&row), "{row}");
    }
    let log = proxy.drain().await.log;
    let lines: Vec<u8> = log.iter().flat_map(|line| [line.as_bytes(), b"\n"].concat()).collect();
    let Some(kinds) = read(&lines, &["level", "listener", "ja4", "reason"]).await else { return };
    let documented = fields::documented();
    for (name, kind) in kinds {
        if !["timestamp", "level", "message"].contains(&name.as_str()) {
            assert_eq!(documented.get(&name), Some(&kind), "{name}");
        }
    }
}

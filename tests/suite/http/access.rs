//! The access log: a line about each request, whatever becomes of it, and never at the cost of one.

use std::fs;
use std::path::Path;

use portunus_tests::foreign::{curl_for, url};
use portunus_tests::wait::eventually;
use portunus_tests::{Proxy, http, https, raw};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{NAME, ask, connect, get};

/// The lines of a log in JSON, once there are `count`.
async fn lines(path: &Path, count: usize) -> Vec<Value> {
    eventually("the lines of the access log", async || {
        let text = fs::read_to_string(path).ok()?;
        let lines: Option<Vec<Value>> =
            text.lines().map(|line| serde_json::from_str(line).ok()).collect();
        lines.filter(|lines| lines.len() == count)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn each_request_has_a_line_that_says_what_became_of_it() {
    let backend = http();
    let builder = Proxy::builder().listener(https(NAME)).backend(&backend);
    let proxy = builder.set("log.access", "\"access.log\"").start().await;
    let path = proxy.folder().join("access.log");
    assert_eq!(ask(&proxy, get("/one?secret=1", "")).await.unwrap().status, 200);
    let asked = lines(&path, 1).await.remove(0);
    let about = |name: &str| asked[name].as_str().unwrap_or_default().to_owned();
    assert_eq!((about("method"), about("path")), ("GET".into(), "/one".into()));
    assert_eq!((about("version"), about("host")), ("HTTP/1.1".into(), NAME.to_owned()));
    assert_eq!((about("client"), about("end")), ("127.0.0.1".into(), "complete".into()));
    assert_eq!((about("listener"), about("backend")), ("https".into(), "app".into()));
    assert_eq!(about("endpoint"), backend.endpoint());
    assert_eq!(about("request_id"), backend.last().field("x-request-id"));
    assert_eq!(asked["status"], 200);
    assert!(asked["duration_ms"].as_f64() >= asked["head_ms"].as_f64(), "{asked}");

    let other = "GET /other HTTP/1.1\r\nHost: other.example\r\n\r\n";
    assert_eq!(ask(&proxy, other).await.unwrap().status, 421);
    let refused = lines(&path, 2).await.remove(1);
    assert_eq!((&refused["status"], &refused["host"]), (&421.into(), &"other.example".into()));
    assert_eq!((&refused["backend"], &refused["endpoint"]), (&Value::Null, &Value::Null));

    let unread = ask(&proxy, "GET / HTTP/1.1\r\nno field\r\n\r\n").await.unwrap();
    assert_eq!(unread.status, 400);
    let unread = lines(&path, 3).await.remove(2);
    assert_eq!((&unread["status"], &unread["method"]), (&400.into(), &Value::Null), "{unread}");
    assert_eq!((&unread["client"], &unread["listener"]), (&"127.0.0.1".into(), &"https".into()));

    if let Some(curl) = curl_for(&proxy, NAME) {
        curl.args(["--http2", &url(&proxy, NAME, "/two")]).run().await.expect_success();
        let two = lines(&path, 4).await.remove(3);
        assert_eq!((&two["version"], &two["path"]), (&"HTTP/2".into(), &"/two".into()));
    }
    assert!(!fs::read_to_string(&path).unwrap().contains("secret"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_response_that_breaks_off_is_told_as_such() {
    let backend = raw(|mut stream, _| async move {
        let mut head = [0; 1_024];
        let _ = stream.read(&mut head).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf").await;
    });
    let builder = Proxy::builder().listener(https(NAME)).backend(&backend);
    let proxy = builder.set("log.access", "\"access.log\"").start().await;
    let mut client = connect(&proxy).await;
    client.send(get("/", "").as_bytes()).await;
    let _ = client.receive_all().await;
    let line = lines(&proxy.folder().join("access.log"), 1).await.remove(0);
    assert_eq!((&line["end"], &line["sent"]), (&"backend".into(), &4.into()), "{line}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_was_moved_away_is_opened_anew_at_sighup() {
    let backend = http();
    let builder = Proxy::builder().listener(https(NAME)).backend(&backend);
    let proxy = builder.set("log.access", "\"access.log\"").start().await;
    let (path, moved) = (proxy.folder().join("access.log"), proxy.folder().join("access.log.1"));
    ask(&proxy, get("/before", "")).await.unwrap();
    assert_eq!(lines(&path, 1).await[0]["path"], "/before");
    fs::rename(&path, &moved).unwrap();
    proxy.process().signal("HUP");
    proxy.wait_for_log("the access log was opened anew", &[]).await;
    ask(&proxy, get("/after", "")).await.unwrap();
    assert_eq!(lines(&path, 1).await[0]["path"], "/after");
    assert_eq!(lines(&moved, 1).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_stops_no_request() {
    let backend = http();
    let builder = Proxy::builder().listener(https(NAME)).backend(&backend);
    let proxy = builder.set("log.access", "\"/dev/full\"").start().await;
    for _ in 0..10 {
        assert_eq!(ask(&proxy, get("/", "")).await.unwrap().status, 200);
    }
    proxy.wait_for_metric("portunus_log_dropped_total", &[], |lost| lost == 10.0).await;
    let said = "the access log cannot be written; lines are lost";
    proxy.wait_for_log(said, &[]).await;
    let lines = proxy.process().lines();
    assert_eq!(lines.iter().filter(|line| line.says(said, &[])).count(), 1);
}

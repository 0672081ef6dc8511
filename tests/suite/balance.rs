//! Which endpoint a request goes to: shares, keys, and endpoints that are not well, seen from
//! outside.
//!
//! Every endpoint here answers with its own name, so that a client knows who answered.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Output;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use portunus_tests::{Backend, Proxy, Response, command, https, raw, unreachable};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UdpSocket;

use crate::http::{NAME, ask, get};

/// An endpoint that says its name, and whether it is well if that is what it is asked.
fn endpoint(name: &'static str, is_well: &Arc<AtomicBool>) -> Backend {
    let is_well = Arc::clone(is_well);
    raw(move |mut stream, _| {
        let is_well = Arc::clone(&is_well);
        async move {
            let mut request = [0; 4096];
            let count = stream.read(&mut request).await.unwrap_or_default();
            let is_check = request[..count].starts_with(b"GET /healthz ");
            let status = match is_check && !is_well.load(Ordering::SeqCst) {
                true => "503 Not Well",
                false => "200 OK",
            };
            let length = name.len();
            let head = format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\n");
            let answer = format!("{head}connection: close\r\n\r\n{name}");
            // Whoever breaks off is of no interest.
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    })
}

fn well(name: &'static str) -> Backend {
    endpoint(name, &Arc::new(AtomicBool::new(true)))
}

async fn answer(proxy: &Proxy, fields: &str) -> Response {
    ask(proxy, get("/", fields)).await.expect("an answer")
}

/// Who answered how often.
async fn answers(proxy: &Proxy, count: usize) -> BTreeMap<String, usize> {
    let mut answers = BTreeMap::new();
    for _ in 0..count {
        let answer = answer(proxy, "").await;
        assert_eq!(answer.status, 200);
        *answers.entry(answer.text()).or_default() += 1;
    }
    answers
}

#[tokio::test(flavor = "multi_thread")]
async fn weights_are_shares_and_a_backup_waits_until_nobody_else_is_left() {
    let (one, two, spare) = (well("one"), well("two"), well("spare"));
    let section =
        |backend: &Backend, rest: &str| format!("{{ address = {:?}, {rest} }}", backend.endpoint());
    let endpoints = [
        section(&one, "weight = 1"),
        section(&two, "weight = 3"),
        section(&spare, "weight = 100, backup = true"),
    ];
    let proxy = Proxy::builder()
        .listener(https(NAME))
        .backend(&one)
        .set("backend.app.endpoints", &format!("[{}]", endpoints.join(", ")))
        .set("backend.app.balance", "\"round-robin\"")
        .start()
        .await;
    let expected = [("one".to_owned(), 5), ("two".to_owned(), 15)];
    assert_eq!(answers(&proxy, 20).await, expected.into());
    let gone = [section(&unreachable(), "weight = 1"), section(&spare, "backup = true")];
    let proxy = Proxy::builder()
        .listener(https(NAME))
        .backend(&one)
        .set("backend.app.endpoints", &format!("[{}]", gone.join(", ")))
        .start()
        .await;
    assert_eq!(answers(&proxy, 10).await, [("spare".to_owned(), 10)].into());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cookie_leads_to_the_same_endpoint_in_every_process() {
    let (one, two, three) = (well("one"), well("two"), well("three"));
    let all = [one.endpoint(), two.endpoint(), three.endpoint()];
    let start = async || {
        let builder = Proxy::builder().listener(https(NAME)).endpoints("app", &all);
        builder.set("backend.app.balance", "\"hash-cookie:id\"").start().await
    };
    let (here, there) = (start().await, start().await);
    let mut owners = BTreeSet::new();
    for id in 0..20 {
        let cookie = format!("Cookie: theme=dark; id={id}\r\n");
        let owner = answer(&here, &cookie).await.text();
        for proxy in [&here, &there] {
            assert_eq!(answer(proxy, &cookie).await.text(), owner, "{cookie}");
        }
        owners.insert(owner);
    }
    assert_eq!(owners.len(), 3, "{owners:?}");
    assert!(answers(&here, 30).await.len() > 1, "without the cookie, anybody");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_fails_its_checks_gets_nothing_until_it_is_well_again() {
    let (is_well, always) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicBool::new(true)));
    let (one, two) = (endpoint("one", &is_well), endpoint("two", &always));
    let proxy = Proxy::builder()
        .listener(https(NAME))
        .endpoints("app", &[one.endpoint(), two.endpoint()])
        .set("backend.app.balance", "\"round-robin\"")
        .set("backend.app.health", "{ path = \"/healthz\", interval = \"125ms\", fall = 2 }")
        .start()
        .await;
    let labels = |standing| [("backend", "app"), ("standing", standing)];
    assert_eq!(answers(&proxy, 10).await.len(), 2);
    is_well.store(false, Ordering::SeqCst);
    proxy.wait_for_metric("portunus_endpoints", &labels("unhealthy"), |count| count == 1.0).await;
    assert_eq!(answers(&proxy, 10).await, [("two".to_owned(), 10)].into());
    proxy.wait_for_log("endpoint is unhealthy", &[("endpoint", one.endpoint())]).await;
    always.store(false, Ordering::SeqCst);
    proxy.wait_for_metric("portunus_endpoints", &labels("unhealthy"), |count| count == 2.0).await;
    let refused = answer(&proxy, "").await;
    assert_eq!((refused.status, refused.field("retry-after")), (503, "1"));
    is_well.store(true, Ordering::SeqCst);
    proxy.wait_for_metric("portunus_endpoints", &labels("usable"), |count| count == 1.0).await;
    assert_eq!(answers(&proxy, 10).await, [("one".to_owned(), 10)].into());
    let bad = [("backend", "app"), ("result", "status")];
    assert!(proxy.metric("portunus_health_checks_total", &bad).await >= 4.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_fails_in_use_is_left_out_and_no_request_notices() {
    let one = well("one");
    let proxy = Proxy::builder()
        .listener(https(NAME))
        .endpoints("app", &[unreachable().endpoint(), one.endpoint()])
        .set("backend.app.ejection", "{ failures = 3, base = \"1h\", longest = \"1h\" }")
        .set("backend.app.balance", "\"round-robin\"")
        .start()
        .await;
    assert_eq!(answers(&proxy, 20).await, [("one".to_owned(), 20)].into());
    let backend = [("backend", "app")];
    assert_eq!(proxy.metric("portunus_backend_ejections_total", &backend).await, 1.0);
    let refused = [("backend", "app"), ("reason", "connect_refused")];
    assert_eq!(proxy.metric("portunus_backend_errors_total", &refused).await, 3.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operator_drains_an_endpoint_of_the_running_process() {
    let (one, two) = (well("one"), well("two"));
    let proxy = Proxy::builder()
        .listener(https(NAME))
        .endpoints("app", &[one.endpoint(), two.endpoint()])
        .set("backend.app.balance", "\"round-robin\"")
        .set("admin.listen", "\"unix:admin.sock\"")
        .start()
        .await;
    let portunus = |arguments: &[&str]| -> Output {
        let mut portunus = command();
        portunus.args(arguments).arg("--config").arg(proxy.folder().join("config.toml"));
        portunus.output().unwrap()
    };
    assert_eq!(answers(&proxy, 10).await.len(), 2);
    let output = portunus(&["endpoint", "drain", "app", one.endpoint()]);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "drain: 1 address\n");
    assert_eq!(answers(&proxy, 10).await, [("two".to_owned(), 10)].into());
    let status = portunus(&["status", "--json"]);
    let status: Value = serde_json::from_slice(&status.stdout).unwrap();
    let told = &status["backends"][0]["endpoints"];
    let standings = |index: usize| told[index]["standing"].as_str().unwrap().to_owned();
    assert_eq!([standings(0), standings(1)], ["draining", "usable"], "{told}");
    let words = String::from_utf8_lossy(&portunus(&["status"]).stdout).into_owned();
    let line = format!("backend app: 1 usable endpoint, {} draining", one.endpoint());
    assert!(words.lines().any(|shown| shown == line), "{words}");
    assert_eq!(portunus(&["endpoint", "resume", "app", one.endpoint()]).status.code(), Some(0));
    assert_eq!(answers(&proxy, 10).await.len(), 2);
    let unknown = portunus(&["endpoint", "drain", "app", "127.0.0.1:1"]);
    assert_eq!(unknown.status.code(), Some(1));
    let words = String::from_utf8_lossy(&unknown.stderr).into_owned();
    assert!(words.contains("no such backend or endpoint"), "{words}");
}

#[tokio::test(flavor = "multi_thread")]
async fn over_a_port_without_a_token_nothing_is_changed() {
    let one = well("one");
    let proxy = Proxy::builder().listener(https(NAME)).backend(&one).start().await;
    let mut stream = tokio::net::TcpStream::connect(proxy.address("admin")).await.unwrap();
    let target = format!("/endpoints/drain?backend=app&endpoint={}", one.endpoint());
    let request = format!("POST {target} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
    assert_eq!(answers(&proxy, 3).await, [("one".to_owned(), 3)].into());
}

/// Answers every question for an IPv4 address with 127.0.0.1 for one second, as long as `is_well`,
/// and all else with an error.
async fn resolve(socket: &UdpSocket, is_well: &AtomicBool) {
    let mut buffer = [0; 512];
    while let Ok((count, peer)) = socket.recv_from(&mut buffer).await {
        let question = &buffer[..count];
        let labels = question[12..].iter().position(|byte| *byte == 0).unwrap();
        let (end, kind) = (12 + labels + 5, question[12 + labels + 2]);
        let mut answer = question[..end].to_vec();
        answer[10..12].fill(0);
        (answer[2], answer[3]) = (0x81, if is_well.load(Ordering::SeqCst) { 0x80 } else { 0x82 });
        if kind == 1 && is_well.load(Ordering::SeqCst) {
            answer[7] = 1;
            answer.extend(b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x01\x00\x04\x7f\x00\x00\x01");
        }
        let _ = socket.send_to(&answer, peer).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_cannot_be_resolved_any_more_is_used_as_it_was() {
    let (one, is_well) = (well("one"), AtomicBool::new(true));
    let port = one.endpoint().rsplit_once(':').unwrap().1.to_owned();
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let nameserver = socket.local_addr().unwrap();
    let test = async {
        let proxy = Proxy::builder()
            .listener(https(NAME))
            .endpoints("app", &[&format!("service.internal:{port}")])
            .set("resolver.nameservers", &format!("[\"{nameserver}\"]"))
            .start()
            .await;
        assert_eq!(answers(&proxy, 3).await, [("one".to_owned(), 3)].into());
        is_well.store(false, Ordering::SeqCst);
        let failed = [("backend", "app"), ("result", "failed")];
        let name = "portunus_backend_resolutions_total";
        proxy.wait_for_metric(name, &failed, |count| count >= 2.0).await;
        assert_eq!(answers(&proxy, 3).await, [("one".to_owned(), 3)].into());
        let age = "portunus_backend_resolve_age_seconds";
        proxy.wait_for_metric(age, &[("backend", "app")], |age| age > 1.0).await;
        is_well.store(true, Ordering::SeqCst);
        proxy.wait_for_log("the name of an endpoint is resolved again", &[]).await;
        proxy.wait_for_metric(age, &[("backend", "app")], |age| age < 2.0).await;
    };
    tokio::select! {
        () = resolve(&socket, &is_well) => {}
        () = test => {}
    }
}

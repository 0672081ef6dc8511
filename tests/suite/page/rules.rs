//! What the admin listener keeps to, whoever asks.

use std::fs;

use portunus_tests::wait::within;
use portunus_tests::{Proxy, Response, TOKEN, echo, http, https, tls};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::status::rich::rich;

/// What is answered to these bytes.
async fn answer(proxy: &Proxy, bytes: &[u8]) -> Response {
    let mut stream = TcpStream::connect(proxy.address("admin")).await.unwrap();
    // A refusal may come before the last byte is taken.
    let _ = stream.write_all(bytes).await;
    let mut answer = Vec::new();
    let _ = within("an answer", stream.read_to_end(&mut answer)).await;
    Response::parse(&answer).expect("an answer")
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_is_told_holds_a_secret() {
    let proxy = rich().await;
    let mut secrets = vec![TOKEN.to_owned()];
    for file in ["sealing.key", "certs.d/app.pem", "certs.d/mail.pem"] {
        let text = fs::read_to_string(proxy.folder().join(file)).unwrap();
        let text = text.split_once("PRIVATE KEY-----").map_or(&*text, |(_, key)| key);
        secrets.extend(text.lines().filter(|line| line.len() > 20).map(str::to_owned));
    }
    assert!(secrets.len() > 5, "{secrets:?}");
    for path in ["/", "/status", "/metrics"] {
        let told = proxy.admin(path).await.text();
        for secret in &secrets {
            assert!(!told.contains(&**secret), "{path}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn those_who_say_nothing_keep_neither_operators_nor_clients_out() {
    let proxy = Proxy::builder().listener(tls("app.example")).backend(echo()).start().await;
    let mut silent = Vec::new();
    for _ in 0..64 {
        silent.push(TcpStream::connect(proxy.address("admin")).await.unwrap());
    }
    let mut client = proxy.client("app.example").connect().await;
    client.send(b"served").await;
    client.expect(b"served").await;
    assert_eq!(proxy.admin("/livez").await.status, 200, "their time is over, and it is our turn");
    drop(silent);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_without_an_end_is_refused_and_there_is_no_way_into_the_memory() {
    let proxy = Proxy::builder().listener(tls("app.example")).backend(echo()).start().await;
    let mut endless = b"GET /livez HTTP/1.1\r\nHost: localhost\r\nX: ".to_vec();
    endless.resize(64 * 1024, b'x');
    assert_eq!(answer(&proxy, &endless).await.status, 431);
    for path in ["/debug/pprof/heap", "/debug", "/heap", "/config", "/../config.toml"] {
        let head = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        assert_eq!(answer(&proxy, head.as_bytes()).await.status, 404, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_admin_listener_says_what_program_this_is() {
    let proxy = Proxy::builder().listener(https("app.example")).backend(http()).start().await;
    assert_eq!(proxy.admin("/status").await.field("server"), "");
    for host in ["app.example", "elsewhere.example"] {
        let mut client = proxy.client("app.example").alpn(&["http/1.1"]).connect().await;
        let head = format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        client.send(head.as_bytes()).await;
        let told = String::from_utf8_lossy(&client.receive_all().await.unwrap()).to_lowercase();
        assert!(told.starts_with("http/1.1 ") && !told.contains("portunus"), "{told}");
        assert!(!told.contains("\r\nserver:") && !told.contains("\r\nvia:"), "{told}");
    }
}

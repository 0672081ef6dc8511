//! Time and size: what is too slow or too large is refused in words.

use std::time::Duration;

use portunus_tests::{Proxy, Response, Tls, http, https, read_response};
use tokio::time::Instant;

use super::{NAME, ask, connect, get, is_closed};

async fn limited(key: &str, value: &str) -> Proxy {
    let key = format!("limits.http.{key}");
    Proxy::builder().listener(https(NAME)).backend(http()).set(&key, value).start().await
}

async fn refused(mut client: Tls, status: u16) {
    let answer = read_response(&mut client, &mut Vec::new()).await.expect("an answer");
    refused_by(client, &answer, status).await;
}

async fn refused_by(mut client: Tls, answer: &Response, status: u16) {
    let begin = Instant::now();
    assert_eq!(answer.status, status);
    assert!(answer.text().contains(answer.field("x-request-id")), "{}", answer.text());
    assert_eq!(answer.field("connection"), "close");
    assert!(is_closed(&mut client).await);
    assert!(begin.elapsed() < Duration::from_secs(20), "{:?}", begin.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_does_not_end_is_408() {
    let proxy = limited("request_head_timeout", "\"500ms\"").await;
    for _ in 0..4 {
        let mut client = connect(&proxy).await;
        // What is said so late that it looks like nothing at all is not answered.
        let _ = client.try_send(b"GET / HTTP/1.1\r\nHost: app.exam").await;
        if let Some(answer) = read_response(&mut client, &mut Vec::new()).await {
            return refused_by(client, &answer, 408).await;
        }
    }
    panic!("no answer");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_asks_nothing_is_closed() {
    let proxy = limited("request_head_timeout", "\"500ms\"").await;
    for protocol in ["http/1.1", "h2"] {
        let mut client = proxy.client(NAME).alpn(&[protocol]).connect().await;
        // In words or without, but not without an end.
        let _ = client.receive_all().await;
    }
    proxy.wait_for_metric("portunus_connections_active", &[], |count| count == 0.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_was_used_may_be_silent_only_so_long() {
    let proxy = limited("keepalive_timeout", "\"500ms\"").await;
    let mut client = connect(&proxy).await;
    client.send(get("/", "").as_bytes()).await;
    assert_eq!(read_response(&mut client, &mut Vec::new()).await.unwrap().status, 200);
    assert!(is_closed(&mut client).await, "silently");
}

#[tokio::test(flavor = "multi_thread")]
async fn content_that_stops_coming_is_408() {
    let proxy = limited("request_body_timeout", "\"500ms\"").await;
    let mut client = connect(&proxy).await;
    client.send(b"POST / HTTP/1.1\r\nHost: app.example\r\nContent-Length: 9\r\n\r\nhe").await;
    refused(client, 408).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_fields_are_431() {
    let proxy = limited("header_fields", "20").await;
    let fields = |count: usize| (0..count).map(|n| format!("X-{n}: 1\r\n")).collect::<String>();
    assert_eq!(ask(&proxy, get("/", &fields(19))).await.unwrap().status, 200);
    let mut client = connect(&proxy).await;
    client.send(get("/", &fields(20)).as_bytes()).await;
    refused(client, 431).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_is_too_large_is_431() {
    let proxy = limited("header_size", "\"8 KiB\"").await;
    let field = |size: usize| format!("X-A: {}\r\n", "a".repeat(size));
    assert_eq!(ask(&proxy, get("/", &field(7_000))).await.unwrap().status, 200);
    let mut client = connect(&proxy).await;
    client.send(get("/", &field(9_000)).as_bytes()).await;
    refused(client, 431).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_is_too_long_is_414() {
    let proxy = limited("uri_size", "\"1 KiB\"").await;
    let path = |size: usize| format!("/{}", "a".repeat(size - 1));
    assert_eq!(ask(&proxy, get(&path(1_024), "")).await.unwrap().status, 200);
    let mut client = connect(&proxy).await;
    client.send(get(&path(1_025), "").as_bytes()).await;
    refused(client, 414).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_serves_so_many_requests_and_says_when_it_was_the_last() {
    let proxy = limited("requests", "3").await;
    let mut client = connect(&proxy).await;
    let mut buffer = Vec::new();
    for left in [2, 1, 0] {
        client.send(get("/", "").as_bytes()).await;
        let answer = read_response(&mut client, &mut buffer).await.unwrap();
        assert_eq!((answer.status, answer.field("connection") == "close"), (200, left == 0));
    }
    assert!(is_closed(&mut client).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_takes_nothing_is_given_up() {
    let proxy = limited("write_timeout", "\"500ms\"").await;
    let mut client = connect(&proxy).await;
    client.send(get("/bytes/50000000", "").as_bytes()).await;
    // It reads a little and then no more, with the connection held open.
    client.receive().await.unwrap();
    proxy.wait_for_metric("portunus_connections_active", &[], |count| count == 0.0).await;
    proxy.wait_for_metric("portunus_backend_connections_active", &[], |n| n == 0.0).await;
    drop(client);
}

#[tokio::test(flavor = "multi_thread")]
async fn expectations_that_nobody_knows_are_417_and_connect_is_405() {
    let proxy = Proxy::builder().listener(https(NAME)).backend(http()).start().await;
    let answer = ask(&proxy, get("/", "Expect: the-unexpected\r\n")).await.unwrap();
    assert_eq!(answer.status, 417);
    let connect = "CONNECT app.example:443 HTTP/1.1\r\nHost: app.example\r\n\r\n";
    assert_eq!(ask(&proxy, connect).await.unwrap().status, 405);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_refused_gets_to_hear_it_and_an_orderly_end() {
    let proxy = Proxy::builder().listener(https(NAME)).backend(http()).start().await;
    let requests = [
        (
            417,
            format!(
                "POST / HTTP/1.1\r\nHost: {NAME}\r\nContent-Length: 900000\r\nExpect: x\r\n\r\n"
            ),
        ),
        (421, "POST / HTTP/1.1\r\nHost: other.example\r\nContent-Length: 900000\r\n\r\n".into()),
        (400, format!("POST / HTTP/1.1\r\nHost: {NAME}\r\nContent-Length: x\r\n\r\n")),
    ];
    for (status, head) in requests {
        let mut client = connect(&proxy).await;
        client.send(head.as_bytes()).await;
        // On its way before anybody could know of the refusal.
        let _ = client.try_send(&[b'x'; 50_000]).await;
        let answer = read_response(&mut client, &mut Vec::new()).await.expect("an answer");
        assert_eq!((answer.status, answer.field("connection")), (status, "close"));
        // And what comes behind it must not turn the end into a reset.
        let _ = client.try_send(&[b'x'; 5_000]).await;
        client.receive_all().await.expect("an orderly end");
    }
}

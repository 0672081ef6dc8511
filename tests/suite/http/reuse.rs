//! Connections to backends: used again where that is safe, and never where it is not.

use portunus_tests::{Proxy, http, https, raw, read_response};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{NAME, ask, connect, get};

#[tokio::test(flavor = "multi_thread")]
async fn one_connection_serves_many_requests_of_many_clients() {
    let backend = http();
    let proxy = Proxy::builder().listener(https(NAME)).backend(&backend).start().await;
    let mut client = connect(&proxy).await;
    let mut buffer = Vec::new();
    for _ in 0..10 {
        client.send(get("/", "").as_bytes()).await;
        assert_eq!(read_response(&mut client, &mut buffer).await.unwrap().status, 200);
    }
    for _ in 0..10 {
        assert_eq!(ask(&proxy, get("/bytes/100000", "")).await.unwrap().body.len(), 100_000);
    }
    assert_eq!(backend.seen().len(), 20);
    assert!(backend.connections() <= 2, "{} connections", backend.connections());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_the_backend_closed_costs_nobody_a_request() {
    // Keeps its promise of a persistent connection for one request only.
    let backend = raw(|mut stream, _| async move {
        let mut buffer = [0; 4096];
        let _ = stream.read(&mut buffer).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    });
    let proxy = Proxy::builder().listener(https(NAME)).backend(&backend).start().await;
    let mut client = connect(&proxy).await;
    let mut buffer = Vec::new();
    for round in 0..50 {
        client.send(get("/", "").as_bytes()).await;
        let answer = read_response(&mut client, &mut buffer).await.unwrap();
        assert_eq!(answer.status, 200, "request {round}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_a_backend_has_begun_to_read_is_not_sent_twice() {
    let backend = raw(|mut stream, connection| async move {
        let mut buffer = [0; 4096];
        let _ = stream.read(&mut buffer).await;
        if connection == 0 {
            // Good once, so that the connection is kept, and gone in the middle of the next one.
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
            let _ = stream.read(&mut buffer).await;
        }
    });
    let proxy = Proxy::builder().listener(https(NAME)).backend(&backend).start().await;
    assert_eq!(ask(&proxy, get("/", "")).await.unwrap().status, 200);
    let post = "POST / HTTP/1.1\r\nHost: app.example\r\nContent-Length: 5\r\n\r\nhello";
    assert_eq!(ask(&proxy, post).await.unwrap().status, 502);
    assert_eq!(backend.connections(), 1, "the request was sent again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_waits_too_long_is_closed() {
    let proxy = Proxy::builder()
        .listener(https(NAME))
        .backend(http())
        .set("limits.http.pool_idle_timeout", "\"300ms\"")
        .start()
        .await;
    assert_eq!(ask(&proxy, get("/", "")).await.unwrap().status, 200);
    proxy.wait_for_metric("portunus_backend_connections_active", &[], |n| n == 0.0).await;
}

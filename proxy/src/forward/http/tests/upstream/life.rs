//! How long a shared connection lives: while it answers, while it is used, while the process runs.

use super::*;

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_does_not_answer_a_ping_is_given_up() {
    // It reads nothing and says nothing but that it speaks HTTP/2.
    let (_drain, watch) = Drain::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    watch.spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        socket.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).await.unwrap();
        std::future::pending::<()>().await;
    });
    let (mut client, _of_backend, _) = client_of(&addr, |limits| {
        limits.http.response_head_timeout = PATIENCE / 2;
    })
    .await;
    let start = tokio::time::Instant::now();
    client.send(GET).await;
    let answer = client.read_until("\n").await;
    assert!(answer.starts_with("HTTP/1.1 502 "), "{answer}");
    let http = Limits::default().http;
    assert!(start.elapsed() >= http.h2_ping_interval + http.h2_ping_timeout);
    assert!(start.elapsed() < (http.h2_ping_interval + http.h2_ping_timeout) * 2);
}

#[tokio::test(start_paused = true)]
async fn a_connection_without_streams_ends_after_a_while() {
    let (_drain, watch) = Drain::new();
    let endpoint = Endpoint::start(&watch, ok).await;
    let (mut client, _of_backend, _) = client_of(&endpoint.addr, |_| {}).await;
    client.send(GET).await;
    client.read_until("0\r\n\r\n").await;
    let start = tokio::time::Instant::now();
    let idle = Limits::default().http.pool_idle_timeout;
    while !client.metrics().contains("portunus_backend_connections_active{backend=\"app\"} 0") {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert!(start.elapsed() >= idle && start.elapsed() < idle * 2, "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_shared_connection_does_not_hold_up_the_end() {
    let (_of_endpoint, endpoints) = Drain::new();
    let endpoint = Endpoint::start(&endpoints, ok).await;
    let (mut client, drain, watch) = client_of(&endpoint.addr, |_| {}).await;
    client.send(GET).await;
    client.read_until("0\r\n\r\n").await;
    drop(watch);
    assert_eq!(drain.drain(PATIENCE).await, 0);
}

//! WebSocket: a tunnel once the backend agrees, and not a byte before.

use super::*;

const ASK: &str = "GET /chat HTTP/1.1\r\nHost: app.example\r\nConnection: keep-alive, Upgrade\r\n\
                   Upgrade: WebSocket\r\nSec-WebSocket-Key: x3JJHMbDL1EzLkh9GBhXDw==\r\n\r\n";
const AGREE: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\
                     Upgrade: websocket\r\nSec-WebSocket-Accept: y\r\n\r\nearly";

#[tokio::test]
async fn a_websocket_is_a_tunnel_in_both_directions() {
    let mut client = Client::new(vec![say(AGREE), say("pong").after("ping")]).await;
    client.send(ASK).await;
    let text = client.read_until("early").await;
    assert!(text.starts_with("HTTP/1.1 101 Switching Protocols\r\n"), "{text}");
    assert_lines(&text, &["upgrade: websocket", "connection: upgrade", "sec-websocket-accept: y"]);
    client.send("ping").await;
    client.read_until("pong").await;
    let received = client.backend_received();
    assert_lines(&received, &["upgrade: websocket", "connection: upgrade"]);
    let Client { mut io, closed, mock, .. } = client;
    io.write_all(b"bye").await.unwrap();
    io.shutdown().await.unwrap();
    assert_eq!(closed.await.unwrap(), CloseReason::Done);
    assert!(mock.received().concat().ends_with("pingbye"));
}

#[tokio::test]
async fn nothing_passes_before_the_backend_agrees() {
    let late = Step { until: "never", ..say(AGREE) };
    let mut client = Client::new(vec![late]).await;
    client.send(&format!("{ASK}SMUGGLED")).await;
    while !client.backend_received().contains("\r\n\r\n") {
        tokio::task::yield_now().await;
    }
    tokio::time::sleep(Duration::from_millis(50)).await;
    let received = client.backend_received();
    assert!(received.ends_with("\r\n\r\n"), "{received}");
}

#[tokio::test]
async fn what_the_client_sent_too_early_comes_after_the_agreement() {
    let mut client = Client::new(vec![say(AGREE), say("pong").after("EARLY")]).await;
    client.send(&format!("{ASK}EARLY")).await;
    client.read_until("pong").await;
    assert!(client.backend_received().ends_with("\r\n\r\nEARLY"));
}

#[tokio::test]
async fn the_last_request_of_a_connection_may_be_a_websocket() {
    let script = vec![say(AGREE), say("pong").after("ping")];
    let mut client = Client::with(vec![script], |limits| limits.http.requests_max = 1).await;
    client.send(ASK).await;
    let text = client.read_until("early").await;
    assert_lines(&text, &["upgrade: websocket", "connection: upgrade"]);
    assert!(!text.contains("close"), "{text}");
    client.send("ping").await;
    client.read_until("pong").await;
}

#[tokio::test]
async fn a_backend_may_decline() {
    let no = "HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno";
    let ok = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
    let mut client = Client::new(vec![say(no), say(ok)]).await;
    client.send(ASK).await;
    client.read_until("no").await;
    client.send("GET / HTTP/1.1\r\nHost: app.example\r\n\r\n").await;
    client.read_until("ok").await;
    assert_eq!(client.backend_connections().len(), 1);
}

#[tokio::test]
async fn other_protocols_are_not_passed_on() {
    let ok = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
    let asks = [
        "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk",
        "Connection: Upgrade\r\nUpgrade: websocket, h2c",
        "Connection: Upgrade\r\nUpgrade: TLS/1.2",
        "Upgrade: websocket",
        "Connection: Upgrade\r\nUpgrade: websocket\r\nTransfer-Encoding: chunked\r\n\r\n0",
    ];
    for ask in asks {
        let mut client = Client::new(vec![say(ok)]).await;
        client.send(&format!("GET / HTTP/1.1\r\nHost: app.example\r\n{ask}\r\n\r\n")).await;
        client.read_until("ok").await;
        let received = client.backend_received().to_lowercase();
        assert!(!received.contains("upgrade") && !received.contains("http2"), "{received}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_tunnel_where_nothing_moves_ends() {
    let mut client = Client::new(vec![say(AGREE)]).await;
    client.send(ASK).await;
    client.read_until("early").await;
    let start = tokio::time::Instant::now();
    assert_eq!(client.closed.await.unwrap(), CloseReason::Idle);
    assert_eq!(start.elapsed(), Limits::default().tunnel_idle_timeout);
}

//! Time and again: nobody waits for ever, and whoever waits is told.

use tokio::time::Instant;

use super::*;

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
const GET: &str = "GET / HTTP/1.1\r\nHost: app.example\r\n\r\n";

#[tokio::test(start_paused = true)]
async fn silence_before_the_first_request_is_not_answered() {
    let start = Instant::now();
    let client = Client::new(vec![say(OK)]).await;
    let (text, reason) = client.ask("").await;
    assert_eq!((text.as_str(), reason), ("", CloseReason::Timeout));
    assert_eq!(start.elapsed().as_secs(), Limits::default().http.request_head_timeout.as_secs());
}

#[tokio::test(start_paused = true)]
async fn a_head_that_does_not_come_to_an_end_is_answered() {
    let start = Instant::now();
    let client = Client::new(vec![say(OK)]).await;
    let (text, reason) = client.ask("GET / HTTP/1.1\r\nHost: app").await;
    assert!(text.starts_with("HTTP/1.1 408 Request Timeout\r\n"), "{text}");
    assert!(text.contains("\nRequest id: "), "{text}");
    assert_eq!(reason, CloseReason::Timeout);
    assert!(start.elapsed() < Duration::from_secs(16), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn silence_between_requests_ends_the_connection_without_a_word() {
    let mut client = Client::new(vec![say(OK)]).await;
    client.send(GET).await;
    client.read_until("ok").await;
    let start = Instant::now();
    assert_eq!(client.read_to_end().await, "");
    assert_eq!(client.closed.await.unwrap(), CloseReason::Idle);
    assert_eq!(start.elapsed().as_secs(), Limits::default().http.keepalive_timeout.as_secs());
}

#[tokio::test(start_paused = true)]
async fn the_second_head_has_as_little_time_as_the_first() {
    let mut client = Client::new(vec![say(OK)]).await;
    client.send(GET).await;
    client.read_until("ok").await;
    tokio::time::sleep(Duration::from_secs(70)).await;
    client.send("GET /").await;
    let start = Instant::now();
    let text = client.read_until("id: ").await;
    assert!(text.starts_with("HTTP/1.1 408 Request Timeout\r\n"), "{text}");
    assert_eq!(start.elapsed().as_secs(), Limits::default().http.request_head_timeout.as_secs());
}

#[tokio::test(start_paused = true)]
async fn a_head_that_came_with_the_last_request_has_no_more_time() {
    let mut client = Client::new(vec![say(OK).after("\r\n\r\n")]).await;
    client.send(&format!("{GET}GET /")).await;
    client.read_until("ok").await;
    let start = Instant::now();
    let text = client.read_until("id: ").await;
    assert!(text.starts_with("HTTP/1.1 408 Request Timeout\r\n"), "{text}");
    assert!(start.elapsed() < Duration::from_secs(15), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_connection_at_rest_wakes_up() {
    let mut client = Client::new(vec![say(OK); 4]).await;
    for pause in [0, 1, 2, 60] {
        tokio::time::sleep(Duration::from_secs(pause)).await;
        // In two parts, of which only the first wakes it up.
        let (one, other) = GET.split_at(9);
        client.send(one).await;
        tokio::time::sleep(Duration::from_millis(10)).await;
        client.send(other).await;
        client.read_until("ok").await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_silent_backend_is_a_gateway_timeout() {
    let mut client = Client::new(vec![say("")]).await;
    client.send(GET).await;
    let start = Instant::now();
    let text = client.read_to_end().await;
    assert!(text.starts_with("HTTP/1.1 504 Gateway Timeout\r\n"), "{text}");
    let limits = Limits::default().http;
    let expected = limits.response_head_timeout + limits.keepalive_timeout;
    assert_eq!(start.elapsed().as_secs(), expected.as_secs());
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_stops_is_cut() {
    let half = "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf";
    let start = Instant::now();
    let client = Client::new(vec![say(half)]).await;
    let (text, reason) = client.ask(GET).await;
    assert!(text.ends_with("half"), "{text}");
    assert_eq!(reason, CloseReason::Timeout);
    assert_eq!(start.elapsed().as_secs(), Limits::default().http.response_body_timeout.as_secs());
}

#[tokio::test(start_paused = true)]
async fn a_body_that_stops_is_a_request_timeout() {
    let start = Instant::now();
    let mut client = Client::new(vec![say(OK).after("hello")]).await;
    client.send("PUT / HTTP/1.1\r\nHost: app.example\r\nContent-Length: 5\r\n\r\nhel").await;
    let text = client.read_until("id: ").await;
    assert!(text.starts_with("HTTP/1.1 408 Request Timeout\r\n"), "{text}");
    assert_lines(&text, &["connection: close"]);
    assert_eq!(start.elapsed().as_secs(), Limits::default().http.request_body_timeout.as_secs());
    assert!(!client.backend_received().ends_with("lo"));
}

#[tokio::test(start_paused = true)]
async fn a_body_that_drips_is_a_request_timeout() {
    let start = Instant::now();
    let mut client = Client::new(vec![say(OK).after("hello")]).await;
    client.send("PUT / HTTP/1.1\r\nHost: app.example\r\nContent-Length: 5000\r\n\r\n").await;
    while start.elapsed() < Duration::from_secs(15) {
        client.send("x").await;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let text = client.read_until("id: ").await;
    assert!(text.starts_with("HTTP/1.1 408 Request Timeout\r\n"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_takes_nothing_is_left() {
    let long: &'static str =
        format!("HTTP/1.1 200 OK\r\ncontent-length: 999999\r\n\r\n{}", "x".repeat(999_999)).leak();
    let mut client = Client::new(vec![say(long)]).await;
    let start = Instant::now();
    client.send(GET).await;
    let Client { io, closed, .. } = client;
    assert_eq!(closed.await.unwrap(), CloseReason::Timeout);
    assert_eq!(start.elapsed().as_secs(), Limits::default().http.write_timeout.as_secs());
    drop(io);
}

#[tokio::test]
async fn a_connection_has_a_number_of_requests() {
    let mut client =
        Client::with(vec![vec![say(OK); 9]], |limits| limits.http.requests_max = 3).await;
    for _ in 0..2 {
        client.send(GET).await;
        assert!(!client.read_until("ok").await.contains("close"));
    }
    client.send(GET).await;
    let text = client.read_to_end().await;
    assert_lines(&text, &["connection: close"]);
    assert!(text.ends_with("ok"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn requests_that_are_answered_at_once_keep_a_connection_alive_too() {
    let mut client = Client::new(vec![say(OK)]).await;
    for _ in 0..3 {
        client.send("GET / HTTP/1.1\r\nHost: elsewhere.example\r\n\r\n").await;
        let text = client.read_until("\n").await;
        assert!(text.contains("HTTP/1.1 421 "), "{text}");
        tokio::time::sleep(Duration::from_secs(60)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_of_age_ends_after_the_request_that_comes_then() {
    let mut client = Client::new(vec![say(OK); 200]).await;
    let start = Instant::now();
    let age_max = Limits::default().http.connection_age_max;
    while start.elapsed() < age_max {
        client.send(GET).await;
        assert!(!client.read_until("ok").await.contains("close"));
        tokio::time::sleep(Duration::from_secs(60)).await;
    }
    client.send(GET).await;
    let text = client.read_to_end().await;
    assert_lines(&text, &["connection: close"]);
    assert!(text.ends_with("ok"), "{text}");
}

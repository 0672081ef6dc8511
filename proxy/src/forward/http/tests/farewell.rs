//! How connections of HTTP/2 end: in two steps, so that no request is lost on its way.

use tokio::time::Instant;

use super::frames::*;
use super::*;

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// Waits for the two steps of a farewell, and asks for something between them.
async fn part(client: &mut Raw, next: u32) {
    let first = client.next_of(GOAWAY).await;
    assert_eq!((first.last_stream(), first.code()), (0x7fff_ffff, NO_ERROR));
    let question = client.next_of(PING).await;
    // What was sent before the farewell was heard is answered.
    client.send(&get(next)).await;
    client.send(&frame(PING, ACK, 0, &question.payload)).await;
    let second = client.next_of(GOAWAY).await;
    assert_eq!((second.last_stream(), second.code()), (next, NO_ERROR));
    while client.next_of(DATA).await.stream != next {}
    // At the very end the last farewell may be said once more.
    while let Some(frame) = client.next().await {
        assert_eq!((frame.kind, frame.code()), (GOAWAY, NO_ERROR));
    }
}

#[tokio::test]
async fn a_drain_loses_no_request() {
    let mut client = Raw::new(vec![vec![say(OK); 9]], |_| {}).await;
    client.send(&get(1)).await;
    client.next_of(DATA).await;
    let (drain, tasks) = Drain::new();
    let drain = std::mem::replace(&mut client.drain, drain);
    tasks.spawn(async move {
        drain.drain(PATIENCE).await;
    });
    part(&mut client, 3).await;
    assert_eq!(client.closed.await.unwrap(), CloseReason::Done);
}

#[tokio::test(start_paused = true)]
async fn who_waits_is_told_at_once_that_we_leave_and_who_does_not_with_the_next_request() {
    let mut client = Raw::new(vec![vec![say(OK); 9]], |_| {}).await;
    client.send(&get(1)).await;
    client.next_of(DATA).await;
    client.drain.leave();
    // It may stay where it is, for a while.
    let silence = timeout(Duration::from_secs(60), client.next_of(GOAWAY)).await;
    silence.unwrap_err();
    client.send(&get(3)).await;
    part(&mut client, 5).await;
    assert_eq!(client.closed.await.unwrap(), CloseReason::Done);

    let mut client = Raw::new(vec![vec![say("")]], |_| {}).await;
    client.send(&get(1)).await;
    while client.mock.open() == 0 {
        tokio::task::yield_now().await;
    }
    client.drain.leave();
    let first = client.next_of(GOAWAY).await;
    assert_eq!((first.last_stream(), first.code()), (0x7fff_ffff, NO_ERROR));
}

#[tokio::test(start_paused = true)]
async fn an_answer_says_close_from_the_moment_that_we_leave() {
    let mut client = Client::new(vec![say(OK); 9]).await;
    let request = "GET / HTTP/1.1\r\nhost: app.example\r\n\r\n";
    client.send(request).await;
    assert!(!client.read_until("ok").await.contains("connection: close"));
    client.drain.leave();
    // What waits for a request is not taken by surprise.
    tokio::time::sleep(Duration::from_secs(60)).await;
    client.send(request).await;
    assert!(client.read_to_end().await.contains("connection: close"));
    assert_eq!(client.closed.await.unwrap(), CloseReason::Done);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_has_only_just_come_may_ask_once_while_others_finish() {
    for (asks, lasts) in [(true, 0), (false, 1)] {
        let mut client = Client::new(vec![say(OK)]).await;
        let (drain, tasks) = Drain::new();
        let drain = std::mem::replace(&mut client.drain, drain);
        tasks.spawn(async move {
            drain.drain(PATIENCE).await;
        });
        let start = Instant::now();
        if asks {
            tokio::time::sleep(Duration::from_millis(500)).await;
            client.send("GET / HTTP/1.1\r\nhost: app.example\r\n\r\n").await;
            assert!(client.read_to_end().await.contains("connection: close"));
        } else {
            assert_eq!(client.read_to_end().await, "");
        }
        assert_eq!(start.elapsed().as_secs(), lasts);
        assert_eq!(client.closed.await.unwrap(), CloseReason::Done);
    }
}

#[tokio::test]
async fn a_connection_has_a_number_of_requests() {
    let mut client =
        Raw::new(vec![vec![say(OK); 9]], |limits| limits.http.h2_requests_max = 2).await;
    client.send(&get(1)).await;
    client.next_of(DATA).await;
    client.send(&get(3)).await;
    part(&mut client, 5).await;
    assert_eq!(client.closed.await.unwrap(), CloseReason::Done);
}

#[tokio::test(start_paused = true)]
async fn a_connection_has_an_age() {
    let mut client = Raw::new(vec![vec![say(OK); 9]], |limits| {
        limits.http.connection_age_max = Duration::from_secs(40);
    })
    .await;
    let start = Instant::now();
    client.send(&get(1)).await;
    client.next_of(DATA).await;
    part(&mut client, 3).await;
    assert_eq!(start.elapsed().as_secs(), 40);
    assert_eq!(client.closed.await.unwrap(), CloseReason::Done);
}

#[tokio::test(start_paused = true)]
async fn a_farewell_that_is_not_heard_is_the_end_all_the_same() {
    let mut client =
        Raw::new(vec![vec![say(OK); 9]], |limits| limits.http.h2_requests_max = 1).await;
    client.send(&get(1)).await;
    client.next_of(GOAWAY).await;
    let start = Instant::now();
    assert_eq!(client.closed.await.unwrap(), CloseReason::Done);
    assert_eq!(start.elapsed().as_secs(), 5);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_waits_and_does_not_live_is_left() {
    let mut client = Raw::new(vec![vec![say("")]], |_| {}).await;
    client.send(&get(1)).await;
    let start = Instant::now();
    client.next_of(PING).await;
    let limits = Limits::default().http;
    assert!(start.elapsed() >= limits.h2_ping_interval);
    assert_eq!(client.closed.await.unwrap(), CloseReason::Timeout);
    let lasted = start.elapsed();
    assert!(lasted < limits.h2_ping_interval + limits.h2_ping_timeout * 2, "{lasted:?}");
    while client.mock.open() > 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_waits_and_lives_is_waited_for() {
    let mut client = Raw::new(vec![vec![say("")]], |limits| {
        limits.http.response_head_timeout = Duration::from_secs(100);
    })
    .await;
    client.send(&get(1)).await;
    for _ in 0..3 {
        let question = client.next_of(PING).await;
        client.send(&frame(PING, ACK, 0, &question.payload)).await;
    }
    // The backend is too late, which is said on the stream.
    assert_eq!(client.next_of(HEADERS).await.stream, 1);
}

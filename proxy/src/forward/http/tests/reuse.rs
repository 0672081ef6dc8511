//! Connections to backends: used again after an exchange that went by the book, and only then.

use super::*;

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
const GET: &str = "GET / HTTP/1.1\r\nHost: app.example\r\n\r\n";
const POST: &str = "POST / HTTP/1.1\r\nHost: app.example\r\nContent-Length: 2\r\n\r\nhi";

/// After `script` on the first connection to the backend, a request goes over a second one.
async fn next_is_new(script: Vec<Step>, first: &str, end: &str) {
    let mut client = Client::with(vec![script, vec![say(OK)]], |_| {}).await;
    client.send(first).await;
    let answer = client.read_until(end).await;
    client.send(GET).await;
    let next = client.read_until("ok").await;
    assert!(next.starts_with("HTTP/1.1 200 OK\r\n"), "after {answer}\ncame {next}");
    assert_eq!(client.backend_connections().len(), 2, "after {answer}");
}

#[tokio::test]
async fn a_connection_that_is_to_be_closed_is_not_used_again() {
    let answers = [
        "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nab",
        "HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nab",
        "HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 2\r\n\r\nab",
    ];
    for answer in answers {
        next_is_new(vec![say(answer)], GET, "ab").await;
    }
}

#[tokio::test]
async fn what_comes_behind_an_answer_is_nobodys_answer() {
    let poisoned = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nabHTTP/1.1 200 OK\r\n\
                    content-length: 6\r\n\r\npoison";
    next_is_new(vec![say(poisoned)], GET, "ab").await;
}

#[tokio::test]
async fn a_connection_that_the_backend_has_closed_costs_nothing() {
    for (request, end) in [(GET, "\r\n\r\n"), (POST, "hi")] {
        let closing = vec![say(OK).and_close()];
        let mut client = Client::with(vec![closing, vec![say(OK).after(end)]], |_| {}).await;
        client.send(GET).await;
        client.read_until("ok").await;
        // The end of the connection has arrived when the next request does.
        tokio::time::sleep(Duration::from_millis(50)).await;
        client.send(request).await;
        let answer = client.read_until("ok").await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        assert_eq!(client.backend_connections().len(), 2);
    }
}

/// What happens to `request` if the backend takes it over a connection that served one before, and
/// goes after `last_words`; the next connection follows `next`. Returns the answer, which ends with
/// `last`, and how often the request reached the backend.
async fn taken_and_left(
    request: &'static str,
    last_words: &'static str,
    next: Step,
    last: &str,
) -> (String, usize) {
    let end = if request.ends_with("hi") { "hi" } else { "\r\n\r\n" };
    let script = vec![say(OK), say(last_words).after(end).and_close()];
    let mut client = Client::with(vec![script, vec![next.after(end)]], |_| {}).await;
    client.send("GET /first HTTP/1.1\r\nHost: app.example\r\n\r\n").await;
    client.read_until("ok").await;
    client.send(request).await;
    let answer = client.read_until(last).await;
    let line = request.lines().next().unwrap();
    (answer, client.backend_connections().concat().matches(line).count())
}

#[tokio::test]
async fn what_does_harm_twice_is_not_sent_twice() {
    let empty = "POST / HTTP/1.1\r\nHost: app.example\r\nContent-Length: 0\r\n\r\n";
    let put = "PUT / HTTP/1.1\r\nHost: app.example\r\nContent-Length: 2\r\n\r\nhi";
    for request in [POST, empty, put] {
        let (answer, times) = taken_and_left(request, "", say(OK), "\n").await;
        assert!(answer.starts_with("HTTP/1.1 502 Bad Gateway\r\n"), "{answer}");
        assert_eq!(times, 1, "{request}");
    }
}

#[tokio::test]
async fn what_does_no_harm_is_sent_again_if_the_connection_had_waited() {
    let delete = "DELETE / HTTP/1.1\r\nHost: app.example\r\n\r\n";
    for request in [GET, delete] {
        let (answer, times) = taken_and_left(request, "", say(OK), "ok").await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        assert_eq!(times, 2, "{request}");
    }
}

#[tokio::test]
async fn nothing_is_sent_a_third_time() {
    let (answer, times) = taken_and_left(GET, "", say("").and_close(), "\n").await;
    assert!(answer.starts_with("HTTP/1.1 502 Bad Gateway\r\n"), "{answer}");
    assert_eq!(times, 2);
}

#[tokio::test]
async fn what_was_answered_in_part_is_not_sent_again() {
    let (answer, times) = taken_and_left(GET, "HTTP/1.1 2", say(OK), "\n").await;
    assert!(answer.starts_with("HTTP/1.1 502 Bad Gateway\r\n"), "{answer}");
    assert_eq!(times, 1);
}

#[tokio::test]
async fn a_new_connection_that_breaks_is_no_reason_to_send_again() {
    let mut client = Client::with(vec![vec![say("").and_close()], vec![say(OK)]], |_| {}).await;
    client.send(GET).await;
    let answer = client.read_until("\n").await;
    assert!(answer.starts_with("HTTP/1.1 502 Bad Gateway\r\n"), "{answer}");
    assert_eq!(client.backend_connections().len(), 1);
}

#[tokio::test]
async fn an_answer_before_the_end_of_the_request_ends_the_connections() {
    let mut client = Client::new(vec![say(OK).after("HTTP/1.1\r\n")]).await;
    let head = "POST / HTTP/1.1\r\nHost: app.example\r\nContent-Length: 100\r\n\r\n";
    client.send(&format!("{head}GET /smuggled HTTP/1.1\r\n")).await;
    let answer = client.read_until("ok").await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert_eq!(client.read_to_end().await, "");
}

#[tokio::test]
async fn a_client_that_leaves_takes_its_connection_to_the_backend_along() {
    let slow = "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nok";
    for (answer, end) in [(slow, "ok"), ("", "")] {
        let mut client = Client::new(vec![say(answer)]).await;
        client.send(GET).await;
        client.read_until(end).await;
        let busy = "portunus_backend_connections_active{backend=\"app\"} 1";
        while !client.metrics().contains(busy) {
            tokio::task::yield_now().await;
        }
        let Client { io, closed, metrics, .. } = client;
        drop(io);
        assert_eq!(closed.await.unwrap(), CloseReason::ClientReset);
        let text = metrics.encode(crate::metrics::Exposition::Text);
        assert!(text.contains("portunus_backend_connections_active{backend=\"app\"} 0"), "{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_is_missed_whatever_it_said_before() {
    let body = "POST / HTTP/1.1\r\nHost: app.example\r\nContent-Length: 90000\r\n\r\nhi";
    for said in [format!("{GET}G"), format!("{GET}{GET}{GET}"), body.to_owned()] {
        let mut client = Client::new(vec![say("").after(NEVER)]).await;
        client.send(&said).await;
        while client.mock.open() == 0 {
            tokio::task::yield_now().await;
        }
        let start = tokio::time::Instant::now();
        let Client { io, closed, mock, .. } = client;
        drop(io);
        closed.await.unwrap();
        while mock.open() > 0 {
            tokio::task::yield_now().await;
        }
        assert!(start.elapsed() < Duration::from_secs(1), "{said:.20}: {:?}", start.elapsed());
    }
}

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

#[tokio::test]
async fn what_was_sent_is_not_sent_twice() {
    for (request, end) in [(GET, "\r\n\r\n"), (POST, "hi")] {
        // The backend takes the second request, and goes without a word.
        let script = vec![say(OK), say("").after(end).and_close()];
        let mut client = Client::with(vec![script, vec![say(OK)]], |_| {}).await;
        client.send(GET).await;
        client.read_until("ok").await;
        client.send(request).await;
        let answer = client.read_until("\n").await;
        assert!(answer.starts_with("HTTP/1.1 502 Bad Gateway\r\n"), "{answer}");
        let received = client.backend_connections().concat();
        let line = request.lines().next().unwrap();
        let times = received.matches(line).count() - usize::from(request == GET);
        assert_eq!(times, 1, "{received}");
    }
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
        let text = String::from_utf8(metrics.encode().unwrap()).unwrap();
        assert!(text.contains("portunus_backend_connections_active{backend=\"app\"} 0"), "{text}");
    }
}

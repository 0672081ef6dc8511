//! Bodies in both directions: whole, in pieces, too slow, and cut.

use super::*;

const HEAD: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

#[tokio::test]
async fn a_body_with_a_length_keeps_it() {
    let mut client = Client::new(vec![say(OK).after("hello")]).await;
    client.send("PUT / HTTP/1.1\r\nHost: app.example\r\nContent-Length: 5\r\n\r\nhel").await;
    client.send("lo").await;
    client.read_until("ok").await;
    let received = client.backend_received();
    assert_lines(&received, &["content-length: 5"]);
    assert!(received.ends_with("\r\n\r\nhello"), "{received}");
}

#[tokio::test]
async fn a_body_in_chunks_stays_in_chunks_for_every_method() {
    for method in ["POST", "GET", "DELETE"] {
        let mut client = Client::new(vec![say(OK).after("0\r\n\r\n")]).await;
        let head = "/ HTTP/1.1\r\nHost: app.example\r\nTransfer-Encoding: Chunked\r\n\r\n";
        client.send(&format!("{method} {head}3\r\nabc\r\n")).await;
        client.send("0\r\n\r\n").await;
        client.read_until("ok").await;
        let received = client.backend_received();
        assert_lines(&received, &["transfer-encoding: chunked"]);
        assert!(received.ends_with("\r\n\r\n3\r\nabc\r\n0\r\n\r\n"), "{received}");
    }
}

#[tokio::test]
async fn the_answer_may_come_in_chunks_or_until_the_end() {
    let answers = [
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2;x=y\r\nok\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\n\r\nok",
        "HTTP/1.0 200 OK\r\n\r\nok",
    ];
    for answer in answers {
        let mut client = Client::new(vec![say(answer).and_close()]).await;
        client.send("GET / HTTP/1.1\r\nHost: app.example\r\n\r\n").await;
        let text = client.read_until("0\r\n\r\n").await;
        assert_lines(&text, &["transfer-encoding: chunked"]);
        assert!(text.ends_with("\r\n\r\n2\r\nok\r\n0\r\n\r\n"), "{text}");
    }
}

#[tokio::test]
async fn a_client_of_http_1_0_gets_what_it_understands() {
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n";
    let client = Client::new(vec![say(chunked)]).await;
    let (text, reason) = client.ask("GET / HTTP/1.0\r\nHost: app.example\r\n\r\n").await;
    assert!(text.ends_with("\r\n\r\nok") && !text.contains("chunked"), "{text}");
    assert_eq!(reason, CloseReason::Done);
}

#[tokio::test]
async fn a_head_answers_no_body() {
    let head = "HTTP/1.1 200 OK\r\ncontent-length: 1000\r\netag: x\r\n\r\n";
    let mut client = Client::new(vec![say(head), say(OK)]).await;
    client.send("HEAD / HTTP/1.1\r\nHost: app.example\r\n\r\n").await;
    let text = client.read_until("\r\n\r\n").await;
    assert_lines(&text, &["content-length: 1000", "etag: x"]);
    client.send("GET / HTTP/1.1\r\nHost: app.example\r\n\r\n").await;
    let text = client.read_until("ok").await;
    assert!(text.starts_with("HTTP/1.1 200 OK\r\n"), "{text}");
    assert_eq!(client.backend_connections().len(), 1);
}

#[tokio::test]
async fn a_head_of_chunks_gets_no_length() {
    let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    let mut client = Client::new(vec![say(head)]).await;
    client.send("HEAD / HTTP/1.1\r\nHost: app.example\r\n\r\n").await;
    let text = client.read_until("\r\n\r\n").await;
    assert!(!text.contains("content-length"), "{text}");
}

#[tokio::test]
async fn empty_answers_are_empty() {
    for answer in [
        "HTTP/1.1 204 No Content\r\n\r\n",
        "HTTP/1.1 304 Not Modified\r\netag: x\r\n\r\n",
        "HTTP/1.1 304 Not Modified\r\ncontent-length: 77\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
    ] {
        let mut client = Client::new(vec![say(answer), say(OK)]).await;
        client.send("GET / HTTP/1.1\r\nHost: app.example\r\n\r\n").await;
        let text = client.read_until("\r\n\r\n").await;
        assert_eq!(text.lines().next(), answer.lines().next());
        client.send("GET / HTTP/1.1\r\nHost: app.example\r\n\r\n").await;
        assert!(client.read_until("ok").await.starts_with("HTTP/1.1 200 OK\r\n"));
    }
}

#[tokio::test]
async fn a_cut_answer_is_cut_for_the_client() {
    let answers = [
        "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\nzzz\r\n",
    ];
    for answer in answers {
        let client = Client::new(vec![say(answer).and_close()]).await;
        let (text, reason) = client.ask("GET / HTTP/1.1\r\nHost: app.example\r\n\r\n").await;
        assert!(text.contains("half") && !text.contains("0\r\n\r\n"), "{text}");
        assert_eq!(reason, CloseReason::BackendError);
    }
}

#[tokio::test]
async fn a_client_that_waits_for_leave_gets_it_from_us() {
    let mut client = Client::new(vec![say(OK).after("hello")]).await;
    let head = "PUT / HTTP/1.1\r\nHost: app.example\r\nContent-Length: 5\r\nExpect: 100-continue";
    client.send(&format!("{head}\r\n\r\n")).await;
    client.read_until("HTTP/1.1 100 Continue\r\n\r\n").await;
    client.send("hello").await;
    client.read_until("ok").await;
    assert!(!client.backend_received().contains("expect"));
}

#[tokio::test]
async fn a_client_that_waits_for_leave_in_vain_is_answered_and_left() {
    // It will not send the body now, or it will; nobody can tell where the next request begins.
    let head = "PUT / HTTP/1.1\r\nHost: elsewhere.example\r\nContent-Length: 5\r\n";
    let mut client = Client::new(vec![say(OK)]).await;
    client.send(&format!("{head}Expect: 100-continue\r\n\r\n")).await;
    let answer = client.read_to_end().await;
    assert!(answer.starts_with("HTTP/1.1 421 Misdirected Request\r\n"), "{answer}");
    assert_lines(&answer, &["connection: close"]);
}

#[tokio::test]
async fn a_client_that_does_not_wait_for_leave_needs_none() {
    let head = "PUT / HTTP/1.1\r\nHost: app.example\r\nContent-Length: 5\r\nExpect: 100-continue";
    let mut client = Client::new(vec![say(OK).after("hello"), say(OK)]).await;
    client.send(&format!("{head}\r\n\r\nhello")).await;
    assert!(client.read_until("ok").await.starts_with("HTTP/1.1 200 OK\r\n"));
    client.send("GET / HTTP/1.1\r\nHost: app.example\r\n\r\n").await;
    assert!(client.read_until("ok").await.starts_with("HTTP/1.1 200 OK\r\n"));
}

#[tokio::test]
async fn a_refused_request_whose_body_is_here_does_not_end_the_connection() {
    let mut client = Client::new(vec![say(OK)]).await;
    let head = "POST / HTTP/1.1\r\nHost: elsewhere.example\r\n";
    for body in ["Content-Length: 5\r\n\r\nhello", "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"] {
        client.send(&format!("{head}{body}")).await;
        assert!(client.read_until("\n").await.starts_with("HTTP/1.1 421 "));
    }
    client.send("GET / HTTP/1.1\r\nHost: app.example\r\n\r\n").await;
    assert!(client.read_until("ok").await.starts_with("HTTP/1.1 200 OK\r\n"));
}

#[tokio::test]
async fn a_slow_reader_slows_the_backend() {
    // The backend has far more to say than all buffers on the way can hold.
    let body: &'static str = "x".repeat(64 * 1024 * 1024).leak();
    let head: &'static str =
        format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len()).leak();
    let (drain, watch) = Drain::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    let written = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let count = Arc::clone(&written);
    watch.spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut buf = [0; 4096];
        let _ = socket.read(&mut buf).await.unwrap();
        socket.write_all(head.as_bytes()).await.unwrap();
        for chunk in body.as_bytes().chunks(64 * 1024) {
            socket.write_all(chunk).await.unwrap();
            count.fetch_add(chunk.len(), std::sync::atomic::Ordering::Relaxed);
        }
    });
    let (service, _metrics) = service(&addr, |_| {});
    let (mut io, stream) = duplex(16 * 1024);
    let finish = watch.clone();
    watch.spawn(async move {
        let _ = serve(TokioIo::new(stream), HttpVersion::H1, service, facts(), finish).await;
    });
    io.write_all(b"GET / HTTP/1.1\r\nHost: app.example\r\n\r\n").await.unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    let ahead = written.load(std::sync::atomic::Ordering::Relaxed);
    assert!(ahead < body.len() / 2, "the backend was {ahead} bytes ahead of a client at rest");
    let mut rest = vec![0; head.len() + body.len()];
    // We add a date, so that the answer is longer than what is read here.
    io.read_exact(&mut rest).await.unwrap();
    drop(io);
    drop(drain);
}

#[tokio::test]
async fn trailers_pass_when_both_sides_want_them() {
    let answer = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n\
                  2\r\nok\r\n0\r\nx-sum: 5\r\nx-forwarded-for: evil\r\n\r\n";
    let mut client = routes::client(vec![say(answer)], |route| route.trailers = true).await;
    client.send("GET / HTTP/1.1\r\nHost: app.example\r\nTE: trailers\r\n\r\n").await;
    let text = client.read_until("\r\n\r\n2\r\nok\r\n0\r\nx-sum: 5\r\n\r\n").await;
    assert!(!text.contains("evil"), "{text}");
    assert_lines(&client.backend_received(), &["te: trailers", "connection: te"]);
}

#[tokio::test]
async fn an_answer_may_overtake_its_request() {
    let mut client = Client::new(vec![say(HEAD).after("hel")]).await;
    client.send("PUT / HTTP/1.1\r\nHost: app.example\r\nContent-Length: 9\r\n\r\nhel").await;
    client.read_until("\r\n\r\n").await;
    client.send("lo").await;
    // The rest of the request goes on to the backend as long as the answer is not complete.
    for _ in 0..100 {
        if client.backend_received().ends_with("hello") {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{}", client.backend_received());
}

//! Messages that two readers could understand as two things: refused, and nothing of them passes.

use portunus_tests::{Proxy, http, https, raw, read_response};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{NAME, ask, connect, get, is_closed};

/// Every request is followed by what would be a second one, if somebody counted differently.
const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nHost: app.example\r\n\r\n";

/// Sends each request and expects a refusal, the end of the connection, and silence at the backend.
async fn refused(requests: &[(&str, &str)], statuses: &[u16]) {
    let backend = http();
    let proxy = Proxy::builder().listener(https(NAME)).backend(&backend).start().await;
    for (what, request) in requests {
        let mut client = connect(&proxy).await;
        client.send(format!("{request}{SMUGGLED}").as_bytes()).await;
        let answer = read_response(&mut client, &mut Vec::new()).await;
        let status = answer.unwrap_or_else(|| panic!("{what}: no answer")).status;
        assert!(statuses.contains(&status), "{what}: {status}");
        assert!(is_closed(&mut client).await, "{what}: the connection goes on");
        let seen = backend.seen();
        assert!(seen.is_empty(), "{what}: the backend saw {seen:?}");
    }
}

/// A request with these fields and this content.
macro_rules! post {
    ($fields:literal, $content:literal) => {
        concat!("POST / HTTP/1.1\r\nHost: app.example\r\n", $fields, "\r\n", $content)
    };
}

#[tokio::test(flavor = "multi_thread")]
async fn length_and_chunks_together_are_chunks_or_refused() {
    let requests = [
        ("length first", post!("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n")),
        ("chunks first", post!("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", "0\r\n\r\n")),
        ("zero", post!("Content-Length: 0\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n")),
    ];
    for (what, request) in requests {
        let backend = http();
        let proxy = Proxy::builder().listener(https(NAME)).backend(&backend).start().await;
        let mut client = connect(&proxy).await;
        client.send(format!("{request}{SMUGGLED}").as_bytes()).await;
        let answer = read_response(&mut client, &mut Vec::new()).await.expect("an answer");
        assert!(is_closed(&mut client).await, "{what}: the connection goes on");
        // RFC 9112 §6.3 lets the chunks win, if the length is not forwarded and nothing follows.
        let seen = backend.seen();
        let only_chunks = |seen: &portunus_tests::Seen| {
            seen.target == "/" && seen.body.is_empty() && seen.field("content-length").is_empty()
        };
        let passed = answer.status == 200 && seen.len() == 1 && seen.iter().all(only_chunks);
        assert!(passed || (answer.status == 400 && seen.is_empty()), "{what}: {answer:?} {seen:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lengths_that_are_not_one_number_are_refused() {
    let requests = [
        ("two", post!("Content-Length: 5\r\nContent-Length: 6\r\n", "hello")),
        ("a list of two", post!("Content-Length: 5, 6\r\n", "hello")),
        ("a list of one twice", post!("Content-Length: 5, 5\r\n", "hello")),
        ("a sign", post!("Content-Length: +5\r\n", "hello")),
        ("negative", post!("Content-Length: -5\r\n", "hello")),
        ("empty", post!("Content-Length:\r\n", "hello")),
        ("hexadecimal", post!("Content-Length: 0x5\r\n", "hello")),
        ("a space inside", post!("Content-Length: 5 5\r\n", "hello")),
        ("beyond 64 bits", post!("Content-Length: 18446744073709551621\r\n", "hello")),
        ("beyond 63 bits", post!("Content-Length: 99999999999999999999\r\n", "hello")),
    ];
    refused(&requests, &[400]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn codings_that_are_not_exactly_chunked_are_refused() {
    let requests = [
        ("unknown", post!("Transfer-Encoding: xchunked\r\n", "0\r\n\r\n")),
        ("not last", post!("Transfer-Encoding: chunked, identity\r\n", "0\r\n\r\n")),
        ("not alone", post!("Transfer-Encoding: gzip, chunked\r\n", "0\r\n\r\n")),
        ("identity first", post!("Transfer-Encoding: identity, chunked\r\n", "0\r\n\r\n")),
        ("twice", post!("Transfer-Encoding: chunked, chunked\r\n", "0\r\n\r\n")),
        (
            "two lines",
            post!("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", "0\r\n\r\n"),
        ),
        (
            "two lines alike",
            post!("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
        ),
        ("a parameter", post!("Transfer-Encoding: chunked;x=1\r\n", "0\r\n\r\n")),
        ("a vertical tab", post!("Transfer-Encoding: \x0bchunked\r\n", "0\r\n\r\n")),
        ("quotes", post!("Transfer-Encoding: \"chunked\"\r\n", "0\r\n\r\n")),
        ("empty", post!("Transfer-Encoding:\r\n", "0\r\n\r\n")),
    ];
    refused(&requests, &[400, 501]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn http_1_0_has_no_chunks() {
    let request =
        "POST / HTTP/1.0\r\nHost: app.example\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    refused(&[("chunks", request)], &[400]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn heads_that_are_not_exactly_http_are_refused() {
    let requests = [
        ("space before the colon", "GET / HTTP/1.1\r\nHost: app.example\r\nX-A : 1\r\n\r\n"),
        ("chunks behind a space", post!("Transfer-Encoding : chunked\r\n", "0\r\n\r\n")),
        ("a folded line", "GET / HTTP/1.1\r\nHost: app.example\r\nX-A: 1\r\n 2\r\n\r\n"),
        ("a first line that is folded", "GET / HTTP/1.1\r\n X-A: 1\r\nHost: app.example\r\n\r\n"),
        ("a bare carriage return", "GET / HTTP/1.1\r\nHost: app.example\r\nX-A: 1\r2\r\n\r\n"),
        ("a bare line feed", "GET / HTTP/1.1\r\nHost: app.example\nX-A: 1\r\n\r\n"),
        ("only line feeds", "GET / HTTP/1.1\nHost: app.example\n\n"),
        ("a null in a value", "GET / HTTP/1.1\r\nHost: app.example\r\nX-A: 1\x002\r\n\r\n"),
        ("a null in a name", "GET / HTTP/1.1\r\nHost: app.example\r\nX\0A: 1\r\n\r\n"),
        ("an empty name", "GET / HTTP/1.1\r\nHost: app.example\r\n: 1\r\n\r\n"),
        ("no colon", "GET / HTTP/1.1\r\nHost: app.example\r\nX-A\r\n\r\n"),
        ("two spaces", "GET  / HTTP/1.1\r\nHost: app.example\r\n\r\n"),
        ("a space in the target", "GET /a b HTTP/1.1\r\nHost: app.example\r\n\r\n"),
        ("no version", "GET /\r\nHost: app.example\r\n\r\n"),
        ("a version to come", "GET / HTTP/1.2\r\nHost: app.example\r\n\r\n"),
    ];
    refused(&requests, &[400]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn chunks_that_are_not_exactly_chunks_end_everything() {
    let contents = [
        ("overflow", "fffffffffffffffff\r\nhello\r\n0\r\n\r\n"),
        ("a prefix", "0x5\r\nhello\r\n0\r\n\r\n"),
        ("a sign", "+5\r\nhello\r\n0\r\n\r\n"),
        ("negative", "-5\r\nhello\r\n0\r\n\r\n"),
        ("no size", "\r\nhello\r\n0\r\n\r\n"),
        ("a bare line feed behind the size", "5\nhello\r\n0\r\n\r\n"),
        ("a bare line feed in an extension", "5;a\nb\r\nhello\r\n0\r\n\r\n"),
        ("a bare carriage return in an extension", "5;a\rb\r\nhello\r\n0\r\n\r\n"),
        ("a chunk longer than its size", "5\r\nhelloX\r\n0\r\n\r\n"),
        ("a chunk without its end", "5\r\nhello0\r\n\r\n"),
        ("a bare line feed behind a chunk", "5\r\nhello\n0\r\n\r\n"),
        ("something else than digits", "g\r\nhello\r\n0\r\n\r\n"),
    ];
    let backend = http();
    let proxy = Proxy::builder().listener(https(NAME)).backend(&backend).start().await;
    for (what, content) in contents {
        let head = "POST /echo HTTP/1.1\r\nHost: app.example\r\nTransfer-Encoding: chunked\r\n\r\n";
        let mut client = connect(&proxy).await;
        client.send(format!("{head}{content}{SMUGGLED}").as_bytes()).await;
        let answer = read_response(&mut client, &mut Vec::new()).await;
        assert!(answer.is_none_or(|answer| answer.status == 400), "{what}");
        assert!(is_closed(&mut client).await, "{what}: the connection goes on");
        let seen = backend.seen();
        let passed = seen.iter().any(|seen| seen.complete || seen.target == "/smuggled");
        assert!(!passed, "{what}: the backend saw {seen:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn extensions_and_sizes_of_chunks_do_not_pass() {
    let backend = raw(|mut stream, _| async move {
        let mut all = Vec::new();
        let mut buffer = [0; 4096];
        while !all.ends_with(b"0\r\n\r\n") {
            let count = stream.read(&mut buffer).await.unwrap();
            assert!(count > 0, "ended after {}", String::from_utf8_lossy(&all));
            all.extend(&buffer[..count]);
        }
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", all.len());
        stream.write_all(&[head.as_bytes(), &all].concat()).await.unwrap();
    });
    let proxy = Proxy::builder().listener(https(NAME)).backend(backend).start().await;
    let request = post!("Transfer-Encoding: chunked\r\n", "0005;secret=1\r\nhello\r\n0;x\r\n\r\n");
    let seen = ask(&proxy, request).await.unwrap().text();
    assert!(!seen.contains("secret") && seen.contains("\r\n5\r\nhello\r\n"), "{seen}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_that_answers_too_early_is_not_used_again() {
    // Answers to the head at once. Whatever else comes on the connection must not be a request.
    let backend = raw(|mut stream, connection| async move {
        let mut buffer = [0; 4096];
        let count = stream.read(&mut buffer).await.unwrap();
        let head = String::from_utf8_lossy(&buffer[..count]).into_owned();
        let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
        let body = format!("{connection} {path}");
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
        stream.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest).await;
        let rest = String::from_utf8_lossy(&rest).into_owned();
        assert!(!rest.contains("HTTP/1.1"), "a second request came: {rest}");
    });
    let proxy = Proxy::builder().listener(https(NAME)).backend(&backend).start().await;
    for number in 0..3 {
        let mut client = connect(&proxy).await;
        let head = format!("POST /{number} HTTP/1.1\r\nHost: {NAME}\r\nContent-Length: 60\r\n\r\n");
        client.send(head.as_bytes()).await;
        let answer = read_response(&mut client, &mut Vec::new()).await.unwrap();
        assert_eq!(answer.text(), format!("{number} /{number}"), "a connection of its own");
        // What the client still owes looks like a request; for the backend it must be none.
        let _ = client.try_send(&SMUGGLED.as_bytes()[..SMUGGLED.len().min(60)]).await;
    }
    assert_eq!(backend.connections(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_that_says_more_than_it_announced_is_not_used_again() {
    let backend = raw(|mut stream, connection| async move {
        let mut buffer = [0; 4096];
        while let Ok(1..) = stream.read(&mut buffer).await {
            let more = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison";
            let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n{connection}{more}");
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    let proxy = Proxy::builder().listener(https(NAME)).backend(&backend).start().await;
    for number in 0..4 {
        let answer = ask(&proxy, get("/", "")).await.unwrap();
        assert_eq!(answer.text(), number.to_string());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn responses_that_mean_two_things_are_not_forwarded() {
    let answers = [
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok!",
        "HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nX-A : 1\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
        "no HTTP at all\r\n\r\n",
    ];
    for answer in answers {
        let backend = raw(move |mut stream, _| async move {
            let mut buffer = [0; 4096];
            while let Ok(1..) = stream.read(&mut buffer).await {
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        let proxy = Proxy::builder().listener(https(NAME)).backend(backend).start().await;
        let status = ask(&proxy, get("/", "")).await.unwrap().status;
        assert_eq!(status, 502, "{answer:?}");
    }
}

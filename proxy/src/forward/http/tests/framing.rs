//! Where a request ends, and what is not a request: nothing that two readers could understand in
//! two ways gets to a backend.

use super::*;

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// The answer to `request`, which must get nothing to a backend, and end the connection.
async fn refused(request: &str) -> String {
    let mut client = Client::new(vec![say(OK)]).await;
    client.send(request).await;
    let answer = client.read_to_end().await;
    assert_eq!(client.backend_connections(), Vec::<String>::new(), "{request}");
    answer
}

#[tokio::test]
async fn doubtful_requests_are_refused_in_words() {
    let head = |fields: &str| format!("POST / HTTP/1.1\r\nHost: app.example\r\n{fields}\r\n\r\n");
    let cases = [
        // Lengths.
        ("400", head("Content-Length: 3\r\nContent-Length: 4")),
        ("400", head("Content-Length: 3, 3")),
        ("400", head("Content-Length: +3")),
        ("400", head("Content-Length: -3")),
        ("400", head("Content-Length: 0x3")),
        ("400", head("Content-Length:")),
        ("400", head("Content-Length: 99999999999999999999")),
        // Codings.
        ("400", head("Content-Length: 4\r\nTransfer-Encoding: chunked")),
        ("400", head("Transfer-Encoding: chunked\r\nContent-Length: 4")),
        ("400", head("Content-Length: 3\r\nContent-Length: 3")),
        ("400", head("Transfer-Encoding: xchunked")),
        ("400", head("Transfer-Encoding: chunked, identity")),
        ("400", head("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked")),
        ("400", head("Transfer-Encoding: chunked;x=1")),
        ("400", head("Transfer-Encoding: \x0bchunked")),
        ("501", head("Transfer-Encoding: gzip, chunked")),
        ("501", head("Transfer-Encoding: identity, chunked")),
        (
            "400",
            "POST / HTTP/1.0\r\nHost: app.example\r\nTransfer-Encoding: chunked\r\n\r\n".into(),
        ),
        // Lines.
        ("400", head("X: a\r\n b")),
        ("400", head("X : a")),
        ("400", head(": a")),
        ("400", head("X: a\rb")),
        ("400", head("X: a\nY: b")),
        ("400", "GET / HTTP/1.1\nHost: app.example\n\n".into()),
        ("400", head("X: a\0b")),
        ("505", "GET / HTTP/2.0\r\nHost: app.example\r\n\r\n".into()),
        ("400", "GET / HTTP/1.2\r\nHost: app.example\r\n\r\n".into()),
        ("400", "GET  / HTTP/1.1\r\nHost: app.example\r\n\r\n".into()),
        ("400", "GET /a b HTTP/1.1\r\nHost: app.example\r\n\r\n".into()),
        ("400", "\x16\x03\x01 garbage\r\n\r\n".into()),
        // Hosts and targets.
        ("400", "GET /a#b HTTP/1.1\r\nHost: app.example\r\n\r\n".into()),
        ("400", "GET / HTTP/1.1\r\n\r\n".into()),
        ("400", "GET / HTTP/1.1\r\nHost: app.example\r\nHost: app.example\r\n\r\n".into()),
        ("400", "GET / HTTP/1.1\r\nHost: app.example, other.example\r\n\r\n".into()),
        ("400", "GET / HTTP/1.1\r\nHost: user@app.example\r\n\r\n".into()),
        ("400", "GET / HTTP/1.1\r\nHost: app.example/evil\r\n\r\n".into()),
        ("400", "GET app.example HTTP/1.1\r\nHost: app.example\r\n\r\n".into()),
        ("400", "GET http://other.example/ HTTP/1.1\r\nHost: app.example\r\n\r\n".into()),
        ("400", "GET ftp://app.example/ HTTP/1.1\r\nHost: app.example\r\n\r\n".into()),
        ("400", "GET * HTTP/1.1\r\nHost: app.example\r\n\r\n".into()),
        ("417", head("Expect: 200-ok\r\nContent-Length: 1")),
        // Fields that must stay.
        ("400", head("Connection: X-Forwarded-For")),
        ("400", head("Connection: close, x_real_ip")),
        ("400", head("Connection: content-length\r\nContent-Length: 0")),
    ];
    for (status, request) in cases {
        let answer = refused(&request).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{request}\ngot {answer}");
        assert_lines(&answer, &["connection: close"]);
        let (_, id) = answer.rsplit_once("Request id: ").unwrap();
        assert_lines(&answer, &[&format!("x-request-id: {}", id.trim())]);
    }
}

#[tokio::test]
async fn heads_beyond_the_limits_are_refused_in_words() {
    let field = |length: usize| format!("X: {}\r\n", "x".repeat(length));
    let cases = [
        ("431", format!("GET / HTTP/1.1\r\nHost: app.example\r\n{}\r\n", "X: y\r\n".repeat(101))),
        ("431", format!("GET / HTTP/1.1\r\nHost: app.example\r\n{}\r\n", field(33 * 1024))),
        ("414", format!("GET /{} HTTP/1.1\r\nHost: app.example\r\n\r\n", "a".repeat(9 * 1024))),
    ];
    for (status, request) in cases {
        let answer = refused(&request).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "got {answer}");
        assert!(answer.contains("\nRequest id: "), "{answer}");
    }
}

#[tokio::test]
async fn each_refusal_is_counted_by_what_the_client_did() {
    let head = |host: &str, fields: &str| format!("PUT / HTTP/1.1\r\n{host}{fields}\r\n\r\n");
    let of_ours = |fields: &str| head("Host: app.example\r\n", fields);
    let cases = [
        ("framing", of_ours("Content-Length: 1\r\nContent-Length: 1")),
        ("framing", of_ours("Content-Length: 1\r\nTransfer-Encoding: chunked")),
        ("coding", of_ours("Transfer-Encoding: gzip, chunked")),
        ("expectation", of_ours("Expect: all")),
        ("head_too_large", of_ours(&format!("X: {}", "x".repeat(33 * 1024)))),
        ("uri_too_long", format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(9 * 1024))),
        ("version", "GET / HTTP/3.0\r\n\r\n".to_owned()),
        ("malformed", of_ours("X : y")),
        ("malformed", of_ours("Transfer-Encoding: chunked\r\n\r\nx")),
        ("malformed", of_ours("Connection: content-length")),
        ("host", head("", "X: y")),
        ("host", of_ours("Host: app.example")),
        ("method", "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n".to_owned()),
        ("timeout", "GET / HTTP/1.1\r\n".to_owned()),
        ("timeout", of_ours("Content-Length: 9\r\n\r\nless")),
        ("unknown_host", head("Host: other.example\r\nConnection: close\r\n", "X: y")),
    ];
    tokio::time::pause();
    for (reason, request) in cases {
        let mut client = Client::new(vec![say("").after(NEVER)]).await;
        client.send(&request).await;
        client.read_to_end().await;
        let text = client.metrics();
        let counted = text.lines().filter(|line| {
            line.starts_with("portunus_http_rejects_total") && !line.ends_with(" 0")
        });
        let label = "portunus_http_rejects_total{listener=\"https\",reason=";
        assert_eq!(
            counted.collect::<Vec<_>>(),
            [format!("{label}\"{reason}\"}} 1")],
            "{request:.99}"
        );
    }
}

#[tokio::test]
async fn refusals_over_http_2_are_counted_as_well() {
    use super::frames::{END_HEADERS, END_STREAM, HEADERS, Raw, block, frame};
    let mut client = Raw::new(vec![vec![say(OK)]], |_| {}).await;
    let head = |authority: &'static str, field: (&'static str, &'static str)| {
        let names = [(":method", "GET"), (":scheme", "https"), (":path", "/")];
        block(&[&names[..], &[(":authority", authority), field]].concat())
    };
    let heads = [head("other.example", ("x", "y")), head("app.example", ("expect", "all"))];
    for (stream, head) in [1, 3].into_iter().zip(heads) {
        client.send(&frame(HEADERS, END_HEADERS | END_STREAM, stream, &head)).await;
        assert_eq!(client.next_of(HEADERS).await.stream, stream);
    }
    let metrics = client.metrics.encode(crate::metrics::Exposition::Text);
    for reason in ["unknown_host", "expectation"] {
        let line = format!("rejects_total{{listener=\"https\",reason=\"{reason}\"}} 1");
        assert!(metrics.contains(&line), "{metrics}");
    }
}

#[tokio::test]
async fn connect_is_not_allowed() {
    let answer = refused(
        "CONNECT app.example:443 HTTP/1.1\r\nHost: app.example:443\r\nConnection: close\r\n\r\n",
    )
    .await;
    assert!(answer.starts_with("HTTP/1.1 405 Method Not Allowed\r\n"), "{answer}");
}

#[tokio::test]
async fn bad_chunks_end_the_request_and_the_connection_to_the_backend() {
    let bodies = [
        "fffffffffffffffff\r\n",
        "0x3\r\nabc\r\n0\r\n\r\n",
        "3\nabc\r\n0\r\n\r\n",
        "3\r\nabcd\r\n",
        "3;a\nb\r\nabc\r\n0\r\n\r\n",
        "-3\r\n",
    ];
    for body in bodies {
        let mut client = Client::new(vec![say(OK).after("0\r\n\r\n")]).await;
        let head = "POST / HTTP/1.1\r\nHost: app.example\r\nTransfer-Encoding: chunked\r\n\r\n";
        client.send(&format!("{head}{body}")).await;
        let answer = client.read_to_end().await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{body:?} got {answer}");
        assert_lines(&answer, &["connection: close"]);
        let received = client.backend_received();
        assert!(!received.contains("\r\n0\r\n"), "{body:?} became {received:?}");
    }
}

#[tokio::test]
async fn chunk_extensions_do_not_pass() {
    let mut client = Client::new(vec![say(OK).after("0\r\n\r\n")]).await;
    let head = "POST / HTTP/1.1\r\nHost: app.example\r\nTransfer-Encoding: chunked\r\n\r\n";
    client.send(&format!("{head}3;a=b;c=\"d\"\r\nabc\r\n0;e\r\n\r\n")).await;
    client.read_until("ok").await;
    let received = client.backend_received();
    assert!(received.ends_with("\r\n\r\n3\r\nabc\r\n0\r\n\r\n"), "{received}");
}

#[tokio::test]
async fn odd_but_sound_requests_pass() {
    let cases = [
        ("OPTIONS * HTTP/1.1\r\nHost: app.example\r\n\r\n", "OPTIONS * HTTP/1.1\r\n"),
        ("GET //x/../y%2f HTTP/1.1\r\nHost: app.example\r\n\r\n", "GET //x/../y%2f HTTP/1.1\r\n"),
        (
            "GET https://APP.example/a?b HTTP/1.1\r\nHost: app.example\r\n\r\n",
            "GET /a?b HTTP/1.1\r\n",
        ),
        ("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", "GET / HTTP/1.1\r\n"),
        ("\r\nGET / HTTP/1.1\r\nHost: app.example.\r\n\r\n", "GET / HTTP/1.1\r\n"),
    ];
    for (request, line) in cases {
        let mut client = Client::new(vec![say(OK)]).await;
        client.send(request).await;
        client.read_until("ok").await;
        let received = client.backend_received();
        assert!(received.starts_with(line), "{request} got {received}");
    }
}

#[tokio::test]
async fn responses_that_are_not_what_they_say_are_not_forwarded() {
    let cases = [
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nok",
        "HTTP/1.1 200 OK\r\ncontent-length: 2, 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\ncontent-length: +2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX: a\0b\r\n\r\n",
        "SSH-2.0-OpenSSH_9.2\r\n\r\n",
        "HTTP/2.0 200 OK\r\n\r\n",
    ];
    for answer in cases {
        let mut client = Client::new(vec![say(answer)]).await;
        client.send("GET / HTTP/1.1\r\nHost: app.example\r\n\r\n").await;
        let text = client.read_until("\n").await;
        assert!(text.starts_with("HTTP/1.1 502 Bad Gateway\r\n"), "{answer}\ngot {text}");
        let metrics = client.metrics();
        let count = "portunus_backend_errors_total{backend=\"app\",reason=\"bad_response\"} 1";
        assert!(metrics.contains(count), "{answer}");
        let refused = metrics.lines().filter(|line| line.starts_with("portunus_http_rejects_"));
        assert!(refused.clone().count() > 1 && refused.clone().all(|line| line.ends_with(" 0")));
    }
}

#[tokio::test]
async fn a_length_that_looks_octal_reaches_no_backend() {
    use super::frames::{DATA, END_HEADERS, END_STREAM, HEADERS, POST, Raw, block, frame};
    let ok = "HTTP/1.1 200 OK\r\ncontent-length: 02\r\n\r\nok";
    let mut client = Raw::new(vec![vec![say(ok).after("0123456789")]], |_| {}).await;
    let head = [&POST[..], &[("content-length", "010")]].concat();
    client.send(&frame(HEADERS, END_HEADERS, 1, &block(&head))).await;
    client.send(&frame(DATA, END_STREAM, 1, b"0123456789")).await;
    client.next_of(DATA).await;
    assert_lines(&client.mock.received().concat(), &["content-length: 10"]);
}

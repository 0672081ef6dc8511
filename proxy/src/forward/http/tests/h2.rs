//! HTTP/2 from the client, HTTP/1.1 to the backend.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response, StatusCode, Version};
use http_body_util::{BodyExt, Full};
use hyper::body::{Frame, Incoming};
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::TokioExecutor;
use tokio::time::Instant;

use super::*;

const OK: &str = "HTTP/1.1 200 OK\r\nconnection: keep-alive, x-hop\r\nkeep-alive: timeout=5\r\n\
                  x-hop: 1\r\ncontent-length: 2\r\n\r\nok";

/// A body that does not say how long it is.
#[derive(Default)]
pub(super) struct Body(Full<Bytes>);

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Pin::new(&mut self.0).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }
}

/// A client of HTTP/2 in front of one backend.
pub(super) struct Client2 {
    requests: SendRequest<Body>,
    closed: oneshot::Receiver<CloseReason>,
    pub(super) mock: Mock,
    _drain: Drain,
}

impl Client2 {
    async fn new(scripts: Vec<Vec<Step>>) -> Self {
        Self::with(scripts, http2::Builder::new(TokioExecutor::new())).await
    }

    async fn with(scripts: Vec<Vec<Step>>, builder: http2::Builder<TokioExecutor>) -> Self {
        Self::at(scripts, builder, |addr| service(addr, |_| {}), facts()).await
    }

    pub(super) async fn at(
        scripts: Vec<Vec<Step>>,
        builder: http2::Builder<TokioExecutor>,
        make: impl FnOnce(&str) -> (Arc<HttpService>, Metrics),
        facts: ConnectionFacts,
    ) -> Self {
        let (drain, watch) = Drain::new();
        let mock = Mock::start(&watch, scripts).await;
        let (service, _metrics) = make(&mock.addr);
        let (io, stream) = duplex(64 * 1024);
        let (close, closed) = oneshot::channel();
        let finish = watch.clone();
        watch.spawn(async move {
            let stream = TokioIo::new(stream);
            let _ = close.send(serve(stream, HttpVersion::H2, service, facts, finish).await);
        });
        let (requests, connection) = builder.handshake(TokioIo::new(io)).await.unwrap();
        watch.spawn(async move { drop(connection.await) });
        Self { requests, closed, mock, _drain: drain }
    }

    pub(super) async fn ask(&mut self, request: Request<Body>) -> Response<Incoming> {
        self.requests.send_request(request).await.unwrap()
    }
}

pub(super) fn get(uri: &str) -> Request<Body> {
    Request::builder().uri(uri).version(Version::HTTP_2).body(Body::default()).unwrap()
}

async fn text(response: Response<Incoming>) -> String {
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[tokio::test]
async fn a_request_becomes_one_of_http_1_1() {
    let mut client = Client2::new(vec![vec![say(OK)]]).await;
    let mut request = get("https://app.example/a?b");
    request.headers_mut().append("cookie", "a=1".parse().unwrap());
    request.headers_mut().append("cookie", "b=2".parse().unwrap());
    request.headers_mut().insert("x_forwarded_for", "6.6.6.6".parse().unwrap());
    let response = client.ask(request).await;
    assert_eq!(response.status(), StatusCode::OK);
    for name in ["connection", "keep-alive", "x-hop", "transfer-encoding"] {
        assert!(!response.headers().contains_key(name), "{name}");
    }
    assert_eq!(text(response).await, "ok");
    let received = client.mock.received().concat();
    assert!(received.starts_with("GET /a?b HTTP/1.1\r\n"), "{received}");
    assert_lines(&received, &["host: app.example", "cookie: a=1; b=2", "x-forwarded-proto: https"]);
    assert!(!received.contains("6.6.6.6"), "{received}");
}

#[tokio::test]
async fn bodies_get_a_length_or_chunks() {
    let chunked = say(OK).after("0\r\n\r\n");
    let mut client = Client2::new(vec![vec![chunked, say(OK)]]).await;
    let mut request = get("https://app.example/").map(|_| Body("hello".into()));
    *request.method_mut() = http::Method::POST;
    assert_eq!(text(client.ask(request).await).await, "ok");
    let mut request = get("https://app.example/empty");
    *request.method_mut() = http::Method::POST;
    assert_eq!(text(client.ask(request).await).await, "ok");
    let received = client.mock.received().concat();
    let (full, empty) = received.split_once("POST /empty").unwrap();
    assert!(full.ends_with("5\r\nhello\r\n0\r\n\r\n"), "{received}");
    assert_lines(empty, &["content-length: 0"]);
}

#[tokio::test]
async fn streams_do_not_share_a_connection_to_the_backend_at_the_same_time() {
    let mut client = Client2::new(vec![vec![say("")], vec![say(OK); 3]]).await;
    let stuck = client.requests.send_request(get("https://app.example/stuck"));
    while client.mock.received().concat().is_empty() {
        tokio::task::yield_now().await;
    }
    for _ in 0..3 {
        assert_eq!(text(client.ask(get("https://app.example/")).await).await, "ok");
    }
    assert_eq!(client.mock.received().len(), 2);
    drop(stuck);
}

#[tokio::test]
async fn hosts_are_checked() {
    let mut client = Client2::new(vec![vec![say(OK)]]).await;
    let response = client.ask(get("https://other.example/")).await;
    assert_eq!(response.status(), StatusCode::MISDIRECTED_REQUEST);
    let mut request = get("https://app.example/");
    request.headers_mut().insert("host", "other.example".parse().unwrap());
    let response = client.ask(request).await;
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    assert!(!response.headers().contains_key("connection"));
    let id = response.headers()["x-request-id"].to_str().unwrap().to_owned();
    assert!(text(response).await.contains(&id));
    assert!(client.mock.received().is_empty());
}

#[tokio::test]
async fn a_cut_answer_resets_the_stream_and_nothing_else() {
    let half = "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf";
    let mut client = Client2::new(vec![vec![say(half).and_close()], vec![say(OK)]]).await;
    let response = client.ask(get("https://app.example/")).await;
    let error = response.into_body().collect().await.unwrap_err();
    let reset = std::error::Error::source(&error).unwrap().to_string();
    assert!(reset.contains("internal error"), "{reset}");
    assert_eq!(text(client.ask(get("https://app.example/")).await).await, "ok");
}

#[tokio::test]
async fn a_stream_that_is_reset_takes_its_connection_to_the_backend_along() {
    let client = Client2::new(vec![vec![say("")]]).await;
    let Client2 { mut requests, mock, .. } = client;
    let stuck = requests.send_request(get("https://app.example/"));
    while mock.received().concat().is_empty() {
        tokio::task::yield_now().await;
    }
    assert_eq!(mock.open(), 1);
    drop(stuck);
    while mock.open() > 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_without_streams_is_closed_with_a_farewell() {
    let mut client = Client2::new(vec![vec![say(OK)]]).await;
    assert_eq!(text(client.ask(get("https://app.example/")).await).await, "ok");
    let start = Instant::now();
    assert_eq!(client.closed.await.unwrap(), CloseReason::Idle);
    let limit = Limits::default().http.keepalive_timeout;
    assert!(start.elapsed() >= limit && start.elapsed() < limit * 2, "{:?}", start.elapsed());
    drop(client.requests);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_says_nothing_is_left() {
    let (service, _metrics) = service("127.0.0.1:1", |_| {});
    let (_io, stream) = duplex(64 * 1024);
    let (_drain, watch) = Drain::new();
    let start = Instant::now();
    let reason = serve(TokioIo::new(stream), HttpVersion::H2, service, facts(), watch).await;
    assert_eq!(reason, CloseReason::Idle);
    assert!(start.elapsed() <= Duration::from_secs(16), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_stream_whose_client_grants_no_window_is_given_up() {
    let long: &'static str =
        format!("HTTP/1.1 200 OK\r\ncontent-length: 99999\r\n\r\n{}", "x".repeat(99_999)).leak();
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder.initial_stream_window_size(0);
    let mut client = Client2::with(vec![vec![say(long)]], builder).await;
    let start = Instant::now();
    let response = client.ask(get("https://app.example/")).await;
    assert_eq!(client.mock.open(), 1);
    response.into_body().collect().await.unwrap_err();
    assert_eq!(start.elapsed().as_secs(), Limits::default().http.write_timeout.as_secs());
    while client.mock.open() > 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn interim_responses_come_before_the_final_one() {
    let hints = "HTTP/1.1 103 Early Hints\r\nlink: </a.css>\r\nconnection: x-hop\r\nx-hop: 1\r\n\
                 \r\n\
                 HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
    let mut client = frames::Raw::new(vec![vec![say(hints)]], |_| {}).await;
    client.send(&frames::get(1)).await;
    let mut heads = 0;
    loop {
        let frame = client.next().await.expect("an answer");
        match frame.kind {
            frames::HEADERS => {
                assert_eq!((frame.stream, frame.flags), (1, frames::END_HEADERS));
                heads += 1;
            }
            frames::DATA => break assert_eq!(frame.payload, b"ok"),
            _ => {}
        }
    }
    assert_eq!(heads, 2);
}

#[tokio::test]
async fn the_end_of_an_answer_needs_no_room() {
    let empty = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    let script = vec![say(empty), Step { until: "", ..say("0\r\n\r\n") }];
    // SETTINGS_INITIAL_WINDOW_SIZE of nothing.
    let mut client = frames::Raw::at(vec![script], |_| {}, &[0, 4, 0, 0, 0, 0]).await;
    let start = Instant::now();
    client.send(&frames::get(1)).await;
    assert_eq!(client.next_of(frames::HEADERS).await.flags, frames::END_HEADERS);
    let end = client.next().await.expect("the end");
    assert_eq!((end.kind, end.flags, end.payload.len()), (frames::DATA, frames::END_STREAM, 0));
    assert!(start.elapsed() < Limits::default().http.write_timeout);
}

#[tokio::test]
async fn a_client_without_room_is_not_to_blame_for_a_backend_that_is_silent() {
    let silent = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    let mut client = frames::Raw::at(vec![vec![say(silent)]], |_| {}, &[0, 4, 0, 0, 0, 0]).await;
    client.send(&frames::get(1)).await;
    client.next_of(frames::HEADERS).await;
    tokio::time::pause();
    let reset = client.next_of(frames::RST_STREAM);
    timeout(Limits::default().http.write_timeout + Duration::from_secs(10), reset)
        .await
        .unwrap_err();
}

/// The index of `:status: 200` (RFC 7541 appendix A).
const STATUS_OK: u8 = 0x88;

/// The text `100` in the code of Huffman (RFC 7541 appendix B), behind its length.
const CONTINUE: [u8; 3] = [0x82, 0b0000_1000, 0b0000_0001];

/// A client that sends content only when it is told to.
async fn expect(script: Vec<Step>, host: &str) -> frames::Raw {
    let mut client = frames::Raw::new(vec![script], |_| {}).await;
    let fields = [("expect", "100-continue"), ("content-length", "5"), ("host", host)];
    let head = frames::block(&[&frames::POST[..], &fields].concat());
    client.send(&frames::frame(frames::HEADERS, frames::END_HEADERS, 1, &head)).await;
    client
}

#[tokio::test]
async fn a_client_that_waits_for_leave_gets_it() {
    let mut client = expect(vec![say(OK).after("hello")], "app.example").await;
    let leave = client.next_of(frames::HEADERS).await;
    assert_eq!((leave.stream, leave.flags), (1, frames::END_HEADERS));
    assert!(leave.payload.ends_with(&CONTINUE), "{:?}", leave.payload);
    client.send(&frames::frame(frames::DATA, frames::END_STREAM, 1, b"hello")).await;
    assert_eq!(client.next_of(frames::HEADERS).await.payload[0], STATUS_OK);
    assert_eq!(client.next_of(frames::DATA).await.payload, b"ok");
    let received = client.mock.received().concat();
    assert!(received.ends_with("\r\n\r\nhello") && !received.contains("expect"), "{received}");
}

#[tokio::test]
async fn whoever_is_refused_gets_no_leave() {
    let mut client = expect(vec![say(OK)], "other.example").await;
    let answer = client.next_of(frames::HEADERS).await;
    assert!(!answer.payload.ends_with(&CONTINUE), "{:?}", answer.payload);
    // Its answer: content follows.
    assert!(!client.next_of(frames::DATA).await.payload.is_empty());
    assert!(client.mock.received().is_empty());
}

//! Endpoints that speak HTTP/2: shared connections, streams that are refused, cut and left.

mod flow;
mod life;
mod trailers;

use std::sync::atomic::{AtomicUsize, Ordering};

use ::h2::server::SendResponse;
use ::h2::{Reason, RecvStream};
use bytes::Bytes;
use http::{HeaderMap, Request, Response};

use super::*;

const GET: &str = "GET /a%2F?b HTTP/1.1\r\nHost: app.example:8443\r\n\r\n";

/// An endpoint of HTTP/2 on loopback.
struct Endpoint {
    addr: String,
    connections: Arc<AtomicUsize>,
    log: Log,
}

/// What happened at an endpoint, in order.
type Log = Arc<Mutex<Vec<String>>>;

/// A request, and all that an endpoint needs to answer it.
struct Asked {
    /// The number of the connection.
    connection: usize,
    request: Request<RecvStream>,
    respond: SendResponse<Bytes>,
    log: Log,
}

/// What an endpoint does about a request.
type Answer = fn(Asked) -> Answering;
type Answering = std::pin::Pin<Box<dyn Future<Output = ()> + Send>>;

impl Endpoint {
    async fn start(watch: &DrainWatch, answer: Answer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap().to_string();
        let connections = Arc::new(AtomicUsize::new(0));
        let log = Log::default();
        let (count, record, tasks) = (Arc::clone(&connections), Arc::clone(&log), watch.clone());
        watch.spawn(async move {
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                let number = count.fetch_add(1, Ordering::SeqCst);
                let (record, streams) = (Arc::clone(&record), tasks.clone());
                tasks.spawn(async move {
                    let mut connection = ::h2::server::handshake(socket).await.unwrap();
                    while let Some(Ok((request, respond))) = connection.accept().await {
                        let log = Arc::clone(&record);
                        let asked = Asked { connection: number, request, respond, log };
                        streams.spawn(answer(asked));
                    }
                });
            }
        });
        Self { addr, connections, log }
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// Waits until something was noted, and returns all of it.
    async fn noted(&self, what: &str) -> Vec<String> {
        loop {
            let log = self.log.lock().unwrap().clone();
            if log.iter().any(|line| line == what) {
                return log;
            }
            tokio::task::yield_now().await;
        }
    }
}

/// A client of a proxy in front of endpoints of HTTP/2 at `addr`. The drain is that of the backend.
async fn client_of(addr: &str, tweak: fn(&mut Limits)) -> (Client, Drain, DrainWatch) {
    client_with(addr, tweak, &config::Behind::forwarding(0)).await
}

/// The same with the routes of `behind`.
async fn client_with(
    addr: &str,
    tweak: fn(&mut Limits),
    behind: &config::Behind,
) -> (Client, Drain, DrainWatch) {
    let (drain, watch) = Drain::new();
    let keys = format!("endpoints = ['{addr}']\nprotocol = 'http2'");
    let make = |_: &str| {
        let place = Place { host: "app.example", ..Place::default() };
        let (service, metrics, backend) = service_before(&keys, tweak, &[place], behind, |_| {});
        watch.spawn(backend.maintain(Arc::default(), watch.clone()));
        (service, metrics)
    };
    let client = Client::at(vec![vec![say("")]], make, facts()).await;
    (client, drain, watch)
}

fn ok(asked: Asked) -> Answering {
    asked.note();
    Box::pin(echo(asked.request, asked.respond))
}

impl Asked {
    fn note(&self) {
        let Self { request, log, .. } = self;
        let fields: Vec<_> = request.headers().keys().map(|name| name.as_str()).collect();
        let line = format!("{} {} {}", request.method(), request.uri(), fields.join(" "));
        log.lock().unwrap().push(line);
    }
}

/// Sends every part of the request back as it comes, and its trailers behind it.
async fn echo(request: Request<RecvStream>, mut respond: SendResponse<Bytes>) {
    let mut body = request.into_body();
    let mut answer = respond.send_response(Response::new(()), false).unwrap();
    while let Some(data) = body.data().await {
        let Ok(data) = data else { return };
        body.flow_control().release_capacity(data.len()).unwrap();
        answer.send_data(data, false).unwrap();
    }
    match body.trailers().await {
        Ok(Some(trailers)) => answer.send_trailers(trailers).unwrap(),
        Ok(None) => answer.send_data(Bytes::new(), true).unwrap(),
        Err(_) => {}
    }
}

#[tokio::test]
async fn a_request_becomes_one_of_http_2() {
    let (_drain, watch) = Drain::new();
    let endpoint = Endpoint::start(&watch, ok).await;
    let (mut client, _of_backend, _) = client_of(&endpoint.addr, |_| {}).await;
    client.send("GET /a%2F?b HTTP/1.1\r\nHost: app.example:8443\r\nX-Own: 1\r\n\r\n").await;
    let answer = client.read_until("0\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    let line = endpoint.log.lock().unwrap().concat();
    let (target, fields) = line.split_at("GET http://app.example:8443/a%2F?b".len());
    assert_eq!(target, "GET http://app.example:8443/a%2F?b");
    assert!(fields.split(' ').any(|field| field == "x-own"), "{line}");
    for name in ["host", "connection", "transfer-encoding"] {
        assert!(!fields.split(' ').any(|field| field == name), "{line}");
    }
}

#[tokio::test]
async fn requests_share_a_connection() {
    let (_drain, watch) = Drain::new();
    let endpoint = Endpoint::start(&watch, ok).await;
    let (mut client, _of_backend, _) = client_of(&endpoint.addr, |_| {}).await;
    for _ in 0..5 {
        client.send(GET).await;
        client.read_until("0\r\n\r\n").await;
    }
    assert_eq!(endpoint.connections(), 1);
    let active = "portunus_backend_connections_active{backend=\"app\"} 1";
    assert!(client.metrics().contains(active));
}

#[tokio::test]
async fn both_directions_go_on_side_by_side() {
    let (_drain, watch) = Drain::new();
    let endpoint = Endpoint::start(&watch, ok).await;
    let (mut client, _of_backend, _) = client_of(&endpoint.addr, |_| {}).await;
    let head = "POST / HTTP/1.1\r\nHost: app.example\r\nTransfer-Encoding: chunked\r\n\r\n";
    client.send(head).await;
    for part in ["one", "two"] {
        client.send(&format!("3\r\n{part}\r\n")).await;
        client.read_until(&format!("3\r\n{part}\r\n")).await;
    }
    client.send("0\r\n\r\n").await;
    assert_eq!(client.read_until("0\r\n\r\n").await, "0\r\n\r\n");
}

#[tokio::test]
async fn a_body_larger_than_every_window_arrives() {
    let (_drain, watch) = Drain::new();
    let endpoint = Endpoint::start(&watch, ok).await;
    let (mut client, _of_backend, _) = client_of(&endpoint.addr, |_| {}).await;
    const BYTES: usize = 3 << 20;
    let head = "POST / HTTP/1.1\r\nHost: app.example\r\nConnection: close\r\n";
    let Client { io, .. } = &mut client;
    let (mut reader, mut writer) = tokio::io::split(io);
    let head = format!("{head}Content-Length: {BYTES}\r\n\r\n");
    let writing = async {
        writer.write_all(head.as_bytes()).await.unwrap();
        writer.write_all(&vec![b'x'; BYTES]).await.unwrap();
    };
    let mut answer = Vec::new();
    let (read, ()) = tokio::join!(reader.read_to_end(&mut answer), writing);
    read.unwrap();
    assert_eq!(answer.iter().filter(|byte| **byte == b'x').count(), BYTES);
}

#[tokio::test]
async fn what_was_refused_is_sent_over_another_connection() {
    fn refuse(mut asked: Asked) -> Answering {
        asked.note();
        if asked.connection == 0 {
            asked.respond.send_reset(Reason::REFUSED_STREAM);
            return Box::pin(async {});
        }
        Box::pin(echo(asked.request, asked.respond))
    }
    let post = "POST / HTTP/1.1\r\nHost: app.example\r\nContent-Length: 0\r\n\r\n";
    for request in [GET, post] {
        let (_drain, watch) = Drain::new();
        let endpoint = Endpoint::start(&watch, refuse).await;
        let (mut client, _of_backend, _) = client_of(&endpoint.addr, |_| {}).await;
        client.send(request).await;
        let answer = client.read_until("0\r\n\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        assert_eq!(endpoint.connections(), 2);
        assert!(client.metrics().contains("portunus_backend_retries_total{backend=\"app\"} 1"));
    }
}

#[tokio::test]
async fn a_body_that_was_on_its_way_goes_over_the_other_connection_too() {
    /// The first connection refuses what it has heard completely.
    fn refuse_late(mut asked: Asked) -> Answering {
        asked.note();
        if asked.connection > 0 {
            return Box::pin(echo(asked.request, asked.respond));
        }
        Box::pin(async move {
            let body = asked.request.body_mut();
            while let Some(Ok(data)) = body.data().await {
                body.flow_control().release_capacity(data.len()).unwrap();
            }
            asked.respond.send_reset(Reason::REFUSED_STREAM);
        })
    }
    for (length, status) in [(5, "200 OK"), (9 * 1024, "200 OK"), (64 * 1024, "502 Bad Gateway")] {
        let (_drain, watch) = Drain::new();
        let endpoint = Endpoint::start(&watch, refuse_late).await;
        let (mut client, _of_backend, _) = client_of(&endpoint.addr, |_| {}).await;
        let head = "POST / HTTP/1.1\r\nHost: app.example\r\nConnection: close\r\n";
        let body = "x".repeat(length);
        client.send(&format!("{head}Content-Length: {length}\r\n\r\n{body}")).await;
        let answer = client.read_to_end().await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{length}: {answer}");
        let echoed = answer.split_once("\r\n\r\n").unwrap().1.matches('x').count();
        assert_eq!(echoed, if status == "200 OK" { length } else { 0 });
    }
}

#[tokio::test]
async fn what_is_refused_again_is_not_sent_a_third_time() {
    fn refuse(mut asked: Asked) -> Answering {
        asked.note();
        asked.respond.send_reset(Reason::REFUSED_STREAM);
        Box::pin(async {})
    }
    let (_drain, watch) = Drain::new();
    let endpoint = Endpoint::start(&watch, refuse).await;
    let (mut client, _of_backend, _) = client_of(&endpoint.addr, |_| {}).await;
    client.send(GET).await;
    let answer = client.read_until("\n").await;
    assert!(answer.starts_with("HTTP/1.1 502 "), "{answer}");
    assert_eq!(endpoint.log.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn what_was_reset_for_another_reason_is_not_sent_again() {
    fn reset(mut asked: Asked) -> Answering {
        asked.note();
        asked.respond.send_reset(Reason::INTERNAL_ERROR);
        Box::pin(async {})
    }
    let (_drain, watch) = Drain::new();
    let endpoint = Endpoint::start(&watch, reset).await;
    let (mut client, _of_backend, _) = client_of(&endpoint.addr, |_| {}).await;
    client.send(GET).await;
    let answer = client.read_until("\n").await;
    assert!(answer.starts_with("HTTP/1.1 502 "), "{answer}");
    assert_eq!(endpoint.log.lock().unwrap().len(), 1);
}

/// An endpoint whose first connection says farewell to the first request on it, having come no
/// further than the stream `last`, and whose second answers.
async fn leaving(watch: &DrainWatch, last: u8) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    let requests = Arc::new(AtomicUsize::new(0));
    let (count, tasks) = (Arc::clone(&requests), watch.clone());
    watch.spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut preface = [0; 24];
        socket.read_exact(&mut preface).await.unwrap();
        socket.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).await.unwrap();
        loop {
            let mut head = [0; 9];
            socket.read_exact(&mut head).await.unwrap();
            let length = usize::from(head[1]) << 8 | usize::from(head[2]);
            let mut rest = vec![0; length];
            socket.read_exact(&mut rest).await.unwrap();
            if head[3] == 1 {
                break;
            }
        }
        count.fetch_add(1, Ordering::SeqCst);
        let farewell = [0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, last, 0, 0, 0, 0];
        socket.write_all(&farewell).await.unwrap();
        socket.shutdown().await.unwrap();
        let (next, _) = listener.accept().await.unwrap();
        let mut connection = ::h2::server::handshake(next).await.unwrap();
        while let Some(Ok((request, respond))) = connection.accept().await {
            count.fetch_add(1, Ordering::SeqCst);
            tasks.spawn(echo(request, respond));
        }
    });
    (addr, requests)
}

#[tokio::test]
async fn a_farewell_decides_what_is_sent_again() {
    for (last, status, end, requests) in
        [(0, "200 OK", "0\r\n\r\n", 2), (1, "502 Bad Gateway", "\n", 1)]
    {
        let (_drain, watch) = Drain::new();
        let (addr, count) = leaving(&watch, last).await;
        let (mut client, _of_backend, _) = client_of(&addr, |_| {}).await;
        client.send(GET).await;
        let answer = client.read_until(end).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{answer}");
        assert_eq!(count.load(Ordering::SeqCst), requests);
    }
}

#[tokio::test]
async fn a_client_that_leaves_resets_its_stream_alone() {
    fn watch_reset(mut asked: Asked) -> Answering {
        asked.note();
        Box::pin(async move {
            asked.log.lock().unwrap().push("waiting".into());
            let reset = std::future::poll_fn(|cx| asked.respond.poll_reset(cx)).await;
            asked.log.lock().unwrap().push(reset.unwrap().to_string());
        })
    }
    let (_drain, watch) = Drain::new();
    let endpoint = Endpoint::start(&watch, watch_reset).await;
    let (mut client, _of_backend, _) = client_of(&endpoint.addr, |_| {}).await;
    client.send(GET).await;
    endpoint.noted("waiting").await;
    let Client { io, closed, metrics, .. } = client;
    drop(io);
    assert_eq!(closed.await.unwrap(), CloseReason::ClientReset);
    endpoint.noted(&Reason::CANCEL.to_string()).await;
    let text = metrics.encode(crate::metrics::Exposition::Text);
    assert!(text.contains("portunus_backend_connections_active{backend=\"app\"} 1"), "{text}");
}

#[tokio::test]
async fn trailers_and_hints_come_through() {
    fn hint(mut asked: Asked) -> Answering {
        Box::pin(async move {
            let mut early = Response::new(());
            *early.status_mut() = http::StatusCode::EARLY_HINTS;
            early.headers_mut().insert("link", "</a.css>".parse().unwrap());
            asked.respond.send_informational(early).unwrap();
            let mut trailers = HeaderMap::new();
            trailers.insert("grpc-status", "0".parse().unwrap());
            let head = Response::builder().header("trailer", "grpc-status").body(()).unwrap();
            let mut body = asked.respond.send_response(head, false).unwrap();
            body.send_data(Bytes::from_static(b"ok"), false).unwrap();
            body.send_trailers(trailers).unwrap();
        })
    }
    let (_drain, watch) = Drain::new();
    let endpoint = Endpoint::start(&watch, hint).await;
    let (mut client, _of_backend, _) = client_of(&endpoint.addr, |_| {}).await;
    let fields = "Connection: te\r\nTE: trailers\r\nContent-Type: application/grpc";
    client.send(&format!("GET / HTTP/1.1\r\nHost: app.example\r\n{fields}\r\n\r\n")).await;
    let answer = client.read_until("grpc-status: 0\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 103 Early Hints\r\nlink: </a.css>\r\n\r\n"), "{answer}");
}

#[tokio::test]
async fn what_becomes_a_websocket_is_no_matter_of_http_2() {
    let (_drain, watch) = Drain::new();
    let endpoint = Endpoint::start(&watch, ok).await;
    let (mut client, _of_backend, _) = client_of(&endpoint.addr, |_| {}).await;
    let ask = "GET / HTTP/1.1\r\nHost: app.example\r\nConnection: upgrade\r\n\
               Upgrade: websocket\r\n\r\n";
    client.send(ask).await;
    let answer = client.read_until("\n").await;
    assert!(answer.starts_with("HTTP/1.1 501 Not Implemented\r\n"), "{answer}");
    assert_eq!(endpoint.connections(), 0);
    let text = client.metrics();
    let mut errors = text.lines().filter(|line| line.starts_with("portunus_backend_errors_total{"));
    assert!(errors.all(|line| line.ends_with(" 0")), "{text}");
}

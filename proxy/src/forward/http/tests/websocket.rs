//! WebSockets over HTTP/2 (RFC 8441): an upgrade for the backend, a stream for the client.

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures_util::FutureExt;

use super::frames::*;
use super::*;

const CALL: [(&str, &str); 7] = [
    (":method", "CONNECT"),
    (":protocol", "websocket"),
    (":scheme", "https"),
    (":path", "/chat"),
    (":authority", "app.example"),
    ("sec-websocket-version", "13"),
    ("cookie", "a=1"),
];

/// The index of `:status: 200`.
const STATUS_OK: u8 = 0x88;

/// A client of a listener that knows WebSocket over HTTP/2, and the backend's listening socket.
async fn call() -> (Raw, TcpListener) {
    call_with(&CALL).await
}

async fn call_with(fields: &[(&str, &str)]) -> (Raw, TcpListener) {
    let (drain, watch) = Drain::new();
    let mock = Mock::start(&watch, vec![vec![]]).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    let (mut service, metrics) = service(&addr, |_| {});
    Arc::get_mut(&mut service).unwrap().listener.extended_connect = true;
    let mut client = Raw::of(service, metrics, mock, (drain, watch), &[]).await;
    let settings = client.next_of(SETTINGS).await;
    // SETTINGS_ENABLE_CONNECT_PROTOCOL.
    assert!(settings.payload.chunks(6).any(|setting| setting == [0, 8, 0, 0, 0, 1]));
    client.send(&frame(HEADERS, END_HEADERS, 1, &block(fields))).await;
    (client, listener)
}

/// Reads the head of a request.
async fn read_head(socket: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        assert_ne!(socket.read_buf(&mut head).await.unwrap(), 0, "the end");
    }
    String::from_utf8(head).unwrap()
}

/// What a backend answers to the key in `head` (RFC 6455 §4.2.2).
fn agreement(head: &str) -> String {
    let key = head.lines().find_map(|line| line.strip_prefix("sec-websocket-key: ")).unwrap();
    let text = format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    STANDARD.encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, text.as_bytes()))
}

fn switch(accept: &str) -> String {
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-accept: {accept}\r\n\r\n"
    )
}

#[tokio::test]
async fn a_stream_becomes_a_tunnel_to_the_backend() {
    let (mut client, listener) = call().await;
    let (mut backend, _) = listener.accept().await.unwrap();
    let head = read_head(&mut backend).await;
    assert!(head.starts_with("GET /chat HTTP/1.1\r\n"), "{head}");
    let lines = ["host: app.example", "upgrade: websocket", "connection: upgrade", "cookie: a=1"];
    assert_lines(&head, &lines);
    backend.write_all((switch(&agreement(&head)) + "early").as_bytes()).await.unwrap();
    let answer = client.next_of(HEADERS).await;
    assert_eq!((answer.flags, answer.payload[0]), (END_HEADERS, STATUS_OK));
    assert_eq!(client.next_of(DATA).await.payload, b"early");
    client.send(&frame(DATA, 0, 1, b"ping")).await;
    let mut heard = [0; 4];
    backend.read_exact(&mut heard).await.unwrap();
    assert_eq!(&heard, b"ping");
    backend.write_all(b"pong").await.unwrap();
    assert_eq!(client.next_of(DATA).await.payload, b"pong");
    // Either side ends its direction, and the other hears of it.
    client.send(&frame(DATA, END_STREAM, 1, b"")).await;
    assert_eq!(backend.read(&mut heard).await.unwrap(), 0);
    drop(backend);
    let end = client.next_of(DATA).await;
    assert_eq!((end.flags, end.payload.len()), (END_STREAM, 0));
}

#[tokio::test]
async fn a_tunnel_moves_only_as_the_windows_allow() {
    let (mut client, listener) = call().await;
    let (mut backend, _) = listener.accept().await.unwrap();
    let head = read_head(&mut backend).await;
    backend.write_all(switch(&agreement(&head)).as_bytes()).await.unwrap();
    let content: Vec<u8> = (0..300_000_u32).map(|n| (n % 251) as u8).collect();
    let (mut from_us, mut to_us) = backend.into_split();
    let sent = content.clone();
    let sending = async move { to_us.write_all(&sent).await.unwrap() };
    let receiving = async {
        let mut received = Vec::new();
        while received.len() < content.len() {
            let frame = client.next_of(DATA).await;
            received.extend_from_slice(&frame.payload);
            if received.len() == 65_535 {
                // No window is left: nothing more comes before there is some.
                let more = [0, 1].map(|stream| frame_of_window(stream, 300_000)).concat();
                client.send(&more).await;
            }
        }
        received
    };
    let ((), received) = tokio::join!(sending, receiving);
    assert!(received == content);
    client.send(&frame(RST_STREAM, 0, 1, &[0, 0, 0, 8])).await;
    let mut rest = Vec::new();
    // A client that breaks off did not end in order.
    assert!(from_us.read_to_end(&mut rest).await.is_err(), "{rest:?}");
}

fn frame_of_window(stream: u32, bytes: u32) -> Vec<u8> {
    frame(WINDOW_UPDATE, 0, stream, &bytes.to_be_bytes())
}

#[tokio::test]
async fn a_backend_that_does_not_know_the_key_is_not_believed() {
    let (mut client, listener) = call().await;
    let (mut backend, _) = listener.accept().await.unwrap();
    read_head(&mut backend).await;
    backend.write_all(switch("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=").as_bytes()).await.unwrap();
    let answer = client.next_of(HEADERS).await;
    assert_eq!(answer.flags, END_HEADERS | END_STREAM);
    assert_ne!(answer.payload[0], STATUS_OK);
}

#[tokio::test]
async fn a_call_is_as_well_formed_as_any_request_or_reaches_no_backend() {
    let cases = [
        ("x", " 1"),
        ("x", "1\t"),
        ("sec-websocket-protocol", " chat"),
        ("content-length", "1, 1"),
        ("transfer-encoding", "chunked"),
    ];
    for case in cases {
        let (mut client, listener) = call_with(&[&CALL[..], &[case]].concat()).await;
        let reset = client.next_of(RST_STREAM).await;
        assert_eq!((reset.stream, reset.code()), (1, PROTOCOL_ERROR), "{case:?}");
        assert!(listener.accept().now_or_never().is_none(), "{case:?}");
    }
}

#[tokio::test]
async fn a_backend_may_decline_a_stream() {
    let (mut client, listener) = call().await;
    let (mut backend, _) = listener.accept().await.unwrap();
    read_head(&mut backend).await;
    let no = b"HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno";
    backend.write_all(no).await.unwrap();
    assert_ne!(client.next_of(HEADERS).await.payload[0], STATUS_OK);
    assert_eq!(client.next_of(DATA).await.payload, b"no");
}

#[tokio::test]
async fn where_it_is_not_wanted_it_is_neither_announced_nor_served() {
    let mut client = Raw::new(vec![vec![say("")]], |_| {}).await;
    let settings = client.next_of(SETTINGS).await;
    assert!(!settings.payload.chunks(6).any(|setting| setting[..2] == [0, 8]));
    client.send(&frame(HEADERS, END_HEADERS, 1, &block(&CALL))).await;
    let answer = loop {
        let frame = client.next().await.expect("an answer");
        if matches!(frame.kind, HEADERS | RST_STREAM) {
            break frame;
        }
    };
    assert_ne!((answer.kind, answer.payload[0]), (HEADERS, STATUS_OK));
    assert!(client.mock.received().is_empty());
}

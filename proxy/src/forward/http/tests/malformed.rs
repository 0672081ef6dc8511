//! Requests of HTTP/2 that are none (RFC 9113 §8.1.1 to §8.3.1): each is reset, or refused where
//! it is well-formed but not to be forwarded, and nothing of it reaches the backend.

use super::frames::*;
use super::*;

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

type Fields = &'static [(&'static str, &'static str)];

const METHOD: (&str, &str) = (":method", "GET");
const SCHEME: (&str, &str) = (":scheme", "https");
const PATH: (&str, &str) = (":path", "/");
const AUTHORITY: (&str, &str) = (":authority", "app.example");

const CASES: [Fields; 50] = [
    // Names and values that would mean something else in HTTP/1.1 (§8.2.1).
    &[METHOD, SCHEME, PATH, AUTHORITY, ("X-Upper", "1")],
    &[METHOD, SCHEME, PATH, AUTHORITY, ("x y", "1")],
    &[METHOD, SCHEME, PATH, AUTHORITY, ("x:y", "1")],
    &[METHOD, SCHEME, PATH, AUTHORITY, ("x\r\ny", "1")],
    &[METHOD, SCHEME, PATH, AUTHORITY, ("x\0y", "1")],
    &[METHOD, SCHEME, PATH, AUTHORITY, ("", "1")],
    &[METHOD, SCHEME, PATH, AUTHORITY, ("x\u{e9}", "1")],
    &[METHOD, SCHEME, PATH, AUTHORITY, ("x", "1\r\ny: 2")],
    &[METHOD, SCHEME, PATH, AUTHORITY, ("x", "1\ny: 2")],
    &[METHOD, SCHEME, PATH, AUTHORITY, ("x", "1\ry: 2")],
    &[METHOD, SCHEME, PATH, AUTHORITY, ("x", "1\0")],
    &[METHOD, SCHEME, PATH, AUTHORITY, ("x", " 1")],
    &[METHOD, SCHEME, PATH, AUTHORITY, ("x", "1\t")],
    // Lengths that are none.
    &[METHOD, SCHEME, PATH, AUTHORITY, ("content-length", "")],
    &[METHOD, SCHEME, PATH, AUTHORITY, ("content-length", "+0")],
    &[METHOD, SCHEME, PATH, AUTHORITY, ("content-length", "0, 0")],
    &[METHOD, SCHEME, PATH, AUTHORITY, ("content-length", "0"), ("content-length", "0")],
    // Fields of a connection (§8.2.2).
    &[METHOD, SCHEME, PATH, AUTHORITY, ("connection", "close")],
    &[METHOD, SCHEME, PATH, AUTHORITY, ("keep-alive", "1")],
    &[METHOD, SCHEME, PATH, AUTHORITY, ("proxy-connection", "close")],
    &[METHOD, SCHEME, PATH, AUTHORITY, ("transfer-encoding", "chunked")],
    &[METHOD, SCHEME, PATH, AUTHORITY, ("upgrade", "h2c")],
    &[METHOD, SCHEME, PATH, AUTHORITY, ("te", "gzip")],
    &[METHOD, SCHEME, PATH, AUTHORITY, ("te", "trailers, chunked")],
    // Pseudo-header fields (§8.3).
    &[SCHEME, PATH, AUTHORITY],
    &[METHOD, PATH, AUTHORITY],
    &[METHOD, SCHEME, AUTHORITY],
    &[METHOD, SCHEME, PATH],
    &[METHOD, METHOD, SCHEME, PATH, AUTHORITY],
    &[METHOD, SCHEME, SCHEME, PATH, AUTHORITY],
    &[METHOD, SCHEME, PATH, PATH, AUTHORITY],
    &[METHOD, SCHEME, PATH, AUTHORITY, AUTHORITY],
    &[METHOD, SCHEME, PATH, ("x", "1"), AUTHORITY],
    &[METHOD, SCHEME, PATH, AUTHORITY, (":status", "200")],
    &[METHOD, SCHEME, PATH, AUTHORITY, (":unknown", "1")],
    &[METHOD, SCHEME, PATH, AUTHORITY, (":protocol", "websocket")],
    &[("x", "1"), METHOD, SCHEME, PATH, AUTHORITY],
    // Their values (§8.3.1).
    &[(":method", "G T"), SCHEME, PATH, AUTHORITY],
    &[(":method", "GET\r\n"), SCHEME, PATH, AUTHORITY],
    &[(":method", ""), SCHEME, PATH, AUTHORITY],
    &[METHOD, SCHEME, (":path", ""), AUTHORITY],
    &[METHOD, SCHEME, (":path", "x"), AUTHORITY],
    &[METHOD, SCHEME, (":path", "/ HTTP/1.1"), AUTHORITY],
    &[METHOD, SCHEME, (":path", "/\r\nx: 1"), AUTHORITY],
    &[METHOD, SCHEME, (":path", "/\0"), AUTHORITY],
    &[METHOD, SCHEME, PATH, (":authority", "app.example\r\nx: 1")],
    &[METHOD, SCHEME, PATH, (":authority", "user@app.example")],
    &[METHOD, SCHEME, PATH, (":authority", "app.example/path")],
    &[METHOD, (":scheme", "ht tps"), PATH, AUTHORITY],
    &[(":method", "CONNECT"), SCHEME, PATH, AUTHORITY],
];

/// What became of the request of stream 1: the code of a reset, of the stream or of everything, or
/// the first byte of a head, which tells the status if that is one of the table (RFC 7541,
/// appendix A).
async fn fate(client: &mut Raw) -> Result<u8, u32> {
    loop {
        let frame = client.next().await.expect("an answer");
        match frame.kind {
            RST_STREAM | GOAWAY => return Err(frame.code()),
            HEADERS => return Ok(frame.payload[0]),
            _ => {}
        }
    }
}

/// The index of `:status: 200`.
const STATUS_OK: u8 = 0x88;

#[tokio::test]
async fn a_malformed_request_is_reset_or_refused_and_never_forwarded() {
    for fields in CASES {
        let mut client = Raw::new(vec![vec![say(OK); 99]], |_| {}).await;
        client.send(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &block(fields))).await;
        match fate(&mut client).await {
            Err(code) => assert_eq!(code, PROTOCOL_ERROR, "{fields:?}"),
            Ok(status) => assert_ne!(status, STATUS_OK, "{fields:?}"),
        }
        assert!(client.mock.received().is_empty(), "{:?}", client.mock.received());
    }
    let mut client = Raw::new(vec![vec![say(OK)]], |_| {}).await;
    client.send(&get(1)).await;
    assert_eq!(fate(&mut client).await, Ok(STATUS_OK));
}

#[tokio::test]
async fn content_of_another_length_than_was_said_is_reset_and_the_backend_left() {
    let length = [&POST[..], &[("content-length", "5")]].concat();
    let cases: [(&str, Vec<u8>); 4] = [
        ("nothing", frame(HEADERS, END_HEADERS | END_STREAM, 1, &block(&length))),
        (
            "less",
            [frame(HEADERS, END_HEADERS, 1, &block(&length)), frame(DATA, END_STREAM, 1, b"four")]
                .concat(),
        ),
        (
            "more",
            [
                frame(HEADERS, END_HEADERS, 1, &block(&length)),
                frame(DATA, END_STREAM, 1, b"sixsix"),
            ]
            .concat(),
        ),
        (
            "less, with trailers",
            [
                frame(HEADERS, END_HEADERS, 1, &block(&length)),
                frame(DATA, 0, 1, b"four"),
                frame(HEADERS, END_HEADERS | END_STREAM, 1, &block(&[("x", "1")])),
            ]
            .concat(),
        ),
    ];
    for (name, bytes) in cases {
        let mut client = Raw::new(vec![vec![say(OK).after(NEVER)]], |_| {}).await;
        client.send(&bytes).await;
        assert_eq!(fate(&mut client).await, Err(PROTOCOL_ERROR), "{name}");
        while client.mock.open() > 0 {
            tokio::task::yield_now().await;
        }
        for received in client.mock.received() {
            assert!(!received.ends_with("sixsix"), "{name}: {received}");
        }
    }
}

#[tokio::test]
async fn stream_numbers_go_up_and_are_odd() {
    for numbers in [&[2][..], &[0], &[5, 3]] {
        let mut client = Raw::new(vec![vec![say("")]], |_| {}).await;
        for number in numbers {
            client.send(&get(*number)).await;
        }
        assert_eq!(client.next_of(GOAWAY).await.code(), PROTOCOL_ERROR, "{numbers:?}");
        assert_eq!(client.closed.await.unwrap(), CloseReason::ClientError, "{numbers:?}");
    }
}

#[tokio::test]
async fn frames_of_the_wrong_size_or_in_the_wrong_place_end_the_connection() {
    let cases = [
        ("settings", frame(SETTINGS, 0, 0, &[0; 5]), FRAME_SIZE_ERROR),
        ("their answer", frame(SETTINGS, ACK, 0, &[0; 6]), FRAME_SIZE_ERROR),
        ("ping", frame(PING, 0, 0, &[0; 7]), FRAME_SIZE_ERROR),
        ("reset", frame(RST_STREAM, 0, 1, &[0; 5]), FRAME_SIZE_ERROR),
        ("window", frame(WINDOW_UPDATE, 0, 0, &[0; 3]), FRAME_SIZE_ERROR),
        ("farewell", frame(GOAWAY, 0, 0, &[0; 7]), FRAME_SIZE_ERROR),
    ];
    for (name, bytes, code) in cases {
        let mut client = Raw::new(vec![vec![say("")]], |_| {}).await;
        client.send(&[get(1), bytes].concat()).await;
        assert_eq!(client.next_of(GOAWAY).await.code(), code, "{name}");
        assert_eq!(client.closed.await.unwrap(), CloseReason::ClientError, "{name}");
    }
}

#[tokio::test]
async fn settings_come_first() {
    for first in [get(1), frame(PING, 0, 0, &[0; 8]), frame(SETTINGS, ACK, 0, &[])] {
        let mut client = Raw::silent(vec![vec![say(OK)]]).await;
        client.send(&[b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &first[..]].concat()).await;
        assert_eq!(client.next_of(GOAWAY).await.code(), PROTOCOL_ERROR);
        assert_eq!(client.closed.await.unwrap(), CloseReason::ClientError);
        assert!(client.mock.received().is_empty());
    }
}

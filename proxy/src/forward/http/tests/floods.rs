//! What costs us more than it costs the client, and what becomes of it.

use tokio::time::Instant;

use super::frames::*;
use super::*;

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

#[track_caller]
fn assert_defended(metrics: &Metrics, defence: &str) {
    let text = metrics.encode(crate::metrics::Exposition::Text);
    let wanted =
        format!("portunus_http2_defences_total{{listener=\"https\",defence=\"{defence}\"}} 1");
    assert!(text.lines().any(|line| line == wanted), "{wanted}");
}

#[tokio::test]
async fn control_frames_without_a_request_are_answered_only_so_often() {
    let open = frame(HEADERS, END_HEADERS, 1, &block(&POST));
    let cases: [(&str, Vec<u8>); 6] = [
        ("ping", frame(PING, 0, 0, &[0; 8])),
        ("settings", frame(SETTINGS, 0, 0, &[])),
        ("priority", frame(PRIORITY, 0, 1, &[0, 0, 0, 3, 7])),
        ("window", frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1])),
        ("unknown", frame(0xbe, 0, 0, b"?")),
        ("empty", frame(DATA, 0, 1, &[])),
    ];
    for (name, flood) in cases {
        let mut client = Raw::new(vec![vec![say("")]], |_| {}).await;
        client.send(&open).await;
        let (code, reason, metrics) = client.flood(&flood.repeat(100)).await;
        assert_eq!((code, reason), (Some(ENHANCE_YOUR_CALM), CloseReason::ClientError), "{name}");
        if name != "empty" {
            assert_defended(&metrics, "control_frames");
        }
    }
}

#[tokio::test]
async fn content_and_requests_do_not_pay_for_a_flood_between_them() {
    let open = frame(HEADERS, END_HEADERS, 1, &block(&POST));
    let flip = |bytes: u16| [&[0, 4, 0, 0][..], &bytes.to_be_bytes()].concat();
    let flips = [flip(0), flip(65_535)].map(|flip| frame(SETTINGS, 0, 0, &flip)).concat();
    let flood = [flips.repeat(450), frame(DATA, 0, 1, b"drips")].concat();
    let mut client = Raw::new(vec![vec![say("")]], |_| {}).await;
    client.send(&open).await;
    let (code, reason, metrics) = client.flood(&flood).await;
    assert_eq!((code, reason), (Some(ENHANCE_YOUR_CALM), CloseReason::ClientError));
    assert_defended(&metrics, "control_frames");

    let mut client = Raw::new(vec![vec![say(OK); 10]], |_| {}).await;
    let pings = frame(PING, 0, 0, &[0; 8]).repeat(500);
    for n in 0..10 {
        let _ = client.write.write_all(&[get(2 * n + 1), pings.clone()].concat()).await;
    }
    assert_eq!(client.next_of(GOAWAY).await.code(), ENHANCE_YOUR_CALM);
    assert_defended(&client.metrics, "control_frames");
}

#[tokio::test(start_paused = true)]
async fn a_window_that_opens_byte_by_byte_and_fast_is_a_flood() {
    let long: &'static str =
        format!("HTTP/1.1 200 OK\r\ncontent-length: 99999\r\n\r\n{}", "x".repeat(99_999)).leak();
    let mut client = Raw::at(vec![vec![say(long)]], |_| {}, &[0, 4, 0, 0, 0, 1]).await;
    client.send(&get(1)).await;
    let mut bytes = 0;
    let end = loop {
        let frame = client.next().await.expect("an answer");
        match frame.kind {
            DATA => bytes += frame.payload.len(),
            GOAWAY => break frame,
            _ => continue,
        }
        let _ = client.write.write_all(&frame_of_window(1, 1)).await;
    };
    assert_eq!(end.code(), ENHANCE_YOUR_CALM);
    assert!(bytes < 2000, "{bytes}");
    assert_defended(&client.metrics, "control_frames");
}

#[tokio::test(start_paused = true)]
async fn a_client_with_a_small_window_may_open_it_as_often_as_it_takes() {
    let long: &'static str =
        format!("HTTP/1.1 200 OK\r\ncontent-length: 999999\r\n\r\n{}", "x".repeat(999_999)).leak();
    // A window of 256 bytes, and both windows after every frame.
    let mut client = Raw::at(vec![vec![say(long)]], |_| {}, &[0, 4, 0, 0, 1, 0]).await;
    client.send(&get(1)).await;
    let mut content = 0;
    loop {
        let frame = client.next().await.expect("an answer");
        assert_ne!(frame.kind, GOAWAY);
        if frame.kind != DATA {
            continue;
        }
        content += frame.payload.len();
        if frame.flags & END_STREAM != 0 {
            break;
        }
        let bytes = frame.payload.len() as u32;
        client.send(&[0, 1].map(|stream| frame_of_window(stream, bytes)).concat()).await;
    }
    assert_eq!(content, 999_999);
}

fn frame_of_window(stream: u32, bytes: u32) -> Vec<u8> {
    frame(WINDOW_UPDATE, 0, stream, &bytes.to_be_bytes())
}

#[tokio::test]
async fn requests_that_are_taken_back_at_once_end_the_connection() {
    let mut client = Raw::new(vec![vec![say("")]], |_| {}).await;
    let requests: Vec<u8> = (0..1000)
        .flat_map(|n| [get(2 * n + 1), frame(RST_STREAM, 0, 2 * n + 1, &[0, 0, 0, 8])].concat())
        .collect();
    let _ = client.write.write_all(&requests).await;
    assert_eq!(client.next_of(GOAWAY).await.code(), ENHANCE_YOUR_CALM);
    assert_eq!(client.closed.await.unwrap(), CloseReason::ClientError);
    assert!(client.mock.received().len() <= 20, "{}", client.mock.received().len());
}

#[tokio::test]
async fn requests_that_are_taken_back_under_way_end_the_connection_and_their_exchanges() {
    let mut client = Raw::new(vec![vec![say("")]], |_| {}).await;
    let mut asked = 0;
    while client.closed.is_empty() {
        let stream = 2 * asked + 1;
        let _ = client.write.write_all(&get(stream)).await;
        asked += 1;
        // Until it has reached the backend, or never will.
        let heard = |client: &Raw| client.mock.received().iter().filter(|r| !r.is_empty()).count();
        while heard(&client) < asked as usize && client.closed.is_empty() {
            tokio::task::yield_now().await;
        }
        let _ = client.write.write_all(&frame(RST_STREAM, 0, stream, &[0, 0, 0, 8])).await;
        while client.mock.open() > 0 {
            tokio::task::yield_now().await;
        }
    }
    assert!(asked <= 101, "{asked}");
    assert_eq!(client.next_of(GOAWAY).await.code(), ENHANCE_YOUR_CALM);
    assert_defended(&client.metrics, "resets");
}

/// What makes us reset a stream that has ended for the client.
type Trigger = fn(u32) -> Vec<u8>;

#[tokio::test]
async fn a_client_that_has_us_reset_its_streams_is_left() {
    let cases: [(&str, Trigger); 6] = [
        ("window of nothing", |stream| frame(WINDOW_UPDATE, 0, stream, &[0; 4])),
        ("too much window", |stream| frame(WINDOW_UPDATE, 0, stream, &[0x7f, 255, 255, 255])),
        ("head after the end", |stream| get(stream)),
        ("data after the end", |stream| frame(DATA, 0, stream, b"x")),
        ("a short priority", |stream| frame(PRIORITY, 0, stream, &[0; 4])),
        ("a priority of itself", |stream| {
            frame(PRIORITY, 0, stream, &[&stream.to_be_bytes()[..], &[1]].concat())
        }),
    ];
    for (name, trigger) in cases {
        let client = Raw::new(vec![vec![say("")]], |_| {}).await;
        let Raw { mock, closed, mut read, mut write, drain: _drain, .. } = client;
        let writing = async {
            for n in 0..2000 {
                let stream = 2 * n + 1;
                let bytes = [get(stream), trigger(stream)].concat();
                if write.write_all(&bytes).await.is_err() {
                    return;
                }
                tokio::task::yield_now().await;
            }
            panic!("{name}: two thousand times");
        };
        let mut said = Vec::new();
        let reading = async { while read.read_buf(&mut said).await.unwrap_or(0) > 0 {} };
        tokio::join!(writing, reading);
        assert_eq!(closed.await.unwrap(), CloseReason::ClientError, "{name}");
        while mock.open() > 0 {
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test]
async fn a_head_without_end_is_not_gathered() {
    let mut client = Raw::new(vec![vec![say("")]], |_| {}).await;
    client.send(&frame(HEADERS, END_STREAM, 1, &block(&GET))).await;
    let more = frame(CONTINUATION, 0, 1, &block(&[("x-more", "and more")]).repeat(50));
    let (code, reason, _) = client.flood(&more).await;
    assert!(code.is_some_and(|code| code != NO_ERROR), "{code:?}");
    assert_eq!(reason, CloseReason::ClientError);
}

#[tokio::test]
async fn a_small_head_that_unfolds_into_a_large_one_is_refused() {
    let mut client = Raw::new(vec![vec![say(OK)]], |_| {}).await;
    // One field into the table (RFC 7541 §6.2.1), and 12,000 times the first of the table.
    let value = [b'x'; 100];
    let field = [&[0x40, 1, b'a', value.len() as u8][..], &value].concat();
    let bomb = [block(&GET), field, vec![0x80 | 62; 12_000]].concat();
    client.send(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &bomb)).await;
    let answer = loop {
        let frame = client.next().await.expect("an answer");
        if matches!(frame.kind, HEADERS | RST_STREAM | GOAWAY) {
            break frame;
        }
    };
    assert_ne!((answer.kind, answer.payload.first()), (HEADERS, Some(&0x88)), "200");
    assert!(client.mock.received().is_empty());
}

#[tokio::test]
async fn streams_beyond_the_limit_are_refused_and_at_length_the_client() {
    let mut client = Raw::new(vec![vec![say("")]], |limits| limits.http.h2_streams_max = 4).await;
    let requests: Vec<u8> = (0..5).flat_map(|n| get(2 * n + 1)).collect();
    client.send(&requests).await;
    let refused = client.next_of(RST_STREAM).await;
    assert_eq!((refused.stream, refused.code()), (9, REFUSED_STREAM));
    let requests: Vec<u8> = (5..300).flat_map(|n| get(2 * n + 1)).collect();
    let _ = client.write.write_all(&requests).await;
    assert_eq!(client.next_of(GOAWAY).await.code(), ENHANCE_YOUR_CALM);
    assert!(client.mock.received().len() <= 4);
    assert_defended(&client.metrics, "errors");
}

#[tokio::test(start_paused = true)]
async fn pings_do_not_keep_a_connection_without_requests() {
    let mut client = Raw::new(vec![vec![say(OK)]], |_| {}).await;
    let start = Instant::now();
    let limit = Limits::default().http.request_head_timeout;
    while client.closed.try_recv().is_err() {
        assert!(start.elapsed() < limit * 2, "still open");
        let _ = client.write.write_all(&frame(PING, 0, 0, &[1; 8])).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert!(start.elapsed() >= limit);
    assert_eq!(client.next_of(GOAWAY).await.code(), NO_ERROR);
}

#[tokio::test(start_paused = true)]
async fn a_window_that_opens_byte_by_byte_does_not_keep_an_answer() {
    let long: &'static str =
        format!("HTTP/1.1 200 OK\r\ncontent-length: 99999\r\n\r\n{}", "x".repeat(99_999)).leak();
    // SETTINGS_INITIAL_WINDOW_SIZE of one byte.
    let mut client = Raw::at(vec![vec![say(long)]], |_| {}, &[0, 4, 0, 0, 0, 1]).await;
    client.send(&get(1)).await;
    assert_eq!(client.next_of(DATA).await.payload, b"x");
    let start = Instant::now();
    let mut bytes = 1;
    let reset = loop {
        tokio::time::sleep(Duration::from_secs(3)).await;
        let _ = client.write.write_all(&frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1])).await;
        let frame = client.next().await.expect("an answer");
        match frame.kind {
            DATA => bytes += frame.payload.len(),
            RST_STREAM => break frame,
            _ => {}
        }
    };
    assert_eq!(reset.stream, 1);
    assert!(start.elapsed() < Duration::from_secs(60) && bytes < 100, "{:?}", start.elapsed());
    while client.mock.open() > 0 {
        tokio::task::yield_now().await;
    }
    assert_defended(&client.metrics, "stall");
}

#[tokio::test]
async fn an_answer_that_waits_for_its_client_holds_up_no_other() {
    let long: &'static str =
        format!("HTTP/1.1 200 OK\r\ncontent-length: 99999\r\n\r\n{}", "x".repeat(99_999)).leak();
    let scripts = vec![[vec![say(long)], vec![say(OK); 9]].concat(), vec![say(OK); 9]];
    let mut client = Raw::new(scripts, |_| {}).await;
    // Room for the whole connection, but not for the first stream.
    client.send(&frame(WINDOW_UPDATE, 0, 0, &[0, 0xff, 0, 0])).await;
    client.send(&get(1)).await;
    let mut content = 0;
    while content < 65_535 {
        let frame = client.next_of(DATA).await;
        assert_eq!(frame.stream, 1);
        content += frame.payload.len();
    }
    for n in 1..10 {
        client.send(&get(2 * n + 1)).await;
        let answer = client.next_of(DATA).await;
        assert_eq!((answer.stream, &answer.payload[..]), (2 * n + 1, &b"ok"[..]));
    }
}

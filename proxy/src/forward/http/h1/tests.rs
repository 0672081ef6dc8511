//! The grammar of heads, as a table: what is one, and what is refused with which status.

use bytes::BytesMut;
use http::HeaderMap;
use proptest::prelude::*;

use super::chunks::{Chunks, Part};
use super::head::{Head, Length, Scan};
use crate::config::HttpLimits;
use crate::forward::http::page::unreadable;

/// The head of `text`, which comes in two parts.
fn read(text: &[u8], cut: usize) -> Result<Option<Head>, u16> {
    let limits = HttpLimits::default();
    let (mut scan, mut buffer) = (Scan::default(), BytesMut::new());
    let (one, other) = text.split_at(cut);
    for bytes in [one, other] {
        buffer.extend_from_slice(bytes);
        if let Some(head) = scan
            .take(&mut buffer, &mut HeaderMap::new(), &limits)
            .map_err(|reason| unreadable(reason).status.as_u16())?
        {
            return Ok(Some(head));
        }
    }
    Ok(None)
}

#[test]
fn a_head_is_read_wherever_it_is_cut() {
    let cases: [(&[u8], Length, bool); 8] = [
        (b"GET /a?b HTTP/1.1\r\nHost: x\r\n\r\n", Length::None, true),
        (b"\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n", Length::None, true),
        (b"GET / HTTP/1.0\r\n\r\n", Length::None, false),
        (b"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", Length::None, true),
        (b"PUT / HTTP/1.1\r\ncontent-length:5\r\n\r\n", Length::Known(5), true),
        (b"PUT / HTTP/1.1\r\nContent-Length: 0\r\n\r\n", Length::None, true),
        (b"PUT / HTTP/1.1\r\nTransfer-Encoding: \t Chunked \t\r\n\r\n", Length::Chunked, true),
        (b"GET / HTTP/1.1\r\nConnection: a, CLOSE\r\n\r\n", Length::None, false),
    ];
    for (text, length, is_persistent) in cases {
        for cut in 0..text.len() {
            let head = read(text, cut).unwrap().unwrap();
            let what = format!("{} cut at {cut}", text.escape_ascii());
            assert_eq!((head.length, head.is_persistent), (length, is_persistent), "{what}");
        }
    }
}

#[test]
fn values_are_taken_without_the_space_around_them_and_with_all_inside() {
    let head = read(b"GET / HTTP/1.1\r\nX-A: \t a \t b\t \r\nX-B:\r\nX-C: \xff\r\n\r\n", 0);
    let headers = head.unwrap().unwrap().parts.headers;
    assert_eq!(headers["x-a"], "a \t b");
    assert_eq!(headers["x-b"], "");
    assert_eq!(headers["x-c"].as_bytes(), b"\xff");
}

#[test]
fn a_length_has_one_form() {
    let head = read(b"PUT / HTTP/1.1\r\nContent-Length: 0012\r\n\r\n", 0).unwrap().unwrap();
    assert_eq!(
        (head.length, &head.parts.headers["content-length"]),
        (Length::Known(12), &"12".parse().unwrap())
    );
}

#[test]
fn leave_is_for_bodies_of_clients_that_ask_for_exactly_that() {
    let awaits = |text: &[u8]| read(text, 0).unwrap().unwrap().awaits_leave;
    assert!(awaits(b"PUT / HTTP/1.1\r\nExpect: 100-Continue\r\nContent-Length: 1\r\n\r\n"));
    assert!(!awaits(b"PUT / HTTP/1.1\r\nExpect: 100-continue\r\n\r\n"));
    assert!(!awaits(b"PUT / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n"));
}

#[test]
fn what_is_no_head_is_refused_wherever_it_is_cut() {
    let cases: [(u16, &[u8]); 30] = [
        (400, b"\x16\x03\x01\x02\r\n\r\n"),
        (400, b"\r\n\r\nGET / HTTP/1.1\r\n\r\n"),
        (400, b"\nGET / HTTP/1.1\r\n\r\n"),
        (400, b" GET / HTTP/1.1\r\n\r\n"),
        (400, b"GET  / HTTP/1.1\r\n\r\n"),
        (400, b"GET\t/ HTTP/1.1\r\n\r\n"),
        (400, b"GET / HTTP/1.1 \r\n\r\n"),
        (400, b"GET / HTTP/1.1\n\r\n"),
        (400, b"GET /a b HTTP/1.1\r\n\r\n"),
        (400, b"GET /#a HTTP/1.1\r\n\r\n"),
        (400, b"GET /\xc3\xa4 HTTP/1.1\r\n\r\n"),
        (400, b"GET /\r HTTP/1.1\r\n\r\n"),
        (400, b"GET /\r\n\r\n"),
        (400, b"GET / http/1.1\r\n\r\n"),
        (400, b"GET / HTTP/1.10\r\n\r\n"),
        (505, b"GET / HTTP/2.0\r\n\r\n"),
        (400, b"GET / HTTP/1.1\r\nX-A : 1\r\n\r\n"),
        (400, b"GET / HTTP/1.1\r\nX-A: 1\r\n 2\r\n\r\n"),
        (400, b"GET / HTTP/1.1\r\n: 1\r\n\r\n"),
        (400, b"GET / HTTP/1.1\r\nX-A\r\n\r\n"),
        (400, b"GET / HTTP/1.1\r\nX-A: 1\r2\r\n\r\n"),
        (400, b"GET / HTTP/1.1\r\nX-A: 1\r\r\n\r\n"),
        (400, b"GET / HTTP/1.1\r\nX-A: 1\x0c\r\n\r\n"),
        (400, b"GET / HTTP/1.1\r\nX-A: 1\n\r\n"),
        (400, b"GET / HTTP/1.1\r\nX-A: 1\r\n\n"),
        (400, b"PUT / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"),
        (400, b"PUT / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n"),
        (400, b"PUT / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"),
        (501, b"PUT / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n"),
        (417, b"PUT / HTTP/1.1\r\nExpect: 100-continue\r\nExpect: 100-continue\r\n\r\n"),
    ];
    for (status, text) in cases {
        for cut in 0..text.len() {
            let what = format!("{} cut at {cut}", text.escape_ascii());
            assert_eq!(read(text, cut).map(|head| head.is_some()), Err(status), "{what}");
        }
    }
}

#[test]
fn a_head_is_refused_as_soon_as_it_is_too_large() {
    let limits = HttpLimits::default();
    let target = [b"GET /", &*vec![b'a'; limits.uri_bytes_max + 100]].concat();
    assert_eq!(read(&target, 0).map(|head| head.is_some()), Err(414));
    let field = [b"GET / HTTP/1.1\r\nX: ", &*vec![b'a'; limits.header_bytes_max]].concat();
    assert_eq!(read(&field, 0).map(|head| head.is_some()), Err(431));
    let fields = [&b"GET / HTTP/1.1\r\n"[..], &b"X: 1\r\n".repeat(limits.header_fields_max + 1)];
    assert_eq!(read(&fields.concat(), 0).map(|head| head.is_some()), Err(431));
}

proptest! {
    #[test]
    fn what_is_a_head_in_one_piece_is_the_same_head_in_two(
        changes in prop::collection::vec((0..HEAD.len(), byte()), 0..4), cut in 0..HEAD.len(),
    ) {
        let mut bytes = HEAD.to_vec();
        for (place, byte) in changes {
            bytes[place] = byte;
        }
        let whole = read(&bytes, 0).map(|head| head.map(|head| format!("{head:?}")));
        let halves = read(&bytes, cut).map(|head| head.map(|head| format!("{head:?}")));
        prop_assert_eq!(whole, halves);
    }

    #[test]
    fn content_in_chunks_comes_out_wherever_it_is_cut(
        parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..40), 0..5),
        extension in "(;[ -~]{0,9})?",
        cut in 0_usize..400,
    ) {
        let mut bytes = Vec::new();
        for part in &parts {
            bytes.extend_from_slice(format!("{:x}{extension}\r\n", part.len()).as_bytes());
            bytes.extend_from_slice(part);
            bytes.extend_from_slice(b"\r\n");
        }
        bytes.extend_from_slice(b"0\r\n\r\nnext");
        let cut = cut.min(bytes.len());
        let (mut chunks, mut buffer, mut content) = (Chunks::new(), BytesMut::new(), Vec::new());
        let mut is_over = false;
        for bytes in [&bytes[..cut], &bytes[cut..]] {
            buffer.extend_from_slice(bytes);
            while let Some(part) = chunks.next(&mut buffer).unwrap() {
                match part {
                    Part::Data(data) => content.extend_from_slice(&data),
                    Part::End(_) => is_over = true,
                }
            }
        }
        prop_assert!(is_over);
        prop_assert_eq!(content, parts.concat());
        prop_assert_eq!(&buffer[..], b"next");
    }
}

const HEAD: &[u8] = b"PUT /a?b HTTP/1.1\r\nHost: app.example\r\nContent-Length: 12\r\n\r\n";

/// Bytes that heads are made of, and some that they are not.
fn byte() -> impl Strategy<Value = u8> {
    prop_oneof![
        Just(b'\r'),
        Just(b'\n'),
        Just(b' '),
        Just(b':'),
        Just(b'/'),
        Just(b'G'),
        any::<u8>(),
    ]
}

//! The head of a response as bytes of HTTP/1.1, and how its body is framed.
//!
//! Owns [`Framing`]: by its length if that is known, else in chunks, else, for a client of
//! HTTP/1.0, by the end of the connection. Values cannot have line ends in them, by their types.
//! Refuses to know where the response comes from.

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, DATE, TRANSFER_ENCODING};
use http::response::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, Version};
use hyper::ext::ReasonPhrase;

use crate::forward::header::clean_interim;
use crate::forward::http::date;

/// How the end of a body is told.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Framing {
    Chunked,
    /// By the end of the connection.
    Closed,
    /// So many bytes are still to come.
    Length(u64),
    /// There is none.
    None,
}

/// What of a request decides about the form of its response.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) method: Method,
    pub(super) version: Version,
    pub(super) is_persistent: bool,
    pub(super) takes_trailers: bool,
}

/// Whether another request may follow on the connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Sequel {
    Close,
    Next,
}

impl Framing {
    /// The framing of a response of `head`, whose body has `length` bytes if that is known.
    pub(super) fn of(head: &Parts, length: Option<u64>, asked: &Asked) -> Self {
        let has_none = head.status.is_informational()
            || matches!(head.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
            || asked.method == Method::HEAD;
        if has_none {
            return Self::None;
        }
        let said =
            head.headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
        match said.or(length) {
            Some(length) => Self::Length(length),
            None if asked.version == Version::HTTP_10 => Self::Closed,
            None => Self::Chunked,
        }
    }
}

/// Writes `head` into `text`.
pub(super) fn write_head(
    text: &mut Vec<u8>,
    head: &Parts,
    framing: Framing,
    asked: &Asked,
    sequel: Sequel,
) {
    text.reserve(HEAD_BYTES_EXPECTED);
    let reason = head.extensions.get::<ReasonPhrase>().map(ReasonPhrase::as_bytes);
    write_line(text, asked.version, head.status, reason);
    let headers = &head.headers;
    for (name, value) in headers {
        // RFC 9110 §8.6: a response that cannot have a body has no length.
        let is_pointless = *name == CONTENT_LENGTH
            && (head.status == StatusCode::NO_CONTENT || head.status.is_informational());
        if !is_pointless && (*name != CONNECTION || head.status == StatusCode::SWITCHING_PROTOCOLS)
        {
            write_field(text, name, value);
        }
    }
    match framing {
        Framing::Chunked => {
            write_field(text, &TRANSFER_ENCODING, &HeaderValue::from_static("chunked"));
        }
        Framing::Length(length) if !headers.contains_key(CONTENT_LENGTH) => {
            write_field(text, &CONTENT_LENGTH, &HeaderValue::from(length));
        }
        _ => {}
    }
    if !headers.contains_key(DATE) {
        write_field(text, &DATE, &date::now());
    }
    let connection = match (sequel, asked.version) {
        _ if head.status == StatusCode::SWITCHING_PROTOCOLS => None,
        (Sequel::Close, _) => Some("close"),
        (Sequel::Next, Version::HTTP_10) => Some("keep-alive"),
        (Sequel::Next, _) => None,
    };
    if let Some(connection) = connection {
        write_field(text, &CONNECTION, &HeaderValue::from_static(connection));
    }
    text.extend_from_slice(b"\r\n");
}

/// Writes interim responses into `text`, one behind the other.
pub(super) fn write_interims(text: &mut Vec<u8>, interims: Vec<Response<()>>) {
    for interim in interims {
        let (mut head, ()) = interim.into_parts();
        clean_interim(&mut head.headers);
        write_line(text, Version::HTTP_11, head.status, None);
        write_fields(text, &head.headers);
        text.extend_from_slice(b"\r\n");
    }
}

/// Writes what comes before `data` in a chunk of its own.
pub(super) fn write_size(text: &mut Vec<u8>, data: &Bytes) {
    let mut digits = [0; SIZE_DIGITS];
    let mut rest = data.len();
    let mut from = digits.len();
    for (place, digit) in digits.iter_mut().enumerate().rev() {
        let nibble = (rest & 0xf) as u8;
        *digit = if nibble < 10 { b'0' + nibble } else { b'a' - 10 + nibble };
        from = place;
        rest >>= 4;
        if rest == 0 {
            break;
        }
    }
    text.extend_from_slice(digits.get(from..).unwrap_or_default());
    text.extend_from_slice(b"\r\n");
}

/// Writes the end of a body in chunks, with the fields that stand there.
pub(super) fn write_end(text: &mut Vec<u8>, trailers: &HeaderMap) {
    text.extend_from_slice(b"0\r\n");
    write_fields(text, trailers);
    text.extend_from_slice(b"\r\n");
}

/// `reason` is what the backend calls the status, if that is not its usual name.
fn write_line(text: &mut Vec<u8>, version: Version, status: StatusCode, reason: Option<&[u8]>) {
    text.extend_from_slice(if version == Version::HTTP_10 { b"HTTP/1.0 " } else { b"HTTP/1.1 " });
    text.extend_from_slice(status.as_str().as_bytes());
    text.extend_from_slice(b" ");
    text.extend_from_slice(
        reason.unwrap_or(status.canonical_reason().unwrap_or_default().as_bytes()),
    );
    text.extend_from_slice(b"\r\n");
}

fn write_fields(text: &mut Vec<u8>, fields: &HeaderMap) {
    for (name, value) in fields {
        write_field(text, name, value);
    }
}

fn write_field(text: &mut Vec<u8>, name: &HeaderName, value: &HeaderValue) {
    text.extend_from_slice(name.as_str().as_bytes());
    text.extend_from_slice(b": ");
    text.extend_from_slice(value.as_bytes());
    text.extend_from_slice(b"\r\n");
}

/// What most heads are smaller than.
const HEAD_BYTES_EXPECTED: usize = 512;
const SIZE_DIGITS: usize = 16;

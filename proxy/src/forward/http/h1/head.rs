//! The head of a request, out of bytes (RFC 9112 §2 to §6).
//!
//! Owns the grammar, which is stricter than what a recipient may accept: whatever two readers could
//! understand as two things is refused with a reason, and the connection goes no further. Nothing
//! is repaired. Refuses to know what the request asks for: `header` decides whether it may pass.
//! Read next: `chunks`, for the body that may follow.

use std::io::BufRead as _;

use bytes::{Bytes, BytesMut};
use http::header::{CONNECTION, CONTENT_LENGTH, EXPECT, TE, TRANSFER_ENCODING};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, Version};

use crate::config::HttpLimits;
use crate::metrics::HttpReject;

/// A request, and what its head says about the connection.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) parts: Parts,
    pub(super) length: Length,
    /// Whether the client may send another request behind this one.
    pub(super) is_persistent: bool,
    /// Whether the client waits for a word before it sends the body.
    pub(super) awaits_leave: bool,
    /// Whether the client takes fields behind the body of the response.
    pub(super) takes_trailers: bool,
}

/// Where the body ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Length {
    Chunked,
    /// Not zero.
    Known(u64),
    None,
}

/// How far the lines of a head that has not come completely were looked at.
#[derive(Debug, Default)]
pub(super) struct Scan {
    /// Where the head begins: behind an empty line that came first.
    start: usize,
    /// Where the line begins that has no end yet.
    line: usize,
    /// Up to where there is no other line feed.
    seen: usize,
    lines: usize,
}

impl Scan {
    /// The head at the beginning of `buffer`, from which it is taken, or `None` if it has not come
    /// completely. What is no head is refused as soon as that is certain. The fields are put into
    /// `spare`, which is empty and has perhaps room for them.
    pub(super) fn take(
        &mut self,
        buffer: &mut BytesMut,
        spare: &mut HeaderMap,
        limits: &HttpLimits,
    ) -> Result<Option<Head>, HttpReject> {
        let Some(end) = self.end(buffer, limits)? else { return Ok(None) };
        let Self { start, lines, .. } = std::mem::take(self);
        let bytes = if end == buffer.len() { std::mem::take(buffer) } else { buffer.split_to(end) };
        let mut fields = std::mem::take(spare);
        fields.reserve(lines + FIELDS_OF_OURS);
        parse(&bytes.freeze(), start, fields).map(Some)
    }

    /// Where the head ends, with the empty line.
    fn end(&mut self, bytes: &[u8], limits: &HttpLimits) -> Result<Option<usize>, HttpReject> {
        while let Some(length) = find(bytes, self.seen, b'\n') {
            let (begin, end) = (self.line, self.seen + length + 1);
            (self.line, self.seen) = (end, end);
            match bytes.get(begin..end) {
                // RFC 9112 §2.2: an empty line before a request is what some clients send behind
                // the body of the last one.
                Some(b"\r\n") if begin == 0 => self.start = end,
                Some(b"\r\n") if self.lines == 0 => return Err(HttpReject::Malformed),
                Some(b"\r\n") if end - self.start > limits.header_bytes_max => {
                    return Err(HttpReject::HeadTooLarge);
                }
                Some(b"\r\n") => return Ok(Some(end)),
                Some([.., b'\r', b'\n']) => self.lines += 1,
                _ => return Err(HttpReject::Malformed),
            }
            if self.lines > limits.header_fields_max + 1 {
                return Err(HttpReject::HeadTooLarge);
            }
        }
        self.seen = bytes.len();
        self.check_beginning(bytes, limits)?;
        Ok(None)
    }

    /// Whether what has come can still become a head.
    fn check_beginning(&self, bytes: &[u8], limits: &HttpLimits) -> Result<(), HttpReject> {
        let length = bytes.len().saturating_sub(self.start);
        let first = bytes.get(self.start..).and_then(|rest| rest.first());
        if first.is_some_and(|&byte| !is_token(byte) && byte != b'\r') {
            return Err(HttpReject::Malformed);
        }
        if self.lines == 0 && length > limits.uri_bytes_max + LINE_BYTES_MORE {
            return Err(HttpReject::UriTooLong);
        }
        if length > limits.header_bytes_max {
            return Err(HttpReject::HeadTooLarge);
        }
        Ok(())
    }
}

/// The head in `bytes`, whose lines all end as they must, the last one being empty.
fn parse(bytes: &Bytes, start: usize, spare: HeaderMap) -> Result<Head, HttpReject> {
    let line_end = find(bytes, start, b'\n').ok_or(HttpReject::Malformed)? + start;
    let mut request = Request::new(());
    read_line(bytes, start, line_end - 1, &mut request)?;
    let (mut parts, ()) = request.into_parts();
    parts.headers = fields(bytes, line_end + 1, spare)?;
    framed(parts)
}

/// Reads the request line (RFC 9112 §3) between two places.
fn read_line(
    bytes: &Bytes,
    start: usize,
    end: usize,
    request: &mut Request<()>,
) -> Result<(), HttpReject> {
    let line = bytes.get(start..end).unwrap_or_default();
    let method = line.iter().position(|&byte| !is_token(byte)).unwrap_or_default();
    let rest = line.get(method..).unwrap_or_default();
    let [b' ', rest @ ..] = rest else { return Err(HttpReject::Malformed) };
    let target = rest.iter().position(|byte| !is_target(*byte)).unwrap_or_default();
    let version = match rest.get(target..) {
        Some(b" HTTP/1.1") => Version::HTTP_11,
        Some(b" HTTP/1.0") => Version::HTTP_10,
        Some([b' ', b'H', b'T', b'T', b'P', b'/', b'0' | b'2'..=b'9', b'.', b'0'..=b'9']) => {
            return Err(HttpReject::Version);
        }
        _ => return Err(HttpReject::Malformed),
    };
    let name = line.get(..method).unwrap_or_default();
    let at = start + method + 1;
    *request.method_mut() = Method::from_bytes(name).map_err(|_| HttpReject::Malformed)?;
    *request.uri_mut() =
        Uri::from_maybe_shared(bytes.slice(at..at + target)).map_err(|_| HttpReject::Malformed)?;
    *request.version_mut() = version;
    Ok(())
}

/// The fields in `bytes` from `start` to the empty line (RFC 9112 §5): of a head, or of trailers.
/// They are put into `fields`, which are empty.
pub(super) fn fields(
    bytes: &Bytes,
    start: usize,
    mut fields: HeaderMap,
) -> Result<HeaderMap, HttpReject> {
    let mut start = start;
    while let Some(length) = find(bytes, start, b'\n') {
        let end = start + length;
        let line = bytes.get(start..end.saturating_sub(1)).unwrap_or_default();
        if line.is_empty() {
            return Ok(fields);
        }
        // Neither a line that is folded nor a space before the colon is a name (RFC 9112 §5.1).
        let colon = line.iter().position(|&byte| !is_token(byte)).unwrap_or_default();
        let (name, value) = line.split_at_checked(colon).unwrap_or_default();
        let [b':', value @ ..] = value else { return Err(HttpReject::Malformed) };
        let name = HeaderName::from_bytes(name).map_err(|_| HttpReject::Malformed)?;
        let (before, length) = trim(value);
        let from = start + colon + 1 + before;
        let value = HeaderValue::from_maybe_shared(bytes.slice(from..from + length))
            .map_err(|_| HttpReject::Malformed)?;
        fields.try_append(name, value).map_err(|_| HttpReject::Malformed)?;
        start = end + 1;
    }
    Ok(fields)
}

/// How many spaces and tabs stand before `value`, and how long it is without those around it.
fn trim(value: &[u8]) -> (usize, usize) {
    let is_ink = |byte: &u8| !matches!(byte, b' ' | b'\t');
    let before = value.iter().position(is_ink).unwrap_or(value.len());
    let length = value.iter().rposition(is_ink).map_or(0, |last| last + 1 - before);
    (before, length)
}

/// Where the body of the request ends, and whether another request may follow.
fn framed(mut parts: Parts) -> Result<Head, HttpReject> {
    let headers = &parts.headers;
    let is_old = parts.version == Version::HTTP_10;
    let length = match headers.get(TRANSFER_ENCODING) {
        Some(coding) => {
            let is_alone = headers.get_all(TRANSFER_ENCODING).iter().nth(1).is_none();
            if is_old || !is_alone || headers.contains_key(CONTENT_LENGTH) {
                return Err(HttpReject::Framing);
            }
            check_coding(coding)?;
            Length::Chunked
        }
        None => content_length(headers)?,
    };
    let zero = |value: &HeaderValue| matches!(value.as_bytes(), [b'0', _, ..]);
    if headers.get(CONTENT_LENGTH).is_some_and(zero) {
        // In one form only: some readers take a leading zero for an octal number.
        let number = if let Length::Known(number) = length { number } else { 0 };
        parts.headers.insert(CONTENT_LENGTH, HeaderValue::from(number));
    }
    let headers = &parts.headers;
    let mut expectations = headers.get_all(EXPECT).iter();
    let awaits_leave = match (expectations.next(), expectations.next()) {
        (None, _) => false,
        (Some(token), None) if token.as_bytes().eq_ignore_ascii_case(b"100-continue") => {
            !is_old && length != Length::None
        }
        _ => return Err(HttpReject::Expectation),
    };
    let is_persistent = parts.method != Method::CONNECT
        && !has_token(headers, &CONNECTION, "close")
        && (!is_old || has_token(headers, &CONNECTION, "keep-alive"));
    let takes_trailers = !is_old && has_token(headers, &TE, "trailers");
    Ok(Head { parts, length, is_persistent, awaits_leave, takes_trailers })
}

/// A coding that we do not undo would be taken for content by the backend.
fn check_coding(coding: &HeaderValue) -> Result<(), HttpReject> {
    let coding = coding.as_bytes();
    if coding.eq_ignore_ascii_case(b"chunked") {
        return Ok(());
    }
    // RFC 9112 §6.1 and §6.3: another coding below chunks is unknown; no chunks, no end.
    let last = coding.rsplit(|&byte| byte == b',').next().unwrap_or_default().trim_ascii();
    let is_listed = coding.contains(&b',') && last.eq_ignore_ascii_case(b"chunked");
    Err(if is_listed { HttpReject::Coding } else { HttpReject::Framing })
}

fn content_length(headers: &HeaderMap) -> Result<Length, HttpReject> {
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    let Some(length) = lengths.next() else { return Ok(Length::None) };
    let digits = length.as_bytes();
    let is_number = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    if lengths.next().is_some() || !is_number || digits.len() > LENGTH_DIGITS_MAX {
        return Err(HttpReject::Framing);
    }
    let number = digits.iter().fold(0, |number, digit| number * 10 + u64::from(digit - b'0'));
    Ok(if number == 0 { Length::None } else { Length::Known(number) })
}

/// Whether a list of tokens in fields `name` has `token`.
fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    let mut tokens = headers
        .get_all(name)
        .iter()
        .flat_map(|value| value.as_bytes().split(|&byte| byte == b',').map(<[u8]>::trim_ascii));
    tokens.any(|listed| listed.eq_ignore_ascii_case(token.as_bytes()))
}

/// How far behind `from` the first `byte` is.
fn find(bytes: &[u8], from: usize, byte: u8) -> Option<usize> {
    let mut rest = bytes.get(from..)?;
    // Searches faster than an iterator; reading from memory does not fail.
    let length = rest.skip_until(byte).ok()?;
    (bytes.get(from + length.checked_sub(1)?) == Some(&byte)).then(|| length - 1)
}

/// `tchar` of RFC 9110 §5.6.2.
pub(super) const fn is_token(byte: u8) -> bool {
    matches!(byte, b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^'
        | b'_' | b'`' | b'|' | b'~' | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z')
}

/// Visible, of ASCII, and not the beginning of a fragment, which is never sent (RFC 9112 §3.2).
const fn is_target(byte: u8) -> bool {
    byte.is_ascii_graphic() && byte != b'#'
}

/// Room for a method and a version besides the longest target.
const LINE_BYTES_MORE: usize = 64;
/// No number of them is beyond 63 bits.
const LENGTH_DIGITS_MAX: usize = 18;
/// What is added to a head on its way to a backend.
const FIELDS_OF_OURS: usize = 6;

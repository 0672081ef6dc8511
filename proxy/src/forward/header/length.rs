//! The length that a head gives.
//!
//! Owns the one form that a length has when it leaves us: a number without a leading zero, which
//! some readers take for octal. Parsers of heads accept more: other zeros, and a list of one number
//! again and again (RFC 9112 §6.3). Refuses to know whether the body has that length.

use http::header::CONTENT_LENGTH;
use http::{HeaderMap, HeaderValue};

/// The length is no number, or there are several.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct BadLength;

/// The length that `headers` give, if they do.
pub(super) fn length(headers: &HeaderMap) -> Result<Option<u64>, BadLength> {
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    match (lengths.next(), lengths.next()) {
        (None, _) => Ok(None),
        (Some(length), None) => number(length).map(Some).ok_or(BadLength),
        (Some(_), Some(_)) => Err(BadLength),
    }
}

/// Writes a length that is a number in its one form.
pub(super) fn straighten(headers: &mut HeaderMap) {
    if let Some(length) = headers.get_mut(CONTENT_LENGTH)
        && matches!(length.as_bytes(), [b'0', _, ..])
        && let Some(number) = number(length)
    {
        *length = HeaderValue::from(number);
    }
}

fn number(length: &HeaderValue) -> Option<u64> {
    let digits = length.to_str().ok()?;
    // A sign is no digit, but parses.
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
}

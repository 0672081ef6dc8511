//! Answers of our own: redirects, what the configuration says, and refusals, which are a status,
//! one sentence, and the id of the request.
//!
//! Owns what they look like. What a route changes in every response is not here: `exchange` does
//! it. Refuses to know why something is answered.

use bytes::Bytes;
use http::header::{ALLOW, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, LOCATION, RETRY_AFTER};
use http::{HeaderValue, Response, StatusCode};

use crate::backend::random;
use crate::forward::header::{
    Refusal, TARGET_TOO_LONG, UNKNOWN_CODING, UNKNOWN_EXPECTATION, X_REQUEST_ID,
};
use crate::metrics::HttpReject;

/// The id of a request: 128 bits of chance in hexadecimal. It need not be secret.
pub(super) fn request_id() -> HeaderValue {
    let number = (u128::from(random()) << 64) | u128::from(random());
    let mut text = [0; 32];
    for (place, digit) in text.iter_mut().enumerate() {
        let nibble = (number >> (124 - 4 * place)) as u8 & 0xf;
        *digit = if nibble < 10 { b'0' + nibble } else { b'a' - 10 + nibble };
    }
    // Hexadecimal digits are a valid value.
    HeaderValue::from_bytes(&text).unwrap_or(HeaderValue::from_static("none"))
}

/// An answer of ours.
pub(super) enum Reply {
    /// The client is sent elsewhere.
    Redirect {
        /// The status.
        status: StatusCode,
        /// Where it is sent.
        location: HeaderValue,
    },
    /// The request is not forwarded, or its backend failed.
    Refusal(Refusal),
    /// What the configuration says.
    Respond {
        /// The status.
        status: StatusCode,
        /// The content.
        body: Bytes,
        /// Its type.
        content_type: HeaderValue,
    },
}

impl Reply {
    /// The answer to the request that is called `id`.
    pub(super) fn response(self, id: HeaderValue) -> Response<Bytes> {
        let mut response = match self {
            Self::Redirect { status, location } => redirect(status, location),
            Self::Refusal(refusal) => page(refusal, &id),
            Self::Respond { status, body, content_type } => respond(status, body, content_type),
        };
        response.headers_mut().insert(X_REQUEST_ID, id);
        response
    }
}

fn redirect(status: StatusCode, location: HeaderValue) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = status;
    response.headers_mut().insert(LOCATION, location);
    response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
    response
}

fn respond(status: StatusCode, body: Bytes, content_type: HeaderValue) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = status;
    // RFC 9110 §15.3.5 and §15.4.5: these end with their heads.
    if matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) {
        return response;
    }
    // RFC 9110 §15.3.6: there is a content, and it is empty.
    let body = if status == StatusCode::RESET_CONTENT { Bytes::new() } else { body };
    let headers = response.headers_mut();
    headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
    if !body.is_empty() {
        headers.insert(CONTENT_TYPE, content_type);
    }
    *response.body_mut() = body;
    response
}

fn page(refusal: Refusal, id: &HeaderValue) -> Response<Bytes> {
    let Refusal { status, words, allow, .. } = refusal;
    let id_text = id.to_str().unwrap_or_default();
    let text = Bytes::from(format!("{words}\nRequest id: {id_text}\n"));
    let mut response = Response::new(text);
    *response.status_mut() = status;
    let length = response.body().len();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    if status == StatusCode::SERVICE_UNAVAILABLE {
        headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    if !allow.is_empty() {
        headers.insert(ALLOW, HeaderValue::from_static(allow));
    }
    if closes(status) {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// Whether nothing that follows on an HTTP/1.1 connection can be trusted to be a request.
fn closes(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::BAD_REQUEST
            | StatusCode::REQUEST_TIMEOUT
            | StatusCode::PAYLOAD_TOO_LARGE
            | StatusCode::URI_TOO_LONG
            | StatusCode::EXPECTATION_FAILED
            | StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE
            | StatusCode::NOT_IMPLEMENTED
            | StatusCode::HTTP_VERSION_NOT_SUPPORTED
    )
}

/// The same answer as bytes of HTTP/1.1, for where there is no exchange.
pub(super) fn raw_page(reason: HttpReject) -> Vec<u8> {
    let refusal = unreadable(reason);
    let status = refusal.status;
    let response = Reply::Refusal(refusal).response(request_id());
    let reason = status.canonical_reason().unwrap_or_default();
    let mut bytes = format!("HTTP/1.1 {} {reason}\r\n", status.as_u16()).into_bytes();
    for (name, value) in response.headers() {
        bytes.extend_from_slice(name.as_str().as_bytes());
        bytes.extend_from_slice(b": ");
        bytes.extend_from_slice(value.as_bytes());
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"\r\n");
    bytes.extend_from_slice(response.body());
    bytes
}

/// The answer to a request that could not be read.
pub(super) fn unreadable(reason: HttpReject) -> Refusal {
    let (status, words) = match reason {
        HttpReject::Coding => return UNKNOWN_CODING,
        HttpReject::Expectation => return UNKNOWN_EXPECTATION,
        HttpReject::UriTooLong => return TARGET_TOO_LONG,
        HttpReject::HeadTooLarge => {
            (StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "The head of the request is too large.")
        }
        HttpReject::Timeout => (StatusCode::REQUEST_TIMEOUT, "The request did not come in time."),
        HttpReject::Version => {
            (StatusCode::HTTP_VERSION_NOT_SUPPORTED, "This version of HTTP is not spoken here.")
        }
        _ => (StatusCode::BAD_REQUEST, "The request is malformed."),
    };
    Refusal::new(status, reason, words)
}

//! Why a request is not forwarded.
//!
//! Owns [`Refusal`], and those that more than one place has reason for. Refuses to know what an
//! answer looks like.

use http::StatusCode;

use super::host::HostError;
use crate::metrics::HttpReject;

/// Why a request is not forwarded: the status, and the sentence for the client.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{words}")]
pub struct Refusal {
    /// The status of the answer.
    pub status: StatusCode,
    /// What is wrong.
    pub words: &'static str,
    /// What the client did, unless it is not its fault.
    pub reason: Option<HttpReject>,
    /// What may be done instead, if it was the method that was wrong.
    pub allow: &'static str,
}

impl Refusal {
    /// The answer to a client that did something wrong.
    pub const fn new(status: StatusCode, reason: HttpReject, words: &'static str) -> Self {
        Self { status, words, reason: Some(reason), allow: "" }
    }

    /// The answer if we cannot do what we should, or there is nothing to do.
    pub const fn ours(status: StatusCode, words: &'static str) -> Self {
        Self { status, words, reason: None, allow: "" }
    }

    /// The answer if only the methods in `allow` can be used (RFC 9110 §15.5.6).
    pub const fn not_allowed(allow: &'static str, words: &'static str) -> Self {
        let status = StatusCode::METHOD_NOT_ALLOWED;
        Self { status, words, reason: Some(HttpReject::Method), allow }
    }

    /// The answer to a request that is none.
    pub const fn malformed(words: &'static str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, HttpReject::Malformed, words)
    }

    pub(super) const fn framing(words: &'static str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, HttpReject::Framing, words)
    }

    pub(super) const fn host(words: &'static str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, HttpReject::Host, words)
    }
}

/// The answer to a body beyond the limit of its route.
pub const TOO_LARGE: Refusal = Refusal::new(
    StatusCode::PAYLOAD_TOO_LARGE,
    HttpReject::BodyTooLarge,
    "The body of the request is too large.",
);

/// The answer to content that is coded in a way that we do not undo.
pub const UNKNOWN_CODING: Refusal = Refusal::new(
    StatusCode::NOT_IMPLEMENTED,
    HttpReject::Coding,
    "The only transfer coding that is understood here is chunked.",
);
/// The answer to an expectation other than that of leave (RFC 9110 §10.1.1).
pub const UNKNOWN_EXPECTATION: Refusal = Refusal::new(
    StatusCode::EXPECTATION_FAILED,
    HttpReject::Expectation,
    "The request expects the unknown.",
);
/// The answer to a target beyond the limit.
pub const TARGET_TOO_LONG: Refusal = Refusal::new(
    StatusCode::URI_TOO_LONG,
    HttpReject::UriTooLong,
    "The request target is too long.",
);

impl From<HostError> for Refusal {
    fn from(_: HostError) -> Self {
        Self::host("The host of the request is not a host name.")
    }
}

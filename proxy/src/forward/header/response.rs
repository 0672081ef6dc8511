//! Responses: which cannot be forwarded, and what of the others reaches the client.

use std::sync::Arc;

use http::header::{CONNECTION, CONTENT_LENGTH, TRAILER, TRANSFER_ENCODING, UPGRADE};
use http::response::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use super::length::{BadLength, length, straighten};
use super::request::{Protocol, nominees};
use crate::backend::Sieve;
use crate::config::FieldEdit;
use crate::field::{is_forbidden_trailer, is_hop, is_protected};

/// Why a response is not forwarded.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum BadResponse {
    /// Two lengths, one that is no number, or a coding that we do not undo: where it ends is
    /// anybody's guess.
    #[error("the framing of the response is ambiguous")]
    Framing,
    /// It changes the protocol, and nobody asked for that.
    #[error("the response changes the protocol without having been asked")]
    Unasked,
}

/// Checks the head of a response and removes what is for one hop. The framing towards the client
/// is made by whoever writes it.
pub fn clean(parts: &mut Parts, asked: Protocol, trailers: Trailers) -> Result<(), BadResponse> {
    let headers = &mut parts.headers;
    check_framing(headers)?;
    straighten(headers);
    let switches = parts.status == StatusCode::SWITCHING_PROTOCOLS;
    if switches && (asked != Protocol::WebSocket || !is_websocket(headers)) {
        return Err(BadResponse::Unasked);
    }
    strip(headers);
    if trailers == Trailers::Drop {
        headers.remove(TRAILER);
    }
    if switches {
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    }
    Ok(())
}

/// Removes from the fields of an interim response what is for one hop, and the length of a body
/// that it cannot have.
pub fn clean_interim(headers: &mut HeaderMap) {
    strip(headers);
    headers.remove(CONTENT_LENGTH);
}

/// Removes what is for one hop, and what `Connection` names.
fn strip(headers: &mut HeaderMap) {
    let nominated: Vec<HeaderName> = nominees(headers)
        .filter(|name| !is_protected(name) && !name.eq_ignore_ascii_case("close"))
        .filter_map(|name| HeaderName::from_bytes(name.as_bytes()).ok())
        .collect();
    let doomed = |name: &&HeaderName| is_hop(name.as_str());
    let stripped: Vec<HeaderName> = headers.keys().filter(doomed).cloned().collect();
    for name in nominated.iter().chain(&stripped) {
        headers.remove(name);
    }
}

/// What becomes of the fields behind a body.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Trailers {
    /// None passes.
    Drop,
    /// Those pass that have a place there.
    Pass,
}

impl Trailers {
    /// What removes those that do not pass. What the operator removes from heads, or sets there, is
    /// not let in behind a body, whence some backends put it into the head.
    pub fn sieve(self, edits: &Arc<[FieldEdit]>) -> Sieve {
        match self {
            Self::Drop => Sieve { clean: |fields, _| fields.clear(), edits: None },
            Self::Pass => {
                let edits = Some(edits).filter(|edits| !edits.is_empty()).cloned();
                Sieve { clean: clean_trailers, edits }
            }
        }
    }
}

impl From<bool> for Trailers {
    fn from(pass: bool) -> Self {
        if pass { Self::Pass } else { Self::Drop }
    }
}

/// Removes what has no place behind a body, in either direction, and what `edits` are about.
fn clean_trailers(trailers: &mut HeaderMap, edits: &[FieldEdit]) {
    for edit in edits {
        match edit {
            FieldEdit::Add(..) => {}
            FieldEdit::Remove(name) | FieldEdit::Set(name, _) => {
                trailers.remove(name);
            }
        }
    }
    let doomed: Vec<HeaderName> =
        trailers.keys().filter(|name| is_forbidden_trailer(name)).cloned().collect();
    for name in doomed {
        trailers.remove(&name);
    }
}

fn check_framing(headers: &HeaderMap) -> Result<(), BadResponse> {
    let length = length(headers).map_err(|BadLength| BadResponse::Framing)?;
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    let is_sound = match (codings.next(), codings.next()) {
        (None, _) => true,
        (Some(coding), None) => {
            length.is_none() && coding.as_bytes().eq_ignore_ascii_case(b"chunked")
        }
        (Some(_), Some(_)) => false,
    };
    if is_sound { Ok(()) } else { Err(BadResponse::Framing) }
}

fn is_websocket(headers: &HeaderMap) -> bool {
    let mut upgrades = headers.get_all(UPGRADE).iter();
    upgrades.next().is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"))
        && upgrades.next().is_none()
}

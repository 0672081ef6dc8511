//! Why the library failed, in the words of [`crate::session::engine`].
//!
//! Owns the table from its errors to our kinds. What a server says is somebody else's text, and an
//! old one repeats the command that it did not understand, with the password in it: so the text
//! is shortened, made printable, and holds no secret.

use std::sync::Arc;

use redis::{ErrorKind as Redis, RedisError, ServerErrorKind as Server};
use zeroize::Zeroizing;

use crate::session::engine::{EngineError, ErrorKind};

/// Why something failed; many callers may be told the same.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    pub(super) kind: ErrorKind,
    text: Arc<str>,
}

impl Failure {
    pub(super) fn new(kind: ErrorKind, text: &str) -> Self {
        Self { kind, text: text.into() }
    }

    /// Of a command that may have been sent.
    pub(super) fn of_call(error: &RedisError, secrets: &[Zeroizing<String>]) -> Self {
        Self { kind: kind(error), text: describe(error, secrets).into() }
    }

    /// Of the way to the store: nothing was asked yet, so whatever broke is not reached.
    pub(super) fn of_dial(error: &RedisError, place: &str, secrets: &[Zeroizing<String>]) -> Self {
        let kind = match kind(error) {
            ErrorKind::Broken | ErrorKind::Timeout => ErrorKind::Unreachable,
            other => other,
        };
        Self { kind, text: format!("{place}: {}", describe(error, secrets)).into() }
    }
}

impl From<Failure> for EngineError {
    fn from(failure: Failure) -> Self {
        Self::new(failure.kind, failure.text.as_ref())
    }
}

fn kind(error: &RedisError) -> ErrorKind {
    match error.kind() {
        Redis::AuthenticationFailed | Redis::Server(Server::NoPerm) => ErrorKind::Auth,
        Redis::Server(Server::ReadOnly) => ErrorKind::ReadOnly,
        Redis::Server(Server::BusyLoading | Server::MasterDown | Server::ClusterDown) => {
            ErrorKind::Loading
        }
        Redis::Io if error.is_timeout() => ErrorKind::Timeout,
        Redis::Io if error.is_connection_refusal() => ErrorKind::Unreachable,
        // What cannot be parsed leaves the dialogue out of step, and the library ends it.
        Redis::Io | Redis::Parse => ErrorKind::Broken,
        // The library's own: no address for the name, no master known, no node, no TLS.
        Redis::Client
        | Redis::ClusterConnectionNotFound
        | Redis::EmptySentinelList
        | Redis::InvalidClientConfig
        | Redis::MasterNameNotFoundBySentinel => ErrorKind::Unreachable,
        _ => match error.code() {
            Some("NOAUTH" | "WRONGPASS") => ErrorKind::Auth,
            Some("OOM") => ErrorKind::Full,
            // Too few replicas, or a disk that takes no snapshots.
            Some("MISCONF" | "NOREPLICAS") => ErrorKind::ReadOnly,
            _ => ErrorKind::Other,
        },
    }
}

fn describe(error: &RedisError, secrets: &[Zeroizing<String>]) -> String {
    let text = match (error.code(), error.detail()) {
        (Some(code), Some(detail)) => format!("{code} {detail}"),
        (Some(code), None) => code.to_owned(),
        (None, _) if error.kind() == Redis::AuthenticationFailed => {
            "the name or the password is wrong".to_owned()
        }
        (None, _) => error.to_string(),
    };
    // What follows is what we had sent.
    let text = text.split(", with args beginning").next().unwrap_or_default();
    if secrets.iter().any(|secret| !secret.is_empty() && text.contains(secret.as_str())) {
        return "the store repeats what must not be repeated".to_owned();
    }
    let printable = |letter: char| if letter.is_control() { ' ' } else { letter };
    text.chars().map(printable).take(TEXT_CHARS_MAX).collect()
}

/// As much as a line of a log should hold.
const TEXT_CHARS_MAX: usize = 200;

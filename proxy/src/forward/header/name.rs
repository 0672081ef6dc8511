//! Names of header fields: for one hop, reserved for us, or free to pass.

use http::HeaderName;

/// What becomes of a field of a request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Fate {
    /// Only this connection is concerned (RFC 9110 §7.6.1), or we answer to it ourselves.
    Hop,
    /// It passes.
    Pass,
    /// Backends believe that we set it.
    Reserved,
}

/// What becomes of the field `name`, which is in lower case as `HeaderName` has it.
pub(super) fn fate(name: &str) -> Fate {
    if is_hop(name) {
        Fate::Hop
    } else if is_reserved(name) {
        Fate::Reserved
    } else {
        Fate::Pass
    }
}

/// Whether the field is for one hop. `trailer` passes: it announces fields that pass as well.
/// `expect` is answered by us, and `proxy` becomes an environment variable that CGI programs
/// take for a setting.
pub(super) fn is_hop(name: &str) -> bool {
    match name.as_bytes() {
        [b'c', ..] => name == "connection",
        [b'e', ..] => name == "expect",
        [b'h', ..] => name == "http2-settings",
        [b'k', ..] => name == "keep-alive",
        [b'p', ..] => name == "proxy" || name.starts_with("proxy-"),
        [b't', ..] => name == "te" || name == "transfer-encoding",
        [b'u', ..] => name == "upgrade",
        _ => false,
    }
}

/// Whether backends believe that the field comes from us, in any spelling that they may take for
/// it: many turn `-` and `_` into the same character, some do so with `.` and with a space.
pub(super) fn is_reserved(name: &str) -> bool {
    let folded = |reserved: &&str| is_same(name, reserved);
    let within =
        |prefix: &&str| name.get(..prefix.len()).is_some_and(|start| is_same(start, prefix));
    match name.as_bytes().first().map(u8::to_ascii_lowercase) {
        Some(b'c' | b'f' | b's' | b'v' | b'x') => {
            RESERVED.iter().any(folded) || RESERVED_PREFIXES.iter().any(within)
        }
        _ => false,
    }
}

/// Whether a field that `Connection` names must not be taken away by that: the framing, the name
/// of the site, who the client is, and whatever we set.
pub(super) fn is_protected(name: &str) -> bool {
    is_reserved(name) || PROTECTED.iter().any(|protected| is_same(name, protected))
}

/// Whether a field has no place behind a body (RFC 9110 §6.5.1).
pub(super) fn is_forbidden_trailer(name: &HeaderName) -> bool {
    let name = name.as_str();
    fate(name) != Fate::Pass
        || is_protected(name)
        || FORBIDDEN_TRAILERS.iter().any(|forbidden| is_same(name, forbidden))
}

/// Compares with a name in lower case whose words are joined by `-`.
fn is_same(name: &str, folded: &str) -> bool {
    name.len() == folded.len()
        && name.bytes().zip(folded.bytes()).all(|(ours, theirs)| fold(ours) == theirs)
}

fn fold(byte: u8) -> u8 {
    match byte {
        b'_' | b'.' | b' ' => b'-',
        byte => byte.to_ascii_lowercase(),
    }
}

/// `x-forwarded-*` and the like are in [`RESERVED_PREFIXES`].
const RESERVED: &[&str] =
    &["client-cert", "client-cert-chain", "forwarded", "via", "x-real-ip", "x-request-id"];
const RESERVED_PREFIXES: &[&str] = &["ssl-client-", "x-client-cert", "x-forwarded-", "x-ssl-"];
const PROTECTED: &[&str] =
    &["authorization", "content-length", "cookie", "host", "transfer-encoding"];
const FORBIDDEN_TRAILERS: &[&str] =
    &["content-encoding", "content-range", "content-type", "set-cookie", "trailer"];

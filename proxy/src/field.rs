//! Names of header fields: for one hop, reserved for us, or free to pass.
//!
//! Owns the lists, and the folding of spellings that a backend may take for one and the same name.
//! What a message keeps is decided by `forward::header`, what an operator may change of it by
//! `config`; both go by what stands here. Refuses to know values.

use http::HeaderName;

/// What becomes of a field of a request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Fate {
    /// Only this connection is concerned (RFC 9110 §7.6.1), or we answer to it ourselves.
    Hop,
    /// It passes.
    Pass,
    /// Backends believe that we set it.
    Reserved,
}

/// What becomes of the field `name`, which is in lower case as `HeaderName` has it.
pub fn fate(name: &str) -> Fate {
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
pub fn is_hop(name: &str) -> bool {
    match name.as_bytes() {
        [b'c', ..] => name == "connection",
        [b'e', ..] => name == "expect",
        [b'h', ..] => is_same(name, "http2-settings"),
        [b'k', ..] => is_same(name, "keep-alive"),
        [b'p', ..] => name == "proxy" || begins_with(name, "proxy-"),
        [b't', ..] => name == "te" || is_same(name, "transfer-encoding"),
        [b'u', ..] => name == "upgrade",
        _ => false,
    }
}

/// Whether backends believe that the field comes from us, in any spelling that they may take for
/// it: many turn `-` and `_` into the same character, some do so with `.` and with a space.
pub fn is_reserved(name: &str) -> bool {
    match name.as_bytes().first().map(u8::to_ascii_lowercase) {
        Some(b'c' | b'f' | b's' | b'v' | b'x') => {
            RESERVED.iter().any(|reserved| is_same(name, reserved))
                || RESERVED_PREFIXES.iter().any(|prefix| begins_with(name, prefix))
                || is_same(name, CONTENT_LENGTH) && name != CONTENT_LENGTH
        }
        _ => false,
    }
}

/// Whether a field that `Connection` names must not be taken away by that: the framing, the name
/// of the site, who the client is, and whatever we set.
pub fn is_protected(name: &str) -> bool {
    is_reserved(name) || PROTECTED.iter().any(|protected| is_same(name, protected))
}

/// Whether an operator may neither set nor remove the field, in a request or in a response: it is
/// ours, for one hop, or says where the message ends and whom it is for.
pub fn is_fixed(name: &HeaderName) -> bool {
    let name = name.as_str();
    fate(name) != Fate::Pass || FIXED.iter().any(|fixed| is_same(name, fixed))
}

/// Whether a field has no place behind a body (RFC 9110 §6.5.1).
pub fn is_forbidden_trailer(name: &HeaderName) -> bool {
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

fn begins_with(name: &str, prefix: &str) -> bool {
    name.get(..prefix.len()).is_some_and(|start| is_same(start, prefix))
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
const RESERVED_PREFIXES: &[&str] =
    &["ssl-client-", "x-client-cert", "x-forwarded-", "x-ssl-", "x-tls-"];
/// Passes in this spelling alone.
const CONTENT_LENGTH: &str = "content-length";
const PROTECTED: &[&str] =
    &["authorization", CONTENT_LENGTH, "cookie", "host", "transfer-encoding"];
const FIXED: &[&str] = &[CONTENT_LENGTH, "host", "trailer"];
const FORBIDDEN_TRAILERS: &[&str] =
    &["content-encoding", "content-range", "content-type", "set-cookie", "trailer"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_folded_before_they_are_compared() {
        let reserved = [
            "x-forwarded-for",
            "x_forwarded_for",
            "x.forwarded.for",
            "x-forwarded_proto",
            "x-forwarded-prefix",
            "x-real-ip",
            "x_real_ip",
            "x-request-id",
            "forwarded",
            "via",
            "client-cert",
            "client_cert",
            "client-cert-chain",
            "x-client-cert",
            "x-client-cert-dn",
            "x-ssl-client-verify",
            "x_ssl_cn",
            "x-tls-version",
            "x_tls.sni",
            "ssl-client-cert",
            "ssl_client_verify",
            "content_length",
            "content.length",
        ];
        for name in reserved {
            assert!(is_reserved(name) && is_protected(name), "{name}");
        }
        for name in
            ["x-forwarded", "forwarded-for", "x-real", "client", "viaduct", "ssl-client", "x-ssl"]
        {
            assert_eq!(fate(name), Fate::Pass, "{name}");
        }
        for name in ["content-length", "content-type", "content_type", "host", "cookie", "x_tls"] {
            assert_eq!(fate(name), Fate::Pass, "{name}");
        }
    }

    #[test]
    fn what_is_for_one_hop_is_so_in_every_spelling() {
        for name in [
            "connection",
            "te",
            "upgrade",
            "keep-alive",
            "keep_alive",
            "proxy",
            "proxy-authorization",
            "proxy_connection",
            "expect",
            "transfer-encoding",
            "transfer_encoding",
            "transfer.encoding",
            "http2-settings",
            "http2_settings",
        ] {
            assert_eq!(fate(name), Fate::Hop, "{name}");
        }
    }

    #[test]
    fn operators_change_neither_framing_nor_identity() {
        let fixed = |name: &str| is_fixed(&name.parse().unwrap());
        for name in ["Host", "Content-Length", "Connection", "Te", "X-Forwarded-For", "Trailer"] {
            assert!(fixed(name), "{name}");
        }
        for name in ["authorization", "cookie", "server", "x-frame-options", "accept-encoding"] {
            assert!(!fixed(name), "{name}");
        }
    }
}

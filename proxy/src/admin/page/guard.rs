//! Who may ask the admin listener, and who may give orders.
//!
//! Owns the rules that keep web pages out: a page in somebody's browser can have it ask anybody for
//! anything, and even shows the password that the browser knows. Such a request has an `Origin`,
//! or says that it comes from another site (`Sec-Fetch-Site`, W3C Fetch Metadata); to a name that
//! an attacker points at this machine, it has a foreign `Host`. A link that somebody follows is no
//! such request: it shows a page to its reader and to nobody else. Browsers show a token as a
//! password (RFC 7617) and programs by itself (RFC 6750); orders are taken from programs only, so
//! that a browser cannot be made to give any. Refuses to know paths.

use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use http::header::{AUTHORIZATION, HOST, ORIGIN};

use crate::config::Secret;

/// How a token may be shown.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Scheme {
    /// By itself, or as the password of whatever user: enough to read.
    Any,
    /// By itself: enough for orders.
    Bearer,
}

/// Whether a web page may have made somebody's browser ask. Where there is a token, nobody is led
/// here by a name of his own: he could not show it.
pub(super) fn is_foreign(headers: &HeaderMap, token: Option<&Secret>) -> bool {
    headers.contains_key(ORIGIN)
        || is_of_another_site(headers)
        || (token.is_none() && !is_local(headers))
}

/// Whether a browser says that another site has it ask, and not somebody who follows a link.
fn is_of_another_site(headers: &HeaderMap) -> bool {
    let says = |name| headers.get(name).map(http::HeaderValue::as_bytes);
    let is_link = says("sec-fetch-mode") == Some(b"navigate".as_slice())
        && says("sec-fetch-dest") == Some(b"document".as_slice());
    match says("sec-fetch-site") {
        None | Some(b"none" | b"same-origin") => false,
        Some(_) => !is_link,
    }
}

/// Whether the host is one by which only this machine is meant, or an address: a name could be
/// pointed here by somebody else.
fn is_local(headers: &HeaderMap) -> bool {
    let Some(host) = headers.get(HOST) else { return true };
    let Ok(host) = host.to_str() else { return false };
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    };
    let name = name.trim_start_matches('[').trim_end_matches(']');
    name.is_empty() || name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok()
}

/// Whether no token is asked for, or the right one is shown in this way.
pub(super) fn has_token(headers: &HeaderMap, token: Option<&Secret>, scheme: Scheme) -> bool {
    let Some(token) = token else { return true };
    let Some(shown) = headers.get(AUTHORIZATION).map(http::HeaderValue::as_bytes) else {
        return false;
    };
    let shown = match scheme_of(shown) {
        Some(("bearer", token)) => token.to_vec(),
        Some(("basic", credentials)) if scheme == Scheme::Any => password(credentials),
        _ => return false,
    };
    let expected = token.expose().as_bytes();
    aws_lc_rs::constant_time::verify_slices_are_equal(&shown, expected).is_ok()
}

/// The scheme, whose case does not matter (RFC 9110 §11.1), and what stands behind it.
fn scheme_of(shown: &[u8]) -> Option<(&'static str, &[u8])> {
    let place = shown.iter().position(|byte| *byte == b' ')?;
    let (scheme, rest) = shown.split_at_checked(place)?;
    let known = ["basic", "bearer"].into_iter();
    let mut known = known.filter(|known| scheme.eq_ignore_ascii_case(known.as_bytes()));
    Some((known.next()?, rest.trim_ascii_start()))
}

/// The password; what is none is wrong, as an empty one is.
fn password(credentials: &[u8]) -> Vec<u8> {
    let decoded = STANDARD.decode(credentials).unwrap_or_default();
    let mut parts = decoded.splitn(2, |byte| *byte == b':');
    parts.nth(1).unwrap_or_default().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(all: &[(&'static str, &'static str)]) -> HeaderMap {
        let all = all.iter().map(|(name, value)| {
            let name = http::HeaderName::from_static(name);
            (name, http::HeaderValue::from_static(value))
        });
        all.collect()
    }

    #[test]
    fn a_browser_shows_the_token_as_a_password_and_a_program_by_itself() {
        let token = Secret::new("let me in");
        let has = |shown: &str, scheme| {
            let value = http::HeaderValue::from_str(shown).expect("a value");
            has_token(&HeaderMap::from_iter([(AUTHORIZATION, value)]), Some(&token), scheme)
        };
        let basic = |credentials: &str| format!("Basic {}", STANDARD.encode(credentials));
        for right in ["Bearer let me in", "bearer let me in", &basic(":let me in")] {
            assert!(has(right, Scheme::Any), "{right}");
        }
        assert!(has(&basic("somebody:let me in").replace("Basic", "basic"), Scheme::Any));
        assert!(has("Bearer let me in", Scheme::Bearer));
        assert!(!has(&basic(":let me in"), Scheme::Bearer), "a browser would show it for anybody");
        for wrong in ["", "Bearer", "Bearer ", "Basic", "Basic !", "let me in", "Digest let me in"]
        {
            assert!(!has(wrong, Scheme::Any), "{wrong}");
        }
        for wrong in [":let me", ":let me in:", "let me in", "let me in:", ":"] {
            assert!(!has(&basic(wrong), Scheme::Any), "{wrong}");
        }
        assert!(!has_token(&HeaderMap::new(), Some(&token), Scheme::Any));
        assert!(has_token(&HeaderMap::new(), None, Scheme::Bearer));
    }

    #[test]
    fn what_another_site_has_a_browser_ask_is_foreign_and_a_link_is_not() {
        let token = Secret::new("let me in");
        let foreign = |site, mode, dest| {
            let all = [
                ("sec-fetch-site", site),
                ("sec-fetch-mode", mode),
                ("sec-fetch-dest", dest),
                ("host", "localhost"),
            ];
            is_foreign(&headers(&all), Some(&token))
        };
        assert!(!foreign("none", "navigate", "document"), "an address that somebody typed");
        assert!(!foreign("same-origin", "navigate", "document"), "the page refreshes itself");
        assert!(!foreign("cross-site", "navigate", "document"), "a link on a dashboard");
        for (mode, dest) in
            [("no-cors", "image"), ("no-cors", "script"), ("cors", "empty"), ("navigate", "iframe")]
        {
            assert!(foreign("cross-site", mode, dest), "{dest}");
            assert!(foreign("same-site", mode, dest), "{dest}");
        }
    }
}

//! Where a client is sent instead of being served.
//!
//! Owns [`Redirect`]: a text with places for parts of the request. What a client wrote never gets
//! to decide on whose host it ends up, and never leaves the part of the URL that it was put into:
//! in a path it begins with `/`, in a query it is encoded, and no character goes out that URLs do
//! not have (RFC 3986). Refuses to know messages.

use http::{HeaderValue, StatusCode};

use super::rewrite::{collapse, cut, join};
use crate::config::PathMatch;

/// Where the clients of a route are sent.
#[derive(Debug)]
pub struct Redirect {
    /// 301, 302, 303, 307 or 308.
    pub status: StatusCode,
    parts: Box<[Part]>,
    /// How many bytes of the target lie before its rest.
    cut: usize,
    /// Whether the text itself names a host without a scheme.
    is_relative_to_scheme: bool,
}

#[derive(Debug)]
enum Part {
    Text(Box<str>),
    Host,
    Path,
    Rest,
}

impl Redirect {
    /// `to` of the route for `path`.
    pub(super) fn new(status: StatusCode, to: &str, path: &str, matching: PathMatch) -> Self {
        let mut parts = Vec::new();
        let mut text = String::new();
        let mut rest = to;
        while let Some(first) = rest.chars().next() {
            let place =
                PLACES.into_iter().find_map(|(name, part)| Some((rest.strip_prefix(name)?, part)));
            if let Some((behind, part)) = place {
                if !text.is_empty() {
                    parts.push(Part::Text(std::mem::take(&mut text).into()));
                }
                parts.push(part);
                rest = behind;
            } else {
                text.push(first);
                rest = rest.get(first.len_utf8()..).unwrap_or_default();
            }
        }
        if !text.is_empty() {
            parts.push(Part::Text(text.into()));
        }
        Self {
            status,
            parts: parts.into(),
            cut: cut(path, matching),
            is_relative_to_scheme: to.starts_with("//"),
        }
    }

    /// The value of `Location` for a request for `target` of `host`, which has no port. `None` if
    /// what the configuration says does not make one.
    pub fn location(&self, host: &str, target: &str) -> Option<HeaderValue> {
        // `OPTIONS *` has no path.
        let target = if target == "*" { "/" } else { target };
        let mut text = String::new();
        for part in &self.parts {
            match part {
                Part::Text(words) => text.push_str(words),
                Part::Host => text.push_str(host),
                Part::Path => put(&mut text, target),
                Part::Rest => put(&mut text, target.get(self.cut..)?),
            }
        }
        if !self.is_relative_to_scheme {
            collapse(&mut text);
        }
        if text.is_empty() {
            text.push('/');
        }
        HeaderValue::try_from(text).ok()
    }
}

/// Puts what a client wrote behind what is there.
fn put(text: &mut String, tail: &str) {
    if text.contains('?') {
        return encode(text, tail, |byte| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte));
    }
    if !text.ends_with('/') && !tail.is_empty() && !tail.starts_with(['/', '?']) {
        // Behind a host, it would become a part of that.
        text.push('/');
    }
    let mut encoded = String::with_capacity(tail.len());
    encode(&mut encoded, tail, |byte| byte.is_ascii_graphic() && !NOT_IN_URLS.contains(&byte));
    join(text, &encoded);
}

/// Puts the bytes that `is_plain` lets pass, and the others in percent-encoding.
fn encode(text: &mut String, tail: &str, is_plain: impl Fn(u8) -> bool) {
    for byte in tail.bytes() {
        if is_plain(byte) {
            text.push(char::from(byte));
        } else {
            let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16).unwrap_or('0');
            text.push('%');
            text.push(digit(byte >> 4).to_ascii_uppercase());
            text.push(digit(byte & 0xf).to_ascii_uppercase());
        }
    }
}

/// What URLs do not have (RFC 3986 §2).
const NOT_IN_URLS: &[u8] = b"\"<>\\^`{|}";
/// What stands for parts of the request.
const PLACES: [(&str, Part); 3] =
    [("{host}", Part::Host), ("{path}", Part::Path), ("{rest}", Part::Rest)];

#[cfg(test)]
mod tests {
    use http::Uri;
    use proptest::prelude::*;

    use super::*;

    fn location(to: &str, path: &str, target: &str) -> String {
        let redirect = Redirect::new(StatusCode::PERMANENT_REDIRECT, to, path, PathMatch::Prefix);
        redirect.location("app.example", target).unwrap().to_str().unwrap().to_owned()
    }

    #[test]
    fn parts_of_the_request_stand_where_they_are_named() {
        let table = [
            ("https://new.example/", "/", "/x", "https://new.example/"),
            ("https://new.example{path}", "/", "/x?y=z", "https://new.example/x?y=z"),
            ("https://new.example{rest}", "/old", "/old/x?y", "https://new.example/x?y"),
            ("https://new.example{rest}", "/old", "/old", "https://new.example"),
            ("https://new.example{rest}", "/old", "/old?y", "https://new.example?y"),
            ("https://new.example/to/{rest}", "/old/", "/old/x", "https://new.example/to/x"),
            ("https://new.example/to{rest}", "/old/", "/old/x", "https://new.example/to/x"),
            ("https://www.{host}{path}", "/", "/a/b", "https://www.app.example/a/b"),
            ("https://{host}:8443{path}", "/", "*", "https://app.example:8443/"),
            ("/new{rest}", "/old", "/old/x", "/new/x"),
            ("/x{y}{path", "/", "/", "/x{y}{path"),
            ("//new.example{path}", "/", "/x", "//new.example/x"),
            ("/login?next={path}", "/", "/a?b=c&d#", "/login?next=/a%3Fb%3Dc%26d%23"),
        ];
        for (to, path, target, expected) in table {
            assert_eq!(location(to, path, target), expected, "{to} {path} {target}");
        }
    }

    #[test]
    fn nobody_is_sent_to_a_host_that_the_client_chose() {
        let table = [
            ("https://new.example{rest}", "/old", "/old.evil", "https://new.example/.evil"),
            ("https://new.example{rest}", "/old", "/old@evil", "https://new.example/@evil"),
            ("https://new.example{rest}", "/old", "/old:1", "https://new.example/:1"),
            ("{path}", "/", "//evil.example/", "/evil.example/"),
            ("/{rest}", "/old", "/old///evil.example", "/evil.example"),
            ("{path}", "/", "/\\evil.example", "/%5Cevil.example"),
            ("{rest}", "/old", "/old\\evil.example", "/%5Cevil.example"),
        ];
        for (to, path, target, expected) in table {
            assert_eq!(location(to, path, target), expected, "{to} {path} {target}");
        }
    }

    proptest! {
        #[test]
        fn a_location_is_a_url_of_the_host_that_was_meant(
            to in prop::sample::select(vec![
                "https://new.example{path}", "https://new.example{rest}",
                "https://new.example/a{rest}", "https://new.example/a/{rest}",
                "https://new.example/?to={path}",
            ]),
            tail in "[!-~]{0,12}",
        ) {
            let text = location(to, "/old", &format!("/old{tail}"));
            let uri: Uri = text.parse().unwrap();
            prop_assert_eq!(uri.host(), Some("new.example"), "{}", text);
            prop_assert_eq!(uri.authority().map(|a| a.as_str()), Some("new.example"));
            let is_url = |b: u8| b.is_ascii_graphic() && !NOT_IN_URLS.contains(&b);
            prop_assert!(text.bytes().all(is_url), "{}", text);
        }

        #[test]
        fn a_location_without_a_host_stays_without(tail in "[!-~]{0,12}") {
            for to in ["{path}", "{rest}", "/{rest}", "/a{rest}"] {
                let text = location(to, "/old", &format!("/old{tail}"));
                prop_assert!(text.starts_with(['/', '?']), "{}", text);
                prop_assert!(!text.starts_with("//") && !text.starts_with("/\\"), "{}", text);
            }
        }
    }
}

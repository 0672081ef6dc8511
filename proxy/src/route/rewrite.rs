//! Another path for the backend than the client asked for.
//!
//! Owns [`Rewrite`]. The text in the place of the route's path and what remains of the target are
//! joined by exactly one `/`, the query stays, and nothing that comes out begins with `//`, which
//! backends and browsers may take for a host. Refuses to know messages.

use std::sync::Arc;

use http::uri::PathAndQuery;

use crate::config::{self, PathMatch};

/// What becomes of the request targets of a route.
#[derive(Clone, Debug)]
pub struct Rewrite {
    /// How many bytes of the target go.
    cut: usize,
    /// What comes instead.
    instead: Arc<str>,
}

impl Rewrite {
    /// What `route` does, unless targets stay what they are.
    pub(super) fn new(route: &config::Route, rewrite: &config::Rewrite) -> Option<Self> {
        let config::Rewrite::Replace(instead) = rewrite else { return None };
        Some(Self { cut: cut(&route.path, route.matching), instead: Arc::clone(instead) })
    }

    /// The target for the backend; `None` if what the configuration says does not make one.
    pub fn apply(&self, target: &PathAndQuery) -> Option<PathAndQuery> {
        let rest = target.as_str().get(self.cut..)?;
        let mut text = String::with_capacity(1 + self.instead.len() + rest.len());
        text.push_str(&self.instead);
        join(&mut text, rest);
        collapse(&mut text);
        if !text.starts_with('/') {
            text.insert(0, '/');
        }
        text.parse().ok()
    }
}

/// The bytes of `path` that are replaced: a `/` at its end remains, as the first of what follows.
pub(super) fn cut(path: &str, matching: PathMatch) -> usize {
    match matching {
        PathMatch::Exact => path.len(),
        PathMatch::Prefix => path.strip_suffix('/').unwrap_or(path).len(),
    }
}

/// Puts the rest of a target behind what is there, without a second `/` between them.
pub(super) fn join(text: &mut String, rest: &str) {
    let rest = if text.ends_with('/') { rest.strip_prefix('/').unwrap_or(rest) } else { rest };
    text.push_str(rest);
}

/// Leaves one `/` at the start of `text`.
pub(super) fn collapse(text: &mut String) {
    let slashes = text.bytes().take_while(|&byte| byte == b'/').count();
    if slashes > 1 {
        text.drain(1..slashes);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rewritten(path: &str, matching: PathMatch, instead: &str, target: &str) -> String {
        let rewrite = Rewrite { cut: cut(path, matching), instead: instead.into() };
        rewrite.apply(&target.parse().unwrap()).unwrap().to_string()
    }

    #[test]
    fn the_path_of_a_route_is_stripped_or_replaced() {
        let table = [
            // Stripped.
            ("/api/", "", "/api/", "/"),
            ("/api/", "", "/api/x", "/x"),
            ("/api/", "", "/api/x?y=/api/", "/x?y=/api/"),
            ("/api/", "", "/api/?y", "/?y"),
            ("/api", "", "/api", "/"),
            ("/api", "", "/api?y", "/?y"),
            ("/api", "", "/api/x", "/x"),
            ("/api", "", "/apix", "/x"),
            // A host for whoever reads it so.
            ("/api", "", "/api//evil.example/x", "/evil.example/x"),
            ("/api/", "", "/api//evil.example", "/evil.example"),
            ("/", "", "//evil.example", "/evil.example"),
            // Replaced.
            ("/api/", "/v2", "/api/x", "/v2/x"),
            ("/api/", "/v2/", "/api/x", "/v2/x"),
            ("/api/", "/v2", "/api/", "/v2/"),
            ("/api", "/v2", "/api", "/v2"),
            ("/api", "/v2/", "/api", "/v2/"),
            ("/api", "/v2/", "/api/x", "/v2/x"),
            ("/api", "/v2", "/apix", "/v2x"),
            ("/api/", "v2", "/api/x", "/v2/x"),
            ("/", "/v2", "/x?y", "/v2/x?y"),
            ("/", "/", "/x", "/x"),
            // What the client wrote stays what it is.
            ("/api/", "/v2", "/api/a//b/../%2F?c=%2f", "/v2/a//b/../%2F?c=%2f"),
        ];
        for (path, instead, target, expected) in table {
            let found = rewritten(path, PathMatch::Prefix, instead, target);
            assert_eq!(found, expected, "{path} {instead} {target}");
        }
    }

    #[test]
    fn an_exact_path_is_replaced_as_a_whole() {
        for (path, target, expected) in
            [("/old", "/old", "/new"), ("/old/", "/old/", "/new"), ("/old", "/old?x", "/new?x")]
        {
            assert_eq!(rewritten(path, PathMatch::Exact, "/new", target), expected);
        }
    }

    proptest! {
        #[test]
        fn whatever_comes_out_is_a_path_with_the_same_query(
            path in "/[a/]{0,4}",
            instead in "(/[b/]{0,4})?",
            rest in "[ac/.%2f]{0,6}",
            query in "(\\?[a-c/?=&]{0,6})?",
        ) {
            let target = format!("{path}{rest}{query}");
            let Ok(target) = target.parse::<PathAndQuery>() else { return Ok(()) };
            let rewrite = Rewrite { cut: cut(&path, PathMatch::Prefix), instead: instead.into() };
            let out = rewrite.apply(&target).unwrap();
            prop_assert!(out.path().starts_with('/'), "{}", out);
            prop_assert!(!out.path().starts_with("//"), "{}", out);
            prop_assert_eq!(out.query(), target.query());
        }
    }
}

//! Which of many paths is meant: the exact one, else the longest that the path begins with.
//!
//! Owns [`Paths`]. Two sorted lists and one search in each: a site with one route pays for one
//! comparison, one with ten thousand for some fourteen. Paths are bytes: nothing is decoded, no dot
//! segment is resolved, since a backend may read them in another way. Refuses to know what lies
//! behind a path.

use crate::config::PathMatch;

/// The paths of a site, each with its place among the routes.
#[derive(Debug)]
pub(super) struct Paths {
    /// In the order of their bytes.
    exact: Box<[(Box<str>, usize)]>,
    /// In the order of their bytes, so that what begins with a prefix follows it closely.
    prefixes: Box<[Prefix]>,
}

#[derive(Debug)]
struct Prefix {
    path: Box<str>,
    place: usize,
    /// The longest other prefix that this one begins with, which therefore stands before it.
    shorter: Option<usize>,
}

impl Paths {
    /// The look-up for `paths`, in their order, in which none stands twice with the same match.
    pub(super) fn new<'a>(paths: impl Iterator<Item = (&'a str, PathMatch)>) -> Self {
        let mut exact: Vec<(Box<str>, usize)> = Vec::new();
        let mut sorted: Vec<(&str, usize)> = Vec::new();
        for (place, (path, matching)) in paths.enumerate() {
            match matching {
                PathMatch::Exact => exact.push((path.into(), place)),
                PathMatch::Prefix => sorted.push((path, place)),
            }
        }
        exact.sort_unstable();
        sorted.sort_unstable();
        let mut prefixes: Vec<Prefix> = Vec::with_capacity(sorted.len());
        for (path, place) in sorted {
            let last = prefixes.len().checked_sub(1);
            let shorter = climb(&prefixes, last, |shorter| path.starts_with(shorter));
            prefixes.push(Prefix { path: path.into(), place, shorter });
        }
        Self { exact: exact.into(), prefixes: prefixes.into() }
    }

    /// The place of the route for `path`.
    pub(super) fn find(&self, path: &str) -> Option<usize> {
        let exact = self.exact.binary_search_by(|(exact, _)| (**exact).cmp(path));
        if let Some((_, place)) = exact.ok().and_then(|at| self.exact.get(at)) {
            return Some(*place);
        }
        // Every prefix of the path is the last one that is not greater than it, or is a prefix of
        // that one: whatever stands between a prefix and the path begins with the prefix as well.
        let behind = self.prefixes.partition_point(|prefix| &*prefix.path <= path);
        let last = behind.checked_sub(1)?;
        let common = common(&self.prefixes.get(last)?.path, path);
        let found = climb(&self.prefixes, Some(last), |prefix| prefix.len() <= common)?;
        self.prefixes.get(found).map(|prefix| prefix.place)
    }
}

/// The first of `start`, its next shorter one, and so on, that is what is wanted.
fn climb(
    prefixes: &[Prefix],
    start: Option<usize>,
    is_wanted: impl Fn(&str) -> bool,
) -> Option<usize> {
    let mut next = start;
    while let Some(at) = next {
        let prefix = prefixes.get(at)?;
        if is_wanted(&prefix.path) {
            return Some(at);
        }
        next = prefix.shorter;
    }
    None
}

/// How many bytes both begin with.
fn common(a: &str, b: &str) -> usize {
    a.bytes().zip(b.bytes()).take_while(|(a, b)| a == b).count()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn paths(list: &[(&str, PathMatch)]) -> Paths {
        Paths::new(list.iter().copied())
    }

    #[test]
    fn the_exact_path_comes_first_and_the_longest_prefix_next() {
        use PathMatch::{Exact, Prefix};
        let paths = paths(&[
            ("/", Prefix),
            ("/api/", Prefix),
            ("/api/v2/", Prefix),
            ("/api/v2/", Exact),
            ("/api", Exact),
            ("/apis", Prefix),
        ]);
        for (path, place) in [
            ("/", 0),
            ("/x", 0),
            ("/api", 4),
            ("/api/", 1),
            ("/api/v1/x", 1),
            ("/api/v2", 1),
            ("/api/v2/", 3),
            ("/api/v2/x", 2),
            ("/apix", 0),
            ("/apis/x", 5),
            ("/API/", 0),
            ("/%61pi/", 0),
            ("//api/", 0),
            ("/x/../api/", 0),
        ] {
            assert_eq!(paths.find(path), Some(place), "{path}");
        }
    }

    #[test]
    fn a_path_that_nothing_matches_has_no_route() {
        let paths = paths(&[("/api/", PathMatch::Prefix), ("/z", PathMatch::Exact)]);
        for path in ["/", "/api", "/a", "/zz", "/z/", ""] {
            assert_eq!(paths.find(path), None, "{path}");
        }
        assert_eq!(Paths::new(std::iter::empty()).find("/"), None);
    }

    #[test]
    fn ten_thousand_routes_are_told_apart() {
        let all: Vec<String> = (0..10_000).map(|number| format!("/team/{number}/")).collect();
        let paths = Paths::new(all.iter().map(|path| (path.as_str(), PathMatch::Prefix)));
        for (place, path) in all.iter().enumerate() {
            assert_eq!(paths.find(&format!("{path}x")), Some(place));
        }
        assert_eq!(paths.find("/team/10000/"), None);
    }

    /// What the words say, without any order.
    fn plainly(list: &[(String, PathMatch)], path: &str) -> Option<usize> {
        let exact = (PathMatch::Exact, path);
        let is_exact = |(own, matching): &(String, PathMatch)| (*matching, own.as_str()) == exact;
        list.iter().position(is_exact).or_else(|| {
            let prefixes = list.iter().enumerate().filter(|(_, (own, matching))| {
                *matching == PathMatch::Prefix && path.starts_with(own.as_str())
            });
            prefixes.max_by_key(|(_, (own, _))| own.len()).map(|(place, _)| place)
        })
    }

    proptest! {
        #[test]
        fn the_look_up_finds_what_the_words_say(
            routes in prop::collection::btree_set(("/[ab/]{0,5}", any::<bool>()), 0..40),
            asked in prop::collection::vec("/[abc/]{0,8}", 1..20),
        ) {
            let list: Vec<(String, PathMatch)> = routes
                .into_iter()
                .map(|(path, is_exact)| {
                    (path, if is_exact { PathMatch::Exact } else { PathMatch::Prefix })
                })
                .collect();
            let paths = Paths::new(list.iter().map(|(path, matching)| (path.as_str(), *matching)));
            for path in &asked {
                prop_assert_eq!(paths.find(path), plainly(&list, path), "{}", path);
            }
        }
    }
}

//! Who may import whom: the order of the modules of `proxy`, from the ground up.
//!
//! Owns the table. A module imports only from lower ranks or its own folder; two of one rank
//! do not know each other. `lib.rs` and `main.rs` stand above all. Paths are followed whether they
//! start at `crate` or climb there by `super`.

use super::Violation;
use super::source::{Source, closing, line_of};

/// The modules of `proxy`, lowest rank first.
const RANKS: &[&[&str]] = &[
    &["calendar", "count"],
    &["body", "control", "drain", "fault", "field", "log", "net", "outcome", "phase"],
    &["history", "metrics"],
    &["access", "config", "limit", "trace"],
    &["privilege", "proxy_protocol", "starttls"],
    &["backend", "handshake"],
    &["failures", "route"],
    &["forward"],
    &["snapshot"],
    &["connection"],
    &["listener", "admin"],
    &["runtime"],
    &["cli"],
    &["lib", "main"],
];

/// Imports of `source` that go sideways or up.
pub(super) fn violations(source: &Source) -> Vec<Violation> {
    let Some(path) = source.path.strip_prefix("proxy/src/") else { return Vec::new() };
    let place = module(path);
    let own = place.first().map_or("lib", String::as_str);
    let Some(rank) = rank(own) else {
        return vec![format!("{}: the module `{own}` has no rank", source.path)];
    };
    let mut found = Vec::new();
    for (line, import) in imports(&source.code, &place) {
        // A name with a capital letter is an item of the root, not a module.
        if import == own || !import.starts_with(|c: char| c.is_ascii_lowercase()) {
            continue;
        }
        let complaint = match self::rank(&import) {
            None => format!("`{import}` has no rank"),
            Some(other) if other < rank => continue,
            Some(other) if other == rank => format!("`{import}` has the same rank as `{own}`"),
            Some(_) => format!("`{import}` has a higher rank than `{own}`"),
        };
        found.push(format!("{}:{line}: {complaint}", source.path));
    }
    found
}

/// Mentions of our other crates in `certs`.
pub(super) fn ours_in_certs(manifest: &str, sources: &[Source]) -> Vec<Violation> {
    let dependencies = manifest.split_once("[dependencies]").map_or("", |(_, rest)| rest);
    let mut found = Vec::new();
    if dependencies.contains("portunus") {
        found.push("certs/Cargo.toml: depends on a crate of ours".to_owned());
    }
    for source in sources.iter().filter(|source| source.path.starts_with("certs/src/")) {
        for name in ["portunus::", "portunus_tests::"] {
            if source.code.contains(name) {
                found.push(format!("{}: knows `{name}`", source.path));
            }
        }
    }
    found
}

fn rank(module: &str) -> Option<usize> {
    RANKS.iter().position(|rank| rank.contains(&module))
}

/// The path of modules of a file.
fn module(path: &str) -> Vec<String> {
    let path = path.trim_end_matches(".rs").trim_end_matches("/mod");
    path.split('/').map(str::to_owned).filter(|part| part != "lib").collect()
}

/// The modules of the root that `code` names, with the line of each.
fn imports(code: &str, place: &[String]) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (start, keyword) in starts(code) {
        let line = line_of(code, start);
        let mut rest = &code[start + keyword.len()..];
        if keyword == "super::" {
            let mut climbed = 1;
            while let Some(higher) = rest.strip_prefix("super::") {
                rest = higher;
                climbed += 1;
            }
            // Each inline module on the way is one more step that does not leave the file.
            let depth = place.len() + inline_depth(code, start);
            if climbed != depth {
                continue;
            }
        }
        found.extend(first_names(rest).into_iter().map(|name| (line, name)));
    }
    found
}

/// Every `crate::` and every `super::` that no other `super::` stands before.
fn starts(code: &str) -> impl Iterator<Item = (usize, &'static str)> {
    ["crate::", "super::"].into_iter().flat_map(move |keyword| {
        let own_word = move |place: usize| {
            let before = code[..place].chars().next_back().unwrap_or(' ');
            !before.is_alphanumeric() && !matches!(before, '_' | ':' | '$')
        };
        let places = code.match_indices(keyword).map(|(place, _)| place);
        places.filter(move |&place| own_word(place)).map(move |place| (place, keyword))
    })
}

/// How many inline modules of `code` are open at `place`.
fn inline_depth(code: &str, place: usize) -> usize {
    let modules = code.match_indices("mod ").filter(|(start, _)| {
        let open = code[*start..].find(['{', ';']).map(|length| start + length);
        let range = open.and_then(|open| Some(open..closing(code, open)?));
        range.is_some_and(|range| range.contains(&place))
    });
    modules.count()
}

/// The first name of a path, or of each path of a group.
fn first_names(rest: &str) -> Vec<String> {
    let Some(group) = rest.strip_prefix('{') else { return vec![name(rest)] };
    let end = closing(rest, 0).unwrap_or(rest.len()) - 1;
    let mut names = Vec::new();
    let mut depth = 0_usize;
    let mut expected = true;
    for (place, character) in group[..end].char_indices() {
        match character {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => expected = true,
            _ if expected && !character.is_whitespace() => {
                names.push(name(&group[place..]));
                expected = false;
            }
            _ => {}
        }
    }
    names
}

fn name(text: &str) -> String {
    text.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default().to_owned()
}

#[test]
fn planted_imports_are_found() {
    let found = |path: &str, text: &str| violations(&Source::new(path, text)).len();
    let route = "proxy/src/route.rs";
    assert_eq!(found(route, "use crate::backend::Backend;"), 0);
    assert_eq!(found(route, "use crate::forward::tcp;"), 1);
    assert_eq!(found(route, "use crate::{net, forward::{tcp, http}, cli};"), 2);
    assert_eq!(found(route, "fn a() { crate::connection::serve() }"), 1);
    assert_eq!(found(route, "use super::connection;"), 1);
    assert_eq!(found(route, "use crate::nowhere::A;"), 1);
    assert_eq!(found(route, "// use crate::connection;\nconst A: &str = \"crate::cli\";"), 0);
    let tcp = "proxy/src/forward/tcp.rs";
    assert_eq!(found(tcp, "use super::relay; use crate::forward::relay; use crate::net;"), 0);
    assert_eq!(found(tcp, "use super::super::snapshot::Snapshot;"), 1);
    assert_eq!(found(tcp, "#[cfg(test)] mod tests { use super::super::Relay; }"), 0);
    assert_eq!(found(tcp, "#[cfg(test)] mod tests { use super::super::super::cli::A; }"), 1);
    assert_eq!(found("proxy/src/backend/mod.rs", "use crate::handshake::Tls;"), 1);
    assert_eq!(found("proxy/src/lib.rs", "use crate::cli::run;"), 0);
    assert_eq!(found("proxy/src/helpers.rs", ""), 1);
}

#[test]
fn planted_knowledge_in_certs_is_found() {
    let found = |manifest: &str, text: &str| {
        ours_in_certs(manifest, &[Source::new("certs/src/name.rs", text)]).len()
    };
    assert_eq!(found("[package]\nname = \"portunus-certs\"\n[dependencies]\nrustls = 1", ""), 0);
    assert_eq!(found("[dependencies]\nportunus.workspace = true", ""), 1);
    assert_eq!(found("", "use portunus::net;"), 1);
}

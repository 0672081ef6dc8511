//! Which fields log lines have: those of the document, and no others.
//!
//! Owns the reading of tracing's macros, as far as they name fields. A field is a word with a
//! value, or a word that is one: `%error`, `listener = name`; words to people end the list.

use std::collections::{BTreeMap, BTreeSet};

use super::source::Source;
use super::{root, sources};

/// What the log says of itself, without a macro.
const OWN: [&str; 3] = ["dropped", "line", "suppressed"];

/// The fields that `source` names.
fn fields(source: &Source) -> Vec<String> {
    let code = source.without_tests();
    let mut fields = Vec::new();
    for level in ["trace", "debug", "info", "warn", "error", "event"] {
        let call = format!("{level}!(");
        for (start, _) in code.match_indices(&call) {
            let before = code[..start].chars().next_back().unwrap_or(' ');
            if !before.is_alphanumeric() && before != '_' {
                fields.extend(named(&code, &source.text, start + call.len()));
            }
        }
    }
    fields
}

/// The fields among the arguments that begin at `from`.
fn named(code: &str, text: &str, from: usize) -> Vec<String> {
    let mut fields = Vec::new();
    let (mut depth, mut start) = (1, from);
    for (place, character) in code[from..].char_indices() {
        let place = from + place;
        match character {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth -= 1,
            _ => {}
        }
        let ends = depth == 0 || (depth == 1 && character == ',');
        if !ends {
            continue;
        }
        let argument = text[start..place].trim();
        if argument.starts_with('"') {
            break;
        }
        fields.extend(name(argument));
        if depth == 0 {
            break;
        }
        start = place + 1;
    }
    fields
}

fn name(argument: &str) -> Option<String> {
    let is_word = |word: &str| {
        let letter = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
        !word.is_empty() && word.bytes().all(letter)
    };
    let name = match argument.split_once(" = ") {
        Some((name, _)) => name,
        None => argument.trim_start_matches(['%', '?']),
    };
    is_word(name).then(|| name.to_owned())
}

/// The fields that the document has of the log, with the kind of their values.
pub(crate) fn documented() -> BTreeMap<String, String> {
    let text = std::fs::read_to_string(root().join("dashboards/LOGS.md")).unwrap();
    let (_, log) = text.split_once("## Fields of the log").unwrap();
    let (log, _) = log.split_once("## Fields of the access log").unwrap();
    let rows = log.lines().filter_map(|line| {
        let mut cells = line.strip_prefix("| `")?.split('|').map(str::trim);
        Some((cells.next()?.trim_matches('`').to_owned(), cells.next()?.to_owned()))
    });
    rows.collect()
}

#[test]
fn every_field_of_a_log_line_is_documented_and_none_that_is_not_there() {
    let product = |source: &&Source| {
        let path = &source.path;
        (path.starts_with("proxy/src/") || path.starts_with("certs/src/"))
            && !path.contains("/tests")
    };
    let sources = sources();
    let said = sources.iter().filter(product).flat_map(fields);
    let said: BTreeSet<_> = said.chain(OWN.map(str::to_owned)).collect();
    assert!(said.len() > 50, "{said:?}");
    let documented: BTreeSet<_> = documented().into_keys().collect();
    let missing: Vec<_> = said.difference(&documented).collect();
    assert!(missing.is_empty(), "dashboards/LOGS.md has no {missing:?}");
    let gone: Vec<_> = documented.difference(&said).collect();
    assert!(gone.is_empty(), "nothing says {gone:?} of dashboards/LOGS.md any more");
}

#[test]
fn planted_fields_are_found() {
    let found = |text: &str| fields(&Source::new("proxy/src/a.rs", text)).join(" ");
    assert_eq!(found("info!(a = 1, %b, ?c, d, e = f(x, y), \"words {}\", g);"), "a b c d e");
    assert_eq!(found("event!(Level::INFO, a = &*b.c, \"b = 2\")"), "a");
    assert_eq!(found("warn!(\"{b}\"); // info!(c, \"\")"), "");
    assert_eq!(found("#[cfg(test)] mod tests { fn a() { info!(b, \"\") } }"), "");
}

//! Words that have no place in the tree, or not there.
//!
//! Owns the list: notes to oneself, what only a few people's desks know, and `unwrap`. The words
//! are put together from halves, since this file is judged as well.

use super::Violation;
use super::source::{Source, line_of};

/// `unwrap()` in code that is not a test.
pub(super) fn unwraps(source: &Source) -> Vec<Violation> {
    if source.path.contains("/tests.rs") || source.path.contains("/tests/") {
        return Vec::new();
    }
    let code = source.without_tests();
    let found = code.match_indices(".unwrap()");
    found.map(|(place, _)| format!("{}:{}: unwraps", source.path, line_of(&code, place))).collect()
}

/// Words that should not stand in `text`.
pub(super) fn violations(path: &str, text: &str) -> Vec<Violation> {
    let mut found = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let word = NOTES.iter().find(|halves| has_word(line, &halves.concat()));
        let desk = DESKS.iter().find(|halves| line.contains(&halves.concat()));
        let culprit = match (word.or(desk), row(line), numbered(line)) {
            (Some(halves), _, _) => halves.concat(),
            (None, Some(row), _) => row,
            (None, None, true) => "the number of a task".to_owned(),
            (None, None, false) => continue,
        };
        found.push(format!("{path}:{}: {culprit}", number + 1));
    }
    found
}

/// Whether `word` stands in `line` as a word of its own.
fn has_word(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(place, _)| {
        let before = line[..place].chars().next_back().unwrap_or(' ');
        let after = line[place + word.len()..].chars().next().unwrap_or(' ');
        !before.is_alphanumeric() && !after.is_alphanumeric()
    })
}

/// A letter, a hyphen and two digits, as the rows of a table are numbered.
fn row(line: &str) -> Option<String> {
    let edge = |c: char| !c.is_alphanumeric() && c != '-' && c != '_';
    line.split(edge)
        .find(|word| {
            let mut characters = word.chars();
            let letter = characters.next().is_some_and(|c| "TRCHINDBOMSLA".contains(c));
            let hyphen = characters.next() == Some('-');
            let digits = characters.as_str();
            letter && hyphen && digits.len() == 2 && digits.bytes().all(|b| b.is_ascii_digit())
        })
        .map(str::to_owned)
}

/// `issue` with a number behind it.
fn numbered(line: &str) -> bool {
    let words: Vec<_> = line.split_whitespace().collect();
    words.windows(2).any(|pair| {
        let task = pair[0].trim_matches(|c: char| !c.is_alphanumeric());
        let number = pair[1].trim_start_matches('#');
        task.eq_ignore_ascii_case("issue") && number.starts_with(|c: char| c.is_ascii_digit())
    })
}

const NOTES: &[[&str; 2]] = &[["TO", "DO"], ["FIX", "ME"], ["XX", "X"], ["HA", "CK"]];

const DESKS: &[[&str; 2]] = &[
    ["threats", ".md"],
    ["style", ".md"],
    ["crates", ".md"],
    ["peers", ".md"],
    ["design", ".md"],
    ["/work", "/"],
    ["/root", "/"],
    ["/home", "/"],
    ["CONTRACT", ".md"],
];

#[test]
fn planted_words_are_found() {
    let found = |text: &str| violations("x.md", text).len();
    for line in [
        ["// TO", "DO: later"],
        ["FIX", "ME"],
        ["see threats", ".md"],
        ["in /work", "/main"],
        ["proves T-", "05 and more"],
        ["(H-", "07)"],
        ["as Issue", " #2 asks"],
        ["issue", " 17."],
    ] {
        assert_eq!(found(&line.concat()), 1, "{line:?}");
    }
    for line in ["TODOS", "SHA-256", "2026-12-01", "AES-GCM", "portunus issue localhost", "T-051"] {
        assert_eq!(found(line), 0, "{line:?}");
    }
}

#[test]
fn a_planted_unwrap_is_found() {
    let product = "fn a() { b().unwrap(); }\n#[cfg(test)]\nmod tests { fn c() { d().unwrap(); } }";
    assert_eq!(unwraps(&Source::new("x.rs", product)).len(), 1);
    assert_eq!(unwraps(&Source::new("x.rs", "// b.unwrap()\n")).len(), 0);
}

//! How long files, functions and lines are, and whether a file says what it owns.
//!
//! Owns the three bounds. Comments and blank lines count: they are read as well.

use super::Violation;
use super::source::{Source, closing, line_of};

/// What is longer than it may be.
pub(super) fn violations(source: &Source) -> Vec<Violation> {
    let Source { path, text, .. } = source;
    let mut found = Vec::new();
    let lines = text.lines().count();
    if lines > FILE_LINES_MAX {
        found.push(format!("{path}: {lines} lines, more than {FILE_LINES_MAX}"));
    }
    for (number, line) in text.lines().enumerate() {
        let columns = line.chars().count();
        if columns > COLUMNS_MAX {
            let number = number + 1;
            found.push(format!("{path}: line {number} has {columns} columns, not {COLUMNS_MAX}"));
        }
    }
    for (name, start, lines) in functions(source) {
        if lines > FUNCTION_LINES_MAX {
            found.push(format!(
                "{path}: `{name}` in line {start} has {lines} lines, more than {FUNCTION_LINES_MAX}"
            ));
        }
    }
    found
}

/// Whether the first lines do not say what the file owns.
pub(super) fn without_essay(source: &Source) -> Option<Violation> {
    let essay = source.text.lines().take_while(|line| line.starts_with("//!"));
    let words = essay.flat_map(str::split_whitespace).count();
    (words < ESSAY_WORDS_MIN)
        .then(|| format!("{}: does not open with what it owns (`//!`)", source.path))
}

/// Name, first line and number of lines of every function with a body.
fn functions(source: &Source) -> Vec<(String, usize, usize)> {
    let code = &source.code;
    let keyword = code.match_indices("fn ").filter(|(place, _)| {
        // `fn` as a word, with a name behind it: not the type `fn (…)`.
        let before = code[..*place].chars().next_back().unwrap_or(' ');
        let after = code[place + 3..].chars().next().unwrap_or(' ');
        !before.is_alphanumeric() && before != '_' && (after.is_alphabetic() || after == '_')
    });
    let body = keyword.filter_map(|(place, _)| {
        let open = place + code[place..].find(['{', ';'])?;
        let end = closing(code, open)?;
        let name = code[place + 3..].split(|c: char| !c.is_alphanumeric() && c != '_').next()?;
        let first = line_of(code, place);
        Some((name.to_owned(), first, line_of(code, end) - first + 1))
    });
    body.collect()
}

const FILE_LINES_MAX: usize = 400;
const FUNCTION_LINES_MAX: usize = 70;
const COLUMNS_MAX: usize = 100;
const ESSAY_WORDS_MIN: usize = 5;

#[test]
fn what_is_too_long_is_found() {
    let function = |lines: usize| format!("fn a() {{\n{}}}\n", "b();\n".repeat(lines - 2));
    let found = |text: &str| violations(&Source::new("x.rs", text)).len();
    assert_eq!(found(&function(70)), 0);
    assert_eq!(found(&function(71)), 1);
    assert_eq!(found(&format!("trait T {{ fn a();\n{} }}", "\n".repeat(80))), 0);
    assert_eq!(found(&"\n".repeat(400)), 0);
    assert_eq!(found(&"\n".repeat(401)), 1);
    assert_eq!(found(&"µ".repeat(100)), 0);
    assert_eq!(found(&"µ".repeat(101)), 1);
}

#[test]
fn a_file_that_says_nothing_is_found() {
    let found = |text: &str| without_essay(&Source::new("x.rs", text)).is_some();
    assert!(found("use std::fmt;\n"));
    assert!(found("//! x\n"));
    assert!(found("// Not a document comment, however long it may be.\n"));
    assert!(!found("//! What is here, why it is here, and what it does not know.\n"));
}

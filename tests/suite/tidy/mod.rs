//! What holds of the source itself: who imports whom, how long things are, which words stand where.
//!
//! Owns the walk through the tree and the judgement. The rules are data in `ranks` and `words`,
//! `measure` counts, `fields` compares log lines with their document, and `source` knows just
//! enough of Rust to tell code from comments, text and tests. Every rule is also tried on a planted
//! violation, since a checker that finds nothing may be one that looks at nothing.

pub(crate) mod fields;
mod measure;
mod ranks;
mod source;
mod words;

use std::path::{Path, PathBuf};

use source::Source;

/// A broken rule: where, and what.
type Violation = String;

#[test]
fn no_module_imports_from_its_own_rank_or_above() {
    let sources = sources();
    judge(sources.iter().flat_map(ranks::violations));
}

#[test]
fn certs_knows_nothing_of_ours() {
    let manifest = std::fs::read_to_string(root().join("certs/Cargo.toml")).unwrap();
    judge(ranks::ours_in_certs(&manifest, &sources()));
}

#[test]
fn files_functions_and_lines_are_short() {
    let sources = sources();
    judge(sources.iter().flat_map(measure::violations));
}

#[test]
fn every_file_opens_with_what_it_owns() {
    let sources = sources();
    judge(sources.iter().filter_map(measure::without_essay));
}

#[test]
fn nothing_unwraps_outside_of_tests() {
    let product = |source: &&Source| !source.path.starts_with("tests/");
    judge(sources().iter().filter(product).flat_map(words::unwraps));
}

#[test]
fn no_word_stands_where_it_should_not() {
    let texts = texts();
    assert!(texts.iter().any(|(path, _)| path == "README.md" || path == "Cargo.toml"));
    judge(texts.iter().flat_map(|(path, text)| words::violations(path, text)));
}

/// The root of the workspace.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn sources() -> Vec<Source> {
    let rust = texts().into_iter().filter(|(path, _)| path.ends_with(".rs"));
    let sources: Vec<_> = rust.map(|(path, text)| Source::new(&path, &text)).collect();
    let found = |path: &str| sources.iter().any(|source| source.path == path);
    assert!(found("proxy/src/lib.rs") && found("certs/src/lib.rs") && found("tests/src/lib.rs"));
    sources
}

/// Every text of the tree, by its path from the root.
fn texts() -> Vec<(String, String)> {
    let mut texts = Vec::new();
    let mut folders = vec![root()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() {
                if !NOT_OURS.contains(&name.as_str()) {
                    folders.push(path);
                }
            } else if let Ok(text) = std::fs::read_to_string(&path)
                && name != "Cargo.lock"
            {
                let path = path.strip_prefix(root()).unwrap().to_string_lossy().into_owned();
                texts.push((path, text));
            }
        }
    }
    texts
}

#[track_caller]
fn judge(violations: impl IntoIterator<Item = Violation>) {
    let violations: Vec<_> = violations.into_iter().collect();
    assert!(violations.is_empty(), "\n{}\n", violations.join("\n"));
}

const NOT_OURS: &[&str] = &[".git", "target", "certs.d", "node_modules", "__pycache__"];

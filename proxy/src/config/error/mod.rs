//! What is wrong with a configuration, all of it at once.
//!
//! Owns [`ConfigErrors`] and the words for each [`Problem`]. One error is one line that a person
//! can act on: file, line, key path, cause, hint. The causes are part of that line, so none of
//! these has a `source()`. A value is quoted as it was written, before variables were expanded,
//! and the value of a secret never. Read next: `problem`, `http` and `bytes` for the words,
//! `text` and `number`, where most of the errors are found.

mod bytes;
mod http;
mod problem;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

pub use self::bytes::BytesProblem;
pub use self::http::{BackendProblem, FieldProblem, RouteProblem};
pub use self::problem::Problem;

/// Everything that is wrong with one configuration; never empty, in the order of the file.
#[derive(Debug)]
pub struct ConfigErrors {
    errors: Vec<ConfigError>,
    left_off: usize,
    files: Vec<PathBuf>,
}

impl ConfigErrors {
    /// Each of them.
    pub fn iter(&self) -> std::slice::Iter<'_, ConfigError> {
        self.errors.iter()
    }

    /// The files that values were to come from, besides that of the configuration.
    pub fn files(&self) -> &[PathBuf] {
        &self.files
    }

    /// How many there are, with those that are too many to be listed.
    pub fn count(&self) -> usize {
        self.errors.len() + self.left_off
    }
}

impl<'a> IntoIterator for &'a ConfigErrors {
    type Item = &'a ConfigError;
    type IntoIter = std::slice::Iter<'a, ConfigError>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.errors.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            write!(f, "{separator}{error}")?;
        }
        match self.left_off {
            0 => Ok(()),
            more => write!(f, "\nand {more} more"),
        }
    }
}

impl std::error::Error for ConfigErrors {}

/// One thing that is wrong, and where.
#[derive(Debug, thiserror::Error)]
pub struct ConfigError {
    file: Arc<str>,
    line: Option<usize>,
    key: String,
    problem: Problem,
    hint: Option<String>,
}

impl ConfigError {
    /// The file, as it was named.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// The line, from 1; none if the fault is that nothing was written.
    pub fn line(&self) -> Option<usize> {
        self.line
    }

    /// The path of the key, as `listener.https.site[0].hosts[1]`; empty for a fault of syntax.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// What is wrong.
    pub fn problem(&self) -> &Problem {
        &self.problem
    }

    /// What to do.
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        if !self.key.is_empty() {
            // A key is the operator's own text: it may hold line ends and escape sequences.
            write!(f, ": {}", printable(&self.key))?;
        }
        write!(f, ": {}", self.problem)?;
        match &self.hint {
            Some(hint) => write!(f, "; {hint}"),
            None => Ok(()),
        }
    }
}

/// Where something was written: the key path, and the byte in the file.
#[derive(Clone, Debug, Default)]
pub(super) struct Place {
    pub(super) key: String,
    pub(super) at: Option<usize>,
}

impl Place {
    /// A key that was not written, or not in a file.
    pub(super) fn unwritten(key: &str) -> Self {
        Self { key: key.to_owned(), at: None }
    }

    /// The key `name` below this one, written at `at`.
    pub(super) fn below(&self, name: &str, at: Option<usize>) -> Self {
        let key = match self.key.as_str() {
            "" => name.to_owned(),
            above => format!("{above}.{name}"),
        };
        Self { key, at: at.or(self.at) }
    }

    /// Entry `index` of this list, written at `at`.
    pub(super) fn entry(&self, index: usize, at: usize) -> Self {
        Self { key: format!("{}[{index}]", self.key), at: Some(at) }
    }
}

/// Gathers what is wrong while the rest is read on.
pub(super) struct Collector {
    file: Arc<str>,
    line_ends: Vec<usize>,
    errors: Vec<ConfigError>,
    left_off: usize,
}

impl Collector {
    /// Nothing wrong yet with `text`.
    pub(super) fn new(file: &str, text: &str) -> Self {
        let line_ends = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        Self {
            file: file.into(),
            line_ends: line_ends.map(|(at, _)| at).collect(),
            errors: Vec::new(),
            left_off: 0,
        }
    }

    /// Adds an error; the hint is asked for only if the error will be listed.
    pub(super) fn report(
        &mut self,
        place: &Place,
        problem: impl Into<Problem>,
        hint: impl FnOnce() -> Option<String>,
    ) {
        if self.errors.len() >= ERRORS_MAX {
            self.left_off += 1;
            return;
        }
        let line = place.at.map(|at| self.line_of(at));
        self.errors.push(ConfigError {
            file: self.file.clone(),
            line,
            key: place.key.clone(),
            problem: problem.into(),
            hint: hint(),
        });
    }

    /// Adds a fault of syntax; only the first of a line, since others follow from it.
    pub(super) fn report_syntax(&mut self, at: Option<usize>, message: &str) {
        let line = at.map(|at| self.line_of(at));
        if self.errors.iter().rev().all(|error| error.line != line) {
            let place = Place { key: String::new(), at };
            self.report(&place, Problem::Syntax(message.to_owned()), || None);
        }
    }

    fn line_of(&self, at: usize) -> usize {
        self.line_ends.partition_point(|end| *end < at) + 1
    }

    /// Whether something is wrong at `key` or below it.
    pub(super) fn is_blamed(&self, key: &str) -> bool {
        let below =
            |error: &ConfigError| error.key.strip_prefix(key).map(|rest| rest.chars().next());
        self.errors.iter().any(|error| matches!(below(error), Some(None | Some('.' | '['))))
    }

    /// Whether there was none.
    pub(super) fn is_empty(&self) -> bool {
        self.errors.is_empty()
    }

    /// All of them, in the order of the file, and the `files` that values were to come from.
    pub(super) fn finish(mut self, files: Vec<PathBuf>) -> ConfigErrors {
        self.errors.sort_by_key(|error| error.line.unwrap_or(usize::MAX));
        ConfigErrors { errors: self.errors, left_off: self.left_off, files }
    }
}

/// Text of unknown origin in one line, without escape sequences, and not too long.
pub(super) fn printable(text: &str) -> String {
    let mut short: String = text.chars().take(TEXT_CHARS_MAX).flat_map(plain).collect();
    if text.chars().nth(TEXT_CHARS_MAX).is_some() {
        short.push('…');
    }
    short
}

fn plain(letter: char) -> Vec<char> {
    if letter.is_control() { letter.escape_default().collect() } else { vec![letter] }
}

/// More than anyone reads; a file of garbage must not become a log of gigabytes.
const ERRORS_MAX: usize = 500;

/// What is quoted of a value or a key.
const TEXT_CHARS_MAX: usize = 128;

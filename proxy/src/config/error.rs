//! What is wrong with a configuration, all of it at once.
//!
//! Owns [`ConfigErrors`] and the words for each [`Problem`]. One error is one line that a person
//! can act on: file, line, key path, cause, hint. The causes are part of that line, so none of
//! these has a `source()`. A value is quoted as it was written, before variables were expanded,
//! and the value of a secret never. Read next: `text` and `number`, where most of them are found.

use std::fmt;
use std::sync::Arc;

use portunus_certs::name::NameError;

use super::load::ReadError;
use super::reference::ReferenceError;
use super::units::UnitError;
use crate::net::AddressError;

/// Everything that is wrong with one configuration; never empty, in the order of the file.
#[derive(Debug)]
pub struct ConfigErrors {
    errors: Vec<ConfigError>,
    left_off: usize,
}

impl ConfigErrors {
    /// Each of them.
    pub fn iter(&self) -> std::slice::Iter<'_, ConfigError> {
        self.errors.iter()
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

/// What is wrong with a key or its value.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// Not an address.
    #[error("`{written}` is not an address: {reason}")]
    Address {
        /// What stands there.
        written: String,
        /// Why it is none.
        reason: AddressError,
    },
    /// Two would bind the same address.
    #[error("`{address}` is the address of `{taken_by}` already")]
    AddressTaken {
        /// The address.
        address: String,
        /// The key of the first that has it.
        taken_by: String,
    },
    /// A listener serves either every name or the names of its sites.
    #[error("a listener has a `backend` or sites, not both")]
    BackendAndSites,
    /// A name with characters that metrics and logs cannot show.
    #[error("not a name: expected 1 to 64 of the characters a-z, 0-9, `-` and `_`")]
    BadName,
    /// A path that no system call takes.
    #[error("not a path: it is empty, has a NUL, or is too long for a socket (107 bytes)")]
    BadPath,
    /// A token that cannot stand in an HTTP header, or can be guessed.
    #[error("the token must have 16 to 4096 visible ASCII characters, and no spaces")]
    BadToken,
    /// Sites say for themselves what is asked of their clients.
    #[error("a listener with sites has no `client_auth` of its own")]
    ClientAuthAndSites,
    /// There is nothing to check.
    #[error("no revocation is checked without `crl`")]
    CrlDepth,
    /// None of the possible words.
    #[error("`{written}` is none of {options}")]
    Choice {
        /// What stands there.
        written: String,
        /// The possible words.
        options: String,
    },
    /// The same host, endpoint or path twice.
    #[error("`{0}` stands here twice")]
    Duplicate(String),
    /// A setting that says nothing about the store that was chosen.
    #[error("only a store at {0} has it")]
    EngineKey(&'static str),
    /// A list without an entry.
    #[error("at least one is needed")]
    Empty,
    /// There is no request to put a certificate in.
    #[error("bytes have no header fields to put a certificate in")]
    ForwardOfBytes,
    /// Not a host name or wildcard.
    #[error("`{written}` {reason}")]
    Host {
        /// What stands there.
        written: String,
        /// Why it is none.
        reason: NameError,
    },
    /// A key, or something else, in the place of a reference to one.
    #[error("keys stand in files, not here")]
    KeyReference,
    /// Not a level, and not a list of `target=level`.
    #[error("`{0}` is not a log level or `target=level`")]
    LogLevel(String),
    /// A key that has no default.
    #[error("missing")]
    Missing,
    /// A listener that leads nowhere.
    #[error("a listener needs a `backend`, or sites that have one")]
    NoBackend,
    /// Ticket keys are to be shared through a store that is not there.
    #[error("there is no `shared` store to share ticket keys through")]
    NoSharedStore,
    /// A port that cannot be dialled.
    #[error("`{0}` has port 0, which cannot be dialled")]
    PortZero(String),
    /// The profile is TLS 1.3 only, the version says otherwise.
    #[error("`modern` is TLS 1.3 only, but `min_version` is older")]
    Profile,
    /// Too small or too large.
    #[error("out of range: expected {min} to {max}")]
    Range {
        /// The least.
        min: String,
        /// The most.
        max: String,
    },
    /// A variable that could not be expanded.
    #[error(transparent)]
    Reference(#[from] ReferenceError),
    /// Clients who cannot resume are verified in every handshake anyway.
    #[error("there is nothing to verify again: `resumption` is off for this listener")]
    Revalidate,
    /// A secret's file that could not be read.
    #[error("{}", chain(.0))]
    SecretFile(ReadError),
    /// Not one of the stores that sessions can be shared through.
    #[error("not the address of a store")]
    StoreUrl,
    /// Not TOML.
    #[error("not TOML: {0}")]
    Syntax(String),
    /// An admin listener that others than this machine can reach, without a token.
    #[error("an admin listener that other machines can reach needs `admin.token`")]
    TokenMissing,
    /// More than there may be.
    #[error("too many: at most {0}")]
    TooMany(usize),
    /// Not a duration, not a size.
    #[error(transparent)]
    Unit(#[from] UnitError),
    /// No such backend.
    #[error("unknown backend `{0}`")]
    UnknownBackend(String),
    /// No such key in this section.
    #[error("unknown key")]
    UnknownKey,
    /// A number where a text should be, and the like.
    #[error("expected {expected}, found {found}")]
    WrongType {
        /// What the key takes.
        expected: &'static str,
        /// What stands there.
        found: &'static str,
    },
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

    /// All of them, in the order of the file.
    pub(super) fn finish(mut self) -> ConfigErrors {
        self.errors.sort_by_key(|error| error.line.unwrap_or(usize::MAX));
        ConfigErrors { errors: self.errors, left_off: self.left_off }
    }
}

/// An error with its causes, joined as the printer of `main` would.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
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

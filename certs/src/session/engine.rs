//! What a store outside of this process has to do, whichever it is.
//!
//! Owns the trait [`Engine`] and the kinds of its errors. Engines see keyed digests and sealed
//! texts, and learn nothing from either. They wait as long as they have to: the limit on every
//! wait is the caller's, [`super::shared`]. An engine never starts a task of its own for longer
//! than a call, except for what its library does.

use std::error::Error;
use std::fmt;
use std::pin::Pin;
use std::time::Duration;

use super::id::Use;

/// A future of an engine.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, EngineError>> + Send + 'a>>;

/// A store outside of this process.
pub trait Engine: fmt::Debug + Send + Sync {
    /// What lies under each of the keys, in their order. What may be used once is gone with the
    /// answer, in one step with its being read, whoever else asks at that moment.
    fn fetch<'a>(&'a self, wanted: &'a [Wanted]) -> Answer<'a, Vec<Option<Vec<u8>>>>;

    /// Stores each record, and says of each whether it lies there now. An error of the whole says
    /// nothing about any of them, unless [`EngineError::is_certain`].
    fn store<'a>(&'a self, records: &'a [Record]) -> Answer<'a, Vec<Result<(), EngineError>>>;

    /// Stores the record unless something lies under its key, in one step, and says what lies
    /// there then.
    fn agree<'a>(&'a self, record: &'a Record) -> Answer<'a, Vec<u8>>;

    /// Whether the store can be reached, reads and writes.
    fn probe(&self) -> Answer<'_, ()>;
}

/// Under which key something lies: a keyed digest.
pub type EntryKey = [u8; 32];

/// What is asked of a store.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Wanted {
    /// The key.
    pub key: EntryKey,
    /// Whether it stays.
    pub usage: Use,
}

/// What is given to a store.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Record {
    /// The key.
    pub key: EntryKey,
    /// The sealed text.
    pub sealed: Vec<u8>,
    /// How long it is kept; never longer.
    pub lifetime: Duration,
}

/// Why a store did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
#[error("{kind}")]
pub struct EngineError {
    kind: ErrorKind,
    #[source]
    cause: Option<Box<dyn Error + Send + Sync>>,
}

impl EngineError {
    /// An error of this kind, with what is known of its cause. The cause must hold no secret.
    pub fn new(kind: ErrorKind, cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { kind, cause: Some(cause.into()) }
    }

    /// What kind it is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Whether it is certain that the store did not do it: it said so, or never heard of it.
    #[must_use]
    pub fn is_certain(&self) -> bool {
        !matches!(self.kind, ErrorKind::Broken | ErrorKind::Timeout)
    }
}

impl From<ErrorKind> for EngineError {
    fn from(kind: ErrorKind) -> Self {
        Self { kind, cause: None }
    }
}

/// The kinds of errors of a store.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, thiserror::Error)]
pub enum ErrorKind {
    /// The name or the password is wrong, or something is not permitted.
    #[error("the store does not let us in")]
    Auth,
    /// The connection broke in the middle.
    #[error("the connection to the store broke")]
    Broken,
    /// There is no room.
    #[error("the store is full")]
    Full,
    /// It is not ready yet.
    #[error("the store is still loading")]
    Loading,
    /// It answered with something else.
    #[error("the store refuses")]
    Other,
    /// It can be read only.
    #[error("the store takes no writes")]
    ReadOnly,
    /// It did not answer in time.
    #[error("the store does not answer in time")]
    Timeout,
    /// It cannot be reached.
    #[error("the store cannot be reached")]
    Unreachable,
}

impl ErrorKind {
    /// Every kind.
    pub const ALL: [Self; 8] = [
        Self::Auth,
        Self::Broken,
        Self::Full,
        Self::Loading,
        Self::Other,
        Self::ReadOnly,
        Self::Timeout,
        Self::Unreachable,
    ];

    /// Its name as metrics have it.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Auth => "auth",
            Self::Broken => "broken",
            Self::Full => "full",
            Self::Loading => "loading",
            Self::Other => "other",
            Self::ReadOnly => "read_only",
            Self::Timeout => "timeout",
            Self::Unreachable => "unreachable",
        }
    }
}

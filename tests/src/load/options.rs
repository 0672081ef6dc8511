//! The command line of the load generator: a leg, and `--key value` for what it needs.
//!
//! Owns the reading of both; refuses to know what a leg does with them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use super::LoadError;

/// What was asked for.
#[derive(Debug)]
pub(crate) struct Options {
    leg: String,
    values: BTreeMap<String, String>,
}

impl Options {
    /// Reads `LEG --key value …`.
    pub(crate) fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self, LoadError> {
        let leg = arguments.next().ok_or_else(|| {
            LoadError::Usage("usage: portunus-load LEG [--KEY VALUE]…".to_owned())
        })?;
        let mut values = BTreeMap::new();
        while let Some(argument) = arguments.next() {
            let (Some(key), Some(value)) = (argument.strip_prefix("--"), arguments.next()) else {
                return Err(LoadError::Usage(format!("`{argument}` is not `--KEY VALUE`")));
            };
            values.insert(key.to_owned(), value);
        }
        Ok(Self { leg, values })
    }

    /// The leg's name.
    pub(crate) fn leg(&self) -> &str {
        &self.leg
    }

    /// Where the server listens.
    pub(crate) fn address(&self) -> Result<SocketAddr, LoadError> {
        self.value("address")
    }

    /// The file with the certificate of the server.
    pub(crate) fn certificate(&self) -> Result<PathBuf, LoadError> {
        self.value("certificate")
    }

    /// How many of the leg's units are done.
    pub(crate) fn count(&self) -> Result<usize, LoadError> {
        self.value("count")
    }

    /// How many connections there are at a time, at least one.
    pub(crate) fn parallel(&self) -> Result<usize, LoadError> {
        Ok(self.value::<usize>("parallel")?.max(1))
    }

    /// Any other value, as text.
    pub(crate) fn text(&self, key: &str) -> Result<&str, LoadError> {
        self.values
            .get(key)
            .map(String::as_str)
            .ok_or_else(|| LoadError::Usage(format!("`--{key}` is missing")))
    }

    fn value<T: FromStr>(&self, key: &str) -> Result<T, LoadError> {
        self.text(key)?.parse().map_err(|_| LoadError::Usage(format!("`--{key}` makes no sense")))
    }
}

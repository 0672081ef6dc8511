//! What is told of a reading of the configuration.
//!
//! Owns [`Told`], the answer to an order in the form that programs read, and the words for what has
//! to wait for a new process. What changed, in the operator's words, is `config::changes`. Refuses
//! to know who asked.

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::UnixTime;
use serde_json::json;

use crate::config::{Config, LoadError, changes};
use crate::control::Verdict;
use crate::history::{Reading, Subject};
use crate::log::Chain;
use crate::runtime::RunError;
use crate::runtime::sockets::entrances;

/// What came of a reading.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Outcome {
    /// Something is, or would be, served otherwise.
    Changed,
    /// Something is wrong, so nothing is.
    Rejected,
    /// It says what it said before.
    Unchanged,
}

impl Outcome {
    /// The word in metrics, logs and answers.
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Changed => "changed",
            Self::Rejected => "rejected",
            Self::Unchanged => "unchanged",
        }
    }

    /// What the supervisor shows to people.
    pub(super) fn status(self) -> &'static str {
        match self {
            Self::Changed | Self::Unchanged => "serving",
            Self::Rejected => "serving; the configuration that was read last is rejected",
        }
    }
}

/// What is told of a reading.
#[derive(Clone, Debug)]
pub(super) struct Told {
    pub(super) outcome: Outcome,
    /// The one that is served then.
    pub(super) generation: u64,
    pub(super) changes: Vec<String>,
    pub(super) errors: Vec<String>,
    pub(super) warnings: Vec<String>,
    /// What a rehearsal leaves open.
    pub(super) unchecked: Vec<String>,
}

impl Told {
    /// Nothing changed.
    pub(super) fn new(generation: u64) -> Self {
        let (changes, errors, warnings) = (Vec::new(), Vec::new(), Vec::new());
        let (outcome, unchecked) = (Outcome::Unchanged, Vec::new());
        Self { outcome, generation, changes, errors, warnings, unchecked }
    }

    /// What it takes to get from `old` to `new`.
    pub(super) fn of(generation: u64, old: &Config, new: &Config) -> Self {
        let changes = changes(old, new).lines();
        let outcome = if changes.is_empty() { Outcome::Unchanged } else { Outcome::Changed };
        Self { outcome, changes, warnings: later(old, new), ..Self::new(generation) }
    }

    /// The order was not even tried.
    pub(super) fn refused(why: &str) -> Self {
        let mut told = Self::new(0);
        told.reject(vec![why.to_owned()]);
        told
    }

    /// Nothing changes, for these reasons.
    pub(super) fn reject(&mut self, errors: Vec<String>) {
        (self.outcome, self.errors) = (Outcome::Rejected, errors);
        self.changes.clear();
        self.warnings.clear();
        self.unchecked.clear();
    }

    /// What those get to know who ask later.
    pub(super) fn reading(&self) -> Reading {
        Reading {
            changes: self.changes.clone(),
            errors: self.errors.clone(),
            warnings: self.warnings.clone(),
            ..Reading::now(Subject::Configuration, self.outcome.label())
        }
    }

    /// The answer to whoever asked; `file` is what was read.
    pub(super) fn verdict(&self, file: Option<&Path>) -> Verdict {
        let told = json!({
            "file": file.map(|file| file.to_string_lossy()),
            "result": self.outcome.label(),
            "generation": self.generation,
            "changes": self.changes,
            "errors": self.errors,
            "warnings": self.warnings,
            "unchecked": self.unchecked,
        });
        match self.outcome {
            Outcome::Changed | Outcome::Unchanged => Verdict::Done(told),
            Outcome::Rejected => Verdict::Refused(told),
        }
    }
}

/// What a reload would do to get from `old` to `new` that may fail, and that cannot be tried
/// without being seen: an address may be somebody else's.
pub(super) fn unchecked(old: &Config, new: &Config) -> Vec<String> {
    let addresses = |config: &Config| -> Vec<_> {
        let listeners = config.listeners.iter();
        let addresses = listeners.flat_map(|listener| {
            entrances(listener).map(|(addr, _)| (Arc::clone(&listener.name), addr.clone()))
        });
        addresses.collect()
    };
    let before = addresses(old);
    let new_ones = addresses(new).into_iter();
    let new_ones = new_ones.filter(|(_, addr)| !before.iter().any(|(_, known)| known == addr));
    let mut unchecked: Vec<_> = new_ones
        .map(|(listener, addr)| format!("whether {addr} can be had, for listener `{listener}`"))
        .collect();
    let others = [
        (old.log.access != new.log.access, "whether the file of log.access can be written"),
        (
            old.resumption.shared != new.resumption.shared,
            "whether the store of resumption.shared can be used",
        ),
    ];
    unchecked.extend(others.into_iter().filter(|(is_new, _)| *is_new).map(|(_, what)| what.into()));
    unchecked
}

/// What is configured otherwise and cannot be had without a new process.
fn later(old: &Config, new: &Config) -> Vec<String> {
    let listen = |config: &Config| config.admin.as_ref().map(|admin| admin.listen.clone());
    let store = |config: &Config| config.resumption.shared.as_ref().map(|it| it.engine.clone());
    let is_stuck = match (store(old), store(new)) {
        (Some(old), Some(new)) => old != new && old.is_in_one_place_with(&new),
        _ => false,
    };
    let differences = [
        ("admin.listen", listen(old) != listen(new)),
        ("resumption.shared.size", is_stuck),
        (
            "resumption.ticket_keys",
            !new.resumption.tickets.keys.is_like(&old.resumption.tickets.keys),
        ),
        ("server.memory_max", old.server.memory_max != new.server.memory_max),
        ("server.sandbox", old.server.sandbox != new.server.sandbox),
        ("server.user", old.server.user != new.server.user),
        ("server.watchdog", old.server.watchdog != new.server.watchdog),
        ("server.workers", old.server.workers != new.server.workers),
    ];
    let differences = differences.into_iter().filter(|(_, differs)| *differs);
    let words = |key| match key {
        // `portunus upgrade` asks at the new address, where nobody is yet.
        "admin.listen" => "takes effect with an upgrade, by SIGUSR2",
        _ => "takes effect with an upgrade",
    };
    differences.map(|(key, _)| format!("{key} {}", words(key))).collect()
}

/// Why nothing can be built of a configuration, a line each.
pub(super) fn lines(errors: &[RunError]) -> Vec<String> {
    let line = |error: &RunError| match error.hint() {
        Some(hint) => format!("{}; {hint}", Chain(error)),
        None => Chain(error).to_string(),
    };
    errors.iter().map(line).collect()
}

/// Why there is no configuration, a line each.
pub(super) fn load_errors(error: &LoadError) -> Vec<String> {
    match error {
        LoadError::Invalid(errors) => {
            let mut lines: Vec<_> = errors.iter().map(ToString::to_string).collect();
            let more = errors.count() - lines.len();
            lines.extend((more > 0).then(|| format!("and {more} more")));
            lines
        }
        LoadError::Read(_) => vec![Chain(error).to_string()],
    }
}

/// Seconds since 1970.
pub(super) fn now() -> f64 {
    UnixTime::now().as_secs() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_for_an_upgrade_is_told_with_the_way_that_gets_there() {
        let config = |more: &str| {
            let text = format!(
                "{more}[listener.a]\nlisten = ['127.0.0.1:0']\nmode = 'tcp'\nbackend = 'b'\n\
                 [backend.b]\nendpoints = ['127.0.0.1:1']\n"
            );
            Config::parse(&text, "config.toml", Path::new("")).unwrap()
        };
        let new = config("admin.listen = '127.0.0.1:9091'\nserver.user = 'nobody'\n");
        let told = Told::of(1, &config(""), &new);
        assert_eq!(
            told.warnings,
            [
                "admin.listen takes effect with an upgrade, by SIGUSR2",
                "server.user takes effect with an upgrade"
            ]
        );
    }
}

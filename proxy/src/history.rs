//! What was read of late, and what came of it.
//!
//! Owns [`History`]: the last readings of the configuration, of certificates, and of the files that
//! decide who is trusted, each with its reasons, for the people who ask after the fact. Its size is
//! bounded, whatever is read and however long the reasons are. Refuses to know who reads: `runtime`
//! notes down what it says in the log as well, and `admin` tells.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustls::pki_types::UnixTime;

use crate::outcome::{Label, labels};

labels! {
    /// What was read.
    Subject {
        /// Certificates and their keys.
        Certificates => "certificates",
        /// The configuration.
        Configuration => "configuration",
        /// Keys that seal sessions and tickets.
        Keys => "keys",
        /// Authorities and revocation lists, for clients or endpoints.
        Trust => "trust",
    }
}

/// A reading.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Reading {
    /// When, in seconds since 1970.
    pub time: i64,
    /// What was read.
    pub subject: Subject,
    /// What came of it, in the word that the metrics have for it.
    pub result: &'static str,
    /// What is served otherwise now.
    pub changes: Vec<String>,
    /// Why something is not taken.
    pub errors: Vec<String>,
    /// What was taken and should be looked at.
    pub warnings: Vec<String>,
}

impl Reading {
    /// A reading at `time`, of which nothing is said yet.
    pub fn of(subject: Subject, result: &'static str, time: i64) -> Self {
        let (changes, errors, warnings) = (Vec::new(), Vec::new(), Vec::new());
        Self { time, subject, result, changes, errors, warnings }
    }

    /// The same of this moment.
    pub fn now(subject: Subject, result: &'static str) -> Self {
        let now = i64::try_from(UnixTime::now().as_secs()).unwrap_or(i64::MAX);
        Self::of(subject, result, now)
    }
}

/// What came of files of which the last good stay, in a word.
pub fn result(is_good: bool, has_changed: bool) -> &'static str {
    match (is_good, has_changed) {
        (false, _) => "failed",
        (true, false) => "unchanged",
        (true, true) => "changed",
    }
}

/// The last readings.
#[derive(Debug, Default)]
pub struct History(Mutex<VecDeque<Reading>>);

impl History {
    /// Notes down a reading; the oldest one may go.
    pub fn note(&self, mut reading: Reading) {
        for lines in [&mut reading.changes, &mut reading.errors, &mut reading.warnings] {
            shorten(lines);
        }
        let mut readings = self.readings();
        readings.push_front(reading);
        if readings.len() > READINGS_MAX {
            // What was read last of each stays, however often something else is read.
            let has_newer = |&place: &usize| {
                let subject = readings.get(place).map(|reading| reading.subject);
                readings.iter().take(place).any(|newer| Some(newer.subject) == subject)
            };
            let oldest = (0..readings.len()).rev().find(has_newer);
            oldest.and_then(|place| readings.remove(place));
        }
    }

    /// The last readings, the newest first.
    pub fn last(&self) -> Vec<Reading> {
        self.readings().iter().cloned().collect()
    }

    fn readings(&self) -> MutexGuard<'_, VecDeque<Reading>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps the first few of `lines`, and of each the beginning.
fn shorten(lines: &mut Vec<String>) {
    let more = lines.len().saturating_sub(LINES_MAX);
    lines.truncate(LINES_MAX);
    for line in &mut *lines {
        if line.len() > LINE_BYTES_MAX {
            line.truncate(line.floor_char_boundary(LINE_BYTES_MAX));
            line.push('…');
        }
    }
    lines.extend((more > 0).then(|| format!("and {more} more")));
    lines.shrink_to_fit();
}

/// Readings that are kept.
const READINGS_MAX: usize = 20;
/// Lines of a kind that are kept of a reading.
const LINES_MAX: usize = 12;
/// Bytes that are kept of a line.
const LINE_BYTES_MAX: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(time: i64, errors: Vec<String>) -> Reading {
        Reading { errors, ..Reading::of(Subject::Configuration, "rejected", time) }
    }

    #[test]
    fn the_newest_readings_are_told_first_and_the_oldest_are_forgotten() {
        let history = History::default();
        (0..50).for_each(|time| history.note(reading(time, Vec::new())));
        let times: Vec<_> = history.last().iter().map(|reading| reading.time).collect();
        assert_eq!(times, (30..50).rev().collect::<Vec<_>>());
    }

    #[test]
    fn what_was_read_last_of_the_configuration_outlasts_any_number_of_certificates() {
        let history = History::default();
        history.note(reading(1, Vec::new()));
        history.note(reading(2, Vec::new()));
        let subject = Subject::Certificates;
        (3..50).for_each(|time| history.note(Reading { subject, ..reading(time, Vec::new()) }));
        let last = history.last();
        assert_eq!(last.len(), READINGS_MAX);
        assert_eq!(last.last(), Some(&reading(2, Vec::new())));
    }

    #[test]
    fn however_much_is_wrong_little_of_it_is_kept() {
        let history = History::default();
        history.note(reading(0, vec!["é".repeat(10_000); 1000]));
        let errors = &history.last()[0].errors;
        assert_eq!(errors.len(), LINES_MAX + 1);
        assert!(errors.iter().all(|line| line.len() <= LINE_BYTES_MAX + '…'.len_utf8()));
        assert!(errors[0].ends_with("é…"));
        assert_eq!(errors[LINES_MAX], "and 988 more");
    }
}

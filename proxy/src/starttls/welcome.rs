//! The first words of a backend, read in the place of a client that has had ours.
//!
//! Owns where they end and what becomes of them: a greeting is kept from the client, a refusal is
//! passed on. Backends are trusted more than clients, so a lone LF ends a line as well. Refuses to
//! know the words: each protocol is a [`Judge`].

use std::fmt;
use std::mem;

use super::line::Lines;
use super::{Welcome, Welcomed};

/// Reads the first words of one protocol.
pub(super) trait Judge: fmt::Debug + Send {
    /// What comes of a line, which has its end.
    fn line(&mut self, line: &[u8]) -> Verdict;

    /// What a client hears whose backend does not speak the protocol.
    fn last_words(&self) -> &'static str;
}

/// What comes of a line.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Verdict {
    /// The greeting is whole.
    Kept,
    /// There is more to come.
    Listen,
    /// The backend does not speak the protocol, or not to a client like this one.
    NotTheProtocol,
    /// The refusal is whole.
    Refused,
}

/// The first words of a backend.
#[derive(Debug)]
pub(super) struct FirstWords<J> {
    judge: J,
    lines: Lines,
    words: Vec<u8>,
}

impl<J: Judge> FirstWords<J> {
    pub(super) fn new(judge: J) -> Self {
        Self { judge, lines: Lines::default(), words: Vec::new() }
    }

    fn not_the_protocol(&self) -> Welcomed {
        Welcomed::Refused(self.judge.last_words().into())
    }
}

impl<J: Judge> Welcome for FirstWords<J> {
    fn feed(&mut self, bytes: &[u8]) -> Welcomed {
        self.lines.push(bytes);
        loop {
            let line = match self.lines.take() {
                Ok(Some(line)) => line,
                Ok(None) => return Welcomed::Listen,
                Err(_) => return self.not_the_protocol(),
            };
            self.words.extend_from_slice(line);
            match self.judge.line(line) {
                Verdict::Kept => return Welcomed::Kept(self.lines.rest().to_vec()),
                Verdict::Listen => {}
                Verdict::NotTheProtocol => return self.not_the_protocol(),
                Verdict::Refused => return Welcomed::Refused(mem::take(&mut self.words)),
            }
        }
    }
}

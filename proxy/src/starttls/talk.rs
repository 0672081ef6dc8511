//! What every dialogue in lines has in common, as the side that is asked for TLS.
//!
//! Owns the counting, the end of the dialogue, and the rule that nothing stands behind the line
//! that asks for TLS. Refuses to know the words: each protocol is a [`Talk`]. Read next: `smtp`.

use std::fmt;
use std::mem;

use super::line::{Lines, TooLong, is_http, text};
use super::{Answer, Next, Refusal, ServerDialogue, Step, Tally};

/// The words of one protocol.
pub(super) trait Talk: fmt::Debug + Send {
    /// What is said first, with its end of line.
    fn greeting(&self) -> String;

    /// What comes of a line of the client, which is given without its end.
    fn hear(&mut self, line: &str) -> Reply;

    /// What comes of [`Reply::Ask`].
    fn answered(&mut self, answer: Answer<'_>) -> Reply {
        let _ = answer;
        Reply::Refuse(String::new(), Refusal::Backend)
    }

    /// What is said of a refusal before the connection ends.
    fn last_words(&self, refusal: Refusal) -> String;

    /// What is said to a client whose time is over.
    fn overdue(&self) -> &'static str {
        ""
    }
}

/// What comes of a line; all words have their end of line.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Reply {
    /// This is said.
    Answer(String),
    /// The backend is asked, in the words of the client.
    Ask,
    /// The client goes on without TLS, from this line on.
    Clear,
    /// This is said, and counts as an error: what the client wants needs TLS.
    Denied(String),
    /// This is said, and counts as an error.
    Fault(String),
    /// This is said, and the connection ends, as the client wants.
    Quit(String),
    /// This is said, and the connection ends.
    Refuse(String, Refusal),
    /// This is said if nothing stands behind the line, and TLS begins.
    StartTls(String),
}

/// A dialogue in lines.
#[derive(Debug)]
pub(super) struct Conversation<T> {
    talk: T,
    lines: Lines,
    tally: Tally,
    /// Whether the client wanted what it cannot have without TLS.
    is_denied: bool,
    /// Whether the dialogue has come to TLS.
    is_over: bool,
}

impl<T: Talk> Conversation<T> {
    pub(super) fn new(talk: T) -> Self {
        let (lines, tally) = (Lines::default(), Tally::default());
        Self { talk, lines, tally, is_denied: false, is_over: false }
    }

    /// Takes line after line until one needs more than an answer.
    fn go_on(&mut self, mut say: Vec<u8>) -> Step {
        loop {
            // No line begins so, and every hello does (RFC 8446 §5.1): this client waits for TLS.
            if self.lines.rest().first() == Some(&TLS_HANDSHAKE) {
                return Step { say, next: Next::Refuse(Refusal::NotTheProtocol) };
            }
            let line = match self.lines.take() {
                Ok(Some(line)) => line.to_vec(),
                Ok(None) => return Step::listen(say),
                Err(TooLong) => return self.refuse(say, Refusal::Flooded),
            };
            let Some(text) = text(&line) else {
                return self.refuse(say, Refusal::NotTheProtocol);
            };
            let text = String::from_utf8_lossy(text);
            if is_http(&text) {
                return self.refuse(say, Refusal::NotTheProtocol);
            }
            if let Err(refusal) = self.tally.command() {
                return self.refuse(say, refusal);
            }
            let reply = self.talk.hear(&text);
            if let Some(next) = self.apply(reply, &mut say, line) {
                return Step { say, next };
            }
        }
    }

    /// What follows from a reply to `line`, if that is more than to listen.
    fn apply(&mut self, reply: Reply, say: &mut Vec<u8>, mut line: Vec<u8>) -> Option<Next> {
        match reply {
            Reply::Answer(words) => say.extend_from_slice(words.as_bytes()),
            Reply::Ask => return Some(Next::Ask(line)),
            Reply::Clear => {
                line.extend_from_slice(self.lines.rest());
                return Some(Next::Clear(line));
            }
            Reply::Denied(words) => {
                self.is_denied = true;
                return self.count_error(say, &words);
            }
            Reply::Fault(words) => return self.count_error(say, &words),
            Reply::Quit(words) => {
                say.extend_from_slice(words.as_bytes());
                let next = if self.is_denied { Next::Refuse(Refusal::NoTls) } else { Next::Quit };
                return Some(next);
            }
            Reply::Refuse(words, refusal) => {
                say.extend_from_slice(words.as_bytes());
                return Some(Next::Refuse(refusal));
            }
            Reply::StartTls(words) => {
                self.is_over = true;
                if self.lines.rest().is_empty() {
                    return Some(Next::Upgrade(words.into_bytes()));
                }
                let step = self.refuse(mem::take(say), Refusal::Injected);
                *say = step.say;
                return Some(step.next);
            }
        }
        None
    }

    fn count_error(&mut self, say: &mut Vec<u8>, words: &str) -> Option<Next> {
        say.extend_from_slice(words.as_bytes());
        let refusal = self.tally.error().err()?;
        let step = self.refuse(mem::take(say), refusal);
        *say = step.say;
        Some(step.next)
    }

    fn refuse(&self, mut say: Vec<u8>, refusal: Refusal) -> Step {
        say.extend_from_slice(self.talk.last_words(refusal).as_bytes());
        Step::refuse(say, refusal)
    }
}

impl<T: Talk> ServerDialogue for Conversation<T> {
    fn greeting(&mut self) -> Vec<u8> {
        self.talk.greeting().into_bytes()
    }

    fn feed(&mut self, bytes: &[u8]) -> Step {
        if self.is_over {
            return self.refuse(Vec::new(), Refusal::Injected);
        }
        self.lines.push(bytes);
        self.go_on(Vec::new())
    }

    fn overdue(&self) -> Vec<u8> {
        self.talk.overdue().into()
    }

    fn answered(&mut self, answer: Answer<'_>) -> Step {
        let mut say = Vec::new();
        let reply = self.talk.answered(answer);
        match self.apply(reply, &mut say, Vec::new()) {
            Some(next) => Step { say, next },
            None => self.go_on(say),
        }
    }
}

/// The type of a TLS record that carries a handshake.
const TLS_HANDSHAKE: u8 = 22;

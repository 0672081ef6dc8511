//! The clear part of protocols that begin without TLS and change to it: one dialogue each.
//!
//! Owns what a dialogue is, as the side that is asked for TLS ([`ServerDialogue`]) and as the side
//! that asks ([`ClientDialogue`]), and how the first words of a backend are read after a client has
//! had ours ([`Welcome`]). We speak this part ourselves: a backend is connected to only when TLS
//! stands, so that nothing that was said in the clear can outlive the change. Everything here is
//! pure: bytes in, a decision out; sockets and time are the caller's. Refuses to know TLS, sites
//! and backends. Read next: `talk`, which all line-based protocols share, then `smtp`.

pub mod imap;
pub mod ldap;
mod line;
pub mod mysql;
pub mod pop3;
pub mod postgresql;
#[cfg(test)]
mod rehearsal;
pub mod scram;
pub mod smtp;
mod talk;
mod welcome;
pub mod xmpp;

use std::fmt;

pub use crate::config::WithoutTls;

/// Our part of a dialogue with a client that may ask for TLS.
///
/// However the bytes of a client are cut into pieces, the dialogue is the same. What is not yet a
/// whole command is kept, in at most [`LINE_BYTES_MAX`] bytes or a bound of the protocol's own.
pub trait ServerDialogue: fmt::Debug + Send {
    /// What is said before the client has said anything; empty where the client begins.
    fn greeting(&mut self) -> Vec<u8>;

    /// Takes all of `bytes`, which are what the client says next, up to the first command that
    /// ends the dialogue.
    ///
    /// Bytes that stand behind the one that asks for TLS are an injection, whether they come with
    /// it or in a later call: the dialogue is refused, and nothing of them is kept.
    fn feed(&mut self, bytes: &[u8]) -> Step;

    /// Takes what came of [`Next::Ask`], and goes on with what the client has said meanwhile. A
    /// dialogue that never asks has nothing to do here.
    fn answered(&mut self, answer: Answer<'_>) -> Step {
        let _ = answer;
        Step::listen(Vec::new())
    }

    /// What is said to a client whose time is over; empty where the protocol has no words for it.
    fn overdue(&self) -> Vec<u8> {
        Vec::new()
    }
}

/// What came of a question to the backend.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Answer<'a> {
    /// There is no backend that answers.
    Nobody,
    /// All of its answer.
    Said(&'a [u8]),
    /// It does not want the client: its words.
    Unwelcome(&'a [u8]),
}

/// What is done next in a dialogue with a client.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Step {
    /// What is said to the client, before anything else; may be empty.
    pub say: Vec<u8>,
    /// What follows.
    pub next: Next,
}

/// What follows in a dialogue with a client.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Next {
    /// The backend is asked this; [`ServerDialogue::answered`] gets what it says.
    Ask(Vec<u8>),
    /// The client goes on without TLS, which the listener allows. These are all of its bytes that
    /// the backend has to hear, in front of everything that the client still says.
    Clear(Vec<u8>),
    /// The client begins with TLS, and waits for no word of ours: these bytes of it are the start
    /// of its hello; there may be none yet.
    DirectTls(Vec<u8>),
    /// The client is listened to.
    Listen,
    /// The client said good-bye; the connection ends.
    Quit,
    /// The connection ends.
    Refuse(Refusal),
    /// These are the last words in the clear; the next byte of the client begins its hello. They
    /// are said only if nothing more of the client is there by then: else it is fed to the
    /// dialogue in place of them, which refuses.
    Upgrade(Vec<u8>),
}

impl Step {
    /// Says `say` and listens.
    pub fn listen(say: Vec<u8>) -> Self {
        Self { say, next: Next::Listen }
    }

    /// Says `say` and ends the connection.
    pub fn refuse(say: Vec<u8>, refusal: Refusal) -> Self {
        Self { say, next: Next::Refuse(refusal) }
    }

    /// Says nothing more in front of `next`.
    pub fn silent(next: Next) -> Self {
        Self { say: Vec::new(), next }
    }
}

/// Why a dialogue does not come to TLS.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Refusal {
    /// The backend was asked, and is not there or does not want the client.
    #[error("the backend does not take the client")]
    Backend,
    /// More commands than [`COMMANDS_MAX`], or one longer than its bound.
    #[error("the client says more than {COMMANDS_MAX} commands or too long ones before TLS")]
    Flooded,
    /// Bytes in the clear behind the command that asks for TLS.
    #[error("the client sent bytes in the clear behind its request for TLS")]
    Injected,
    /// The client wants to go on without TLS, which the listener requires.
    #[error("the client goes on without TLS")]
    NoTls,
    /// The client speaks another protocol.
    #[error("the client speaks another protocol")]
    NotTheProtocol,
    /// More errors than [`ERRORS_MAX`].
    #[error("the client made {ERRORS_MAX} errors before TLS")]
    TooManyErrors,
}

/// Our part of a dialogue with an endpoint that is asked for TLS.
pub trait ClientDialogue: fmt::Debug + Send {
    /// What is said before the endpoint has said anything; empty where the endpoint begins.
    fn opening(&mut self) -> Vec<u8> {
        Vec::new()
    }

    /// Takes all of `bytes`, which are what the endpoint says next.
    ///
    /// Bytes that stand behind its consent are an injection: the endpoint is refused.
    fn feed(&mut self, bytes: &[u8]) -> ClientStep;

    /// What a client hears that has had no greeting yet, once TLS with the endpoint stands; empty
    /// where the client begins. `name` is how we call ourselves. Nothing that the endpoint said in
    /// the clear is in it.
    fn greeting(&self, name: &str) -> Vec<u8>;
}

/// What is done next in a dialogue with an endpoint.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum ClientStep {
    /// The endpoint is listened to.
    Listen,
    /// The endpoint is no partner.
    Refuse(Unwilling),
    /// This is said to the endpoint, which is then listened to.
    Say(Vec<u8>),
    /// The endpoint consents: our next byte begins our hello.
    Upgrade,
}

/// Why there is no TLS with an endpoint.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Unwilling {
    /// Bytes in the clear behind its consent.
    #[error("the endpoint sent bytes in the clear behind its consent to TLS")]
    Injected,
    /// The endpoint takes the connection for one that is logged in already (`PREAUTH`).
    #[error("the endpoint takes the client for authenticated before TLS")]
    Preauthenticated,
    /// What the endpoint says is not the protocol, or longer than its bound.
    #[error("the endpoint does not speak the protocol that `starttls` names")]
    NotTheProtocol,
    /// The endpoint says no to TLS, or does not offer it.
    #[error("the endpoint does not offer TLS")]
    NoTls,
    /// The endpoint does not want the connection at all.
    #[error("the endpoint refuses the connection")]
    Refused,
}

/// Reads the greeting of a backend whose client has had ours.
pub trait Welcome: fmt::Debug + Send {
    /// Takes all of `bytes`, which are what the backend says next.
    fn feed(&mut self, bytes: &[u8]) -> Welcomed;
}

/// What a backend said first.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Welcomed {
    /// A greeting, which the client must not hear, and this behind it, which the client must.
    Kept(Vec<u8>),
    /// Nothing whole yet.
    Listen,
    /// The backend does not want the client, or not like this: these words are for the client, and
    /// the connection ends.
    Refused(Vec<u8>),
}

/// What a client may cost before TLS: counts commands and errors.
#[derive(Debug, Default)]
pub struct Tally {
    commands: u32,
    errors: u32,
}

impl Tally {
    /// Counts a command.
    pub fn command(&mut self) -> Result<(), Refusal> {
        self.commands += 1;
        if self.commands > COMMANDS_MAX { Err(Refusal::Flooded) } else { Ok(()) }
    }

    /// Counts an error, which is answered in any case.
    pub fn error(&mut self) -> Result<(), Refusal> {
        self.errors += 1;
        if self.errors >= ERRORS_MAX { Err(Refusal::TooManyErrors) } else { Ok(()) }
    }
}

/// Commands before TLS; the next one ends the connection.
pub const COMMANDS_MAX: u32 = 20;

/// Errors before TLS; this one ends the connection.
pub const ERRORS_MAX: u32 = 5;

/// Bytes of a line before TLS, its end included (RFC 5321 §4.5.3.1.4 asks for 512, RFC 7162 and
/// others for more).
pub const LINE_BYTES_MAX: usize = 1024;

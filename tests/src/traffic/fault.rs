//! What can go wrong for a client, and the step at which it did.
//!
//! Owns the reading of errors: of sockets, of rustls, of hyper and of h2. Refuses to excuse any.

use std::error::Error;
use std::fmt;
use std::io;

/// A turn that did not end as it has to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Fault {
    /// What the client was about to do.
    pub step: &'static str,
    /// What kept it from that.
    pub reason: Reason,
    /// Its own port, as logs and captures name it.
    pub port: Option<u16>,
}

/// What kept a client from what it was about to do.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum Reason {
    /// Nobody listens.
    Refused,
    /// The connection was reset.
    Reset,
    /// The connection, or the answer, ended before it was complete.
    Truncated,
    /// The connection ended between two requests, and nobody had said that it would.
    Unannounced,
    /// It took longer than anything may.
    Late,
    /// The handshake was a full one, although the client had a session.
    NotResumed,
    /// It is complete, but not what was asked for.
    Wrong(String),
    /// Anything else, in the words of who noticed.
    Failed(String),
}

impl Fault {
    /// At `step`, for `reason`.
    pub fn new(step: &'static str, reason: Reason) -> Self {
        Self { step, reason, port: None }
    }

    /// At `step`, with something else than `expected`.
    pub(super) fn wrong(step: &'static str, what: impl Into<String>) -> Self {
        Self::new(step, Reason::Wrong(what.into()))
    }

    /// Of the connection from this port.
    pub(super) fn of_port(self, port: u16) -> Self {
        Self { port: Some(port), ..self }
    }
}

/// What is said of an error at `step`.
pub(super) fn at<E: Error + 'static>(step: &'static str) -> impl FnOnce(E) -> Fault {
    move |error| Fault::new(step, Reason::of(&error))
}

impl Reason {
    /// The reason that `error` stands for.
    fn of(error: &(dyn Error + 'static)) -> Self {
        let mut chain = Some(error);
        let mut words = Vec::new();
        while let Some(one) = chain {
            if let Some(known) = Self::known(one) {
                return known;
            }
            words.push(one.to_string());
            words.dedup();
            chain = Self::beneath(one);
        }
        Self::Failed(words.join(": "))
    }

    /// What `error` comes from. An [`io::Error`] leaves out of its sources what it was made of.
    fn beneath<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
        match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(made_of) => Some(made_of),
            None => error.source(),
        }
    }

    fn known(error: &(dyn Error + 'static)) -> Option<Self> {
        if let Some(error) = error.downcast_ref::<hyper::Error>()
            && error.is_incomplete_message()
        {
            return Some(Self::Truncated);
        }
        match error.downcast_ref::<io::Error>()?.kind() {
            io::ErrorKind::ConnectionRefused => Some(Self::Refused),
            io::ErrorKind::BrokenPipe
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset => Some(Self::Reset),
            io::ErrorKind::UnexpectedEof => Some(Self::Truncated),
            _ => None,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.step, self.reason)?;
        self.port.map_or(Ok(()), |port| write!(f, " (port {port})"))
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused => f.write_str("refused"),
            Self::Reset => f.write_str("reset"),
            Self::Truncated => f.write_str("truncated"),
            Self::Unannounced => f.write_str("ended without a word"),
            Self::Late => f.write_str("late"),
            Self::NotResumed => f.write_str("not resumed"),
            Self::Wrong(what) => write!(f, "wrong: {what}"),
            Self::Failed(words) => write!(f, "failed: {words}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_read_to_the_bottom() {
        let reset = io::Error::other(io::Error::from(io::ErrorKind::ConnectionReset));
        assert_eq!(Reason::of(&reset), Reason::Reset);
        let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
        assert_eq!(Reason::of(&refused), Reason::Refused);
        let end = io::Error::from(io::ErrorKind::UnexpectedEof);
        assert_eq!(Reason::of(&end), Reason::Truncated);
        let other = io::Error::other("a reason");
        assert_eq!(Reason::of(&other), Reason::Failed("a reason".to_owned()));
    }
}

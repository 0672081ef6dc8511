//! Who greets the client where the side that is asked speaks first.
//!
//! Owns [`Greeting`]: a client that was greeted before its TLS does not hear the backend's greeting
//! as well, and one whose backend was heard before the TLS of the endpoint hears ours. Nothing of
//! the client goes to a backend before that has greeted. Refuses to know the words, which are
//! `starttls`'s. Read next: `inquiry`, for a backend that is asked before the client has TLS.

use std::future::poll_fn;
use std::io;
use std::task::{Poll, ready};

use tokio::time::{Instant, timeout, timeout_at};

use super::downstream::Downstream;
use super::end;
use crate::backend::{Dedicated, Link};
use crate::config::StarttlsProtocol;
use crate::net::with_scratch;
use crate::outcome::{BackendFailure, CloseReason};
use crate::starttls::{ClientDialogue, Welcome, Welcomed, imap, pop3, smtp};

/// What happens before client and backend are joined.
#[derive(Debug)]
pub enum Greeting {
    /// The backend's is kept from the client, which had ours.
    Kept {
        /// Reads it.
        welcome: Box<dyn Welcome>,
        /// What the client hears if there is none.
        regret: &'static str,
    },
    /// The client hears this, since the backend's was read before the TLS of the endpoint.
    Ours(Vec<u8>),
    /// Nothing: the first words of both sides are for the other.
    Theirs,
}

impl Greeting {
    /// The greeting between a listener that speaks `listener` before TLS and an endpoint that is
    /// asked for TLS in `endpoint`; `name` is how we call ourselves.
    pub fn between(
        listener: Option<StarttlsProtocol>,
        endpoint: Option<StarttlsProtocol>,
        name: &str,
    ) -> Self {
        match (listener, endpoint) {
            (Some(protocol), None) => match welcome(protocol) {
                Some(welcome) => Self::Kept { welcome, regret: regret(protocol) },
                None => Self::Theirs,
            },
            (None, Some(protocol)) => Self::Ours(ours(protocol, name)),
            // Both were greeted before their TLS.
            (Some(_), Some(_)) | (None, None) => Self::Theirs,
        }
    }
}

/// Reads the greeting of a backend, if it has one.
fn welcome(protocol: StarttlsProtocol) -> Option<Box<dyn Welcome>> {
    match protocol {
        StarttlsProtocol::Imap => Some(Box::new(imap::welcome())),
        StarttlsProtocol::Pop3 => Some(Box::new(pop3::welcome())),
        StarttlsProtocol::Smtp => Some(Box::new(smtp::welcome())),
        // The client begins, or the greeting was a part of the dialogue.
        StarttlsProtocol::Ldap
        | StarttlsProtocol::Mysql
        | StarttlsProtocol::Postgresql
        | StarttlsProtocol::Xmpp => None,
    }
}

/// What a client hears from us; empty where the client begins.
fn ours(protocol: StarttlsProtocol, name: &str) -> Vec<u8> {
    match protocol {
        StarttlsProtocol::Imap => imap::Client::default().greeting(name),
        StarttlsProtocol::Pop3 => pop3::Client::default().greeting(name),
        StarttlsProtocol::Smtp => smtp::Client::new(name).greeting(name),
        StarttlsProtocol::Ldap
        | StarttlsProtocol::Mysql
        | StarttlsProtocol::Postgresql
        | StarttlsProtocol::Xmpp => Vec::new(),
    }
}

/// What a client hears whose backend is not there; empty where the protocol has no words for it.
fn regret(protocol: StarttlsProtocol) -> &'static str {
    match protocol {
        StarttlsProtocol::Imap => imap::UNAVAILABLE,
        StarttlsProtocol::Pop3 => pop3::UNAVAILABLE,
        StarttlsProtocol::Smtp => smtp::UNAVAILABLE,
        StarttlsProtocol::Ldap
        | StarttlsProtocol::Mysql
        | StarttlsProtocol::Postgresql
        | StarttlsProtocol::Xmpp => "",
    }
}

/// Tells a client that there is no backend, as far as `protocol` has words for it, and that this
/// is the end. Who does not listen is not told twice.
pub async fn decline<C: Downstream>(client: &mut C, protocol: Option<StarttlsProtocol>) {
    match protocol.map_or("", regret) {
        "" => end::farewell(client).await,
        words => {
            let _ = timeout(end::FAREWELL_TIMEOUT, bid_farewell(client, words.as_bytes())).await;
        }
    }
}

/// Does what `greeting` says, until `deadline` at the latest. A client that is not welcome is told
/// so, in the words of the backend if it has some, and hears that this is the end.
pub async fn exchange<C: Downstream>(
    client: &mut C,
    backend: &mut Dedicated,
    greeting: Greeting,
    deadline: Instant,
) -> Result<(), GreetingError> {
    let heard = match greeting {
        Greeting::Theirs => return Ok(()),
        Greeting::Ours(words) => Ok(words),
        Greeting::Kept { mut welcome, regret } => {
            let heard = timeout_at(deadline, hear(client, &mut backend.link, &mut *welcome)).await;
            let heard = heard.unwrap_or(Err((GreetingError::Timeout, Vec::new())));
            heard.map_err(|(error, words)| match words.is_empty() {
                true => (error, regret.into()),
                false => (error, words),
            })
        }
    };
    match heard {
        Ok(words) => give(client, &words).await.map_err(GreetingError::Client),
        Err((error, words)) => {
            // Who does not listen is not told twice.
            let _ = timeout(end::FAREWELL_TIMEOUT, bid_farewell(client, &words)).await;
            Err(error)
        }
    }
}

/// Reads the greeting of a backend, while what is left of the handshake is sent. Returns what stood
/// behind it or, beside an error, what the client has to hear.
async fn hear<C: Downstream>(
    client: &mut C,
    link: &mut Link,
    welcome: &mut dyn Welcome,
) -> Result<Vec<u8>, (GreetingError, Vec<u8>)> {
    poll_fn(|cx| {
        // An error shows again when there is something to say.
        let _ = client.poll_flush(cx);
        loop {
            let welcomed = ready!(with_scratch(|scratch| {
                let scratch = scratch.get_mut(..READ_BYTES).unwrap_or_default();
                let count = match ready!(link.poll_fill(cx, scratch)) {
                    Ok(0) => return Poll::Ready(Err(GreetingError::Closed)),
                    Ok(count) => count,
                    Err(error) => return Poll::Ready(Err(GreetingError::Backend(error))),
                };
                Poll::Ready(Ok(welcome.feed(scratch.get(..count).unwrap_or_default())))
            }));
            match welcomed.map_err(|error| (error, Vec::new()))? {
                Welcomed::Kept(rest) => return Poll::Ready(Ok(rest)),
                Welcomed::Listen => {}
                Welcomed::Refused(words) => {
                    return Poll::Ready(Err((GreetingError::Refused, words)));
                }
            }
        }
    })
    .await
}

/// Says `words`, which are no more than a stream takes at once.
pub(super) async fn give<C: Downstream>(client: &mut C, words: &[u8]) -> io::Result<()> {
    if words.is_empty() {
        return Ok(());
    }
    poll_fn(|cx| {
        ready!(client.poll_flush(cx))?;
        match client.give(cx, words)? {
            count if count == words.len() => Poll::Ready(Ok(())),
            _ => Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
        }
    })
    .await
}

/// Says `words` and that this is the end, and hears the client out, so that what it says meanwhile
/// does not turn the end into a reset, which would overtake the words.
async fn bid_farewell<C: Downstream>(client: &mut C, words: &[u8]) -> io::Result<()> {
    give(client, words).await?;
    poll_fn(|cx| client.poll_end(cx)).await?;
    poll_fn(|cx| {
        loop {
            ready!(client.poll_clear_text(cx))?;
            match client.clear_text().len() {
                0 => return Poll::Ready(Ok(())),
                count => client.consume(count),
            }
        }
    })
    .await
}

/// Why client and backend are not joined.
#[derive(Debug, thiserror::Error)]
pub enum GreetingError {
    /// The connection to the backend broke.
    #[error("the backend broke off before it greeted")]
    Backend(#[source] io::Error),
    /// The connection to the client broke.
    #[error("the client broke off before it was greeted")]
    Client(#[source] io::Error),
    /// The backend closed the connection.
    #[error("the backend closed the connection before it greeted")]
    Closed,
    /// The backend does not want the client, or does not speak the protocol.
    #[error("the backend refused the client, or does not speak the protocol of the listener")]
    Refused,
    /// The backend did not greet in time.
    #[error("the backend did not greet in time")]
    Timeout,
}

impl GreetingError {
    /// What the connection ends with.
    pub fn reason(&self) -> CloseReason {
        match self {
            Self::Backend(_) | Self::Closed | Self::Refused => CloseReason::BackendError,
            Self::Client(_) => CloseReason::ClientReset,
            Self::Timeout => CloseReason::Timeout,
        }
    }

    /// What the backend is charged with, if it is its fault.
    pub fn failure(&self) -> Option<BackendFailure> {
        match self {
            Self::Backend(_) | Self::Closed => Some(BackendFailure::Broken),
            Self::Client(_) => None,
            Self::Refused => Some(BackendFailure::BadResponse),
            Self::Timeout => Some(BackendFailure::Timeout),
        }
    }
}

/// Bytes of a backend that are looked at together.
const READ_BYTES: usize = 4096;

//! The tickets of one connection.
//!
//! Owns [`ScopedTicketer`], the view of the ticket keys that one connection gets, and the form of a
//! ticket: the name of its key, and, sealed, when it was made and the session as rustls writes it.
//! What it is sealed for is the context of the connection, so a ticket of another policy does not
//! open, and nobody can tell it from a damaged one. Refuses to know where keys come from.

use std::fmt;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustls::server::ProducesTickets;
use zeroize::Zeroizing;

use super::key::{KeyName, NAME_BYTES};
use super::ring::SKEW;
use super::{Moment, TicketKeys};
use crate::sealing::OVERHEAD_BYTES;
use crate::session::ContextId;
use crate::session::id::{Traits, Use};
use crate::session::trace::{LookupResult, Trace};

/// One connection's view of the ticket keys. Make one for each connection, since it also limits
/// how many tickets that connection may offer.
///
/// Security consequences:
///
/// - A ticket opens in the context that it was made in, and in no other.
/// - No ticket resumes after its lifetime, nor after the life of its key. In TLS 1.2, a connection
///   that resumes gets a new ticket with the old secret: it keeps the age of the old ticket, so
///   that a secret does not live on for as long as its client returns. In TLS 1.3, each ticket has
///   a secret of its own (RFC 8446 §4.6.1).
/// - A ticket may come from another process. So what is opened has no greatest length but
///   [`TICKET_BYTES_MAX`], whatever this process itself has sealed so far.
/// - A hello may offer hundreds of tickets; [`OPENS_MAX`] of those that name a key of ours are
///   opened. Further ones are misses, which cost a full handshake and no more.
/// - Nothing that a client offers, and no lack of keys, is an error: the handshake is a full one.
pub struct ScopedTicketer {
    keys: Arc<TicketKeys>,
    context: ContextId,
    trace: Option<Arc<Trace>>,
    opens: AtomicU8,
    /// What was opened before rustls asks for it.
    opened: Mutex<Vec<Opened>>,
    /// When the session of TLS 1.2 was made that this connection may resume, in seconds.
    inherited: AtomicU64,
}

impl ScopedTicketer {
    /// A view for one connection, in one context, which notes in the trace what it finds.
    #[must_use]
    pub fn new(keys: Arc<TicketKeys>, context: ContextId, trace: Option<Arc<Trace>>) -> Self {
        let (opens, inherited) = (AtomicU8::new(OPENS_MAX), AtomicU64::new(u64::MAX));
        Self { keys, context, trace, opens, opened: Mutex::default(), inherited }
    }

    /// Opens what a client offers, the first [`OPENS_MAX`] of it, before the handshake begins, and
    /// says whether there is a session in any that suits a connection that will be `wanted`. rustls
    /// gets what was found when it asks, and no ticket is opened twice.
    #[must_use]
    pub fn knows(&self, offered: Vec<Box<[u8]>>, wanted: &Traits<'_>) -> bool {
        let now = self.keys.now();
        let opened = offered.into_iter().take(OPENS_MAX.into()).map(|ticket| {
            let result = self.open_at(&ticket, now);
            Opened { ticket, result }
        });
        let opened: Vec<_> = opened.collect();
        let is_fit = |plain: &Zeroizing<Vec<u8>>| {
            Traits::of(plain).is_some_and(|traits| traits.suit(wanted))
        };
        let is_any = opened.iter().any(|opened| opened.result.as_ref().is_ok_and(is_fit));
        *self.opened() = opened;
        is_any
    }

    fn opened(&self) -> MutexGuard<'_, Vec<Opened>> {
        self.opened.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A ticket of this session; `None` if it is too large, or there is no key to seal with.
    #[must_use]
    pub fn seal_at(&self, session: &[u8], now: Moment) -> Option<Vec<u8>> {
        if session.len() > PLAIN_BYTES_MAX {
            return None;
        }
        let now = self.keys.scheduled(now);
        let ring = self.keys.ring();
        let key = ring.view(self.keys.options(), now).sealing()?;
        let mut issued = now.wall.as_secs();
        if Use::of(session) == Some(Use::Repeated) {
            issued = issued.min(self.inherited.load(Ordering::Relaxed));
        }
        let mut plain = Zeroizing::new(Vec::with_capacity(ISSUED_BYTES + session.len()));
        plain.extend_from_slice(&issued.to_be_bytes());
        plain.extend_from_slice(session);
        let sealed = key.secret().seal(&self.associated(key.name()), &plain).ok()?;
        let mut ticket = Vec::with_capacity(NAME_BYTES + sealed.len());
        ticket.extend_from_slice(key.name());
        ticket.extend_from_slice(&sealed);
        Some(ticket)
    }

    /// The session of a ticket, which is anybody's choice.
    ///
    /// # Errors
    ///
    /// What it is instead of a hit.
    pub fn open_at(&self, ticket: &[u8], now: Moment) -> Result<Zeroizing<Vec<u8>>, LookupResult> {
        if !(TICKET_BYTES_MIN..=TICKET_BYTES_MAX).contains(&ticket.len()) {
            return Err(LookupResult::Miss);
        }
        let now = self.keys.scheduled(now);
        let ring = self.keys.ring();
        let (name, sealed) = ticket.split_at_checked(NAME_BYTES).ok_or(LookupResult::Miss)?;
        let view = ring.view(self.keys.options(), now);
        let key = view.find(name).ok_or(LookupResult::Miss)?;
        let spend = |left: u8| left.checked_sub(1);
        if self.opens.fetch_update(Ordering::Relaxed, Ordering::Relaxed, spend).is_err() {
            self.keys.counts.truncated.fetch_add(1, Ordering::Relaxed);
            return Err(LookupResult::Miss);
        }
        let opened = key.secret().open(&self.associated(key.name()), sealed);
        let mut plain = opened.ok_or(LookupResult::Policy)?;
        let issued = plain.first_chunk().copied().map(u64::from_be_bytes);
        let issued = Duration::from_secs(issued.ok_or(LookupResult::Policy)?);
        let is_early = now.wall.saturating_add(SKEW) < issued;
        if is_early || now.wall.saturating_sub(issued) >= self.keys.options().lifetime() {
            return Err(LookupResult::Expired);
        }
        plain.drain(..ISSUED_BYTES);
        if Use::of(&plain) == Some(Use::Repeated) {
            self.inherited.fetch_min(issued.as_secs(), Ordering::Relaxed);
        }
        Ok(plain)
    }

    /// What a ticket is bound to.
    fn associated(&self, name: &KeyName) -> [u8; ASSOCIATED_BYTES] {
        let mut bytes = [0; ASSOCIATED_BYTES];
        let parts = [VERSION, name, self.context.as_bytes()];
        bytes.iter_mut().zip(parts.into_iter().flatten()).for_each(|(to, from)| *to = *from);
        bytes
    }
}

impl ProducesTickets for ScopedTicketer {
    fn enabled(&self) -> bool {
        self.keys.is_usable(self.keys.now())
    }

    fn lifetime(&self) -> u32 {
        u32::try_from(self.keys.options().lifetime().as_secs()).unwrap_or(u32::MAX)
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        let ticket = self.seal_at(plain, self.keys.now());
        let counts = &self.keys.counts;
        let count = if ticket.is_some() { &counts.sealed } else { &counts.refused };
        count.fetch_add(1, Ordering::Relaxed);
        ticket
    }

    fn decrypt(&self, cipher: &[u8]) -> Option<Vec<u8>> {
        let mut before = self.opened();
        let place = before.iter().position(|opened| *opened.ticket == *cipher);
        let opened = match place.map(|place| before.swap_remove(place)) {
            Some(opened) => opened.result,
            None => self.open_at(cipher, self.keys.now()),
        };
        drop(before);
        let result = opened.as_ref().map_or_else(|result| *result, |_| LookupResult::Hit);
        self.keys.counts.note(result);
        if let Some(trace) = &self.trace {
            trace.note(result);
        }
        // rustls wants a vector of its own; this one is not wiped, like the session made of it.
        opened.ok().map(|mut plain| std::mem::take(&mut *plain))
    }
}

impl fmt::Debug for ScopedTicketer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScopedTicketer").field("context", &self.context).finish_non_exhaustive()
    }
}

/// What came of a ticket.
struct Opened {
    ticket: Box<[u8]>,
    result: Result<Zeroizing<Vec<u8>>, LookupResult>,
}

/// Tickets that are opened for one connection; clients send one or two.
pub const OPENS_MAX: u8 = 2;
/// The largest session that becomes a ticket; one with a client's certificate chain can be large.
pub const PLAIN_BYTES_MAX: usize = 8 << 10;
/// The longest ticket that is looked at.
pub const TICKET_BYTES_MAX: usize = 16 << 10;
const TICKET_BYTES_MIN: usize = NAME_BYTES + OVERHEAD_BYTES + ISSUED_BYTES;
const ISSUED_BYTES: usize = 8;
const VERSION: &[u8] = b"portunus ticket v1";
const ASSOCIATED_BYTES: usize = 18 + NAME_BYTES + 32;

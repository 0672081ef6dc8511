//! What a ClientHello offers for resumption, before rustls asks for it.
//!
//! Owns a second, small parser of ClientHellos, whose answer is only ever a question to the stores
//! of sessions: rustls decides what is resumed, and asks for nothing that it did not read itself.
//! It is total, and whatever it finds strange is an empty offer, so that a disagreement with rustls
//! costs a full handshake and nothing else. At most two ids are looked up for one hello, and none
//! for what a client puts there at random (the session id of a TLS 1.3 client), so that nobody can
//! make the store work for free. Refuses to know the store. Read next: `wire`, then
//! `policy`.

use portunus_certs::session::id::{Offered, SessionId};
use portunus_certs::tickets::OPENS_MAX;

use super::wire::{Cursor, HEAD_BYTES, RANDOM_BYTES, message, only};

/// What a client offers to resume.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct ResumptionOffer {
    /// What may lie in a store, at most two of what is offered.
    pub offered: Offered,
    /// In which way the client would resume.
    pub kind: OfferKind,
    /// How many PSK identities are offered, ours or not.
    pub identities: usize,
    /// Whether the client speaks TLS 1.3, and so will we.
    pub tls13: bool,
    /// Whether, in TLS 1.2, the secret will be bound to its handshake (RFC 7627 §5.1).
    pub is_extended: bool,
}

/// The way in which a client would resume.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum OfferKind {
    /// Not at all.
    #[default]
    None,
    /// TLS 1.3: a pre-shared key, which is a ticket or the id of a session (RFC 8446 §4.2.11).
    Psk,
    /// TLS 1.2: a session id (RFC 5246 §7.4.1.2).
    SessionId,
    /// TLS 1.2: a ticket; the session id beside it is none (RFC 5077 §3.4).
    Ticket,
}

impl ResumptionOffer {
    /// Reads the TLS records in which a ClientHello came, and which may go on behind it. Copies
    /// only where the hello is split over several records.
    #[must_use]
    pub fn parse(records: &[u8]) -> Self {
        message(records)
            .and_then(|message| Fields::read(message.get(HEAD_BYTES..)?)?.offer())
            .unwrap_or_default()
    }
}

/// What of a ClientHello may be tickets of ours, of which the first are copied: of the others
/// nothing is known before rustls asks.
#[must_use]
pub fn tickets(records: &[u8]) -> Vec<Box<[u8]>> {
    let offered = message(records).and_then(|message| {
        let fields = Fields::read(message.get(HEAD_BYTES..)?)?;
        Some(fields.tickets()?.into_iter().map(Box::from).collect())
    });
    offered.unwrap_or_default()
}

/// What of a ClientHello says what it would resume; empty is absent, unless it may be empty.
#[derive(Default)]
struct Fields<'a> {
    session_id: &'a [u8],
    ticket: &'a [u8],
    versions: &'a [u8],
    key_exchanges: &'a [u8],
    is_extended: bool,
    psk: Option<&'a [u8]>,
}

impl<'a> Fields<'a> {
    /// Reads the body of a ClientHello (RFC 8446 §4.1.2, RFC 5246 §7.4.1.2) to its last byte.
    fn read(body: &'a [u8]) -> Option<Self> {
        let mut body = Cursor(body);
        let version = body.u16()?;
        body.take(RANDOM_BYTES)?;
        let session_id = body.vector8()?;
        let suites = body.vector16()?;
        let compressions = body.vector8()?;
        let is_strange = version < TLS_1_2
            || session_id.len() > SESSION_ID_BYTES_MAX
            || suites.is_empty()
            || !suites.len().is_multiple_of(2)
            || compressions.is_empty();
        if is_strange {
            return None;
        }
        let mut fields = Self { session_id, ..Self::default() };
        if !body.is_empty() {
            let extensions = body.vector16()?;
            if !body.is_empty() {
                return None;
            }
            fields.read_extensions(Cursor(extensions))?;
        }
        Some(fields)
    }

    fn read_extensions(&mut self, mut extensions: Cursor<'a>) -> Option<()> {
        let mut seen = Seen::default();
        while !extensions.is_empty() {
            let kind = extensions.u16()?;
            let data = extensions.vector16()?;
            // The pre-shared keys come last (RFC 8446 §4.2.11), and nothing comes twice (§4.2).
            if self.psk.is_some() || !seen.insert(kind) {
                return None;
            }
            match kind {
                SESSION_TICKET => self.ticket = data,
                EXTENDED_SECRET => self.is_extended = true,
                PRE_SHARED_KEY => self.psk = Some(data),
                SUPPORTED_VERSIONS => {
                    self.versions = only(data, Cursor::vector8)?;
                    if self.versions.is_empty() || !self.versions.len().is_multiple_of(2) {
                        return None;
                    }
                }
                PSK_KEY_EXCHANGE_MODES => {
                    self.key_exchanges = only(data, Cursor::vector8)?;
                    if self.key_exchanges.is_empty() {
                        return None;
                    }
                }
                // GREASE (RFC 8701), and what says nothing of resumption.
                _ => {}
            }
        }
        Some(())
    }

    fn is_tls13(&self) -> bool {
        self.versions.chunks_exact(2).any(|version| version == TLS_1_3)
    }

    /// The tickets, if the client would resume from one.
    fn tickets(&self) -> Option<Vec<&'a [u8]>> {
        if !self.is_tls13() {
            return Some(Vec::from([self.ticket]));
        }
        if !self.key_exchanges.contains(&PSK_DHE_KE) {
            return None;
        }
        let mut identities = Cursor(Cursor(self.psk?).vector16()?);
        let mut tickets = Vec::new();
        while !identities.is_empty() && tickets.len() < usize::from(OPENS_MAX) {
            tickets.push(identities.vector16()?);
            identities.take(AGE_BYTES)?;
        }
        Some(tickets)
    }

    fn offer(self) -> Option<ResumptionOffer> {
        let tls13 = self.is_tls13();
        match (tls13, self.psk) {
            (true, Some(psk)) => self.pre_shared_keys(psk),
            // The session id of such a client is a random one (RFC 8446 appendix D.4), its ticket
            // for servers without TLS 1.3.
            (true, None) => Some(ResumptionOffer { tls13, ..ResumptionOffer::default() }),
            (false, _) => Some(self.session_of_tls12()),
        }
    }

    fn session_of_tls12(&self) -> ResumptionOffer {
        let (kind, offered) = match (self.ticket, self.session_id) {
            ([], []) => (OfferKind::None, Offered::Nothing),
            ([], id) => {
                let ours = SessionId::try_from(id).map_or(Offered::Nothing, Offered::SessionId);
                (OfferKind::SessionId, ours)
            }
            (_, _) => (OfferKind::Ticket, Offered::Nothing),
        };
        ResumptionOffer {
            offered,
            kind,
            identities: 0,
            tls13: false,
            is_extended: self.is_extended,
        }
    }

    /// The identities, of which the first two distinct ones of our length may be ours, and a binder
    /// for each (RFC 8446 §4.2.11).
    fn pre_shared_keys(&self, psk: &[u8]) -> Option<ResumptionOffer> {
        let mut psk = Cursor(psk);
        let (mut identities, mut binders) = (Cursor(psk.vector16()?), Cursor(psk.vector16()?));
        let (mut ours, mut count) = ([None, None], 0);
        while !identities.is_empty() {
            let identity = identities.vector16()?;
            identities.take(AGE_BYTES)?;
            let binder = binders.vector8()?;
            if identity.is_empty() || binder.len() < BINDER_BYTES_MIN {
                return None;
            }
            if let Ok(id) = SessionId::try_from(identity) {
                match &mut ours {
                    [first @ None, _] => *first = Some(id),
                    [Some(first), second @ None] if *first != id => *second = Some(id),
                    _ => {}
                }
            }
            count += 1;
        }
        if count == 0 || !binders.is_empty() || !psk.is_empty() {
            return None;
        }
        // Without a key exchange beside the key nothing is resumed here (RFC 8446 §4.2.9).
        let resumes = self.key_exchanges.contains(&PSK_DHE_KE) && ours != [None, None];
        let offered = if resumes { Offered::Identities(ours) } else { Offered::Nothing };
        Some(ResumptionOffer {
            offered,
            kind: OfferKind::Psk,
            identities: count,
            tls13: true,
            is_extended: false,
        })
    }
}

/// The types of extensions so far, few enough to be looked through.
struct Seen {
    kinds: [u16; EXTENSIONS_MAX],
    count: usize,
}

impl Default for Seen {
    fn default() -> Self {
        Self { kinds: [0; EXTENSIONS_MAX], count: 0 }
    }
}

impl Seen {
    /// Whether it is the first of its type, and there are not too many.
    fn insert(&mut self, kind: u16) -> bool {
        let is_new = !self.kinds.iter().take(self.count).any(|seen| *seen == kind);
        match self.kinds.get_mut(self.count) {
            Some(place) if is_new => *place = kind,
            _ => return false,
        }
        self.count += 1;
        true
    }
}

const TLS_1_2: u16 = 0x0303;
const TLS_1_3: [u8; 2] = [3, 4];
const SESSION_ID_BYTES_MAX: usize = 32;

/// RFC 5077 §3.2.
const EXTENDED_SECRET: u16 = 23;
const SESSION_TICKET: u16 = 35;
/// RFC 8446 §4.2.
const PRE_SHARED_KEY: u16 = 41;
/// RFC 8446 §4.2.
const SUPPORTED_VERSIONS: u16 = 43;
/// RFC 8446 §4.2.
const PSK_KEY_EXCHANGE_MODES: u16 = 45;

/// A pre-shared key with a key exchange (RFC 8446 §4.2.9).
const PSK_DHE_KE: u8 = 1;
/// The age of a ticket, obfuscated (RFC 8446 §4.2.11).
const AGE_BYTES: usize = 4;
/// The digest of SHA-256 (RFC 8446 §4.2.11).
const BINDER_BYTES_MIN: usize = 32;

/// Twice as many as browsers send; a hello with more offers nothing.
const EXTENSIONS_MAX: usize = 48;

#[cfg(test)]
mod tests;

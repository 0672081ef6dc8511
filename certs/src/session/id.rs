//! What names a session, and how often it may be used.
//!
//! Owns [`SessionId`], [`Use`], the rule that follows from the protocol version, and [`Traits`], by
//! which rustls tells whether a session suits a connection. Refuses to know where sessions lie.

use std::fmt;
use std::hash::{Hash, Hasher};

/// The id of a session, of the length that rustls makes: the session id of TLS 1.2 (RFC 5246
/// §7.4.1.2), or the ticket of a stateful session of TLS 1.3 (RFC 8446 §4.6.1). It is random, and
/// travels in clear text.
#[derive(Clone, Copy, Eq, PartialEq)]
pub struct SessionId(pub(crate) [u8; 32]);

impl SessionId {
    /// The id as bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl TryFrom<&[u8]> for SessionId {
    type Error = std::array::TryFromSliceError;

    fn try_from(bytes: &[u8]) -> Result<Self, Self::Error> {
        bytes.try_into().map(Self)
    }
}

impl From<[u8; 32]> for SessionId {
    fn from(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, ..] = self.0;
        write!(f, "SessionId({a:02x}{b:02x}{c:02x}{d:02x}…)")
    }
}

/// Ids in the map are random bytes from rustls, so their first eight are a hash already. Ids in
/// look-ups are anybody's choice, but a look-up inserts nothing and compares the whole id, so
/// chosen ones cannot make a long chain.
impl Hash for SessionId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let [a, b, c, d, e, f, g, h, ..] = self.0;
        state.write_u64(u64::from_ne_bytes([a, b, c, d, e, f, g, h]));
    }
}

/// How often a session may be used, which follows from its protocol version.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Use {
    /// TLS 1.3: once (RFC 8446 appendix C.4).
    Single,
    /// TLS 1.2: until it expires.
    Repeated,
}

impl Use {
    /// Reads the version from the front of a session as rustls writes it: whether there is a
    /// server name, the name with its length, the version. Anything else is refused rather than
    /// kept under the wrong rule.
    #[must_use]
    pub fn of(session: &[u8]) -> Option<Self> {
        let (_, version) = named(session)?;
        match version {
            [3, 4, ..] => Some(Self::Single),
            [3, 3, ..] => Some(Self::Repeated),
            _ => None,
        }
    }
}

/// The server name at the front of a session, and what follows it.
fn named(session: &[u8]) -> Option<(Option<&[u8]>, &[u8])> {
    match session.split_first()? {
        (0, rest) => Some((None, rest)),
        (1, rest) => {
            let (length, rest) = rest.split_first()?;
            let (name, rest) = rest.split_at_checked(usize::from(*length))?;
            Some((Some(name), rest))
        }
        _ => None,
    }
}

/// What a session and the connection that would resume it have in common. A client may offer a
/// session of ours and, beside it, what it cannot be resumed with: that costs a full handshake.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Traits<'a> {
    /// By the version.
    pub usage: Use,
    /// What the client asks for.
    pub server_name: Option<&'a [u8]>,
    /// The cipher suite.
    pub suite: [u8; 2],
    /// Whether the secret is bound to its handshake (RFC 7627); TLS 1.3 knows no other, and does
    /// not say so.
    pub is_extended: bool,
}

impl<'a> Traits<'a> {
    /// Reads them from the front of a session as rustls writes it: behind the version come the
    /// suite, the secret with its length, and how that was made.
    #[must_use]
    pub fn of(session: &'a [u8]) -> Option<Self> {
        let usage = Use::of(session)?;
        let (server_name, rest) = named(session)?;
        let (suite, rest) = rest.get(VERSION_BYTES..)?.split_first_chunk()?;
        let (length, rest) = rest.split_first()?;
        let is_extended = *rest.get(usize::from(*length))? == 1;
        Some(Self { usage, server_name, suite: *suite, is_extended })
    }

    /// Whether such a session is resumed by a connection that will be `wanted`.
    #[must_use]
    pub fn suit(&self, wanted: &Traits<'_>) -> bool {
        self.usage == wanted.usage
            && self.server_name == wanted.server_name
            && self.suite == wanted.suite
            && (self.is_extended || !wanted.is_extended)
    }
}

const VERSION_BYTES: usize = 2;

/// What a ClientHello offers for resumption out of a store; at most what is looked up.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Offered {
    /// Nothing that could be one of ours.
    #[default]
    Nothing,
    /// A session id, to be resumed in TLS 1.2.
    SessionId(SessionId),
    /// Identities, to be resumed in TLS 1.3, in the order of the client.
    Identities([Option<SessionId>; 2]),
}

impl Offered {
    /// The ids in the order of the client, and how they may be used.
    pub fn ids(&self) -> impl Iterator<Item = (Use, SessionId)> {
        let (usage, ids) = match *self {
            Self::Nothing => (Use::Single, [None, None]),
            Self::SessionId(id) => (Use::Repeated, [Some(id), None]),
            Self::Identities(ids) => (Use::Single, ids),
        };
        ids.into_iter().flatten().map(move |id| (usage, id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The front of a session as rustls writes it.
    fn session(name: Option<&str>, version: u8, suite: [u8; 2], extended: u8) -> Vec<u8> {
        let mut front = vec![u8::from(name.is_some())];
        if let Some(name) = name {
            front.push(u8::try_from(name.len()).unwrap());
            front.extend(name.bytes());
        }
        front.extend([3, version]);
        front.extend(suite);
        front.push(48);
        front.extend([7; 48]);
        front.push(extended);
        front
    }

    #[test]
    fn a_session_suits_only_what_rustls_resumes_it_for() {
        let (suite, name) = ([0xc0, 0x2b], Some("a.example"));
        let stored = session(name, 3, suite, 1);
        let traits = Traits::of(&stored).unwrap();
        assert!(traits.suit(&traits));
        let others = [
            session(name, 3, [0xc0, 0x2c], 1),
            session(Some("b.example"), 3, suite, 1),
            session(None, 3, suite, 1),
            session(name, 4, suite, 1),
        ];
        for other in &others {
            assert!(!traits.suit(&Traits::of(other).unwrap()), "{other:?}");
        }
        let plain = session(name, 3, suite, 0);
        let plain = Traits::of(&plain).unwrap();
        assert!(traits.suit(&plain) && !plain.suit(&traits));
        for length in 0..stored.len() {
            assert_eq!(Traits::of(&stored[..length]), None, "{length}");
        }
    }
}

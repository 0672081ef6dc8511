//! What names a session, and how often it may be used.
//!
//! Owns [`SessionId`] and [`Use`], the rule that follows from the protocol version. Refuses to know
//! where sessions lie.

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
        let version = match session.split_first()? {
            (0, rest) => rest,
            (1, rest) => {
                let (length, rest) = rest.split_first()?;
                rest.get(usize::from(*length)..)?
            }
            _ => return None,
        };
        match version {
            [3, 4, ..] => Some(Self::Single),
            [3, 3, ..] => Some(Self::Repeated),
            _ => None,
        }
    }
}

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

//! What the two processes of an upgrade say to each other.
//!
//! Owns the messages and their form, which is the same in every version from the first on as far as
//! [`Message::Hello`] and [`Message::Abort`] go: with these two any versions can tell each other
//! that they do not understand each other. Pure: bytes in, a message out, and nothing that is not
//! exactly one. Refuses to know when what is said: that are `predecessor` and `successor`.
//!
//! In the order of a conversation, of the successor (S) and its predecessor (P):
//!
//! | who | what | with | meaning |
//! |---|---|---|---|
//! | S | Hello | | these versions are spoken here |
//! | P | Welcome | | this one is |
//! | P | Socket, any number | the socket | who had it, and as what it was configured |
//! | P | Ancestor, any number | a process | it still drains |
//! | P | TicketKeys, none or one | | go on with these |
//! | P | Build | | that was all: build |
//! | S | Prepared, or Failed | | everything is built, and these sockets are taken |
//! | P | Sessions, any number | | go on with these |
//! | P | Serve | | nobody else accepts any more |
//! | S | Serving | | everything is served |
//! | P | Sessions, any number | | those that came late |
//! | P | Leave, or nothing | | leave as well: the service ends |
//! | S | Leaving, or nothing | | so it was told here |
//! | P | Committed | | the predecessor leaves |
//!
//! `Abort` may come instead of anything that P says. If P has ended, S goes on as if it had said
//! what was to come; if it is only silent, S ends. If S is gone, P goes on.

use zeroize::Zeroizing;

use super::packets::PACKET_BYTES_MAX;
use crate::runtime::sockets::SocketName;

/// Something that is said.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Message {
    /// The upgrade is off: end.
    Abort {
        /// Why, for the log.
        reason: String,
    },
    /// A process that drains comes along.
    Ancestor,
    /// Nothing more comes along.
    Build,
    /// The predecessor leaves for good.
    Committed,
    /// The successor cannot serve, and ends.
    Failed {
        /// Why, with all its causes.
        reason: String,
        /// What can be done about it; empty if nobody knows.
        hint: String,
    },
    /// The first word of the successor.
    Hello {
        /// The lowest and the highest version of this conversation that it speaks.
        versions: [u16; 2],
        /// The version of the program.
        program: String,
    },
    /// The successor is to leave, as the predecessor does.
    Leave,
    /// The successor leaves, and the predecessor is to do so as well.
    Leaving,
    /// Everything is built.
    Prepared {
        /// Which of the sockets were taken, counted from 0 in the order in which they came.
        taken: Vec<u32>,
    },
    /// Everything is served.
    Serving,
    /// Nobody else accepts.
    Serve,
    /// Sessions to go on with.
    Sessions(Parcel),
    /// A socket comes along.
    Socket(SocketName),
    /// Ticket keys to go on with.
    TicketKeys(Parcel),
    /// The first word of the predecessor.
    Welcome {
        /// The version that is spoken from now on.
        version: u16,
    },
}

/// Something secret that passes through.
#[derive(Clone, Eq, PartialEq)]
pub(super) struct Parcel(pub(super) Zeroizing<Vec<u8>>);

impl Message {
    /// The form in which it travels.
    pub(super) fn encode(&self) -> Result<Zeroizing<Vec<u8>>, MessageError> {
        // In one piece from the start, so that no copy is left where it grew.
        let mut bytes = Zeroizing::new(Vec::with_capacity(PACKET_BYTES_MAX));
        bytes.push(self.kind());
        match self {
            Self::Ancestor
            | Self::Build
            | Self::Committed
            | Self::Leave
            | Self::Leaving
            | Self::Serve
            | Self::Serving => {}
            Self::Abort { reason } => put_text(&mut bytes, reason)?,
            Self::Failed { reason, hint } => {
                put_text(&mut bytes, reason)?;
                put_text(&mut bytes, hint)?;
            }
            Self::Hello { versions, program } => {
                versions.iter().for_each(|version| bytes.extend_from_slice(&version.to_be_bytes()));
                put_text(&mut bytes, program)?;
            }
            Self::Prepared { taken } => {
                taken.iter().for_each(|place| bytes.extend_from_slice(&place.to_be_bytes()));
            }
            Self::Sessions(parcel) | Self::TicketKeys(parcel) => bytes.extend_from_slice(&parcel.0),
            Self::Socket(SocketName { owner, configured }) => {
                put_text(&mut bytes, owner)?;
                put_text(&mut bytes, configured)?;
            }
            Self::Welcome { version } => bytes.extend_from_slice(&version.to_be_bytes()),
        }
        if bytes.len() > PACKET_BYTES_MAX {
            return Err(MessageError::TooLong);
        }
        Ok(bytes)
    }

    /// What was said.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, MessageError> {
        let (kind, mut rest) = bytes.split_first().ok_or(MessageError::Broken)?;
        if bytes.len() > PACKET_BYTES_MAX {
            return Err(MessageError::TooLong);
        }
        let message = Self::decode_kind(*kind, &mut rest)?.ok_or(MessageError::Broken)?;
        if rest.is_empty() { Ok(message) } else { Err(MessageError::Broken) }
    }

    fn decode_kind(kind: u8, rest: &mut &[u8]) -> Result<Option<Self>, MessageError> {
        let read = |rest: &mut &[u8]| {
            Some(match kind {
                ABORT => Self::Abort { reason: text(rest)? },
                ANCESTOR => Self::Ancestor,
                BUILD => Self::Build,
                COMMITTED => Self::Committed,
                FAILED => Self::Failed { reason: text(rest)?, hint: text(rest)? },
                HELLO => Self::Hello {
                    versions: [u16::from_be_bytes(array(rest)?), u16::from_be_bytes(array(rest)?)],
                    program: text(rest)?,
                },
                LEAVE => Self::Leave,
                LEAVING => Self::Leaving,
                PREPARED => {
                    let mut taken = Vec::with_capacity(rest.len() / 4);
                    while !rest.is_empty() {
                        taken.push(u32::from_be_bytes(array(rest)?));
                    }
                    Self::Prepared { taken }
                }
                SERVE => Self::Serve,
                SERVING => Self::Serving,
                SESSIONS => Self::Sessions(Parcel::all(rest)),
                SOCKET => Self::Socket(SocketName { owner: text(rest)?, configured: text(rest)? }),
                TICKET_KEYS => Self::TicketKeys(Parcel::all(rest)),
                WELCOME => Self::Welcome { version: u16::from_be_bytes(array(rest)?) },
                _ => return None,
            })
        };
        match kind {
            1..=KINDS => Ok(read(rest)),
            unknown => Err(MessageError::Unknown(unknown)),
        }
    }

    fn kind(&self) -> u8 {
        match self {
            Self::Abort { .. } => ABORT,
            Self::Ancestor => ANCESTOR,
            Self::Build => BUILD,
            Self::Committed => COMMITTED,
            Self::Failed { .. } => FAILED,
            Self::Hello { .. } => HELLO,
            Self::Leave => LEAVE,
            Self::Leaving => LEAVING,
            Self::Prepared { .. } => PREPARED,
            Self::Serve => SERVE,
            Self::Serving => SERVING,
            Self::Sessions(_) => SESSIONS,
            Self::Socket(_) => SOCKET,
            Self::TicketKeys(_) => TICKET_KEYS,
            Self::Welcome { .. } => WELCOME,
        }
    }

    /// What is said, without what it says.
    pub(super) fn label(&self) -> &'static str {
        match self {
            Self::Abort { .. } => "abort",
            Self::Ancestor => "ancestor",
            Self::Build => "build",
            Self::Committed => "committed",
            Self::Failed { .. } => "failed",
            Self::Hello { .. } => "hello",
            Self::Leave => "leave",
            Self::Leaving => "leaving",
            Self::Prepared { .. } => "prepared",
            Self::Serve => "serve",
            Self::Serving => "serving",
            Self::Sessions(_) => "sessions",
            Self::Socket(_) => "socket",
            Self::TicketKeys(_) => "ticket keys",
            Self::Welcome { .. } => "welcome",
        }
    }
}

impl Parcel {
    fn all(rest: &mut &[u8]) -> Self {
        let parcel = Zeroizing::new(rest.to_vec());
        *rest = &[];
        Self(parcel)
    }
}

impl std::fmt::Debug for Parcel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Parcel({} secret bytes)", self.0.len())
    }
}

/// Longer texts are cut, since they are for people.
fn put_text(bytes: &mut Vec<u8>, text: &str) -> Result<(), MessageError> {
    let text = text.get(..text.floor_char_boundary(TEXT_BYTES_MAX)).unwrap_or_default();
    let length = u16::try_from(text.len()).map_err(|_| MessageError::TooLong)?;
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes.extend_from_slice(text.as_bytes());
    Ok(())
}

fn text(rest: &mut &[u8]) -> Option<String> {
    let length = usize::from(u16::from_be_bytes(array(rest)?));
    let (text, behind) = rest.split_at_checked(length)?;
    *rest = behind;
    str::from_utf8(text).ok().map(str::to_owned)
}

fn array<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (array, behind) = rest.split_first_chunk()?;
    *rest = behind;
    Some(*array)
}

/// Why something said was not understood, or could not be said.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum MessageError {
    /// It ends too early or too late, or is no text where there should be one.
    #[error("a message is broken")]
    Broken,
    /// It does not fit into a packet.
    #[error("a message is too long")]
    TooLong,
    /// Nothing of this kind is known here.
    #[error("a message has the kind {0}, which is not known here")]
    Unknown(u8),
}

/// The version of the conversation that is spoken here.
pub(super) const VERSION: u16 = 1;
/// The most of a parcel that fits beside what a message needs.
pub(super) const PARCEL_BYTES_MAX: usize = PACKET_BYTES_MAX - 1;
/// The most of a text that arrives.
const TEXT_BYTES_MAX: usize = 8 * 1024;
/// These two never change, nor does what they hold.
const HELLO: u8 = 1;
const ABORT: u8 = 2;
const WELCOME: u8 = 3;
const SOCKET: u8 = 4;
const ANCESTOR: u8 = 5;
const TICKET_KEYS: u8 = 6;
const BUILD: u8 = 7;
const PREPARED: u8 = 8;
const FAILED: u8 = 9;
const SESSIONS: u8 = 10;
const SERVE: u8 = 11;
const SERVING: u8 = 12;
const COMMITTED: u8 = 13;
const LEAVE: u8 = 14;
const LEAVING: u8 = 15;
const KINDS: u8 = LEAVING;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn message() -> impl Strategy<Value = Message> {
        let text = || "\\PC{0,40}";
        let parcel = || {
            let bytes = prop::collection::vec(any::<u8>(), 0..200);
            bytes.prop_map(|bytes| Parcel(Zeroizing::new(bytes)))
        };
        prop_oneof![
            text().prop_map(|reason| Message::Abort { reason }),
            Just(Message::Ancestor),
            Just(Message::Build),
            Just(Message::Committed),
            (text(), text()).prop_map(|(reason, hint)| Message::Failed { reason, hint }),
            (any::<[u16; 2]>(), text())
                .prop_map(|(versions, program)| Message::Hello { versions, program }),
            prop::collection::vec(any::<u32>(), 0..40)
                .prop_map(|taken| Message::Prepared { taken }),
            Just(Message::Leave),
            Just(Message::Leaving),
            Just(Message::Serving),
            Just(Message::Serve),
            parcel().prop_map(Message::Sessions),
            (text(), text())
                .prop_map(|(owner, configured)| Message::Socket(SocketName { owner, configured })),
            parcel().prop_map(Message::TicketKeys),
            any::<u16>().prop_map(|version| Message::Welcome { version }),
        ]
    }

    proptest! {
        #[test]
        fn what_is_said_is_what_is_understood(message in message()) {
            let bytes = message.encode().unwrap();
            prop_assert_eq!(Message::decode(&bytes), Ok(message));
        }

        #[test]
        fn whatever_comes_is_a_message_that_looks_the_same_or_an_error(
            kind in 0..=KINDS + 1,
            rest in prop::collection::vec(any::<u8>(), 0..100),
        ) {
            let bytes = [&[kind][..], &rest].concat();
            if let Ok(message) = Message::decode(&bytes) {
                prop_assert_eq!(&**message.encode().unwrap(), &*bytes);
            }
        }

        #[test]
        fn what_is_cut_short_or_goes_on_is_not_understood_as_more(
            message in message(),
            cut in any::<prop::sample::Index>(),
        ) {
            let bytes = message.encode().unwrap();
            let shorter = Message::decode(&bytes[..cut.index(bytes.len())]);
            prop_assert_ne!(shorter, Ok(message));
        }
    }

    #[test]
    fn the_form_of_the_first_words_is_the_same_forever() {
        let hello = Message::Hello { versions: [1, 2], program: "0.1".into() };
        assert_eq!(&**hello.encode().unwrap(), b"\x01\x00\x01\x00\x02\x00\x030.1");
        let abort = Message::Abort { reason: "no".into() };
        assert_eq!(&**abort.encode().unwrap(), b"\x02\x00\x02no");
    }

    #[test]
    fn what_is_too_long_for_people_is_cut_and_for_programs_refused() {
        let reason = "é".repeat(TEXT_BYTES_MAX);
        let bytes = Message::Abort { reason }.encode().unwrap();
        let Ok(Message::Abort { reason }) = Message::decode(&bytes) else { panic!("no abort") };
        assert_eq!(reason, "é".repeat(TEXT_BYTES_MAX / 2));
        let parcel = |length| Message::Sessions(Parcel(Zeroizing::new(vec![0; length])));
        assert_eq!(parcel(PARCEL_BYTES_MAX + 1).encode(), Err(MessageError::TooLong));
        assert!(parcel(PARCEL_BYTES_MAX).encode().is_ok());
    }

    #[test]
    fn secrets_are_not_shown() {
        let keys = Message::TicketKeys(Parcel(Zeroizing::new(b"secret".to_vec())));
        assert_eq!(format!("{keys:?}"), "TicketKeys(Parcel(6 secret bytes))");
    }
}

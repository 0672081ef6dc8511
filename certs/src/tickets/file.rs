//! Ticket keys out of a file that an operator makes, distributes and rotates.
//!
//! Owns [`FileKeys`] and both forms of the file: binary records, as nginx has them, and lines of
//! Base64, as HAProxy has them. Refuses to know paths and watches: it gets bytes.
//!
//! One rule says what the keys do: **the first one seals, and every one opens.** nginx has the same
//! rule, with a file for each key: append the others to the first one. HAProxy seals with the last
//! key but one: put that line first. To rotate without a process that refuses what another one has
//! sealed, add the new key as the last one everywhere, then move it to the front everywhere, and
//! remove the old ones after the lifetime of a ticket.
//!
//! A record is 80 or 48 bytes long, as `openssl rand 80` makes them. Its first 16 bytes are a name
//! in nginx, which everybody can read in front of a ticket. They are no secret and are not used:
//! the rest goes through HKDF (RFC 5869), whose output is the key, and the key names itself. So a
//! file is safe to share with nginx, but neither opens the tickets of the other.
//!
//! No key is derived from the file for each period. Whoever gets the file could derive all of
//! them, so it would look like rotation without being one: what ends the life of a key is its being
//! removed from the file, and the process says how old the sealing one is.

use std::fmt;

use aws_lc_rs::hmac;
use zeroize::Zeroizing;

use crate::sealing::{KEY_BYTES, SealKey, secrets};

/// The keys of a file: the first one seals, and every one opens.
#[derive(Clone)]
pub struct FileKeys(pub(super) Vec<SealKey>);

impl FileKeys {
    /// Reads what a file contains, in either form. In lines of text, empty lines and what follows
    /// a `#` are left out. Binary records have one length: 80 bytes if the file can be cut so,
    /// otherwise 48.
    ///
    /// # Errors
    ///
    /// [`FileKeysError`], which says which key it is about, and never shows what it contains.
    pub fn parse(bytes: &[u8]) -> Result<Self, FileKeysError> {
        if bytes.trim_ascii().is_empty() {
            return Err(FileKeysError::Empty);
        }
        let mut keys = Keys::default();
        if is_text(bytes) {
            for (number, record) in secrets(bytes) {
                let record = record.ok_or(FileKeysError::NotBase64 { line: number })?;
                keys.add(Place::Line(number), &record)?;
            }
        } else {
            let mut lengths = RECORD_BYTES.into_iter();
            let length = lengths.find(|length| bytes.len().is_multiple_of(*length));
            let length = length.ok_or(FileKeysError::NoRecords { bytes: bytes.len() })?;
            for (number, record) in (1..).zip(bytes.chunks_exact(length)) {
                keys.add(Place::Record(number), record)?;
            }
        }
        if keys.0.is_empty() { Err(FileKeysError::Empty) } else { Ok(Self(keys.into_keys())) }
    }

    /// How many keys there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.len()
    }
}

/// The keys that were read so far, each with its fingerprint.
#[derive(Default)]
struct Keys(Vec<([u8; 32], SealKey)>);

impl Keys {
    fn add(&mut self, place: Place, record: &[u8]) -> Result<(), FileKeysError> {
        if self.0.len() == KEYS_MAX {
            return Err(FileKeysError::TooMany);
        }
        if !RECORD_BYTES.contains(&record.len()) {
            return Err(FileKeysError::Length { place, bytes: record.len() });
        }
        let secret = record.get(NAME_BYTES..).unwrap_or_default();
        if (0..=u8::MAX).filter(|byte| secret.contains(byte)).count() < DIFFERENT_BYTES_MIN {
            return Err(FileKeysError::Weak { place });
        }
        // HKDF-Extract: one keyed digest of the secret, the salt being the key.
        let salt = hmac::Key::new(hmac::HMAC_SHA256, b"portunus ticket key file v1");
        let mut bytes = Zeroizing::new([0; KEY_BYTES]);
        bytes.copy_from_slice(hmac::sign(&salt, secret).as_ref());
        let key = SealKey::new(&bytes).map_err(|_| FileKeysError::Weak { place })?;
        let fingerprint = key.digest(&[b"fingerprint"]);
        if self.0.iter().any(|(other, _)| *other == fingerprint) {
            return Err(FileKeysError::Twice { place });
        }
        self.0.push((fingerprint, key));
        Ok(())
    }

    fn into_keys(self) -> Vec<SealKey> {
        self.0.into_iter().map(|(_, key)| key).collect()
    }
}

/// Whether a file is meant to be read. A record at random is not: that 48 random bytes are text is
/// as good as impossible.
fn is_text(bytes: &[u8]) -> bool {
    let is_control = |char: char| char.is_control() && !matches!(char, '\n' | '\r' | '\t');
    str::from_utf8(bytes).is_ok_and(|text| !text.chars().any(is_control))
}

impl fmt::Debug for FileKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FileKeys({} secret)", self.0.len())
    }
}

/// Where a key stands in its file, counted from one.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Place {
    /// In a line of text.
    Line(usize),
    /// In a binary record.
    Record(usize),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(number) => write!(f, "line {number}"),
            Self::Record(number) => write!(f, "record {number}"),
        }
    }
}

/// Why a file gives no ticket keys.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum FileKeysError {
    /// There is nothing in it.
    #[error("there is no key")]
    Empty,
    /// A key is too short or too long.
    #[error("{place}: a key has 80 or 48 bytes, and this one {bytes}")]
    Length {
        /// Which key.
        place: Place,
        /// How many bytes there are.
        bytes: usize,
    },
    /// The file is neither text nor a number of whole records.
    #[error("{bytes} bytes, which is neither a multiple of 80 nor of 48")]
    NoRecords {
        /// How many bytes there are.
        bytes: usize,
    },
    /// A line is something else.
    #[error("line {line}: not Base64")]
    NotBase64 {
        /// Which line.
        line: usize,
    },
    /// There are more keys than any rotation needs.
    #[error("more than {KEYS_MAX} keys")]
    TooMany,
    /// A key stands there twice, perhaps under another name.
    #[error("{place}: the key stands further up already")]
    Twice {
        /// Which key.
        place: Place,
    },
    /// Nobody made such a key at random.
    #[error("{place}: the key is not random, it repeats a few bytes")]
    Weak {
        /// Which key.
        place: Place,
    },
}

/// Keys that a file may hold.
pub const KEYS_MAX: usize = 16;
/// Bytes of a record, the preferred length first.
const RECORD_BYTES: [usize; 2] = [80, 48];
const NAME_BYTES: usize = 16;
/// 32 random bytes contain fewer different ones once in 2¹²³ times.
const DIFFERENT_BYTES_MIN: usize = 8;

//! Sessions as they leave the process: sealed, under keys that only we know.
//!
//! Owns [`SealingKeys`], read from a file that an operator makes and rotates, and the envelope of
//! an entry. Whoever holds the store learns from it neither a session nor an id, and cannot make
//! one entry pass for another: an entry opens only under its own id, in its own context, and for
//! its own kind of use. Nothing of an entry is read before it is authenticated, except for the
//! version of the envelope, the name of its key and a tag of its context, which tells an entry of
//! another policy from a damaged one. Refuses to know engines and clocks.

use std::fmt;

use zeroize::Zeroizing;

use super::ContextId;
use super::engine::EntryKey;
use super::id::{SessionId, Use};
use crate::sealing::{KEY_BYTES, NoRandomness, SealKey, WeakKey, secrets};

/// The keys that seal entries: the first one seals, and every one opens.
#[derive(Clone)]
pub struct SealingKeys(Vec<SealingKey>);

/// One key, and what is derived from it.
#[derive(Clone)]
struct SealingKey {
    name: [u8; NAME_BYTES],
    ids: SealKey,
    contexts: SealKey,
    entries: SealKey,
    texts: SealKey,
}

/// A session out of an envelope.
#[derive(Clone, Eq, PartialEq)]
pub struct Opened {
    /// When it was made, in seconds since 1970.
    pub issued_at: u64,
    /// The session as rustls writes it, which is secret.
    pub session: Zeroizing<Vec<u8>>,
}

impl SealingKeys {
    /// Reads the keys of a file: a line each, with 32 random bytes in Base64 (RFC 4648 §4). Empty
    /// lines, and what follows a `#`, are left out. The first key seals, every one opens.
    ///
    /// # Errors
    ///
    /// [`SealingKeyError`], which names the line and never shows what stands in it.
    pub fn parse(text: &[u8]) -> Result<Self, SealingKeyError> {
        let mut keys = Vec::new();
        for (number, secret) in secrets(text) {
            if keys.len() == KEYS_MAX {
                return Err(SealingKeyError::TooMany);
            }
            let bytes = secret.ok_or(SealingKeyError::NotBase64 { line: number })?;
            let bytes: &[u8; KEY_BYTES] = bytes
                .as_slice()
                .try_into()
                .map_err(|_| SealingKeyError::Length { line: number, bytes: bytes.len() })?;
            let key = SealKey::new(bytes)
                .map_err(|WeakKey| SealingKeyError::Weak { line: number })
                .map(|key| SealingKey::new(&key))?;
            if keys.iter().any(|other: &SealingKey| other.name == key.name) {
                return Err(SealingKeyError::Twice { line: number });
            }
            keys.push(key);
        }
        if keys.is_empty() { Err(SealingKeyError::Empty) } else { Ok(Self(keys)) }
    }

    /// Under which keys an id may lie in the store: one for each sealing key, the first one's
    /// first.
    pub fn entry_keys(&self, usage: Use, id: &SessionId) -> impl Iterator<Item = EntryKey> {
        self.0.iter().map(move |key| key.entry_key(usage, id))
    }

    /// The key that a new entry lies under, and the entry.
    ///
    /// # Errors
    ///
    /// [`NoRandomness`], if the system gives none.
    pub fn seal(
        &self,
        usage: Use,
        context: &ContextId,
        id: &SessionId,
        issued_at: u64,
        session: &[u8],
    ) -> Result<(EntryKey, Vec<u8>), NoRandomness> {
        let key = self.0.first().ok_or(NoRandomness)?;
        let entry_key = key.entry_key(usage, id);
        let mut plain = Zeroizing::new(Vec::with_capacity(ISSUED_BYTES + session.len()));
        plain.extend_from_slice(&issued_at.to_be_bytes());
        plain.extend_from_slice(session);
        let sealed = key.entries.seal(&associated(key, &entry_key, usage, context), &plain)?;
        let mut entry = Vec::with_capacity(HEAD_BYTES + sealed.len());
        entry.push(VERSION);
        entry.extend_from_slice(&key.name);
        entry.extend_from_slice(&key.context_tag(&sealed, context));
        entry.extend_from_slice(&sealed);
        Ok((entry_key, entry))
    }

    /// Opens an entry that was found for `id`.
    ///
    /// # Errors
    ///
    /// [`OpenError`], which tells another policy from damage.
    pub fn open(
        &self,
        usage: Use,
        context: &ContextId,
        id: &SessionId,
        entry: &[u8],
    ) -> Result<Opened, OpenError> {
        let (version, rest) = entry.split_first().ok_or(OpenError::Damaged)?;
        if *version != VERSION {
            return Err(OpenError::Version);
        }
        let (name, rest) = rest.split_at_checked(NAME_BYTES).ok_or(OpenError::Damaged)?;
        let (tag, sealed) = rest.split_at_checked(TAG_BYTES).ok_or(OpenError::Damaged)?;
        let key = self.0.iter().find(|key| key.name == name).ok_or(OpenError::UnknownKey)?;
        let entry_key = key.entry_key(usage, id);
        let associated = associated(key, &entry_key, usage, context);
        let is_ours = key.context_tag(sealed, context) == tag;
        let Some(mut plain) = key.entries.open(&associated, sealed) else {
            // Nothing secret stands in the tag, and it decides only what is counted.
            return Err(if is_ours { OpenError::Damaged } else { OpenError::Policy });
        };
        // What somebody has touched is of no use, wherever it was touched.
        if !is_ours {
            return Err(OpenError::Damaged);
        }
        let issued_at = plain.first_chunk().copied().map(u64::from_be_bytes);
        let issued_at = issued_at.ok_or(OpenError::Damaged)?;
        plain.drain(..ISSUED_BYTES);
        Ok(Opened { issued_at, session: plain })
    }

    /// Seals a text that is no session, for whoever names the same `label`: what processes agree
    /// on through the store.
    ///
    /// # Errors
    ///
    /// [`NoRandomness`], if the system gives none.
    pub fn seal_text(&self, label: &[u8], text: &[u8]) -> Result<Vec<u8>, NoRandomness> {
        let key = self.0.first().ok_or(NoRandomness)?;
        let mut sealed = vec![VERSION];
        sealed.extend_from_slice(&key.name);
        sealed.extend(key.texts.seal(label, text)?);
        Ok(sealed)
    }

    /// What was sealed for `label`, by any of the keys.
    #[must_use]
    pub fn open_text(&self, label: &[u8], sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let (version, rest) = sealed.split_first()?;
        let (name, sealed) = rest.split_at_checked(NAME_BYTES)?;
        let key = self.0.iter().find(|key| *version == VERSION && key.name == name)?;
        key.texts.open(label, sealed)
    }

    /// Where the text of a label lies in the store, for each sealing key; the first one's first.
    pub fn text_keys(&self, label: &[u8]) -> impl Iterator<Item = EntryKey> {
        self.0.iter().map(move |key| key.ids.digest(&[b"text", label]))
    }
}

impl SealingKey {
    fn new(key: &SealKey) -> Self {
        let mut name = [0; NAME_BYTES];
        let digest = key.digest(&[b"portunus sealing key name v1"]);
        name.iter_mut().zip(digest).for_each(|(to, from)| *to = from);
        Self {
            name,
            ids: key.derive(b"ids"),
            contexts: key.derive(b"contexts"),
            entries: key.derive(b"entries"),
            texts: key.derive(b"texts"),
        }
    }

    fn entry_key(&self, usage: Use, id: &SessionId) -> EntryKey {
        self.ids.digest(&[&[usage_byte(usage)], id.as_bytes()])
    }

    /// Differs from entry to entry, so that equal contexts do not show.
    fn context_tag(&self, sealed: &[u8], context: &ContextId) -> [u8; TAG_BYTES] {
        let salt = sealed.get(..SALT_BYTES).unwrap_or_default();
        let digest = self.contexts.digest(&[salt, context.as_bytes()]);
        let mut tag = [0; TAG_BYTES];
        tag.iter_mut().zip(digest).for_each(|(to, from)| *to = from);
        tag
    }
}

/// What an entry is bound to.
fn associated(
    key: &SealingKey,
    entry_key: &EntryKey,
    usage: Use,
    context: &ContextId,
) -> [u8; ASSOCIATED_BYTES] {
    let mut bytes = [0; ASSOCIATED_BYTES];
    let parts = [&[VERSION, usage_byte(usage)][..], &key.name, entry_key, context.as_bytes()];
    bytes.iter_mut().zip(parts.into_iter().flatten()).for_each(|(to, from)| *to = *from);
    bytes
}

fn usage_byte(usage: Use) -> u8 {
    match usage {
        Use::Single => 1,
        Use::Repeated => 2,
    }
}

impl fmt::Debug for SealingKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealingKeys({} secret)", self.0.len())
    }
}

impl fmt::Debug for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opened").field("issued_at", &self.issued_at).finish_non_exhaustive()
    }
}

/// Why a file gives no sealing keys.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum SealingKeyError {
    /// There is nothing in it.
    #[error("there is no key")]
    Empty,
    /// A key is too short or too long.
    #[error("line {line}: a key has 32 bytes, and this one {bytes}")]
    Length {
        /// Which line.
        line: usize,
        /// How many bytes there are.
        bytes: usize,
    },
    /// A line is something else.
    #[error("line {line}: not Base64")]
    NotBase64 {
        /// Which line.
        line: usize,
    },
    /// There are more keys than a rotation needs, and each costs a look-up.
    #[error("more than {KEYS_MAX} keys")]
    TooMany,
    /// A key stands there twice.
    #[error("line {line}: the key stands further up already")]
    Twice {
        /// Which line.
        line: usize,
    },
    /// Nobody made such a key at random.
    #[error("line {line}: all bytes of the key are equal")]
    Weak {
        /// Which line.
        line: usize,
    },
}

/// Why an entry of the store is of no use.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum OpenError {
    /// It is not what was put there.
    #[error("the entry is damaged")]
    Damaged,
    /// It belongs to another policy.
    #[error("the entry belongs to another policy")]
    Policy,
    /// Its key is not among ours.
    #[error("the entry was sealed with a key that is not among ours")]
    UnknownKey,
    /// Another version of Portunus wrote it.
    #[error("the entry has another version")]
    Version,
}

/// Sealing keys that a file may hold: the next, the current and the previous one.
pub const KEYS_MAX: usize = 3;
/// What sealing adds to a session.
pub const ENTRY_OVERHEAD_BYTES: usize = HEAD_BYTES + ISSUED_BYTES + crate::sealing::OVERHEAD_BYTES;
const VERSION: u8 = 1;
const NAME_BYTES: usize = 8;
const TAG_BYTES: usize = 8;
const SALT_BYTES: usize = 16;
const ISSUED_BYTES: usize = 8;
const HEAD_BYTES: usize = 1 + NAME_BYTES + TAG_BYTES;
const ASSOCIATED_BYTES: usize = 2 + NAME_BYTES + 32 + 32;

#[cfg(test)]
mod tests;

//! Authenticated encryption under a key that may be used without end.
//!
//! Owns [`SealKey`]: 32 secret bytes that seal and open texts. What is sealed is bound to
//! associated data, and opens under the same data only. Each text has a key of its own, derived
//! with HMAC-SHA-256 from the secret and a random salt, so that no number of texts wears the secret
//! out (a single AES-GCM key must not see more than 2³² random nonces, NIST SP 800-38D §8.3).
//! Owns as well how secrets stand in a file. Refuses to know what is sealed, and
//! which file a key comes from.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::{hmac, rand};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

/// A secret that seals and opens. Wiped from memory when it is dropped.
#[derive(Clone)]
pub struct SealKey(Box<Zeroizing<[u8; KEY_BYTES]>>);

impl SealKey {
    /// The key of these bytes, which must come from a source of randomness.
    ///
    /// # Errors
    ///
    /// [`WeakKey`], if all bytes are equal: nobody made such a key at random.
    pub fn new(bytes: &[u8; KEY_BYTES]) -> Result<Self, WeakKey> {
        let [first, rest @ ..] = bytes;
        if rest.iter().all(|byte| byte == first) {
            return Err(WeakKey);
        }
        Ok(Self(Box::new(Zeroizing::new(*bytes))))
    }

    /// A new key.
    ///
    /// # Errors
    ///
    /// [`NoRandomness`], if the system gives none.
    pub fn generate() -> Result<Self, NoRandomness> {
        let mut bytes = Box::new(Zeroizing::new([0; KEY_BYTES]));
        rand::fill(bytes.as_mut_slice()).map_err(|_| NoRandomness)?;
        Ok(Self(bytes))
    }

    /// The bytes, for a process that goes on with the key. They are secret.
    pub(crate) fn expose(&self) -> &[u8; KEY_BYTES] {
        &self.0
    }

    /// The key for one purpose, from which this one cannot be told.
    #[must_use]
    pub fn derive(&self, purpose: &[u8]) -> Self {
        Self(Box::new(Zeroizing::new(self.digest(&[b"portunus derive v1", purpose]))))
    }

    /// A keyed digest of `parts`, each preceded by its length.
    #[must_use]
    pub fn digest(&self, parts: &[&[u8]]) -> [u8; 32] {
        let mut context =
            hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, self.0.as_slice()));
        for part in parts {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        }
        let mut digest = [0; 32];
        digest.copy_from_slice(context.sign().as_ref());
        digest
    }

    /// Seals `plain` for whoever names the same `associated` data; [`OVERHEAD_BYTES`] longer.
    ///
    /// # Errors
    ///
    /// [`NoRandomness`], if the system gives none.
    pub fn seal(&self, associated: &[u8], plain: &[u8]) -> Result<Vec<u8>, NoRandomness> {
        let mut sealed = Vec::with_capacity(plain.len() + OVERHEAD_BYTES);
        sealed.resize(PREFIX_BYTES, 0);
        rand::fill(&mut sealed).map_err(|_| NoRandomness)?;
        sealed.extend_from_slice(plain);
        let (prefix, text) = sealed.split_at_mut(PREFIX_BYTES);
        let (key, nonce) = self.of_text(prefix).ok_or(NoRandomness)?;
        let tag = key
            .seal_in_place_separate_tag(nonce, Aad::from(associated), text)
            .map_err(|_| NoRandomness)?;
        sealed.extend_from_slice(tag.as_ref());
        Ok(sealed)
    }

    /// What was sealed for `associated`; `None` for anything else whatever.
    #[must_use]
    pub fn open(&self, associated: &[u8], sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let (prefix, text) = sealed.split_at_checked(PREFIX_BYTES)?;
        let (key, nonce) = self.of_text(prefix)?;
        let mut plain = Zeroizing::new(text.to_vec());
        let length = key.open_in_place(nonce, Aad::from(associated), &mut plain).ok()?.len();
        plain.truncate(length);
        Some(plain)
    }

    /// The key and the nonce of one text, by what stands before it.
    fn of_text(&self, prefix: &[u8]) -> Option<(LessSafeKey, Nonce)> {
        let (salt, nonce) = prefix.split_at_checked(SALT_BYTES)?;
        let key = Zeroizing::new(self.digest(&[b"portunus text v1", salt]));
        let key = UnboundKey::new(&AES_256_GCM, key.as_slice()).ok()?;
        Some((LessSafeKey::new(key), Nonce::try_assume_unique_for_key(nonce).ok()?))
    }
}

/// The secrets of a text, each with the number of its line, counted from one: one a line, in Base64
/// (RFC 4648 §4). Empty lines, and what follows a `#`, are left out. A secret is `None` if its line
/// is something else.
pub(crate) fn secrets(text: &[u8]) -> impl Iterator<Item = (usize, Option<Zeroizing<Vec<u8>>>)> {
    let lines = (1..).zip(text.split(|byte| *byte == b'\n'));
    lines.filter_map(|(number, line)| {
        let line = line.split(|byte| *byte == b'#').next().unwrap_or_default().trim_ascii();
        let secret = || STANDARD.decode(line).ok().map(Zeroizing::new);
        (!line.is_empty()).then(|| (number, secret()))
    })
}

impl fmt::Debug for SealKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SealKey(secret)")
    }
}

/// The bytes of a key do not come from a source of randomness.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("all bytes of the key are equal")]
pub struct WeakKey;

/// The system gives no random bytes.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the system gives no random bytes")]
pub struct NoRandomness;

/// Bytes of a key.
pub const KEY_BYTES: usize = 32;
/// What sealing adds to a text: salt, nonce and tag.
pub const OVERHEAD_BYTES: usize = PREFIX_BYTES + 16;
const SALT_BYTES: usize = 16;
const PREFIX_BYTES: usize = SALT_BYTES + NONCE_LEN;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_key_whose_bytes_are_all_equal_is_refused() {
        for byte in [0, 1, 0xff] {
            assert_eq!(SealKey::new(&[byte; KEY_BYTES]).map(|_| ()), Err(WeakKey));
        }
        let mut bytes = [0; KEY_BYTES];
        bytes[31] = 1;
        assert!(SealKey::new(&bytes).is_ok());
    }

    #[test]
    fn what_a_key_derives_opens_nothing_of_its_own() {
        let key = SealKey::generate().unwrap();
        let sealed = key.seal(b"here", b"text").unwrap();
        assert_eq!(key.derive(b"other").open(b"here", &sealed), None);
        assert_eq!(sealed.len(), 4 + OVERHEAD_BYTES);
    }

    proptest! {
        #[test]
        fn what_is_sealed_opens_whole_and_only_untouched(
            associated in proptest::collection::vec(any::<u8>(), 0..64),
            plain in proptest::collection::vec(any::<u8>(), 0..512),
            place in any::<prop::sample::Index>(),
            bit in 0..8_u32,
        ) {
            let key = SealKey::generate().unwrap();
            let sealed = key.seal(&associated, &plain).unwrap();
            let opened = key.open(&associated, &sealed).map(|text| text.to_vec());
            prop_assert_eq!(opened, Some(plain));
            let mut touched = sealed.clone();
            let place = place.index(touched.len());
            touched[place] ^= 1 << bit;
            prop_assert_eq!(key.open(&associated, &touched), None);
            prop_assert_eq!(key.open(&associated, &sealed[..place]), None);
            let mut other = associated;
            other.push(0);
            prop_assert_eq!(key.open(&other, &sealed), None);
        }
    }
}

//! A credential: one certificate chain with the private key that belongs to its leaf.
//!
//! Owns what the rest of Portunus may ask of a credential and the digest that binds sessions to
//! it. A [`Credential`] is made in [`crate::store`] from a chain and a key whose public keys are
//! the same, so one that exists can sign. Knows nothing of how it is chosen, which is
//! [`crate::resolver`], nor of what a staple says, which is [`crate::staple`].

use std::fmt;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_lc_rs::digest::{self, SHA256};
use rustls::sign::CertifiedKey;

use crate::load::{Chain, PrivateKey};
use crate::name::NamePattern;
use crate::staple::{Answered, StapleFacts, Stapled};

/// A certificate chain and its private key, ready to sign.
pub struct Credential {
    certified: Arc<CertifiedKey>,
    names: Box<[NamePattern]>,
    not_before: i64,
    not_after: i64,
    issuer: Box<str>,
    kind: KeyKind,
    signature: Option<&'static str>,
    public_key: PublicKeyId,
    label: Arc<str>,
    root: usize,
    ordinal: usize,
    chain_path: PathBuf,
    key_path: PathBuf,
    fingerprint: [u8; 32],
    chain_digest: [u8; 32],
    context: [u8; 32],
    must_staple: bool,
    stapled: Option<Stapled>,
}

impl Credential {
    /// Joins a chain and the key of its leaf; `None` if they do not belong together.
    pub(crate) fn join(
        ordinal: usize,
        chain: Located<'_, Chain>,
        key: Located<'_, PrivateKey>,
        staple: Option<Answered>,
    ) -> Option<Self> {
        let leaf = &chain.item.leaf;
        let kind = *leaf.kind.as_ref().ok()?;
        if leaf.public_key != key.item.public_key {
            return None;
        }
        let certified =
            CertifiedKey::new(chain.item.certificates.clone(), Arc::clone(&key.item.signing));
        let stapled = staple.map(|answered| Stapled::new(answered, &certified));
        Some(Self {
            certified: Arc::new(certified),
            names: leaf.names.clone(),
            not_before: leaf.not_before,
            not_after: leaf.not_after,
            issuer: leaf.issuer.clone(),
            kind,
            signature: leaf.signature,
            public_key: leaf.public_key,
            label: label(chain.path, ordinal),
            root: chain.root,
            ordinal,
            chain_path: chain.path.to_path_buf(),
            key_path: key.path.to_path_buf(),
            fingerprint: leaf.fingerprint,
            chain_digest: chain.item.digest,
            context: context(&leaf.names, &leaf.issuer),
            must_staple: leaf.must_staple,
            stapled,
        })
    }

    /// The object that rustls presents and signs with, without a staple.
    #[must_use]
    pub fn key(&self) -> &Arc<CertifiedKey> {
        &self.certified
    }

    /// The object that rustls presents and signs with at `now` (seconds since 1970): with the
    /// staple while it may be sent (RFC 8446 section 4.4.2.1), without one otherwise.
    #[must_use]
    pub fn key_at(&self, now: i64) -> &Arc<CertifiedKey> {
        self.stapled.as_ref().and_then(|stapled| stapled.key_at(now)).unwrap_or(&self.certified)
    }

    /// The OCSP staple, whether it is sent now or not.
    #[must_use]
    pub fn staple(&self) -> Option<&StapleFacts> {
        self.stapled.as_ref().map(Stapled::facts)
    }

    /// Whether the leaf asks to be refused if it is shown without a staple (RFC 7633).
    #[must_use]
    pub fn must_staple(&self) -> bool {
        self.must_staple
    }

    /// The DNS names of the leaf, sorted. Empty for one that can only be the default.
    #[must_use]
    pub fn names(&self) -> &[NamePattern] {
        &self.names
    }

    /// Start of validity, in seconds since 1970.
    #[must_use]
    pub fn not_before(&self) -> i64 {
        self.not_before
    }

    /// End of validity, in seconds since 1970.
    #[must_use]
    pub fn not_after(&self) -> i64 {
        self.not_after
    }

    /// Where `now` (seconds since 1970) stands in its validity.
    #[must_use]
    pub fn validity(&self, now: i64) -> Validity {
        if now > self.not_after {
            Validity::Expired
        } else if now < self.not_before {
            Validity::Pending
        } else {
            Validity::Valid
        }
    }

    /// The moments at which its place in its validity changes, or that of its staple, in seconds
    /// since 1970.
    pub(crate) fn moments(&self) -> impl Iterator<Item = i64> {
        let staple = self.staple().into_iter();
        let staple = staple.flat_map(|facts| [facts.this_update, facts.next_update]);
        staple.chain([self.not_before, self.not_after.saturating_add(1)])
    }

    /// The issuer's distinguished name.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// The algorithm of the key.
    #[must_use]
    pub fn key_kind(&self) -> KeyKind {
        self.kind
    }

    /// What the leaf is signed with, as OpenSSL abbreviates it; `None` for what is hardly used.
    #[must_use]
    pub fn signature(&self) -> Option<&'static str> {
        self.signature
    }

    /// A stable and unique name: the chain's path as configured, with `#2` and so on for the
    /// further chains of one file.
    #[must_use]
    pub fn label(&self) -> &Arc<str> {
        &self.label
    }

    /// The file that the chain came from.
    #[must_use]
    pub fn chain_path(&self) -> &Path {
        &self.chain_path
    }

    /// The file that the private key came from; it may be the same one.
    #[must_use]
    pub fn key_path(&self) -> &Path {
        &self.key_path
    }

    /// SHA-256 of the leaf, in hexadecimal, as `openssl x509 -fingerprint` shows without colons.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let mut text = String::with_capacity(self.fingerprint.len() * 2);
        for byte in self.fingerprint {
            // Writing to a string cannot fail.
            let _ = write!(text, "{byte:02x}");
        }
        text
    }

    /// What a session is bound to: names and issuer, but neither serial nor dates, so that a
    /// renewed certificate keeps the sessions of the one that it replaces.
    #[must_use]
    pub fn context(&self) -> [u8; 32] {
        self.context
    }

    /// Where it stands in path order: the configured path first, then the file, then the place in
    /// the file.
    pub(crate) fn place(&self) -> (usize, &Path, usize) {
        (self.root, &self.chain_path, self.ordinal)
    }

    /// Which configured path its chain came from, counted from zero.
    pub(crate) fn root(&self) -> usize {
        self.root
    }

    /// The public half of its key.
    pub(crate) fn public_key(&self) -> PublicKeyId {
        self.public_key
    }

    /// The staple with its answer, for a credential that takes the place of this one.
    pub(crate) fn answered(&self) -> Option<Answered> {
        self.stapled.as_ref().map(Stapled::answered)
    }

    /// SHA-256 of the staple.
    pub(crate) fn staple_digest(&self) -> Option<&[u8; 32]> {
        self.stapled.as_ref().map(Stapled::digest)
    }

    /// SHA-256 of the leaf.
    pub(crate) fn fingerprint_bytes(&self) -> &[u8; 32] {
        &self.fingerprint
    }

    /// SHA-256 of the whole chain.
    pub(crate) fn chain_digest(&self) -> &[u8; 32] {
        &self.chain_digest
    }
}

/// Shows what it is, never the key.
impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credential")
            .field("label", &self.label)
            .field("kind", &self.kind)
            .field("not_after", &self.not_after)
            .finish_non_exhaustive()
    }
}

/// Something that was read, with the file that it came from.
pub(crate) struct Located<'a, T> {
    /// Which configured path the file belongs to, counted from zero.
    pub(crate) root: usize,
    pub(crate) path: &'a Path,
    pub(crate) item: &'a T,
}

impl<T> Clone for Located<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Located<'_, T> {}

/// SHA-256 of a SubjectPublicKeyInfo (RFC 5280 section 4.1.2.7), by which a private key finds its
/// certificate: the two belong together if and only if they hold the same one.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) struct PublicKeyId([u8; 32]);

impl PublicKeyId {
    /// The id of a SubjectPublicKeyInfo in DER.
    pub(crate) fn of(spki: &[u8]) -> Self {
        Self(digest_bytes(digest::digest(&SHA256, spki)))
    }
}

/// In hexadecimal, as `openssl pkey -pubin -outform der | sha256sum` shows it.
impl fmt::Display for PublicKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for PublicKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Where a moment stands in the validity of a certificate, the most useful first.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Validity {
    /// Within its dates.
    Valid,
    /// Not yet valid: a renewal that was installed early, or a clock that is wrong.
    Pending,
    /// Past its end.
    Expired,
}

/// The algorithm of a private key, the one that we would rather sign with first.
///
/// The order is by cost and by how many clients can verify it: P-256 signs in 15 µs, RSA-2048
/// takes eighteen times as long; Ed25519 is as fast, but no browser offers it.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum KeyKind {
    /// ECDSA on NIST P-256.
    EcdsaP256,
    /// Ed25519.
    Ed25519,
    /// ECDSA on NIST P-384.
    EcdsaP384,
    /// ECDSA on NIST P-521.
    EcdsaP521,
    /// RSA, with the size of the modulus in bits.
    Rsa(u16),
}

impl KeyKind {
    /// Two kinds of one class serve the same clients, so one of them suffices for a name.
    pub(crate) fn class(self) -> Self {
        match self {
            Self::Rsa(_) => Self::Rsa(0),
            Self::EcdsaP256 | Self::Ed25519 | Self::EcdsaP384 | Self::EcdsaP521 => self,
        }
    }
}

impl fmt::Display for KeyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EcdsaP256 => f.write_str("ECDSA P-256"),
            Self::Ed25519 => f.write_str("Ed25519"),
            Self::EcdsaP384 => f.write_str("ECDSA P-384"),
            Self::EcdsaP521 => f.write_str("ECDSA P-521"),
            Self::Rsa(bits) => write!(f, "RSA {bits}"),
        }
    }
}

/// How a chain of a file is called: people count from one, and the first needs no number.
pub(crate) fn label(chain_path: &Path, ordinal: usize) -> Arc<str> {
    match ordinal {
        0 => chain_path.display().to_string().into(),
        _ => format!("{}#{}", chain_path.display(), ordinal + 1).into(),
    }
}

/// Each part is preceded by its length, so that no two lists of names read alike.
fn context(names: &[NamePattern], issuer: &str) -> [u8; 32] {
    let mut digest = digest::Context::new(&SHA256);
    digest.update(b"portunus credential v1");
    let mut part = |bytes: &[u8]| {
        digest.update(&(bytes.len() as u64).to_be_bytes());
        digest.update(bytes);
    };
    part(&(names.len() as u64).to_be_bytes());
    for name in names {
        part(name.to_string().as_bytes());
    }
    part(issuer.as_bytes());
    digest_bytes(digest.finish())
}

/// A SHA-256 digest as an array.
pub(crate) fn digest_bytes(digest: digest::Digest) -> [u8; 32] {
    let mut bytes = [0; 32];
    // SHA-256 gives 32 bytes; zip rather than a copy that could panic.
    bytes.iter_mut().zip(digest.as_ref()).for_each(|(to, from)| *to = *from);
    bytes
}

//! Files to chains, keys and staples.
//!
//! Owns what the bytes of one file hold, and the words for what is wrong with it; how they come
//! from the disk is in `disk`. A PEM file holds chains, keys, or both, in any number, a file called
//! `.ocsp` one OCSP response; what belongs together is found in [`crate::store`], by comparing
//! public keys and serial numbers and never by file name. A file is good or bad as a whole:
//! one that is being written looks like a bad one, and half of a good one would be worse than the
//! last good one.

mod certificate;
mod disk;
mod key;
mod pem;
mod staple;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::CertificateDer;
use thiserror::Error;

pub use certificate::validity;
pub(crate) use certificate::{Chain, parse as parse_certificate};
pub use disk::EXTENSIONS;
pub(crate) use disk::{Stamp, is_listed, list, read};
pub(crate) use key::PrivateKey;
pub(crate) use pem::{Kind, Lists, sections};
pub use staple::CertificateStatus;
pub(crate) use staple::{Answer, Staple, Verdict};

/// What a good file holds.
pub(crate) struct Parsed {
    pub(crate) chains: Vec<Chain>,
    pub(crate) keys: Vec<PrivateKey>,
    pub(crate) staple: Option<Arc<Staple>>,
}

/// Whether the name of a file says that it holds a staple.
pub(crate) fn is_staple(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case(STAPLE_EXTENSION))
}

/// Reads what the bytes of the file at `path` hold.
pub(crate) fn parse_file(
    path: &Path,
    bytes: &[u8],
    provider: &CryptoProvider,
) -> Result<Parsed, LoadError> {
    if is_staple(path) {
        let staple = Some(Arc::new(staple::parse(bytes, provider)?));
        return Ok(Parsed { chains: Vec::new(), keys: Vec::new(), staple });
    }
    parse(bytes, provider)
}

/// Reads chains and keys out of the bytes of a file.
pub(crate) fn parse(bytes: &[u8], provider: &CryptoProvider) -> Result<Parsed, LoadError> {
    let mut certificates = Vec::new();
    let mut keys = Vec::new();
    for section in sections(bytes, Lists::Ignored)? {
        if section.kind == Kind::Certificate {
            certificates.push((section.line, CertificateDer::from(section.der.to_vec())));
        } else {
            keys.push(key::load(&section, provider)?);
        }
    }
    Ok(Parsed { chains: certificate::chains(certificates)?, keys, staple: None })
}

/// How many chains and private keys a PEM file of these bytes would give.
///
/// The bytes may be anything; the answer says what would be said of the file.
pub fn check(bytes: &[u8], provider: &CryptoProvider) -> Result<(usize, usize), LoadError> {
    parse(bytes, provider).map(|parsed| (parsed.chains.len(), parsed.keys.len()))
}

/// How many certificates an OCSP response of these bytes would speak about.
///
/// The bytes may be anything; the answer says what would be said of the file.
pub fn check_staple(bytes: &[u8], provider: &CryptoProvider) -> Result<usize, LoadError> {
    staple::parse(bytes, provider).map(|staple| staple.answers.len())
}

/// Why a file, or a pair, is not served.
#[derive(Clone, Debug, Error)]
pub enum LoadError {
    /// The base64 between BEGIN and END is damaged.
    #[error("line {line}: the section `{label}` is not valid base64")]
    Base64 {
        /// Line of its BEGIN.
        line: usize,
        /// What stands behind BEGIN.
        label: String,
    },
    /// Not a certificate.
    #[error("line {line}: the certificate cannot be read: {reason}")]
    Certificate {
        /// Line of its BEGIN.
        line: usize,
        /// What the parser said.
        reason: Box<str>,
    },
    /// More certificates than any chain has.
    #[error("line {line}: the chain has more than {CHAIN_CERTIFICATES_MAX} certificates")]
    ChainTooLong {
        /// Line of its first certificate.
        line: usize,
    },
    /// Binary instead of text.
    #[error("is DER, not PEM; convert it with `openssl x509 -inform der` or `openssl pkey`")]
    Der,
    /// A symbolic link to nothing.
    #[error("is a link to {}, which does not exist", target.display())]
    Dangling {
        /// What the link says.
        target: PathBuf,
    },
    /// No bytes at all.
    #[error("is empty")]
    Empty,
    /// A key that asks for a passphrase.
    #[error("line {line}: the private key is encrypted; decrypt it with `openssl pkey`")]
    EncryptedKey {
        /// Line of its BEGIN.
        line: usize,
    },
    /// The new certificate is past its end while the one in use is not.
    #[error("the new certificate has expired, and the one in use has not")]
    Expired,
    /// The operating system refused.
    #[error("cannot be read{}", hint(_0))]
    Io(#[source] Arc<io::Error>),
    /// Not a private key.
    #[error("line {line}: the private key cannot be read")]
    Key {
        /// Line of its BEGIN.
        line: usize,
    },
    /// Others may read the key, and the configuration forbids that.
    #[error("holds a private key and its mode is {mode:04o}; 0600 is expected")]
    KeyMode {
        /// Permission bits.
        mode: u32,
    },
    /// The chain is the wrong way round.
    #[error(
        "line {line}: an authority stands before the certificate of line {leaf} that it \
             issued; the leaf must come first"
    )]
    LeafNotFirst {
        /// Line of the authority.
        line: usize,
        /// Line of the leaf.
        leaf: usize,
    },
    /// A BEGIN or END that is not complete.
    #[error("line {line}: a BEGIN or END line is damaged or stands alone")]
    Marker {
        /// That line.
        line: usize,
    },
    /// Nothing is there under this path.
    #[error("does not exist; create it, or correct the path in the configuration")]
    Missing,
    /// A key whose certificate is not there.
    #[error(
        "no certificate in {searched} matches the private key in {path} \
             (public key {public_key:.16})"
    )]
    NoCertificate {
        /// What was searched.
        searched: String,
        /// Where the key is.
        path: String,
        /// SHA-256 of its public half, in hexadecimal.
        public_key: String,
    },
    /// A certificate whose key is not there.
    #[error(
        "no private key in {searched} matches the certificate in {path} \
             (public key {public_key:.16})"
    )]
    NoKey {
        /// What was searched.
        searched: String,
        /// Where the certificate is.
        path: String,
        /// SHA-256 of its public key, in hexadecimal.
        public_key: String,
    },
    /// A folder, a socket, a pipe.
    #[error("is not a regular file")]
    NotAFile,
    /// The file that a credential in use came from is gone, but its other half is there.
    #[error("is gone while its other half is there; the credential in use stays")]
    HalfGone,
    /// Everything is gone at once.
    #[error("every certificate is gone; the credentials in use stay")]
    AllGone,
    /// The new certificate is not valid yet; the one in use stays until it is.
    #[error("the new certificate is not valid yet; it waits for its time")]
    NotYetValid,
    /// No section that we know.
    #[error("holds neither a certificate nor a private key in PEM")]
    NothingUsable,
    /// Not an OCSP response that can be sent.
    #[error("the OCSP response cannot be used: {reason}")]
    Staple {
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A staple for a certificate that is not there.
    #[error("the OCSP response answers no certificate here; remove it, or fetch the current one")]
    StapleForNobody,
    /// A staple that clients would refuse.
    #[error("the signature of the OCSP response does not verify with the issuer of {label}")]
    StapleSignature {
        /// The credential that it is about.
        label: Arc<str>,
    },
    /// Larger than any certificate file.
    #[error("has {bytes} bytes; {bytes_max} is the most")]
    TooLarge {
        /// Its size.
        bytes: u64,
        /// The most that a file of its kind may have.
        bytes_max: u64,
    },
    /// A key that we do not sign with, or that clients do not accept.
    #[error("line {line}: {algorithm} keys are not supported")]
    UnsupportedKey {
        /// Line of its BEGIN.
        line: usize,
        /// What it is.
        algorithm: Box<str>,
    },
    /// A certificate for a key that we do not sign with.
    #[error("certificates with {algorithm} are not supported")]
    UnsupportedCertificate {
        /// What it is.
        algorithm: Box<str>,
    },
    /// A section without its END, as in a file that is being written.
    #[error("line {line}: the section `{label}` has no end")]
    Unterminated {
        /// Line of its BEGIN.
        line: usize,
        /// What stands behind BEGIN.
        label: String,
    },
    /// Two bytes a character.
    #[error("is UTF-16; save it as UTF-8 or ASCII")]
    Utf16,
}

impl From<io::Error> for LoadError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound => Self::Missing,
            _ => Self::Io(Arc::new(error)),
        }
    }
}

/// The way out, where there is one to tell.
fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied => "; let the user that this process runs as read it",
        _ => "",
    }
}

/// Far above a chain with its key, even with post-quantum signatures.
pub const FILE_BYTES_MAX: u64 = 1 << 20;
/// Public chains have two to four.
pub const CHAIN_CERTIFICATES_MAX: usize = 16;
/// What says that a file holds an OCSP response in DER.
pub const STAPLE_EXTENSION: &str = "ocsp";

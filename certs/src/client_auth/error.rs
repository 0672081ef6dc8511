//! What can be wrong with the files behind client authentication.
//!
//! Owns the words: which file, which line of it, what is wrong, and the way out. Each error tells
//! one layer; the file stands in [`ClientAuthError`], the cause in its source.

use std::path::{Path, PathBuf};

use thiserror::Error;

use super::authorities::AUTHORITIES_MAX;
use super::revocation::LISTS_MAX;
use crate::load::LoadError;

/// Why a file of client authentication is not taken.
#[derive(Clone, Debug, Error)]
pub enum ClientAuthError {
    /// The bundle of authorities.
    #[error("{}: the authorities of clients cannot be taken from it", path.display())]
    Bundle {
        /// The file, as configured.
        path: PathBuf,
        /// What is wrong with it.
        source: BundleError,
    },
    /// A file of revocation lists.
    #[error("{}: the revocation list cannot be taken from it", path.display())]
    Crl {
        /// The file, as configured.
        path: PathBuf,
        /// What is wrong with it.
        source: CrlError,
    },
    /// Every file is good by itself, and rustls makes no verifier of them.
    #[error("{}: no verifier can be made of it and the revocation lists: {reason}", path.display())]
    Verifier {
        /// The bundle.
        path: PathBuf,
        /// What rustls said.
        reason: Box<str>,
    },
}

impl ClientAuthError {
    /// The file that it is about, as configured.
    #[must_use]
    pub fn path(&self) -> &Path {
        match self {
            Self::Bundle { path, .. } | Self::Crl { path, .. } | Self::Verifier { path, .. } => {
                path
            }
        }
    }
}

/// What is wrong with a bundle of authorities.
#[derive(Clone, Debug, Error)]
pub enum BundleError {
    /// The file, its framing, or a certificate in it.
    #[error(transparent)]
    File(#[from] LoadError),
    /// There is PEM in it perhaps, but no certificate.
    #[error("holds no certificate in PEM; put the certificates of the authorities there")]
    NoCertificate,
    /// A certificate that may not issue others.
    #[error(
        "line {line}: the certificate of {subject} is no authority, {reason}; put the \
             certificate of its issuer there"
    )]
    NotAnAuthority {
        /// Line of its BEGIN.
        line: usize,
        /// Its distinguished name.
        subject: Box<str>,
        /// How that can be told.
        reason: &'static str,
    },
    /// The parser did not survive it.
    #[error("the parser failed on it, which is a defect of the parser; remove what is odd")]
    Panic,
    /// Keys have no place there.
    #[error(
        "line {line}: a private key stands there, which is neither needed nor safe in a file \
             that is handed around; take it out"
    )]
    PrivateKey {
        /// Line of its BEGIN.
        line: usize,
    },
    /// A list that would have no effect, so that somebody could think it has.
    #[error(
        "line {line}: a revocation list stands there, where it would have no effect; move it to a \
             file of its own and name that one among the revocation lists"
    )]
    RevocationList {
        /// Line of its BEGIN.
        line: usize,
    },
    /// A certificate that does not bear the signature that it claims.
    #[error(
        "line {line}: the certificate of {subject} does not bear the signature of {issuer} that \
             it claims: it is damaged or forged; fetch it again"
    )]
    Signature {
        /// Line of its BEGIN.
        line: usize,
        /// Its distinguished name.
        subject: Box<str>,
        /// Whose signature it should be.
        issuer: Box<str>,
    },
    /// More than anybody has.
    #[error("holds more than {AUTHORITIES_MAX} authorities; keep those whose clients are let in")]
    TooMany,
    /// A certificate that rustls cannot use as an authority.
    #[error("line {line}: the certificate of {subject} cannot be used as an authority: {reason}")]
    Unusable {
        /// Line of its BEGIN.
        line: usize,
        /// Its distinguished name.
        subject: Box<str>,
        /// What rustls said.
        reason: Box<str>,
    },
}

/// What is wrong with a file of revocation lists.
#[derive(Clone, Debug, Error)]
pub enum CrlError {
    /// Older than the list in use: a replay, or a mirror that lags.
    #[error(
        "{place}the list of {issuer} is older than the one in use, which stays; fetch the newest, \
             or restart if the issuer began to count anew"
    )]
    Backwards {
        /// Where the list stands in the file.
        place: Place,
        /// Its issuer.
        issuer: Box<str>,
    },
    /// The file or its framing.
    #[error(transparent)]
    File(#[from] LoadError),
    /// A list that has no end would be good for ever.
    #[error(
        "{place}the list of {issuer} has no nextUpdate, so nobody could tell when it is out of \
             date; have it issued with one"
    )]
    NoNextUpdate {
        /// Where the list stands in the file.
        place: Place,
        /// Its issuer.
        issuer: Box<str>,
    },
    /// There is PEM in it perhaps, but no list.
    #[error("holds no revocation list, neither in DER nor as `X509 CRL` in PEM")]
    NoList,
    /// The parser did not survive it.
    #[error("the parser failed on it, which is a defect of the parser; fetch the list again")]
    Panic,
    /// Keys have no place there.
    #[error(
        "line {line}: a private key stands there, which is neither needed nor safe in a file \
             that is handed around; take it out"
    )]
    PrivateKey {
        /// Line of its BEGIN.
        line: usize,
    },
    /// More than anybody has.
    #[error("holds more than {LISTS_MAX} revocation lists; use several files")]
    TooMany,
    /// No list at all.
    #[error("{place}the bytes are no revocation list, or not all of one; fetch it again")]
    Unreadable {
        /// Where the list stands in the file.
        place: Place,
    },
    /// A list that rustls cannot use.
    #[error("{place}the list of {issuer} cannot be used: {reason}")]
    Unusable {
        /// Where the list stands in the file.
        place: Place,
        /// Its issuer.
        issuer: Box<str>,
        /// Why.
        reason: Box<str>,
    },
    /// A list that would deny every client of its issuer.
    #[error(
        "{place}the list of {issuer} does not bear the signature of the authority of that name: \
             it is damaged, or signed by a key whose certificate is not in the bundle"
    )]
    WrongSigner {
        /// Where the list stands in the file.
        place: Place,
        /// Its issuer.
        issuer: Box<str>,
    },
}

/// Where a list stands in its file: at a line of PEM, or all over it in DER.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Place {
    /// Line of its BEGIN.
    Line(usize),
    /// The whole file.
    Whole,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Line(line) => write!(f, "line {line}: "),
            Self::Whole => Ok(()),
        }
    }
}

//! Why a client was not let in, as one of a few words.
//!
//! Owns the reading of rustls' errors where they are about a client's certificate. The set is
//! closed, so that it can be a label of a metric; the error itself has the details, and rustls
//! alone decides which alert the client sees.

use rustls::{CertificateError, Error, InvalidMessage, OtherError};
use thiserror::Error as ThisError;

/// Why a client was not let in.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Rejection {
    /// A field of its certificate is malformed, or holds what no name may hold. Alert 42.
    Encoding,
    /// Past its end. Alert 45.
    Expired,
    /// None was shown where one is demanded. Alert 116, or 40 in TLS 1.2.
    Missing,
    /// Before its start. Alert 45.
    NotYetValid,
    /// Whatever else: a constraint that does not hold, a search that took too long. Alert 46.
    Other,
    /// Made for something else than clients. Alert 43.
    Purpose,
    /// On a revocation list. Alert 44.
    Revoked,
    /// A signature does not fit, in the chain or over the handshake. Alert 51.
    Signature,
    /// The revocation list that it would be on is past its end. Alert 48.
    StaleRevocation,
    /// More certificates than the bound. Alert 46.
    TooDeep,
    /// More bytes than the bound, alert 46; or than rustls takes at all, alert 50.
    TooLarge,
    /// No authority of the bundle stands behind it. Alert 48.
    UnknownIssuer,
    /// No revocation list says anything of it, alert 48; or its issuer did not sign the one that
    /// would, alert 40.
    UnknownRevocation,
}

impl Rejection {
    /// Reads the error with which a server's handshake ended; `None` if it is about something
    /// else than the client's certificate.
    #[must_use]
    pub fn of(error: &Error) -> Option<Self> {
        Some(match error {
            Error::NoCertificatesPresented => Self::Missing,
            Error::InvalidCertificate(error) => Self::of_certificate(error),
            Error::InvalidCertRevocationList(_) => Self::UnknownRevocation,
            Error::InvalidMessage(InvalidMessage::CertificatePayloadTooLarge) => Self::TooLarge,
            _ => return None,
        })
    }

    fn of_certificate(error: &CertificateError) -> Self {
        use CertificateError as E;
        match error {
            E::BadEncoding => Self::Encoding,
            E::Expired | E::ExpiredContext { .. } => Self::Expired,
            E::NotValidYet | E::NotValidYetContext { .. } => Self::NotYetValid,
            E::Revoked => Self::Revoked,
            E::UnknownIssuer => Self::UnknownIssuer,
            E::UnknownRevocationStatus => Self::UnknownRevocation,
            E::ExpiredRevocationList | E::ExpiredRevocationListContext { .. } => {
                Self::StaleRevocation
            }
            E::InvalidPurpose | E::InvalidPurposeContext { .. } => Self::Purpose,
            E::BadSignature
            | E::UnsupportedSignatureAlgorithmContext { .. }
            | E::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => Self::Signature,
            E::Other(OtherError(error)) => match error.downcast_ref::<ChainError>() {
                Some(ChainError::TooDeep { .. }) => Self::TooDeep,
                Some(ChainError::TooLarge { .. }) => Self::TooLarge,
                None => Self::Other,
            },
            _ => Self::Other,
        }
    }
}

/// A chain beyond the bounds, which is not looked at.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ThisError)]
pub(super) enum ChainError {
    #[error("the client's chain has {certificates} certificates; {certificates_max} is the most")]
    TooDeep { certificates: usize, certificates_max: usize },
    #[error("the client's chain has {bytes} bytes; {bytes_max} is the most")]
    TooLarge { bytes: usize, bytes_max: usize },
}

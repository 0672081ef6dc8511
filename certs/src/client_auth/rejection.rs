//! Why a client was not let in, as one of a few words.
//!
//! Owns the reading of rustls' errors where they are about a client's certificate. The set is
//! closed, so that it can be a label of a metric; the error itself has the details, in words of
//! ours where rustls' are for programmers. rustls alone decides which alert the client sees.

use rustls::pki_types::UnixTime;
use rustls::{CertificateError, Error, InvalidMessage, OtherError};
use thiserror::Error as ThisError;
use x509_parser::time::ASN1Time;

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

    /// The same error for people, where rustls' own words are not for them.
    #[must_use]
    pub fn words(error: &Error) -> Option<String> {
        use CertificateError as E;
        let Error::InvalidCertificate(error) = error else { return None };
        Some(match error {
            E::ExpiredContext { not_after, .. } => {
                format!("a certificate that the client shows has expired on {}", date(*not_after))
            }
            E::NotValidYetContext { not_before, .. } => {
                let start = date(*not_before);
                format!("a certificate that the client shows is not valid before {start}")
            }
            E::ExpiredRevocationListContext { next_update, .. } => {
                let end = date(*next_update);
                format!("the revocation list that speaks for the client has expired on {end}")
            }
            E::Other(OtherError(error)) => match error.to_string().as_str() {
                // What rustls passes on of webpki has a name, and no type that others can reach.
                "CaUsedAsEndEntity" => "the client shows the certificate of an authority \
                     (`basicConstraints` CA:TRUE) as its own, as self-signed ones often are"
                    .to_owned(),
                "UnsupportedCertVersion" => "a certificate that the client shows has X.509 \
                     version 1, and only version 3 can say whom it is for"
                    .to_owned(),
                words => words.to_owned(),
            },
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

/// To the second, since clocks that differ may be the reason.
fn date(time: UnixTime) -> String {
    let seconds = time.as_secs();
    let known = i64::try_from(seconds).ok().and_then(|s| ASN1Time::from_timestamp(s).ok());
    known.map_or_else(
        || format!("second {seconds} since 1970"),
        |time| {
            let time = time.to_datetime();
            let (hour, minute, second) = time.to_hms();
            format!("{} {hour:02}:{minute:02}:{second:02} UTC", time.date())
        },
    )
}

/// A chain beyond the bounds, which is not looked at.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ThisError)]
pub(super) enum ChainError {
    #[error("the client's chain has {certificates} certificates; {certificates_max} is the most")]
    TooDeep { certificates: usize, certificates_max: usize },
    #[error("the client's chain has {bytes} bytes; {bytes_max} is the most")]
    TooLarge { bytes: usize, bytes_max: usize },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_that_people_read() {
        let (time, not_after) = (at(1_795_337_083), at(1_795_219_205));
        let error = CertificateError::ExpiredContext { time, not_after };
        let words = Rejection::words(&error.into()).expect("words of our own");
        assert!(words.ends_with("has expired on 2026-11-21 00:00:05 UTC"), "{words}");
        let error = CertificateError::NotValidYetContext { time: not_after, not_before: time };
        let words = Rejection::words(&error.into()).expect("words of our own");
        assert!(words.ends_with("is not valid before 2026-11-22 08:44:43 UTC"), "{words}");
        assert!(date(at(u64::MAX)).contains("18446744073709551615"), "never a panic");
    }

    fn at(seconds: u64) -> UnixTime {
        UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds))
    }
}

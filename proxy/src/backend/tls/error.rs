//! Why TLS with an endpoint was not established, in words that say what to do.
//!
//! Owns [`TlsError`]: the reading of what rustls and the socket report. The set of reasons is
//! closed, since it is at once a label of metrics; the cause has the details. Refuses to know what
//! follows from it. Read next: the parent module.

use std::io;

use rustls::{AlertDescription, CertificateError, Error};

use crate::outcome::BackendFailure;

/// Why TLS with an endpoint was not established.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The endpoint, or the way to it, broke off.
    #[error("the endpoint broke off the handshake")]
    Broken(#[source] io::Error),
    /// Past its end.
    #[error("the certificate of the endpoint has expired; have it renewed there")]
    Expired(#[source] Error),
    /// Nothing was agreed on, or somebody broke the rules.
    #[error("the handshake failed")]
    Failed(#[source] Error),
    /// ALPN chose something else than was demanded, or nothing.
    #[error("the endpoint does not speak HTTP/2; set `protocol = \"http1\"`")]
    NoHttp2,
    /// There is nothing to compare the certificate with.
    #[error("there is no name that the certificate could be for; set `tls.server_name`")]
    NoName,
    /// Before its start.
    #[error(
        "the certificate of the endpoint is not valid yet; compare the clocks here and there, or \
         wait"
    )]
    NotYetValid(#[source] Error),
    /// What came is no record of TLS.
    #[error(
        "what the endpoint says is not TLS; correct its port, or leave `tls` out if it has none"
    )]
    NotTls(#[source] Error),
    /// The endpoint ended the handshake by its alert.
    #[error("the endpoint refuses the handshake{}", advice(*alert))]
    Refused {
        /// Its alert.
        alert: AlertDescription,
        /// The same as rustls has it.
        source: Error,
    },
    /// On a revocation list.
    #[error("the certificate of the endpoint is revoked; have another one issued")]
    Revoked(#[source] Error),
    /// Whatever else: an authority that is used as a server's certificate, a purpose, a constraint.
    #[error(
        "the certificate of the endpoint is not fit for a server; have one issued for server \
         authentication that is no authority itself"
    )]
    Unfit(#[source] Error),
    /// No revocation list that is current speaks for it.
    #[error(
        "no current revocation list speaks for the certificate of the endpoint; renew the lists \
         in `tls.crl`, one for each authority of its chain"
    )]
    UnknownRevocation(#[source] Error),
    /// No authority that is believed stands behind it.
    #[error(
        "nobody who is trusted has issued the certificate of the endpoint; name its authority in \
         `tls.ca`"
    )]
    Untrusted(#[source] Error),
    /// It is somebody else's, or names no host at all: a common name counts for nothing (RFC 9525
    /// §2).
    #[error(
        "the certificate of the endpoint is not for its name; correct the name of the endpoint, \
         or set `tls.server_name`"
    )]
    WrongName(#[source] Error),
}

impl TlsError {
    /// Reads what a handshake over a socket ended with.
    pub(super) fn of(error: io::Error) -> Self {
        match error.downcast::<Error>() {
            Ok(error) => Self::of_tls(error),
            Err(error) => Self::Broken(error),
        }
    }

    /// Reads what a connection broke with after the handshake, if it is the endpoint's refusal.
    pub(in crate::backend) fn of_refusal(error: &io::Error) -> Option<Self> {
        match error.get_ref()?.downcast_ref::<Error>()? {
            Error::AlertReceived(alert) => Some(Self::of_tls(Error::AlertReceived(*alert))),
            _ => None,
        }
    }

    fn of_tls(error: Error) -> Self {
        use CertificateError as E;
        let kind = match &error {
            Error::AlertReceived(alert) => {
                return Self::Refused { alert: *alert, source: error };
            }
            Error::InvalidCertRevocationList(_) => Self::UnknownRevocation,
            Error::InvalidCertificate(fault) => match fault {
                E::Expired | E::ExpiredContext { .. } => Self::Expired,
                E::NotValidYet | E::NotValidYetContext { .. } => Self::NotYetValid,
                E::NotValidForName | E::NotValidForNameContext { .. } => Self::WrongName,
                E::Revoked => Self::Revoked,
                E::ExpiredRevocationList
                | E::ExpiredRevocationListContext { .. }
                | E::UnknownRevocationStatus => Self::UnknownRevocation,
                E::BadSignature | E::UnknownIssuer => Self::Untrusted,
                _ => Self::Unfit,
            },
            Error::InvalidMessage(_) => Self::NotTls,
            _ => Self::Failed,
        };
        kind(error)
    }

    /// The reason in metrics and logs.
    pub fn failure(&self) -> BackendFailure {
        match self {
            Self::Expired(_) => BackendFailure::TlsExpired,
            Self::NotYetValid(_) => BackendFailure::TlsNotYetValid,
            Self::Refused { .. } => BackendFailure::TlsRefused,
            Self::Revoked(_) => BackendFailure::TlsRevoked,
            Self::UnknownRevocation(_) => BackendFailure::TlsUnknownRevocation,
            Self::Unfit(_) | Self::Untrusted(_) => BackendFailure::TlsUntrusted,
            Self::WrongName(_) => BackendFailure::TlsWrongName,
            Self::Broken(_) | Self::Failed(_) | Self::NoHttp2 | Self::NoName | Self::NotTls(_) => {
                BackendFailure::Tls
            }
        }
    }

    /// Whether the endpoint speaks nothing of what was offered (RFC 7301 §3.2).
    pub(in crate::backend) fn is_no_protocol(&self) -> bool {
        matches!(self, Self::Refused { alert: AlertDescription::NoApplicationProtocol, .. })
    }
}

/// What may be done about an alert.
fn advice(alert: AlertDescription) -> &'static str {
    use AlertDescription as A;
    match alert {
        A::CertificateRequired => "; show it who we are with `tls.credential`",
        A::AccessDenied
        | A::BadCertificate
        | A::CertificateExpired
        | A::CertificateRevoked
        | A::CertificateUnknown
        | A::DecryptError
        | A::UnknownCA
        | A::UnsupportedCertificate => "; it wants another `tls.credential`",
        // What TLS 1.2 has for a certificate that is missing, and for much else.
        A::HandshakeFailure => "; it may want a `tls.credential`, or has no cipher suite of ours",
        A::NoApplicationProtocol => "; it speaks no protocol that was offered",
        A::ProtocolVersion => "; it speaks neither TLS 1.2 nor 1.3",
        A::UnrecognisedName => {
            "; it does not serve the name in `tls.server_name` or of the endpoint"
        }
        _ => "",
    }
}

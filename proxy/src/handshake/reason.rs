//! What an error of rustls means, as one of the reasons that metrics and logs have.
//!
//! Owns the reading of its errors on the side of the server, and [`Broken`], which tells them to
//! people; those about a client's certificate are read by `certs`. Refuses to know when they come
//! up.

use std::fmt;

use portunus_certs::client_auth::Rejection;
use rustls::{AlertDescription, Error, PeerIncompatible};

use crate::outcome::HandshakeFailure;

use super::client;

/// An error of rustls, in words of ours where its own are for programmers.
#[derive(Clone, Debug, PartialEq)]
pub struct Broken(pub(super) Error);

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Rejection::words(&self.0) {
            Some(words) => f.write_str(&words),
            None => self.0.fmt(f),
        }
    }
}

impl std::error::Error for Broken {}

/// Why the handshake failed that ended with `error`.
pub(super) fn of(error: &Error) -> HandshakeFailure {
    if let Some(rejection) = Rejection::of(error) {
        return client::failure(rejection);
    }
    match error {
        Error::AlertReceived(alert) => said(*alert),
        Error::NoApplicationProtocol => HandshakeFailure::NoAlpn,
        Error::PeerIncompatible(lack) => lacking(lack),
        Error::DecryptError
        | Error::InappropriateHandshakeMessage { .. }
        | Error::InappropriateMessage { .. }
        | Error::InvalidMessage(_)
        | Error::PeerMisbehaved(_)
        | Error::PeerSentOversizedRecord => HandshakeFailure::ClientProtocol,
        _ => HandshakeFailure::Internal,
    }
}

/// What a client means by its alert (RFC 8446 §6.2).
fn said(alert: AlertDescription) -> HandshakeFailure {
    use AlertDescription as Alert;
    match alert {
        Alert::BadCertificate => HandshakeFailure::ClientAlertBadCertificate,
        Alert::BadCertificateStatusResponse => HandshakeFailure::ClientAlertStaple,
        Alert::CertificateExpired => HandshakeFailure::ClientAlertCertificateExpired,
        Alert::CertificateRevoked => HandshakeFailure::ClientAlertCertificateRevoked,
        Alert::CertificateUnknown => HandshakeFailure::ClientAlertCertificateUnknown,
        Alert::HandshakeFailure | Alert::InsufficientSecurity => {
            HandshakeFailure::ClientAlertHandshakeFailure
        }
        Alert::InternalError => HandshakeFailure::ClientAlertInternalError,
        Alert::BadRecordMac
        | Alert::DecodeError
        | Alert::DecryptError
        | Alert::DecryptionFailed
        | Alert::IllegalParameter
        | Alert::MissingExtension
        | Alert::RecordOverflow
        | Alert::UnexpectedMessage
        | Alert::UnsupportedExtension => HandshakeFailure::ClientAlertProtocol,
        Alert::InappropriateFallback | Alert::ProtocolVersion => {
            HandshakeFailure::ClientAlertProtocolVersion
        }
        Alert::UnknownCA => HandshakeFailure::ClientAlertUnknownCa,
        Alert::UnsupportedCertificate => HandshakeFailure::ClientAlertUnsupportedCertificate,
        _ => HandshakeFailure::ClientAlertOther,
    }
}

/// What a client lacks that would have to be agreed on.
fn lacking(lack: &PeerIncompatible) -> HandshakeFailure {
    use PeerIncompatible as Lack;
    match lack {
        Lack::NoCipherSuitesInCommon => HandshakeFailure::NoCipher,
        // Points on curves belong to groups (RFC 8422 §5.1).
        Lack::NoEcPointFormatsInCommon
        | Lack::NoKxGroupsInCommon
        | Lack::UncompressedEcPointsRequired => HandshakeFailure::NoGroup,
        Lack::NoCertificateRequestSignatureSchemesInCommon | Lack::NoSignatureSchemesInCommon => {
            HandshakeFailure::NoSignatureScheme
        }
        Lack::ServerDoesNotSupportTls12Or13
        | Lack::ServerTlsVersionIsDisabledByOurConfig
        | Lack::SupportedVersionsExtensionRequired
        | Lack::Tls12NotOffered
        | Lack::Tls12NotOfferedOrEnabled => HandshakeFailure::NoVersion,
        // Something is not there that has to be.
        _ => HandshakeFailure::ClientProtocol,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn each_alert_of_a_client_has_its_reason_and_none_is_our_fault() {
        let mut reasons = HashSet::new();
        for code in 0..=255 {
            let reason = of(&Error::AlertReceived(AlertDescription::from(code)));
            assert_ne!(reason, HandshakeFailure::Internal, "{code}");
            assert!(format!("{reason}").starts_with("client_alert_"), "{code}: {reason}");
            reasons.insert(reason);
        }
        assert_eq!(reasons.len(), 12, "{reasons:?}");
        let unknown_ca = of(&Error::AlertReceived(AlertDescription::from(48)));
        assert_eq!(unknown_ca, HandshakeFailure::ClientAlertUnknownCa);
    }

    #[test]
    fn what_cannot_be_agreed_on_says_what_it_is() {
        use HandshakeFailure as Reason;
        use PeerIncompatible as Lack;
        for (lack, reason) in [
            (Lack::NoCipherSuitesInCommon, Reason::NoCipher),
            (Lack::NoKxGroupsInCommon, Reason::NoGroup),
            (Lack::NoSignatureSchemesInCommon, Reason::NoSignatureScheme),
            (Lack::Tls12NotOffered, Reason::NoVersion),
            (Lack::Tls12NotOfferedOrEnabled, Reason::NoVersion),
            (Lack::SupportedVersionsExtensionRequired, Reason::NoVersion),
            (Lack::ExtendedMasterSecretExtensionRequired, Reason::ClientProtocol),
            (Lack::KeyShareExtensionRequired, Reason::ClientProtocol),
        ] {
            assert_eq!(of(&Error::PeerIncompatible(lack.clone())), reason, "{lack:?}");
        }
        assert_eq!(of(&Error::General("bug".to_owned())), Reason::Internal);
        assert_eq!(of(&Error::NoCertificatesPresented), Reason::ClientCertMissing);
    }
}

//! Who the client is, once the handshake is over.
//!
//! Owns [`identify`], the second look at what rustls has verified: where a client has to be
//! authenticated, a handshake that shows nobody is a failure, whatever let it finish. Owns as well
//! how a refused certificate is counted. Refuses to know how certificates are verified; that is
//! `certs::client_auth`.

use std::sync::Arc;

use portunus_certs::client_auth::{ClientIdentity, Demand, Rejection};
use rustls::pki_types::CertificateDer;
use rustls::{HandshakeKind, ServerConnection};

use crate::outcome::HandshakeFailure;

/// The client of a finished handshake; `None` if it stays anonymous, as far as `demand` allows.
pub(super) fn identify(
    demand: Option<Demand>,
    tls: &ServerConnection,
) -> Result<Option<Arc<ClientIdentity>>, Unidentified> {
    let resumed = tls.handshake_kind() == Some(HandshakeKind::Resumed);
    judge(demand, tls.peer_certificates(), if resumed { Proof::Resumed } else { Proof::Given })
}

/// Whether the client has proved in this very handshake that it is who it says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Proof {
    Given,
    Resumed,
}

fn judge(
    demand: Option<Demand>,
    chain: Option<&[CertificateDer<'_>]>,
    proof: Proof,
) -> Result<Option<Arc<ClientIdentity>>, Unidentified> {
    match (demand, proof, chain.unwrap_or_default()) {
        (None, _, _) => Ok(None),
        (Some(_), Proof::Resumed, _) => Err(Unidentified::Resumed),
        (Some(Demand::Require), Proof::Given, []) => Err(Unidentified::Missing),
        (Some(Demand::Request), Proof::Given, []) => Ok(None),
        (Some(_), Proof::Given, chain) => {
            let identity = ClientIdentity::new(chain).ok_or(Unidentified::Unreadable)?;
            Ok(Some(Arc::new(identity)))
        }
    }
}

/// Why a finished handshake does not say who the client is.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Unidentified {
    /// There is no certificate.
    #[error("the site requires a certificate of the client, and there is none")]
    Missing,
    /// The certificate of an earlier handshake was not verified again.
    #[error("the session was resumed at a site that authenticates its clients")]
    Resumed,
    /// The certificate was verified, and yet cannot be read.
    #[error("the certificate of the client cannot be read")]
    Unreadable,
}

impl Unidentified {
    /// The reason as metrics and logs have it.
    pub fn failure(self) -> HandshakeFailure {
        match self {
            Self::Missing => HandshakeFailure::ClientCertMissing,
            Self::Resumed => HandshakeFailure::Internal,
            Self::Unreadable => HandshakeFailure::ClientCertEncoding,
        }
    }
}

/// A refused certificate as metrics and logs have it.
pub(super) fn failure(rejection: Rejection) -> HandshakeFailure {
    match rejection {
        Rejection::Encoding => HandshakeFailure::ClientCertEncoding,
        Rejection::Expired => HandshakeFailure::ClientCertExpired,
        Rejection::Missing => HandshakeFailure::ClientCertMissing,
        Rejection::NotYetValid => HandshakeFailure::ClientCertNotYetValid,
        Rejection::Other => HandshakeFailure::ClientCertOther,
        Rejection::Purpose => HandshakeFailure::ClientCertPurpose,
        Rejection::Revoked => HandshakeFailure::ClientCertRevoked,
        Rejection::Signature => HandshakeFailure::ClientCertSignature,
        Rejection::StaleRevocation => HandshakeFailure::ClientCertStaleRevocation,
        Rejection::TooDeep => HandshakeFailure::ClientCertTooDeep,
        Rejection::TooLarge => HandshakeFailure::ClientCertTooLarge,
        Rejection::UnknownIssuer => HandshakeFailure::ClientCertUnknownIssuer,
        Rejection::UnknownRevocation => HandshakeFailure::ClientCertUnknownRevocation,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_clients_are_authenticated_a_handshake_that_shows_nobody_fails() {
        let none = |demand, proof| judge(demand, None, proof).map(|identity| identity.is_some());
        assert_eq!(none(None, Proof::Given), Ok(false));
        assert_eq!(none(None, Proof::Resumed), Ok(false));
        assert_eq!(none(Some(Demand::Request), Proof::Given), Ok(false));
        assert_eq!(none(Some(Demand::Require), Proof::Given), Err(Unidentified::Missing));
        assert_eq!(
            judge(Some(Demand::Require), Some(&[]), Proof::Given).map(|_| ()),
            Err(Unidentified::Missing)
        );
        for demand in [Demand::Request, Demand::Require] {
            assert_eq!(none(Some(demand), Proof::Resumed), Err(Unidentified::Resumed));
            let garbage = [CertificateDer::from(vec![0x30, 0x03])];
            let judged = judge(Some(demand), Some(&garbage), Proof::Given);
            assert_eq!(judged.map(|_| ()), Err(Unidentified::Unreadable));
        }
    }
}

//! Who the client is, once the handshake is over.
//!
//! Owns [`identify`], the second look at what rustls has verified: where a client has to be
//! authenticated, a handshake that shows nobody is a failure, whatever let it finish; and where a
//! session was resumed, its certificates are verified again, by the authorities and revocation
//! lists of today and before anything is forwarded, since rustls only restores them. Owns as well
//! how a refused certificate is counted. Refuses to know how certificates are verified; that is
//! `certs::client_auth`.

use std::sync::Arc;

use portunus_certs::client_auth::{ClientIdentity, Demand, Rejection};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::ClientCertVerifier;
use rustls::{HandshakeKind, ServerConnection};

use crate::outcome::HandshakeFailure;

use super::reason::Broken;

/// How the client of a connection is authenticated.
#[derive(Clone, Debug)]
pub struct Authentication {
    /// Whether it may do without a certificate.
    pub demand: Demand,
    /// Verifies the certificates of a resumed session again; without it none may be resumed.
    pub again: Option<Arc<dyn ClientCertVerifier>>,
}

/// The client of a finished handshake; `None` if it stays anonymous, as far as that is allowed.
pub(super) fn identify(
    authentication: Option<&Authentication>,
    tls: &ServerConnection,
) -> Result<Option<Arc<ClientIdentity>>, Unidentified> {
    let resumed = tls.handshake_kind() == Some(HandshakeKind::Resumed);
    let proof = if resumed { Proof::Resumed } else { Proof::Given };
    judge(authentication, tls.peer_certificates(), proof, UnixTime::now())
}

/// Whether the client has proved in this very handshake that it is who it says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Proof {
    Given,
    Resumed,
}

fn judge(
    authentication: Option<&Authentication>,
    chain: Option<&[CertificateDer<'_>]>,
    proof: Proof,
    now: UnixTime,
) -> Result<Option<Arc<ClientIdentity>>, Unidentified> {
    let Some(Authentication { demand, again }) = authentication else { return Ok(None) };
    let again = match (proof, again) {
        (Proof::Given, _) => None,
        (Proof::Resumed, Some(again)) => Some(again),
        (Proof::Resumed, None) => return Err(Unidentified::Resumed),
    };
    let chain = chain.unwrap_or_default();
    let Some((leaf, intermediates)) = chain.split_first() else {
        return match demand {
            Demand::Require => Err(Unidentified::Missing),
            Demand::Request => Ok(None),
        };
    };
    if let Some(again) = again {
        again
            .verify_client_cert(leaf, intermediates, now)
            .map_err(|error| Unidentified::Outdated(Broken(error)))?;
    }
    let identity = ClientIdentity::new(chain).ok_or(Unidentified::Unreadable)?;
    Ok(Some(Arc::new(identity)))
}

/// Why a finished handshake does not say who the client is.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Unidentified {
    /// There is no certificate.
    #[error("the site requires a certificate of the client, and there is none")]
    Missing,
    /// The certificate of the resumed session is no longer good.
    #[error("the certificate that the session was made with is no longer good")]
    Outdated(#[source] Broken),
    /// The certificate of an earlier handshake was not verified again.
    #[error("the session was resumed at a site that authenticates its clients")]
    Resumed,
    /// The certificate was verified, and yet cannot be read.
    #[error("the certificate of the client cannot be read")]
    Unreadable,
}

impl Unidentified {
    /// The reason as metrics and logs have it.
    pub fn failure(&self) -> HandshakeFailure {
        match self {
            Self::Missing => HandshakeFailure::ClientCertMissing,
            Self::Outdated(Broken(error)) => {
                Rejection::of(error).map_or(HandshakeFailure::ClientCertOther, failure)
            }
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

    fn authentication(demand: Demand) -> Authentication {
        Authentication { demand, again: None }
    }

    #[test]
    fn where_clients_are_authenticated_a_handshake_that_shows_nobody_fails() {
        let judge = |demand: Option<Demand>, chain: Option<&[CertificateDer<'_>]>, proof| {
            let authentication = demand.map(authentication);
            let judged = judge(authentication.as_ref(), chain, proof, UnixTime::now());
            judged.map(|identity| identity.is_some())
        };
        assert_eq!(judge(None, None, Proof::Given), Ok(false));
        assert_eq!(judge(None, None, Proof::Resumed), Ok(false));
        assert_eq!(judge(Some(Demand::Request), None, Proof::Given), Ok(false));
        let (require, missing) = (Some(Demand::Require), Err(Unidentified::Missing));
        assert_eq!(judge(require, None, Proof::Given), missing);
        assert_eq!(judge(require, Some(&[]), Proof::Given), missing);
        for demand in [Demand::Request, Demand::Require] {
            assert_eq!(judge(Some(demand), None, Proof::Resumed), Err(Unidentified::Resumed));
            let garbage = [CertificateDer::from(vec![0x30, 0x03])];
            let judged = judge(Some(demand), Some(&garbage), Proof::Given);
            assert_eq!(judged, Err(Unidentified::Unreadable));
        }
    }
}

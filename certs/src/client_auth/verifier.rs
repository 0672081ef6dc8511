//! What stands around rustls' verifier of clients.
//!
//! Owns three things that rustls leaves to us: the bounds on a chain, which are looked at before
//! any certificate is; the refusal of leaves whose names hold control characters, which somebody
//! behind us would take for the end of a header or of a string; and the length of the list of
//! authorities that clients are shown. Everything else is rustls' own, unchanged: signatures,
//! dates, purposes, constraints, revocation.

use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, SignatureScheme,
};
use x509_parser::extensions::GeneralName;
use x509_parser::oid_registry;
use x509_parser::x509::X509Name;

use super::ChainBounds;
use super::rejection::ChainError;
use super::subject;

/// The verifier of one trust.
#[derive(Debug)]
pub(super) struct Verifier {
    inner: Arc<dyn ClientCertVerifier>,
    bounds: ChainBounds,
    hints: Vec<DistinguishedName>,
}

impl Verifier {
    pub(super) fn new(inner: Arc<dyn ClientCertVerifier>, bounds: ChainBounds) -> Self {
        let hints = inner.root_hint_subjects();
        let bytes: usize = hints.iter().map(|name| name.as_ref().len() + 2).sum();
        let hints = if bytes > HINTS_BYTES_MAX { Vec::new() } else { hints.to_vec() };
        Self { inner, bounds, hints }
    }

    fn check_bounds(&self, certificates: usize, bytes: usize) -> Result<(), ChainError> {
        let ChainBounds { certificates_max, bytes_max } = self.bounds;
        if certificates > certificates_max {
            return Err(ChainError::TooDeep { certificates, certificates_max });
        }
        if bytes > bytes_max {
            return Err(ChainError::TooLarge { bytes, bytes_max });
        }
        Ok(())
    }
}

impl ClientCertVerifier for Verifier {
    fn offer_client_auth(&self) -> bool {
        self.inner.offer_client_auth()
    }

    fn client_auth_mandatory(&self) -> bool {
        self.inner.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.hints
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let sizes = intermediates.iter().map(|der| der.len());
        let bytes = sizes.fold(end_entity.len(), usize::saturating_add);
        if let Err(error) = self.check_bounds(intermediates.len().saturating_add(1), bytes) {
            return Err(CertificateError::Other(OtherError(Arc::new(error))).into());
        }
        let verified = self.inner.verify_client_cert(end_entity, intermediates, now)?;
        // Last, so that only leaves that an authority stands behind cost a second parsing.
        if names_are_plain(end_entity) {
            Ok(verified)
        } else {
            Err(CertificateError::BadEncoding.into())
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

/// Whether the leaf can be read, and no name in it that identifies somebody holds a NUL or
/// another control character.
fn names_are_plain(leaf: &CertificateDer<'_>) -> bool {
    let Ok(([], certificate)) = x509_parser::parse_x509_certificate(leaf) else {
        return false;
    };
    let Ok(alternatives) = certificate.subject_alternative_name() else {
        return false;
    };
    let mut names = alternatives.iter().flat_map(|extension| &extension.value.general_names);
    subject_is_plain(certificate.subject()) && names.all(alternative_is_plain)
}

fn alternative_is_plain(name: &GeneralName<'_>) -> bool {
    match name {
        GeneralName::DNSName(text) | GeneralName::RFC822Name(text) | GeneralName::URI(text) => {
            is_plain(text)
        }
        GeneralName::DirectoryName(name) => subject_is_plain(name),
        GeneralName::Invalid(..) => false,
        // Neither text nor anything that is shown as text.
        GeneralName::OtherName(..)
        | GeneralName::X400Address(_)
        | GeneralName::EDIPartyName(_)
        | GeneralName::IPAddress(_)
        | GeneralName::RegisteredID(_) => true,
    }
}

/// Common names and mail addresses only: a postal address may have line ends.
fn subject_is_plain(name: &X509Name<'_>) -> bool {
    name.iter_attributes().all(|attribute| {
        let kind = attribute.attr_type();
        let identifies = *kind == oid_registry::OID_X509_COMMON_NAME
            || *kind == oid_registry::OID_PKCS9_EMAIL_ADDRESS;
        !identifies || subject::string(attribute.attr_value()).is_some_and(|text| is_plain(&text))
    })
}

fn is_plain(text: &str) -> bool {
    !text.chars().any(char::is_control)
}

/// A CertificateRequest with more names than this is not sent: it would fill a flight of packets,
/// the protocol itself ends at 64 KiB, and clients exist that give up long before. Without names
/// a client chooses for itself (RFC 8446 section 4.2.4, RFC 5246 section 7.4.4), and what it shows
/// is verified as ever.
const HINTS_BYTES_MAX: usize = 8 << 10;

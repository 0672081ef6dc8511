//! Who signed a response.
//!
//! Owns the rule of RFC 6960 section 4.2.2.2: the authority that issued the certificate signs, or
//! a responder whose certificate lies in the response, is issued by that very authority and is
//! made for signing responses. Clients verify this as well, and one that is strict ends the
//! connection over a staple that is wrong; so where the certificate of the authority is at hand,
//! only what it verifies is sent. An algorithm that the provider does not have, SHA-1 above all,
//! is one that clients refuse.

use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::CertificateDer;
use x509_parser::asn1_rs::{FromDer as _, Tag};
use x509_parser::certificate::X509Certificate;

use super::der::{Der, Malformed};

/// Something with its signature: the first three fields of a response and of a certificate.
#[derive(Clone, Copy)]
pub(super) struct Signed<'a> {
    /// What is signed, with tag and length.
    pub(super) data: &'a [u8],
    /// The content of the AlgorithmIdentifier.
    algorithm: &'a [u8],
    signature: &'a [u8],
}

/// Whether a signature is the authority's.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Verdict {
    /// It is, and it can be verified until then, in seconds since 1970: the end of the
    /// responder's own certificate.
    Right {
        /// The last second.
        until: i64,
    },
    /// The certificate of the authority is not at hand.
    Unknown,
    /// It is not, or is made with an algorithm that nobody verifies any more.
    Wrong,
}

impl<'a> Signed<'a> {
    pub(super) fn read(der: &mut Der<'a>) -> Result<Self, Malformed> {
        let data = der.whole_sequence()?;
        let algorithm = der.value(Tag::Sequence)?;
        Ok(Self { data, algorithm, signature: der.bits()? })
    }

    /// Judges a response that brings `certificates`, for a certificate that `issuer` issued.
    pub(super) fn judge(
        self,
        certificates: Der<'_>,
        issuer: &CertificateDer<'_>,
        algorithms: WebPkiSupportedAlgorithms,
    ) -> Verdict {
        let Ok((_, authority)) = X509Certificate::from_der(issuer) else {
            return Verdict::Unknown;
        };
        if self.is_by(authority.public_key().raw, algorithms) {
            return Verdict::Right { until: i64::MAX };
        }
        let mut certificates = certificates;
        for _ in 0..RESPONDERS_MAX {
            let Ok(der) = certificates.whole_sequence() else { break };
            let Some(until) = responder(der, &authority, algorithms) else { continue };
            let is_by = X509Certificate::from_der(der)
                .map(|(_, responder)| self.is_by(responder.public_key().raw, algorithms));
            if is_by == Ok(true) {
                return Verdict::Right { until };
            }
        }
        Verdict::Wrong
    }

    /// Whether the signature is by the key of this SubjectPublicKeyInfo.
    fn is_by(self, key: &[u8], algorithms: WebPkiSupportedAlgorithms) -> bool {
        let Ok((key_algorithm, key)) = public_key(key) else { return false };
        algorithms.all.iter().any(|known| {
            known.signature_alg_id().as_ref() == self.algorithm
                && known.public_key_alg_id().as_ref() == key_algorithm
                && known.verify_signature(key, self.data, self.signature).is_ok()
        })
    }
}

/// The end of a responder's certificate, if `authority` issued it for signing responses.
fn responder(
    der: &[u8],
    authority: &X509Certificate<'_>,
    algorithms: WebPkiSupportedAlgorithms,
) -> Option<i64> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let usage = certificate.extended_key_usage().ok().flatten();
    let named = certificate.issuer().as_raw() == authority.subject().as_raw();
    if !named || !usage.is_some_and(|usage| usage.value.ocsp_signing) {
        return None;
    }
    let signed = Signed::read(&mut Der::new(der).sequence().ok()?).ok()?;
    let by_authority = signed.is_by(authority.public_key().raw, algorithms);
    by_authority.then(|| certificate.validity().not_after.timestamp())
}

/// The content of the AlgorithmIdentifier and the key of a SubjectPublicKeyInfo.
pub(super) fn public_key(info: &[u8]) -> Result<(&[u8], &[u8]), Malformed> {
    let mut info = Der::new(info).sequence()?;
    let algorithm = info.value(Tag::Sequence)?;
    Ok((algorithm, info.bits()?))
}

/// Certificates of a response that are looked at; a response has one.
const RESPONDERS_MAX: usize = 4;

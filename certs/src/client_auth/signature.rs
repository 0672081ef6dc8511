//! Whether one key signed one certificate or one revocation list.
//!
//! Owns the outer framing that both share, `SEQUENCE { what is signed, algorithm, signature }`
//! (RFC 5280 sections 4.1 and 5.1), and the choice of the algorithm. It is asked about files that
//! an operator installed, in order to tell damage from content before anything is published.
//! Clients are not its business: rustls verifies those, in `verifier`.

use rustls::crypto::CryptoProvider;
use x509_parser::asn1_rs::{Any, FromDer as _, Tag};

/// What came of looking at a signature.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Verdict {
    /// The key made it.
    Good,
    /// The key did not, or the bytes are not what was signed.
    Bad,
    /// Made with an algorithm that is not ours.
    Unsupported,
}

/// Whether the key of `public_key` (SubjectPublicKeyInfo) signed `der`.
pub(super) fn check(der: &[u8], public_key: &[u8], provider: &CryptoProvider) -> Verdict {
    let (Some(signed), Some(key)) = (Signed::of(der), Key::of(public_key)) else {
        return Verdict::Bad;
    };
    let mut verdict = Verdict::Unsupported;
    // One signature algorithm stands there once for every kind of key that it goes with.
    for algorithm in provider.signature_verification_algorithms.all {
        let ours = algorithm.signature_alg_id().as_ref() == signed.algorithm
            && algorithm.public_key_alg_id().as_ref() == key.algorithm;
        if ours {
            match algorithm.verify_signature(key.bits, signed.message, signed.signature) {
                Ok(()) => return Verdict::Good,
                Err(_) => verdict = Verdict::Bad,
            }
        }
    }
    verdict
}

/// Whether rustls could verify anything with this key (SubjectPublicKeyInfo).
pub(super) fn is_supported(public_key: &[u8], provider: &CryptoProvider) -> bool {
    let known = provider.signature_verification_algorithms.all.iter();
    let mut known = known.map(|algorithm| algorithm.public_key_alg_id());
    Key::of(public_key).is_some_and(|key| known.any(|known| known.as_ref() == key.algorithm))
}

/// The content of each value in a row of DER values; ends early at what is none.
pub(super) fn values(der: &[u8]) -> impl Iterator<Item = Any<'_>> {
    let mut rest = der;
    std::iter::from_fn(move || {
        let (behind, value) = Any::from_der(rest).ok()?;
        rest = behind;
        Some(value)
    })
}

struct Signed<'a> {
    message: &'a [u8],
    algorithm: &'a [u8],
    signature: &'a [u8],
}

impl<'a> Signed<'a> {
    fn of(der: &'a [u8]) -> Option<Self> {
        let (_, whole) = Any::from_der(der).ok()?;
        let (rest, inner) = Any::from_der(whole.data).ok()?;
        let message = whole.data.get(..whole.data.len().checked_sub(rest.len())?)?;
        let mut outside = values(rest);
        let algorithm = outside.next()?.data;
        let signature = bits(&outside.next()?)?;
        // The algorithm stands inside and outside of what is signed, and has to be one.
        let inside = values(inner.data).find(|value| value.tag() == Tag::Sequence)?;
        (inside.data == algorithm).then_some(Self { message, algorithm, signature })
    }
}

struct Key<'a> {
    algorithm: &'a [u8],
    bits: &'a [u8],
}

impl<'a> Key<'a> {
    fn of(public_key: &'a [u8]) -> Option<Self> {
        let (_, whole) = Any::from_der(public_key).ok()?;
        let mut parts = values(whole.data);
        Some(Self { algorithm: parts.next()?.data, bits: bits(&parts.next()?)? })
    }
}

/// A BIT STRING of whole bytes.
fn bits<'a>(value: &Any<'a>) -> Option<&'a [u8]> {
    match (value.tag(), value.data) {
        (Tag::BitString, [0, bytes @ ..]) => Some(bytes),
        _ => None,
    }
}

//! OCSP staples: DER to answers about certificates.
//!
//! Owns the reading of a response (RFC 6960 section 4.2.1) as far as a server needs it: about
//! which certificates it speaks, what it says, and until when. To whom a staple belongs is found
//! by comparing what it names with what a chain holds, never by file name. Refuses to know when a
//! staple is sent; that is [`crate::staple`]. Within, `der` reads and `signature` verifies.
//!
//! A response whose answers have no `nextUpdate` is refused: it says that newer ones are to be had
//! at any time (section 4.2.2.1), so one that lies in a file is out of date by its own word, and
//! clients differ in how many days they give it.

mod der;
mod signature;

use std::sync::Arc;

use aws_lc_rs::digest::{self, SHA1_FOR_LEGACY_USE_ONLY, SHA256};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms};
use x509_parser::asn1_rs::{FromDer as _, Tag};
use x509_parser::certificate::X509Certificate;

use self::der::{Der, Malformed};
use self::signature::Signed;
use super::{Chain, LoadError};
use crate::credential::digest_bytes;

pub(crate) use self::signature::Verdict;

/// A response, as it is sent, and what it says.
#[derive(Debug)]
pub(crate) struct Staple {
    /// DER, unchanged.
    pub(crate) bytes: Arc<[u8]>,
    /// SHA-256 of the bytes.
    pub(crate) digest: [u8; 32],
    /// One for each certificate that it speaks about; at least one.
    pub(crate) answers: Box<[Answer]>,
    algorithms: WebPkiSupportedAlgorithms,
}

/// What a response says of one certificate.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: CertificateStatus,
    /// When this was known to be so, in seconds since 1970.
    pub(crate) this_update: i64,
    /// When there will be newer knowledge, in seconds since 1970.
    pub(crate) next_update: i64,
    /// The content of the INTEGER.
    pub(crate) serial: Box<[u8]>,
    hash: &'static digest::Algorithm,
    issuer_name: Box<[u8]>,
    issuer_key: Box<[u8]>,
}

/// What an authority says of a certificate.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum CertificateStatus {
    /// Not revoked.
    Good,
    /// Revoked, for ever or for now.
    Revoked,
    /// The authority does not know it.
    Unknown,
}

/// Reads a response of at most [`STAPLE_BYTES_MAX`].
pub(super) fn parse(bytes: &[u8], provider: &CryptoProvider) -> Result<Staple, LoadError> {
    let fault = |reason| Err(LoadError::Staple { reason });
    match bytes {
        [] => return Err(LoadError::Empty),
        _ if bytes.len() > STAPLE_BYTES_MAX => return fault(TOO_LARGE),
        _ if bytes.trim_ascii_start().starts_with(b"-----BEGIN") => return fault(PEM),
        _ => {}
    }
    let answers = match Response::read(bytes) {
        Ok(response) => response.answers().map_err(|reason| LoadError::Staple { reason })?,
        Err(reason) => return fault(reason),
    };
    Ok(Staple {
        bytes: bytes.into(),
        digest: digest_bytes(digest::digest(&SHA256, bytes)),
        answers: answers.into(),
        algorithms: provider.signature_verification_algorithms,
    })
}

impl Staple {
    /// Whether the authority of `chain` signed it.
    pub(crate) fn verdict(&self, chain: &Chain) -> Verdict {
        let Some(issuer) = chain.issuer() else { return Verdict::Unknown };
        match Response::read(&self.bytes) {
            Ok(response) => response.signed.judge(response.certificates, issuer, self.algorithms),
            // It was read before.
            Err(_) => Verdict::Wrong,
        }
    }
}

impl Answer {
    /// Whether it is about the leaf of `chain`. The key of the issuer is compared if the chain
    /// holds it.
    pub(crate) fn is_about(&self, chain: &Chain) -> bool {
        let hashes_to =
            |bytes: &[u8], hash: &[u8]| digest::digest(self.hash, bytes).as_ref() == hash;
        let is_issuers_key = |issuer| {
            let issuer = X509Certificate::from_der(issuer).ok().map(|(_, issuer)| issuer);
            let key = issuer.map(|issuer| issuer.tbs_certificate.subject_pki.raw);
            let key = key.and_then(|key| signature::public_key(key).ok());
            key.is_some_and(|(_, key)| hashes_to(key, &self.issuer_key))
        };
        *self.serial == *chain.leaf.serial
            && chain.issuer_name().is_some_and(|name| hashes_to(name, &self.issuer_name))
            && chain.issuer().is_none_or(|issuer| is_issuers_key(issuer))
    }
}

/// The parts of a response.
struct Response<'a> {
    signed: Signed<'a>,
    certificates: Der<'a>,
}

impl<'a> Response<'a> {
    fn read(bytes: &'a [u8]) -> Result<Self, &'static str> {
        let mut file = Der::new(bytes);
        let mut response = file.sequence().map_err(|Malformed| NO_RESPONSE)?;
        file.end().map_err(|Malformed| TRAILING)?;
        match response.value(Tag::Enumerated).map_err(|Malformed| NO_RESPONSE)? {
            [0] => {}
            [1] => return Err("the responder did not understand the request"),
            [2] => return Err("the responder had an error of its own"),
            [3] => return Err("the responder asks to try again later"),
            [5] => return Err("the responder asks for a signed request"),
            [6] => return Err("the responder does not answer for this certificate"),
            _ => return Err("its status is none that RFC 6960 knows"),
        }
        let mut content = Self::basic(response).map_err(|Malformed| MALFORMED)?.ok_or(NOT_BASIC)?;
        Self::parts(&mut content).map_err(|Malformed| MALFORMED)
    }

    /// The content of a BasicOCSPResponse; `None` if it is of another kind.
    fn basic(mut response: Der<'a>) -> Result<Option<Der<'a>>, Malformed> {
        let mut outer = response.context(0)?.ok_or(Malformed)?;
        response.end()?;
        let mut inner = outer.sequence()?;
        outer.end()?;
        if inner.value(Tag::Oid)? != ID_PKIX_OCSP_BASIC {
            return Ok(None);
        }
        let mut basic = Der::new(inner.value(Tag::OctetString)?);
        inner.end()?;
        let content = basic.sequence()?;
        basic.end()?;
        Ok(Some(content))
    }

    fn parts(basic: &mut Der<'a>) -> Result<Self, Malformed> {
        let signed = Signed::read(basic)?;
        let mut certificates = Der::new(&[]);
        if let Some(mut outer) = basic.context(0)? {
            certificates = outer.sequence()?;
            outer.end()?;
        }
        basic.end()?;
        Ok(Self { signed, certificates })
    }

    fn answers(&self) -> Result<Vec<Answer>, &'static str> {
        let mut answers = Vec::new();
        let mut list = self.list().map_err(|Malformed| MALFORMED)?;
        if list.is_empty() {
            return Err("it answers for no certificate");
        }
        while !list.is_empty() {
            let single = list.sequence().map_err(|Malformed| MALFORMED)?;
            answers.extend(answer(single)?);
        }
        // What names its certificate by another hash is about nobody that can be found.
        if answers.is_empty() { Err(HASH) } else { Ok(answers) }
    }

    /// The list of SingleResponses within the ResponseData.
    fn list(&self) -> Result<Der<'a>, Malformed> {
        let mut data = Der::new(self.signed.data).sequence()?;
        // The version; 1 is the only one, and DER leaves it out.
        data.context(0)?;
        let by_name = data.context(1)?;
        if by_name.is_none() {
            data.context(2)?.ok_or(Malformed)?;
        }
        let _produced_at = data.time()?;
        let list = data.sequence()?;
        let _extensions = data.context(1)?;
        data.end()?;
        Ok(list)
    }
}

/// Reads a SingleResponse; `None` if it names the certificate by a hash that we do not compute.
fn answer(mut single: Der<'_>) -> Result<Option<Answer>, &'static str> {
    let malformed = |Malformed| MALFORMED;
    let mut id = single.sequence().map_err(malformed)?;
    let status = status(&mut single).map_err(malformed)?;
    let this_update = single.time().map_err(malformed)?;
    let next_update = match single.context(0).map_err(malformed)? {
        Some(mut next_update) => next_update.time().map_err(malformed)?,
        None => return Err(NO_END),
    };
    if next_update <= this_update {
        return Err("its answer ends before it begins");
    }
    let read = |id: &mut Der<'_>| -> Result<Option<Answer>, Malformed> {
        let hash = match id.sequence()?.value(Tag::Oid)? {
            ID_SHA1 => &SHA1_FOR_LEGACY_USE_ONLY,
            ID_SHA256 => &SHA256,
            _ => return Ok(None),
        };
        let issuer_name = id.value(Tag::OctetString)?.into();
        let issuer_key = id.value(Tag::OctetString)?.into();
        let serial = id.value(Tag::Integer)?.into();
        id.end()?;
        let answer =
            Answer { status, this_update, next_update, serial, hash, issuer_name, issuer_key };
        Ok(Some(answer))
    };
    read(&mut id).map_err(malformed)
}

fn status(single: &mut Der<'_>) -> Result<CertificateStatus, Malformed> {
    for (number, status) in [
        (0, CertificateStatus::Good),
        (1, CertificateStatus::Revoked),
        (2, CertificateStatus::Unknown),
    ] {
        if single.is_context(number)? {
            return Ok(status);
        }
    }
    Err(Malformed)
}

/// Far above a response with the certificates of its responder.
const STAPLE_BYTES_MAX: usize = 64 << 10;

const TOO_LARGE: &str = "it has more than 64 KiB";
const PEM: &str = "it is PEM, not DER; `openssl ocsp -respout` writes DER";
const NO_RESPONSE: &str = "the bytes are no OCSP response, or not all of one";
const TRAILING: &str = "bytes follow its end";
const MALFORMED: &str = "its structure is damaged";
const NOT_BASIC: &str = "it is of a type other than id-pkix-ocsp-basic";
const HASH: &str = "it names its certificates by a hash that is neither SHA-1 nor SHA-256";
const NO_END: &str = "an answer has no nextUpdate, so nobody can tell how long it may be sent; \
    with `openssl ocsp`, add -ndays";

/// 1.3.6.1.5.5.7.48.1.1
const ID_PKIX_OCSP_BASIC: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 0x30, 1, 1];
/// 1.3.14.3.2.26
const ID_SHA1: &[u8] = &[0x2b, 0x0e, 3, 2, 0x1a];
/// 2.16.840.1.101.3.4.2.1
const ID_SHA256: &[u8] = &[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 1];

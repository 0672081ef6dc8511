//! Certificates: DER to the fields that Portunus needs, certificates to chains.
//!
//! Owns the reading of X.509 fields and the rule by which the certificates of a file are divided
//! into chains. Verifies no signature: a client does that, and a chain that we believed wrong
//! would still be what the operator asked us to serve.

use std::ops::Range;

use aws_lc_rs::digest::{self, SHA256};
use rustls::pki_types::CertificateDer;
use x509_parser::asn1_rs::{FromDer as _, Oid, oid};
use x509_parser::certificate::X509Certificate;
use x509_parser::error::X509Error;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::oid_registry;
use x509_parser::public_key::PublicKey;
use x509_parser::x509::SubjectPublicKeyInfo;

use super::{CHAIN_CERTIFICATES_MAX, LoadError};
use crate::credential::{KeyKind, PublicKeyId, digest_bytes};
use crate::name::NamePattern;

/// From when and until when a certificate is valid, in seconds since 1970; `None` if it cannot be
/// read.
#[must_use]
pub fn validity(certificate: &CertificateDer<'_>) -> Option<Range<i64>> {
    let validity = &parse(0, certificate).ok()?.validity;
    Some(validity.not_before.timestamp()..validity.not_after.timestamp())
}

/// A leaf, and the certificates that lead from it towards a root.
pub(crate) struct Chain {
    pub(crate) certificates: Vec<CertificateDer<'static>>,
    pub(crate) leaf: Leaf,
    /// SHA-256 over all certificates.
    pub(crate) digest: [u8; 32],
    /// Whether each certificate names the next one as its issuer.
    pub(crate) unbroken: bool,
    /// A hash that clients reject in signatures. That of a root is checked by nobody.
    pub(crate) weak_signature: Option<&'static str>,
}

/// What the first certificate of a chain says.
pub(crate) struct Leaf {
    pub(crate) names: Box<[NamePattern]>,
    /// DNS names in the certificate that are no names, with what they looked like.
    pub(crate) odd_names: Box<[String]>,
    pub(crate) not_before: i64,
    pub(crate) not_after: i64,
    pub(crate) issuer: Box<str>,
    pub(crate) public_key: PublicKeyId,
    /// The algorithm, or the name of one that we cannot sign with.
    pub(crate) kind: Result<KeyKind, Box<str>>,
    /// What it is signed with, as OpenSSL calls it, if that is known here.
    pub(crate) signature: Option<&'static str>,
    pub(crate) fingerprint: [u8; 32],
    /// An authority, and nothing that a server would show.
    pub(crate) authority: bool,
    /// Says of itself that it is an authority. Without its key it is a link of somebody's chain
    /// or a root to trust, as `chain.pem` and `ca.crt` are, and not half of a credential.
    pub(crate) issues: bool,
    pub(crate) subject: Box<str>,
    pub(crate) self_issued: bool,
    /// Says where its issuer's certificate can be fetched, as public authorities do.
    pub(crate) names_issuer_location: bool,
    /// The content of the INTEGER.
    pub(crate) serial: Box<[u8]>,
    /// Says that it is to be shown with an OCSP staple only (RFC 7633).
    pub(crate) must_staple: bool,
}

impl Chain {
    /// The certificate that issued the leaf, if it stands behind it.
    pub(crate) fn issuer(&self) -> Option<&CertificateDer<'static>> {
        let issuer = self.certificates.get(1)?;
        let subject = parse(0, issuer).ok()?.tbs_certificate.subject.as_raw();
        (Some(subject) == self.issuer_name()).then_some(issuer)
    }

    /// The name of the leaf's issuer, in DER.
    pub(crate) fn issuer_name(&self) -> Option<&[u8]> {
        Some(parse(0, self.certificates.first()?).ok()?.tbs_certificate.issuer.as_raw())
    }
}

/// Divides the certificates of one file into chains, each leaf first.
pub(super) fn chains(
    certificates: Vec<(usize, CertificateDer<'static>)>,
) -> Result<Vec<Chain>, LoadError> {
    let mut chains = Vec::new();
    let mut open: Option<Builder> = None;
    for (line, der) in certificates {
        let parsed = Parsed::read(line, &der)?;
        open = Some(match open {
            Some(mut chain) if chain.continues_with(&parsed, line)? => {
                chain.push(parsed, der)?;
                chain
            }
            ended => {
                chains.extend(ended.map(Builder::finish));
                Builder::start(line, parsed, der)?
            }
        });
    }
    chains.extend(open.map(Builder::finish));
    Ok(chains)
}

struct Builder {
    line: usize,
    chain: Chain,
    hash: digest::Context,
    last: Parsed,
}

impl Builder {
    fn start(line: usize, parsed: Parsed, der: CertificateDer<'static>) -> Result<Self, LoadError> {
        let mut hash = digest::Context::new(&SHA256);
        hash.update(&der);
        let leaf = leaf(line, &der)?;
        let chain = Chain {
            certificates: vec![der],
            leaf,
            digest: [0; 32],
            unbroken: true,
            weak_signature: parsed.weak_signature,
        };
        Ok(Self { line, chain, hash, last: parsed })
    }

    /// A certificate belongs to the chain if it issued the one before, or if it is an authority
    /// that stands behind an unfinished chain (a gap, which is served and warned of). Anything
    /// else starts the next chain.
    fn continues_with(&self, next: &Parsed, line: usize) -> Result<bool, LoadError> {
        let alone = self.chain.certificates.len() == 1;
        let reversed = self.last.issuer != next.subject || self.last.self_issued();
        if alone
            && reversed
            && self.last.authority
            && next.issuer == self.last.subject
            && !next.self_issued()
        {
            return Err(LoadError::LeafNotFirst { line: self.line, leaf: line });
        }
        // A root ends its chain.
        let open = !self.last.self_issued();
        Ok(open && (next.authority || self.last.issuer == next.subject))
    }

    fn push(&mut self, parsed: Parsed, der: CertificateDer<'static>) -> Result<(), LoadError> {
        if self.chain.certificates.len() == CHAIN_CERTIFICATES_MAX {
            return Err(LoadError::ChainTooLong { line: self.line });
        }
        self.chain.unbroken &= self.last.issuer == parsed.subject;
        self.chain.weak_signature = self.chain.weak_signature.or(parsed.weak_signature);
        self.hash.update(&der);
        self.chain.certificates.push(der);
        self.last = parsed;
        Ok(())
    }

    fn finish(mut self) -> Chain {
        self.chain.digest = digest_bytes(self.hash.finish());
        self.chain
    }
}

/// What decides to which chain a certificate belongs, and what it adds to it.
struct Parsed {
    subject: Vec<u8>,
    issuer: Vec<u8>,
    authority: bool,
    weak_signature: Option<&'static str>,
}

impl Parsed {
    fn read(line: usize, der: &CertificateDer<'_>) -> Result<Self, LoadError> {
        let certificate = parse(line, der)?;
        Ok(Self {
            subject: certificate.subject().as_raw().to_vec(),
            issuer: certificate.issuer().as_raw().to_vec(),
            authority: certificate.is_ca(),
            weak_signature: weak_signature(&certificate),
        })
    }

    fn self_issued(&self) -> bool {
        self.subject == self.issuer
    }
}

pub(crate) fn parse<'a>(
    line: usize,
    der: &'a CertificateDer<'_>,
) -> Result<X509Certificate<'a>, LoadError> {
    match x509_parser::parse_x509_certificate(der) {
        Ok(([], certificate)) => Ok(certificate),
        Ok(_) => Err(LoadError::Certificate { line, reason: "bytes follow its end".into() }),
        Err(error) => Err(LoadError::Certificate { line, reason: reason(&error.into()).into() }),
    }
}

/// The hash of the issuer's signature, if it is one that clients reject (RFC 9155). Who signed
/// itself is trusted for other reasons than its signature.
fn weak_signature(certificate: &X509Certificate<'_>) -> Option<&'static str> {
    let algorithm = &certificate.signature_algorithm.algorithm;
    let hash = if SHA1_SIGNATURES.contains(algorithm) || algorithm == &ECDSA_WITH_SHA1 {
        "SHA-1"
    } else if MD5_SIGNATURES.contains(algorithm) {
        "MD5"
    } else {
        return None;
    };
    (certificate.subject().as_raw() != certificate.issuer().as_raw()).then_some(hash)
}

/// The parser's verdict in words that help somebody who has never seen the parser.
fn reason(error: &X509Error) -> &'static str {
    match error {
        X509Error::InvalidVersion => "its version is none that X.509 knows",
        X509Error::InvalidSerial => "its serial number is malformed",
        X509Error::InvalidX509Name => "the name of its subject or of its issuer is malformed",
        X509Error::InvalidDate => "its dates are malformed",
        X509Error::InvalidSPKI => "its public key is malformed",
        X509Error::InvalidExtensions => "its extensions are malformed",
        X509Error::DuplicateExtensions => "it has one extension twice",
        X509Error::InvalidAlgorithmIdentifier => "its signature algorithm is malformed",
        X509Error::InvalidSignatureValue => "its signature is malformed",
        _ => "the bytes between BEGIN and END are no certificate, or not all of one",
    }
}

fn leaf(line: usize, der: &CertificateDer<'_>) -> Result<Leaf, LoadError> {
    let certificate = parse(line, der)?;
    let (names, odd_names) = dns_names(&certificate);
    let key_usage = certificate.key_usage().ok().flatten();
    // A self-signed development certificate often says that it is an authority; only one that
    // is also made for signing certificates, and has no name to be served under, is left alone.
    let signs = key_usage.is_some_and(|usage| usage.value.key_cert_sign());
    let self_issued = certificate.subject().as_raw() == certificate.issuer().as_raw();
    Ok(Leaf {
        authority: certificate.is_ca() && names.is_empty() && signs,
        // `openssl req -x509` calls every certificate that it makes an authority. Such a one,
        // with a name to be served under, is a server's; its owner wants to hear of a lost key.
        issues: certificate.is_ca() && (names.is_empty() || signs || !self_issued),
        subject: certificate.subject().to_string().into(),
        names: names.into(),
        odd_names: odd_names.into(),
        not_before: certificate.validity().not_before.timestamp(),
        not_after: certificate.validity().not_after.timestamp(),
        issuer: certificate.issuer().to_string().into(),
        public_key: PublicKeyId::of(certificate.public_key().raw),
        kind: key_kind(certificate.public_key()),
        signature: signature_name(&certificate.signature_algorithm.algorithm),
        fingerprint: digest_bytes(digest::digest(&SHA256, der)),
        self_issued,
        names_issuer_location: names_issuer_location(&certificate),
        serial: certificate.raw_serial().into(),
        must_staple: must_staple(&certificate),
    })
}

/// DNS names only: clients have ignored the common name for years, and an address never arrives
/// as a server name (RFC 6066 section 3).
fn dns_names(certificate: &X509Certificate<'_>) -> (Vec<NamePattern>, Vec<String>) {
    let (mut names, mut odd) = (Vec::new(), Vec::new());
    let extension = certificate.subject_alternative_name().ok().flatten();
    for name in extension.iter().flat_map(|names| &names.value.general_names) {
        if let GeneralName::DNSName(text) = name {
            match NamePattern::parse(text) {
                Ok(pattern) => names.push(pattern),
                Err(_) => odd.push((*text).to_owned()),
            }
        }
    }
    names.sort_unstable();
    names.dedup();
    (names, odd)
}

fn key_kind(key: &SubjectPublicKeyInfo<'_>) -> Result<KeyKind, Box<str>> {
    let algorithm = &key.algorithm.algorithm;
    if *algorithm == oid_registry::OID_SIG_ED25519 {
        return Ok(KeyKind::Ed25519);
    }
    if *algorithm == oid_registry::OID_KEY_TYPE_EC_PUBLIC_KEY {
        let curve = key.algorithm.parameters.as_ref().and_then(|any| any.as_oid().ok());
        return match curve {
            Some(curve) if curve == oid_registry::OID_EC_P256 => Ok(KeyKind::EcdsaP256),
            Some(curve) if curve == oid_registry::OID_NIST_EC_P384 => Ok(KeyKind::EcdsaP384),
            Some(curve) if curve == oid_registry::OID_NIST_EC_P521 => Ok(KeyKind::EcdsaP521),
            Some(curve) => Err(format!("ECDSA on curve {}", curve.to_id_string()).into()),
            None => Err("ECDSA on a curve without a name".into()),
        };
    }
    match key.parsed() {
        Ok(PublicKey::RSA(rsa)) if *algorithm == oid_registry::OID_PKCS1_RSAENCRYPTION => {
            rsa_kind(rsa.modulus)
        }
        _ => Err(super::key::algorithm_name(algorithm)),
    }
}

/// A signature algorithm as OpenSSL abbreviates it, which is how others know it.
fn signature_name(algorithm: &Oid<'_>) -> Option<&'static str> {
    SIGNATURE_NAMES.iter().find(|(known, _)| known == algorithm).map(|(_, name)| *name)
}

/// The size of a modulus, and whether it is one that clients still accept.
pub(super) fn rsa_kind(modulus: &[u8]) -> Result<KeyKind, Box<str>> {
    let zeros = modulus.iter().take_while(|byte| **byte == 0).count();
    let significant = modulus.get(zeros..).unwrap_or_default();
    let blank = significant.first().map_or(0, |byte| byte.leading_zeros() as usize);
    let bits = significant.len() * 8 - blank;
    match u16::try_from(bits) {
        Ok(size) if (RSA_BITS_MIN..=RSA_BITS_MAX).contains(&size) => Ok(KeyKind::Rsa(size)),
        _ => Err(format!("{bits}-bit RSA").into()),
    }
}

fn names_issuer_location(certificate: &X509Certificate<'_>) -> bool {
    certificate.extensions().iter().any(|extension| match extension.parsed_extension() {
        ParsedExtension::AuthorityInfoAccess(access) => access.iter().any(|entry| {
            entry.access_method == oid_registry::OID_PKIX_ACCESS_DESCRIPTOR_CA_ISSUERS
        }),
        _ => false,
    })
}

/// Whether the TLS feature extension lists `status_request` (RFC 7633 section 4.2.2).
fn must_staple(certificate: &X509Certificate<'_>) -> bool {
    let extension =
        certificate.extensions().iter().find(|extension| extension.oid == oid!(1.3.6.1.5.5.7.1.24));
    let features = extension.and_then(|found| Vec::<u32>::from_der(found.value).ok());
    features.is_some_and(|(_, features)| features.contains(&STATUS_REQUEST))
}

/// The TLS extension of this number is the one that staples answer (RFC 6066 section 8).
const STATUS_REQUEST: u32 = 5;
const SIGNATURE_NAMES: [(Oid<'static>, &str); 9] = [
    (oid_registry::OID_PKCS1_SHA1WITHRSA, "RSA-SHA1"),
    (oid_registry::OID_PKCS1_SHA256WITHRSA, "RSA-SHA256"),
    (oid_registry::OID_PKCS1_SHA384WITHRSA, "RSA-SHA384"),
    (oid_registry::OID_PKCS1_SHA512WITHRSA, "RSA-SHA512"),
    (oid_registry::OID_PKCS1_RSASSAPSS, "RSASSA-PSS"),
    (oid_registry::OID_SIG_ECDSA_WITH_SHA256, "ecdsa-with-SHA256"),
    (oid_registry::OID_SIG_ECDSA_WITH_SHA384, "ecdsa-with-SHA384"),
    (oid_registry::OID_SIG_ECDSA_WITH_SHA512, "ecdsa-with-SHA512"),
    (oid_registry::OID_SIG_ED25519, "ED25519"),
];
const SHA1_SIGNATURES: [Oid<'static>; 3] = [
    oid_registry::OID_PKCS1_SHA1WITHRSA,
    oid_registry::OID_SHA1_WITH_RSA,
    oid_registry::OID_SIG_DSA_WITH_SHA1,
];
/// RFC 3279 section 2.2.3; the registry has no name for it.
const ECDSA_WITH_SHA1: Oid<'static> = oid!(1.2.840.10045.4.1);
const MD5_SIGNATURES: [Oid<'static>; 2] =
    [oid_registry::OID_PKCS1_MD5WITHRSAENC, oid_registry::OID_MD5_WITH_RSA];

/// Below this, no client accepts it; above, no library here computes it.
const RSA_BITS_MIN: u16 = 2048;
const RSA_BITS_MAX: u16 = 8192;

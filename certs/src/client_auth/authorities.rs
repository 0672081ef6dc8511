//! The bundle: PEM to the authorities that may vouch for clients.
//!
//! Owns the rule of what is an authority. A bundle is good or bad as a whole, because one that
//! lost a part on its way looks like one that was shortened on purpose. Whatever is in it is
//! trusted, so everything that can be told from the file is looked at before: that each
//! certificate says of itself that it may issue others, and that it bears the signature that it
//! claims, where the bundle holds the key to check that with. Refuses to know any other source of
//! authorities.

use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use aws_lc_rs::digest::{self, SHA256};
use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::CertificateDer;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::ParsedExtension;
use x509_parser::x509::X509Version;

use super::error::BundleError;
use super::signature::{self, Verdict};
use super::subject;
use crate::credential::digest_bytes;
use crate::load::{self, Kind, Lists, LoadError};

/// How many authorities a bundle holds; the error with which it would be refused if there is any.
/// For any bytes, without opening a file.
pub fn check_bundle(bytes: &[u8], provider: &CryptoProvider) -> Result<usize, BundleError> {
    Bundle::parse(bytes, provider).map(|bundle| bundle.authorities.len())
}

/// An authority that is trusted to vouch for clients.
#[derive(Clone, Debug)]
pub struct AuthorityFacts {
    /// Its distinguished name, in the form of RFC 4514.
    pub subject: Box<str>,
    /// Start of validity, in seconds since 1970.
    pub not_before: i64,
    /// End of validity, in seconds since 1970.
    pub not_after: i64,
    /// SHA-256 of its certificate.
    pub fingerprint: [u8; 32],
    /// SHA-256 of its SubjectPublicKeyInfo: of the key that vouches, whatever else is renewed.
    pub key_fingerprint: [u8; 32],
}

/// A good bundle.
#[derive(Debug)]
pub(super) struct Bundle {
    pub(super) authorities: Vec<Authority>,
    /// The same for rustls.
    pub(super) roots: Arc<RootCertStore>,
    /// How many certificates stand there more than once.
    pub(super) repeated: usize,
}

/// One of its certificates.
#[derive(Debug)]
pub(super) struct Authority {
    pub(super) facts: AuthorityFacts,
    /// The subject in DER, by which it is found.
    pub(super) name: Box<[u8]>,
    /// SubjectPublicKeyInfo.
    pub(super) public_key: Box<[u8]>,
    /// The identifier of the key, if it has one (RFC 5280 section 4.2.1.2).
    key_id: Option<Box<[u8]>>,
}

impl Bundle {
    pub(super) fn parse(bytes: &[u8], provider: &CryptoProvider) -> Result<Self, BundleError> {
        let guarded = AssertUnwindSafe(|| parse(bytes, provider));
        catch_unwind(guarded).unwrap_or(Err(BundleError::Panic))
    }

    /// The authorities with this subject in DER, of which there are several after a change of key,
    /// and those with this identifier of their key.
    pub(super) fn named<'a>(
        &'a self,
        name: &'a [u8],
        key_id: Option<&'a [u8]>,
    ) -> impl Iterator<Item = &'a Authority> {
        self.authorities.iter().filter(move |authority| {
            *authority.name == *name || (key_id.is_some() && authority.key_id.as_deref() == key_id)
        })
    }
}

fn parse(bytes: &[u8], provider: &CryptoProvider) -> Result<Bundle, BundleError> {
    let mut roots = RootCertStore::empty();
    let (mut read, mut seen, mut repeated) = (Vec::new(), HashSet::new(), 0);
    for section in load::sections(bytes, Lists::Decoded).map_err(in_bundle)? {
        let line = section.line;
        match section.kind {
            Kind::Certificate => {}
            Kind::RevocationList => return Err(BundleError::RevocationList { line }),
            Kind::Pkcs1 | Kind::Pkcs8 | Kind::Sec1 => return Err(BundleError::PrivateKey { line }),
        }
        let der = CertificateDer::from(section.der.to_vec());
        let authority = authority(line, &der)?;
        if !seen.insert(authority.facts.fingerprint) {
            repeated += 1;
            continue;
        }
        if read.len() == AUTHORITIES_MAX {
            return Err(BundleError::TooMany);
        }
        usable(&der, &authority, &mut roots, provider).map_err(|reason| {
            let subject = authority.facts.subject.clone();
            BundleError::Unusable { line, subject, reason }
        })?;
        read.push((line, der, authority));
    }
    if read.is_empty() {
        return Err(BundleError::NoCertificate);
    }
    for (line, der, authority) in &read {
        check_signature(*line, der, &read, provider, authority)?;
    }
    let authorities = read.into_iter().map(|(_, _, authority)| authority).collect();
    Ok(Bundle { authorities, roots: Arc::new(roots), repeated })
}

/// Adds an authority to those of rustls, or says why it could vouch for nobody.
fn usable(
    der: &CertificateDer<'_>,
    authority: &Authority,
    roots: &mut RootCertStore,
    provider: &CryptoProvider,
) -> Result<(), Box<str>> {
    roots.add(der.clone()).map_err(|error| error.to_string())?;
    if !signature::is_supported(&authority.public_key, provider) {
        return Err("nothing can be verified here with a key of its kind; take it out".into());
    }
    Ok(())
}

/// What the framing says in other words where a bundle is meant and no credential.
fn in_bundle(error: LoadError) -> BundleError {
    match error {
        LoadError::NothingUsable => BundleError::NoCertificate,
        LoadError::EncryptedKey { line } | LoadError::UnsupportedKey { line, .. } => {
            BundleError::PrivateKey { line }
        }
        error => BundleError::File(error),
    }
}

fn authority(line: usize, der: &CertificateDer<'_>) -> Result<Authority, BundleError> {
    let certificate = load::parse_certificate(line, der)?;
    let subject = subject::text(certificate.subject());
    if let Some(reason) = objection(&certificate) {
        return Err(BundleError::NotAnAuthority { line, subject, reason });
    }
    Ok(Authority {
        facts: AuthorityFacts {
            subject,
            not_before: certificate.validity().not_before.timestamp(),
            not_after: certificate.validity().not_after.timestamp(),
            fingerprint: digest_bytes(digest::digest(&SHA256, der)),
            key_fingerprint: digest_bytes(digest::digest(&SHA256, certificate.public_key().raw)),
        },
        name: certificate.subject().as_raw().into(),
        public_key: certificate.public_key().raw.into(),
        key_id: key_ids(&certificate).own.map(Into::into),
    })
}

/// Why a certificate is no authority (RFC 5280 section 6.1.4, k and n); OpenSSL judges alike.
///
/// RFC 5280 leaves it to us whether these apply to a certificate that is trusted anyway. They do:
/// a client's own certificate in the bundle, put there by somebody who wanted to let in just that
/// client, would make the client an authority over who everybody else is. For the same reason
/// version 1 is refused, which cannot say what it is: that is what `openssl x509 -req` makes of a
/// client's request when nobody tells it otherwise, while roots have been version 3 since 1999.
fn objection(certificate: &X509Certificate<'_>) -> Option<&'static str> {
    if certificate.version() != X509Version::V3 {
        return Some("since its version, older than 3, cannot say that it is one");
    }
    match certificate.basic_constraints() {
        Ok(Some(constraints)) if constraints.value.ca => {}
        _ => return Some("since it does not say so (basicConstraints, cA)"),
    }
    match certificate.key_usage() {
        Ok(Some(usage)) if !usage.value.key_cert_sign() => {
            Some("since its key is not for signing certificates (keyUsage, keyCertSign)")
        }
        Ok(_) => None,
        Err(_) => Some("since the use of its key cannot be read (keyUsage)"),
    }
}

/// A flipped bit in a public key is still a public key, of nobody or of somebody. Where the bundle
/// holds the issuer, as it does for every root, the signature tells. Where it does not, or where
/// the algorithm is one that nobody trusts today (which says nothing of a root, whose signature
/// over itself proves nothing but that it is whole), the operator's word stands.
fn check_signature(
    line: usize,
    der: &CertificateDer<'_>,
    read: &[(usize, CertificateDer<'_>, Authority)],
    provider: &CryptoProvider,
    authority: &Authority,
) -> Result<(), BundleError> {
    let certificate = load::parse_certificate(line, der)?;
    let issuer = certificate.issuer();
    let by_name = read.iter().map(|(_, _, other)| other);
    let by_name = by_name.filter(|other| *other.name == *issuer.as_raw());
    // Damage to one of its names may not pass for an issuer that is not in the bundle.
    let ids = key_ids(&certificate);
    let itself = (ids.own.is_some() && ids.own == ids.issuer).then_some(authority);
    let mut bad = false;
    for issuer in by_name.chain(itself) {
        match signature::check(der, &issuer.public_key, provider) {
            Verdict::Good => return Ok(()),
            Verdict::Bad => bad = true,
            Verdict::Unsupported => {}
        }
    }
    if !bad {
        return Ok(());
    }
    let subject = authority.facts.subject.clone();
    Err(BundleError::Signature { line, subject, issuer: subject::text(issuer) })
}

/// By what a certificate calls its key, and that of its issuer (RFC 5280 section 4.2.1.1).
struct KeyIds<'a> {
    own: Option<&'a [u8]>,
    issuer: Option<&'a [u8]>,
}

fn key_ids<'a>(certificate: &'a X509Certificate<'_>) -> KeyIds<'a> {
    let mut ids = KeyIds { own: None, issuer: None };
    for extension in certificate.extensions() {
        match extension.parsed_extension() {
            ParsedExtension::AuthorityKeyIdentifier(them) => {
                ids.issuer = them.key_identifier.as_ref().map(|key| key.0);
            }
            ParsedExtension::SubjectKeyIdentifier(key) => ids.own = Some(key.0),
            _ => {}
        }
    }
    ids
}

/// More than the web's authorities by the factor of twenty-five.
pub(super) const AUTHORITIES_MAX: usize = 4096;
/// As many authorities of two kilobytes each.
pub(super) const BUNDLE_BYTES_MAX: u64 = 8 << 20;

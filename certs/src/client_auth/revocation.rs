//! Revocation lists: PEM or DER to what rustls checks clients against.
//!
//! Owns the reading of a file of lists and the facts about each. A file is good or bad as a whole.
//! rustls has the last word on whether a list can be used; it is asked about one list at a time,
//! behind a guard, because its parser has had a panic in it before. A list without an end is
//! refused (rustls demands the nextUpdate that RFC 5280 section 5.1.2.5 does), one that is past
//! its end is taken: its clients are refused until the next one comes, and all others are served.

use std::cmp::Ordering;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_lc_rs::digest::{self, SHA256};
use rustls::pki_types::{CertificateRevocationListDer, Der, TrustAnchor};
use rustls::server::{VerifierBuilderError, WebPkiClientVerifier};
use rustls::{CertRevocationListError, OtherError, RootCertStore};
use x509_parser::asn1_rs::{Any, FromDer as _, Tag};
use x509_parser::extensions::{ParsedExtension, X509Extension};
use x509_parser::oid_registry;
use x509_parser::time::ASN1Time;
use x509_parser::x509::X509Name;

use super::error::{ClientAuthError, CrlError, Place};
use super::signature::values;
use super::subject;
use crate::credential::digest_bytes;
use crate::load::{self, Kind, Lists, LoadError};

/// How many lists there are; the error with which they would be refused if there is any. For any
/// bytes, without opening a file.
pub fn check_crl(bytes: &[u8]) -> Result<usize, CrlError> {
    parse(Path::new(""), bytes).map(|lists| lists.len())
}

/// The lists in the files of `paths`, each PEM or DER of at most 32 MiB, for whoever verifies
/// others than clients: in the order in which a verifier has to be given them, the newest first.
/// The first file that is bad is the error. Blocks on the disk.
pub fn read_crls(
    paths: &[PathBuf],
) -> Result<Vec<(CrlFacts, CertificateRevocationListDer<'static>)>, ClientAuthError> {
    let mut lists = Vec::new();
    for path in paths {
        let of_path = |source| ClientAuthError::Crl { path: path.clone(), source };
        let contents = load::read(path, CRL_BYTES_MAX).map_err(|error| of_path(error.into()))?;
        lists.extend(parse(path, &contents.bytes).map_err(of_path)?);
    }
    lists.sort_by(List::newest_first);
    lists.dedup_by_key(|list| list.digest);
    Ok(lists.into_iter().map(|list| (list.facts, list.der)).collect())
}

/// A revocation list.
#[derive(Clone, Debug)]
pub struct CrlFacts {
    /// The file, as configured.
    pub path: PathBuf,
    /// Whose certificates it is about.
    pub issuer: Box<str>,
    /// When it was made, in seconds since 1970.
    pub this_update: i64,
    /// When the next one was promised; from then on, clients are refused. Every list has it.
    pub next_update: Option<i64>,
    /// How many certificates are revoked.
    pub revoked: usize,
}

/// A list that rustls can use.
#[derive(Debug)]
pub(super) struct List {
    pub(super) facts: CrlFacts,
    pub(super) der: CertificateRevocationListDer<'static>,
    pub(super) digest: [u8; 32],
    /// The issuer in DER, by which its authority is found.
    pub(super) issuer: Box<[u8]>,
    pub(super) next_update: i64,
    pub(super) place: Place,
    /// Big-endian without leading zeros; a list may have none.
    number: Option<Box<[u8]>>,
    /// The issuing distribution point in DER: for which of the issuer's certificates it speaks.
    scope: Option<Box<[u8]>>,
    /// The identifier of the issuer's key; after a change of key, numbers begin anew.
    pub(super) issuer_key: Option<Box<[u8]>>,
}

impl List {
    /// Whether both are of one series: of one issuer and key, for one set of certificates.
    pub(super) fn is_of_series(&self, other: &Self) -> bool {
        self.issuer == other.issuer
            && self.scope == other.scope
            && self.issuer_key == other.issuer_key
    }

    /// Whether this is the older of one series, by either of the two things that tell (RFC 5280
    /// section 5.2.3).
    pub(super) fn is_older_than(&self, other: &Self) -> bool {
        let numbers = self.number.as_ref().zip(other.number.as_ref());
        let by_number = numbers.is_some_and(|(ours, theirs)| compare(ours, theirs).is_lt());
        let older = self.facts.this_update < other.facts.this_update || by_number;
        older && self.is_of_series(other)
    }

    /// The order in which rustls is given the lists: it looks no further than the first one that
    /// speaks for a certificate, and that has to be the newest.
    pub(super) fn newest_first(&self, other: &Self) -> Ordering {
        let number = |list: &Self| list.number.clone().unwrap_or_default();
        let times = other.facts.this_update.cmp(&self.facts.this_update);
        times
            .then_with(|| compare(&number(other), &number(self)))
            .then(self.digest.cmp(&other.digest))
    }

    /// Whether rustls could take one of both for a certificate, and not the other.
    pub(super) fn rivals(&self, other: &Self) -> bool {
        self.issuer == other.issuer && self.scope == other.scope && self.digest != other.digest
    }
}

/// Unsigned numbers without leading zeros.
fn compare(one: &[u8], other: &[u8]) -> Ordering {
    one.len().cmp(&other.len()).then_with(|| one.cmp(other))
}

/// Reads all lists of a file.
pub(super) fn parse(path: &Path, bytes: &[u8]) -> Result<Vec<List>, CrlError> {
    let guarded = AssertUnwindSafe(|| match bytes {
        // SEQUENCE with a length of several bytes, as every list in DER begins and no text does.
        [0x30, 0x81..=0x84, ..] => Ok(vec![list(path, Place::Whole, bytes)?]),
        _ => lists(path, bytes),
    });
    catch_unwind(guarded).unwrap_or(Err(CrlError::Panic))
}

fn lists(path: &Path, bytes: &[u8]) -> Result<Vec<List>, CrlError> {
    let mut lists = Vec::new();
    for section in load::sections(bytes, Lists::Decoded).map_err(in_lists)? {
        let line = section.line;
        match section.kind {
            // The issuer's certificate beside its list is usual, and trusts nobody here.
            Kind::Certificate => continue,
            Kind::RevocationList => {}
            Kind::Pkcs1 | Kind::Pkcs8 | Kind::Sec1 => return Err(CrlError::PrivateKey { line }),
        }
        if lists.len() == LISTS_MAX {
            return Err(CrlError::TooMany);
        }
        lists.push(list(path, Place::Line(line), &section.der)?);
    }
    if lists.is_empty() { Err(CrlError::NoList) } else { Ok(lists) }
}

fn in_lists(error: LoadError) -> CrlError {
    match error {
        LoadError::NothingUsable => CrlError::NoList,
        LoadError::EncryptedKey { line } | LoadError::UnsupportedKey { line, .. } => {
            CrlError::PrivateKey { line }
        }
        error => CrlError::File(error),
    }
}

fn list(path: &Path, place: Place, der: &[u8]) -> Result<List, CrlError> {
    let outline = Outline::of(der).ok_or(CrlError::Unreadable { place })?;
    let issuer = subject::text(&outline.issuer);
    let Some(next_update) = outline.next_update else {
        return Err(CrlError::NoNextUpdate { place, issuer });
    };
    let owned = CertificateRevocationListDer::from(der.to_vec());
    if let Err(error) = usable(owned.clone()) {
        return Err(CrlError::Unusable { place, issuer, reason: reason(&error).into() });
    }
    Ok(List {
        facts: CrlFacts {
            path: path.to_path_buf(),
            issuer,
            this_update: outline.this_update,
            next_update: Some(next_update),
            revoked: outline.revoked,
        },
        der: owned,
        digest: digest_bytes(digest::digest(&SHA256, der)),
        issuer: outline.issuer.as_raw().into(),
        next_update,
        place,
        number: outline.number.map(Into::into),
        scope: outline.distribution_point.map(Into::into),
        issuer_key: outline.issuer_key.map(Into::into),
    })
}

/// Whether rustls takes it. The verifier that it makes in passing trusts an authority without a
/// name and without a key, and is dropped.
fn usable(der: CertificateRevocationListDer<'static>) -> Result<(), VerifierBuilderError> {
    let nobody = TrustAnchor {
        subject: Der::from_slice(&[]),
        subject_public_key_info: Der::from_slice(&[]),
        name_constraints: None,
    };
    let roots = Arc::new(RootCertStore { roots: vec![nobody] });
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = WebPkiClientVerifier::builder_with_provider(roots, provider);
    builder.with_crls([der]).build().map(drop)
}

/// The verdict of rustls in words that help somebody who has never seen it.
fn reason(error: &VerifierBuilderError) -> String {
    use CertRevocationListError as E;
    let VerifierBuilderError::InvalidCrl(error) = error else {
        return error.to_string();
    };
    let words = match error {
        E::InvalidCrlNumber => "its number is malformed",
        E::InvalidRevokedCertSerialNumber => "a serial number in it is malformed",
        E::ParseError => {
            "it is malformed, or has no extensions, of which RFC 5280 demands some; `openssl ca` \
             writes them where openssl.cnf has `crl_extensions` and `crlnumber`"
        }
        E::UnsupportedCriticalExtension => "it has a critical extension that is not known here",
        E::UnsupportedCrlVersion => {
            "its version is not 2, which `openssl ca` writes where openssl.cnf has \
             `crl_extensions` and `crlnumber`"
        }
        E::UnsupportedDeltaCrl => "it is a delta list; use the complete one",
        E::UnsupportedIndirectCrl => "it is an indirect list; use one of the issuer's own",
        E::UnsupportedRevocationReason => "it gives a reason that is not known here",
        E::Other(OtherError(error)) => return error.to_string(),
        _ => return format!("{error:?}"),
    };
    words.to_owned()
}

/// What a list says of itself, read without looking at the revoked certificates one by one, of
/// which there may be a million.
struct Outline<'a> {
    issuer: X509Name<'a>,
    this_update: i64,
    next_update: Option<i64>,
    revoked: usize,
    number: Option<&'a [u8]>,
    distribution_point: Option<&'a [u8]>,
    issuer_key: Option<&'a [u8]>,
}

impl<'a> Outline<'a> {
    /// `TBSCertList`, RFC 5280 section 5.1.
    fn of(der: &'a [u8]) -> Option<Self> {
        let (end, whole) = Any::from_der(der).ok()?;
        let (_, signed) = Any::from_der(whole.data).ok()?;
        let (mut rest, first) = Any::from_der(signed.data).ok()?;
        if first.tag() == Tag::Integer {
            // The version; behind it, the algorithm.
            rest = Any::from_der(rest).ok()?.0;
        }
        let (rest, issuer) = X509Name::from_der(rest).ok()?;
        let (rest, this_update) = ASN1Time::from_der(rest).ok()?;
        let mut outline = Self {
            issuer,
            this_update: this_update.timestamp(),
            next_update: None,
            revoked: 0,
            number: None,
            distribution_point: None,
            issuer_key: None,
        };
        for part in values(rest) {
            match part.tag() {
                Tag::UtcTime | Tag::GeneralizedTime => {
                    let (_, next) = ASN1Time::from_der(rest).ok()?;
                    outline.next_update = Some(next.timestamp());
                }
                Tag::Sequence => outline.revoked = values(part.data).count(),
                Tag(0) => outline.extensions(Any::from_der(part.data).ok()?.1.data)?,
                _ => return None,
            }
        }
        end.is_empty().then_some(outline)
    }

    fn extensions(&mut self, mut rest: &'a [u8]) -> Option<()> {
        while !rest.is_empty() {
            let (behind, extension) = X509Extension::from_der(rest).ok()?;
            rest = behind;
            if extension.oid == oid_registry::OID_X509_EXT_CRL_NUMBER {
                let number = Any::from_der(extension.value).ok()?.1.data;
                let zeros = number.iter().take_while(|byte| **byte == 0).count();
                self.number = number.get(zeros..);
            } else if extension.oid == oid_registry::OID_X509_EXT_ISSUER_DISTRIBUTION_POINT {
                self.distribution_point = Some(extension.value);
            } else if let ParsedExtension::AuthorityKeyIdentifier(key) =
                extension.parsed_extension()
            {
                self.issuer_key = key.key_identifier.as_ref().map(|key| key.0);
            }
        }
        Some(())
    }
}

/// One for each of very many intermediates.
pub(super) const LISTS_MAX: usize = 1024;
/// Room for a million revoked certificates in DER.
pub(super) const CRL_BYTES_MAX: u64 = 32 << 20;

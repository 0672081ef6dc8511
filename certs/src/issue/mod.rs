//! An authority for development.
//!
//! Owns the making of certificates that a developer's machine can trust after one command, and
//! that `portunus demo` and the tests use: ECDSA P-256, ninety days, the names as alternative
//! names, the extensions that curl, OpenSSL and browsers ask for. Not an authority for anything
//! that others rely on: its key lies in a file.
//!
//! Within, `files` writes to disk, and decides what may be replaced there. Read [`crate::store`]
//! for how what is written is picked up.

mod files;

use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, SanType,
};
use rustls::pki_types::UnixTime;
use thiserror::Error;
use zeroize::Zeroizing;

use self::files::{Access, belong, check_ours, create_folder, read, replace};
use crate::name::{NameError, NamePattern};

/// An authority that signs certificates for development and tests.
#[derive(Debug)]
pub struct DevelopmentCa {
    issuer: Issuer<'static, KeyPair>,
    certificate_pem: String,
    key_pem: Zeroizing<String>,
}

impl DevelopmentCa {
    /// A new authority, in memory only.
    pub fn new(now: UnixTime) -> Result<Self, IssueError> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::default();
        params.distinguished_name = distinguished_name(&common_name(&key));
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let seconds = seconds(now);
        set_validity(&mut params, seconds - BACKDATE_SECS, seconds + CA_DAYS * DAY_SECS);
        let certificate_pem = params.self_signed(&key)?.pem();
        let key_pem = Zeroizing::new(key.serialize_pem());
        Ok(Self { issuer: Issuer::new(params, key), certificate_pem, key_pem })
    }

    /// The authority of `dir` (`ca.pem` and `ca.key`), made there if neither file exists.
    ///
    /// One of the two alone is an error: making the other would replace an authority that
    /// somebody has told their browser to trust.
    pub fn load_or_create(dir: &Path, now: UnixTime) -> Result<Self, IssueError> {
        let (certificate, key) = (dir.join(CA_CERTIFICATE_FILE), dir.join(CA_KEY_FILE));
        match (read(&certificate)?, read(&key)?) {
            (Some(certificate_pem), Some(key_pem)) => {
                let pair = KeyPair::from_pem(&key_pem)
                    .map_err(|source| broken_authority(&key, &certificate, source))?;
                let issuer = Issuer::from_ca_cert_pem(&certificate_pem, pair)
                    .map_err(|source| broken_authority(&certificate, &key, source))?;
                if !belong(&certificate_pem, &key_pem) {
                    return Err(IssueError::UnmatchedAuthority { certificate, key });
                }
                Ok(Self { issuer, certificate_pem: certificate_pem.to_string(), key_pem })
            }
            (None, None) => {
                let authority = Self::new(now)?;
                create_folder(dir)?;
                replace(&key, &authority.key_pem, Access::OwnerOnly)?;
                replace(&certificate, &authority.certificate_pem, Access::Everybody)?;
                Ok(authority)
            }
            (Some(_), None) => {
                Err(IssueError::HalfAuthority { missing: key, present: certificate })
            }
            (None, Some(_)) => {
                Err(IssueError::HalfAuthority { missing: certificate, present: key })
            }
        }
    }

    /// The authority's own certificate, which clients are told to trust.
    #[must_use]
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// Issues for `names`, which are DNS names, wildcards or addresses: ECDSA P-256, valid for
    /// ninety days from `now`.
    pub fn issue(&self, names: &[&str], now: UnixTime) -> Result<Issued, IssueError> {
        let now = seconds(now);
        self.issue_with(
            names,
            KeyChoice::EcdsaP256,
            now - BACKDATE_SECS,
            now + LEAF_DAYS * DAY_SECS,
        )
    }

    /// Issues with a chosen kind of key and chosen dates, in seconds since 1970.
    pub fn issue_with(
        &self,
        names: &[&str],
        key: KeyChoice,
        not_before: i64,
        not_after: i64,
    ) -> Result<Issued, IssueError> {
        let mut params = CertificateParams::default();
        params.subject_alt_names =
            names.iter().map(|name| alternative_name(name)).collect::<Result<_, _>>()?;
        let first = names.first().ok_or(IssueError::NoNames)?;
        // RFC 5280 allows 64 characters; clients read the alternative names only.
        params.distinguished_name = distinguished_name(first.get(..64).unwrap_or(first));
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        set_validity(&mut params, not_before, not_after);
        let pair = key.generate()?;
        let leaf = params.signed_by(&pair, &self.issuer)?;
        Ok(Issued { chain_pem: leaf.pem(), key_pem: Zeroizing::new(pair.serialize_pem()) })
    }

    /// Issues a certificate by which a client shows who it is.
    pub fn issue_client(&self, name: &str, now: UnixTime) -> Result<Issued, IssueError> {
        let mut params = CertificateParams::default();
        params.distinguished_name = distinguished_name(name);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        let now = seconds(now);
        set_validity(&mut params, now - BACKDATE_SECS, now + LEAF_DAYS * DAY_SECS);
        let pair = KeyPair::generate()?;
        let leaf = params.signed_by(&pair, &self.issuer)?;
        Ok(Issued { chain_pem: leaf.pem(), key_pem: Zeroizing::new(pair.serialize_pem()) })
    }
}

/// A certificate and its key, as PEM.
///
/// The chain is the leaf alone: the authority is a root, which clients have or do not have.
#[derive(Clone)]
pub struct Issued {
    /// The certificate chain.
    pub chain_pem: String,
    /// The private key, in PKCS#8; wiped when dropped.
    pub key_pem: Zeroizing<String>,
}

impl Issued {
    /// Writes `STEM.pem` and `STEM.key` (mode 0600) into `dir`, each in one step, and returns
    /// the two paths. The key is written first, so that a watcher finds a pair as soon as it
    /// finds the certificate.
    ///
    /// A file that is there already is replaced only if this authority made it: the chain was
    /// issued by it, and the key belongs to that chain. Any other is left alone, with
    /// [`IssueError::Foreign`]: a private key that is overwritten is lost.
    pub fn write(&self, dir: &Path, stem: &str) -> Result<(PathBuf, PathBuf), IssueError> {
        create_folder(dir)?;
        let (chain, key) = (dir.join(format!("{stem}.pem")), dir.join(format!("{stem}.key")));
        check_ours(&self.chain_pem, &chain, &key)?;
        replace(&key, &self.key_pem, Access::OwnerOnly)?;
        replace(&chain, &self.chain_pem, Access::Everybody)?;
        Ok((chain, key))
    }
}

/// Shows the certificate, never the key.
impl std::fmt::Debug for Issued {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Issued").field("chain_pem", &self.chain_pem).finish_non_exhaustive()
    }
}

/// Which kind of key to make.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum KeyChoice {
    /// ECDSA on NIST P-256, the default.
    EcdsaP256,
    /// ECDSA on NIST P-384.
    EcdsaP384,
    /// Ed25519, which browsers do not verify.
    Ed25519,
    /// RSA with 2048 bits.
    Rsa2048,
}

impl KeyChoice {
    fn generate(self) -> Result<KeyPair, rcgen::Error> {
        KeyPair::generate_for(match self {
            Self::EcdsaP256 => &rcgen::PKCS_ECDSA_P256_SHA256,
            Self::EcdsaP384 => &rcgen::PKCS_ECDSA_P384_SHA384,
            Self::Ed25519 => &rcgen::PKCS_ED25519,
            Self::Rsa2048 => &rcgen::PKCS_RSA_SHA256,
        })
    }
}

/// Why nothing was issued.
#[derive(Debug, Error)]
pub enum IssueError {
    /// The certificate library refused.
    #[error("the certificate cannot be made")]
    Certificate(#[from] rcgen::Error),
    /// One of the files of an authority is damaged.
    #[error(
        "{} is damaged; restore it, or remove it and {} to have a new authority made",
        path.display(), other.display()
    )]
    BrokenAuthority {
        /// The file that cannot be understood.
        path: PathBuf,
        /// The other one of the pair.
        other: PathBuf,
        /// What the certificate library said.
        #[source]
        source: rcgen::Error,
    },
    /// A file could not be read or written.
    #[error("cannot use {}{}", path.display(), hint(source))]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file is in the way that this authority did not make.
    #[error(
        "{} is there and was not made by this authority; choose another folder, or remove the file",
        path.display()
    )]
    Foreign {
        /// Which file.
        path: PathBuf,
    },
    /// Only one of the two files of an authority is there.
    #[error(
        "{} is missing while {} is there; restore the one, or remove the other to have a new \
         authority made",
        missing.display(), present.display()
    )]
    HalfAuthority {
        /// The file that is not there.
        missing: PathBuf,
        /// The file that is.
        present: PathBuf,
    },
    /// The two files of an authority come from two authorities.
    #[error(
        "{} is not the key of {}; restore the right one, or remove both to have a new authority \
         made",
        key.display(), certificate.display()
    )]
    UnmatchedAuthority {
        /// The certificate.
        certificate: PathBuf,
        /// The key that belongs to another one.
        key: PathBuf,
    },
    /// A name that no certificate can hold.
    #[error("`{name}` is no host name")]
    Name {
        /// What was asked for.
        name: String,
        /// What is wrong with it.
        #[source]
        source: NameError,
    },
    /// A certificate without names serves nobody.
    #[error("no name was given")]
    NoNames,
}

fn broken_authority(path: &Path, other: &Path, source: rcgen::Error) -> IssueError {
    IssueError::BrokenAuthority { path: path.to_path_buf(), other: other.to_path_buf(), source }
}

/// The way out, where there is one to tell.
fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied => "; choose another folder, or change its owner or mode",
        io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => "; a folder is needed",
        _ => "",
    }
}

fn alternative_name(name: &str) -> Result<SanType, IssueError> {
    if let Ok(address) = name.parse::<IpAddr>() {
        return Ok(SanType::IpAddress(address));
    }
    let pattern = NamePattern::parse(name)
        .map_err(|source| IssueError::Name { name: name.to_owned(), source })?;
    Ok(SanType::DnsName(pattern.to_string().try_into()?))
}

/// The end of the key's digest makes two authorities on one machine tell apart.
fn common_name(key: &KeyPair) -> String {
    let tail = key.public_key_raw().iter().rev().take(3);
    tail.fold("Portunus development CA ".to_owned(), |name, byte| name + &format!("{byte:02x}"))
}

fn distinguished_name(common_name: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::OrganizationName, "Portunus development");
    name.push(DnType::CommonName, common_name);
    name
}

fn set_validity(params: &mut CertificateParams, not_before: i64, not_after: i64) {
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    let after = |seconds: i64| Duration::from_secs(u64::try_from(seconds).unwrap_or_default());
    params.not_before = epoch + after(not_before);
    params.not_after = epoch + after(not_after);
}

fn seconds(now: UnixTime) -> i64 {
    crate::store::unix_seconds(now)
}

/// The authority's certificate, in its folder.
pub const CA_CERTIFICATE_FILE: &str = "ca.pem";
/// The authority's key, in its folder.
pub const CA_KEY_FILE: &str = "ca.key";
/// Long enough to trust once; platforms bound leaves, not roots.
const CA_DAYS: i64 = 3650;
/// What public authorities have come down to, and within every browser's limit.
const LEAF_DAYS: i64 = 90;
const DAY_SECS: i64 = 24 * 60 * 60;
/// Containers and virtual machines start with clocks that lag.
const BACKDATE_SECS: i64 = 60 * 60;

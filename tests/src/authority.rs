//! Whom the clients trust: a certificate authority that lives as long as the run.
//!
//! Owns every certificate of the suite, good ones and the parts of bad ones. Refuses to know where
//! they are written to.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256, RsaKeySize, SerialNumber, date_time_ymd,
};
use rustls::client::ResolvesClientCert;
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{RootCertStore, SignatureScheme};

/// The authority of this run.
pub fn authority() -> &'static Authority {
    static AUTHORITY: OnceLock<Authority> = OnceLock::new();
    AUTHORITY.get_or_init(Authority::new)
}

/// A certificate authority.
#[derive(Debug)]
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    serials: AtomicU64,
}

/// Which kind of key a certificate has.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Key {
    /// P-256.
    Ecdsa,
    /// 2048 bits.
    Rsa,
}

/// A certificate with its key.
#[derive(Clone, Debug)]
pub struct Credential {
    /// The chain, leaf first, as PEM.
    pub chain: String,
    /// The key as PKCS#8 PEM.
    pub key: String,
    /// The leaf's serial number.
    pub serial: u64,
    /// The leaf as DER.
    pub leaf: Vec<u8>,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names are good names");
        params.distinguished_name.push(DnType::CommonName, "Portunus test suite");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("a key can be made");
        let issuer = CertifiedIssuer::self_signed(params, key).expect("a key can sign itself");
        Self { issuer, serials: AtomicU64::new(1000) }
    }

    /// The authority's own certificate.
    pub fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// The authority's key as PKCS#8 PEM, for what it signs beside certificates.
    pub fn key_pem(&self) -> String {
        self.issuer.key().serialize_pem()
    }

    /// What a client of the harness trusts.
    pub fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone()).expect("the authority is one");
        roots
    }

    /// A certificate with an ECDSA key for `names`, which may be IP addresses and wildcards.
    pub fn issue(&self, names: &[&str]) -> Credential {
        self.issue_with(Key::Ecdsa, names)
    }

    /// A certificate for `names` with a key of the kind `key`.
    pub fn issue_with(&self, key: Key, names: &[&str]) -> Credential {
        self.issue_between(key, names, 0, i64::from(u32::MAX))
    }

    /// The same, valid from `not_before` to `not_after`, in seconds since 1970.
    pub fn issue_between(
        &self,
        key: Key,
        names: &[&str],
        not_before: i64,
        not_after: i64,
    ) -> Credential {
        let key = match key {
            Key::Ecdsa => KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256),
            Key::Rsa => KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048),
        };
        let key = key.expect("a key can be made");
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let serial = self.serials.fetch_add(1, Ordering::Relaxed);
        let mut params = CertificateParams::new(names).expect("the test names names");
        params.serial_number = Some(SerialNumber::from(serial));
        params.use_authority_key_identifier_extension = true;
        set_validity(&mut params, not_before, not_after);
        let leaf = params.signed_by(&key, &self.issuer).expect("the authority signs");
        Credential {
            chain: leaf.pem(),
            key: key.serialize_pem(),
            serial,
            leaf: leaf.der().to_vec(),
        }
    }
}

impl Credential {
    /// Chain and key in one file.
    pub fn pem(&self) -> String {
        format!("{}{}", self.chain, self.key)
    }

    /// What has a client of rustls show this credential.
    pub(crate) fn resolver(&self) -> Arc<dyn ResolvesClientCert> {
        Arc::new(SingleCertAndKey::from(self.certified()))
    }

    fn certified(&self) -> CertifiedKey {
        let chain = CertificateDer::pem_slice_iter(self.chain.as_bytes());
        let chain = chain.collect::<Result<_, _>>().expect("the chain is PEM");
        let key = PrivateKeyDer::from_pem_slice(self.key.as_bytes()).expect("the key is PEM");
        CertifiedKey::new(chain, any_supported_type(&key).expect("the key signs"))
    }
}

/// What has a client of rustls show that one of `credentials` whose issuer is asked for.
pub(crate) fn as_asked_for(credentials: &[&Credential]) -> Arc<dyn ResolvesClientCert> {
    let certified = credentials.iter().map(|credential| Arc::new(credential.certified()));
    Arc::new(AsAskedFor(certified.collect()))
}

#[derive(Debug)]
struct AsAskedFor(Vec<Arc<CertifiedKey>>);

impl ResolvesClientCert for AsAskedFor {
    fn resolve(&self, issuers: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        // The name of its issuer stands in a certificate as it stands in the question.
        let is_of = |leaf: &CertificateDer<'_>, issuer: &[u8]| {
            leaf.windows(issuer.len().max(1)).any(|part| part == issuer)
        };
        let asked = |one: &&Arc<CertifiedKey>| issuers.iter().any(|name| is_of(&one.cert[0], name));
        self.0.iter().find(asked).cloned()
    }

    fn has_certs(&self) -> bool {
        true
    }
}

/// Seconds since 1970, as certificates count them.
pub fn now() -> i64 {
    let passed = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    passed.expect("1970 is over").as_secs().try_into().expect("a date of this age")
}

pub(crate) fn set_validity(params: &mut CertificateParams, not_before: i64, not_after: i64) {
    params.not_before = date_time_ymd(1970, 1, 1) + since_1970(not_before);
    params.not_after = date_time_ymd(1970, 1, 1) + since_1970(not_after);
}

pub(crate) fn since_1970(seconds: i64) -> Duration {
    Duration::from_secs(seconds.try_into().expect("a date after 1970"))
}

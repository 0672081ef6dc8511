//! Whom the clients trust: a certificate authority that lives as long as the run.
//!
//! Owns every certificate of the suite, good ones and the parts of bad ones. Refuses to know where
//! they are written to.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256, RsaKeySize, SerialNumber,
};
use rustls::RootCertStore;

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
        let key = match key {
            Key::Ecdsa => KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256),
            Key::Rsa => KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048),
        };
        self.sign(&key.expect("a key can be made"), names)
    }

    fn sign(&self, key: &KeyPair, names: &[&str]) -> Credential {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let serial = self.serials.fetch_add(1, Ordering::Relaxed);
        let mut params = CertificateParams::new(names).expect("the test names names");
        params.serial_number = Some(SerialNumber::from(serial));
        params.use_authority_key_identifier_extension = true;
        let leaf = params.signed_by(key, &self.issuer).expect("the authority signs");
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
}

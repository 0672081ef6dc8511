//! Who vouches for clients, and for services: authorities, what they issue, what they take back.
//!
//! Owns the certificates of clients, each good or with exactly one flaw, those of services that are
//! none of ours, and the lists by which either are revoked. Refuses to know who asks for them and
//! what is said to a bad one.

use std::sync::atomic::{AtomicU64, Ordering};

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer,
    CustomExtension, DnType, ExtendedKeyUsagePurpose, IsCa, KeyIdMethod, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, RevokedCertParams, SanType, SerialNumber, date_time_ymd,
};

use crate::authority::{Credential, now, set_validity, since_1970};

/// An authority for clients.
#[derive(Debug)]
pub struct ClientAuthority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    /// What stands between a client and the root, as PEM.
    chain: String,
    serials: AtomicU64,
}

/// What is wrong with a client's certificate.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Flaw {
    /// A name with a line break in it.
    ControlCharacter,
    /// It was valid once.
    Expired,
    /// Nothing.
    Nothing,
    /// It will be valid.
    NotYetValid,
    /// It is for servers and for nothing else.
    ServerOnly,
}

impl ClientAuthority {
    /// A root.
    pub fn new(name: &str) -> Self {
        let issuer = CertifiedIssuer::self_signed(authority_params(name), key());
        let issuer = issuer.expect("a key can sign itself");
        Self { issuer, chain: String::new(), serials: AtomicU64::new(1) }
    }

    /// An authority below this one.
    pub fn intermediate(&self, name: &str) -> Self {
        let mut params = authority_params(name);
        params.serial_number = Some(self.serial());
        let issuer = CertifiedIssuer::signed_by(params, key(), &self.issuer);
        let issuer = issuer.expect("the authority signs");
        let chain = issuer.pem() + &self.chain;
        Self { issuer, chain, serials: AtomicU64::new(1) }
    }

    /// Its own certificate.
    pub fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// A client's certificate, with what stands between it and the root behind it.
    pub fn issue(&self, name: &str, flaw: Flaw) -> Credential {
        let mut params = client_params(name);
        match flaw {
            Flaw::Nothing => {}
            Flaw::Expired => set_validity(&mut params, now() - 7_200, now() - 3_600),
            Flaw::NotYetValid => set_validity(&mut params, now() + 3_600, now() + 7_200),
            Flaw::ServerOnly => {
                params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
            }
            Flaw::ControlCharacter => {
                let name = "client\r\nX-Admin: yes".try_into().expect("ASCII will do");
                params.subject_alt_names = vec![SanType::DnsName(name)];
            }
        }
        self.sign(params)
    }

    /// A client's certificate that is valid until `not_after`, in seconds since 1970.
    pub fn issue_until(&self, name: &str, not_after: i64) -> Credential {
        let mut params = client_params(name);
        set_validity(&mut params, 0, not_after);
        self.sign(params)
    }

    /// A client's certificate with an extension of `bytes` that nobody knows.
    pub fn issue_padded(&self, name: &str, bytes: usize) -> Credential {
        let mut params = client_params(name);
        let padding = CustomExtension::from_oid_content(UNKNOWN_OID, vec![0; bytes]);
        params.custom_extensions = vec![padding];
        self.sign(params)
    }

    /// A server's certificate for `names`, valid between two moments; without a name it has a
    /// common name alone.
    pub fn issue_server(&self, names: &[&str], not_before: i64, not_after: i64) -> Credential {
        let mut params = client_params("service.example");
        let name = |name: &&str| SanType::DnsName((*name).try_into().expect("ASCII will do"));
        params.subject_alt_names = names.iter().map(name).collect();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        set_validity(&mut params, not_before, not_after);
        self.sign(params)
    }

    /// The list of what is revoked, for the next hour.
    pub fn crl(&self, revoked: &[&Credential]) -> String {
        self.crl_between(revoked, now() - 3_600, now() + 3_600)
    }

    /// The list of what is revoked, made at `this_update` and good until `next_update`.
    pub fn crl_between(
        &self,
        revoked: &[&Credential],
        this_update: i64,
        next_update: i64,
    ) -> String {
        let revoked = revoked.iter().map(|credential| RevokedCertParams {
            serial_number: credential.serial.into(),
            revocation_time: date_time_ymd(2026, 1, 1),
            reason_code: None,
            invalidity_date: None,
        });
        let list = CertificateRevocationListParams {
            this_update: date_time_ymd(1970, 1, 1) + since_1970(this_update),
            next_update: date_time_ymd(1970, 1, 1) + since_1970(next_update),
            crl_number: self.serial(),
            issuing_distribution_point: None,
            revoked_certs: revoked.collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let list = list.signed_by(&self.issuer).expect("the authority signs");
        list.pem().expect("a list can be written down")
    }

    fn sign(&self, mut params: CertificateParams) -> Credential {
        let serial = self.serials.fetch_add(1, Ordering::Relaxed);
        params.serial_number = Some(serial.into());
        let key = key();
        let leaf = params.signed_by(&key, &self.issuer).expect("the authority signs");
        let chain = leaf.pem() + &self.chain;
        Credential { chain, key: key.serialize_pem(), serial, leaf: leaf.der().to_vec() }
    }

    fn serial(&self) -> SerialNumber {
        self.serials.fetch_add(1, Ordering::Relaxed).into()
    }
}

fn authority_params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).expect("no names are good names");
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn client_params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).expect("no names are good names");
    params.distinguished_name.push(DnType::CommonName, name);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params
}

fn key() -> KeyPair {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("a key can be made")
}

/// Below the arc that is set aside for examples.
const UNKNOWN_OID: &[u64] = &[2, 999, 1];

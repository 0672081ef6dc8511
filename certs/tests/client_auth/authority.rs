//! Authorities, clients and lists for the tests, made by another hand than the one that reads them.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose,
    RevokedCertParams, SerialNumber,
};
use rustls::pki_types::CertificateDer;

use super::{DAY, NOW};

/// Somebody who issues certificates and lists.
pub(crate) struct Authority {
    pub(crate) issuer: Issuer<'static, KeyPair>,
    pub(crate) der: CertificateDer<'static>,
    pub(crate) pem: String,
}

impl Authority {
    pub(crate) fn root(name: &str) -> Self {
        Self::root_with(name, |_| {})
    }

    pub(crate) fn root_with(name: &str, change: impl FnOnce(&mut CertificateParams)) -> Self {
        let mut params = authority(name);
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        Self {
            der: certificate.der().clone(),
            pem: certificate.pem(),
            issuer: Issuer::new(params, key),
        }
    }

    pub(crate) fn intermediate(&self, name: &str, serial: u64) -> Self {
        let mut params = authority(name);
        params.serial_number = Some(SerialNumber::from(serial));
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Self {
            der: certificate.der().clone(),
            pem: certificate.pem(),
            issuer: Issuer::new(params, key),
        }
    }

    pub(crate) fn client(&self, serial: u64) -> CertificateDer<'static> {
        self.client_with(serial, |_| {})
    }

    pub(crate) fn client_with(
        &self,
        serial: u64,
        change: impl FnOnce(&mut CertificateParams),
    ) -> CertificateDer<'static> {
        let mut params = params("client");
        params.serial_number = Some(SerialNumber::from(serial));
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        params.signed_by(&key, &self.issuer).unwrap().der().clone()
    }

    /// A list in DER, valid from yesterday for a hundred days.
    pub(crate) fn crl(&self, revoked: &[u64]) -> Vec<u8> {
        self.crl_with(revoked, |_| {})
    }

    pub(crate) fn crl_with(
        &self,
        revoked: &[u64],
        change: impl FnOnce(&mut CertificateRevocationListParams),
    ) -> Vec<u8> {
        let revoked_certs = revoked.iter().map(|serial| RevokedCertParams {
            serial_number: SerialNumber::from(*serial),
            revocation_time: rcgen::date_time_ymd(2026, 1, 1),
            reason_code: None,
            invalidity_date: None,
        });
        let mut params = CertificateRevocationListParams {
            this_update: rcgen::date_time_ymd(1970, 1, 1),
            next_update: rcgen::date_time_ymd(1970, 1, 1),
            crl_number: SerialNumber::from(7),
            issuing_distribution_point: None,
            revoked_certs: revoked_certs.collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        valid_list(&mut params, -1, 99);
        change(&mut params);
        params.signed_by(&self.issuer).unwrap().der().to_vec()
    }
}

/// Sets the dates of a certificate, in days from the moment that the tests call now.
pub(crate) fn valid(params: &mut CertificateParams, from: i64, to: i64) {
    params.not_before = rcgen::date_time_ymd(1970, 1, 1) + since_1970(from);
    params.not_after = rcgen::date_time_ymd(1970, 1, 1) + since_1970(to);
}

/// Sets the dates of a list, in days from the moment that the tests call now.
pub(crate) fn valid_list(params: &mut CertificateRevocationListParams, from: i64, to: i64) {
    params.this_update = rcgen::date_time_ymd(1970, 1, 1) + since_1970(from);
    params.next_update = rcgen::date_time_ymd(1970, 1, 1) + since_1970(to);
}

fn since_1970(days: i64) -> Duration {
    Duration::from_secs(u64::try_from(NOW + days * DAY).unwrap())
}

/// What `openssl` with these arguments makes of `input`.
pub(crate) fn openssl(arguments: &[&str], input: &[u8]) -> String {
    let mut command = Command::new("openssl");
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn authority(name: &str) -> CertificateParams {
    let mut params = params(name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    // As OpenSSL does, for roots as well.
    params.use_authority_key_identifier_extension = true;
    valid(&mut params, -1000, 3000);
    params
}

fn params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    valid(&mut params, -1, 89);
    params
}

//! Private keys: DER to something that signs.
//!
//! Owns the loading of a key through the crypto provider and the words for one that does not
//! load. The bytes of a key exist here only inside values that wipe themselves.

use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs1KeyDer, PrivatePkcs8KeyDer, PrivateSec1KeyDer};
use rustls::sign::SigningKey;
use x509_parser::asn1_rs::{FromDer, Integer, OctetString, Oid, Sequence};
use x509_parser::oid_registry;

use super::LoadError;
use super::certificate::rsa_kind;
use super::pem::{Kind, Section};
use crate::credential::PublicKeyId;

/// A private key that can sign.
pub(crate) struct PrivateKey {
    pub(crate) signing: Arc<dyn SigningKey>,
    pub(crate) public_key: PublicKeyId,
}

/// Loads the key of a section; the caller has seen that it holds one.
pub(super) fn load(section: &Section, provider: &CryptoProvider) -> Result<PrivateKey, LoadError> {
    let line = section.line;
    let der = section.der.to_vec();
    let der = match section.kind {
        Kind::Pkcs1 => PrivateKeyDer::Pkcs1(PrivatePkcs1KeyDer::from(der)),
        Kind::Sec1 => PrivateKeyDer::Sec1(PrivateSec1KeyDer::from(der)),
        Kind::Pkcs8 | Kind::Certificate | Kind::RevocationList => {
            PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(der))
        }
    };
    // rustls wipes the key in `der` when it is done with it.
    let Ok(signing) = provider.key_provider.load_private_key(der) else {
        return Err(match refused_algorithm(section) {
            Some(algorithm) => LoadError::UnsupportedKey { line, algorithm },
            None => LoadError::Key { line },
        });
    };
    let public_key = match signing.public_key() {
        Some(public_key) => PublicKeyId::of(&public_key),
        // Without its public half nobody can tell which certificate it belongs to.
        None => return Err(LoadError::Key { line }),
    };
    Ok(PrivateKey { signing, public_key })
}

/// The name of the algorithm, where that is the reason why the key did not load.
fn refused_algorithm(section: &Section) -> Option<Box<str>> {
    match section.kind {
        Kind::Pkcs1 => rsa_kind(pkcs1_modulus(&section.der)?.as_ref()).err(),
        Kind::Pkcs8 => {
            let (_, outer) = Sequence::from_der(&section.der).ok()?;
            let (rest, _version) = Integer::from_der(&outer.content).ok()?;
            let (rest, algorithm) = Sequence::from_der(rest).ok()?;
            let (_, oid) = Oid::from_der(&algorithm.content).ok()?;
            if oid == oid_registry::OID_PKCS1_RSAENCRYPTION {
                let (_, inner) = OctetString::from_der(rest).ok()?;
                return rsa_kind(&pkcs1_modulus(inner.as_ref())?).err();
            }
            let known = [oid_registry::OID_KEY_TYPE_EC_PUBLIC_KEY, oid_registry::OID_SIG_ED25519];
            (!known.contains(&oid)).then(|| algorithm_name(&oid))
        }
        Kind::Sec1 | Kind::Certificate | Kind::RevocationList => None,
    }
}

/// The modulus of an RSAPrivateKey (RFC 8017 appendix A.1.2); it is public.
fn pkcs1_modulus(der: &[u8]) -> Option<Box<[u8]>> {
    let (_, key) = Sequence::from_der(der).ok()?;
    let (rest, _version) = Integer::from_der(&key.content).ok()?;
    let (_, modulus) = Integer::from_der(rest).ok()?;
    Some(modulus.as_ref().into())
}

/// What people call an algorithm that we do not sign with.
pub(super) fn algorithm_name(oid: &Oid<'_>) -> Box<str> {
    let number = oid.to_id_string();
    match number.as_str() {
        "1.2.840.10040.4.1" => "DSA".into(),
        "1.2.840.113549.1.1.10" => "RSASSA-PSS".into(),
        "1.3.101.110" => "X25519".into(),
        "1.3.101.111" => "X448".into(),
        "1.3.101.113" => "Ed448".into(),
        _ => format!("algorithm {number}").into(),
    }
}

//! What a client can verify.
//!
//! Owns the reading of a hello's signature schemes and cipher suites: which kinds of keys a client
//! of that offer can verify. Refuses to know which credentials there are; that is [`super`].

use rustls::{CipherSuite, SignatureScheme};

use crate::credential::KeyKind;

/// What a client can verify, as its hello says.
#[derive(Clone, Copy, Debug)]
pub struct Offer<'a> {
    /// The signature algorithms of the hello, in its order.
    pub signature_schemes: &'a [SignatureScheme],
    /// The cipher suites of the hello, in its order.
    pub cipher_suites: &'a [CipherSuite],
}

impl Offer<'_> {
    /// Whether this client can verify a handshake that is signed with a key of this kind.
    ///
    /// TLS 1.3 suites say nothing of keys; below, the suite names the kind of key, and only the
    /// AEAD suites count, since rustls has no others.
    #[must_use]
    pub fn accepts(&self, kind: KeyKind) -> bool {
        let schemes: &[SignatureScheme] = match kind {
            KeyKind::EcdsaP256 => &[SignatureScheme::ECDSA_NISTP256_SHA256],
            KeyKind::EcdsaP384 => &[SignatureScheme::ECDSA_NISTP384_SHA384],
            KeyKind::EcdsaP521 => &[SignatureScheme::ECDSA_NISTP521_SHA512],
            KeyKind::Ed25519 => &[SignatureScheme::ED25519],
            KeyKind::Rsa(_) => &RSA_SCHEMES,
        };
        let suites = match kind {
            KeyKind::Rsa(_) => &RSA_SUITES,
            KeyKind::EcdsaP256 | KeyKind::Ed25519 | KeyKind::EcdsaP384 | KeyKind::EcdsaP521 => {
                &ECDSA_SUITES
            }
        };
        let named = |suite: &CipherSuite| suites.contains(suite) || TLS13_SUITES.contains(suite);
        self.signature_schemes.iter().any(|scheme| schemes.contains(scheme))
            && self.cipher_suites.iter().any(named)
    }
}

pub(super) const RSA_SCHEMES: [SignatureScheme; 6] = [
    SignatureScheme::RSA_PSS_SHA256,
    SignatureScheme::RSA_PSS_SHA384,
    SignatureScheme::RSA_PSS_SHA512,
    SignatureScheme::RSA_PKCS1_SHA256,
    SignatureScheme::RSA_PKCS1_SHA384,
    SignatureScheme::RSA_PKCS1_SHA512,
];

pub(super) const TLS13_SUITES: [CipherSuite; 5] = [
    CipherSuite::TLS13_AES_128_GCM_SHA256,
    CipherSuite::TLS13_AES_256_GCM_SHA384,
    CipherSuite::TLS13_CHACHA20_POLY1305_SHA256,
    CipherSuite::TLS13_AES_128_CCM_SHA256,
    CipherSuite::TLS13_AES_128_CCM_8_SHA256,
];

const ECDSA_SUITES: [CipherSuite; 3] = [
    CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
];

pub(super) const RSA_SUITES: [CipherSuite; 3] = [
    CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
    CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
    CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
];

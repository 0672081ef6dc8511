//! Which credential a client gets, and why.
//!
//! Owns the immutable index from names to credentials and the choice among several credentials of
//! one name by what the client can verify. Knows nothing of files (that is [`crate::store`]) nor
//! of what a listener does with a name that nobody serves: it answers `None` and the caller
//! decides.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use rustls::pki_types::UnixTime;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{CipherSuite, SignatureScheme};

use crate::credential::{Credential, KeyKind, Validity};
use crate::name::{HostName, NameMap, NamePattern};
use crate::store::{Warning, unix_seconds};

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

/// Every credential that is loaded, found by name.
///
/// Immutable: a reload builds the next one beside it.
#[derive(Debug, Default)]
pub struct CertificateIndex {
    /// The credentials of one name, at most one for each class of keys, the best first.
    names: NameMap<Vec<Arc<Credential>>>,
    /// The first credential in path order, with the others that hold exactly its names.
    default: Vec<Arc<Credential>>,
    credentials: Vec<Arc<Credential>>,
}

impl CertificateIndex {
    /// Builds the index over `credentials`, which are in path order; two that claim one name for
    /// the same clients are settled here and warned of.
    pub(crate) fn build(
        credentials: Vec<Arc<Credential>>,
        now: i64,
        warnings: &mut Vec<Warning>,
    ) -> Self {
        let mut names: NameMap<Vec<Arc<Credential>>> = NameMap::new();
        for credential in &credentials {
            for name in credential.names() {
                match names.get_pattern_mut(name) {
                    Some(holders) => holders.push(Arc::clone(credential)),
                    None => {
                        names.insert(name.clone(), vec![Arc::clone(credential)]);
                    }
                }
            }
        }
        for holders in names.values_mut() {
            rank(holders, now);
        }
        warn_of_conflicts(&credentials, &mut names, warnings);
        names.values_mut().for_each(one_for_each_class);
        let default = default_of(&credentials, now);
        Self { names, default, credentials }
    }

    /// The credential for a client that asked for `name` and offers `offer`; for one that asked
    /// for none, the default. `None` if nobody serves the name.
    ///
    /// Where none of the name's credentials suits the client, the first is returned, so that
    /// rustls answers with the alert for that.
    #[must_use]
    pub fn select(&self, name: Option<&HostName>, offer: &Offer<'_>) -> Option<&Arc<Credential>> {
        let Some(name) = name else {
            return self.default_credential(offer);
        };
        let exact = self.names.get_exact(name).map_or(&[][..], Vec::as_slice);
        let wildcard = || self.names.get_wildcard(name).map_or(&[][..], Vec::as_slice);
        suitable(exact, offer)
            .or_else(|| suitable(wildcard(), offer))
            .or_else(|| exact.first())
            .or_else(|| wildcard().first())
    }

    /// The credential for a client that names no server: the first in path order, or one for the
    /// same names that suits this client better.
    #[must_use]
    pub fn default_credential(&self, offer: &Offer<'_>) -> Option<&Arc<Credential>> {
        suitable(&self.default, offer).or_else(|| self.default.first())
    }

    /// Every credential, in path order.
    pub fn credentials(&self) -> impl ExactSizeIterator<Item = &Arc<Credential>> {
        self.credentials.iter()
    }

    /// How many credentials there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.credentials.len()
    }

    /// Whether nothing can be served.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.credentials.is_empty()
    }

    /// What each kind of client gets that asks for `name`, and why.
    #[must_use]
    pub fn explain(&self, name: &HostName, now: UnixTime) -> Vec<Explanation> {
        let now = unix_seconds(now);
        [ClientKind::Modern, ClientKind::RsaOnly, ClientKind::NoServerName]
            .map(|client| {
                let asked = (client != ClientKind::NoServerName).then_some(name);
                let offer = client.offer();
                let credential = self.select(asked, &offer).cloned();
                let reason = self.reason(asked, credential.as_deref(), &offer, now);
                Explanation { client, credential, reason }
            })
            .into()
    }

    fn reason(
        &self,
        asked: Option<&HostName>,
        credential: Option<&Credential>,
        offer: &Offer<'_>,
        now: i64,
    ) -> String {
        let Some(credential) = credential else {
            return "no certificate covers this name".to_owned();
        };
        let mut reason = match asked {
            None => "the first certificate in path order".to_owned(),
            Some(name) => match credential.names().iter().find(|p| p.matches(name)) {
                Some(NamePattern::Exact(_)) => "the certificate states this name".to_owned(),
                Some(wildcard) => format!("{wildcard} covers this name"),
                None => "no certificate covers this name".to_owned(),
            },
        };
        let kind = credential.key_kind();
        if !offer.accepts(kind) {
            reason += &format!("; this client cannot verify {kind} and nothing suits it better");
        } else if let Some(name) = asked {
            let others = self.names.get(name).into_iter().flatten();
            for other in others.filter(|other| other.label() != credential.label()) {
                reason +=
                    &format!("; {kind} goes before {} of {}", other.key_kind(), other.label());
            }
        }
        match credential.validity(now) {
            Validity::Valid => {}
            Validity::Pending => reason += "; it is not valid yet",
            Validity::Expired => reason += "; it has expired",
        }
        reason
    }
}

/// What a kind of client gets.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// Which clients this is about.
    pub client: ClientKind,
    /// What they get, if anything.
    pub credential: Option<Arc<Credential>>,
    /// Why, in words.
    pub reason: String,
}

/// The kinds of clients that may get different credentials for one name.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ClientKind {
    /// TLS 1.3, ECDSA and RSA.
    Modern,
    /// Verifies RSA signatures only.
    RsaOnly,
    /// Does not say which name it wants.
    NoServerName,
}

impl ClientKind {
    fn offer(self) -> Offer<'static> {
        match self {
            Self::Modern | Self::NoServerName => {
                Offer { signature_schemes: &MODERN_SCHEMES, cipher_suites: &TLS13_SUITES }
            }
            Self::RsaOnly => Offer { signature_schemes: &RSA_SCHEMES, cipher_suites: &RSA_SUITES },
        }
    }
}

impl fmt::Display for ClientKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Modern => "modern client",
            Self::RsaOnly => "RSA-only client",
            Self::NoServerName => "client without SNI",
        })
    }
}

/// The credential that was chosen for one connection, in the shape that rustls asks for.
///
/// The choice needs the site and is made before the handshake goes on; rustls asks again on every
/// resumption, and gets the same answer.
#[derive(Clone, Debug)]
pub struct Chosen(pub Arc<CertifiedKey>);

impl ResolvesServerCert for Chosen {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}

fn suitable<'a>(holders: &'a [Arc<Credential>], offer: &Offer<'_>) -> Option<&'a Arc<Credential>> {
    holders.iter().find(|credential| offer.accepts(credential.key_kind()))
}

/// Valid before the rest, then the cheaper key, then the later end; path order settles what is
/// left, since the sort is stable.
fn rank(holders: &mut [Arc<Credential>], now: i64) {
    holders.sort_by_key(|credential| {
        let end = std::cmp::Reverse(credential.not_after());
        (credential.validity(now), credential.key_kind().class(), end)
    });
}

fn one_for_each_class(holders: &mut Vec<Arc<Credential>>) {
    let mut classes = HashSet::new();
    holders.retain(|credential| classes.insert(credential.key_kind().class()));
}

/// Walks names in path order rather than the map, so that the warnings have a stable order.
fn warn_of_conflicts(
    credentials: &[Arc<Credential>],
    names: &mut NameMap<Vec<Arc<Credential>>>,
    warnings: &mut Vec<Warning>,
) {
    for credential in credentials {
        for name in credential.names() {
            let class = credential.key_kind().class();
            let holders = names.get_pattern_mut(name).map_or(&[][..], |h| h.as_slice());
            let winner = holders.iter().find(|holder| holder.key_kind().class() == class);
            if let Some(winner) = winner.filter(|winner| !Arc::ptr_eq(winner, credential)) {
                warnings.push(Warning::NameConflict {
                    name: name.clone(),
                    winner: Arc::clone(winner.label()),
                    loser: Arc::clone(credential.label()),
                });
            }
        }
    }
}

fn default_of(credentials: &[Arc<Credential>], now: i64) -> Vec<Arc<Credential>> {
    let Some(first) = credentials.first() else {
        return Vec::new();
    };
    let same = |other: &&Arc<Credential>| {
        Arc::ptr_eq(other, first) || (!first.names().is_empty() && other.names() == first.names())
    };
    let mut default: Vec<_> = credentials.iter().filter(same).cloned().collect();
    rank(&mut default, now);
    one_for_each_class(&mut default);
    default
}

const RSA_SCHEMES: [SignatureScheme; 6] = [
    SignatureScheme::RSA_PSS_SHA256,
    SignatureScheme::RSA_PSS_SHA384,
    SignatureScheme::RSA_PSS_SHA512,
    SignatureScheme::RSA_PKCS1_SHA256,
    SignatureScheme::RSA_PKCS1_SHA384,
    SignatureScheme::RSA_PKCS1_SHA512,
];

const MODERN_SCHEMES: [SignatureScheme; 4] = [
    SignatureScheme::ECDSA_NISTP256_SHA256,
    SignatureScheme::ECDSA_NISTP384_SHA384,
    SignatureScheme::RSA_PSS_SHA256,
    SignatureScheme::RSA_PKCS1_SHA256,
];

const TLS13_SUITES: [CipherSuite; 5] = [
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

const RSA_SUITES: [CipherSuite; 3] = [
    CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
    CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
    CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
];

//! Who gets what, and why, in words.
//!
//! Owns the kinds of clients that may get different credentials for one name, and the reasons that
//! people are told. The choice itself is that of a handshake: [`CertificateIndex::select`].

use std::fmt;
use std::sync::Arc;

use rustls::SignatureScheme;
use rustls::pki_types::UnixTime;

use super::offer::{RSA_SCHEMES, RSA_SUITES, TLS13_SUITES};
use super::{CertificateIndex, Offer};
use crate::credential::{Credential, Validity};
use crate::name::{HostName, NamePattern};
use crate::store::unix_seconds;

impl CertificateIndex {
    /// What each kind of client gets that asks for `name`, and why.
    #[must_use]
    pub fn explain(&self, name: &HostName, now: UnixTime) -> Vec<Explanation> {
        let now = unix_seconds(now);
        ClientKind::ALL
            .map(|client| {
                let asked = (client != ClientKind::NoServerName).then_some(name);
                let offer = client.offer();
                let credential = self.select(asked, &offer).cloned();
                let reason = self.reason(asked, credential.as_deref(), &offer, now);
                Explanation { client, credential, reason }
            })
            .into()
    }

    /// Whether any client that asks for a name of `credential` gets it.
    #[must_use]
    pub fn is_presented(&self, credential: &Arc<Credential>) -> bool {
        let gets = |name: &HostName, client: ClientKind| {
            let asked = (client != ClientKind::NoServerName).then_some(name);
            let chosen = self.select(asked, &client.offer());
            chosen.is_some_and(|chosen| Arc::ptr_eq(chosen, credential))
        };
        // Without names it can only be the default, and few things are worse than a bad one.
        credential.names().is_empty()
            || credential
                .names()
                .iter()
                .filter_map(NamePattern::example)
                .any(|name| ClientKind::ALL.into_iter().any(|client| gets(&name, client)))
    }

    /// Whether `credential` has expired by `now`, a Unix time, and nobody suffers from that.
    #[must_use]
    pub fn is_superseded(&self, credential: &Arc<Credential>, now: i64) -> bool {
        credential.validity(now) == Validity::Expired && !self.is_presented(credential)
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
            let holders = self.names.get(name).into_iter();
            let others = holders.flat_map(|holders| &holders.ranked);
            for other in others.filter(|other| other.label() != credential.label()) {
                reason += "; ";
                reason += &preference(credential, other, offer, now);
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

/// Why `chosen` goes before `other`, in the order in which that is decided.
fn preference(chosen: &Credential, other: &Credential, offer: &Offer<'_>, now: i64) -> String {
    let (label, kind) = (other.label(), other.key_kind());
    if chosen.validity(now) == Validity::Valid {
        match other.validity(now) {
            Validity::Valid => {}
            Validity::Pending => return format!("{label} is not valid yet"),
            Validity::Expired => return format!("{label} has expired"),
        }
    }
    if !offer.accepts(kind) {
        return format!("this client cannot verify {kind} of {label}");
    }
    if kind.class() != chosen.key_kind().class() {
        return format!("{} goes before {kind} of {label}", chosen.key_kind());
    }
    if chosen.not_after() > other.not_after() {
        return format!("it is valid for longer than {label}");
    }
    format!("its path comes before {label}")
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
    const ALL: [Self; 3] = [Self::Modern, Self::RsaOnly, Self::NoServerName];

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

const MODERN_SCHEMES: [SignatureScheme; 4] = [
    SignatureScheme::ECDSA_NISTP256_SHA256,
    SignatureScheme::ECDSA_NISTP384_SHA384,
    SignatureScheme::RSA_PSS_SHA256,
    SignatureScheme::RSA_PKCS1_SHA256,
];

//! Which credential a client gets, and why.
//!
//! Owns the immutable index from names to credentials and the choice among several credentials of
//! one name by what the client can verify. Knows nothing of files (that is [`crate::store`]) nor
//! of what a listener does with a name that nobody serves: it answers `None` and the caller
//! decides.
//!
//! Within, `offer` says what a client can verify, `holders` which credential of a name goes first,
//! `order` in which orders all of them are kept, `explain` tells people.

mod explain;
mod holders;
mod offer;
mod order;

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::credential::Credential;
use crate::name::{HostName, NameMap, NamePattern};
use crate::ordered::Ordered;
use crate::store::Warning;

pub use explain::{ClientKind, Explanation};
pub use offer::Offer;

use holders::Holders;
use order::{ByEnd, ByPlace};

/// Every credential that is loaded, found by name.
///
/// Immutable: a reload builds the next one beside it, which shares with this one all that is not
/// changed, so that one change among very many costs little.
#[derive(Clone, Debug, Default)]
pub struct CertificateIndex {
    names: NameMap<Holders>,
    /// The first credential in path order, with the others that hold exactly its names.
    default: Holders,
    credentials: Ordered<ByPlace>,
    ends: Ordered<ByEnd>,
}

impl CertificateIndex {
    /// Builds the index over `credentials`. Which of two that claim one name for the same clients
    /// is served is settled here, and said of each such name.
    pub(crate) fn build(credentials: &[Arc<Credential>], now: i64) -> (Self, Conflicts) {
        let mut index = Self {
            credentials: credentials.iter().cloned().map(ByPlace).collect(),
            ends: credentials.iter().cloned().map(ByEnd).collect(),
            ..Self::default()
        };
        for (credential, name) in named(credentials) {
            index.names.entry(name).ranked.push(Arc::clone(credential));
        }
        let mut conflicts = Vec::new();
        for (name, holders) in index.names.iter_mut() {
            holders.settle(now);
            if holders.ranked.len() > 1 {
                conflicts.push((name.clone(), holders.conflicts(&name)));
            }
        }
        index.default = index.default_of(now);
        (index, conflicts)
    }

    /// The index in which `gone` were taken out and `come` put in. Validity is judged anew only
    /// for the names that they hold.
    pub(crate) fn with(
        &self,
        gone: &[Arc<Credential>],
        come: &[Arc<Credential>],
        now: i64,
    ) -> (Self, Conflicts) {
        let mut index = self.clone();
        let left: HashSet<_> = gone.iter().map(Arc::as_ptr).collect();
        for credential in gone {
            index.credentials.remove(&ByPlace(Arc::clone(credential)));
            index.ends.remove(&ByEnd(Arc::clone(credential)));
        }
        for credential in come {
            index.credentials.insert(ByPlace(Arc::clone(credential)));
            index.ends.insert(ByEnd(Arc::clone(credential)));
        }
        for (credential, name) in named(come) {
            index.names.entry(name).ranked.push(Arc::clone(credential));
        }
        let touched: BTreeSet<_> = named(gone).chain(named(come)).map(|(_, name)| name).collect();
        let mut conflicts = Vec::new();
        for name in touched {
            let holders = index.names.entry(name);
            holders.ranked.retain(|credential| !left.contains(&Arc::as_ptr(credential)));
            holders.settle(now);
            conflicts.push((name.clone(), holders.conflicts(name)));
            if holders.ranked.is_empty() {
                index.names.remove(name);
            }
        }
        index.default = index.default_of(now);
        (index, conflicts)
    }

    /// Whether there is a certificate for `name`.
    #[must_use]
    pub fn has(&self, name: &HostName) -> bool {
        self.names.get_exact(name).is_some() || self.names.get_wildcard(name).is_some()
    }

    /// The credential for a client that asked for `name` and offers `offer`; for one that asked
    /// for none, the default. `None` if nobody serves the name.
    ///
    /// What is valid goes before what is not, what the client can verify before what it cannot,
    /// and the exact name before the wildcard. Where none of the name's credentials suits the
    /// client, one is returned all the same, so that rustls answers with the alert for that.
    #[must_use]
    pub fn select(&self, name: Option<&HostName>, offer: &Offer<'_>) -> Option<&Arc<Credential>> {
        let Some(name) = name else {
            return self.default_credential(offer);
        };
        let exact = self.names.get_exact(name);
        if let Some(found) = exact.and_then(|holders| suitable(holders.valid(), offer)) {
            return Some(found);
        }
        let wildcard = self.names.get_wildcard(name);
        let among = |part: fn(&Holders) -> &[Arc<Credential>]| {
            [exact, wildcard].into_iter().flatten().map(part)
        };
        let valid = || among(Holders::valid);
        let all = || among(Holders::all);
        valid()
            .find_map(|holders| suitable(holders, offer))
            .or_else(|| all().find_map(|holders| suitable(holders, offer)))
            .or_else(|| valid().find_map(<[_]>::first))
            .or_else(|| all().find_map(<[_]>::first))
    }

    /// The credential for a client that names no server: the first in path order, or one for the
    /// same names that suits this client better.
    #[must_use]
    pub fn default_credential(&self, offer: &Offer<'_>) -> Option<&Arc<Credential>> {
        suitable(&self.default.ranked, offer).or_else(|| self.default.ranked.first())
    }

    /// Every credential, in path order.
    pub fn credentials(&self) -> impl Iterator<Item = &Arc<Credential>> {
        self.credentials.iter().map(|ByPlace(credential)| credential)
    }

    /// Every credential, the one that ends first in front.
    pub fn soonest(&self) -> impl Iterator<Item = &Arc<Credential>> {
        self.ends.iter().map(|ByEnd(credential)| credential)
    }

    fn default_of(&self, now: i64) -> Holders {
        let Some(first) = self.credentials().next() else { return Holders::default() };
        let holders = first.names().first().and_then(|name| self.names.get_pattern(name));
        let mut default = Holders::default();
        default.ranked.push(Arc::clone(first));
        let same =
            |other: &&Arc<Credential>| !Arc::ptr_eq(other, first) && other.names() == first.names();
        let others = holders.into_iter().flat_map(|holders| &holders.ranked).filter(same);
        default.ranked.extend(others.cloned());
        default.settle(now);
        default
    }

    /// How many credentials there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.credentials.len()
    }

    /// Whether nothing can be served.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
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

/// Names that were settled, each with who lost it; nobody, if there was no conflict.
pub(crate) type Conflicts = Vec<(NamePattern, Vec<Warning>)>;

fn named(
    credentials: &[Arc<Credential>],
) -> impl Iterator<Item = (&Arc<Credential>, &NamePattern)> {
    credentials
        .iter()
        .flat_map(|credential| credential.names().iter().map(move |n| (credential, n)))
}

fn suitable<'a>(holders: &'a [Arc<Credential>], offer: &Offer<'_>) -> Option<&'a Arc<Credential>> {
    holders.iter().find(|credential| offer.accepts(credential.key_kind()))
}

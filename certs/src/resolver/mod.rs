//! Which credential a client gets, and why.
//!
//! Owns the immutable index from names to credentials and the choice among several credentials of
//! one name by what the client can verify. Knows nothing of files (that is [`crate::store`]) nor
//! of what a listener does with a name that nobody serves: it answers `None` and the caller
//! decides.
//!
//! Within, `offer` says what a client can verify, `holders` which credential of a name goes first,
//! `explain` tells people.

mod explain;
mod holders;
mod offer;

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::credential::Credential;
use crate::name::{HostName, NameMap, NamePattern};
use crate::store::Warning;

pub use explain::{ClientKind, Explanation};
pub use offer::Offer;

use holders::Holders;

/// Every credential that is loaded, found by name.
///
/// Immutable: a reload builds the next one beside it.
#[derive(Clone, Debug, Default)]
pub struct CertificateIndex {
    names: NameMap<Holders>,
    /// The first credential in path order, with the others that hold exactly its names.
    default: Holders,
    /// In path order.
    credentials: Vec<Arc<Credential>>,
}

impl CertificateIndex {
    /// Builds the index over `credentials`, which are in path order. Which of two that claim one
    /// name for the same clients is served is settled here, and said of each such name.
    pub(crate) fn build(credentials: Vec<Arc<Credential>>, now: i64) -> (Self, Conflicts) {
        let mut index = Self { names: NameMap::new(), default: Holders::default(), credentials };
        for credential in &index.credentials {
            for name in credential.names() {
                index.names.entry(name).ranked.push(Arc::clone(credential));
            }
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
        index.credentials.retain(|credential| !left.contains(&Arc::as_ptr(credential)));
        for credential in come {
            let place = credential.place();
            let at = index.credentials.partition_point(|other| other.place() < place);
            index.credentials.insert(at, Arc::clone(credential));
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
    pub fn credentials(&self) -> impl ExactSizeIterator<Item = &Arc<Credential>> {
        self.credentials.iter()
    }

    fn default_of(&self, now: i64) -> Holders {
        let Some(first) = self.credentials.first() else { return Holders::default() };
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
        self.credentials.is_empty()
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

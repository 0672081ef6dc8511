//! Chains and keys to credentials.
//!
//! Owns the rule that a key belongs to the chain whose leaf holds its public key, wherever the
//! two files lie and whatever they are called. The key beside the chain is preferred, which only
//! matters for the path that people are shown. Knows nothing of what was served before, except
//! that a pair that did not change stays the object that it was.
//!
//! What is said of a file can depend on what is served in the end, so it is said when that is
//! settled: [`Pairing::account`].

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use super::ledger::Account;
use super::library::Library;
use super::part::{Part, Scanned};
use super::report::Warning;
use super::staples::Staples;
use crate::credential::{self, Credential, Located, PublicKeyId};
use crate::load::{Chain, LoadError, PrivateKey};
use crate::staple::Answered;

/// What the files give by themselves.
pub(super) struct Pairing<'a> {
    /// In path order.
    pub(super) candidates: Vec<Arc<Credential>>,
    /// Files of which every chain found its key, and there is one at least.
    pub(super) complete: HashSet<&'a Path>,
    /// Public keys whose private halves are in use.
    pub(super) used: HashSet<PublicKeyId>,
    /// The chain of each candidate.
    chains: Vec<&'a Chain>,
    /// Chains without a key.
    lonely: Vec<Located<'a, Chain>>,
    keys: Keys<'a>,
    staples: Staples<'a>,
}

/// Joins every chain with its key, and keeps the halves that are left over.
pub(super) fn pair<'a>(part: &'a Part<'_>, now: i64) -> Pairing<'a> {
    let current: HashMap<&str, _> = part.current.iter().map(|c| (&**c.label(), c)).collect();
    let mut pairing = Pairing {
        candidates: Vec::new(),
        complete: HashSet::new(),
        used: HashSet::new(),
        chains: Vec::new(),
        lonely: Vec::new(),
        keys: Keys::of(part),
        staples: Staples::of(part, now),
    };
    for (file, chains) in chains(part) {
        let (mut joined, mut left_over) = (0, 0);
        for (ordinal, chain) in chains.iter().enumerate() {
            let located = Located { root: file.root, path: file.path, item: chain };
            let leaf = &chain.leaf;
            let key = pairing.keys.find(leaf.public_key, (file.root, file.path));
            if key.is_some() {
                pairing.used.insert(leaf.public_key);
            }
            // What is served now with a key that is gone has lost a half, whatever it is.
            let keyless = key.is_none()
                && leaf.kind.is_ok()
                && !current.contains_key(&*credential::label(file.path, ordinal));
            if leaf.authority || (leaf.issues && keyless) {
                continue;
            }
            match join(ordinal, located, key, &mut pairing.staples, &current) {
                Some(credential) => {
                    joined += 1;
                    pairing.chains.push(chain);
                    pairing.candidates.push(credential);
                }
                None => {
                    left_over += 1;
                    pairing.lonely.push(located);
                }
            }
        }
        if joined > 0 && left_over == 0 {
            pairing.complete.insert(file.path);
        }
    }
    pairing
}

impl Pairing<'_> {
    /// Names the halves that are left over, and what is odd about the chains that are served.
    pub(super) fn account(
        &self,
        part: &Part<'_>,
        served: &[Arc<Credential>],
        library: &Library,
        account: &mut Account,
    ) {
        // `cert.pem` beside `fullchain.pem` only repeats what is served, and nobody misses it.
        let copies: HashMap<_, _> =
            served.iter().map(|c| (c.fingerprint_bytes(), c.chain_path())).collect();
        for chain in &self.lonely {
            let copy = copies.get(&chain.item.leaf.fingerprint);
            if copy.is_none_or(|path| *path == chain.path) {
                account.skip(chain.path, lonely_chain(part, *chain));
            }
        }
        self.report_unused(part, account);
        self.staples.account(part, account);
        let served: HashSet<_> = served.iter().map(Arc::as_ptr).collect();
        for (credential, chain) in self.candidates.iter().zip(&self.chains) {
            // Of a chain that nobody ever gets, oddities do not matter.
            if served.contains(&Arc::as_ptr(credential)) {
                warn_of_chain(chain, credential, library, account);
            }
        }
    }

    fn report_unused(&self, part: &Part<'_>, account: &mut Account) {
        for file in &part.files {
            for key in file.parsed.iter().flat_map(|parsed| &parsed.keys) {
                if !self.used.contains(&key.public_key) {
                    let error = LoadError::NoCertificate {
                        searched: part.searched(),
                        path: file.path.display().to_string(),
                        public_key: key.public_key.to_string(),
                    };
                    account.skip(file.path, error);
                }
            }
        }
    }
}

fn chains<'a>(part: &'a Part<'_>) -> impl Iterator<Item = (&'a Scanned<'a>, &'a [Chain])> {
    part.files.iter().filter_map(|file| Some((file, file.parsed?.chains.as_slice())))
}

/// The credential of a chain; the one in use if it is the same.
fn join(
    ordinal: usize,
    chain: Located<'_, Chain>,
    key: Option<Located<'_, PrivateKey>>,
    staples: &mut Staples<'_>,
    current: &HashMap<&str, &Arc<Credential>>,
) -> Option<Arc<Credential>> {
    let key = key?;
    let label = credential::label(chain.path, ordinal);
    let known = current.get(&*label).copied();
    let staple = staples.find(&label, chain.item, known);
    let same = known.filter(|known| {
        *known.chain_digest() == chain.item.digest
            && known.key_path() == key.path
            && known.staple() == staple.as_ref().map(Answered::facts)
            && known.staple_digest() == staple.as_ref().map(Answered::digest)
    });
    match same {
        Some(known) => Some(Arc::clone(known)),
        None => Credential::join(ordinal, chain, key, staple).map(Arc::new),
    }
}

/// Why a chain found no key: its algorithm, or that none is there.
fn lonely_chain(part: &Part<'_>, chain: Located<'_, Chain>) -> LoadError {
    match &chain.item.leaf.kind {
        Err(algorithm) => LoadError::UnsupportedCertificate { algorithm: algorithm.clone() },
        Ok(_) => LoadError::NoKey {
            searched: part.searched(),
            path: chain.path.display().to_string(),
            public_key: chain.item.leaf.public_key.to_string(),
        },
    }
}

/// Every private key that was read, found by its public half.
struct Keys<'a> {
    by_public: HashMap<PublicKeyId, Vec<Located<'a, PrivateKey>>>,
}

impl<'a> Keys<'a> {
    fn of(part: &'a Part<'_>) -> Self {
        let mut by_public: HashMap<_, Vec<_>> = HashMap::new();
        for file in &part.files {
            for key in file.parsed.iter().flat_map(|parsed| &parsed.keys) {
                let located = Located { root: file.root, path: file.path, item: key };
                by_public.entry(key.public_key).or_default().push(located);
            }
        }
        Self { by_public }
    }

    /// The key in the same file, else in the same folder, else the first.
    fn find(&self, public: PublicKeyId, chain: (usize, &Path)) -> Option<Located<'a, PrivateKey>> {
        let found = self.by_public.get(&public)?;
        // Files are in path order, and so are their keys.
        let same_file = || {
            let at = found.partition_point(|key| (key.root, key.path) < chain);
            found.get(at).filter(|key| key.path == chain.1)
        };
        let same_folder = || found.iter().find(|key| key.path.parent() == chain.1.parent());
        same_file().or_else(same_folder).or_else(|| found.first()).copied()
    }
}

/// What is odd about a chain that is served all the same.
fn warn_of_chain(chain: &Chain, credential: &Credential, library: &Library, account: &mut Account) {
    let path = credential.chain_path();
    let label = || Arc::clone(credential.label());
    let leaf = &chain.leaf;
    if !chain.unbroken {
        account.warn(path, Warning::BrokenChain { label: label() });
    }
    // The rule is told at the warning.
    let needed = library.is_root(&leaf.issuer).map_or(leaf.names_issuer_location, |root| !root);
    if chain.certificates.len() == 1 && !leaf.self_issued && needed {
        let issuer = leaf.issuer.clone();
        account.warn(path, Warning::MissingIntermediate { label: label(), issuer });
    }
    if let Some(algorithm) = chain.weak_signature {
        account.warn(path, Warning::WeakSignature { label: label(), algorithm });
    }
    if leaf.names.is_empty() {
        account.warn(path, Warning::NoNames { label: label() });
    }
    for name in &leaf.odd_names {
        account.warn(path, Warning::OddName { label: label(), name: name.as_str().into() });
    }
}

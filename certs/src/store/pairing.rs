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

use super::report::{ReloadReport, Skipped, Warning};
use super::{Scan, Scanned};
use crate::credential::{self, Credential, Located};
use crate::load::{Chain, LoadError, PrivateKey};

/// What the files give by themselves.
pub(super) struct Pairing<'a> {
    /// In path order.
    pub(super) candidates: Vec<Arc<Credential>>,
    /// Files of which every chain found its key, and there is one at least.
    pub(super) complete: HashSet<std::path::PathBuf>,
    /// Public keys whose private halves are in use.
    pub(super) used: HashSet<Box<[u8]>>,
    /// The chain of each candidate.
    chains: Vec<&'a Chain>,
    /// Chains without a key.
    lonely: Vec<Located<'a, Chain>>,
    keys: Keys<'a>,
}

/// Joins every chain with its key, and keeps the halves that are left over.
pub(super) fn pair<'a>(scan: &'a Scan, current: &[Arc<Credential>]) -> Pairing<'a> {
    let current: HashMap<&str, _> = current.iter().map(|c| (&**c.label(), c)).collect();
    let mut pairing = Pairing {
        candidates: Vec::new(),
        complete: HashSet::new(),
        used: HashSet::new(),
        chains: Vec::new(),
        lonely: Vec::new(),
        keys: Keys::of(scan),
    };
    for (file, chains) in chains(scan) {
        let (mut joined, mut left_over) = (0, 0);
        for (ordinal, chain) in chains.iter().enumerate() {
            let located = Located { path: &file.path, item: chain };
            let leaf = &chain.leaf;
            let key = pairing.keys.find(&leaf.public_key, &file.path);
            if key.is_some() {
                pairing.used.insert(leaf.public_key.clone());
            }
            // What is served now with a key that is gone has lost a half, whatever it is.
            let keyless = key.is_none()
                && leaf.kind.is_ok()
                && !current.contains_key(&*credential::label(&file.path, ordinal));
            if leaf.authority || (leaf.issues && keyless) {
                continue;
            }
            match join(ordinal, located, key, &current) {
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
            pairing.complete.insert(file.path.clone());
        }
    }
    pairing
}

impl Pairing<'_> {
    /// Names the halves that are left over, and what is odd about the chains that are served.
    pub(super) fn account(
        &self,
        scan: &Scan,
        served: &[Arc<Credential>],
        report: &mut ReloadReport,
    ) {
        let copies = Copies::of(if self.lonely.is_empty() { &[] } else { served });
        for chain in self.lonely.iter().filter(|chain| !copies.hold(**chain)) {
            let error = lonely_chain(scan, *chain);
            report.skipped.push(Skipped { path: chain.path.to_path_buf(), error });
        }
        self.keys.report_unused(&self.used, scan, report);
        let issuers = Issuers::of(scan);
        let served: HashSet<_> = served.iter().map(Arc::as_ptr).collect();
        for (credential, chain) in self.candidates.iter().zip(&self.chains) {
            // `cert.pem` beside `fullchain.pem` is odd, but nobody ever gets it.
            if served.contains(&Arc::as_ptr(credential)) {
                warn_of_chain(chain, credential, &issuers, report);
            }
        }
    }
}

/// Every certificate of the chains that are served, with the files that they are served from.
struct Copies<'a>(HashMap<&'a [u8], Vec<&'a Path>>);

impl<'a> Copies<'a> {
    fn of(served: &'a [Arc<Credential>]) -> Self {
        let mut copies: HashMap<_, Vec<_>> = HashMap::new();
        for credential in served {
            for der in &credential.key().cert {
                copies.entry(&**der).or_default().push(credential.chain_path());
            }
        }
        Self(copies)
    }

    /// Whether a chain only repeats what is served from another file, so that nobody misses it.
    fn hold(&self, chain: Located<'_, Chain>) -> bool {
        chain.item.certificates.iter().all(|der| {
            let paths = self.0.get(&**der).map(Vec::as_slice).unwrap_or_default();
            paths.iter().any(|path| *path != chain.path)
        })
    }
}

/// The authorities that lie among the files: by name, whether there is a root of that name.
struct Issuers<'a>(HashMap<&'a str, bool>);

impl<'a> Issuers<'a> {
    fn of(scan: &'a Scan) -> Self {
        let mut issuers = HashMap::new();
        let leaves = chains(scan).flat_map(|(_, chains)| chains).map(|chain| &chain.leaf);
        for leaf in leaves.filter(|leaf| leaf.issues || leaf.authority) {
            *issuers.entry(&*leaf.subject).or_default() |= leaf.self_issued;
        }
        Self(issuers)
    }
}

fn chains(scan: &Scan) -> impl Iterator<Item = (&Scanned, &[Chain])> {
    scan.files.iter().filter_map(|file| Some((file, file.parsed.as_ref()?.chains.as_slice())))
}

/// The credential of a chain; the one in use if it is the same.
fn join(
    ordinal: usize,
    chain: Located<'_, Chain>,
    key: Option<Located<'_, PrivateKey>>,
    current: &HashMap<&str, &Arc<Credential>>,
) -> Option<Arc<Credential>> {
    let key = key?;
    let label = credential::label(chain.path, ordinal);
    let known = current
        .get(&*label)
        .filter(|known| *known.chain_digest() == chain.item.digest && known.key_path() == key.path);
    match known {
        Some(known) => Some(Arc::clone(known)),
        None => Credential::join(ordinal, chain, key).map(Arc::new),
    }
}

/// Why a chain found no key: its algorithm, or that none is there.
fn lonely_chain(scan: &Scan, chain: Located<'_, Chain>) -> LoadError {
    match &chain.item.leaf.kind {
        Err(algorithm) => LoadError::UnsupportedCertificate { algorithm: algorithm.clone() },
        Ok(_) => LoadError::NoKey {
            searched: scan.searched.clone(),
            path: chain.path.display().to_string(),
        },
    }
}

/// Every private key that was read, found by its public half.
struct Keys<'a> {
    by_public: HashMap<&'a [u8], Vec<Located<'a, PrivateKey>>>,
}

impl<'a> Keys<'a> {
    fn of(scan: &'a Scan) -> Self {
        let mut by_public: HashMap<_, Vec<_>> = HashMap::new();
        for file in &scan.files {
            for key in file.parsed.iter().flat_map(|parsed| &parsed.keys) {
                let located = Located { path: file.path.as_path(), item: key };
                by_public.entry(&*key.public_key).or_default().push(located);
            }
        }
        Self { by_public }
    }

    /// The key in the same file, else in the same folder, else the first.
    fn find(&self, public: &[u8], chain: &Path) -> Option<Located<'a, PrivateKey>> {
        let found = self.by_public.get(public)?;
        let same_file = found.iter().find(|key| key.path == chain);
        let same_folder = || found.iter().find(|key| key.path.parent() == chain.parent());
        same_file.or_else(same_folder).or_else(|| found.first()).copied()
    }

    fn report_unused(&self, used: &HashSet<Box<[u8]>>, scan: &Scan, report: &mut ReloadReport) {
        for file in &scan.files {
            for key in file.parsed.iter().flat_map(|parsed| &parsed.keys) {
                if !used.contains(&key.public_key) {
                    let error = LoadError::NoCertificate {
                        searched: scan.searched.clone(),
                        path: file.path.display().to_string(),
                    };
                    report.skipped.push(Skipped { path: file.path.clone(), error });
                }
            }
        }
    }
}

/// What is odd about a chain that is served all the same.
fn warn_of_chain(
    chain: &Chain,
    credential: &Credential,
    issuers: &Issuers<'_>,
    report: &mut ReloadReport,
) {
    let label = || Arc::clone(credential.label());
    let leaf = &chain.leaf;
    if !chain.unbroken {
        report.warnings.push(Warning::BrokenChain { label: label() });
    }
    // The rule is told at the warning.
    let root = issuers.0.get(&*leaf.issuer);
    let needed = root.map_or(leaf.names_issuer_location, |root| !root);
    if chain.certificates.len() == 1 && !leaf.self_issued && needed {
        let issuer = leaf.issuer.clone();
        report.warnings.push(Warning::MissingIntermediate { label: label(), issuer });
    }
    if leaf.names.is_empty() {
        report.warnings.push(Warning::NoNames { label: label() });
    }
    for name in &leaf.odd_names {
        report.warnings.push(Warning::OddName { label: label(), name: name.as_str().into() });
    }
}

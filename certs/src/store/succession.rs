//! The new, or the last good.
//!
//! Owns the decision for each credential in use: replaced, kept, or let go. The rule in one
//! sentence: a working credential goes only when both its files are gone, when its files are
//! complete without it, or when a valid one takes its place. Files change one after the other, and
//! every moment in between must look like "not yet", never like "serve nothing".

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Scan;
use super::pairing::Pairing;
use super::report::{ReloadReport, Skipped};
use crate::credential::{Credential, Validity};
use crate::load::LoadError;

/// What is to be served, in no particular order.
pub(super) fn settle(
    scan: &Scan,
    pairing: &Pairing<'_>,
    current: &[Arc<Credential>],
    now: i64,
    report: &mut ReloadReport,
) -> Vec<Arc<Credential>> {
    let scanned = Presence::of(scan);
    let mut next: HashMap<&str, &Arc<Credential>> =
        pairing.candidates.iter().map(|c| (&**c.label(), c)).collect();
    let mut kept = Vec::new();
    for credential in current {
        let successor = next.get(&**credential.label()).copied();
        let keep = match successor {
            Some(successor) => waits(successor, credential, now, report),
            None => scanned.clings(credential, pairing, report),
        };
        if keep {
            next.remove(&**credential.label());
            kept.push(credential);
        }
    }
    report.kept = kept.len();
    let mut outcome = without_doubles(&pairing.candidates, &next, &kept);
    if outcome.is_empty() && !current.is_empty() {
        // A mount that went away looks like an emptied folder; serving nothing helps nobody.
        let path = scan.searched.clone().into();
        report.skipped.push(Skipped { path, error: LoadError::AllGone });
        report.kept = current.len();
        outcome = current.to_vec();
    }
    outcome
}

/// Sorts into path order: the configured path first, then the name, then the place in the file.
pub(super) fn ordered(
    mut credentials: Vec<Arc<Credential>>,
    paths: &[PathBuf],
) -> Vec<Arc<Credential>> {
    credentials.sort_by_cached_key(|credential| {
        let path = credential.chain_path();
        let root = paths.iter().position(|root| path.starts_with(root));
        (root.unwrap_or(paths.len()), path.to_path_buf(), credential.ordinal())
    });
    credentials
}

/// Whether a successor has to wait because of its dates, while the one in use is valid.
fn waits(
    successor: &Arc<Credential>,
    credential: &Arc<Credential>,
    now: i64,
    report: &mut ReloadReport,
) -> bool {
    if Arc::ptr_eq(successor, credential) || credential.validity(now) != Validity::Valid {
        return false;
    }
    let error = match successor.validity(now) {
        Validity::Valid => return false,
        Validity::Expired => LoadError::Expired,
        Validity::Pending => {
            report.pending += 1;
            LoadError::NotYetValid
        }
    };
    report.skipped.push(Skipped { path: successor.chain_path().to_path_buf(), error });
    true
}

/// Which files are there, good or bad.
struct Presence<'a> {
    files: HashMap<&'a Path, bool>,
    unseen: &'a [PathBuf],
}

impl<'a> Presence<'a> {
    fn of(scan: &'a Scan) -> Self {
        let files = scan.files.iter();
        let files = files.map(|file| (file.path.as_path(), file.parsed.is_some())).collect();
        Self { files, unseen: &scan.unseen }
    }

    /// A file below a path that could not be looked at is taken to be there.
    fn is_there(&self, path: &Path) -> bool {
        self.files.contains_key(path) || self.unseen.iter().any(|root| path.starts_with(root))
    }

    /// Whether a credential that its files no longer give is kept.
    fn clings(
        &self,
        credential: &Credential,
        pairing: &Pairing<'_>,
        report: &mut ReloadReport,
    ) -> bool {
        let (chain, key) = (credential.chain_path(), credential.key_path());
        match (self.is_there(chain), self.is_there(key)) {
            (false, false) => false,
            // Every chain in the file has its key, and this credential is not among them.
            (true, _) => !pairing.complete.contains(chain),
            (false, true) => {
                let public = credential.key().key.public_key();
                // Its key signs for another chain now: it was renamed or replaced.
                if public.is_some_and(|public| pairing.used.contains(public.as_ref())) {
                    return false;
                }
                let path = chain.to_path_buf();
                report.skipped.push(Skipped { path, error: LoadError::HalfGone });
                true
            }
        }
    }
}

/// One credential for each leaf: `cert.pem` and `fullchain.pem` hold the same one, and the longer
/// chain is of more use. What is kept from before yields to what is on disk.
fn without_doubles(
    candidates: &[Arc<Credential>],
    accepted: &HashMap<&str, &Arc<Credential>>,
    kept: &[&Arc<Credential>],
) -> Vec<Arc<Credential>> {
    let mut by_leaf: HashMap<&[u8; 32], usize> = HashMap::new();
    let mut outcome: Vec<Arc<Credential>> = Vec::new();
    let fresh = candidates.iter().filter(|c| accepted.contains_key(&**c.label()));
    for credential in fresh {
        match by_leaf.get(credential.fingerprint_bytes()).and_then(|at| outcome.get_mut(*at)) {
            Some(held) if held.key().cert.len() < credential.key().cert.len() => {
                *held = Arc::clone(credential);
            }
            Some(_) => {}
            None => {
                by_leaf.insert(credential.fingerprint_bytes(), outcome.len());
                outcome.push(Arc::clone(credential));
            }
        }
    }
    let missing = kept.iter().filter(|c| !by_leaf.contains_key(c.fingerprint_bytes()));
    outcome.extend(missing.map(|c| Arc::clone(c)));
    outcome
}

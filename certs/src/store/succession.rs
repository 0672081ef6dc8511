//! The new, or the last good.
//!
//! Owns the decision for each credential in use: replaced, kept, or let go. The rule in one
//! sentence: a working credential goes only when both its files are gone, when its files are
//! complete without it, or when a valid one takes its place. Files change one after the other, and
//! every moment in between must look like "not yet", never like "serve nothing".

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use super::ledger::Account;
use super::pairing::Pairing;
use super::part::Part;
use crate::credential::{Credential, Validity};
use crate::load::LoadError;

/// What is to be served of a part, in path order.
pub(super) fn settle(
    part: &Part<'_>,
    pairing: &Pairing<'_>,
    now: i64,
    account: &mut Account,
) -> Vec<Arc<Credential>> {
    let presence = Presence::of(part);
    let mut next: HashMap<&str, &Arc<Credential>> =
        pairing.candidates.iter().map(|c| (&**c.label(), c)).collect();
    let leaves: HashMap<_, _> =
        pairing.candidates.iter().map(|c| (c.fingerprint_bytes(), c.label())).collect();
    let mut kept = Vec::new();
    for credential in &part.current {
        let successor = next.get(&**credential.label()).copied();
        // What lies in another file now has no need of this one.
        let label = leaves.get(credential.fingerprint_bytes());
        let has_moved = label.is_some_and(|label| *label != credential.label());
        let reason = match successor {
            Some(successor) if has_moved || Arc::ptr_eq(successor, credential) => None,
            Some(successor) => waits(successor, credential, now),
            None => presence.clings(credential, pairing),
        };
        if let Some(reason) = reason {
            next.remove(&**credential.label());
            kept.push(Kept { credential, reason });
        }
    }
    let (mut outcome, kept) = without_doubles(&pairing.candidates, &next, kept);
    for Kept { credential, reason } in kept {
        account.keep(credential.chain_path());
        match reason {
            Reason::Damaged => {}
            Reason::HalfGone => account.skip(credential.chain_path(), LoadError::HalfGone),
            Reason::Expired => account.skip(credential.chain_path(), LoadError::Expired),
            Reason::NotYetValid(successor) => {
                account.skip(successor.chain_path(), LoadError::NotYetValid);
                account.wait(successor);
            }
        }
        outcome.push(Arc::clone(credential));
    }
    outcome.sort_by(|one, other| one.place().cmp(&other.place()));
    outcome
}

/// A credential in use that stays although the files do not give it, or give another one.
struct Kept<'a> {
    credential: &'a Arc<Credential>,
    reason: Reason<'a>,
}

enum Reason<'a> {
    /// Its files are there and do not give it; what is wrong with them is said of them.
    Damaged,
    /// Its successor has expired, and it has not.
    Expired,
    /// One of its files is gone.
    HalfGone,
    /// Its successor is not valid yet.
    NotYetValid(&'a Arc<Credential>),
}

/// Why a successor has to wait, if it has to: for its dates, while the one in use is valid.
fn waits<'a>(
    successor: &'a Arc<Credential>,
    credential: &Arc<Credential>,
    now: i64,
) -> Option<Reason<'a>> {
    match (credential.validity(now), successor.validity(now)) {
        (Validity::Valid, Validity::Expired) => Some(Reason::Expired),
        (Validity::Valid, Validity::Pending) => Some(Reason::NotYetValid(successor)),
        _ => None,
    }
}

/// Which files are there, good or bad.
struct Presence<'a> {
    files: HashSet<&'a Path>,
    unseen: &'a [&'a Path],
}

impl<'a> Presence<'a> {
    fn of(part: &'a Part<'_>) -> Self {
        Self { files: part.files.iter().map(|file| file.path).collect(), unseen: &part.unseen }
    }

    /// A file below a path that could not be looked at is taken to be there.
    fn is_there(&self, path: &Path) -> bool {
        self.files.contains(path) || self.unseen.iter().any(|root| path.starts_with(root))
    }

    /// Why a credential that its files no longer give is kept, if it is.
    fn clings<'b>(&self, credential: &Credential, pairing: &Pairing<'_>) -> Option<Reason<'b>> {
        let (chain, key) = (credential.chain_path(), credential.key_path());
        match (self.is_there(chain), self.is_there(key)) {
            (false, false) => None,
            // Every chain in the file has its key, and this credential is not among them.
            (true, _) if pairing.complete.contains(chain) => None,
            (true, _) => Some(Reason::Damaged),
            // Its key signs for another chain now: it was renamed or replaced.
            (false, true) if pairing.used.contains(&credential.public_key()) => None,
            (false, true) => Some(Reason::HalfGone),
        }
    }
}

/// One credential for each leaf: `cert.pem` and `fullchain.pem` hold the same one, and the longer
/// chain is of more use. What is kept from before yields to what is on disk. Returns what is on
/// disk, and what is really kept.
fn without_doubles<'a>(
    candidates: &[Arc<Credential>],
    accepted: &HashMap<&str, &Arc<Credential>>,
    mut kept: Vec<Kept<'a>>,
) -> (Vec<Arc<Credential>>, Vec<Kept<'a>>) {
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
    kept.retain(|kept| !by_leaf.contains_key(kept.credential.fingerprint_bytes()));
    (outcome, kept)
}

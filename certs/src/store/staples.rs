//! Staples to chains.
//!
//! Owns the rule that a staple belongs to the chains that it answers, wherever it lies and
//! whatever it is called; of several, the one that can be sent now goes first, then the one that
//! was made last. A staple that is in use stays while its file says nothing of its chain, be the
//! file damaged or already the next certificate's: certificate and staple change one after the
//! other. It ends by its own dates in any case. Refuses to know when a staple is sent; that is
//! [`crate::staple`].

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use super::ledger::Account;
use super::part::Part;
use super::report::Warning;
use crate::credential::{Credential, Located};
use crate::load::{self, Answer, CertificateStatus, Chain, LoadError, Staple};
use crate::staple::Answered;

/// Every staple that is there.
pub(super) struct Staples<'a> {
    by_serial: HashMap<&'a [u8], Vec<Entry<'a>>>,
    /// Every file that ought to hold one, good or bad.
    files: HashSet<&'a Path>,
    now: i64,
    /// Files whose staple answers some chain.
    used: HashSet<&'a Path>,
    wrong: Vec<(&'a Path, LoadError)>,
}

/// One answer of a staple.
struct Entry<'a> {
    staple: Located<'a, Arc<Staple>>,
    answer: &'a Answer,
}

impl<'a> Staples<'a> {
    pub(super) fn of(part: &'a Part<'_>, now: i64) -> Self {
        let mut by_serial: HashMap<_, Vec<_>> = HashMap::new();
        for staple in staples(part) {
            for answer in &staple.item.answers {
                by_serial.entry(&*answer.serial).or_default().push(Entry { staple, answer });
            }
        }
        let paths = part.files.iter().map(|file| file.path);
        let files = paths.filter(|path| load::is_staple(path)).collect();
        Self { by_serial, files, now, used: HashSet::new(), wrong: Vec::new() }
    }

    /// The staple for the chain of this label, which `known` serves now.
    pub(super) fn find(
        &mut self,
        label: &str,
        chain: &Chain,
        known: Option<&Arc<Credential>>,
    ) -> Option<Answered> {
        let same_chain = known.filter(|known| *known.chain_digest() == chain.digest);
        let held = same_chain.and_then(|known| known.answered());
        let mut best: Option<Answered> = None;
        for Entry { staple, answer } in
            self.by_serial.get(&*chain.leaf.serial).into_iter().flatten()
        {
            if !answer.is_about(chain) {
                continue;
            }
            self.used.insert(staple.path);
            let held = held.as_ref().filter(|held| held.is(*staple, answer)).cloned();
            let Some(answered) = held.or_else(|| Answered::new(chain, *staple, answer)) else {
                let error = LoadError::StapleSignature { label: label.into() };
                self.wrong.push((staple.path, error));
                continue;
            };
            let rank = |answered: &Answered| {
                (answered.facts().is_sent(self.now), answered.facts().this_update)
            };
            if best.as_ref().is_none_or(|best| rank(best) < rank(&answered)) {
                best = Some(answered);
            }
        }
        best.or_else(|| held.filter(|held| self.files.contains(&*held.facts().path)))
    }

    /// Names the staples that are not sent to anybody.
    pub(super) fn account(&self, part: &Part<'_>, account: &mut Account) {
        self.wrong.iter().for_each(|(path, error)| account.skip(path, error.clone()));
        for staple in staples(part).filter(|staple| !self.used.contains(staple.path)) {
            account.skip(staple.path, LoadError::StapleForNobody);
        }
    }
}

/// What is odd about the staples of the credentials that are served.
pub(super) fn warn(served: &[Arc<Credential>], now: i64, account: &mut Account) {
    for credential in served {
        let label = || Arc::clone(credential.label());
        let facts = credential.staple();
        if let Some(facts) = facts.filter(|facts| !facts.is_sent(now)) {
            let warning = match facts.status {
                CertificateStatus::Revoked => Warning::StapleRevoked { label: label() },
                CertificateStatus::Unknown => Warning::StapleUnknown { label: label() },
                CertificateStatus::Good if now < facts.this_update => {
                    Warning::StapleEarly { label: label(), this_update: facts.this_update }
                }
                CertificateStatus::Good => {
                    Warning::StapleStale { label: label(), next_update: facts.next_update }
                }
            };
            account.warn(credential.chain_path(), warning);
        }
        if credential.must_staple() && !facts.is_some_and(|facts| facts.is_sent(now)) {
            let warning = Warning::MustStapleWithoutStaple { label: label() };
            account.warn(credential.chain_path(), warning);
        }
    }
}

fn staples<'a>(part: &'a Part<'_>) -> impl Iterator<Item = Located<'a, Arc<Staple>>> {
    part.files.iter().filter_map(|file| {
        let staple = file.parsed?.staple.as_ref()?;
        Some(Located { root: file.root, path: file.path, item: staple })
    })
}

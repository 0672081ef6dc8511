//! What is to be said of each file.
//!
//! Owns the account of every file, so that a reload of a part says anew what concerns that part,
//! and repeats the rest. Refuses to know how anything came to be said.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::report::{ReloadReport, Skipped, Warning};
use crate::credential::Credential;
use crate::load::LoadError;
use crate::name::NamePattern;

/// What is said of some files.
#[derive(Default)]
pub(super) struct Account(BTreeMap<PathBuf, Notes>);

#[derive(Default)]
struct Notes {
    skipped: Vec<LoadError>,
    warnings: Vec<Warning>,
    pending: Vec<Arc<Credential>>,
    kept: usize,
}

impl Account {
    /// The file, or something in it, is not taken.
    pub(super) fn skip(&mut self, path: &Path, error: LoadError) {
        self.of(path).skipped.push(error);
    }

    /// What is served from the file should be looked at.
    pub(super) fn warn(&mut self, path: &Path, warning: Warning) {
        self.of(path).warnings.push(warning);
    }

    /// The last good of the file is served on.
    pub(super) fn keep(&mut self, path: &Path) {
        self.of(path).kept += 1;
    }

    /// A renewed credential waits for its time.
    pub(super) fn wait(&mut self, credential: &Arc<Credential>) {
        self.of(credential.chain_path()).pending.push(Arc::clone(credential));
    }

    fn of(&mut self, path: &Path) -> &mut Notes {
        self.0.entry(path.to_path_buf()).or_default()
    }
}

/// What is said of every file, and of every name that two of them claim.
#[derive(Default)]
pub(super) struct Ledger {
    files: Account,
    conflicts: BTreeMap<NamePattern, Vec<Warning>>,
}

impl Ledger {
    /// Forgets what was said of `paths`, and takes over what is said of them now.
    pub(super) fn replace<'a>(&mut self, paths: impl Iterator<Item = &'a Path>, now: Account) {
        paths.for_each(|path| drop(self.files.0.remove(path)));
        self.files.0.extend(now.0);
    }

    /// Takes over who claims the names of a part; a name without a conflict is forgotten.
    pub(super) fn settle(&mut self, conflicts: Vec<(NamePattern, Vec<Warning>)>) {
        for (name, warnings) in conflicts {
            if warnings.is_empty() {
                self.conflicts.remove(&name);
            } else {
                self.conflicts.insert(name, warnings);
            }
        }
    }

    /// Forgets every conflict, before all names are settled anew.
    pub(super) fn forget_conflicts(&mut self) {
        self.conflicts.clear();
    }

    /// Renewed credentials that wait for their time.
    pub(super) fn pending(&self) -> impl Iterator<Item = &Arc<Credential>> {
        self.files.0.values().flat_map(|notes| &notes.pending)
    }

    /// Everything that is to be said.
    pub(super) fn report(&self) -> ReloadReport {
        let mut report = ReloadReport::default();
        for (path, notes) in &self.files.0 {
            let skipped = notes.skipped.iter().cloned();
            report.skipped.extend(skipped.map(|error| Skipped { path: path.clone(), error }));
            report.warnings.extend(notes.warnings.iter().cloned());
            report.pending.extend(notes.pending.iter().cloned());
            report.kept += notes.kept;
        }
        report.warnings.extend(self.conflicts.values().flatten().cloned());
        report
    }
}

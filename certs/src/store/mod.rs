//! What is loaded now.
//!
//! Owns the published [`CertificateIndex`] and the rule by which a reload replaces it: everything
//! is read and paired aside, and one pointer is swapped if the outcome differs. Nothing that can
//! be found on disk takes a working credential away, except that its files are gone or that a
//! better one stands in their place. A reload is a pure function of the files, of what is served
//! and of `now`; events and timers only decide when it runs, so none of them has to be exact.
//!
//! Within, `pairing` joins chains with keys, `succession` decides between the new and the last
//! good, `report` says it in words.

mod pairing;
mod report;
mod succession;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use aws_lc_rs::digest::{self, SHA256};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::UnixTime;

use crate::credential::{Credential, Validity, digest_bytes};
use crate::load::{self, LoadError, Parsed};
use crate::resolver::CertificateIndex;

pub use report::{ReloadReport, Skipped, Warning};

/// Where certificates come from, and how strict to be.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// Files and folders, the most important first; the first credential is the default.
    pub paths: Vec<PathBuf>,
    /// Refuses keys that others than their owner may read, instead of warning.
    pub strict_permissions: bool,
    /// The cryptography that signs.
    pub provider: Arc<CryptoProvider>,
}

/// The certificates of a running process.
#[derive(Debug)]
pub struct CertificateStore {
    options: StoreOptions,
    index: ArcSwap<CertificateIndex>,
    memory: Mutex<Memory>,
}

impl CertificateStore {
    /// Loads everything for the first time. What is bad is in the report and not in the store; an
    /// empty store is the caller's to judge.
    #[must_use]
    pub fn open(options: StoreOptions, now: UnixTime) -> (Self, ReloadReport) {
        let store = Self {
            options,
            index: ArcSwap::from_pointee(CertificateIndex::default()),
            memory: Mutex::default(),
        };
        let report = store.reload(now);
        (store, report)
    }

    /// The index of this moment; a connection takes it once and keeps it.
    #[must_use]
    pub fn load(&self) -> Arc<CertificateIndex> {
        self.index.load_full()
    }

    /// What the store was opened with.
    #[must_use]
    pub fn options(&self) -> &StoreOptions {
        &self.options
    }

    /// Reads the files again, and publishes another index if that changes anything.
    ///
    /// It reads every file, so it belongs on a thread that may block. Two at once wait for each
    /// other. Calling it without need is harmless, and calling it regularly is needed: it is also
    /// what lets a renewed certificate in at the start of its validity.
    pub fn reload(&self, now: UnixTime) -> ReloadReport {
        let now = unix_seconds(now);
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        let mut report = ReloadReport::default();
        let scan = memory.scan(&self.options, &mut report);
        let serving = self.index.load();
        let current: Vec<_> = serving.credentials().cloned().collect();
        let pairing = pairing::pair(&scan, &current);
        let next = succession::settle(&scan, &pairing, &current, now, &mut report);
        let next = succession::ordered(next, &self.options.paths);
        pairing.account(&scan, &next, &mut report);
        warn_of_dates(&next, now, &mut report);
        report.loaded = next.len();

        // Validity is part of what is compared: a certificate that expires loses its rank.
        let state: Vec<_> =
            next.iter().map(|credential| (id(credential), credential.validity(now))).collect();
        let built = CertificateIndex::build(next, now, &mut report.warnings);
        report.changed = memory.published != state;
        if report.changed {
            account(&current, &built, &mut report);
            memory.published = state;
            self.index.store(Arc::new(built));
        }
        let said: Vec<_> = report.lines().collect();
        report.news = memory.said != said;
        memory.said = said;
        report
    }
}

/// What a reload remembers, so that the next one parses only what changed.
#[derive(Default)]
struct Memory {
    files: HashMap<PathBuf, Remembered>,
    published: Vec<(usize, Validity)>,
    said: Vec<String>,
}

impl std::fmt::Debug for Memory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Memory").field("files", &self.files.len()).finish_non_exhaustive()
    }
}

struct Remembered {
    hash: [u8; 32],
    outcome: Result<Arc<Parsed>, LoadError>,
}

/// Every file that is there, parsed or not, in order.
struct Scan {
    files: Vec<Scanned>,
    unseen: Vec<PathBuf>,
    /// What was searched, in words.
    searched: String,
}

struct Scanned {
    path: PathBuf,
    /// `None` if the file is bad, which the report says already.
    parsed: Option<Arc<Parsed>>,
}

impl Memory {
    fn scan(&mut self, options: &StoreOptions, report: &mut ReloadReport) -> Scan {
        let listing = load::list(&options.paths);
        let mut previous = std::mem::take(&mut self.files);
        let mut files = Vec::with_capacity(listing.files.len());
        for path in listing.files {
            let remembered = previous.remove(&path);
            let outcome = self.examine(&path, remembered, options, report);
            if let Err(error) = &outcome {
                report.skipped.push(Skipped { path: path.clone(), error: error.clone() });
            }
            files.push(Scanned { path, parsed: outcome.ok() });
        }
        let unseen = listing.unseen.iter().map(|(path, _)| path.clone()).collect();
        let missing = listing.unseen.into_iter();
        report.skipped.extend(missing.map(|(path, error)| Skipped { path, error }));
        let searched: Vec<_> = options.paths.iter().map(|p| p.display().to_string()).collect();
        Scan { files, unseen, searched: searched.join(", ") }
    }

    /// Reads a file and parses it unless its bytes are those of the last time.
    fn examine(
        &mut self,
        path: &std::path::Path,
        remembered: Option<Remembered>,
        options: &StoreOptions,
        report: &mut ReloadReport,
    ) -> Result<Arc<Parsed>, LoadError> {
        let contents = load::read(path)?;
        let hash = digest_bytes(digest::digest(&SHA256, &contents.bytes));
        let outcome = match remembered {
            Some(remembered) if remembered.hash == hash => remembered.outcome,
            _ => load::parse(&contents.bytes, &options.provider).map(Arc::new),
        };
        let kept = Remembered { hash, outcome: outcome.clone() };
        self.files.insert(path.to_path_buf(), kept);
        let parsed = outcome?;
        if !parsed.keys.is_empty() && contents.mode & OTHERS_MAY_READ_OR_WRITE != 0 {
            let mode = contents.mode;
            if options.strict_permissions {
                return Err(LoadError::KeyMode { mode });
            }
            report.warnings.push(Warning::KeyMode { path: path.to_path_buf(), mode });
        }
        Ok(parsed)
    }
}

fn warn_of_dates(next: &[Arc<Credential>], now: i64, report: &mut ReloadReport) {
    for credential in next {
        let label = Arc::clone(credential.label());
        report.warnings.extend(match credential.validity(now) {
            Validity::Valid => None,
            Validity::Pending => {
                Some(Warning::NotYetValid { label, not_before: credential.not_before() })
            }
            Validity::Expired => {
                Some(Warning::Expired { label, not_after: credential.not_after() })
            }
        });
    }
}

/// Names what came and what went.
fn account(current: &[Arc<Credential>], built: &CertificateIndex, report: &mut ReloadReport) {
    let before: HashMap<_, _> = current.iter().map(|c| (c.label(), id(c))).collect();
    let after: HashMap<_, _> = built.credentials().map(|c| (c.label(), id(c))).collect();
    let fresh = built.credentials().filter(|c| before.get(c.label()) != Some(&id(c)));
    report.updated = fresh.map(|c| Arc::clone(c.label())).collect();
    let gone = current.iter().filter(|c| !after.contains_key(c.label()));
    report.removed = gone.map(|c| Arc::clone(c.label())).collect();
}

/// Identity of a credential: one that did not change is the same object. The address stays taken
/// as long as the index that was published holds it.
fn id(credential: &Arc<Credential>) -> usize {
    Arc::as_ptr(credential).addr()
}

/// Seconds since 1970, as certificates count them.
pub(crate) fn unix_seconds(now: UnixTime) -> i64 {
    i64::try_from(now.as_secs()).unwrap_or(i64::MAX)
}

/// Group and others, read and write.
const OTHERS_MAY_READ_OR_WRITE: u32 = 0o066;

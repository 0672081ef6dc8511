//! What is loaded now.
//!
//! Owns the published [`CertificateIndex`] and the rule by which a reload replaces it: everything
//! is read and paired aside, and one pointer is swapped if the outcome differs. Nothing that can
//! be found on disk takes a working credential away, except that its files are gone or that a
//! better one stands in their place. A reload is a pure function of the files, of what is served
//! and of `now`; events and timers only decide when it runs, so none of them has to be exact.
//!
//! Within, in the order in which a reload passes through: `library` finds the files that hold
//! something else now, `part` what they bear on, `pairing` joins chains with keys, and with staples
//! through `staples`, `succession` decides between the new and the last good, `ledger` keeps what
//! is to be said of each file, and `report` says it in words.

mod ledger;
mod library;
mod pairing;
mod part;
mod report;
mod staples;
mod succession;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::UnixTime;

use crate::credential::{Credential, Validity};
use crate::load::LoadError;
use crate::resolver::CertificateIndex;

pub use library::{CONTENTS_PER_LOOK, Look};
pub use report::{ReloadReport, Skipped, Warning};

use ledger::{Account, Ledger};
use library::{Found, Library, OTHERS_MAY_READ_OR_WRITE, Place};
use part::{Part, Served};

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
pub struct CertificateStore(ArcSwap<Shelf>);

/// What comes from the paths of one configuration.
#[derive(Debug)]
struct Shelf {
    options: Arc<StoreOptions>,
    index: ArcSwap<CertificateIndex>,
    report: ArcSwap<ReloadReport>,
    /// Held by whoever reads, for as long as the file system makes it wait.
    memory: Mutex<Memory>,
}

impl CertificateStore {
    /// Loads everything for the first time. What is bad is in the report and not in the store; an
    /// empty store is the caller's to judge.
    #[must_use]
    pub fn open(options: StoreOptions, now: UnixTime) -> (Self, ReloadReport) {
        let store = Self(ArcSwap::from_pointee(Shelf {
            options: Arc::new(options),
            index: ArcSwap::from_pointee(CertificateIndex::default()),
            report: ArcSwap::from_pointee(ReloadReport::default()),
            memory: Mutex::default(),
        }));
        let report = store.reload(now);
        (store, report)
    }

    /// The index of this moment; a connection takes it once and keeps it.
    #[must_use]
    pub fn load(&self) -> Arc<CertificateIndex> {
        self.0.load().index.load_full()
    }

    /// The account of the last reload.
    #[must_use]
    pub fn report(&self) -> Arc<ReloadReport> {
        self.0.load().report.load_full()
    }

    /// Where certificates come from now.
    #[must_use]
    pub fn options(&self) -> Arc<StoreOptions> {
        Arc::clone(&self.0.load().options)
    }

    /// Becomes what `other` is, for everybody who holds this store: another place to look for
    /// certificates, and what was found there. Waits for nobody: what is being read at the places
    /// of before is read to its end, and changes nothing any more.
    pub fn become_other(&self, other: Self) {
        self.0.store(other.0.into_inner());
    }

    /// Reads every file again, and publishes another index if that changes anything.
    pub fn reload(&self, now: UnixTime) -> ReloadReport {
        self.look(&Look::Closely, now)
    }

    /// Reads the files again that may have changed, and publishes another index if that changes
    /// anything.
    ///
    /// It may read every file, so it belongs on a thread that may block. Two at once wait for each
    /// other. Calling it without need is harmless. Calling it at
    /// [`ReloadReport::next_change`] is what lets a renewed certificate in at the start of its
    /// validity, and calling it regularly finds what nobody told of.
    pub fn look(&self, look: &Look, now: UnixTime) -> ReloadReport {
        self.0.load_full().look(look, now)
    }
}

impl Shelf {
    fn look(&self, look: &Look, now: UnixTime) -> ReloadReport {
        let now = unix_seconds(now);
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        let memory = &mut *memory;
        let options = &*self.options;
        let found = memory.library.look(look, options);
        let is_whole = *look == Look::Closely || found.is_universal || memory.is_due(now, &found);
        let places = memory.affected(&found, is_whole, options);
        let mut shortened = Vec::new();
        let mut report = if places.is_empty() && !is_whole {
            let same = ReloadReport::clone(&self.report.load());
            ReloadReport { changed: false, updated: Vec::new(), removed: Vec::new(), ..same }
        } else {
            let mut change = self.renew(memory, &places, is_whole, now);
            shortened = std::mem::take(&mut change.shortened);
            memory.schedule(now);
            let index = self.index.load();
            let mut report = memory.account(change, options);
            report.loaded = index.len();
            report.tell_superseded(&index, now);
            report
        };
        if memory.all_gone {
            report.kept = report.loaded;
        }
        report.news = memory.is_news(&report);
        self.report.store(Arc::new(report.clone()));
        // Said once, when it happens.
        report.news |= !shortened.is_empty();
        report.warnings.extend(shortened);
        report
    }

    /// Decides anew for the files at `places`, and swaps the index if anything comes of it.
    fn renew(
        &self,
        memory: &mut Memory,
        places: &BTreeSet<Place>,
        is_whole: bool,
        now: i64,
    ) -> Change {
        let serving = self.index.load();
        let mut account = Account::default();
        let part = Part::new(places, &memory.library, &memory.served, &self.options);
        let pairing = pairing::pair(&part, now);
        let mut next = succession::settle(&part, &pairing, now, &mut account);
        // A mount that went away looks like an emptied folder; serving nothing helps nobody.
        memory.all_gone = next.is_empty()
            && part.current.len() == serving.len()
            && !(serving.is_empty() || part.current.is_empty());
        if memory.all_gone {
            next.clone_from(&part.current);
        }
        pairing.account(&part, &next, &memory.library, &mut account);
        warn_of_files(&memory.library, places, &mut account);
        warn_of_dates(&next, now, &mut account);
        staples::warn(&next, now, &mut account);
        let (gone, come) = (without(&part.current, &next), without(&next, &part.current));
        let mut change = Change::new(&gone, &come);
        memory.ledger.replace(places.iter().map(|place| &*place.path), account);
        gone.iter().for_each(|credential| memory.served.remove(credential));
        come.iter().for_each(|credential| memory.served.insert(credential));
        // One that expires loses its rank.
        let aged = |credential: &Arc<Credential>| {
            let then = memory.decided_at;
            then.is_some_and(|then| credential.validity(then) != credential.validity(now))
        };
        change.any |= is_whole && next.iter().any(aged);
        if change.any {
            let (index, conflicts) = if is_whole {
                memory.ledger.forget_conflicts();
                CertificateIndex::build(&next, now)
            } else {
                serving.with(&gone, &come, now)
            };
            memory.ledger.settle(conflicts);
            self.index.store(Arc::new(index));
        }
        change
    }
}

/// What a reload changed, by label.
struct Change {
    any: bool,
    updated: Vec<Arc<str>>,
    removed: Vec<Arc<str>>,
    /// What ends earlier than what it replaced.
    shortened: Vec<Warning>,
}

impl Change {
    fn new(gone: &[Arc<Credential>], come: &[Arc<Credential>]) -> Self {
        let ends: HashMap<_, _> = gone.iter().map(|c| (c.label(), c.not_after())).collect();
        let shortened = come.iter().filter_map(|successor| {
            let seconds = ends.get(successor.label())? - successor.not_after();
            let label = Arc::clone(successor.label());
            (seconds > 0).then_some(Warning::EndsEarlier { label, seconds })
        });
        let shortened = shortened.collect();
        let labels = |credentials: &[Arc<Credential>]| -> Vec<_> {
            credentials.iter().map(|credential| Arc::clone(credential.label())).collect()
        };
        let (mut removed, updated) = (labels(gone), labels(come));
        let stays: HashSet<_> = updated.iter().collect();
        removed.retain(|label| !stays.contains(label));
        Self { any: !gone.is_empty() || !come.is_empty(), updated, removed, shortened }
    }
}

/// What a reload remembers for the next one.
#[derive(Default)]
struct Memory {
    library: Library,
    served: Served,
    ledger: Ledger,
    /// Everything is gone at once, and what was served is served on.
    all_gone: bool,
    /// When it was last decided what is served.
    decided_at: Option<i64>,
    next_change: Option<i64>,
    said: Vec<String>,
}

impl Memory {
    /// Whether everything must be decided anew: at first, when time alone may have changed
    /// something since, as it may if the clock was set back, and when the first file comes back
    /// after all had gone.
    fn is_due(&self, now: i64, found: &Found) -> bool {
        let due = self.next_change.is_some_and(|next| now >= next);
        let first_back = self.all_gone && !found.places.is_empty();
        due || first_back || self.decided_at.is_none_or(|then| now < then)
    }

    fn affected(&self, found: &Found, is_whole: bool, options: &StoreOptions) -> BTreeSet<Place> {
        if is_whole {
            self.served.everywhere(found, &self.library)
        } else {
            self.served.reach(found, &self.library, options)
        }
    }

    /// Notes when time alone will next change what is served or said.
    fn schedule(&mut self, now: i64) {
        let pending = self.ledger.pending().flat_map(|credential| credential.moments());
        let pending = pending.filter(|moment| *moment > now);
        self.next_change = pending.chain(self.served.next_moment(now)).min();
        self.decided_at = Some(now);
    }

    /// Whether a report says anything that the one before did not.
    fn is_news(&mut self, report: &ReloadReport) -> bool {
        let said: Vec<_> = report.lines().collect();
        let is_news = self.said != said;
        self.said = said;
        is_news
    }

    /// What is to be said, of every file and of every path.
    fn account(&self, change: Change, options: &StoreOptions) -> ReloadReport {
        let mut report = self.ledger.report();
        report.changed = change.any;
        (report.updated, report.removed) = (change.updated, change.removed);
        report.next_change = self.next_change;
        // Of each staple that is not sent it is said why.
        let unsent = report.warnings.iter().filter(|warning| warning.is_of_staple()).count();
        report.stapled = self.served.stapled().saturating_sub(unsent);
        let unseen = self.library.unseen().iter().cloned();
        report.skipped.extend(unseen.map(|(path, error)| Skipped { path, error }));
        if self.all_gone {
            let roots: Vec<_> = options.paths.iter().map(|p| p.display().to_string()).collect();
            let path = PathBuf::from(roots.join(", "));
            report.skipped.push(Skipped { path, error: LoadError::AllGone });
        }
        report
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory").field("decided_at", &self.decided_at).finish_non_exhaustive()
    }
}

/// Names the files that are bad, and the keys that others may read.
fn warn_of_files(library: &Library, places: &BTreeSet<Place>, account: &mut Account) {
    for place in places {
        let Some(known) = library.known(place) else { continue };
        match &known.outcome {
            Err(error) => account.skip(&place.path, error.clone()),
            Ok(parsed) => {
                let mode = known.mode;
                if !parsed.keys.is_empty() && mode & OTHERS_MAY_READ_OR_WRITE != 0 {
                    let path = place.path.to_path_buf();
                    account.warn(&place.path, Warning::KeyMode { path, mode });
                }
            }
        }
    }
}

fn warn_of_dates(next: &[Arc<Credential>], now: i64, account: &mut Account) {
    for credential in next {
        let label = Arc::clone(credential.label());
        let warning = match credential.validity(now) {
            Validity::Valid => continue,
            Validity::Pending => {
                Warning::NotYetValid { label, not_before: credential.not_before() }
            }
            Validity::Expired => Warning::Expired { label, not_after: credential.not_after() },
        };
        account.warn(credential.chain_path(), warning);
    }
}

/// Those of `one` that are not among `other`. One that did not change is the same object.
fn without(one: &[Arc<Credential>], other: &[Arc<Credential>]) -> Vec<Arc<Credential>> {
    let other: HashSet<_> = other.iter().map(Arc::as_ptr).collect();
    one.iter().filter(|credential| !other.contains(&Arc::as_ptr(credential))).cloned().collect()
}

/// Seconds since 1970, as certificates count them.
pub(crate) fn unix_seconds(now: UnixTime) -> i64 {
    i64::try_from(now.as_secs()).unwrap_or(i64::MAX)
}

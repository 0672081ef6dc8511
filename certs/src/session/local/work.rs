//! What callers want done, and how it becomes transactions.
//!
//! Owns the steps of a call, and the rule by which all that waits is done in one transaction: one
//! lock, one commit, one write of the pages that many steps share. If only texts that stay are
//! asked for, the transaction is one that reads, and waits for nobody. Whatever goes wrong in a
//! transaction undoes the whole of it; if there was no room, each step is done again alone, with
//! those removed that expire soonest, so that one large text does not cost the others.
//!
//! LMDB copies the pages that it changes, and so needs room even to delete. The databases are kept
//! to three quarters of the map: above, each store removes as many entries as it brought, and more
//! the fuller it is. Refuses to know who asks and who waits: that is [`super::thread`].

use std::io::ErrorKind as Io;

use heed::{Env, MdbError, RwTxn};

use super::environment::{page_bytes, pages_allocated};
use super::table::Table;
use crate::session::engine::{EngineError, EntryKey, ErrorKind};

/// One step of a call.
#[derive(Debug)]
pub(super) enum Step {
    /// Say what lies there.
    Look(EntryKey),
    /// Say what lies there, which is gone then.
    Take(EntryKey),
    /// Lay it there until then.
    Put(EntryKey, Vec<u8>, u64),
    /// Lay it there until then unless something lies there, and say what does.
    Agree(EntryKey, Vec<u8>, u64),
    /// Show that reading and writing work.
    Probe,
}

/// What a step gave; a step that says nothing gives `None`.
pub(super) type Outcome = Result<Option<Vec<u8>>, Failure>;

/// Why a step, or everything in a transaction, was not done.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Failure {
    pub(super) kind: ErrorKind,
    text: String,
    /// Whether the environment must be opened again before it is of use.
    pub(super) is_stale: bool,
    /// Whether it may help to make room.
    pub(super) is_for_room: bool,
}

impl Failure {
    pub(super) fn new(kind: ErrorKind, text: String) -> Self {
        Self { kind, text, is_stale: false, is_for_room: false }
    }
}

impl From<Failure> for EngineError {
    fn from(failure: Failure) -> Self {
        Self::new(failure.kind, failure.text)
    }
}

impl From<heed::Error> for Failure {
    fn from(error: heed::Error) -> Self {
        let kind = match &error {
            heed::Error::Mdb(MdbError::MapFull | MdbError::TxnFull) => ErrorKind::Full,
            heed::Error::Mdb(MdbError::Panic) => ErrorKind::Broken,
            heed::Error::Io(cause) => match cause.kind() {
                Io::StorageFull | Io::QuotaExceeded | Io::FileTooLarge => ErrorKind::Full,
                Io::PermissionDenied => ErrorKind::Auth,
                Io::ReadOnlyFilesystem => ErrorKind::ReadOnly,
                // The disk did not take it, or not all of it.
                _ => ErrorKind::Broken,
            },
            _ => ErrorKind::Other,
        };
        let is_stale = matches!(error, heed::Error::Mdb(MdbError::MapResized | MdbError::Panic));
        // Where the last pages of a file system take a part of a write, LMDB speaks of the disk.
        let is_for_room = kind == ErrorKind::Full
            || matches!(&error, heed::Error::Io(cause) if cause.raw_os_error() == Some(EIO));
        Self { kind, text: error.to_string(), is_stale, is_for_room }
    }
}

/// The databases with what is known of their room.
pub(super) struct Worker<'e> {
    env: &'e Env,
    table: Table<'e>,
    /// How many pages there are.
    pages_max: usize,
}

impl<'e> Worker<'e> {
    pub(super) fn new(env: &'e Env) -> Result<Self, Failure> {
        let mut worker = Self { env, table: Table::open(env)?, pages_max: 0 };
        worker.maintain()?;
        Ok(worker)
    }

    /// Frees what readers that died hold, and looks how large the file is now.
    pub(super) fn maintain(&mut self) -> Result<(), Failure> {
        self.env.clear_stale_readers()?;
        self.pages_max = pages_allocated(self.env)?;
        Ok(())
    }

    /// How many steps there may be in a transaction, so that the pages it changes fit into the room
    /// that is kept, together with those that the transactions before it have given up: LMDB does
    /// not use these again until the one after the next.
    pub(super) fn steps_max(&self) -> usize {
        (self.pages_max / 64).clamp(1, STEPS_MAX)
    }

    /// Does every step in one transaction; `None` where nobody waits any more by the time that it
    /// has begun.
    ///
    /// # Errors
    ///
    /// Nothing was done, unless the kind leaves that open.
    pub(super) fn together(
        &self,
        steps: &[&Step],
        is_awaited: impl Fn(usize) -> bool,
        now: u64,
    ) -> Result<Vec<Option<Vec<u8>>>, Failure> {
        let awaited = || steps.iter().enumerate().map(|(i, step)| (is_awaited(i), *step));
        if steps.iter().all(|step| matches!(step, Step::Look(_)))
            && let Some(texts) = self.read(awaited(), now)?
        {
            return Ok(texts);
        }
        let mut txn = self.env.write_txn()?;
        let mut texts = Vec::with_capacity(steps.len());
        let mut puts = 0;
        for (is_awaited, step) in awaited() {
            puts += usize::from(matches!(step, Step::Put(..) | Step::Agree(..)));
            let text = if is_awaited { self.step(&mut txn, step, now)? } else { None };
            texts.push(text);
        }
        self.make_room(&mut txn, puts, now)?;
        txn.commit()?;
        Ok(texts)
    }

    /// Does one step in a transaction of its own, and makes room for it by force, a few times.
    pub(super) fn alone(&self, step: &Step, now: u64) -> Outcome {
        let mut outcome = self.together(&[step], |_| true, now);
        for count in EVICTIONS {
            match &outcome {
                Err(failure) if failure.is_for_room && !self.is_huge(step) => {}
                _ => break,
            }
            self.evict(count)?;
            outcome = self.together(&[step], |_| true, now);
        }
        Ok(outcome?.pop().flatten())
    }

    /// Removes those that expire soonest, in a transaction of its own.
    fn evict(&self, count: usize) -> Result<(), Failure> {
        self.env.clear_stale_readers()?;
        let mut txn = self.env.write_txn()?;
        self.table.remove_first(&mut txn, count, |_| true)?;
        txn.commit()?;
        Ok(())
    }

    /// Reads without the lock of writers; `None` if the table of readers has no place for us. That
    /// is so with more processes than it has rows, and with a process of the same number in another
    /// PID namespace, since numbers are all that LMDB knows of processes. Writers need no row.
    fn read<'s>(
        &self,
        steps: impl Iterator<Item = (bool, &'s Step)>,
        now: u64,
    ) -> Result<Option<Vec<Option<Vec<u8>>>>, Failure> {
        let txn = match self.env.read_txn() {
            Ok(txn) => txn,
            Err(heed::Error::Mdb(MdbError::ReadersFull)) => return Ok(None),
            Err(heed::Error::Io(cause))
                if matches!(cause.kind(), Io::WouldBlock | Io::PermissionDenied) =>
            {
                return Ok(None);
            }
            Err(error) => return Err(error.into()),
        };
        let look = |(is_awaited, step): (bool, &Step)| match step {
            Step::Look(key) if is_awaited => self.table.look(&txn, key, now),
            _ => Ok(None),
        };
        Ok(Some(steps.map(look).collect::<heed::Result<_>>()?))
    }

    fn step(&self, txn: &mut RwTxn<'_>, step: &Step, now: u64) -> heed::Result<Option<Vec<u8>>> {
        if self.is_huge(step) {
            return Err(MdbError::TxnFull.into());
        }
        match step {
            Step::Look(key) => self.table.look(txn, key, now),
            Step::Take(key) => self.table.take(txn, key, now),
            Step::Put(key, text, expiry) => self.table.put(txn, key, text, *expiry).map(|()| None),
            Step::Agree(key, text, expiry) => {
                if let Some(there) = self.table.look(txn, key, now)? {
                    return Ok(Some(there));
                }
                self.table.put(txn, key, text, *expiry)?;
                Ok(Some(text.clone()))
            }
            Step::Probe => {
                self.table.put(txn, &PROBE_KEY, &[], now)?;
                self.table.take(txn, &PROBE_KEY, now)
            }
        }
    }

    /// Whether so many others would have to go for this text that it is refused.
    fn is_huge(&self, step: &Step) -> bool {
        match step {
            Step::Put(_, text, _) | Step::Agree(_, text, _) => {
                text.len() / page_bytes(self.env) > self.pages_max / 16
            }
            Step::Look(_) | Step::Take(_) | Step::Probe => false,
        }
    }

    /// Removes what has expired, a little at a time, and entries in the measure in which others
    /// came, if it is getting full.
    fn make_room(&self, txn: &mut RwTxn<'_>, puts: usize, now: u64) -> heed::Result<()> {
        let expired = self.table.remove_first(txn, SWEEP_MAX + puts, |expiry| expiry <= now)?;
        let (low, pages) = (self.pages_max / 4 * 3, self.table.pages(txn)?);
        if puts > expired && pages > low {
            let reserve = (self.pages_max / 4).max(1);
            let count = puts + puts * 4 * (pages - low) / reserve + 1;
            self.table.remove_first(txn, count - expired, |_| true)?;
        }
        Ok(())
    }
}

/// The most steps in a transaction.
const STEPS_MAX: usize = 512;
/// The number that POSIX systems have for it; std has no name.
const EIO: i32 = 5;
/// How many expired entries are removed by a transaction that stores nothing.
const SWEEP_MAX: usize = 8;
/// How many entries are removed in order to make room for one step, one after the other.
const EVICTIONS: [usize; 5] = [1, 4, 32, 128, 512];
/// No keyed digest, as far as anybody will live to see.
const PROBE_KEY: EntryKey = [0; 32];

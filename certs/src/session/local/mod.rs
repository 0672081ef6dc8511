//! Sessions in an LMDB environment, shared by the processes of one machine.
//!
//! Owns [`LocalEngine`]: a folder with a memory-mapped file in it that any number of processes on
//! one machine have open at once. On tmpfs it is shared memory, on disk it is a file; either way a
//! look-up costs microseconds and no server. It knows nothing of what it stores beyond a key, a
//! time and a text. Beneath it:
//!
//! 1. `folder`: whose the folder is, and whether its content is of this boot.
//! 2. `environment`: LMDB opens its files; the one place that is `unsafe`.
//! 3. `table`: the entries, and the order in which they expire.
//! 4. `work`: steps to transactions, and what to do when there is no room.
//! 5. `thread`: the queue, and the thread behind it.
//!
//! **A thread of its own.** This crate starts no tasks, and here it starts one thread, `sessions`,
//! for each engine, which ends with it. LMDB's calls block: on its lock of writers, which a process
//! may hold while it is stopped, and on the disk. On a thread of a runtime, that would hold up
//! handshakes; behind a bounded queue it holds up this thread only, and callers lose no more than
//! the time that they were willing to wait. A single thread is no loss, since LMDB lets one writer
//! in at a time; it is a gain, since what waits is done in one transaction.
//!
//! **Nothing is synced.** A transaction is in the page cache when it ends, and there it outlives
//! any process: `kill -9` at any moment loses what was not committed, and no more. LMDB copies
//! pages and never overwrites those in use, its lock is a robust mutex that the next process
//! inherits from one that died, and what a dead reader held is freed by the next look. What does
//! not outlive the machine's memory must not be read after a crash of the machine, where half of
//! the pages may have reached the disk: the folder says of which boot it is, and what another boot
//! wrote is removed before it is opened. Sessions are thus lost with a reboot, which costs full
//! handshakes and nothing else.
//!
//! **Once is once.** What may be used once is read and deleted in one transaction under the lock of
//! writers, so that it has one winner across all processes. A process that dies after its commit
//! takes the session with it; the client makes a full handshake.
//!
//! **Bounded.** The map has a size, and what expires soonest makes room. A file system that is full
//! is treated like a map that is full.
//!
//! **Containers** may share the folder if they share the kernel and the user id. LMDB's locks are
//! those of files and of memory, which do not stop at namespaces, but its table of readers knows
//! processes by number: of two with the same number in different PID namespaces, one gets no row,
//! and reads under the lock of writers instead, which is slower and no less correct. Network file
//! systems are refused.

mod environment;
mod folder;
mod later;
mod table;
#[cfg(test)]
mod tests;
mod thread;
mod work;

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use rustls::time_provider::{DefaultTimeProvider, TimeProvider};
use tokio::sync::{mpsc, oneshot};

use super::engine::{Answer, Engine, EngineError, ErrorKind, Record, Wanted};
use super::id::Use;
pub use later::LaterEngine;
use thread::Job;
use work::{Outcome, Step};

/// Where sessions lie, and how many.
#[derive(Clone, Debug)]
pub struct LocalOptions {
    /// A folder for this alone. It is made if it is not there.
    pub path: PathBuf,
    /// How large the file may become, rounded up; at least [`BYTES_MIN`]. If processes differ, the
    /// largest holds until the folder is removed.
    pub bytes_max: usize,
    /// How many calls may wait.
    pub queue_max: usize,
    /// How long opening may take: another process that opens, or writes, may be stopped.
    pub open_timeout: Duration,
    /// Wall time, which the processes share.
    pub clock: Arc<dyn TimeProvider>,
}

impl LocalOptions {
    /// The defaults, in this folder.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            bytes_max: BYTES_DEFAULT,
            queue_max: QUEUE_DEFAULT,
            open_timeout: OPEN_TIMEOUT_DEFAULT,
            clock: Arc::new(DefaultTimeProvider),
        }
    }
}

/// What an engine found when it opened its folder. Worth a line in a log.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Start {
    /// Nothing; the folder is new.
    Created,
    /// Sessions from before the machine was started, which were removed.
    Emptied,
    /// The sessions of processes that ran or run on this machine.
    Found,
    /// A file that is damaged, or from another version of LMDB. It was moved here, in the place of
    /// one that was moved before, and may be removed; sessions begin anew.
    SetAside {
        /// Where it lies now.
        path: PathBuf,
    },
}

/// Why a folder cannot be used. None of these needs to keep a terminator from starting: sessions
/// stay in memory then.
#[derive(Debug, thiserror::Error)]
pub enum LocalError {
    /// This process has it open, perhaps not for much longer.
    #[error("the sessions folder {} is open in this process already", path.display())]
    AlreadyOpen {
        /// The folder.
        path: PathBuf,
    },
    /// The databases in the environment cannot be used.
    #[error(
        "cannot use the databases in the sessions folder {}; if there is room on its file \
         system, stop what uses the folder, and remove it",
        path.display()
    )]
    Databases {
        /// The folder.
        path: PathBuf,
        /// What LMDB says.
        #[source]
        failure: EngineError,
    },
    /// LMDB does not open its files.
    #[error(
        "cannot open the LMDB files in the sessions folder {}; if processes of another version \
         use it, name another folder; otherwise stop what uses it, and remove it",
        path.display()
    )]
    Environment {
        /// The folder.
        path: PathBuf,
        /// What LMDB says.
        source: heed::Error,
    },
    /// The folder, or a file in it, cannot be made or read.
    #[error("cannot use the sessions folder {}", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Something else is there.
    #[error("{} is not ours: name a folder that is new or empty", path.display())]
    Foreign {
        /// The folder, or what is in it.
        path: PathBuf,
    },
    /// Processes of another machine, or of another boot, use it.
    #[error(
        "the sessions folder {} is in use by another machine: name a folder on this one",
        path.display()
    )]
    InUse {
        /// The folder.
        path: PathBuf,
    },
    /// Somebody else could replace what is in it.
    #[error(
        "the sessions folder {} belongs to the user {owner}, and this process is of the user {us}",
        path.display()
    )]
    Owner {
        /// The folder.
        path: PathBuf,
        /// Whose it is.
        owner: u32,
        /// Who we are.
        us: u32,
    },
    /// Other machines may have it open, whose locks do not reach here.
    #[error(
        "the sessions folder {} is on a file system of the kind {kind}, which other machines may \
         share: name a folder on this one, for instance in /run or /dev/shm",
        path.display()
    )]
    Remote {
        /// The folder.
        path: PathBuf,
        /// The kind of its file system.
        kind: String,
    },
    /// Another process holds it up.
    #[error(
        "the sessions folder {} does not open in time: is a process that uses it stopped?",
        path.display()
    )]
    Slow {
        /// The folder.
        path: PathBuf,
    },
    /// The system gives no thread.
    #[error("cannot start the thread for sessions")]
    Thread(#[source] io::Error),
    /// Somebody else could write into it.
    #[error(
        "the sessions folder {} can be written by other users: chmod it to 700",
        path.display()
    )]
    Writable {
        /// The folder.
        path: PathBuf,
    },
}

impl LocalError {
    /// Whether it may be gone by itself, so that [`LaterEngine`] is worth it. What is wrong with
    /// the folder itself stays so until somebody acts.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        match self {
            Self::AlreadyOpen { .. }
            | Self::Databases { .. }
            | Self::Environment { .. }
            | Self::InUse { .. }
            | Self::Slow { .. }
            | Self::Thread(_) => true,
            Self::Folder { source, .. } => source.kind() == io::ErrorKind::StorageFull,
            Self::Foreign { .. }
            | Self::Owner { .. }
            | Self::Remote { .. }
            | Self::Writable { .. } => false,
        }
    }
}

/// A store that the processes of one machine share.
pub struct LocalEngine {
    options: LocalOptions,
    start: Start,
    bytes: usize,
    /// `None` only while it is dropped.
    jobs: Option<mpsc::Sender<Job>>,
    thread: Option<JoinHandle<()>>,
    /// Says that the thread has ended by being disconnected.
    ended: Mutex<Receiver<()>>,
}

impl LocalEngine {
    /// Opens the folder, and makes it if need be. Blocks for as long as `open_timeout` at most.
    ///
    /// # Errors
    ///
    /// Whatever is wrong with the folder. Nothing is left running but, after
    /// [`LocalError::Slow`], a thread that waits and then ends.
    pub fn open(options: &LocalOptions) -> Result<Self, LocalError> {
        let (jobs, queue) = mpsc::channel(options.queue_max.max(1));
        let (opened, opening) = sync_channel(1);
        let (alive, ended) = sync_channel(0);
        let theirs = options.clone();
        let thread = std::thread::Builder::new()
            .name("sessions".to_owned())
            .spawn(move || {
                let _alive = alive;
                thread::run(&theirs, &opened, queue);
            })
            .map_err(LocalError::Thread)?;
        match opening.recv_timeout(options.open_timeout) {
            Ok(Ok((start, bytes))) => Ok(Self {
                options: options.clone(),
                start,
                bytes,
                jobs: Some(jobs),
                thread: Some(thread),
                ended: Mutex::new(ended),
            }),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(LocalError::Slow { path: options.path.clone() }),
        }
    }

    /// What it found.
    #[must_use]
    pub fn start(&self) -> &Start {
        &self.start
    }

    /// How large the file may become: what was asked for, or more if another process asked for it.
    #[must_use]
    pub fn bytes_max(&self) -> usize {
        self.bytes
    }

    /// Has the steps done, and waits. Whoever stops waiting must not count on anything.
    async fn perform(&self, steps: Vec<Step>) -> Result<Vec<Outcome>, EngineError> {
        let (reply, answer) = oneshot::channel();
        let gone = || EngineError::from(ErrorKind::Unreachable);
        let jobs = self.jobs.as_ref().ok_or_else(gone)?;
        // The thread only ends before us if it panicked.
        jobs.send(Job { steps, reply }).await.map_err(|_| gone())?;
        answer.await.map_err(|_| EngineError::from(ErrorKind::Broken))
    }

    /// Has one step done.
    async fn perform_one(&self, step: Step) -> Result<Option<Vec<u8>>, EngineError> {
        let outcome = self.perform(vec![step]).await?.pop();
        Ok(outcome.ok_or(ErrorKind::Broken)??)
    }

    /// When something expires that is stored now. Time is kept in whole seconds: what is stored is
    /// kept for up to one of them less than it may be, never for longer.
    fn expiry(&self, lifetime: Duration) -> Result<u64, EngineError> {
        let now = self.options.clock.current_time().ok_or(ErrorKind::Other)?;
        Ok(now.as_secs().saturating_add(lifetime.as_secs()))
    }
}

impl Engine for LocalEngine {
    fn fetch<'a>(&'a self, wanted: &'a [Wanted]) -> Answer<'a, Vec<Option<Vec<u8>>>> {
        let step = |wanted: &Wanted| match wanted.usage {
            Use::Repeated => Step::Look(wanted.key),
            Use::Single => Step::Take(wanted.key),
        };
        Box::pin(async move {
            let outcomes = self.perform(wanted.iter().map(step).collect()).await?;
            Ok(outcomes.into_iter().collect::<Result<_, _>>()?)
        })
    }

    fn store<'a>(&'a self, records: &'a [Record]) -> Answer<'a, Vec<Result<(), EngineError>>> {
        Box::pin(async move {
            let mut steps = Vec::with_capacity(records.len());
            for record in records {
                let expiry = self.expiry(record.lifetime)?;
                steps.push(Step::Put(record.key, record.sealed.clone(), expiry));
            }
            let outcomes = self.perform(steps).await?;
            Ok(outcomes.into_iter().map(|outcome| Ok(outcome.map(drop)?)).collect())
        })
    }

    fn agree<'a>(&'a self, record: &'a Record) -> Answer<'a, Vec<u8>> {
        Box::pin(async move {
            let expiry = self.expiry(record.lifetime)?;
            let step = Step::Agree(record.key, record.sealed.clone(), expiry);
            self.perform_one(step).await?.ok_or_else(|| ErrorKind::Broken.into())
        })
    }

    fn probe(&self) -> Answer<'_, ()> {
        Box::pin(async move { self.perform_one(Step::Probe).await.map(drop) })
    }
}

/// The thread does what is in its queue and ends. If it is held up, it is left behind: it ends by
/// itself as soon as it can, and the folder stays open in this process until then.
impl Drop for LocalEngine {
    fn drop(&mut self) {
        drop(self.jobs.take());
        let Ok(ended) = self.ended.get_mut() else { return };
        if ended.recv_timeout(END_TIMEOUT) == Err(RecvTimeoutError::Disconnected)
            && let Some(thread) = self.thread.take()
        {
            // A panic was said when it happened.
            let _ = thread.join();
        }
    }
}

impl fmt::Debug for LocalEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalEngine")
            .field("path", &self.options.path)
            .field("bytes_max", &self.bytes)
            .field("start", &self.start)
            .finish_non_exhaustive()
    }
}

/// The size of the file if nothing is said of it: some 100,000 sessions.
pub const BYTES_DEFAULT: usize = 64 << 20;
/// The least size of the file.
pub const BYTES_MIN: usize = 1 << 20;
const QUEUE_DEFAULT: usize = 4096;
const OPEN_TIMEOUT_DEFAULT: Duration = Duration::from_secs(5);
const END_TIMEOUT: Duration = Duration::from_secs(1);

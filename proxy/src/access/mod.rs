//! The access log: one line about each request, and about each connection of bytes.
//!
//! Owns [`AccessLog`], which takes lines from every worker and never waits: they go into a queue
//! as those of the log do, and what does not fit is left out and counted in
//! `portunus_log_dropped_total`. Neither a full disk nor a reader that has stopped reading can hold
//! up a request. What a line says is in `entry`, and how the file is opened and written in `sink`.
//! Others may hear of a request as well ([`Witness`]). Refuses to know where requests come from and
//! who calls for a new file.

mod connection;
mod entry;
mod sink;
mod words;

use std::cell::RefCell;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use arc_swap::ArcSwapOption;
use http::Request;
use tokio::time::Instant;

pub use self::connection::ConnectionEntry;
pub use self::entry::{End, Entry};
use self::sink::Sink;
use crate::count::IntCounter;
use crate::log::Format;
use crate::log::queue::Queue;
pub use crate::log::queue::Writer;

/// Where lines go, the same place for all clones. Cheap to clone; the default is nowhere.
#[derive(Clone, Debug, Default)]
pub struct AccessLog(Arc<ArcSwapOption<Lines>>);

/// Where lines can go.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Target {
    /// To the end of a file, which is made if it is not there.
    File(PathBuf),
    /// To standard output.
    Stdout,
}

impl AccessLog {
    /// Opens `target` and starts the thread that writes to it. Lines that are lost are counted in
    /// `dropped`.
    pub fn open(
        target: Target,
        format: Format,
        dropped: IntCounter,
    ) -> Result<(Self, Writer), AccessLogError> {
        let sink = Sink::open(target)?;
        let queue = Queue::new(dropped, usize::MAX);
        let writer = queue.start("access-log", sink).map_err(AccessLogError::Thread)?;
        let lines = Arc::new(Lines { format, queue });
        Ok((Self(Arc::new(ArcSwapOption::new(Some(lines)))), writer))
    }

    /// From now on, lines go where those of `other` go, for all clones, also those of requests that
    /// are going on.
    pub fn become_other(&self, other: &Self) {
        self.0.store(other.0.load_full());
    }

    /// A request has come; the line is written, and the witness told, when the record is dropped.
    /// Costs nothing if there is neither.
    pub fn begin<B>(
        &self,
        request: &Request<B>,
        witness: Option<Box<dyn Witness>>,
        about: impl FnOnce(&mut Entry),
    ) -> Record {
        if witness.is_none() && self.0.load().is_none() {
            return Record(None);
        }
        let mut entry = Entry::of(request, Instant::now());
        about(&mut entry);
        Record(Some(Box::new(Going { log: self.clone(), entry, witness })))
    }

    /// A request was refused that could not be read.
    pub fn refuse(&self, status: u16, about: impl FnOnce(&mut Entry)) {
        if let Some(lines) = &*self.0.load() {
            let mut entry = Entry::unread(Instant::now());
            entry.answer(status);
            entry.end = End::Complete;
            about(&mut entry);
            lines.push(|line| entry.write(lines.format, SystemTime::now(), line));
        }
    }

    /// Writes a line about `entry`, or leaves it out.
    pub fn write(&self, entry: &Entry) {
        if let Some(lines) = &*self.0.load() {
            lines.push(|line| entry.write(lines.format, SystemTime::now(), line));
        }
    }

    /// Whether there is a log.
    pub fn is_open(&self) -> bool {
        self.0.load().is_some()
    }

    /// Writes a line about a connection, or leaves it out.
    pub fn tell(&self, entry: &ConnectionEntry) {
        if let Some(lines) = &*self.0.load() {
            lines.push(|line| entry.write(lines.format, SystemTime::now(), line));
        }
    }

    /// Has the file opened anew before the next line, since it may have been moved away.
    pub fn reopen(&self) {
        if let Some(lines) = &*self.0.load() {
            lines.queue.reopen();
        }
    }
}

/// Who hears of a request besides the log.
pub trait Witness: fmt::Debug + Send + Sync {
    /// The request is over.
    fn hear(&self, entry: &Entry);
}

/// What is known so far of a request that is going on; its line is written when this is dropped.
#[derive(Debug, Default)]
pub struct Record(Option<Box<Going>>);

#[derive(Debug)]
struct Going {
    /// Where its line goes is what it says when the request is over: what it said before is
    /// not written to any more.
    log: AccessLog,
    entry: Entry,
    witness: Option<Box<dyn Witness>>,
}

impl Record {
    /// Notes something about the request, if there is a log.
    pub fn note(&mut self, note: impl FnOnce(&mut Entry)) {
        if let Some(going) = &mut self.0 {
            note(&mut going.entry);
        }
    }
}

impl Drop for Going {
    fn drop(&mut self) {
        self.entry.duration = self.entry.started.elapsed();
        self.log.write(&self.entry);
        if let Some(witness) = &self.witness {
            witness.hear(&self.entry);
        }
    }
}

/// Lines on their way to the thread.
#[derive(Debug)]
struct Lines {
    format: Format,
    queue: Arc<Queue>,
}

impl Lines {
    fn push(&self, write: impl FnOnce(&mut Vec<u8>)) {
        LINE.with_borrow_mut(|line| {
            line.clear();
            write(line);
            self.queue.push(line);
        });
    }
}

/// Why there is no access log.
#[derive(Debug, thiserror::Error)]
pub enum AccessLogError {
    /// Not there, not allowed, not a file.
    #[error("cannot open the access log `{}`", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Nobody may ever read from it.
    #[error("the access log `{}` is a pipe; a file is needed, or `stdout`", path.display())]
    Pipe {
        /// The pipe.
        path: PathBuf,
    },
    /// Standard output is closed.
    #[error("standard output cannot be written to")]
    Stdout(#[source] io::Error),
    /// There is no thread for it.
    #[error("the access log has no thread")]
    Thread(#[source] io::Error),
}

thread_local! {
    /// Where a worker puts a line together.
    static LINE: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

#[cfg(test)]
mod tests;

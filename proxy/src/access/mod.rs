//! The access log: one line about each request.
//!
//! Owns [`AccessLog`], which takes lines from every worker and never waits: they gather in one
//! buffer of bounded size, a thread of its own writes them, and what does not fit is left out and
//! counted in `portunus_log_dropped_total`. Neither a full disk nor a reader that has stopped
//! reading can hold up a request. What a line says is in `entry`, and how the file is opened and
//! written in `sink`. Refuses to know where requests come from and who calls for a new file.

mod entry;
mod sink;

use std::cell::RefCell;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwapOption;
use http::Request;
use prometheus::IntCounter;
use tokio::time::Instant;

pub use self::entry::{End, Entry};
use self::sink::Sink;
use crate::log::Format;

/// Where lines go, the same place for all clones. Cheap to clone; the default is nowhere.
#[derive(Clone, Debug, Default)]
pub struct AccessLog(Arc<ArcSwapOption<Queue>>);

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
        let queue = Arc::new(Queue {
            format,
            dropped,
            state: Mutex::default(),
            changed: Condvar::new(),
            ended: Condvar::new(),
        });
        let writing = Arc::clone(&queue);
        thread::Builder::new()
            .name("access-log".to_owned())
            .spawn(move || writing.write_to(sink))
            .map_err(AccessLogError::Thread)?;
        Ok((Self(Arc::new(ArcSwapOption::new(Some(Arc::clone(&queue))))), Writer(queue)))
    }

    /// From now on, lines go where those of `other` go, for all clones. The line of a request that
    /// is going on goes where it would have.
    pub fn become_other(&self, other: &Self) {
        self.0.store(other.0.load_full());
    }

    /// A request has come; the line is written when the record is dropped. Costs nothing if there
    /// is no log.
    pub fn begin<B>(&self, request: &Request<B>, about: impl FnOnce(&mut Entry)) -> Record {
        Record(self.0.load_full().map(|queue| {
            let mut entry = Entry::of(request, Instant::now());
            about(&mut entry);
            Box::new(Going { queue, entry })
        }))
    }

    /// A request was refused that could not be read.
    pub fn refuse(&self, status: u16, about: impl FnOnce(&mut Entry)) {
        if let Some(queue) = &*self.0.load() {
            let mut entry = Entry::unread(Instant::now());
            entry.answer(status);
            entry.end = End::Complete;
            about(&mut entry);
            queue.push(&entry, SystemTime::now());
        }
    }

    /// Writes a line about `entry`, or leaves it out.
    pub fn write(&self, entry: &Entry) {
        if let Some(queue) = &*self.0.load() {
            queue.push(entry, SystemTime::now());
        }
    }

    /// Has the file opened anew before the next line, since it may have been moved away.
    pub fn reopen(&self) {
        if let Some(queue) = &*self.0.load() {
            queue.state().reopen = true;
            queue.changed.notify_one();
        }
    }
}

/// What is known so far of a request that is going on; its line is written when this is dropped.
#[derive(Debug, Default)]
pub struct Record(Option<Box<Going>>);

#[derive(Debug)]
struct Going {
    queue: Arc<Queue>,
    entry: Entry,
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
        self.queue.push(&self.entry, SystemTime::now());
    }
}

/// Keeps the thread; when this is dropped, the lines so far are still written if that does not take
/// long.
#[derive(Debug)]
pub struct Writer(Arc<Queue>);

impl Drop for Writer {
    fn drop(&mut self) {
        let queue = &self.0;
        let mut state = queue.state();
        state.is_closed = true;
        queue.changed.notify_one();
        let goes_on = |state: &mut State| !state.is_ended;
        let waited = queue.ended.wait_timeout_while(state, END_GRACE, goes_on);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }
}

/// The lines that wait.
#[derive(Debug)]
struct Queue {
    format: Format,
    dropped: IntCounter,
    state: Mutex<State>,
    /// There is something to do for the thread.
    changed: Condvar,
    /// The thread has ended.
    ended: Condvar,
}

#[derive(Debug, Default)]
struct State {
    lines: Vec<u8>,
    reopen: bool,
    is_closed: bool,
    is_ended: bool,
    /// Whether the thread has nothing to do, and must be woken.
    is_resting: bool,
}

impl Queue {
    fn push(&self, entry: &Entry, now: SystemTime) {
        LINE.with_borrow_mut(|line| {
            line.clear();
            entry.write(self.format, now, line);
            let mut state = self.state();
            if state.is_closed || state.lines.len().saturating_add(line.len()) > QUEUE_BYTES_MAX {
                drop(state);
                self.dropped.inc();
                return;
            }
            state.lines.extend_from_slice(line);
            let is_resting = std::mem::take(&mut state.is_resting);
            drop(state);
            if is_resting {
                self.changed.notify_one();
            }
        });
    }

    /// The life of the thread: takes all lines of a moment at once, so that many of them make one
    /// call and workers seldom have to wake it.
    fn write_to(&self, mut sink: Sink) {
        let mut lines = Vec::new();
        loop {
            lines.clear();
            let mut state = self.state();
            while state.lines.is_empty() && !state.reopen && !state.is_closed {
                state.is_resting = true;
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            let more = |state: &mut State| !state.reopen && !state.is_closed;
            let gathered = self.changed.wait_timeout_while(state, GATHER, more);
            (state, _) = gathered.unwrap_or_else(PoisonError::into_inner);
            let reopen = std::mem::take(&mut state.reopen);
            std::mem::swap(&mut lines, &mut state.lines);
            if lines.is_empty() && !reopen {
                state.is_ended = true;
                self.ended.notify_all();
                return;
            }
            drop(state);
            if reopen {
                sink.reopen();
            }
            self.dropped.inc_by(sink.write(&lines));
            if lines.capacity() > IDLE_BYTES_MAX {
                lines = Vec::new();
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
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

/// Some ten thousand lines: what comes in a second or so while the disk does not answer.
const QUEUE_BYTES_MAX: usize = 4 << 20;

/// How long lines gather.
const GATHER: Duration = Duration::from_millis(10);

/// What is kept of a buffer that was large once.
const IDLE_BYTES_MAX: usize = 256 << 10;

/// How long the end of the process waits for the last lines.
const END_GRACE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests;

//! Lines on their way to a file: taken from every thread, written by one.
//!
//! Owns [`Queue`], which never makes anyone wait: lines gather in one buffer of bounded size, a
//! thread of its own writes them, and what does not fit is left out and counted. Neither a full
//! disk nor a reader that has stopped reading can hold up a connection. Refuses to know what a
//! line says and what it is written to, which is a [`Sink`].

use std::fmt;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use crate::count::IntCounter;

/// What lines are written to, by the thread.
pub trait Sink: Send + 'static {
    /// Goes on in the file that has the name now.
    fn reopen(&mut self) {}

    /// Adds what there is to say of the lines themselves, and says when to be asked again if
    /// nothing else comes.
    fn remark(&mut self, _lines: &mut Vec<u8>) -> Option<Duration> {
        None
    }

    /// Writes whole lines, and says how many were lost.
    fn write(&mut self, lines: &[u8]) -> u64;
}

/// The lines that wait.
pub struct Queue {
    lines_max: usize,
    dropped: IntCounter,
    state: Mutex<State>,
    /// There is something to do for the thread.
    changed: Condvar,
    /// The thread has done all of it, or has ended.
    rested: Condvar,
}

#[derive(Debug, Default)]
struct State {
    lines: Vec<u8>,
    count: usize,
    reopen: bool,
    is_closed: bool,
    is_ended: bool,
    /// Whether the thread has nothing to do, and must be woken.
    is_resting: bool,
}

impl State {
    fn is_idle(&self) -> bool {
        self.lines.is_empty() && !self.reopen && !self.is_closed
    }
}

impl Queue {
    /// A queue of so many lines at most, which counts in `dropped` what it leaves out; nothing is
    /// written yet.
    pub fn new(dropped: IntCounter, lines_max: usize) -> Arc<Self> {
        let (changed, rested) = (Condvar::new(), Condvar::new());
        Arc::new(Self { lines_max, dropped, state: Mutex::default(), changed, rested })
    }

    /// Starts the thread `name`, which writes to `sink` until what is returned is dropped.
    pub fn start(self: &Arc<Self>, name: &str, sink: impl Sink) -> Result<Writer, io::Error> {
        let writing = Arc::clone(self);
        let thread = thread::Builder::new().name(name.to_owned());
        thread.spawn(move || writing.write_to(sink))?;
        Ok(Writer(Arc::clone(self)))
    }

    /// Takes `line`, with its end, or leaves it out.
    pub fn push(&self, line: &[u8]) {
        let mut state = self.state();
        let bytes = state.lines.len().saturating_add(line.len());
        if state.is_closed || state.count >= self.lines_max || bytes > QUEUE_BYTES_MAX {
            drop(state);
            self.dropped.inc();
            return;
        }
        state.lines.extend_from_slice(line);
        state.count += 1;
        let is_resting = std::mem::take(&mut state.is_resting);
        drop(state);
        if is_resting {
            self.changed.notify_one();
        }
    }

    /// Has the sink opened anew before the next line, since it may have been moved away.
    pub fn reopen(&self) {
        let mut state = self.state();
        state.reopen = true;
        state.is_resting = false;
        drop(state);
        self.changed.notify_one();
    }

    /// Waits until nothing is left to be written, but no longer than `limit`.
    pub fn flush(&self, limit: Duration) {
        let is_busy = |state: &mut State| !state.is_ended && !state.is_resting;
        self.changed.notify_one();
        let waited = self.rested.wait_timeout_while(self.state(), limit, is_busy);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }

    /// The life of the thread: takes all lines of a moment at once, so that many of them make one
    /// call and workers seldom have to wake it.
    fn write_to(&self, mut sink: impl Sink) {
        let mut lines = Vec::new();
        let mut again = None;
        loop {
            lines.clear();
            let mut state = self.rest(again);
            let more = |state: &mut State| !state.reopen && !state.is_closed;
            if !state.is_idle() {
                let gathered = self.changed.wait_timeout_while(state, GATHER, more);
                (state, _) = gathered.unwrap_or_else(PoisonError::into_inner);
            }
            let reopen = std::mem::take(&mut state.reopen);
            std::mem::swap(&mut lines, &mut state.lines);
            state.count = 0;
            if state.is_closed && lines.is_empty() && !reopen {
                state.is_ended = true;
                self.rested.notify_all();
                return;
            }
            drop(state);
            if reopen {
                sink.reopen();
            }
            again = sink.remark(&mut lines);
            self.dropped.inc_by(sink.write(&lines));
            if lines.capacity() > IDLE_BYTES_MAX {
                lines = Vec::new();
            }
        }
    }

    /// Waits until there is something to do, or `limit` is over.
    fn rest(&self, limit: Option<Duration>) -> MutexGuard<'_, State> {
        let mut state = self.state();
        if state.is_idle() {
            state.is_resting = true;
            self.rested.notify_all();
        }
        let is_idle = |state: &mut State| state.is_idle();
        let mut state = match limit {
            None => self.changed.wait_while(state, is_idle).unwrap_or_else(PoisonError::into_inner),
            Some(limit) => {
                let waited = self.changed.wait_timeout_while(state, limit, is_idle);
                waited.unwrap_or_else(PoisonError::into_inner).0
            }
        };
        state.is_resting = false;
        state
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Queue(..)")
    }
}

/// Keeps the thread; when this is dropped, the lines so far are still written if that does not take
/// long, and later ones are left out.
#[derive(Debug)]
pub struct Writer(Arc<Queue>);

impl Drop for Writer {
    fn drop(&mut self) {
        let queue = &self.0;
        let mut state = queue.state();
        state.is_closed = true;
        queue.changed.notify_one();
        let goes_on = |state: &mut State| !state.is_ended;
        let waited = queue.rested.wait_timeout_while(state, END_GRACE, goes_on);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }
}

/// Some ten thousand lines: what comes in a second or so while nothing can be written.
pub(crate) const QUEUE_BYTES_MAX: usize = 4 << 20;

/// How long lines gather.
const GATHER: Duration = Duration::from_millis(10);

/// What is kept of a buffer that was large once.
const IDLE_BYTES_MAX: usize = 256 << 10;

/// How long the end of the process waits for the last lines.
const END_GRACE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;

    /// Writes nothing before it is let, and then hands on what it has got.
    struct Slow(Receiver<()>, Sender<Vec<u8>>);

    impl Sink for Slow {
        fn write(&mut self, lines: &[u8]) -> u64 {
            let _ = self.0.recv();
            let _ = self.1.send(lines.to_vec());
            0
        }
    }

    fn counter() -> IntCounter {
        IntCounter::default()
    }

    #[test]
    fn while_nothing_can_be_written_so_many_lines_wait_and_no_more() {
        let (let_it, may) = channel();
        let (sink, written) = channel();
        let dropped = counter();
        let queue = Queue::new(dropped.clone(), 10);
        let writer = queue.start("slow", Slow(may, sink)).unwrap();
        queue.push(b"first\n");
        // The thread has taken it, and is held up.
        while !queue.state().lines.is_empty() {
            thread::yield_now();
        }
        for _ in 0..17 {
            queue.push(b"line\n");
        }
        assert_eq!(dropped.get(), 7);
        let_it.send(()).unwrap();
        let_it.send(()).unwrap();
        drop(writer);
        assert_eq!(written.recv().unwrap(), b"first\n");
        assert_eq!(written.recv().unwrap(), b"line\n".repeat(10));
        queue.push(b"late\n");
        assert_eq!(dropped.get(), 8, "nobody writes any more");
    }

    #[test]
    fn a_sink_that_never_answers_holds_up_the_end_for_a_moment_only() {
        let (_let_it, may) = channel();
        let queue = Queue::new(counter(), 10);
        let writer = queue.start("silent", Slow(may, channel().0)).unwrap();
        queue.push(b"line\n");
        queue.flush(Duration::from_millis(50));
        drop(writer);
    }

    /// Has something to say of itself, twice.
    struct Remarking(u8, Sender<Vec<u8>>);

    impl Sink for Remarking {
        fn remark(&mut self, lines: &mut Vec<u8>) -> Option<Duration> {
            self.0 = self.0.checked_sub(1)?;
            lines.extend_from_slice(b"remark\n");
            Some(Duration::from_millis(1))
        }

        fn write(&mut self, lines: &[u8]) -> u64 {
            let _ = self.1.send(lines.to_vec());
            0
        }
    }

    #[test]
    fn what_there_is_to_say_of_the_lines_is_said_though_no_other_comes() {
        let (sink, written) = channel();
        let queue = Queue::new(counter(), 10);
        let _writer = queue.start("remarking", Remarking(2, sink)).unwrap();
        queue.push(b"line\n");
        assert_eq!(written.recv().unwrap(), b"line\nremark\n");
        assert_eq!(written.recv().unwrap(), b"remark\n");
        queue.flush(Duration::from_secs(60));
    }
}

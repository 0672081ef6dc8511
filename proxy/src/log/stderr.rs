//! From an event to standard error.
//!
//! Owns the layer of tracing that makes lines, and what writes them: at once as long as the
//! process has one thread, through the queue from then on. What was held back or left out is told
//! by a line once a second. Refuses to know levels, which are a filter's before this.

use std::cell::RefCell;
use std::fs::File;
use std::io::{self, IsTerminal as _, Write as _};
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use tokio::time::Instant;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer};

use super::Format;
use super::file::LineFile;
use super::line::{self, Colour, Look};
use super::queue::{Queue, Sink, Writer};
use super::rate::{Limiter, Verdict};
use crate::count::IntCounter;

/// What hears of every event.
pub(super) struct Speaker(pub(super) Arc<Lines>);

/// The lines of the process.
pub(super) struct Lines {
    is_json: AtomicBool,
    colour: Colour,
    limiter: Limiter,
    /// Whether something was held back since that was last told.
    is_owing: AtomicBool,
    /// Whether there is a thread that writes.
    is_queued: AtomicBool,
    queue: Arc<Queue>,
    dropped: IntCounter,
    suppressed: IntCounter,
}

impl Lines {
    pub(super) fn new(format: Format) -> Self {
        let dropped = IntCounter::default();
        Self {
            is_json: AtomicBool::new(format == Format::Json),
            colour: if io::stderr().is_terminal() { Colour::Terminal } else { Colour::Never },
            limiter: Limiter::default(),
            is_owing: AtomicBool::new(false),
            is_queued: AtomicBool::new(false),
            queue: Queue::new(dropped.clone(), LINES_MAX),
            dropped,
            suppressed: IntCounter::default(),
        }
    }

    /// Starts the thread.
    pub(super) fn start(self: &Arc<Self>) -> Result<Writer, io::Error> {
        let file = LineFile::new(File::from(io::stderr().as_fd().try_clone_to_owned()?));
        let sink = Stderr { lines: Arc::clone(self), file, told: None, dropped: 0, own: 0 };
        let writer = self.queue.start("log", sink)?;
        self.is_queued.store(true, Ordering::Release);
        Ok(writer)
    }

    pub(super) fn set_format(&self, format: Format) {
        self.is_json.store(format == Format::Json, Ordering::Relaxed);
    }

    pub(super) fn flush(&self, limit: Duration) {
        if self.is_queued.load(Ordering::Acquire) {
            self.queue.flush(limit);
        }
    }

    pub(super) fn dropped(&self) -> u64 {
        self.dropped.get()
    }

    pub(super) fn suppressed(&self) -> u64 {
        self.suppressed.get()
    }

    fn look(&self) -> Look {
        let is_json = self.is_json.load(Ordering::Relaxed);
        Look { format: if is_json { Format::Json } else { Format::Text }, colour: self.colour }
    }

    /// Whether the line of `event` is to be written.
    fn admit(&self, event: &Event<'_>) -> bool {
        let metadata = event.metadata();
        let kind = metadata.callsite();
        match self.limiter.admit(&kind, *metadata.level(), Instant::now()) {
            Verdict::Written => return true,
            Verdict::First => self.limiter.name(&kind, line::words(event)),
            Verdict::HeldBack => {}
        }
        self.suppressed.inc();
        self.is_owing.store(true, Ordering::Release);
        false
    }

    fn put(&self, line: &str) {
        if self.is_queued.load(Ordering::Acquire) {
            self.queue.push(line.as_bytes());
        } else if io::stderr().write_all(line.as_bytes()).is_err() {
            // Nobody is left to be told.
            self.dropped.inc();
        }
    }
}

impl<S: Subscriber> Layer<S> for Speaker {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let lines = &*self.0;
        if !lines.admit(event) {
            return;
        }
        let speak = |line: &mut String| {
            line.clear();
            line::write(event, lines.look(), SystemTime::now(), line);
            lines.put(line);
            line.shrink_to(LINE_BYTES_KEPT);
        };
        LINE.with(|line| match line.try_borrow_mut() {
            Ok(mut line) => speak(&mut line),
            // What is told of speaks while it is told of.
            Err(_) => speak(&mut String::new()),
        });
    }
}

/// Standard error, as the thread writes to it.
struct Stderr {
    lines: Arc<Lines>,
    file: LineFile,
    /// When the log last spoke of itself.
    told: Option<Instant>,
    /// How many lines were left out by then.
    dropped: u64,
    /// Lines of its own that are about to be written.
    own: u64,
}

impl Sink for Stderr {
    fn remark(&mut self, lines: &mut Vec<u8>) -> Option<Duration> {
        let dropped = self.lines.dropped();
        let left_out = dropped.saturating_sub(self.dropped);
        if left_out == 0 && !self.lines.is_owing.load(Ordering::Acquire) {
            return None;
        }
        let now = Instant::now();
        let since = self.told.map_or(PAUSE, |told| now.saturating_duration_since(told));
        if since < PAUSE {
            return Some(PAUSE.saturating_sub(since));
        }
        self.told = Some(now);
        self.dropped = dropped;
        self.lines.is_owing.store(false, Ordering::Release);
        let look = self.lines.look();
        let mut line = String::new();
        for held_back in self.lines.limiter.take() {
            let fields: [(&str, &dyn std::fmt::Display); 2] =
                [("line", &held_back.words), ("suppressed", &held_back.count)];
            let words = "lines of this kind came too often and were held back";
            line::write_own(held_back.level, words, &fields, look, &mut line);
        }
        if left_out > 0 {
            let words = "log lines were left out: more came than could be written";
            line::write_own(Level::WARN, words, &[("dropped", &left_out)], look, &mut line);
        }
        self.own = line.matches('\n').count() as u64;
        lines.extend_from_slice(line.as_bytes());
        Some(PAUSE)
    }

    fn write(&mut self, lines: &[u8]) -> u64 {
        let lost = self.file.write(lines).map_or_else(|loss| loss.lines, |()| 0);
        // What it says of itself is not worth another line.
        self.dropped += std::mem::take(&mut self.own).min(lost);
        lost
    }
}

thread_local! {
    /// Where a thread puts a line together.
    static LINE: RefCell<String> = const { RefCell::new(String::new()) };
}

/// What comes in a second or so while nothing can be written.
const LINES_MAX: usize = 8_192;

/// What a thread keeps of its buffer.
const LINE_BYTES_KEPT: usize = 2_048;

/// How often the log speaks of itself.
const PAUSE: Duration = Duration::from_secs(1);

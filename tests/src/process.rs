//! The product as a process: started, listened to, signalled, and ended whatever happens.
//!
//! Owns the child and what it says. Refuses to know what the lines mean beyond that they
//! may be JSON objects; `proxy` knows.

use std::io::{BufRead as _, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value;
use tokio::sync::watch;

use crate::wait::{eventually, within};

/// A command that runs the binary under test.
pub fn command() -> Command {
    Command::new(binary("portunus-under-test"))
}

/// The path of the load generator.
pub(crate) fn load() -> PathBuf {
    binary("portunus-load")
}

/// Cargo says where a binary is; a suite that was started by hand finds it beside itself.
fn binary(name: &str) -> PathBuf {
    if let Some(told) = std::env::var_os(format!("CARGO_BIN_EXE_{name}")) {
        return told.into();
    }
    let suite = std::env::current_exe().expect("the suite is a file");
    let folder = suite.parent().and_then(|deps| deps.parent()).expect("cargo's folders");
    folder.join(name)
}

/// A running process.
#[derive(Debug)]
pub struct Process {
    id: u32,
    child: Mutex<Child>,
    log: Arc<Log>,
}

/// A line of the log.
#[derive(Clone, Debug)]
pub struct Line(Value);

#[derive(Debug)]
struct Log {
    lines: Mutex<Vec<String>>,
    count: watch::Sender<usize>,
    /// How many of its outputs are still listened to.
    listening: AtomicUsize,
}

impl Process {
    /// Starts `command` and listens to what it says, to people and to programs.
    pub fn spawn(mut command: Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the binary under test is built and starts");
        let count = watch::channel(0).0;
        let log = Log { lines: Mutex::default(), count, listening: AtomicUsize::new(0) };
        let log = Arc::new(log);
        log.listen_to(child.stderr.take().expect("stderr was asked for"));
        log.listen_to(child.stdout.take().expect("stdout was asked for"));
        Self { id: child.id(), child: Mutex::new(child), log }
    }

    /// The process's id.
    pub fn id(&self) -> u32 {
        self.id
    }

    /// Sends a signal, by its name without `SIG`.
    pub fn signal(&self, name: &str) {
        // The shell's own `kill` is on every machine.
        let kill = format!("kill -{name} {}", self.id());
        let sent = Command::new("sh").args(["-c", &kill]).status().expect("there is a shell");
        assert!(sent.success(), "{kill}: {sent}");
    }

    /// How it ended, once it has, and once its last words were heard.
    pub async fn exit(&self) -> ExitStatus {
        let status = eventually("the end of the process", async || self.exited()).await;
        let is_heard = async || (self.log.listening.load(Ordering::Acquire) == 0).then_some(());
        eventually("the last words of the process", is_heard).await;
        status
    }

    /// How it ended, if it has.
    pub fn exited(&self) -> Option<ExitStatus> {
        self.child().try_wait().expect("the child is ours")
    }

    /// Every line so far.
    pub fn lines(&self) -> Vec<Line> {
        self.text().iter().map(|line| Line::new(line)).collect()
    }

    /// Every line so far, as it came.
    pub fn text(&self) -> Vec<String> {
        self.log.lines.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many lines there are so far.
    pub fn line_count(&self) -> usize {
        *self.log.count.borrow()
    }

    /// The first line that `wanted` finds something in, among those so far and those to come.
    pub async fn line<T>(&self, what: &str, mut wanted: impl FnMut(&Line) -> Option<T>) -> T {
        let mut count = self.log.count.subscribe();
        let mut read = 0;
        let found = async {
            loop {
                let lines = self.text().split_off(read);
                read += lines.len();
                if let Some(found) = lines.iter().find_map(|line| wanted(&Line::new(line))) {
                    return found;
                }
                count.wait_for(|&count| count > read).await.expect("the log outlives us");
            }
        };
        within(what, found).await
    }

    fn child(&self) -> MutexGuard<'_, Child> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Log {
    fn listen_to(self: &Arc<Self>, from: impl Read + Send + 'static) {
        let log = Arc::clone(self);
        log.listening.fetch_add(1, Ordering::Relaxed);
        std::thread::spawn(move || {
            for line in BufReader::new(from).split(b'\n').map_while(Result::ok) {
                let line = String::from_utf8_lossy(&line).into_owned();
                log.lines.lock().unwrap_or_else(PoisonError::into_inner).push(line);
                log.count.send_modify(|count| *count += 1);
            }
            log.listening.fetch_sub(1, Ordering::Release);
        });
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may be gone already, which is what is wanted.
        let mut child = self.child();
        let _ = child.kill();
        let _ = child.wait();
        drop(child);
        if std::thread::panicking() {
            let lines = self.text();
            let left_out = lines.len().saturating_sub(2 * LINES_SHOWN);
            eprintln!("the log of process {}, without {left_out} lines in the middle:", self.id());
            let shown = |place: usize| place < LINES_SHOWN || place >= LINES_SHOWN + left_out;
            let shown = lines.iter().enumerate().filter(|(place, _)| shown(*place));
            shown.for_each(|(_, line)| eprintln!("  {line}"));
        }
    }
}

impl Line {
    fn new(text: &str) -> Self {
        Self(serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned())))
    }

    /// A field as text: a string as it is, anything else as JSON; empty if there is none.
    pub fn field(&self, name: &str) -> String {
        match self.0.get(name) {
            None => String::new(),
            Some(Value::String(text)) => text.clone(),
            Some(value) => value.to_string(),
        }
    }

    /// When it was logged, as in `2026-07-01T12:34:56.789Z`, without the day.
    fn seconds_of_day(&self) -> f64 {
        let time = self.field("timestamp");
        let clock = time.split_once('T').map_or("", |(_, clock)| clock.trim_end_matches('Z'));
        let parts = clock.split(':').map(|part| part.parse::<f64>().expect("a number"));
        parts.fold(0.0, |sum, part| sum * 60.0 + part)
    }

    /// Seconds from each of these lines to the next.
    pub fn gaps(lines: &[Self]) -> Vec<f64> {
        let times: Vec<_> = lines.iter().map(Self::seconds_of_day).collect();
        let gap = |pair: (&f64, &f64)| (pair.1 - pair.0).rem_euclid(86_400.0);
        times.iter().zip(times.iter().skip(1)).map(gap).collect()
    }

    /// Whether the message and every field are as given.
    pub fn says(&self, message: &str, fields: &[(&str, &str)]) -> bool {
        self.field("message") == message
            && fields.iter().all(|(name, value)| self.field(name) == *value)
    }

    /// The whole line.
    pub fn text(&self) -> String {
        match &self.0 {
            Value::String(text) => text.clone(),
            value => value.to_string(),
        }
    }
}

/// How much of the log a failed test shows, at its begin and at its end.
const LINES_SHOWN: usize = 30;

//! How the process speaks: where log lines go, how they look, how an error is told.
//!
//! Owns the set-up of tracing and [`Chain`], the one printer of causes. Levels: ERROR, someone
//! must act; WARN, odd but recovered; INFO, the life of the process; DEBUG, one line for each
//! connection; TRACE, the rest. Fields are those of dashboards/LOGS.md, which a test holds against
//! the code: one name means one thing, and its values are of one kind.
//!
//! Lines go to standard error, and whoever speaks never waits for it: a bounded `queue` stands
//! between, what does not fit is left out and counted, and `rate` holds back a kind of line that
//! comes too often. Level and form can be set while the process runs. Until [`start`] lines are
//! written at once, since a process that is to confine itself must not have a second thread yet.
//! Refuses to know who speaks. Read next: `line`.

pub mod file;
mod line;
mod plain;
pub mod queue;
mod rate;
mod stderr;

use std::error::Error;
use std::fmt;
use std::io;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Registry, reload};

pub use self::plain::plain;
use self::queue::Writer;
use self::stderr::{Lines, Speaker};

/// How a log line looks.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Format {
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}

/// What there is one of in a process, as tracing has it.
struct Log {
    level: reload::Handle<EnvFilter, Registry>,
    lines: Arc<Lines>,
}

static LOG: OnceLock<Log> = OnceLock::new();

/// Sends events of `level` and above to standard error; the first call of a process decides.
///
/// `level` is a level or a list of `target=level` directives. A level alone is that of this
/// program; the libraries below it say what concerns an operator, and no more.
pub fn init(level: &str, format: Format) -> Result<(), LogError> {
    let (filter, handle) = reload::Layer::new(filter(level)?);
    let lines = Arc::new(Lines::new(format));
    let registry = tracing_subscriber::registry().with(filter);
    registry.with(Speaker(Arc::clone(&lines))).try_init().map_err(LogError::Twice)?;
    // Tracing has refused a second call already.
    let _ = LOG.set(Log { level: handle, lines });
    Ok(())
}

/// From now on a thread writes the lines, until what is returned is dropped.
pub fn start() -> Result<Option<Writer>, io::Error> {
    LOG.get().map(|log| log.lines.start()).transpose()
}

/// Sends events of `level` and above from now on.
pub fn set_level(level: &str) -> Result<(), LogError> {
    let filter = filter(level)?;
    match LOG.get() {
        Some(log) => log.level.reload(filter).map_err(LogError::Gone),
        None => Ok(()),
    }
}

/// Lines look like this from now on.
pub fn set_format(format: Format) {
    if let Some(log) = LOG.get() {
        log.lines.set_format(format);
    }
}

/// Waits until what was said so far is written, but no longer than `limit`: for whoever ends the
/// process without an end.
pub fn flush(limit: Duration) {
    if let Some(log) = LOG.get() {
        log.lines.flush(limit);
    }
}

/// Lines that did not reach standard error.
pub fn dropped() -> u64 {
    LOG.get().map_or(0, |log| log.lines.dropped())
}

/// Lines that were held back, since their kind came too often.
pub fn suppressed() -> u64 {
    LOG.get().map_or(0, |log| log.lines.suppressed())
}

fn filter(level: &str) -> Result<EnvFilter, LogError> {
    let directives = match level {
        "debug" | "trace" => format!("info,portunus={level},portunus_certs={level}"),
        level => level.to_owned(),
    };
    EnvFilter::builder().parse(directives).map_err(LogError::Level)
}

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// There is no log any more whose level could be set.
    #[error("`log.level` could not be set")]
    Gone(#[source] reload::Error),
    /// The level is none.
    #[error("`log.level` is not a level (error, warn, info, debug, trace) or a list of directives")]
    Level(#[source] tracing_subscriber::filter::ParseError),
    /// Logging was set up before.
    #[error("logging is set up already")]
    Twice(#[source] tracing_subscriber::util::TryInitError),
}

/// Prints an error and its causes, joined by `: `.
#[derive(Clone, Copy, Debug)]
pub struct Chain<'a>(pub &'a (dyn Error + 'static));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

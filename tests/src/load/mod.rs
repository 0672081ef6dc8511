//! The clients of the system benchmark, one leg each, and the plaintext backend.
//!
//! Owns the command line and the gate between warming up and the part that is measured. A leg
//! prints `ready` when it is warm, waits for a line on its standard input, does its work and
//! prints one line of JSON; whoever started it reads the server's CPU clock at both ends. Every
//! leg does a fixed amount of work under a limit of time, checks that it got the protocol,
//! cipher and kind of handshake that it is about, and fails as a whole if it once did not.
//! Refuses to know which server it talks to and what that costs. Read next: `tls` and `pinned`,
//! then the legs `handshake`, `bulk`, `http`, `idle`, `slow`, then `backend`.

mod backend;
mod bulk;
mod handshake;
mod http;
mod idle;
mod options;
mod pinned;
mod slow;
mod tls;

use std::fmt;
use std::future::Future;
use std::io::{self, BufRead, Write};
use std::time::Duration;

use serde_json::Value;
use tokio::runtime::Builder;

use options::Options;

/// Runs the leg that the command line names, on one thread: it shares a core with the backend.
pub(crate) fn run(arguments: impl Iterator<Item = String>) -> Result<(), LoadError> {
    let options = Options::parse(arguments)?;
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|source| LoadError::io("start the runtime", source))?;
    runtime.block_on(async {
        match options.leg() {
            "backend" => backend::run().await,
            "bulk" => bulk::run(&options).await,
            "handshake" => handshake::run(&options).await,
            "http1" => http::run_http1(&options).await,
            "http2" => http::run_http2(&options).await,
            "idle" => idle::run(&options).await,
            "slow" => slow::run(&options).await,
            other => Err(LoadError::Usage(format!("no leg is called `{other}`"))),
        }
    })
}

/// Says that the leg is warm, and waits until the starter has read the clock.
///
/// This blocks the only thread, on purpose: nothing may happen between the two.
fn gate() -> Result<(), LoadError> {
    say("ready")?;
    wait_for_line()
}

/// Prints what was done and waits for the starter to have measured, with everything still open.
fn report(result: &Value) -> Result<(), LoadError> {
    say(&result.to_string())?;
    wait_for_line()
}

/// Runs the measured part under the limit that every leg has.
async fn bounded<T>(work: impl Future<Output = Result<T, LoadError>>) -> Result<T, LoadError> {
    match tokio::time::timeout(LEG_TIME_MAX, work).await {
        Ok(result) => result,
        Err(_) => Err(LoadError::Unexpected(format!("not done in {LEG_TIME_MAX:?}"))),
    }
}

fn say(line: &str) -> Result<(), LoadError> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")
        .and_then(|()| out.flush())
        .map_err(|source| LoadError::io("write to standard output", source))
}

fn wait_for_line() -> Result<(), LoadError> {
    let mut line = String::new();
    io::stdin()
        .lock()
        .read_line(&mut line)
        .map_err(|source| LoadError::io("read from standard input", source))?;
    Ok(())
}

/// Why a leg gives no result.
#[derive(Debug)]
pub(crate) enum LoadError {
    /// A socket, a file or a pipe failed.
    Io {
        /// What was tried.
        doing: &'static str,
        /// What came of it.
        source: io::Error,
    },
    /// The server did something that would make the figure one of something else.
    Unexpected(String),
    /// The command line makes no sense.
    Usage(String),
}

impl LoadError {
    fn io(doing: &'static str, source: io::Error) -> Self {
        Self::Io { doing, source }
    }
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { doing, .. } => write!(f, "cannot {doing}"),
            Self::Unexpected(what) => write!(f, "the server did not play its part: {what}"),
            Self::Usage(what) => f.write_str(what),
        }
    }
}

impl std::error::Error for LoadError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { source, .. } => Some(source),
            Self::Unexpected(_) | Self::Usage(_) => None,
        }
    }
}

/// How long the measured part of a leg may last.
const LEG_TIME_MAX: Duration = Duration::from_secs(120);

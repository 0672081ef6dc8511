//! How the process speaks: where log lines go, how they look, how an error is told.
//!
//! Owns the set-up of tracing and [`Chain`], the one printer of causes. Levels: ERROR, someone
//! must act; WARN, odd but recovered; INFO, the life of the process; DEBUG, one line for each
//! connection; TRACE, the rest. Fields: `listener`, `peer`, `client`, `sni`, `client_cert` (SHA-256
//! of the client's certificate), `handshake` (its kind), `not_resumed` (why), `backend`,
//! `endpoint`, `request_id`, `reason`, `error`, `path`, `duration_ms`, `bytes_downstream`,
//! `bytes_upstream`. Refuses to know who speaks.

use std::error::Error;
use std::fmt;
use std::io;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// How a log line looks.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Format {
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}

/// Sends events of `level` and above to standard error; the first call of a process decides.
///
/// `level` is a level or a list of `target=level` directives. A level alone is that of this
/// program; the libraries below it say what concerns an operator, and no more.
pub fn init(level: &str, format: Format) -> Result<(), LogError> {
    let directives = match level {
        "debug" | "trace" => format!("info,portunus={level},portunus_certs={level}"),
        level => level.to_owned(),
    };
    let filter = EnvFilter::builder().parse(directives).map_err(LogError::Level)?;
    let registry = tracing_subscriber::registry().with(filter);
    let layer = tracing_subscriber::fmt::layer().with_writer(io::stderr).with_target(false);
    let set = match format {
        Format::Json => registry.with(layer.json().flatten_event(true)).try_init(),
        Format::Text => {
            let colour = io::IsTerminal::is_terminal(&io::stderr());
            registry.with(layer.with_ansi(colour)).try_init()
        }
    };
    set.map_err(LogError::Twice)
}

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
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

//! `portunus run`: serve until something ends it.
//!
//! Owns the order of what comes before there are threads: logs, then sockets, then everything is
//! given up that was needed for these. Read next: `runtime`.

use crate::config::{Config, LogFormat};
use crate::log::{self, Format};
use crate::runtime::{Addresses, End, HangUp, RunError, Runtime, Sockets, activation, confinement};

use super::{ConfigFile, DONE, FAILED, USAGE, fail};

/// Serves what the file says.
pub(super) fn run(file: &ConfigFile) -> u8 {
    let config = match file.load() {
        Ok(config) => config,
        Err(code) => return code,
    };
    if let Err(code) = start_log(&config) {
        return code;
    }
    ended(start(&config))
}

/// Opens what needs the rank that the process was started with, then serves.
fn start(config: &Config) -> Result<End, RunError> {
    let sockets = Sockets::open(config, activation::take()?)?;
    let report = confinement::give_up(config)?;
    let runtime = Runtime::new(config.server.workers, HangUp::Reload)?;
    runtime.confined(report).run(config, sockets, |_| {})
}

/// Has log lines written as `config` says, or returns the exit code.
pub(super) fn start_log(config: &Config) -> Result<(), u8> {
    let format = match config.log.format {
        LogFormat::Json => Format::Json,
        LogFormat::Text => Format::Text,
    };
    log::init(&config.log.level, format).map_err(|error| {
        fail(&error, None);
        USAGE
    })
}

/// Serves `config` on `runtime`, and calls `ready` once everything is served.
pub(super) fn serve(runtime: Runtime, config: &Config, ready: impl FnOnce(&Addresses)) -> u8 {
    if let Err(code) = start_log(config) {
        return code;
    }
    ended(Sockets::open(config, Vec::new()).and_then(|sockets| runtime.run(config, sockets, ready)))
}

/// The exit code for this end.
fn ended(end: Result<End, RunError>) -> u8 {
    match end {
        Ok(End::Clean) => DONE,
        Ok(End::Cut | End::Forced) => FAILED,
        Err(error) => fail(&error, error.hint()),
    }
}

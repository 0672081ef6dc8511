//! `portunus run`: serve until something ends it.
//!
//! Owns the order of what comes before there are threads: what the process before leaves, logs,
//! sockets, the launcher; then everything is given up that was needed for these. Read next:
//! `runtime`.

use std::error::Error;
use std::ffi::OsString;
use std::io;
use std::path::Path;

use tracing::warn;

use crate::config::{Config, LoadError, LogFormat};
use crate::log::{self, Format};
use crate::runtime::handoff::launcher::{self, Launcher, Origin};
use crate::runtime::handoff::{Handoff, Successor};
use crate::runtime::{Addresses, End, HangUp, RunError, Runtime, Sockets, activation, confinement};

use super::{ConfigFile, DONE, FAILED, USAGE, fail};

/// Serves what the file says.
pub(super) fn run(file: &ConfigFile) -> u8 {
    let origin = Origin::of_process();
    let successor = match Successor::hear() {
        Ok(successor) => successor,
        Err(error) => return fail(&error, None),
    };
    let teller = successor.as_ref().map(Successor::teller);
    let tell = |error: &(dyn Error + 'static), hint| {
        teller.iter().for_each(|teller| teller.failed(error, hint));
    };
    let config = match Config::load(Some(&file.config)) {
        Ok(config) => config,
        Err(error) => {
            tell(&error, error.hint());
            fail(&error, hint(&error));
            return USAGE;
        }
    };
    if let Err(code) = start_log(&config) {
        return code;
    }
    let end = start(&config, origin, successor);
    if let Err(error) = &end {
        tell(error, error.hint());
    }
    ended(end)
}

/// What to do, for whoever may be here for the first time.
fn hint(error: &LoadError) -> Option<&'static str> {
    if error.is_missing() {
        return Some(
            "name another file with `--config FILE`, or try `portunus demo`, which needs none",
        );
    }
    error.hint()
}

/// Opens what needs the rank that the process was started with, then serves.
fn start(
    config: &Config,
    origin: io::Result<Origin>,
    mut successor: Option<Successor>,
) -> Result<End, RunError> {
    let mut spare = activation::take()?;
    spare.extend(successor.iter_mut().flat_map(Successor::take_sockets));
    let sockets = Sockets::open(config, spare)?;
    let launcher = launcher(origin);
    let report = confinement::give_up(config)?;
    let runtime = Runtime::new(config.server.workers, HangUp::Reload)?;
    runtime.confined(report).run(config, sockets, Handoff { launcher, successor }, |_| {})
}

/// Whoever may start another binary later. Nobody replaces the first process of a container.
fn launcher(origin: io::Result<Origin>) -> Option<Launcher> {
    if std::process::id() == 1 {
        return None;
    }
    match origin.and_then(|origin| Launcher::start(&origin)) {
        Ok(launcher) => Some(launcher),
        Err(error) => {
            warn!(%error, "there will be no upgrade without a restart: no launcher");
            None
        }
    }
}

/// Is the launcher, until the process that started it ends.
pub(super) fn launch(program: &Path, arguments: &[OsString]) -> u8 {
    match launcher::run(program, arguments) {
        Ok(()) => DONE,
        Err(error) => fail(&error, Some("this is not for people: `portunus run` starts it")),
    }
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
    ended(
        Sockets::open(config, Vec::new())
            .and_then(|sockets| runtime.run(config, sockets, Handoff::default(), ready)),
    )
}

/// The exit code for this end.
fn ended(end: Result<End, RunError>) -> u8 {
    match end {
        Ok(End::Clean) => DONE,
        Ok(End::Cut | End::Forced) => FAILED,
        Err(error) => fail(&error, error.hint()),
    }
}

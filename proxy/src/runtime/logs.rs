//! The access log of the process: opened before anything is served, and anew at SIGHUP.
//!
//! Owns when that happens. Refuses to know lines and files, which are `access`'s.

use tokio::signal::unix::Signal;

use crate::access::{AccessLog, Target, Writer};
use crate::config::{self, Config, LogFormat};
use crate::drain::DrainWatch;
use crate::log::Format;
use crate::metrics::Metrics;

use super::RunError;

/// What the configuration asks for; without a log there is nothing to keep.
pub(super) fn open(
    config: &Config,
    metrics: &Metrics,
) -> Result<(AccessLog, Option<Writer>), RunError> {
    let target = match &config.log.access {
        config::AccessLog::Off => return Ok((AccessLog::default(), None)),
        config::AccessLog::Stdout => Target::Stdout,
        config::AccessLog::File(path) => Target::File(path.clone()),
    };
    let format = match config.log.format {
        LogFormat::Json => Format::Json,
        LogFormat::Text => Format::Text,
    };
    let (log, writer) = AccessLog::open(target, format, metrics.process().log_dropped)?;
    Ok((log, Some(writer)))
}

/// Has the file opened anew at each SIGHUP, until the drain.
pub(super) async fn reopen(log: AccessLog, mut hang_up: Signal, mut watch: DrainWatch) {
    loop {
        tokio::select! {
            asked = hang_up.recv() => match asked {
                Some(()) => log.reopen(),
                None => return,
            },
            () = watch.finish() => return,
        }
    }
}

//! The logs of the process: the access log, opened before anything is served and anew at SIGHUP and
//! SIGUSR1, and what is counted of lines that nobody will read.
//!
//! Owns when that happens. Refuses to know lines and files, which are `access`'s and `log`'s.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::signal::unix::Signal;
use tracing::warn;

use crate::access::{AccessLog, Target, Writer};
use crate::config::{self, Config, LogFormat};
use crate::count::IntCounter;
use crate::drain::DrainWatch;
use crate::log::{self, Chain, Format};
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
    let format = format(config.log.format);
    let (log, writer) = AccessLog::open(target, format, metrics.process().log_dropped)?;
    Ok((log, Some(writer)))
}

/// Has lines of the log that were left out or held back counted, which began before there were
/// metrics.
pub(super) fn count(metrics: &Metrics) {
    let process = metrics.process();
    let counted = |total: fn() -> u64, counter: IntCounter| {
        let before = AtomicU64::new(0);
        metrics.on_scrape(move || {
            let total = total();
            counter.inc_by(total.saturating_sub(before.swap(total, Ordering::Relaxed)));
        });
    };
    counted(log::dropped, process.log_dropped);
    counted(log::suppressed, process.log_suppressed);
}

/// Has lines of the log be as `new` says, if that is otherwise than `old`.
pub(super) fn apply(old: &config::Log, new: &config::Log) {
    if old.format != new.format {
        log::set_format(format(new.format));
    }
    if old.level != new.level
        && let Err(error) = log::set_level(&new.level)
    {
        warn!(error = %Chain(&error), "the log keeps its level");
    }
}

fn format(format: LogFormat) -> Format {
    match format {
        LogFormat::Json => Format::Json,
        LogFormat::Text => Format::Text,
    }
}

/// Has the file opened anew at each of these signals, until the drain.
pub(super) async fn reopen(log: AccessLog, signals: [Signal; 2], mut watch: DrainWatch) {
    let [mut hang_up, mut user] = signals;
    loop {
        tokio::select! {
            Some(()) = hang_up.recv() => log.reopen(),
            Some(()) = user.recv() => log.reopen(),
            () = watch.finish() => return,
        }
    }
}

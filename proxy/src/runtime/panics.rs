//! What is said and counted of a panic; the runtime of the task has caught it by then.
//!
//! Owns the hook. Of what a panic says of itself the place is told and nothing else, since words
//! may repeat what a client sent. The task is over, and with it one connection, which ends in a
//! reset (`net`). Refuses to know what follows when there are too many: `limit` and `admin` do.

use std::backtrace::Backtrace;
use std::panic::{self, PanicHookInfo};
use std::sync::Arc;
use std::thread;

use tokio::time::Instant;
use tracing::error;

use crate::limit::{Panics, Severity};
use crate::metrics::ProcessMetrics;

/// Hears of every panic of the process from now on.
pub(super) fn hear(metrics: &ProcessMetrics) -> Arc<Panics> {
    let panics = Arc::new(Panics::default());
    let (noted, count) = (Arc::clone(&panics), metrics.panics.clone());
    panic::set_hook(Box::new(move |panicked| {
        count.inc();
        tell(panicked, noted.note(Instant::now()));
    }));
    panics
}

fn tell(panicked: &PanicHookInfo<'_>, severity: Severity) {
    let place = panicked.location().map(ToString::to_string).unwrap_or_default();
    let thread = thread::current();
    let thread = thread.name().unwrap_or_default();
    // To name the frames takes a while, and whoever has found a way to cause a panic goes on.
    let frames = match severity {
        Severity::First => frames(&Backtrace::force_capture().to_string()),
        Severity::Further | Severity::TooMany => String::new(),
    };
    error!(place, thread, frames, "a bug: a task panicked, its connection is reset");
    if severity == Severity::TooMany {
        error!("too many panics within a minute: not ready until they stop");
    }
}

/// The functions of ours that a backtrace has, innermost first, in one line.
fn frames(backtrace: &str) -> String {
    let names = backtrace.lines().filter_map(|line| {
        let (number, name) = line.trim_start().split_once(": ")?;
        let is_frame = number.bytes().all(|byte| byte.is_ascii_digit());
        (is_frame && name.contains("portunus") && !name.contains("::panics::")).then_some(name)
    });
    names.take(FRAMES_MAX).collect::<Vec<_>>().join(" < ")
}

/// More are told of no panic.
const FRAMES_MAX: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_frames_of_ours_are_told_in_one_line() {
        let backtrace = "   0: std::backtrace::Backtrace::create\n\
                         \x20  1: portunus::runtime::panics::tell\n\
                         \x20            at /src/panics.rs:40:9\n\
                         \x20  2: portunus::handshake::establish::{{closure}}\n\
                         \x20            at /src/portunus/mod.rs:1:1\n\
                         \x20 13: <portunus::drain::Task<F> as Future>::poll\n";
        let told = "portunus::handshake::establish::{{closure}} < \
                    <portunus::drain::Task<F> as Future>::poll";
        assert_eq!(frames(backtrace), told);
    }
}

//! Processes whose parents have ended, which fall to the first process of a container.
//!
//! Owns the burying. Without it they would stay in the table of processes for ever. Anywhere but in
//! the place of the first process there is nothing to do. Refuses to know who they were.

use rustix::process::{WaitOptions, wait};
use tokio::signal::unix::{SignalKind, signal};
use tracing::{debug, warn};

use crate::drain::DrainWatch;

/// Buries whoever falls to this process, until the drain, if it is the first one.
pub(super) fn bury(watch: &DrainWatch) {
    if std::process::id() != FIRST {
        return;
    }
    let mut ends = match signal(SignalKind::child()) {
        Ok(ends) => ends,
        Err(error) => {
            warn!(%error, "orphans are not buried");
            return;
        }
    };
    let mut finish = watch.clone();
    watch.spawn(async move {
        loop {
            while let Ok(Some((process, exit))) = wait(WaitOptions::NOHANG) {
                debug!(process = process.as_raw_nonzero().get(), ?exit, "an orphan has ended");
            }
            tokio::select! {
                heard = ends.recv() => if heard.is_none() { return },
                () = finish.finish() => return,
            }
        }
    });
}

/// The first process, of a container as of a machine.
const FIRST: u32 = 1;

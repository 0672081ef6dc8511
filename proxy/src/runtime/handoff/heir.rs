//! The new process, as the one that had it started sees it.
//!
//! Owns who it is and whether it lives, which only the kernel knows (pidfd_open(2)): a socket says
//! that nobody speaks, and a process without descriptors to spare hears nothing at all. Whatever
//! that takes is had when the process is started, so it is there in the worst moment. Refuses to
//! know what the two say to each other. Read next: `predecessor`.

use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::process::Pid;
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use super::launcher::{Launcher, Started};
use super::life::is_alive;

/// A process that was started to follow this one.
#[derive(Debug)]
pub(super) struct Heir {
    /// Which launch it came of.
    launch: u64,
    pid: Pid,
    process: OwnedFd,
}

impl Heir {
    /// The process that was started.
    pub(super) fn new(Started { launch, pid, process }: Started) -> Self {
        Self { launch, pid, process }
    }

    /// Its id, for people.
    pub(super) fn id(&self) -> i32 {
        self.pid.as_raw_nonzero().get()
    }

    pub(super) fn is_alive(&self) -> bool {
        is_alive(&self.process)
    }

    /// Waits until it has ended.
    pub(super) async fn ended(&self) {
        while self.is_alive() {
            sleep(LOOK).await;
        }
    }

    /// Waits until it has ended, and says how.
    pub(super) async fn last_words(&self, launcher: &Launcher) -> String {
        self.ended().await;
        match timeout(LAST_WORDS, launcher.ended(self.launch)).await {
            Ok(Ok(how)) => how,
            _ => "it is gone".to_owned(),
        }
    }

    /// Has it end at once if it has not, and waits for that.
    pub(super) async fn clear_away(&self, launcher: &Launcher) {
        if self.is_alive() {
            launcher.kill(self.launch).await;
            let _ = timeout(LAST_WORDS, self.ended()).await;
        }
    }
}

/// A new process that leaves together with this one, which goes after it: a supervisor takes the
/// end of this one for that of the service, and ends whatever is left of it.
#[derive(Debug)]
pub(in crate::runtime) struct Companion {
    pub(super) heir: Heir,
    pub(super) launcher: Launcher,
}

impl Companion {
    /// Waits until it has ended.
    pub(in crate::runtime) async fn over(&self) {
        let how = self.heir.last_words(&self.launcher).await;
        info!(pid = self.heir.id(), how, "the new process has ended");
    }

    /// Has it end at once if it has not, and returns whether it had to.
    pub(in crate::runtime) async fn cut(&self) -> bool {
        let is_late = self.heir.is_alive();
        if is_late {
            warn!(pid = self.heir.id(), "the new process is ended at once");
            self.heir.clear_away(&self.launcher).await;
        }
        is_late
    }
}

/// How often it is looked at.
const LOOK: Duration = Duration::from_millis(5);
/// From the end of a process until it is told of.
const LAST_WORDS: Duration = Duration::from_secs(2);

//! Whether another process is alive.
//!
//! Owns the difference between a process that has closed a socket and one that has ended: only the
//! kernel knows of the latter (pidfd_open(2)). Refuses to know which process it is.

use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::time::{sleep, timeout};

pub(super) fn is_alive(process: &OwnedFd) -> bool {
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    // It becomes readable when it ends.
    !matches!(poll(&mut [PollFd::new(process, PollFlags::IN)], Some(&now)), Ok(1..))
}

/// Whether it has ended; one that is about to has a moment for it.
pub(super) async fn has_ended(process: &OwnedFd) -> bool {
    let ended = async {
        while is_alive(process) {
            sleep(LOOK).await;
        }
    };
    timeout(END_TIMEOUT, ended).await.is_ok()
}

/// From the end of the sockets of a process to its own.
const END_TIMEOUT: Duration = Duration::from_secs(1);
const LOOK: Duration = Duration::from_millis(2);

//! The leave to send content, for a client that waits for it (RFC 9110 §10.1.1).
//!
//! Owns [`Leave`]: whoever wants the content of a request asks for it here without knowing, by
//! asking the body, and whoever writes to the client says so in time. A request that is answered
//! without its content never gets leave. Refuses to know how it is said.

use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use futures_util::task::AtomicWaker;

/// Whether a client may send its content.
#[derive(Debug, Default)]
pub struct Leave {
    is_wanted: AtomicBool,
    giver: AtomicWaker,
}

impl Leave {
    /// The content is wanted.
    pub(super) fn ask(&self) {
        if !self.is_wanted.swap(true, Ordering::AcqRel) {
            self.giver.wake();
        }
    }

    /// Ready when the content is wanted.
    pub fn poll_wanted(&self, cx: &Context<'_>) -> Poll<()> {
        self.giver.register(cx.waker());
        if self.is_wanted.load(Ordering::Acquire) { Poll::Ready(()) } else { Poll::Pending }
    }
}

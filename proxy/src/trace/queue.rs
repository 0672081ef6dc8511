//! Spans on their way to a collector: taken from every thread, sent by one task.
//!
//! Owns [`Queue`], which never makes anyone wait: spans gather in one buffer of bounded size, and
//! what does not fit is left out and counted. Refuses to know what a span says and where it goes.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::count::IntCounter;

/// The spans that wait.
#[derive(Debug)]
pub struct Queue {
    waiting: Mutex<Batch>,
    /// The first one is there, or enough of them.
    changed: Notify,
    dropped: IntCounter,
}

/// Spans, one behind the other, as a message has them that holds many.
#[derive(Debug, Default)]
pub struct Batch {
    /// How many there are.
    pub spans: u64,
    /// What they say.
    pub bytes: Vec<u8>,
}

impl Queue {
    /// A queue that counts in `dropped` what it leaves out.
    pub fn new(dropped: IntCounter) -> Self {
        Self { waiting: Mutex::default(), changed: Notify::new(), dropped }
    }

    /// Takes a span, or leaves it out.
    pub(super) fn push(&self, span: &[u8]) {
        let mut waiting = self.waiting();
        let before = waiting.bytes.len();
        let after = before.saturating_add(span.len());
        if after > QUEUE_BYTES_MAX {
            drop(waiting);
            self.dropped.inc();
            return;
        }
        waiting.bytes.extend_from_slice(span);
        waiting.spans += 1;
        drop(waiting);
        if before == 0 || (before < ENOUGH_BYTES && after >= ENOUGH_BYTES) {
            self.changed.notify_one();
        }
    }

    /// Waits until a span is there, or enough of them; perhaps for less than that.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Whether there is so much that it is not to wait for more.
    pub fn has_enough(&self) -> bool {
        self.waiting().bytes.len() >= ENOUGH_BYTES
    }

    /// All that waits.
    pub fn take(&self) -> Batch {
        std::mem::take(&mut *self.waiting())
    }

    fn waiting(&self) -> MutexGuard<'_, Batch> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What may wait: some thousands of spans.
pub(super) const QUEUE_BYTES_MAX: usize = 4 << 20;
/// What is sent without waiting for more.
const ENOUGH_BYTES: usize = 256 << 10;

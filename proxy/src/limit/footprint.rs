//! What one connection holds in memory, as far as it knows, and whether it has to go for it.
//!
//! Owns [`Footprint`], a number that the connection renews as it goes, and [`Share`], the place of
//! the connection in `memory` for as long as it lives. What is told is what may pile up: parts of
//! answers that wait for the client, streams. Refuses to know sockets and tasks: a doomed
//! connection is woken, and ends itself.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::Waker;

use super::memory::Memory;

/// What one connection holds.
#[derive(Debug, Default)]
pub struct Footprint {
    bytes: AtomicUsize,
    is_doomed: AtomicBool,
    /// Of the task of the connection, which has the same for its whole life.
    waker: OnceLock<Waker>,
}

impl Footprint {
    /// The connection holds `bytes` now.
    pub fn set(&self, bytes: usize) {
        self.bytes.store(bytes, Ordering::Relaxed);
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Has the connection break off; whether it was to go on before.
    pub(super) fn doom(&self) -> bool {
        let was_to_go_on = !self.is_doomed.swap(true, Ordering::AcqRel);
        if let Some(waker) = self.waker.get() {
            waker.wake_by_ref();
        }
        was_to_go_on
    }
}

/// The place of a connection among those that hold memory; none where nobody measures.
#[derive(Debug, Default)]
pub struct Share(Option<Place>);

#[derive(Debug)]
struct Place {
    footprint: Arc<Footprint>,
    memory: Arc<Memory>,
    place: usize,
}

impl Share {
    pub(super) fn new(footprint: Arc<Footprint>, memory: Arc<Memory>, place: usize) -> Self {
        Self(Some(Place { footprint, memory, place }))
    }

    /// Where the connection tells what it holds.
    pub fn footprint(&self) -> Option<&Arc<Footprint>> {
        self.0.as_ref().map(|place| &place.footprint)
    }

    /// Whether the connection has to break off; else `waker`, which is that of its task, is called
    /// when it has to.
    pub fn poll_doomed(&self, waker: &Waker) -> bool {
        let Some(Place { footprint, .. }) = &self.0 else { return false };
        if footprint.waker.get().is_none() {
            let _ = footprint.waker.set(waker.clone());
        }
        footprint.is_doomed.load(Ordering::Acquire)
    }

    #[cfg(test)]
    pub(super) fn is_doomed(&self) -> bool {
        self.poll_doomed(Waker::noop())
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        if let Some(Place { memory, place, .. }) = &self.0 {
            memory.forget(*place);
        }
    }
}

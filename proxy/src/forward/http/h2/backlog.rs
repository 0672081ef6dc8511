//! What waits to be written to one client, and how much of it that may be.
//!
//! Owns [`Backlog`], which counts the content that the streams of a connection have put into h2,
//! for as long as it is there, and what they hold because their windows have no room for it. h2
//! bounds each stream; a hundred of them are too much for a client that takes nothing. Streams wait
//! here before they ask for more, in the order in which they came. What is held for a window is no
//! reason to hold up other streams, so that h2 may have a share in any case: that one goes as fast
//! as the client reads. Refuses to know who asks for what. Read next: `outflow`.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Waker;

use bytes::{Buf, Bytes};

use super::link::Link;

/// What waits for one client.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    /// Bytes in h2.
    queued: AtomicUsize,
    /// Bytes that have no room in a window.
    held: AtomicUsize,
    /// Bytes that have left h2, one way or the other.
    gone: AtomicU64,
    /// Who waits for there to be less.
    parked: Mutex<Vec<Waker>>,
    has_parked: AtomicBool,
}

impl Backlog {
    /// Whether there may be more; else `waker` is called when it is time to ask again.
    pub(super) fn has_room(&self, waker: &Waker) -> bool {
        let queued = self.queued.load(Ordering::Relaxed);
        if queued < QUEUED_BYTES_MIN || queued + self.held() < WAITING_BYTES_MAX {
            return true;
        }
        let mut parked = self.parked.lock().unwrap_or_else(PoisonError::into_inner);
        if !parked.iter().any(|other| other.will_wake(waker)) {
            parked.push(waker.clone());
        }
        self.has_parked.store(true, Ordering::Relaxed);
        false
    }

    /// How much has left h2 so far.
    pub(super) fn gone(&self) -> u64 {
        self.gone.load(Ordering::Relaxed)
    }

    /// Whether a stream may ask for content that there is no room for yet.
    pub(super) fn may_hold(&self) -> bool {
        self.held() < HELD_BYTES_MAX
    }

    /// All bytes that wait.
    pub(super) fn waiting(&self) -> usize {
        self.queued.load(Ordering::Relaxed) + self.held()
    }

    fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }

    /// Notes that a stream holds `bytes` more.
    pub(super) fn hold(&self, bytes: usize) {
        self.held.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Notes that a stream holds `bytes` less.
    pub(super) fn release(&self, bytes: usize) {
        self.held.fetch_sub(bytes, Ordering::Relaxed);
    }

    fn leave(&self, bytes: usize) {
        let queued = self.queued.fetch_sub(bytes, Ordering::Relaxed) - bytes;
        self.gone.fetch_add(bytes as u64, Ordering::Relaxed);
        if queued < QUEUED_BYTES_MIN && self.has_parked.swap(false, Ordering::Relaxed) {
            let mut parked = self.parked.lock().unwrap_or_else(PoisonError::into_inner);
            let woken = std::mem::take(&mut *parked);
            drop(parked);
            woken.into_iter().for_each(Waker::wake);
        }
    }
}

/// Content in h2, which is counted for as long as it is kept.
#[derive(Debug)]
pub(super) struct Part {
    data: Bytes,
    bytes: usize,
    link: Arc<Link>,
}

impl Part {
    pub(super) fn new(data: Bytes, link: &Arc<Link>) -> Self {
        let bytes = data.len();
        link.backlog().queued.fetch_add(bytes, Ordering::Relaxed);
        Self { data, bytes, link: Arc::clone(link) }
    }
}

impl Buf for Part {
    fn remaining(&self) -> usize {
        self.data.len()
    }

    fn chunk(&self) -> &[u8] {
        &self.data
    }

    fn advance(&mut self, bytes: usize) {
        self.data.advance(bytes);
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        self.link.backlog().leave(self.bytes);
    }
}

/// All that may wait, but for the last part of each stream.
const WAITING_BYTES_MAX: usize = 1024 * 1024;
/// What may wait in h2 whatever else does, and down to what it has to go before those who wait for
/// it are called: more than sockets take at once.
const QUEUED_BYTES_MIN: usize = 256 * 1024;
/// What may be asked for without there being any room, to see whether it is the end.
const HELD_BYTES_MAX: usize = 256 * 1024;

#[cfg(test)]
mod tests {
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Called(AtomicBool);

    impl Wake for Called {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::Relaxed);
        }
    }

    #[test]
    fn whoever_waits_is_called_when_enough_has_gone() {
        let (link, called) = (Arc::new(Link::default()), Arc::new(Called::default()));
        let waker = Waker::from(Arc::clone(&called));
        let mut parts = Vec::new();
        while link.backlog().has_room(&waker) {
            parts.push(Part::new(Bytes::from_static(&[0; 16_384]), &link));
        }
        assert_eq!(parts.len() * 16_384, WAITING_BYTES_MAX);
        while !called.0.load(Ordering::Relaxed) {
            assert!(parts.len() * 16_384 >= QUEUED_BYTES_MIN);
            parts.pop().unwrap();
        }
        assert!(link.backlog().has_room(Waker::noop()));
    }

    #[test]
    fn what_windows_have_no_room_for_holds_up_nobody() {
        let link = Arc::new(Link::default());
        link.backlog().hold(10 * WAITING_BYTES_MAX);
        assert!(!link.backlog().may_hold() && link.backlog().has_room(Waker::noop()));
        let _part = Part::new(vec![0; QUEUED_BYTES_MIN].into(), &link);
        assert!(!link.backlog().has_room(Waker::noop()));
        link.backlog().release(10 * WAITING_BYTES_MAX);
        assert!(link.backlog().has_room(Waker::noop()));
    }
}

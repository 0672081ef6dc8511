//! Which sessions wait for their hand-over.
//!
//! Owns a bounded queue of ids. Whoever pushes never waits: if there is no room, the oldest id
//! leaves, and its session stays where it is. Refuses to know sessions.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::session::id::SessionId;

pub(super) struct Queue {
    ids: Mutex<VecDeque<SessionId>>,
    length_max: usize,
    dropped: AtomicU64,
    /// Wakes the one who waits.
    changed: Notify,
}

impl Queue {
    pub(super) fn new(length_max: usize) -> Self {
        Self {
            ids: Mutex::default(),
            length_max,
            dropped: AtomicU64::new(0),
            changed: Notify::new(),
        }
    }

    pub(super) fn push(&self, id: SessionId) {
        let mut ids = self.lock();
        ids.push_back(id);
        let was_empty = ids.len() == 1;
        let too_many = ids.len() > self.length_max;
        if too_many {
            ids.pop_front();
        }
        drop(ids);
        if too_many {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
        // Whoever waits, waits for the first one.
        if was_empty {
            self.wake();
        }
    }

    /// Puts ids back in front, in their order; those that find no room leave, the oldest first.
    pub(super) fn put_back(&self, returned: &[SessionId]) {
        let mut ids = self.lock();
        let room = self.length_max.saturating_sub(ids.len());
        let kept = returned.len().min(room);
        returned.iter().rev().take(kept).for_each(|id| ids.push_front(*id));
        drop(ids);
        self.dropped.fetch_add((returned.len() - kept) as u64, Ordering::Relaxed);
        self.wake();
    }

    /// The oldest ids, at most `most`.
    pub(super) fn pop(&self, most: usize) -> Vec<SessionId> {
        let mut ids = self.lock();
        let count = ids.len().min(most);
        ids.drain(..count).collect()
    }

    pub(super) fn len(&self) -> usize {
        self.lock().len()
    }

    pub(super) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    pub(super) fn wake(&self) {
        self.changed.notify_one();
    }

    /// Until there may be something new; at once if there was since the last time.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<SessionId>> {
        self.ids.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(numbers: &[u8]) -> Vec<SessionId> {
        numbers.iter().map(|number| SessionId([*number; 32])).collect()
    }

    fn queue(length_max: usize, numbers: &[u8]) -> Queue {
        let queue = Queue::new(length_max);
        ids(numbers).into_iter().for_each(|id| queue.push(id));
        queue
    }

    #[test]
    fn a_full_queue_drops_its_oldest() {
        let queue = queue(3, &[1, 2, 3, 4, 5]);
        assert_eq!((queue.len(), queue.dropped()), (3, 2));
        assert_eq!(queue.pop(2), ids(&[3, 4]));
        assert_eq!(queue.pop(2), ids(&[5]));
        assert_eq!(queue.pop(2), []);
    }

    #[test]
    fn a_queue_without_room_holds_nothing() {
        let queue = queue(0, &[1, 2]);
        assert_eq!((queue.len(), queue.dropped()), (0, 2));
    }

    #[test]
    fn what_is_put_back_comes_first_and_leaves_first() {
        let queue = queue(4, &[5, 6]);
        queue.put_back(&ids(&[1, 2, 3]));
        assert_eq!(queue.dropped(), 1);
        assert_eq!(queue.pop(9), ids(&[2, 3, 5, 6]));
    }

    #[tokio::test]
    async fn a_push_between_looking_and_waiting_is_not_missed() {
        let queue = queue(4, &[]);
        assert_eq!(queue.len(), 0);
        queue.push(SessionId([1; 32]));
        queue.changed().await;
        assert_eq!(queue.len(), 1);
    }
}

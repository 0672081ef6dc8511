//! Places for connections: a semaphore whose size can change while places are taken.
//!
//! Owns the arithmetic of growing and shrinking: what is taken stays taken, and where there are too
//! many, places that come back vanish until there are no more than there may be. Refuses to know
//! what a place is for.

use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Notify, Semaphore};

/// So many places and no more.
#[derive(Debug)]
pub struct Slots {
    free: Semaphore,
    size: Mutex<usize>,
    /// Places that are taken and will not be free when they come back.
    surplus: AtomicUsize,
    /// Told of each place that comes back.
    given_back: Notify,
}

impl Slots {
    /// `size` places.
    pub fn new(size: usize) -> Arc<Self> {
        let size = size.min(Semaphore::MAX_PERMITS);
        let (free, surplus) = (Semaphore::new(size), AtomicUsize::new(0));
        Arc::new(Self { free, size: Mutex::new(size), surplus, given_back: Notify::new() })
    }

    /// Has as many places from now on; whoever has one keeps it.
    pub fn resize(&self, size: usize) {
        let size = size.min(Semaphore::MAX_PERMITS);
        let mut old = self.size.lock().unwrap_or_else(PoisonError::into_inner);
        if size < *old {
            let fewer = *old - size;
            let taken = fewer - self.free.forget_permits(fewer);
            self.surplus.fetch_add(taken, Ordering::Relaxed);
        } else {
            let more = size - *old;
            let spared =
                self.surplus.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |surplus| {
                    Some(surplus.saturating_sub(more))
                });
            let spared = spared.map_or(0, |surplus| surplus.min(more));
            self.free.add_permits(more - spared);
        }
        *old = size;
    }

    /// A place, if one is free.
    pub fn try_take(self: &Arc<Self>) -> Option<Slot> {
        self.free.try_acquire().ok()?.forget();
        Some(Slot(Arc::clone(self)))
    }

    /// A place, when one is free.
    pub async fn take(self: &Arc<Self>) -> Slot {
        self.free.acquire().await.expect("the semaphore is never closed").forget();
        Slot(Arc::clone(self))
    }

    /// How many places are taken.
    pub fn taken(&self) -> usize {
        let size = *self.size.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = size.saturating_sub(self.free.available_permits());
        taken.saturating_add(self.surplus.load(Ordering::Relaxed))
    }

    /// Waits until nobody has a place. Whoever asks for one meanwhile may have it.
    pub async fn vacant(&self) {
        loop {
            let mut given_back = pin!(self.given_back.notified());
            // Before the look, so that nothing is missed between the two.
            given_back.as_mut().enable();
            if self.taken() == 0 {
                return;
            }
            given_back.await;
        }
    }
}

/// A place, for as long as this lives.
#[derive(Debug)]
pub struct Slot(Arc<Slots>);

impl Drop for Slot {
    fn drop(&mut self) {
        let Slots { free, surplus, given_back, .. } = &*self.0;
        let less = |surplus: usize| surplus.checked_sub(1);
        if surplus.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_err() {
            free.add_permits(1);
        }
        given_back.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(slots: &Arc<Slots>, count: usize) -> Vec<Slot> {
        (0..count).map_while(|_| slots.try_take()).collect()
    }

    #[tokio::test]
    async fn all_places_are_free_when_the_last_is_given_back() {
        use futures_util::FutureExt as _;

        let slots = Slots::new(4);
        let taken = take(&slots, 2);
        slots.resize(3);
        let mut vacant = pin!(slots.vacant());
        assert!(vacant.as_mut().now_or_never().is_none());
        let another = slots.try_take();
        assert!(another.is_some(), "who waits for the end keeps nobody from a place");
        slots.resize(1);
        drop(taken);
        assert!(vacant.as_mut().now_or_never().is_none());
        drop(another);
        assert!(vacant.now_or_never().is_some());
        assert!(slots.vacant().now_or_never().is_some());
        assert!(slots.try_take().is_some(), "and stay free");
    }

    #[test]
    fn whoever_has_a_place_keeps_it_while_there_are_fewer() {
        let slots = Slots::new(4);
        let mut taken = take(&slots, 3);
        assert_eq!(slots.taken(), 3);
        slots.resize(2);
        assert_eq!(slots.taken(), 3);
        assert!(slots.try_take().is_none());
        taken.pop();
        assert!(slots.try_take().is_none(), "two are taken, and there are two");
        taken.pop();
        assert_eq!(slots.taken(), 1);
        assert_eq!(take(&slots, 9).len(), 1);
        drop(taken);
        assert_eq!(slots.taken(), 0);
        assert_eq!(take(&slots, 9).len(), 2);
    }

    #[test]
    fn places_come_back_when_there_are_more_again() {
        let slots = Slots::new(3);
        let taken = take(&slots, 3);
        slots.resize(1);
        slots.resize(5);
        assert_eq!(take(&slots, 9).len(), 2);
        drop(taken);
        assert_eq!(take(&slots, 9).len(), 5);
    }

    #[tokio::test]
    async fn who_waits_gets_a_place_that_is_new() {
        let slots = Slots::new(1);
        let _taken = slots.take().await;
        let (_, _slot) = tokio::join!(async { slots.resize(2) }, slots.take());
    }
}

//! The exchanges of a connection, side by side in one task.
//!
//! Owns [`Slots`], which keeps the place of an exchange that is over for the next one: exchanges
//! are large and short-lived, and to have each of them allocated costs more than to move it. Only
//! those that were called are polled. Refuses to know what an exchange does. Read next: `bell`,
//! which says that somebody was called at all.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use super::bell::Bell;

/// Futures that are polled when they are called.
pub(super) struct Slots<S> {
    slots: Vec<Slot<S>>,
    free: Vec<usize>,
    calls: Arc<Calls>,
    /// The places that were called when they were last looked at, the next one last.
    called: Vec<usize>,
}

struct Slot<S> {
    /// Nothing if the place is free.
    future: Pin<Box<Option<S>>>,
    call: Arc<Call>,
    waker: Waker,
}

/// Who was called, for whoever polls.
#[derive(Debug)]
struct Calls {
    places: Mutex<Vec<usize>>,
    bell: Arc<Bell>,
}

/// Calls one place.
#[derive(Debug)]
struct Call {
    place: usize,
    is_called: AtomicBool,
    calls: Arc<Calls>,
}

impl Wake for Call {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.is_called.swap(true, Ordering::SeqCst) {
            let places = &self.calls.places;
            places.lock().unwrap_or_else(PoisonError::into_inner).push(self.place);
            self.calls.bell.ring();
        }
    }
}

impl<S: Future> Slots<S> {
    /// No futures; `bell` rings when one is called.
    pub(super) fn new(bell: &Arc<Bell>) -> Self {
        let calls = Calls { places: Mutex::default(), bell: Arc::clone(bell) };
        Self { slots: Vec::new(), free: Vec::new(), calls: Arc::new(calls), called: Vec::new() }
    }

    /// Futures that are not over.
    pub(super) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Takes `future` in, and calls it.
    pub(super) fn push(&mut self, future: S) {
        let free = self.free.pop();
        if let Some(slot) = free.and_then(|place| self.slots.get_mut(place)) {
            slot.future.set(Some(future));
            slot.waker.wake_by_ref();
            return;
        }
        let (place, calls) = (self.slots.len(), Arc::clone(&self.calls));
        let call = Arc::new(Call { place, is_called: AtomicBool::new(false), calls });
        let waker = Waker::from(Arc::clone(&call));
        waker.wake_by_ref();
        self.slots.push(Slot { future: Box::pin(Some(future)), call, waker });
    }

    /// Polls those that were called until one is over. Whoever is called meanwhile waits for the
    /// next round, for which the bell has rung.
    pub(super) fn poll(&mut self) -> Option<S::Output> {
        while let Some(place) = self.called.pop() {
            let Some(slot) = self.slots.get_mut(place) else { continue };
            slot.call.is_called.store(false, Ordering::SeqCst);
            let Some(future) = slot.future.as_mut().as_pin_mut() else { continue };
            if let Poll::Ready(output) = future.poll(&mut Context::from_waker(&slot.waker)) {
                slot.future.set(None);
                self.free.push(place);
                return Some(output);
            }
        }
        None
    }

    /// Begins a round: whoever was called so far has its turn, in the order of the calls.
    pub(super) fn look(&mut self) {
        let mut places = self.calls.places.lock().unwrap_or_else(PoisonError::into_inner);
        // What is left of the last round, if anything, comes first.
        places.append(&mut self.called);
        std::mem::swap(&mut *places, &mut self.called);
        drop(places);
        self.called.reverse();
    }

    /// Drops all futures.
    pub(super) fn clear(&mut self) {
        *self = Self::new(&self.calls.bell);
    }

    /// Gives back the space of futures that are over, unless there are others.
    pub(super) fn shrink(&mut self) {
        if self.len() == 0 {
            self.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::super::bell::Hall;
    use super::*;

    #[test]
    fn only_those_that_are_called_are_polled_and_places_are_used_again() {
        let bell = Bell::new(&Arc::new(Hall::default()));
        let mut slots = Slots::new(&bell);
        let (polls, wakers) = (Mutex::new([0; 3]), Mutex::new(Vec::new()));
        let future = |number: usize, ends_at: i32| {
            let (polls, wakers) = (&polls, &wakers);
            poll_fn(move |cx| {
                polls.lock().unwrap()[number] += 1;
                wakers.lock().unwrap().push((number, cx.waker().clone()));
                let is_over = polls.lock().unwrap()[number] == ends_at;
                if is_over { Poll::Ready(number) } else { Poll::Pending }
            })
        };
        let round = |slots: &mut Slots<_>| {
            slots.look();
            std::iter::from_fn(|| slots.poll()).collect::<Vec<_>>()
        };
        slots.push(future(0, 2));
        slots.push(future(1, 9));
        assert!(round(&mut slots).is_empty());
        assert!(round(&mut slots).is_empty());
        assert_eq!(*polls.lock().unwrap(), [1, 1, 0]);
        let waker = wakers.lock().unwrap()[0].1.clone();
        bell.answer();
        waker.wake_by_ref();
        waker.wake_by_ref();
        assert!(bell.answer());
        assert_eq!(round(&mut slots), [0]);
        assert_eq!(slots.len(), 1);
        slots.push(future(2, 1));
        assert_eq!((round(&mut slots), slots.slots.len()), (vec![2], 2));
        // A call from beyond the end is for whoever has the place, who does not mind.
        waker.wake();
        assert!(round(&mut slots).is_empty());
        slots.clear();
        assert_eq!(slots.len(), 0);
    }
}

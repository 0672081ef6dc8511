//! Who of a connection's own wants to be polled.
//!
//! Owns [`Bell`], a waker for one part of a task. While the task is being polled, a bell only
//! leaves word that it rang, so that one part can call the other without the runtime being asked
//! to come round once more. Refuses to know what the parts are. Read next: `mod`, which has two of
//! them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Wake, Waker};

use futures_util::task::AtomicWaker;

/// The task that the bells of a connection are in.
#[derive(Debug, Default)]
pub(super) struct Hall {
    is_awake: AtomicBool,
    task: AtomicWaker,
}

impl Hall {
    /// To be called when the task is polled.
    pub(super) fn enter(&self, task: &Waker) {
        self.task.register(task);
        self.is_awake.store(true, Ordering::SeqCst);
    }

    /// To be called when there is nothing left to do; what rings from now on wakes the task. A bell
    /// that rang before must be looked at once more after this.
    pub(super) fn leave(&self) {
        self.is_awake.store(false, Ordering::SeqCst);
    }
}

/// Calls one part of a task.
#[derive(Debug)]
pub(super) struct Bell {
    has_rung: AtomicBool,
    hall: Arc<Hall>,
}

impl Bell {
    /// A bell that has rung, since every part wants to be polled once.
    pub(super) fn new(hall: &Arc<Hall>) -> Arc<Self> {
        Arc::new(Self { has_rung: AtomicBool::new(true), hall: Arc::clone(hall) })
    }

    pub(super) fn has_rung(&self) -> bool {
        self.has_rung.load(Ordering::SeqCst)
    }

    /// Whether it rang since this was last asked.
    pub(super) fn answer(&self) -> bool {
        self.has_rung.swap(false, Ordering::SeqCst)
    }

    pub(super) fn ring(&self) {
        let had_rung = self.has_rung.swap(true, Ordering::SeqCst);
        if !had_rung && !self.hall.is_awake.load(Ordering::SeqCst) {
            self.hall.task.wake();
        }
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.ring();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.ring();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Task(AtomicBool);

    impl Wake for Task {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::SeqCst);
        }
    }

    #[test]
    fn a_bell_wakes_the_task_only_while_nobody_is_there_to_hear_it() {
        let (hall, task) = (Arc::new(Hall::default()), Arc::new(Task::default()));
        let bell = Bell::new(&hall);
        hall.enter(&Waker::from(Arc::clone(&task)));
        assert!(bell.answer() && !bell.answer());
        Waker::from(Arc::clone(&bell)).wake_by_ref();
        assert!(bell.answer() && !task.0.load(Ordering::SeqCst));
        hall.leave();
        Waker::from(Arc::clone(&bell)).wake();
        assert!(bell.has_rung() && task.0.load(Ordering::SeqCst));
    }
}

//! How a connection hears that the end comes, while it waits for something else.
//!
//! Owns [`Ear`]. A connection is polled for every byte and asks with every request, so that costs a
//! look at an atomic as long as there is nothing to hear. Refuses to know who gives notice.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::Context;

use pin_project_lite::pin_project;

use super::Notice;

/// The latest notice, which is looked at with every request and must not make workers wait for one
/// another.
#[derive(Debug)]
pub(super) struct Told(AtomicU8);

impl Told {
    pub(super) fn new(notice: Notice) -> Self {
        Self(AtomicU8::new(notice as u8))
    }

    pub(super) fn tell(&self, notice: Notice) {
        self.0.fetch_max(notice as u8, Ordering::Release);
    }

    fn has(&self, notice: Notice) -> bool {
        self.0.load(Ordering::Acquire) >= notice as u8
    }
}

pin_project! {
    /// Hears notices for one task, at next to no cost as long as there are none.
    #[derive(Debug)]
    pub struct Ear<F> {
        told: Arc<Told>,
        // Whether the first notice wakes the task.
        listens: bool,
        #[pin]
        woken: F,
    }
}

impl<F: Future<Output = ()>> Ear<F> {
    /// An ear for what is `told`; `woken` is never ready, and wakes whenever that is something new.
    pub(super) fn new(told: &Arc<Told>, woken: F) -> Self {
        Self { told: Arc::clone(told), listens: false, woken }
    }

    /// Whether `notice`, or a later one, was given; if not, the task is woken by the next.
    pub fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>, notice: Notice) -> bool {
        let this = self.project();
        if this.told.has(notice) {
            return true;
        }
        // Until the first notice one poll is enough; from then on it is not known which of them was
        // the last to wake the task.
        if !*this.listens || this.told.has(Notice::Leaving) {
            *this.listens = true;
            // Ready means that nobody is there any more, which is told as well.
            let _ = this.woken.poll(cx);
        }
        this.told.has(notice)
    }

    /// Whether `notice`, or a later one, was given.
    pub fn has_heard(&self, notice: Notice) -> bool {
        self.told.has(notice)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::task::Poll;

    use tokio::sync::mpsc;

    use super::super::Drain;
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_ear_hears_every_notice_and_the_end_of_whoever_gives_them() {
        let (drain, watch) = Drain::new();
        let mut ear = Box::pin(watch.ear());
        let (heard, mut hears) = mpsc::channel(8);
        watch.spawn(async move {
            for notice in [Notice::Leaving, Notice::Finish, Notice::Cut] {
                let wait = poll_fn(|cx| match ear.as_mut().poll(cx, notice) {
                    true => Poll::Ready(()),
                    false => Poll::Pending,
                });
                wait.await;
                heard.send(notice).await.unwrap();
            }
        });
        assert!(!watch.ear().has_heard(Notice::Leaving));
        drain.leave();
        assert_eq!(hears.recv().await, Some(Notice::Leaving));
        hears.try_recv().unwrap_err();
        assert!(watch.ear().has_heard(Notice::Leaving));
        // Nobody is there any more.
        drop(drain);
        assert_eq!(hears.recv().await, Some(Notice::Finish));
        assert_eq!(hears.recv().await, Some(Notice::Cut));
    }
}

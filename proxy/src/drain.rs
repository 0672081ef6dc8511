//! The end of everything: who is still running, and how they are told to finish.
//!
//! Owns the only `tokio::spawn` of the crate. A [`Drain`] is held by the runtime, which ends it
//! once; a [`DrainWatch`] is held by whatever runs, spawns with it and finishes its unit of work
//! when it hears the signal. What has not finished when the grace is over is dropped with the
//! runtime. Refuses to know what the tasks do. Read next: `runtime`.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use pin_project_lite::pin_project;
use prometheus::IntGauge;
use tokio::sync::{mpsc, watch};

/// The holder's half: signals and waits. Not `Clone`, and consumed by its use.
#[derive(Debug)]
pub struct Drain {
    finish: watch::Sender<bool>,
    alive: mpsc::Receiver<()>,
    tasks: IntGauge,
}

impl Drain {
    /// A drain and the watch that is cloned for everything that it waits for.
    pub fn new() -> (Self, DrainWatch) {
        let tasks = IntGauge::new("tasks", "Tasks.").expect("the name is one");
        Self::counting(tasks)
    }

    /// The same; `tasks` is how many there are.
    pub fn counting(tasks: IntGauge) -> (Self, DrainWatch) {
        let (finish, heard) = watch::channel(false);
        let (guard, alive) = mpsc::channel(1);
        let watch = DrainWatch { heard, guard, tasks: tasks.clone() };
        (Self { finish, alive, tasks }, watch)
    }

    /// Tells every watch to finish, waits up to `grace` for the last one to be dropped, and
    /// returns how many tasks are still running. The caller cuts them.
    pub async fn drain(mut self, grace: Duration) -> usize {
        self.finish.send_replace(true);
        // Nothing is ever sent: the channel ends when the last watch is dropped.
        let _ = tokio::time::timeout(grace, self.alive.recv()).await;
        usize::try_from(self.tasks.get()).unwrap_or(0)
    }
}

/// The watcher's half, held for the life of a task.
#[derive(Clone, Debug)]
pub struct DrainWatch {
    heard: watch::Receiver<bool>,
    guard: mpsc::Sender<()>,
    tasks: IntGauge,
}

/// A watch that nothing waits for, for what outlives tasks and starts them now and then.
#[derive(Clone, Debug)]
pub struct WeakWatch {
    heard: watch::Receiver<bool>,
    guard: mpsc::WeakSender<()>,
    tasks: IntGauge,
}

impl WeakWatch {
    /// A watch, unless everything that the drain waits for has ended.
    pub fn upgrade(&self) -> Option<DrainWatch> {
        let Self { heard, guard, tasks } = self;
        let guard = guard.upgrade()?;
        Some(DrainWatch { heard: heard.clone(), guard, tasks: tasks.clone() })
    }
}

pin_project! {
    /// A task among those that the drain waits for. An `async` block in its place would hold its
    /// future twice.
    struct Task<F> {
        #[pin]
        future: F,
        tasks: IntGauge,
        _guard: mpsc::Sender<()>,
    }

    impl<F> PinnedDrop for Task<F> {
        fn drop(this: Pin<&mut Self>) {
            this.tasks.dec();
        }
    }
}

impl<F: Future<Output = ()>> Future for Task<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.project().future.poll(cx)
    }
}

impl DrainWatch {
    /// Runs `future` as a task that the drain waits for. The future is given no watch of its own:
    /// what must hear the signal clones one before.
    #[expect(clippy::disallowed_methods, reason = "this is the one place that spawns")]
    pub fn spawn<F>(&self, future: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.tasks.inc();
        let tasks = self.tasks.clone();
        tokio::spawn(Task { future, tasks, _guard: self.guard.clone() });
    }

    /// The same, without making the drain wait.
    pub fn downgrade(&self) -> WeakWatch {
        let Self { heard, guard, tasks } = self;
        WeakWatch { heard: heard.clone(), guard: guard.downgrade(), tasks: tasks.clone() }
    }

    /// Waits for the signal to finish; returns at once if it was already given.
    pub async fn finish(&mut self) {
        // An error means that the drain is gone, which is a reason to finish as well.
        let _ = self.heard.wait_for(|finish| *finish).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_drain_ends_when_the_last_task_does() {
        let (drain, watch) = Drain::new();
        let mut heard = watch.clone();
        watch.spawn(async move { heard.finish().await });
        drop(watch);
        assert_eq!(drain.drain(Duration::from_secs(3600)).await, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn what_does_not_finish_is_counted() {
        let (drain, watch) = Drain::new();
        watch.spawn(std::future::pending());
        watch.spawn(std::future::pending());
        drop(watch);
        assert_eq!(drain.drain(Duration::from_secs(20)).await, 2);
    }
}

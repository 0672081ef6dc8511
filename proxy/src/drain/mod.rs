//! The end of everything: who is still running, and how they are told to finish.
//!
//! Owns the only `tokio::spawn` of the crate. A [`Drain`] is held by whoever decides about an end,
//! who gives its notices one after the other; a [`DrainWatch`] is held by whatever runs, spawns
//! with it and does what the notice asks for. A drain may have children, for what ends sooner than
//! the process: they hear what it is told, and it waits for their tasks. What has not finished when
//! the grace is over is told to break off. Refuses to know what the tasks do. Read next: `ear`, for
//! tasks that wait for something else as well; `runtime`.

mod ear;

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use pin_project_lite::pin_project;
use prometheus::IntGauge;
use tokio::sync::{mpsc, watch};

pub use ear::Ear;
use ear::Told;

/// What everything that runs is told of its end; a later notice contains the earlier ones.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Notice {
    /// Go on.
    None,
    /// Say that this is the last: clients should come anew. What waits for a client may wait.
    Leaving,
    /// End after what is going on now; what waits for a client ends at once.
    Finish,
    /// The time is over: end now, in whatever state.
    Cut,
}

/// The holder's half: tells and waits. Not `Clone`, and consumed by the end.
#[derive(Debug)]
pub struct Drain {
    line: Arc<Line>,
    alive: mpsc::Receiver<()>,
    tasks: IntGauge,
}

/// What a drain tells, and whom.
#[derive(Debug)]
struct Line {
    notice: watch::Sender<Notice>,
    /// The same, for those who only look.
    told: Arc<Told>,
    children: Mutex<Vec<Weak<Self>>>,
}

impl Drop for Line {
    /// Nobody is there any more to give notices: it is as if all were given.
    fn drop(&mut self) {
        self.told.tell(Notice::Cut);
    }
}

/// What tasks hold, so that those who wait know of them.
#[derive(Debug)]
struct Guard {
    _alive: mpsc::Sender<()>,
    tasks: IntGauge,
    parent: Option<Arc<Self>>,
}

impl Line {
    fn new(notice: Notice) -> Arc<Self> {
        let told = Arc::new(Told::new(notice));
        let (notice, _) = watch::channel(notice);
        Arc::new(Self { notice, told, children: Mutex::default() })
    }

    /// Gives a notice to everybody, unless a later one was given already.
    fn tell(&self, notice: Notice) {
        let mut children = self.children.lock().unwrap_or_else(PoisonError::into_inner);
        // First, so that who is woken by the other sees it.
        self.told.tell(notice);
        self.notice.send_if_modified(|told| {
            let is_later = notice > *told;
            *told = notice.max(*told);
            is_later
        });
        children.retain(|child| child.upgrade().inspect(|child| child.tell(notice)).is_some());
    }

    /// A line that hears what this one is told, from its latest notice on.
    fn child(&self) -> Arc<Self> {
        let mut children = self.children.lock().unwrap_or_else(PoisonError::into_inner);
        children.retain(|child| child.strong_count() > 0);
        let child = Self::new(*self.notice.borrow());
        children.push(Arc::downgrade(&child));
        child
    }
}

impl Guard {
    fn enter(&self) {
        self.tasks.inc();
        self.parent.iter().for_each(|parent| parent.enter());
    }

    fn leave(&self) {
        self.tasks.dec();
        self.parent.iter().for_each(|parent| parent.leave());
    }
}

impl Drain {
    /// A drain and the watch that is cloned for everything that it waits for.
    pub fn new() -> (Self, DrainWatch) {
        Self::counting(count())
    }

    /// The same; `tasks` is how many there are.
    pub fn counting(tasks: IntGauge) -> (Self, DrainWatch) {
        Self::with(Line::new(Notice::None), tasks, None)
    }

    fn with(line: Arc<Line>, tasks: IntGauge, parent: Option<Arc<Guard>>) -> (Self, DrainWatch) {
        let (guard, alive) = mpsc::channel(1);
        let guard = Arc::new(Guard { _alive: guard, tasks: tasks.clone(), parent });
        let heard = line.notice.subscribe();
        let told = Arc::clone(&line.told);
        let watch = DrainWatch { heard, told, line: Arc::downgrade(&line), guard };
        (Self { line, alive, tasks }, watch)
    }

    /// Tells everybody that clients should come anew.
    pub fn leave(&self) {
        self.line.tell(Notice::Leaving);
    }

    /// Whether nobody is left, and nobody can come any more.
    pub fn is_over(&self) -> bool {
        self.alive.is_closed()
    }

    /// Waits until nobody is left.
    pub async fn over(&mut self) {
        // Nothing is ever sent: the channel ends when the last guard is dropped.
        let _ = self.alive.recv().await;
    }

    /// Tells everybody to finish, and waits up to `grace` for the last one to be gone.
    pub async fn finish(&mut self, grace: Duration) {
        self.line.tell(Notice::Finish);
        let _ = tokio::time::timeout(grace, self.over()).await;
    }

    /// Tells those who are left to break off, and gives them the moment that this takes. Returns
    /// how many they were.
    pub async fn cut(mut self) -> usize {
        let left = usize::try_from(self.tasks.get()).unwrap_or(0);
        self.line.tell(Notice::Cut);
        let _ = tokio::time::timeout(CUT_GRACE, self.over()).await;
        left
    }

    /// All of it: tells everybody to finish, waits up to `grace`, and tells those who are left to
    /// break off. Returns how many these were.
    pub async fn drain(mut self, grace: Duration) -> usize {
        self.finish(grace).await;
        self.cut().await
    }
}

/// A gauge that nobody sees.
fn count() -> IntGauge {
    IntGauge::new("tasks", "Tasks.").expect("the name is one")
}

/// The watcher's half, held for the life of a task.
#[derive(Clone, Debug)]
pub struct DrainWatch {
    heard: watch::Receiver<Notice>,
    told: Arc<Told>,
    line: Weak<Line>,
    guard: Arc<Guard>,
}

/// A watch that nothing waits for, for what outlives tasks and starts them now and then.
#[derive(Clone, Debug)]
pub struct WeakWatch {
    heard: watch::Receiver<Notice>,
    told: Arc<Told>,
    line: Weak<Line>,
    guard: Weak<Guard>,
}

impl WeakWatch {
    /// A watch, unless everything that the drain waits for has ended.
    pub fn upgrade(&self) -> Option<DrainWatch> {
        let Self { heard, told, line, guard } = self;
        let (told, guard) = (Arc::clone(told), guard.upgrade()?);
        Some(DrainWatch { heard: heard.clone(), told, line: Weak::clone(line), guard })
    }
}

pin_project! {
    /// A task among those that the drain waits for. An `async` block in its place would hold its
    /// future twice.
    struct Task<F> {
        #[pin]
        future: F,
        guard: Arc<Guard>,
    }

    impl<F> PinnedDrop for Task<F> {
        fn drop(this: Pin<&mut Self>) {
            this.guard.leave();
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
    /// what must hear the notices clones one before.
    #[expect(clippy::disallowed_methods, reason = "this is the one place that spawns")]
    pub fn spawn<F>(&self, future: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.guard.enter();
        tokio::spawn(Task { future, guard: Arc::clone(&self.guard) });
    }

    /// A drain for some of what this one waits for, which can end sooner.
    pub fn child(&self) -> (Drain, Self) {
        // Whoever held the drain is gone, so its tasks finish.
        let line = self.line.upgrade().map_or_else(|| Line::new(Notice::Finish), |it| it.child());
        Drain::with(line, count(), Some(Arc::clone(&self.guard)))
    }

    /// The same, without making the drain wait.
    pub fn downgrade(&self) -> WeakWatch {
        let Self { heard, told, line, guard } = self;
        let (told, guard) = (Arc::clone(told), Arc::downgrade(guard));
        WeakWatch { heard: heard.clone(), told, line: Weak::clone(line), guard }
    }

    /// What was told last.
    pub fn notice(&self) -> Notice {
        *self.heard.borrow()
    }

    /// An ear for one task, which has other things to wait for as well.
    pub fn ear(&self) -> Ear<impl Future<Output = ()> + use<>> {
        let mut heard = self.heard.clone();
        // It only ever wakes: what there is to hear is looked up.
        Ear::new(&self.told, async move { while heard.changed().await.is_ok() {} })
    }

    /// Waits until clients should come anew; returns at once if it was already said.
    pub async fn leaving(&mut self) {
        self.reached(Notice::Leaving).await;
    }

    /// Waits for the notice to finish; returns at once if it was already given.
    pub async fn finish(&mut self) {
        self.reached(Notice::Finish).await;
    }

    /// Waits until the time to finish is over.
    pub async fn cut(&mut self) {
        self.reached(Notice::Cut).await;
    }

    /// Waits for `notice`, or a later one.
    async fn reached(&mut self, notice: Notice) {
        // An error means that the drain is gone, which is a reason to finish as well.
        let _ = self.heard.wait_for(|told| *told >= notice).await;
    }
}

/// How long those who are told to break off get for it.
const CUT_GRACE: Duration = Duration::from_secs(1);

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

    #[tokio::test(start_paused = true)]
    async fn what_is_told_to_break_off_is_waited_for() {
        let (drain, watch) = Drain::new();
        let (told, mut hears) = watch::channel(Notice::None);
        let mut heard = watch.clone();
        watch.spawn(async move {
            heard.cut().await;
            told.send_replace(heard.notice());
        });
        drop(watch);
        assert_eq!(drain.drain(Duration::from_secs(20)).await, 1);
        hears.wait_for(|notice| *notice == Notice::Cut).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_child_ends_without_its_parent_and_hears_what_the_parent_hears() {
        let (drain, watch) = Drain::new();
        let (child, of_child) = watch.child();
        let (other, of_other) = watch.child();
        let mut heard = of_child.clone();
        of_child.spawn(async move { heard.finish().await });
        let mut heard = of_other.clone();
        of_other.spawn(async move { heard.finish().await });
        drop(of_child);
        assert_eq!(child.drain(Duration::from_secs(20)).await, 0);
        assert_eq!((watch.notice(), of_other.notice()), (Notice::None, Notice::None));
        drain.leave();
        assert_eq!(of_other.notice(), Notice::Leaving);
        let (_, late) = watch.child();
        assert_eq!(late.notice(), Notice::Leaving);
        drop((watch, of_other, other, late));
        assert_eq!(drain.drain(Duration::from_secs(20)).await, 0);
    }
}

//! The pulse of each worker, and what the system says that its thread is doing.
//!
//! Owns [`Beats`]: a worker notes when it begins and ceases to wait for work, which costs it an
//! addition. What the runtime itself counts is not enough: it is told only some time after a worker
//! has found work again. Refuses to judge.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};
use std::time::Duration;

use tokio::runtime::{Builder, worker_index};
use tokio::time::{Instant, sleep};

use super::judge::Activity;

/// The pulse of each worker, by its index.
#[derive(Clone, Debug)]
pub(in crate::runtime) struct Beats(Arc<[Beat]>);

/// The pulse of a worker. Each has a line of the cache of its own, since workers of one line would
/// wait for one another.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(super) struct Beat {
    /// How often the worker began or ceased to wait: it waits while this is odd.
    turns: AtomicU64,
    /// What the system calls its thread; 0 before it has waited for the first time.
    thread: AtomicI32,
}

impl Beats {
    /// No pulse yet, of so many workers.
    pub(in crate::runtime) fn new(workers: usize) -> Self {
        Self((0..workers).map(|_| Beat::default()).collect())
    }

    /// Has the workers of what is built note their pulse.
    pub(in crate::runtime) fn attach(&self, builder: &mut Builder) {
        let (parked, unparked) = (self.clone(), self.clone());
        builder.on_thread_park(move || parked.note()).on_thread_unpark(move || unparked.note());
    }

    /// Waits until each worker has a pulse, so that none is stuck unseen from its first work on.
    /// They have one as soon as they have nothing to do, which is so before anything is served.
    pub(in crate::runtime) async fn begin(&self) {
        let end = Instant::now() + BEGIN_MAX;
        while self.iter().any(|beat| beat.thread().is_none()) && Instant::now() < end {
            sleep(BEGIN_STEP).await;
        }
    }

    fn note(&self) {
        let Some(beat) = worker_index().and_then(|index| self.0.get(index)) else { return };
        if beat.thread.load(Ordering::Relaxed) == 0 {
            beat.thread.store(thread_id(), Ordering::Relaxed);
        }
        beat.turns.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Beat> {
        self.0.iter()
    }
}

impl Beat {
    pub(super) fn turns(&self) -> u64 {
        self.turns.load(Ordering::Relaxed)
    }

    /// The thread, once it has waited for work.
    pub(super) fn thread(&self) -> Option<i32> {
        Some(self.thread.load(Ordering::Relaxed)).filter(|thread| *thread != 0)
    }
}

#[cfg(target_os = "linux")]
fn thread_id() -> i32 {
    rustix::thread::gettid().as_raw_nonzero().get()
}

/// Elsewhere nothing is known of a thread, but that there is one.
#[cfg(not(target_os = "linux"))]
fn thread_id() -> i32 {
    1
}

/// What `thread` is doing, as the system says.
pub(super) fn activity(thread: i32) -> Activity {
    let stat = fs::read_to_string(format!("/proc/self/task/{thread}/stat"));
    stat.ok().and_then(|stat| parse(&stat)).unwrap_or(Activity::Unknown)
}

/// Where `thread` is, for people: its state, what it waits for in the kernel, and the number of the
/// system call that it is in.
pub(super) fn place(thread: i32) -> String {
    let read = |file: &str| {
        let text = fs::read_to_string(format!("/proc/self/task/{thread}/{file}"));
        let text = text.unwrap_or_default();
        text.split_whitespace().next().unwrap_or("unknown").to_owned()
    };
    format!("{:?}, wchan {}, syscall {}", activity(thread), read("wchan"), read("syscall"))
}

/// What a line of proc_pid_stat(5) says.
fn parse(stat: &str) -> Option<Activity> {
    // The name before it may have spaces and brackets.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?;
    match state {
        "R" => {
            let mut ticks = fields.skip(FIELDS_BEFORE_TIMES).map(str::parse::<u64>);
            let ticks = ticks.next()?.ok()?.checked_add(ticks.next()?.ok()?)?;
            let per_second = rustix::param::clock_ticks_per_second().max(1);
            Some(Activity::Running(Duration::from_millis(ticks.checked_mul(1000)? / per_second)))
        }
        "T" | "t" => Some(Activity::Stopped),
        "D" => Some(Activity::Disk),
        "S" | "I" => Some(Activity::Blocked),
        _ => None,
    }
}

/// How long the start waits for a worker that the machine has no time for.
const BEGIN_MAX: Duration = Duration::from_millis(100);
const BEGIN_STEP: Duration = Duration::from_millis(1);
/// Fields of the line between the state and the time that the thread ran.
const FIELDS_BEFORE_TIMES: usize = 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_of_a_thread_is_read_whatever_its_name_is() {
        let line = |state: &str| {
            format!("7 (a) R (b) {state} 1 2 3 0 -1 4194304 89 0 1 0 150 50 0 0 20 0 1 0 5731781")
        };
        let ticks = rustix::param::clock_ticks_per_second();
        let ran = Duration::from_millis(200_000 / ticks);
        assert_eq!(parse(&line("R")), Some(Activity::Running(ran)));
        assert_eq!(parse(&line("S")), Some(Activity::Blocked));
        assert_eq!(parse(&line("D")), Some(Activity::Disk));
        assert_eq!(parse(&line("t")), Some(Activity::Stopped));
        assert_eq!(parse(&line("Z")), None);
        assert_eq!(parse("7 (a) R 1 2"), None);
        assert_eq!(parse(""), None);
    }

    #[test]
    fn a_thread_that_asks_of_itself_runs() {
        assert!(matches!(activity(thread_id()), Activity::Running(_)));
        assert_eq!(activity(-1), Activity::Unknown);
    }

    #[tokio::test]
    async fn only_workers_of_the_runtime_have_a_pulse() {
        let beats = Beats::new(2);
        let mut builder = Builder::new_multi_thread();
        beats.attach(builder.worker_threads(2).enable_time());
        let runtime = builder.build().unwrap();
        tokio::task::spawn_blocking({
            let beats = beats.clone();
            move || {
                let blocking = runtime.spawn_blocking(thread_id);
                let blocking = runtime.block_on(blocking).unwrap();
                let threads = || beats.iter().filter_map(Beat::thread).collect::<Vec<i32>>();
                while threads().len() < 2 {
                    runtime.block_on(beats.begin());
                }
                let threads = threads();
                assert_ne!(threads[0], threads[1]);
                assert!(!threads.contains(&blocking));
            }
        })
        .await
        .unwrap();
    }
}

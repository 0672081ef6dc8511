//! The watchdog: whether the workers still work.
//!
//! Owns a thread that looks at each worker now and then. A worker that holds on to one piece of
//! work holds up every connection that it has: it is counted and told of, and if it never lets go
//! the process ends, so that its supervisor starts another. Until then another worker is woken to
//! take over its share of waiting: the one that hears of the network for all of them may be the one
//! that is stuck, and of itself none wakes for that. The supervisor hears that all is well only
//! while it is. Refuses to know what workers do. Read next: `judge`, which decides, and `beat`,
//! which sees.

mod beat;
mod judge;

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use prometheus::IntGauge;
use tokio::runtime::Handle;
use tokio::time::Instant;
use tracing::{error, info, warn};

use super::supervisor::{Notice, Supervisor};
use crate::count::IntCounter;
use crate::log;
pub(super) use beat::Beats;
use judge::{Bounds, Case, Progress, Verdict};

/// The running watchdog; it ends when this is dropped.
#[derive(Debug)]
pub(super) struct Watchdog {
    _stop: mpsc::SyncSender<Infallible>,
}

/// Whom the watchdog watches, and who hears of it.
#[derive(Debug)]
pub(super) struct Watch {
    /// The pulse of the workers.
    pub(super) beats: Beats,
    /// The runtime that they work for.
    pub(super) runtime: Handle,
    /// How long a worker may hold on to one piece of work, if there is a limit.
    pub(super) limit: Option<Duration>,
    /// Who wants to hear that all is well.
    pub(super) supervisor: Arc<Supervisor>,
    /// Stalls so far.
    pub(super) stalls: IntCounter,
    /// Workers that have stalled now.
    pub(super) stalled: IntGauge,
}

impl Watchdog {
    /// Watches from now on. A lost worker is the end of the process; without a limit none is lost,
    /// and without a supervisor that wants to hear of it none is told of either.
    pub(super) fn start(watch: Watch) -> Option<Self> {
        Self::start_or(watch, end)
    }

    fn start_or(watch: Watch, lost: impl Fn() + Send + 'static) -> Option<Self> {
        let wanted = watch.supervisor.watchdog();
        let limit = watch.limit.or(wanted).unwrap_or(Duration::MAX);
        let bounds = Bounds {
            tell_after: limit / TELL_FRACTION,
            // A supervisor that hears nothing has means of its own.
            end_after: watch.limit.unwrap_or(Duration::MAX),
        };
        let tick = (limit / LOOKS).min(wanted.map_or(TICK_MAX, |wanted| wanted / PINGS));
        let tick = tick.clamp(TICK_MIN, TICK_MAX);
        let (stop, stopped) = mpsc::sync_channel(0);
        let thread = thread::Builder::new().name("watchdog".to_owned());
        let started = thread.spawn(move || {
            let mut guard = Guard::new(watch, bounds, tick);
            while stopped.recv_timeout(tick) == Err(RecvTimeoutError::Timeout) {
                if guard.look() == Hope::Lost {
                    lost();
                }
            }
            guard.watch.stalled.set(0);
        });
        match started {
            Ok(_) => Some(Self { _stop: stop }),
            Err(error) => {
                warn!(%error, "no thread for the watchdog: stalled workers go unnoticed");
                None
            }
        }
    }
}

/// Whether workers can still be expected to move.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Hope {
    Lost,
    Well,
}

/// What the thread keeps from one look to the next.
struct Guard {
    watch: Watch,
    cases: Vec<Case>,
    bounds: Bounds,
    tick: Duration,
    looked: Instant,
    pinged: Option<Instant>,
}

impl Guard {
    fn new(watch: Watch, bounds: Bounds, tick: Duration) -> Self {
        let cases = watch.beats.iter().map(|_| Case::default()).collect();
        Self { watch, cases, bounds, tick, looked: Instant::now(), pinged: None }
    }

    /// Looks at every worker, and says what there is to say.
    fn look(&mut self) -> Hope {
        let now = Instant::now();
        // A longer time is one in which this thread could not look either: the process was stopped,
        // or the machine was.
        let span = now.duration_since(self.looked).min(self.tick);
        self.looked = now;
        let mut hope = Hope::Well;
        let (mut are_stuck, mut are_idle) = (false, false);
        let Self { watch, cases, bounds, .. } = self;
        let runtime = watch.runtime.metrics();
        for (worker, (beat, case)) in watch.beats.iter().zip(&mut *cases).enumerate() {
            let Some(thread) = beat.thread() else { continue };
            let turns = beat.turns();
            let busy = runtime.worker_total_busy_duration(worker);
            let progress = Progress { turns, busy, is_parked: turns % 2 == 1 };
            are_idle |= progress.is_parked;
            are_stuck |= case.is_unmoved(progress);
            let verdict = case.look(progress, span, || beat::activity(thread), *bounds);
            match verdict {
                Verdict::Well => {}
                Verdict::Stalled(_) => watch.stalls.inc(),
                Verdict::Recovered(_) => {}
                Verdict::Lost(_) => hope = Hope::Lost,
            }
            if verdict != Verdict::Well {
                say(worker, thread, verdict);
            }
        }
        if are_stuck && are_idle {
            // Whoever wakes for nothing listens to the network next, if nobody does.
            drop(watch.runtime.spawn(std::future::ready(())));
        }
        let stalled = cases.iter().filter(|case| case.is_stalled()).count();
        watch.stalled.set(i64::try_from(stalled).unwrap_or(i64::MAX));
        if stalled == 0 {
            self.ping(now);
        }
        hope
    }

    /// Tells the supervisor that all is well, twice in the time that it grants.
    fn ping(&mut self, now: Instant) {
        let Some(wanted) = self.watch.supervisor.watchdog() else { return };
        let is_due = |pinged| now.duration_since(pinged) + self.tick >= wanted / 2;
        if self.pinged.is_none_or(is_due) {
            self.pinged = Some(now);
            self.watch.supervisor.tell(&Notice::Alive);
        }
    }
}

/// Logs what became of a worker; the log holds up nobody.
fn say(worker: usize, thread: i32, verdict: Verdict) {
    let place = beat::place(thread);
    match verdict {
        Verdict::Stalled(after) => warn!(worker, thread, ?after, place, "a worker has stalled"),
        Verdict::Recovered(after) => info!(worker, thread, ?after, "the worker works again"),
        Verdict::Lost(after) => {
            error!(worker, thread, ?after, place, "a worker has stalled for good: aborting");
        }
        Verdict::Well => {}
    }
}

/// Ends the process at once: whatever is still to be done may need the worker that is lost.
fn end() {
    use rustix::process::{Resource, Rlimit, setrlimit};
    log::flush(SAY_TIMEOUT);
    // A core would have the private keys in it.
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
    std::process::abort();
}

/// People are told after this part of the limit.
const TELL_FRACTION: u32 = 5;
/// Looks in the time of the limit.
const LOOKS: u32 = 10;
/// Looks in the time in which the supervisor wants to hear something.
const PINGS: u32 = 4;
const TICK_MIN: Duration = Duration::from_millis(10);
const TICK_MAX: Duration = Duration::from_secs(1);
/// What the log gets to take a line.
const SAY_TIMEOUT: Duration = Duration::from_millis(250);

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::runtime::{Builder, Runtime};

    use super::*;

    struct Scene {
        runtime: Runtime,
        watchdog: Option<Watchdog>,
        stalls: IntCounter,
        stalled: IntGauge,
        beats: Beats,
        losses: Arc<AtomicUsize>,
    }

    fn scene(mut builder: Builder, workers: usize, limit: Option<Duration>) -> Scene {
        let beats = Beats::new(workers);
        beats.attach(builder.enable_all());
        let runtime = builder.build().unwrap();
        let stalls = IntCounter::default();
        let stalled = IntGauge::new("stalled", "Stalled.").unwrap();
        let losses = Arc::new(AtomicUsize::new(0));
        let watch = Watch {
            beats: beats.clone(),
            runtime: runtime.handle().clone(),
            limit,
            supervisor: Arc::default(),
            stalls: stalls.clone(),
            stalled: stalled.clone(),
        };
        let counted = Arc::clone(&losses);
        let watchdog = Watchdog::start_or(watch, move || {
            counted.fetch_add(1, Ordering::Relaxed);
        });
        Scene { runtime, watchdog, stalls, stalled, beats, losses }
    }

    /// Two workers, of which one holds on to a lock that is not given.
    #[test]
    fn a_worker_that_blocks_is_counted_then_lost_and_well_once_it_moves() {
        let mut builder = Builder::new_multi_thread();
        builder.worker_threads(2);
        let scene = scene(builder, 2, Some(Duration::from_millis(200)));
        assert!(scene.watchdog.is_some());
        let lock = Arc::new(Mutex::new(()));
        let held = lock.lock().unwrap();
        let wanted = Arc::clone(&lock);
        scene.runtime.block_on(scene.beats.begin());
        let task = scene.runtime.spawn(async move { drop(wanted.lock()) });
        while scene.stalls.get() == 0 || scene.losses.load(Ordering::Relaxed) == 0 {
            thread::yield_now();
        }
        assert_eq!((scene.stalls.get(), scene.stalled.get()), (1, 1));
        drop(held);
        scene.runtime.block_on(task).unwrap();
        while scene.stalled.get() != 0 {
            thread::yield_now();
        }
    }

    /// The worker that listens to the network for both blocks on what it heard.
    #[test]
    fn the_other_worker_hears_of_the_network_even_without_a_limit() {
        let mut builder = Builder::new_multi_thread();
        builder.worker_threads(2);
        let scene = scene(builder, 2, None);
        scene.runtime.block_on(scene.beats.begin());
        let lock = Arc::new(Mutex::new(()));
        let held = lock.lock().unwrap();
        let wanted = Arc::clone(&lock);
        let [trap, echo] = [(); 2].map(|()| std::net::UdpSocket::bind("127.0.0.1:0").unwrap());
        let [trap_address, echo_address] = [&trap, &echo].map(|s| s.local_addr().unwrap());
        let _guard = scene.runtime.enter();
        let [trap, echo] = [trap, echo].map(|socket| {
            socket.set_nonblocking(true).unwrap();
            tokio::net::UdpSocket::from_std(socket).unwrap()
        });
        let trapped = scene.runtime.spawn(async move {
            reflect(&trap).await;
            trap.recv(&mut [0]).await.unwrap();
            drop(wanted.lock());
        });
        let echoed = scene.runtime.spawn(async move {
            reflect(&echo).await;
            reflect(&echo).await;
        });
        let client = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        client.set_read_timeout(Some(TICK_MAX * 10)).unwrap();
        for address in [trap_address, echo_address] {
            client.send_to(b"a", address).unwrap();
            answer(&client).unwrap();
        }
        let are_idle = || scene.beats.iter().all(|beat| beat.turns() % 2 == 1);
        while !are_idle() {
            thread::yield_now();
        }
        client.send_to(b"a", trap_address).unwrap();
        while are_idle() {
            thread::yield_now();
        }
        client.send_to(b"a", echo_address).unwrap();
        answer(&client).expect("an answer while the first one blocks");
        assert_eq!((scene.stalls.get(), scene.losses.load(Ordering::Relaxed)), (0, 0));
        drop(held);
        scene.runtime.block_on(async { (trapped.await.unwrap(), echoed.await.unwrap()) });
    }

    /// Waits for an answer; a process that is stopped and goes on waits again.
    fn answer(client: &std::net::UdpSocket) -> io::Result<usize> {
        loop {
            match client.recv(&mut [0]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }

    async fn reflect(socket: &tokio::net::UdpSocket) {
        let (_, from) = socket.recv_from(&mut [0]).await.unwrap();
        socket.send_to(b"a", from).await.unwrap();
    }

    #[test]
    fn the_only_worker_is_watched_as_well_and_one_that_is_busy_is_well() {
        let limit = Duration::from_millis(500);
        let scene = scene(Builder::new_current_thread(), 1, Some(limit));
        scene.runtime.block_on(async {
            // A pulse, and then work without a pause, but in pieces.
            tokio::time::sleep(Duration::from_millis(1)).await;
            let start = Instant::now();
            while start.elapsed() < limit * 2 {
                tokio::task::yield_now().await;
            }
        });
        assert_eq!(scene.losses.load(Ordering::Relaxed), 0);
        assert_eq!(scene.stalls.get(), 0);
        scene.runtime.block_on(async {
            tokio::time::sleep(Duration::from_millis(1)).await;
            while scene.stalls.get() == 0 {
                std::hint::spin_loop();
            }
        });
    }
}

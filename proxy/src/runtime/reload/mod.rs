//! When certificates are read again.
//!
//! Owns the triggers: an event of the file system, SIGHUP, the moment at which time alone changes
//! what is to be served, and the poll that does not depend on any of them. They are one queue, so
//! readings never overlap; a storm of them is one reading, once the files are quiet. `reader` does
//! it; what it changes is decided by `certs`, and what is said of it is in `tidings`. Refuses to
//! know connections: they see the new index, and the new trust in clients, when they next load it.

mod reader;
mod tidings;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use portunus_certs::store::{CertificateStore, Look, ReloadReport};
use rustls::pki_types::UnixTime;
use tokio::signal::unix::Signal;
use tokio::sync::{Notify, oneshot, watch};
use tokio::time::{Instant, sleep, sleep_until};
use tracing::warn;

use crate::config::Certificates;
use crate::drain::DrainWatch;
use crate::metrics::ProcessMetrics;

use super::generation::Generation;
use super::hints::Watched;
use super::signals::heard;
use reader::{Reader, Trust};

/// Has certificates read again.
#[derive(Debug)]
pub(super) struct Reloader {
    /// Readings never overlap, so nobody waits for it.
    reader: Arc<Mutex<Reader>>,
    generations: Generations,
}

/// What is served now, and whatever will be.
type Generations = watch::Receiver<Arc<Generation>>;

/// What asks for a reading.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Trigger {
    Configured,
    HangUp,
    Hint,
    Time,
}

impl Reloader {
    pub(super) fn new(
        generations: Generations,
        certificates: Arc<CertificateStore>,
        metrics: ProcessMetrics,
    ) -> Self {
        let trust = Trust::of(&generations.borrow());
        let reader = Reader::new(certificates, trust, metrics);
        Self { reader: Arc::new(Mutex::new(reader)), generations }
    }

    /// Reads again at each trigger, among which is somebody who `asks`, until the drain.
    pub(super) async fn run(
        mut self,
        asks: Arc<Notify>,
        mut hang_up: Option<Signal>,
        mut watch: DrainWatch,
    ) {
        let mut config = self.config();
        let mut files = Watched::new(&config.paths);
        let mut trust_files = Watched::new(&locked(&self.reader).trust_paths());
        // What changed between the first reading and the beginning of the watch told nobody.
        let mut due = self.read(Some(Look::Around), true, Trigger::Time).await;
        loop {
            locked(&self.reader).tidings.show_modes([files.mode(), trust_files.mode()]);
            let now = Instant::now();
            let next = due.map_or(config.poll_interval, until).min(config.poll_interval);
            let trigger = tokio::select! {
                () = watch.finish() => return,
                () = heard(hang_up.as_mut()) => Trigger::HangUp,
                () = asks.notified() => Trigger::HangUp,
                Ok(()) = self.generations.changed() => Trigger::Configured,
                () = files.arrived() => Trigger::Hint,
                () = trust_files.arrived() => Trigger::Hint,
                () = sleep_until(now + next) => Trigger::Time,
            };
            match trigger {
                Trigger::Hint => {
                    let settle = config.settle;
                    tokio::join!(files.settle(settle), trust_files.settle(settle));
                }
                Trigger::Configured => {
                    let before = std::mem::replace(&mut config, self.config());
                    if before.paths != config.paths {
                        files = Watched::new(&config.paths);
                    }
                    trust_files = Watched::new(&self.trust_paths());
                }
                Trigger::HangUp | Trigger::Time => {}
            }
            let anew = trigger != Trigger::Hint;
            let (hinted, trust_hinted) = (files.take(anew), trust_files.take(anew));
            let overflows = hinted.overflows + trust_hinted.overflows;
            locked(&self.reader).tidings.count_overflows(overflows);
            let trust_changed = anew || trust_hinted.look().is_some();
            let look = match trigger {
                Trigger::HangUp => Some(Look::Closely),
                Trigger::Hint => hinted.look(),
                Trigger::Configured | Trigger::Time => Some(Look::Around),
            };
            due = self.read(look, trust_changed, trigger).await;
            tokio::select! {
                () = watch.finish() => return,
                () = sleep((config.settle * PAUSE_SETTLES).min(PAUSE_MAX)) => {}
            }
        }
    }

    /// Where certificates come from now.
    fn config(&mut self) -> Certificates {
        self.generations.borrow_and_update().config.certificates.clone()
    }

    /// The files that trust depends on now.
    fn trust_paths(&self) -> Vec<PathBuf> {
        let mut reader = locked(&self.reader);
        reader.trust(Trust::of(&self.generations.borrow()));
        reader.trust_paths()
    }

    /// Has everything read on a thread of its own. Returns when time alone will change something,
    /// in seconds since 1970; a reading that panicked changed nothing, and the panic was reported.
    async fn read(&self, look: Option<Look>, trust: bool, trigger: Trigger) -> Option<i64> {
        let reader = Arc::clone(&self.reader);
        let (tell, told) = oneshot::channel();
        let read = move || {
            step_back();
            // Whoever asked may have gone with the drain.
            let _ = tell.send(locked(&reader).read(look.as_ref(), trust, trigger));
        };
        match thread::Builder::new().name("certificates".to_owned()).spawn(read) {
            Ok(_) => told.await.ok()?,
            Err(error) => {
                warn!(%error, "no thread to read certificates on; it is tried again");
                None
            }
        }
    }

    /// Says what the first reading of certificates came to.
    pub(super) fn say_first(&self, report: &ReloadReport) {
        locked(&self.reader).say_first(report);
    }
}

/// Lets the threads that serve connections go first: a reading is never in a hurry. On Linux each
/// thread has a priority of its own.
fn step_back() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::nice(READING_NICE) {
        tracing::debug!(%error, "certificates are read at the priority of everything else");
    }
}

fn locked(reader: &Mutex<Reader>) -> MutexGuard<'_, Reader> {
    reader.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How long it is until a moment in seconds since 1970. The second that has begun counts in full,
/// so that nobody looks too early.
fn until(moment: i64) -> Duration {
    let now = i64::try_from(UnixTime::now().as_secs()).unwrap_or(i64::MAX);
    Duration::from_secs(u64::try_from(moment.saturating_sub(now)).unwrap_or_default())
}

/// How far a reading steps back: it gets a tenth of a CPU that others want as well.
#[cfg(target_os = "linux")]
const READING_NICE: i32 = 10;
/// The longest pause between two readings, however seldom files are quiet.
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// Settle times between two readings.
const PAUSE_SETTLES: u32 = 2;

//! When certificates are read again.
//!
//! Owns the triggers: an event of the file system, SIGHUP, the moment at which time alone changes
//! what is to be served, and the poll that does not depend on any of them. They are one queue, so
//! readings never overlap; a storm of events is one reading, once the files are quiet, and whoever
//! asks does not wait for that. `reader` does it; what it changes is decided by `certs`, and what
//! is said of it is in `tidings`. Refuses to know connections: they see the new index, and the new
//! trust in clients, when they next load it.

mod reader;
mod tidings;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::Duration;

use portunus_certs::store::{CertificateStore, Look, ReloadReport};
use rustls::pki_types::UnixTime;
use tokio::signal::unix::Signal;
use tokio::sync::{Notify, oneshot, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tracing::warn;

use crate::config::Certificates;
use crate::drain::DrainWatch;

use super::generation::{Common, Generation};
use super::signals::heard;
use super::world::Names;
use reader::{Job, Reader, Signs, Trust};
use tidings::Tidings;

/// Has certificates read again.
#[derive(Debug)]
pub(super) struct Reloader {
    /// Readings never overlap, so nobody waits for it.
    reader: Arc<Mutex<Reader>>,
    /// Those that still wait for a file system, and for whom nobody waits any more.
    left: Vec<Weak<Mutex<Reader>>>,
    certificates: Arc<CertificateStore>,
    tidings: Arc<Mutex<Tidings>>,
    hints: Signs,
    generations: Generations,
    names: Arc<Names>,
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
    pub(super) fn new(generations: Generations, names: Arc<Names>, common: &Common) -> Self {
        let tidings = Tidings::new(common.metrics.process(), Arc::clone(&common.history));
        let certificates = Arc::clone(&common.certificates);
        let trust = Trust::of(&generations.borrow());
        let (tidings, hints) = (Arc::new(Mutex::new(tidings)), Signs::default());
        let means = (Arc::clone(&certificates), Arc::clone(&tidings), Arc::clone(&names));
        let reader = Arc::new(Mutex::new(Reader::new(means, trust, hints.clone())));
        Self { reader, left: Vec::new(), certificates, tidings, hints, generations, names }
    }

    /// Reads again at each trigger, among which is somebody who `asks`, until the drain.
    pub(super) async fn run(
        mut self,
        asks: Arc<Notify>,
        mut hang_up: Option<Signal>,
        mut watch: DrainWatch,
    ) {
        let mut config = self.config();
        // What changed between the first reading and the beginning of the watch told nobody.
        let mut job = Job {
            look: Some(Look::Around),
            trust: true,
            refresh: [true; 2],
            trigger: Trigger::Time,
        };
        loop {
            let due = tokio::select! {
                () = watch.finish() => return,
                due = self.read(job) => due,
            };
            tokio::select! {
                () = watch.finish() => return,
                () = sleep((config.settle * PAUSE_SETTLES).min(PAUSE_MAX)) => {}
            }
            let now = Instant::now();
            let next = due.map_or(config.poll_interval, until).min(config.poll_interval);
            let [files, trust_files] = &self.hints;
            let trigger = tokio::select! {
                () = watch.finish() => return,
                () = heard(hang_up.as_mut()) => Trigger::HangUp,
                () = asks.notified() => Trigger::HangUp,
                Ok(()) = self.generations.changed() => Trigger::Configured,
                () = files.arrived() => Trigger::Hint,
                () = trust_files.arrived() => Trigger::Hint,
                () = sleep_until(now + next) => Trigger::Time,
            };
            let trigger = match trigger {
                Trigger::Hint => tokio::select! {
                    () = watch.finish() => return,
                    () = heard(hang_up.as_mut()) => Trigger::HangUp,
                    () = asks.notified() => Trigger::HangUp,
                    Ok(()) = self.generations.changed() => Trigger::Configured,
                    () = quiet(&self.hints, config.settle) => Trigger::Hint,
                },
                other => other,
            };
            // Never by what is not configured any more, whatever came first.
            let is_other = self.generations.has_changed().unwrap_or(false);
            if is_other || trigger == Trigger::Configured {
                config = self.config();
                locked(&self.reader).trust(Trust::of(&self.generations.borrow()));
            }
            let is_closer = trigger == Trigger::HangUp;
            job = self.job(if is_other && !is_closer { Trigger::Configured } else { trigger });
        }
    }

    /// What is to be read for this trigger, with what was hinted at until now.
    fn job(&self, trigger: Trigger) -> Job {
        let [hinted, trust_hinted] = self.hints.each_ref().map(|hints| hints.take());
        locked(&self.tidings).count_overflows(hinted.overflows + trust_hinted.overflows);
        let anew = trigger != Trigger::Hint;
        let refresh = [anew || hinted.is_wide, anew || trust_hinted.is_wide];
        let trust = anew || trust_hinted.look().is_some();
        let look = match trigger {
            Trigger::HangUp => Some(Look::Closely),
            Trigger::Hint => hinted.look(),
            Trigger::Configured | Trigger::Time => Some(Look::Around),
        };
        Job { look, trust, refresh, trigger }
    }

    /// Where certificates come from now.
    fn config(&mut self) -> Certificates {
        self.generations.borrow_and_update().config.certificates.clone()
    }

    /// Has everything read on a thread of its own. Returns when time alone will change something,
    /// in seconds since 1970; a reading that panicked changed nothing, and the panic was reported.
    /// One that hangs is left to itself once the configuration has it look elsewhere.
    async fn read(&mut self, job: Job) -> Option<i64> {
        let reader = Arc::clone(&self.reader);
        let (tell, mut told) = oneshot::channel();
        let read = move || {
            step_back();
            // Whoever asked may have gone with the drain.
            let _ = tell.send(locked(&reader).read(job));
        };
        if let Err(error) = thread::Builder::new().name("certificates".to_owned()).spawn(read) {
            warn!(%error, "no thread to read certificates on; it is tried again");
            return None;
        }
        tokio::select! {
            due = &mut told => return due.ok()?,
            Ok(()) = self.generations.changed() => {}
        }
        self.generations.mark_changed();
        if let Ok(due) = timeout(HANGING, &mut told).await {
            return due.ok()?;
        }
        if !self.leave() {
            return told.await.ok()?;
        }
        warn!("files that were to be read cannot be: look for a file system that hangs");
        None
    }

    /// Takes another reader, unless too many hang already.
    fn leave(&mut self) -> bool {
        self.left.retain(|left| left.strong_count() > 0);
        if self.left.len() >= LEFT_MAX {
            return false;
        }
        let trust = Trust::of(&self.generations.borrow());
        let (certificates, tidings) = (Arc::clone(&self.certificates), Arc::clone(&self.tidings));
        let means = (certificates, tidings, Arc::clone(&self.names));
        let reader = Reader::new(means, trust, self.hints.clone());
        let before = std::mem::replace(&mut self.reader, Arc::new(Mutex::new(reader)));
        self.left.push(Arc::downgrade(&before));
        true
    }

    /// Says what the first reading of certificates came to.
    pub(super) fn say_first(&self, report: &ReloadReport) {
        let mut tidings = locked(&self.tidings);
        tidings.count(report, &self.certificates);
        tidings.say(report, &self.certificates);
    }
}

/// Waits until all files have been quiet for so long.
async fn quiet([files, trust_files]: &Signs, settle: Duration) {
    tokio::join!(files.settle(settle), trust_files.settle(settle));
}

/// Lets the threads that serve connections go first: a reading is never in a hurry. On Linux each
/// thread has a priority of its own.
fn step_back() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::nice(READING_NICE) {
        tracing::debug!(%error, "certificates are read at the priority of everything else");
    }
}

fn locked<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
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
/// How long a reading that was under way before another configuration is waited for.
const HANGING: Duration = Duration::from_secs(5);
/// Readings that may hang at once.
const LEFT_MAX: usize = 8;
/// The longest pause between two readings, however seldom files are quiet.
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// Settle times between two readings.
const PAUSE_SETTLES: u32 = 2;

#[cfg(test)]
mod tests {
    use portunus_certs::store::StoreOptions;
    use portunus_certs::watch::Hint;
    use rustls::crypto::aws_lc_rs;
    use tokio::task::yield_now;

    use super::*;
    use crate::config::Config;
    use crate::drain::Drain;
    use crate::metrics::Metrics;

    /// Has everything done that wants to be, while no time passes.
    #[expect(clippy::disallowed_methods, reason = "the other clock stands still")]
    async fn until(what: &str, mut is_true: impl FnMut() -> bool) {
        let begin = std::time::Instant::now();
        while !is_true() {
            assert!(begin.elapsed() < Duration::from_secs(20), "{what}");
            yield_now().await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn while_files_are_not_quiet_whoever_asks_is_heard_and_the_end_is_not_put_off() {
        let folder = tempfile::tempdir().unwrap();
        let text = "[certificates]\npaths = ['certs.d']\nsettle = '60s'\npoll_interval = '1h'\n\
                    [listener.a]\nlisten = ['[::]:1']\nbackend = 'app'\n\
                    [backend.app]\nendpoints = ['a.example:1']\n";
        let config = Config::parse(text, "config.toml", folder.path()).unwrap();
        let metrics = Arc::new(Metrics::new());
        let names = Names::of_nothing(config, &metrics);
        let (_served, generations) = watch::channel(names.served());
        let provider = Arc::new(aws_lc_rs::default_provider());
        let options = StoreOptions { paths: Vec::new(), strict_permissions: false, provider };
        let (certificates, _) = CertificateStore::open(options, UnixTime::now());
        let certificates = Arc::new(certificates);
        let tidings = Arc::new(Mutex::new(Tidings::new(metrics.process(), Arc::default())));
        let hints = Signs::default();
        let trust = Trust::of(&generations.borrow());
        let means = (Arc::clone(&certificates), Arc::clone(&tidings), Arc::clone(&names));
        let reader = Arc::new(Mutex::new(Reader::new(means, trust, hints.clone())));
        let ([files, _], shared) = (hints.clone(), Arc::clone(&reader));
        let left = Vec::new();
        let reloader = Reloader { reader, left, certificates, tidings, hints, generations, names };
        let (drain, watch) = Drain::new();
        let asks = Arc::new(Notify::new());
        watch.spawn(reloader.run(Arc::clone(&asks), None, watch.clone()));
        let readings = || {
            metrics.process().certificate_reloads.with_label_values(&["changed"]).get()
                + metrics.process().certificate_reloads.with_label_values(&["unchanged"]).get()
        };
        let hint = async || {
            until("the end of the reading", || Arc::strong_count(&shared) == 2).await;
            for _ in 0..100 {
                yield_now().await;
            }
            tokio::time::advance(PAUSE_MAX).await;
            for _ in 0..100 {
                yield_now().await;
            }
            files.give(Hint::Changed);
            for _ in 0..100 {
                yield_now().await;
            }
        };
        until("the first reading", || readings() == 1).await;
        hint().await;
        assert_eq!(readings(), 1, "it is not quiet yet");
        asks.notify_one();
        until("the reading that was asked for", || readings() == 2).await;
        hint().await;
        drop(watch);
        assert_eq!(drain.drain(Duration::from_secs(1)).await, 0, "it ends at once");
    }
}

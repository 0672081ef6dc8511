//! When certificates are read again.
//!
//! Owns the triggers: an event of the file system, SIGHUP, the moment at which time alone changes
//! what is to be served, and the poll that does not depend on any of them. They are one queue, so
//! readings never overlap; a storm of them is one reading, once the files are quiet. What is read
//! and what it changes is decided by `certs`; what is said of it is in `tidings`. Refuses to know
//! connections: they see the new index, and the new trust in clients, when they next load it.

pub(super) mod hints;
mod tidings;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use portunus_certs::client_auth::ClientAuth;
use portunus_certs::store::{CertificateStore, Look, ReloadReport};
use rustls::pki_types::UnixTime;
use tokio::signal::unix::Signal;
use tokio::time::{Instant, sleep, sleep_until};

use crate::config::{Certificates, Config};
use crate::drain::DrainWatch;
use crate::metrics::ProcessMetrics;

use hints::Watched;
use tidings::Tidings;

/// Reads certificates again.
#[derive(Debug)]
pub(super) struct Reloader {
    certificates: Arc<CertificateStore>,
    client_auths: Vec<Arc<ClientAuth>>,
    /// When time alone will change what is trusted, in seconds since 1970.
    trust_due: Option<i64>,
    tidings: Tidings,
    settle: Duration,
}

/// What asks for a reading.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Trigger {
    HangUp,
    Hint,
    Time,
}

impl Reloader {
    pub(super) fn new(
        config: &Config,
        certificates: Arc<CertificateStore>,
        client_auths: Vec<Arc<ClientAuth>>,
        metrics: ProcessMetrics,
    ) -> Self {
        let settle = config.certificates.settle;
        let tidings = Tidings::new(metrics);
        Self { certificates, client_auths, trust_due: None, tidings, settle }
    }

    /// Reads again at each trigger until the drain.
    pub(super) async fn run(
        mut self,
        config: Certificates,
        mut hang_up: Option<Signal>,
        mut watch: DrainWatch,
    ) {
        let mut files = Watched::new(&config.paths);
        let mut trust_files = Watched::new(&self.trust_paths());
        // What changed between the first reading and the beginning of the watch told nobody.
        let mut due = self.read(Some(Look::Around), true, Trigger::Time).await;
        loop {
            self.tidings.show_modes([files.mode(), trust_files.mode()]);
            let now = Instant::now();
            let next = due.map_or(config.poll_interval, until).min(config.poll_interval);
            let trigger = tokio::select! {
                () = watch.finish() => return,
                () = hung_up(hang_up.as_mut()) => Trigger::HangUp,
                () = files.arrived() => Trigger::Hint,
                () = trust_files.arrived() => Trigger::Hint,
                () = sleep_until(now + next) => Trigger::Time,
            };
            if trigger == Trigger::Hint {
                tokio::join!(files.settle(self.settle), trust_files.settle(self.settle));
            }
            let anew = trigger != Trigger::Hint;
            let (hinted, trust_hinted) = (files.take(anew), trust_files.take(anew));
            self.tidings.count_overflows(hinted.overflows + trust_hinted.overflows);
            let trust_changed = anew || trust_hinted.look().is_some();
            let look = match trigger {
                Trigger::HangUp => Some(Look::Closely),
                Trigger::Hint => hinted.look(),
                Trigger::Time => Some(Look::Around),
            };
            due = self.read(look, trust_changed, trigger).await;
            tokio::select! {
                () = watch.finish() => return,
                () = sleep(self.settle * PAUSE_SETTLES) => {}
            }
        }
    }

    /// Reads certificates where `look` says, and what client authentication depends on if `trust`.
    /// Returns when time alone will change something, in seconds since 1970.
    async fn read(&mut self, look: Option<Look>, trust: bool, trigger: Trigger) -> Option<i64> {
        let certificates = Arc::clone(&self.certificates);
        let client_auths = if trust { self.client_auths.clone() } else { Vec::new() };
        let read = tokio::task::spawn_blocking(move || {
            let now = UnixTime::now();
            let trust: Vec<_> = client_auths.iter().map(|auth| auth.reload(now)).collect();
            (look.map(|look| certificates.look(&look, now)), trust)
        });
        // A reading that panicked has changed nothing, and the panic was reported.
        let (report, trust) = read.await.ok()?;
        let forced = trigger == Trigger::HangUp;
        if let Some(report) = &report {
            if report.changed || report.news || forced {
                self.tidings.say(report, &self.certificates);
            }
            self.tidings.count(report, &self.certificates);
        }
        if !trust.is_empty() {
            trust.iter().for_each(|report| self.tidings.say_trust(report));
            self.tidings.count_trust(&self.client_auths);
            self.trust_due = trust.iter().filter_map(|report| report.next_change).min();
        }
        let report = self.certificates.report();
        self.tidings.remind(&report);
        report.next_change.into_iter().chain(self.trust_due).min()
    }

    /// Says what the first reading of certificates came to.
    pub(super) fn say_first(&self, report: &ReloadReport) {
        self.tidings.say(report, &self.certificates);
        self.tidings.count(report, &self.certificates);
    }

    fn trust_paths(&self) -> Vec<PathBuf> {
        self.client_auths.iter().flat_map(|auth| auth.paths()).map(Path::to_path_buf).collect()
    }
}

/// How long it is until a moment in seconds since 1970. The second that has begun counts in full,
/// so that nobody looks too early.
fn until(moment: i64) -> Duration {
    let now = i64::try_from(UnixTime::now().as_secs()).unwrap_or(i64::MAX);
    Duration::from_secs(u64::try_from(moment.saturating_sub(now)).unwrap_or_default())
}

/// Waits for the signal, if there is one to wait for.
async fn hung_up(signal: Option<&mut Signal>) {
    match signal {
        Some(signal) => drop(signal.recv().await),
        None => std::future::pending().await,
    }
}

/// Settle times between two readings.
const PAUSE_SETTLES: u32 = 2;

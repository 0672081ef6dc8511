//! When certificates are read again.
//!
//! Owns the triggers: an event of the file system, SIGHUP, and the poll that does not depend on
//! either. They are one queue, so readings never overlap; a storm of them is one reading, once the
//! files are quiet. What is read and what it changes is decided by `certs`. Refuses to know
//! connections: they see the new index when they next load it.

use std::sync::Arc;
use std::time::Duration;

use portunus_certs::store::{CertificateStore, ReloadReport};
use portunus_certs::watch::{Hint, Watch, WatchMode};
use rustls::pki_types::UnixTime;
use tokio::signal::unix::Signal;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tracing::{error, info, warn};

use crate::config::{Certificates, Config};
use crate::drain::DrainWatch;
use crate::log::Chain;
use crate::metrics::ProcessMetrics;

/// Reads certificates again and says what came of it.
#[derive(Debug)]
pub(super) struct Reloader {
    store: Arc<CertificateStore>,
    metrics: ProcessMetrics,
    settle: Duration,
}

impl Reloader {
    pub(super) fn new(
        config: &Config,
        store: Arc<CertificateStore>,
        metrics: ProcessMetrics,
    ) -> Self {
        Self { store, metrics, settle: config.certificates.settle }
    }

    /// Reads again at each trigger until the drain.
    pub(super) async fn run(
        self,
        config: Certificates,
        mut hang_up: Option<Signal>,
        mut watch: DrainWatch,
    ) {
        let hints = Arc::new(Notify::new());
        let hint = Arc::clone(&hints);
        let mut files = Watch::new(&config.paths, move |_: Hint| hint.notify_one());
        if let WatchMode::PollOnly { reason } = files.mode() {
            warn!(reason = %reason, "certificates are not watched, only polled");
        }
        // What changed between the first reading and the beginning of the watch told nobody.
        self.reload(false).await;
        loop {
            let next_poll = Instant::now() + config.poll_interval;
            let forced = tokio::select! {
                () = watch.finish() => return,
                () = hints.notified() => false,
                () = sleep_until(next_poll) => false,
                () = hung_up(hang_up.as_mut()) => true,
            };
            if !forced {
                self.settle(&hints).await;
            }
            files.refresh();
            self.reload(forced).await;
            tokio::select! {
                () = watch.finish() => return,
                () = sleep(self.settle * PAUSE_SETTLES) => {}
            }
        }
    }

    /// Waits until the files have been quiet for the settle time, within a bound.
    async fn settle(&self, hints: &Notify) {
        let bound = Instant::now() + self.settle * SETTLES_MAX;
        while Instant::now() < bound && timeout(self.settle, hints.notified()).await.is_ok() {}
    }

    async fn reload(&self, forced: bool) {
        let store = Arc::clone(&self.store);
        let read = tokio::task::spawn_blocking(move || store.reload(UnixTime::now())).await;
        // A reading that panicked has changed nothing, and the panic was reported.
        let Ok(report) = read else { return };
        if report.changed || report.news || forced {
            self.say(&report);
        }
        self.count(&report);
    }

    /// Says what a reading came to.
    pub(super) fn say(&self, report: &ReloadReport) {
        for warning in &report.warnings {
            warn!("{warning}");
        }
        for skipped in &report.skipped {
            warn!(path = %skipped.path.display(), error = %Chain(&skipped.error), "file skipped");
        }
        let ReloadReport { loaded, kept, pending, .. } = *report;
        info!(loaded, kept, pending, skipped = report.skipped.len(), "certificates read");
        if loaded == 0 {
            self.lament();
        }
    }

    /// Says that there is nothing to show to clients.
    fn lament(&self) {
        let paths: Vec<_> = self.store.options().paths.iter().map(|path| path.display()).collect();
        error!(
            ?paths,
            "no certificate is loaded, so no client is served: subfolders are not read, name them \
             in `certificates.paths`; for development, `portunus issue localhost --out certs.d`"
        );
    }

    /// Counts what a reading came to.
    pub(super) fn count(&self, report: &ReloadReport) {
        let result = match (report.skipped.is_empty(), report.changed) {
            (false, _) => "partial",
            (true, false) => "unchanged",
            (true, true) => "changed",
        };
        self.metrics.certificate_reloads.with_label_values(&[result]).inc();
        if report.skipped.is_empty() {
            let now = UnixTime::now().as_secs();
            self.metrics.certificate_reload_success.set(now as f64);
        }
        let states = [
            ("loaded", report.loaded),
            ("pending", report.pending),
            ("skipped", report.skipped.len()),
        ];
        for (state, count) in states {
            self.metrics.certificates.with_label_values(&[state]).set(count as i64);
        }
        let not_after = &self.metrics.certificate_not_after;
        let index = self.store.load();
        let mut soonest: Vec<_> = index.credentials().collect();
        soonest.sort_by_key(|credential| credential.not_after());
        not_after.reset();
        for credential in soonest.iter().take(EXPIRIES_SHOWN_MAX) {
            not_after
                .with_label_values(&[&**credential.label()])
                .set(credential.not_after() as f64);
        }
    }
}

/// Waits for the signal, if there is one to wait for.
async fn hung_up(signal: Option<&mut Signal>) {
    match signal {
        Some(signal) => drop(signal.recv().await),
        None => std::future::pending().await,
    }
}

/// Settle times after which files that never become quiet are read all the same.
const SETTLES_MAX: u32 = 3;

/// Settle times between two readings.
const PAUSE_SETTLES: u32 = 2;

/// Certificates whose expiry is shown as a metric: those that expire first.
const EXPIRIES_SHOWN_MAX: usize = 1000;

//! What is said of a reading: in the log, and as numbers.
//!
//! Owns the words and the metrics about certificates and about trust in clients. Says a thing when
//! it is news, and a second time only if somebody must act and has not. Refuses to know when
//! anything is read.

use std::collections::HashMap;
use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use portunus_certs::client_auth::{ClientAuth, TrustReport};
use portunus_certs::credential::Credential;
use portunus_certs::store::{CertificateStore, ReloadReport, StoreOptions, Warning};
use portunus_certs::watch::WatchMode;
use rustls::pki_types::UnixTime;
use tokio::time::Instant;
use tracing::{error, info, warn};

use crate::admin::status::NOTHING_LOADED;
use crate::backend::TrustError;
use crate::history::{self, History, Reading, Subject};
use crate::log::Chain;
use crate::metrics::{GaugeVec, ProcessMetrics};

/// Says what came of readings.
#[derive(Debug)]
pub(super) struct Tidings {
    metrics: ProcessMetrics,
    history: Arc<History>,
    /// The begin of validity of each certificate that has a gauge.
    begins: HashMap<Arc<str>, i64>,
    /// The end of validity of each of these.
    ends: HashMap<Arc<str>, i64>,
    /// The end of the staple of each of these that has one.
    staple_ends: HashMap<Arc<str>, i64>,
    reminded: Option<Instant>,
    /// Where certificates came from when they were last counted.
    options: Option<Arc<StoreOptions>>,
    /// Backends with bad files, and what was said of them.
    bad_backends: HashMap<Arc<str>, String>,
    /// What was noted as bad of the files that decide who is trusted.
    distrusted: Vec<String>,
    poll_reason: Option<String>,
}

impl Tidings {
    pub(super) fn new(metrics: ProcessMetrics, history: Arc<History>) -> Self {
        Self {
            metrics,
            history,
            begins: HashMap::new(),
            ends: HashMap::new(),
            staple_ends: HashMap::new(),
            reminded: None,
            options: None,
            bad_backends: HashMap::new(),
            distrusted: Vec::new(),
            poll_reason: None,
        }
    }

    /// Says what a reading of certificates came to.
    pub(super) fn say(&self, report: &ReloadReport, store: &CertificateStore) {
        for warning in &report.warnings {
            warn!("{warning}");
        }
        for skipped in &report.skipped {
            warn!(path = %skipped.path.display(), error = %Chain(&skipped.error), "file skipped");
        }
        let ReloadReport { loaded, kept, .. } = *report;
        let (pending, skipped) = (report.pending.len(), report.skipped.len());
        info!(loaded, kept, pending, skipped, "certificates read");
        // Without a place to look for them, none are needed.
        if report.is_empty() && !store.options().paths.is_empty() {
            let options = store.options();
            let paths: Vec<_> = options.paths.iter().map(|path| path.display()).collect();
            error!(?paths, "{NOTHING_LOADED}");
        }
    }

    /// Notes down what a reading of certificates changed, for those who ask later.
    fn remember(&self, report: &ReloadReport) {
        let changes = [("new or renewed", &report.updated), ("served no longer", &report.removed)];
        let changes = changes.into_iter().flat_map(|(word, labels)| {
            labels.iter().map(move |label| format!("{label} is {word}"))
        });
        self.history.note(Reading {
            changes: changes.collect(),
            errors: report.skipped.iter().map(ToString::to_string).collect(),
            warnings: report.warnings.iter().map(ToString::to_string).collect(),
            ..Reading::now(Subject::Certificates, outcome(report))
        });
    }

    /// Says what a reading of authorities and revocation lists came to, and adds it to `news`.
    pub(super) fn say_trust(&self, report: &TrustReport, news: &mut TrustNews) {
        let result = history::result(report.failures.is_empty(), report.changed);
        self.metrics.client_auth_reloads.with_label_values(&[result]).inc();
        news.add(report);
        if !report.changed && !report.news {
            return;
        }
        for failure in &report.failures {
            error!(error = %Chain(failure), "the last good authorities and lists stay in use");
        }
        for warning in &report.warnings {
            warn!("{warning}");
        }
        if report.changed {
            info!("client authentication changed");
        }
    }

    /// Says what a reading of the files of a backend came to, and adds it to `news`.
    pub(super) fn say_backend(
        &mut self,
        name: &Arc<str>,
        result: Result<bool, TrustError>,
        news: &mut TrustNews,
    ) {
        let error = match result {
            Ok(changed) => {
                if self.bad_backends.remove(name).is_some() || changed {
                    let words = "the files of the backend's TLS are good";
                    info!(backend = &**name, changed, "{words}");
                    (news.is_news, news.has_changed) = (true, true);
                    news.changes.push(format!("backend `{name}`: {words}"));
                }
                return;
            }
            Err(error) => Chain(&error).to_string(),
        };
        news.errors.push(format!("backend `{name}`: {error}"));
        if self.bad_backends.get(name) != Some(&error) {
            let words = "the last good files of the backend's TLS stay in use";
            error!(backend = &**name, %error, "{words}");
            news.is_news = true;
            self.bad_backends.insert(Arc::clone(name), error);
        }
    }

    /// Notes down what all of these came to, for those who ask later.
    pub(super) fn note_trust(&mut self, news: TrustNews) {
        // What was bad may be gone with its configuration, which is no news of any file.
        if news.is_news || news.errors != self.distrusted {
            self.distrusted.clone_from(&news.errors);
            self.history.note(news.reading());
        }
    }

    /// Repeats at intervals what clients suffer from already.
    pub(super) fn remind(&mut self, report: &ReloadReport) {
        let expired = |warning: &&Warning| matches!(warning, Warning::Expired { .. });
        let expired: Vec<_> = report.warnings.iter().filter(expired).collect();
        let now = Instant::now();
        if expired.is_empty() {
            self.reminded = None;
        } else if self.reminded.is_none_or(|then| now.duration_since(then) >= REMIND_INTERVAL) {
            self.reminded = Some(now);
            error!(count = expired.len(), first = %Shown(expired.first()), "expired certificates");
        }
    }

    /// Shows how changes are noticed, and says so when they are only polled for.
    pub(super) fn show_modes<'a>(&mut self, modes: impl IntoIterator<Item = &'a WatchMode>) {
        let reason = modes.into_iter().find_map(|mode| match mode {
            WatchMode::Events => None,
            WatchMode::PollOnly { reason } => Some(reason.clone()),
        });
        let mode = &self.metrics.certificate_watch_mode;
        mode.with_label_values(&["events"]).set(i64::from(reason.is_none()));
        mode.with_label_values(&["poll"]).set(i64::from(reason.is_some()));
        if reason != self.poll_reason {
            match &reason {
                Some(reason) => warn!(%reason, "certificates are not watched, only polled"),
                None => info!("certificates are watched again"),
            }
            self.poll_reason = reason;
        }
    }

    pub(super) fn count_overflows(&self, overflows: u64) {
        self.metrics.certificate_watch_overflows.inc_by(overflows);
    }

    /// Counts what a reading of certificates came to, and returns whether it is news. It is, too,
    /// if they come from elsewhere now: whoever read them first has not said what there is.
    pub(super) fn count(&mut self, report: &ReloadReport, store: &CertificateStore) -> bool {
        let options = store.options();
        let is_elsewhere = !self.options.as_ref().is_some_and(|old| Arc::ptr_eq(old, &options));
        self.options = Some(options);
        let is_news = report.changed || report.news || is_elsewhere;
        if is_news {
            self.remember(report);
        }
        self.metrics.certificate_reloads.with_label_values(&[outcome(report)]).inc();
        if report.skipped.is_empty() {
            let now = UnixTime::now().as_secs();
            self.metrics.certificate_reload_success.set(now as f64);
        }
        if is_news {
            self.show_certificates(report, store);
        }
        is_news
    }

    fn show_certificates(&mut self, report: &ReloadReport, store: &CertificateStore) {
        let expired = |warning: &&Warning| matches!(warning, Warning::Expired { .. });
        let superseded = |warning: &&Warning| matches!(warning, Warning::Superseded { .. });
        let stale = |warning: &&Warning| matches!(warning, Warning::StapleStale { .. });
        let states = [
            ("loaded", report.loaded),
            ("kept", report.kept),
            ("pending", report.pending.len()),
            ("skipped", report.skipped.len()),
            ("expired", report.warnings.iter().filter(expired).count()),
            ("superseded", report.warnings.iter().filter(superseded).count()),
            ("stapled", report.stapled),
            ("staple_stale", report.warnings.iter().filter(stale).count()),
        ];
        for (state, count) in states {
            self.metrics.certificates.with_label_values(&[state]).set(count as i64);
        }
        let index = store.load();
        let now = UnixTime::now().as_secs() as i64;
        // Nobody is to be woken for one that has ended and that another has followed.
        let matters = |c: &&Arc<Credential>| !index.is_superseded(c, now);
        let shown = || index.soonest().filter(matters).take(EXPIRIES_SHOWN_MAX);
        let begins = shown().map(|c| (Arc::clone(c.label()), c.not_before())).collect();
        show(&self.metrics.certificate_not_before, &mut self.begins, begins);
        let ends = shown().map(|c| (Arc::clone(c.label()), c.not_after())).collect();
        show(&self.metrics.certificate_not_after, &mut self.ends, ends);
        let staple_end = |c: &Arc<Credential>| Some((c.label().clone(), c.staple()?.next_update));
        let staple_ends = shown().filter_map(staple_end).collect();
        show(&self.metrics.staple_next_update, &mut self.staple_ends, staple_ends);
    }

    /// Shows from when and until when the revocation lists hold.
    pub(super) fn count_trust(&self, client_auths: &[Arc<ClientAuth>]) {
        for auth in client_auths {
            for crl in auth.load().crls() {
                if let Some(next_update) = crl.next_update {
                    let path = crl.path.display().to_string();
                    let moments = [
                        (&self.metrics.crl_this_update, crl.this_update),
                        (&self.metrics.crl_next_update, next_update),
                    ];
                    for (gauges, moment) in moments {
                        gauges.with_label_values(&[&path]).set(moment as f64);
                    }
                }
            }
        }
    }
}

/// What came of one reading of all files that decide who is trusted. It has everything that is bad
/// at that time, so that what is good elsewhere hides nothing.
#[derive(Debug, Default)]
pub(super) struct TrustNews {
    is_news: bool,
    has_changed: bool,
    changes: Vec<String>,
    errors: Vec<String>,
    warnings: Vec<String>,
}

impl TrustNews {
    fn add(&mut self, report: &TrustReport) {
        self.is_news |= report.changed || report.news;
        self.has_changed |= report.changed;
        for error in report.failures.iter().map(|failure| Chain(failure).to_string()) {
            // Several policies may name one file.
            if !self.errors.contains(&error) {
                self.errors.push(error);
            }
        }
        self.warnings.extend(report.warnings.iter().cloned());
    }

    fn reading(self) -> Reading {
        let Self { has_changed, changes, errors, warnings, .. } = self;
        let result = history::result(errors.is_empty(), has_changed);
        Reading { changes, errors, warnings, ..Reading::now(Subject::Trust, result) }
    }
}

/// What came of a reading of certificates, in a word.
fn outcome(report: &ReloadReport) -> &'static str {
    match (report.skipped.is_empty(), report.changed) {
        (false, _) => "partial",
        (true, false) => "unchanged",
        (true, true) => "changed",
    }
}

/// Turns the gauges that show `shown` into those that show `now`. Only those that differ are
/// touched, so that a scrape meanwhile misses none of the others.
fn show(gauges: &GaugeVec, shown: &mut HashMap<Arc<str>, i64>, now: HashMap<Arc<str>, i64>) {
    for label in shown.keys().filter(|label| !now.contains_key(*label)) {
        gauges.remove_label_values(&[&**label]);
    }
    for (label, moment) in &now {
        if shown.get(label) != Some(moment) {
            gauges.with_label_values(&[&**label]).set(*moment as f64);
        }
    }
    *shown = now;
}

/// The first of some things, or nothing.
struct Shown<T>(Option<T>);

impl<T: Display> Display for Shown<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|shown| shown.fmt(f))
    }
}

/// How often somebody is told again.
const REMIND_INTERVAL: Duration = Duration::from_secs(300);

/// Certificates whose validity is shown as a metric: those that expire first.
const EXPIRIES_SHOWN_MAX: usize = 1000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Metrics;

    #[test]
    fn a_file_that_is_good_hides_none_that_is_bad() {
        let history = Arc::<History>::default();
        let mut tidings = Tidings::new(Metrics::new().process(), Arc::clone(&history));
        let bad = || TrustError::Missing { path: "/ca.pem".into() };
        let mut read = |of_a: Option<Result<bool, TrustError>>, clients: TrustReport| {
            let mut news = TrustNews::default();
            tidings.say_trust(&clients, &mut news);
            if let Some(of_a) = of_a {
                tidings.say_backend(&"a".into(), of_a, &mut news);
            }
            tidings.say_backend(&"b".into(), Ok(false), &mut news);
            tidings.note_trust(news);
            let last = history.last().into_iter().next().expect("a reading");
            (last.result, last.errors.len(), history.last().len())
        };
        assert_eq!(read(Some(Err(bad())), TrustReport::default()), ("failed", 1, 1));
        assert_eq!(read(Some(Err(bad())), TrustReport::default()), ("failed", 1, 1), "no news");
        let changed = || TrustReport { changed: true, ..TrustReport::default() };
        assert_eq!(read(Some(Err(bad())), changed()), ("failed", 1, 2), "it is still bad");
        assert_eq!(
            read(Some(Ok(false)), TrustReport::default()),
            ("changed", 0, 3),
            "it is mended"
        );
        assert_eq!(read(Some(Err(bad())), TrustReport::default()), ("failed", 1, 4));
        assert_eq!(read(None, TrustReport::default()), ("unchanged", 0, 5), "it is not asked for");
    }
}

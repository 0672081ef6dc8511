//! One reading: of certificates, of what clients are trusted by, and the account of both.
//!
//! Owns the order within a reading. All of it may block and takes what time it takes, so it belongs
//! on a thread that serves no connection. Refuses to know when to read; that is [`super`].

use std::path::{Path, PathBuf};
use std::sync::Arc;

use portunus_certs::client_auth::ClientAuth;
use portunus_certs::store::{CertificateStore, Look, ReloadReport};
use rustls::pki_types::UnixTime;

use crate::metrics::ProcessMetrics;

use super::Trigger;
use super::tidings::Tidings;

/// Reads, and says what came of it.
#[derive(Debug)]
pub(super) struct Reader {
    certificates: Arc<CertificateStore>,
    client_auths: Vec<Arc<ClientAuth>>,
    /// When time alone will change what is trusted, in seconds since 1970.
    trust_due: Option<i64>,
    pub(super) tidings: Tidings,
}

impl Reader {
    pub(super) fn new(
        certificates: Arc<CertificateStore>,
        client_auths: Vec<Arc<ClientAuth>>,
        metrics: ProcessMetrics,
    ) -> Self {
        let tidings = Tidings::new(metrics);
        Self { certificates, client_auths, trust_due: None, tidings }
    }

    /// Reads certificates where `look` says, and what client authentication depends on if `trust`.
    /// Returns when time alone will change something, in seconds since 1970.
    pub(super) fn read(
        &mut self,
        look: Option<&Look>,
        trust: bool,
        trigger: Trigger,
    ) -> Option<i64> {
        let now = UnixTime::now();
        if trust {
            let reports: Vec<_> = self.client_auths.iter().map(|auth| auth.reload(now)).collect();
            reports.iter().for_each(|report| self.tidings.say_trust(report));
            self.tidings.count_trust(&self.client_auths);
            self.trust_due = reports.iter().filter_map(|report| report.next_change).min();
        }
        if let Some(look) = look {
            let report = self.certificates.look(look, now);
            self.tidings.count(&report, &self.certificates);
            if report.changed || report.news || trigger == Trigger::HangUp {
                self.tidings.say(&report, &self.certificates);
            }
        }
        let report = self.certificates.report();
        self.tidings.remind(&report);
        report.next_change.into_iter().chain(self.trust_due).min()
    }

    /// Says what the first reading of certificates came to.
    pub(super) fn say_first(&mut self, report: &ReloadReport) {
        self.tidings.count(report, &self.certificates);
        self.tidings.say(report, &self.certificates);
    }

    /// The files that decide which clients are let in.
    pub(super) fn trust_paths(&self) -> Vec<PathBuf> {
        self.client_auths.iter().flat_map(|auth| auth.paths()).map(Path::to_path_buf).collect()
    }
}

//! One reading: of certificates, of what clients and endpoints are trusted by, and the account of
//! it all.
//!
//! Owns the order within a reading. All of it may block and takes what time it takes, so it belongs
//! on a thread that serves no connection. Refuses to know when to read; that is [`super`].

use std::path::{Path, PathBuf};
use std::sync::Arc;

use portunus_certs::client_auth::ClientAuth;
use portunus_certs::store::{CertificateStore, Look, ReloadReport};
use rustls::pki_types::UnixTime;

use crate::backend::Backend;
use crate::metrics::ProcessMetrics;
use crate::runtime::generation::Generation;

use super::Trigger;
use super::tidings::Tidings;

/// Reads, and says what came of it.
#[derive(Debug)]
pub(super) struct Reader {
    certificates: Arc<CertificateStore>,
    trust: Trust,
    /// When time alone will change what is trusted, in seconds since 1970.
    trust_due: Option<i64>,
    pub(super) tidings: Tidings,
}

/// Whoever is trusted by what stands in files.
#[derive(Clone, Debug)]
pub(super) struct Trust {
    pub(super) client_auths: Vec<Arc<ClientAuth>>,
    /// Their endpoints are.
    pub(super) backends: Vec<Arc<Backend>>,
}

impl Trust {
    /// What `generation` trusts.
    pub(super) fn of(generation: &Generation) -> Self {
        let Generation { client_auths, backends, .. } = generation;
        Self { client_auths: client_auths.clone(), backends: backends.clone() }
    }
}

impl Reader {
    pub(super) fn new(
        certificates: Arc<CertificateStore>,
        trust: Trust,
        metrics: ProcessMetrics,
    ) -> Self {
        let tidings = Tidings::new(metrics);
        Self { certificates, trust, trust_due: None, tidings }
    }

    /// Reads certificates where `look` says, and what trust depends on if `trust`.
    /// Returns when time alone will change something, in seconds since 1970.
    pub(super) fn read(
        &mut self,
        look: Option<&Look>,
        trust: bool,
        trigger: Trigger,
    ) -> Option<i64> {
        let now = UnixTime::now();
        if trust {
            let Trust { client_auths, backends } = &self.trust;
            let reports: Vec<_> = client_auths.iter().map(|auth| auth.reload(now)).collect();
            reports.iter().for_each(|report| self.tidings.say_trust(report));
            self.tidings.count_trust(client_auths);
            for backend in backends {
                self.tidings.say_backend(backend.name(), backend.reload_tls());
            }
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

    /// From now on, this is what is trusted.
    pub(super) fn trust(&mut self, trust: Trust) {
        self.trust = trust;
    }

    /// The files that decide which clients are let in, and which endpoints are believed.
    pub(super) fn trust_paths(&self) -> Vec<PathBuf> {
        let Trust { client_auths, backends } = &self.trust;
        let of_clients = client_auths.iter().flat_map(|auth| auth.paths());
        let of_backends = backends.iter().flat_map(|backend| backend.tls_files());
        of_clients.chain(of_backends).map(Path::to_path_buf).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use portunus_certs::issue::DevelopmentCa;
    use portunus_certs::store::StoreOptions;
    use rustls::crypto::aws_lc_rs;

    use super::*;
    use crate::config::Config;
    use crate::metrics::Metrics;

    #[test]
    fn the_files_of_backends_are_watched_and_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let ca = folder.path().join("ca.pem");
        let write = || {
            let authority = DevelopmentCa::new(UnixTime::now()).unwrap();
            fs::write(&ca, authority.certificate_pem()).unwrap();
        };
        write();
        let text = "[listener.a]\nlisten = ['[::]:1']\nbackend = 'app'\n\
                    [backend.app]\nendpoints = ['a.example:1']\ntls.ca = 'ca.pem'\n";
        let config = Config::parse(text, "config.toml", folder.path()).unwrap();
        let metrics = Metrics::new().unwrap();
        let backend = config.backends.first().unwrap();
        let backend = Backend::new(backend, Arc::default(), metrics.backend("app")).unwrap();
        let provider = Arc::new(aws_lc_rs::default_provider());
        let options = StoreOptions { paths: Vec::new(), strict_permissions: false, provider };
        let (certificates, _) = CertificateStore::open(options, UnixTime::now());
        let trust = Trust { client_auths: Vec::new(), backends: vec![Arc::clone(&backend)] };
        let mut reader = Reader::new(Arc::new(certificates), trust, metrics.process());
        assert_eq!(reader.trust_paths(), [ca.as_path()]);
        write();
        reader.read(None, true, Trigger::HangUp);
        assert!(!backend.reload_tls().unwrap(), "it has been read already");
        fs::write(&ca, "nothing").unwrap();
        reader.read(None, true, Trigger::HangUp);
        assert!(backend.reload_tls().is_err(), "the last good one stays, and it is tried again");
    }
}

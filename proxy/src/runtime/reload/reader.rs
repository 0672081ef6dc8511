//! One reading: of certificates, of what clients and endpoints are trusted by, and the account of
//! it all.
//!
//! Owns the order within a reading. All of it may block and takes what time it takes, so it belongs
//! on a thread that serves no connection. Refuses to know when to read; that is [`super`].

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use portunus_certs::client_auth::ClientAuth;
use portunus_certs::store::{CertificateStore, Look};
use portunus_certs::watch::Watch;
use rustls::pki_types::UnixTime;

use crate::backend::Backend;
use crate::runtime::generation::Generation;
use crate::runtime::hints::{self, Hints};
use crate::runtime::world::Names;

use super::tidings::{Tidings, TrustNews};
use super::{Trigger, locked};

/// Reads, and says what came of it.
#[derive(Debug)]
pub(super) struct Reader {
    certificates: Arc<CertificateStore>,
    trust: Trust,
    /// When time alone will change what is trusted, in seconds since 1970.
    trust_due: Option<i64>,
    tidings: Arc<Mutex<Tidings>>,
    names: Arc<Names>,
    hints: Signs,
    /// Over certificates, and over what trust depends on.
    watches: Option<[Watch; 2]>,
}

/// The hints about certificates, and about what trust depends on.
pub(super) type Signs = [Arc<Hints>; 2];

/// What is to be read.
#[derive(Debug)]
pub(super) struct Job {
    /// Where to look for certificates, if anywhere.
    pub(super) look: Option<Look>,
    /// Whether what trust depends on is read.
    pub(super) trust: bool,
    /// Of which files it is found out again which folders matter.
    pub(super) refresh: [bool; 2],
    pub(super) trigger: Trigger,
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
        let Generation { client_auths, backends, collector, .. } = generation;
        let backends = backends.iter().chain(collector).cloned().collect();
        Self { client_auths: client_auths.clone(), backends }
    }
}

impl Reader {
    pub(super) fn new(
        (certificates, tidings, names): (Arc<CertificateStore>, Arc<Mutex<Tidings>>, Arc<Names>),
        trust: Trust,
        hints: Signs,
    ) -> Self {
        Self { certificates, trust, trust_due: None, tidings, names, hints, watches: None }
    }

    /// Reads what is to be read. Returns when time alone will change something, in seconds since
    /// 1970.
    pub(super) fn read(&mut self, job: Job) -> Option<i64> {
        let Job { look, trust, refresh, trigger } = job;
        let now = UnixTime::now();
        let options = self.certificates.options();
        self.watch(refresh);
        if trust {
            self.read_trust(now);
        }
        let report = look.map(|look| self.certificates.look(&look, now));
        if !Arc::ptr_eq(&options, &self.certificates.options()) {
            // It took so long that certificates come from elsewhere by now.
            return None;
        }
        let mut tidings = locked(&self.tidings);
        if let Some(report) = report {
            let is_news = tidings.count(&report, &self.certificates);
            if is_news || trigger == Trigger::HangUp {
                tidings.say(&report, &self.certificates);
            }
        }
        let report = self.certificates.report();
        tidings.remind(&report);
        report.next_change.into_iter().chain(self.trust_due).min()
    }

    /// From now on, this is what is trusted, and certificates may come from elsewhere.
    pub(super) fn trust(&mut self, trust: Trust) {
        (self.trust, self.watches) = (trust, None);
    }

    fn read_trust(&mut self, now: UnixTime) {
        let Trust { client_auths, backends } = &self.trust;
        let reports: Vec<_> = client_auths.iter().map(|auth| auth.reload(now)).collect();
        let backends: Vec<_> =
            backends.iter().map(|backend| (backend, backend.reload_tls())).collect();
        let mut tidings = locked(&self.tidings);
        let mut news = TrustNews::default();
        // It may have taken so long that some of it is trusted no more, which is nobody's matter.
        let now = Trust::of(&self.names.served());
        for (auth, report) in client_auths.iter().zip(&reports) {
            if now.client_auths.iter().any(|one| Arc::ptr_eq(one, auth)) {
                tidings.say_trust(report, &mut news);
            }
        }
        tidings.count_trust(client_auths);
        for (backend, result) in backends {
            if now.backends.iter().any(|one| Arc::ptr_eq(one, backend)) {
                tidings.say_backend(backend.name(), result, &mut news);
            }
        }
        tidings.note_trust(news);
        // Whether they were read for it in vain is known now that they are shown.
        self.trust_paths().iter().for_each(|path| self.names.forget_crl(path));
        self.trust_due = reports.iter().filter_map(|report| report.next_change).min();
    }

    /// Watches over the files that are to be read, before they are.
    fn watch(&mut self, refresh: [bool; 2]) {
        match &mut self.watches {
            Some(watches) => {
                let due = watches.iter_mut().zip(refresh).filter(|(_, is_due)| *is_due);
                due.for_each(|(watch, _)| watch.refresh());
            }
            None => {
                let [of_certificates, of_trust] = &self.hints;
                self.watches = Some([
                    hints::watch(&self.certificates.options().paths, of_certificates),
                    hints::watch(&self.trust_paths(), of_trust),
                ]);
            }
        }
        let modes = self.watches.iter().flatten().map(Watch::mode);
        locked(&self.tidings).show_modes(modes);
    }

    /// The files that decide which clients are let in, and which endpoints are believed.
    fn trust_paths(&self) -> Vec<PathBuf> {
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
    use crate::metrics::{Exposition, Metrics};

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
        let metrics = Arc::new(Metrics::new());
        let backend = config.backends.first().unwrap();
        let backend = Backend::new(backend, Arc::default(), metrics.backend("app")).unwrap();
        let provider = Arc::new(aws_lc_rs::default_provider());
        let options = StoreOptions { paths: Vec::new(), strict_permissions: false, provider };
        let (certificates, _) = CertificateStore::open(options, UnixTime::now());
        let trust = Trust { client_auths: Vec::new(), backends: vec![Arc::clone(&backend)] };
        let tidings = Arc::new(Mutex::new(Tidings::new(metrics.process(), Arc::default())));
        let names = Names::of_nothing(config, &metrics);
        let means = (Arc::new(certificates), tidings, names);
        let mut reader = Reader::new(means, trust, Signs::default());
        let job = || Job { look: None, trust: true, refresh: [false; 2], trigger: Trigger::HangUp };
        assert_eq!(reader.trust_paths(), [ca.as_path()]);
        write();
        let shown = &metrics.process().crl_next_update;
        shown.with_label_values(&[&ca.display().to_string()]).set(1.0);
        reader.read(job());
        assert!(
            !metrics.encode(Exposition::Text).contains("ca.pem"),
            "nothing is served that would be trusted by it"
        );
        assert!(!backend.reload_tls().unwrap(), "it has been read already");
        fs::write(&ca, "nothing").unwrap();
        reader.read(job());
        assert!(backend.reload_tls().is_err(), "the last good one stays, and it is tried again");
    }
}

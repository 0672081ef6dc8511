//! What is going to be served: the next generation, complete, and how it is had.
//!
//! Owns [`Draft`], whose building reads files and opens addresses, and [`Attempt`], by which
//! whoever waits no more has it hold nothing: what hangs on a file system may come to its end when
//! others have the address. A draft that is never served leaves nothing behind. Refuses to know
//! how a draft takes effect.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use portunus_certs::store::{CertificateStore, StoreOptions};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::UnixTime;

use crate::access::{AccessLog, Writer};
use crate::backend::Resolver;
use crate::config::Config;
use crate::runtime::generation::Generation;
use crate::runtime::{RunError, logs};

use super::World;
use super::doors::Opened;
use super::names::Meant;

/// The next generation, complete and not yet served.
pub(in crate::runtime) struct Draft {
    pub(super) generation: Generation,
    pub(super) opened: Opened,
    pub(super) certificates: Option<CertificateStore>,
    pub(super) log: Option<(AccessLog, Option<Writer>)>,
    pub(super) resolver: Arc<Resolver>,
    pub(super) meant: Meant,
}

/// The building of one draft, as whoever waits for it and whoever builds it know it.
#[derive(Debug)]
pub(in crate::runtime) struct Attempt(Mutex<Stage>);

#[derive(Debug)]
enum Stage {
    /// With the sockets that it has opened so far.
    Wanted(Opened),
    /// Nobody waits for it.
    Abandoned,
}

impl Attempt {
    pub(in crate::runtime) fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::new(Stage::Wanted(Opened::default()))))
    }

    /// Nobody waits for it any more: its sockets are closed at once, and it opens no more.
    pub(in crate::runtime) fn abandon(&self) {
        *self.stage() = Stage::Abandoned;
    }

    fn is_wanted(&self) -> bool {
        matches!(*self.stage(), Stage::Wanted(_))
    }

    /// Keeps what was opened, if anybody still waits for it.
    fn hold(&self, opened: Opened) {
        if let Stage::Wanted(held) = &mut *self.stage() {
            *held = opened;
        }
    }

    /// All that was opened, if anybody still waits for it.
    fn take(&self) -> Option<Opened> {
        match &mut *self.stage() {
            Stage::Wanted(opened) => Some(std::mem::take(opened)),
            Stage::Abandoned => None,
        }
    }

    fn stage(&self) -> MutexGuard<'_, Stage> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl World {
    /// Builds what `config` says, beside what is served. It may block, and nobody need wait for it
    /// then: `attempt` knows. Nothing that is served changes by it, whatever comes of it.
    pub(in crate::runtime) fn draft(
        &self,
        config: Config,
        attempt: &Attempt,
    ) -> Result<Draft, Vec<RunError>> {
        let before = self.current();
        let config = Arc::new(config);
        let meant = self.names.mean(&config);
        let mut errors = Vec::new();
        let certificates = self.other_certificates(&before.config, &config, &mut errors);
        let log = match before.config.log.access == config.log.access
            && before.config.log.format == config.log.format
        {
            true => None,
            false => {
                logs::open(&config, &self.common.metrics).map_err(|error| errors.push(error)).ok()
            }
        };
        if attempt.is_wanted() {
            let opened = self.doors.open(&config).map_err(|more| errors.extend(more));
            attempt.hold(opened.unwrap_or_default());
        }
        let common = &self.common;
        if config.resumption != before.config.resumption {
            // A store is opened, and thereby made, only for what is going to be served.
            let rehearsed = Generation::rehearse(Arc::clone(&config), &before, common);
            errors.extend(rehearsed.err().unwrap_or_default());
        }
        let is_hopeless = config.resumption != before.config.resumption && !errors.is_empty();
        let generation = (!is_hopeless && attempt.is_wanted())
            .then(|| Generation::build(Arc::clone(&config), Some(&before), common))
            .and_then(|built| built.map_err(|more| errors.extend(more)).ok());
        match (generation, attempt.take()) {
            (Some(generation), Some(opened)) if errors.is_empty() => {
                let resolver = Arc::new(Resolver::new(config.nameservers.clone()));
                Ok(Draft { generation, opened, certificates, log, resolver, meant })
            }
            _ => Err(errors),
        }
    }

    /// Finds out whether what `config` says could be served. Addresses are not tried, and neither a
    /// log nor a store is opened, since all of that could be seen from outside.
    pub(in crate::runtime) fn rehearse(&self, config: Config) -> Result<(), Vec<RunError>> {
        let before = self.current();
        let config = Arc::new(config);
        let _meant = self.names.mean(&config);
        let mut errors = Vec::new();
        drop(self.other_certificates(&before.config, &config, &mut errors));
        let built = Generation::rehearse(Arc::clone(&config), &before, &self.common);
        errors.extend(built.err().unwrap_or_default());
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }

    /// The certificates of other places, if `config` names others. Where there are none, those of
    /// before are better.
    fn other_certificates(
        &self,
        before: &Config,
        config: &Config,
        errors: &mut Vec<RunError>,
    ) -> Option<CertificateStore> {
        let (old, new) = (&before.certificates, &config.certificates);
        if old.paths == new.paths && old.strict_permissions == new.strict_permissions {
            return None;
        }
        let (store, report) = CertificateStore::open(store_options(config), UnixTime::now());
        if report.is_empty() && !new.paths.is_empty() && !self.common.certificates.load().is_empty()
        {
            let skipped = report.skipped.iter();
            let why = skipped.map(|skipped| skipped.path.display().to_string()).collect();
            errors.push(RunError::NoCertificates { skipped: why });
            return None;
        }
        Some(store)
    }
}

pub(super) fn store_options(config: &Config) -> StoreOptions {
    StoreOptions {
        paths: config.certificates.paths.clone(),
        strict_permissions: config.certificates.strict_permissions,
        provider: Arc::new(aws_lc_rs::default_provider()),
    }
}

//! One configuration, with everything that is made of it.
//!
//! Owns [`Generation`] and how the next one is built beside the one that is served: what is
//! configured as before is kept, with its connections, its health and its sessions, and only what
//! is not is made anew. Building changes nothing that is served, and finds every fault, not only
//! the first. It reads files and may block. Refuses to know sockets, and how one generation takes
//! the place of another: that is `world`.

use std::sync::Arc;

use portunus_certs::client_auth::ClientAuth;
use portunus_certs::store::CertificateStore;
use rustls::pki_types::UnixTime;
use tracing::warn;

use crate::access::AccessLog;
use crate::backend::Backend;
use crate::config::{self, Config, Limits};
use crate::failures::Failures;
use crate::history::History;
use crate::limit::{HandshakeLimit, Memory, Slots, SourceRates};
use crate::metrics::Metrics;
use crate::net::EndpointName;
use crate::snapshot::{Shared, Snapshot};

use super::resumption::{self, ResumptionError, Sessions};
use super::world::Traces;
use super::{RunError, clients};

/// What all generations share.
pub(super) struct Common {
    pub(super) metrics: Arc<Metrics>,
    pub(super) certificates: Arc<CertificateStore>,
    pub(super) handshakes: Arc<HandshakeLimit>,
    pub(super) dialogues: Arc<HandshakeLimit>,
    pub(super) rates: Arc<SourceRates>,
    pub(super) failures: Arc<Failures>,
    pub(super) memory: Arc<Memory>,
    pub(super) slots: Arc<Slots>,
    pub(super) history: Arc<History>,
    pub(super) access: AccessLog,
    pub(super) traces: Traces,
}

/// One configuration, with everything that is made of it; each list is in its order.
#[derive(Debug)]
pub(super) struct Generation {
    /// Counted from 1 at start.
    pub(super) number: u64,
    pub(super) config: Arc<Config>,
    pub(super) client_auths: Vec<Arc<ClientAuth>>,
    pub(super) sessions: Sessions,
    pub(super) backends: Vec<Arc<Backend>>,
    /// Where spans go, if anything is traced.
    pub(super) collector: Option<Arc<Backend>>,
    pub(super) snapshots: Vec<Arc<Snapshot>>,
}

impl Generation {
    /// Builds what `config` says, with what can be kept of `before`.
    pub(super) fn build(
        config: Arc<Config>,
        before: Option<&Self>,
        common: &Common,
    ) -> Result<Self, Vec<RunError>> {
        let sessions =
            Sessions::open(&config, before.map(|before| (&before.sessions, &*before.config)));
        Self::build_with(sessions.map_err(|error| vec![error]), config, before, common)
    }

    /// Finds out whether `config` could be built, without opening any store of sessions: that would
    /// make files, and take those of somebody else.
    pub(super) fn rehearse(
        config: Arc<Config>,
        before: &Self,
        common: &Common,
    ) -> Result<(), Vec<RunError>> {
        let faults = match config.resumption == before.config.resumption {
            true => Vec::new(),
            false => resumption::faults(&config),
        };
        let sessions = if faults.is_empty() { Ok(before.sessions.clone()) } else { Err(faults) };
        Self::build_with(sessions, config, Some(before), common).map(drop)
    }

    fn build_with(
        sessions: Result<Sessions, Vec<ResumptionError>>,
        config: Arc<Config>,
        before: Option<&Self>,
        common: &Common,
    ) -> Result<Self, Vec<RunError>> {
        let mut errors = Vec::new();
        let client_auths = open_client_auths(&config, before, &mut errors);
        let why = |faults: Vec<_>| errors.extend(faults.into_iter().map(RunError::from));
        let sessions = sessions.map_err(why).ok();
        let backends = open_backends(&config, before, common, &mut errors);
        let collector = open_collector(&config, before, &mut errors);
        let Some(sessions) = sessions.filter(|_| errors.is_empty()) else { return Err(errors) };
        let number = before.map_or(1, |before| before.number + 1);
        let snapshots = Vec::new();
        let mut new =
            Self { number, config, client_auths, sessions, backends, collector, snapshots };
        new.snapshots = new.build_snapshots(before, common)?;
        Ok(new)
    }

    /// What there is before anything is served.
    pub(super) fn nothing(&self) -> Self {
        Self {
            number: 0,
            config: Arc::clone(&self.config),
            client_auths: Vec::new(),
            sessions: self.sessions.clone(),
            backends: Vec::new(),
            collector: None,
            snapshots: Vec::new(),
        }
    }

    /// The backend with this name, and how it is configured.
    pub(super) fn backend(&self, name: &str) -> Option<(&Arc<Backend>, &config::Backend)> {
        let place = self.config.backends.iter().position(|backend| *backend.name == *name)?;
        self.backends.get(place).zip(self.config.backends.get(place))
    }

    /// The listener with this name: what its connections need, and how it is configured.
    pub(super) fn listener(&self, name: &str) -> Option<(&Arc<Snapshot>, &config::Listener)> {
        let place = self.config.listeners.iter().position(|one| *one.name == *name)?;
        self.snapshots.get(place).zip(self.config.listeners.get(place))
    }

    fn build_snapshots(
        &self,
        before: Option<&Self>,
        common: &Common,
    ) -> Result<Vec<Arc<Snapshot>>, Vec<RunError>> {
        let shared = Shared {
            config: &self.config,
            metrics: &common.metrics,
            certificates: &common.certificates,
            client_auths: &self.client_auths,
            resumption: &|mode| self.sessions.of_mode(mode),
            backends: &self.backends,
            handshakes: &common.handshakes,
            dialogues: &common.dialogues,
            rates: &common.rates,
            failures: &common.failures,
            memory: &common.memory,
            access: &common.access,
            tracer: common.traces.tracer(),
        };
        let mut errors = Vec::new();
        let build = |listener: &config::Listener| {
            let kept = before.and_then(|before| self.kept_snapshot(listener, before));
            let name = &listener.name;
            match kept.map_or_else(|| Snapshot::build(listener, &shared), Ok) {
                Ok(snapshot) => Some(snapshot),
                Err(cause) => {
                    errors.push(RunError::Tls { listener: Arc::clone(name), cause });
                    None
                }
            }
        };
        let snapshots = self.config.listeners.iter().filter_map(build).collect();
        if errors.is_empty() { Ok(snapshots) } else { Err(errors) }
    }

    /// What the connections of `listener` needed before, if they need nothing else now. Which
    /// addresses it has is of no consequence to them.
    fn kept_snapshot(&self, listener: &config::Listener, before: &Self) -> Option<Arc<Snapshot>> {
        let (snapshot, old) = before.listener(&listener.name)?;
        let backend = |index| same_place(&self.backends, index, &before.backends);
        let client_auth = |index| same_place(&self.client_auths, index, &before.client_auths);
        let mut new = listener.clone().renumbered(backend, client_auth);
        new.addresses.clone_from(&old.addresses);
        if let (Some(new), Some(old)) = (&mut new.http.redirect, &old.http.redirect) {
            new.addresses.clone_from(&old.addresses);
        }
        let is_same = new == *old
            && of_connections(&self.config.limits) == of_connections(&before.config.limits)
            && self.sessions.is_same_for(&before.sessions, listener.resumption);
        is_same.then(|| Arc::clone(snapshot))
    }
}

/// Where the thing at `index` of `new` is in `old`; nowhere, if it is not there.
fn same_place<T>(new: &[Arc<T>], index: usize, old: &[Arc<T>]) -> usize {
    let thing = new.get(index);
    let place = thing.and_then(|new| old.iter().position(|old| Arc::ptr_eq(old, new)));
    place.unwrap_or(usize::MAX)
}

/// The limits without those that hold for everybody from one moment to the next.
fn of_connections(limits: &Limits) -> Limits {
    let mut limits = limits.clone();
    (limits.handshakes_max, limits.handshakes_per_source_max) = (0, 0);
    limits.handshake_rate_per_source_max = None;
    limits.connects_max = 0;
    limits
}

fn open_client_auths(
    config: &Config,
    before: Option<&Generation>,
    errors: &mut Vec<RunError>,
) -> Vec<Arc<ClientAuth>> {
    let now = UnixTime::now();
    let kept = |auth: &config::ClientAuth| {
        let before = before?;
        let place = before.config.client_auths.iter().position(|old| old == auth)?;
        let is_same = before.config.limits.client_chain == config.limits.client_chain;
        before.client_auths.get(place).filter(|_| is_same).map(Arc::clone)
    };
    let options = clients::options(config).into_iter().enumerate();
    let open = options.zip(&config.client_auths).filter_map(|((index, options), auth)| {
        if let Some(kept) = kept(auth) {
            return Some(kept);
        }
        match clients::open_one(config, index, options, now) {
            Ok((auth, report)) => {
                report.warnings.iter().for_each(|warning| warn!("{warning}"));
                Some(Arc::new(auth))
            }
            Err(error) => {
                errors.push(error);
                None
            }
        }
    });
    open.collect()
}

fn open_backends(
    config: &Config,
    before: Option<&Generation>,
    common: &Common,
    errors: &mut Vec<RunError>,
) -> Vec<Arc<Backend>> {
    let kept = |backend: &config::Backend| {
        let before = before?;
        let (kept, old) = before.backend(&backend.name)?;
        let same_names = before.config.nameservers == config.nameservers || !has_names(backend);
        (same_names && old == backend).then(|| Arc::clone(kept))
    };
    let open = config.backends.iter().filter_map(|backend| {
        if let Some(kept) = kept(backend) {
            return Some(kept);
        }
        let name = &backend.name;
        let opened =
            Backend::new(backend, Arc::clone(&config.limits), common.metrics.backend(name));
        opened
            .map_err(|cause| {
                let (backend, cause) = (Arc::clone(name), Box::new(cause));
                errors.push(RunError::Trust { backend, cause });
            })
            .ok()
    });
    open.collect()
}

/// Where spans go. It is no backend of anybody's, and what is counted of it is not counted there.
fn open_collector(
    config: &Config,
    before: Option<&Generation>,
    errors: &mut Vec<RunError>,
) -> Option<Arc<Backend>> {
    let traces = config.traces.as_ref()?;
    let collector = &traces.collector;
    if let Some(before) = before
        && before.config.traces.as_ref() == Some(traces)
        && (before.config.nameservers == config.nameservers || !has_names(collector))
    {
        return before.collector.clone();
    }
    let unseen = Metrics::new().backend(&collector.name);
    let opened = Backend::new(collector, Arc::clone(&config.limits), unseen);
    opened
        .map_err(|cause| {
            let (backend, cause) = (Arc::clone(&collector.name), Box::new(cause));
            errors.push(RunError::Trust { backend, cause });
        })
        .ok()
}

/// Whether anything of it has to be resolved.
pub(super) fn has_names(backend: &config::Backend) -> bool {
    backend.endpoints.iter().any(|endpoint| match &endpoint.name {
        EndpointName::Host { host, .. } => host.parse::<std::net::IpAddr>().is_err(),
        EndpointName::Service(_) => true,
        EndpointName::Unix(_) => false,
    })
}

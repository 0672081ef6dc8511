//! What is served now, and how that becomes something else while it is served.
//!
//! Owns [`World`]: the generation that is served, the doors that it is served at, and what of
//! earlier generations is still in use. A reload builds the next generation aside and then puts it
//! in place in one go, in which nothing can fail and nothing waits. A connection is served to its
//! end by what it began with. Refuses to know signals, and when to reload: that is `configure`.
//! Read next: `generation`, then `draft`, `doors` and `retire`.

mod doors;
mod draft;
mod names;
mod retire;
mod traces;

use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use futures_util::future::join_all;
use portunus_certs::store::{CertificateStore, ReloadReport};
use rustls::pki_types::UnixTime;
use tokio::sync::watch;
use tracing::info;

use crate::access::Writer;
use crate::admin::View;
use crate::admin::status::{Listeners, Resources, Resumption, client_policies};
use crate::backend::{Backend, Resolver};
use crate::config::Config;
use crate::drain::{Drain, DrainWatch, WeakWatch};
use crate::limit::{HandshakeLimit, Memory, Slots, SourceRates};
use crate::metrics::{Limit, Metrics};
use crate::net::ListenAddr;
use crate::phase::PhaseWatch;

use super::generation::{Common, Generation};
use super::sockets::Sockets;
use super::{RunError, expected, logs};
use doors::Doors;
use draft::store_options;
pub(super) use draft::{Attempt, Draft};
pub(super) use names::Names;
use retire::Retired;
pub(super) use traces::Traces;

/// What is served now.
pub(super) struct World {
    common: Common,
    current: watch::Sender<Arc<Generation>>,
    view: Arc<ArcSwap<View>>,
    doors: Doors,
    names: Arc<Names>,
    phase: PhaseWatch,
    /// Runs what goes on in the background, for as long as anything does.
    watch: WeakWatch,
    held: Mutex<Held>,
    /// By itself, so that the end never waits for a reload that goes on.
    log: Mutex<Option<Writer>>,
    retired: Arc<Retired>,
}

/// What ends when its configuration does.
#[derive(Default)]
struct Held {
    /// For each listener, in the order of the configuration.
    listeners: Vec<HeldListener>,
    /// For each backend, by its name.
    backends: Vec<(Arc<str>, Drain)>,
    sessions: Option<Drain>,
}

/// The connections of one listener, as it is configured.
struct HeldListener {
    name: Arc<str>,
    drain: Drain,
    /// For connections that come in.
    watch: WeakWatch,
}

impl World {
    /// Reads the certificates and what decides which clients are let in, and resolves the names of
    /// endpoints; then it is complete, and nothing is served yet. Neither a missing certificate nor
    /// a name that does not resolve keeps the process from starting; a file that clients are
    /// authenticated by does.
    pub(super) async fn build(
        config: &Config,
        metrics: &Arc<Metrics>,
        memory: &Arc<Memory>,
        sockets: Sockets,
        phase: &PhaseWatch,
        watch: &DrainWatch,
    ) -> Result<(Self, Draft, ReloadReport), RunError> {
        let process = metrics.process();
        let (access, writer) = logs::open(config, metrics)?;
        let (certificates, report) = CertificateStore::open(store_options(config), UnixTime::now());
        let limits = &config.limits;
        let handshakes = |gauge| {
            HandshakeLimit::new(limits.handshakes_max, limits.handshakes_per_source_max, gauge)
        };
        let common = Common {
            metrics: Arc::clone(metrics),
            certificates: Arc::new(certificates),
            handshakes: handshakes(process.handshakes_pending.clone()),
            dialogues: handshakes(process.dialogues_pending.clone()),
            rates: SourceRates::new(
                limits.handshake_rate_per_source_max,
                process.limit_hits.of(Limit::HandshakeRatePerSource).clone(),
            ),
            failures: Arc::default(),
            memory: Arc::clone(memory),
            slots: Slots::new(0),
            history: Arc::default(),
            access,
            traces: Traces::new(process.clone()),
        };
        let config = Arc::new(config.clone());
        let first = |errors: Vec<RunError>| errors.into_iter().next().expect("who fails says why");
        let generation = Generation::build(Arc::clone(&config), None, &common).map_err(first)?;
        let doors = Doors::new(sockets);
        let opened = doors.open(&config).map_err(first)?;
        let resolver = Arc::new(Resolver::new(config.nameservers.clone()));
        resolve(&generation.backends, &resolver).await;
        let nothing = generation.nothing();
        let view = Arc::new(ArcSwap::from_pointee(view_of(&nothing, &[], metrics)));
        let current = watch::Sender::new(Arc::new(nothing));
        let names = Names::new(Arc::clone(metrics), current.subscribe());
        let meant = names.mean(&config);
        let world = Self {
            common,
            current,
            view,
            doors,
            names,
            phase: phase.clone(),
            watch: watch.downgrade(),
            held: Mutex::default(),
            log: Mutex::new(writer),
            retired: Arc::default(),
        };
        let draft = Draft { generation, opened, certificates: None, log: None, resolver, meant };
        Ok((world, draft, report))
    }

    /// What is served now, and whatever will be.
    pub(super) fn generations(&self) -> watch::Receiver<Arc<Generation>> {
        self.current.subscribe()
    }

    /// What is served now.
    pub(super) fn current(&self) -> Arc<Generation> {
        Arc::clone(&self.current.borrow())
    }

    /// Where the process stands.
    pub(super) fn phase(&self) -> PhaseWatch {
        self.phase.clone()
    }

    /// What numbers are shown of.
    pub(super) fn names(&self) -> Arc<Names> {
        Arc::clone(&self.names)
    }

    /// What is told of it.
    pub(super) fn view(&self) -> Arc<ArcSwap<View>> {
        Arc::clone(&self.view)
    }

    /// What all generations share.
    pub(super) fn common(&self) -> &Common {
        &self.common
    }

    /// Every address, with the name of its listener and the port that was really bound.
    pub(super) fn addresses(&self) -> Vec<(Arc<str>, ListenAddr)> {
        self.doors.addresses()
    }

    /// Puts `draft` in place of what is served, in one go. It may block for a moment.
    pub(super) fn serve(&self, draft: Draft) {
        // Without anything that runs, the process has ended.
        let Some(watch) = self.watch.upgrade() else { return };
        let Draft { generation, opened, certificates, log, resolver, meant } = draft;
        let (before, now) = (self.current(), Arc::new(generation));
        let config = &now.config;
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(certificates) = certificates {
            self.common.certificates.become_other(certificates);
        }
        if let Some((access, writer)) = log {
            self.common.access.become_other(&access);
            // Whatever was told to the one before is still written.
            drop(self.exchange_log(writer));
        }
        logs::apply(&before.config.log, &config.log);
        self.common.traces.serve(&before, &now, &resolver, &watch);
        now.sessions.resize(config);
        let limits = &config.limits;
        for handshakes in [&self.common.handshakes, &self.common.dialogues] {
            handshakes.resize(limits.handshakes_max, limits.handshakes_per_source_max);
        }
        self.common.rates.allow(limits.handshake_rate_per_source_max);
        if before.config.limits != *limits {
            let all = now.backends.iter().chain(&now.collector);
            all.for_each(|backend| backend.set_limits(limits));
        }
        expected::show(config, &self.common.metrics);
        let served = self.begin_listeners(&mut held, &before, &now, &watch);
        let addresses = self.doors.addresses();
        // Whoever begins to accept finds places, which nobody was kept out of.
        self.common.slots.resize(config.server.connections_max);
        self.doors.serve(config, &served, opened, (&self.phase, &watch, &self.common.slots));
        drop(served);
        // Each accept loop holds a slot while it waits, and must not keep it from the others.
        let loops = self.doors.count().saturating_sub(1);
        self.common.slots.resize(config.server.connections_max.saturating_add(loops));
        let bound = self.doors.addresses();
        if before.number > 0 {
            say_addresses(&addresses, &bound);
        }
        self.view.store(Arc::new(view_of(&now, &bound, &self.common.metrics)));
        self.current.send_replace(Arc::clone(&now));
        drop(meant);
        self.common.metrics.process().config_generation.set(now.number as i64);
        self.forget_crls(&before.config, config);
        self.begin_backends(&mut held, &now, &resolver, &watch);
        self.begin_sessions(&mut held, &before, &now, &watch);
    }

    /// Resolves the names of what is new in `draft`.
    pub(super) async fn resolve(&self, draft: &Draft) {
        let before = self.current();
        let is_new = |new: &&Arc<Backend>| !before.backends.iter().any(|old| Arc::ptr_eq(old, new));
        let new: Vec<_> = draft.generation.backends.iter().filter(is_new).cloned().collect();
        resolve(&new, &draft.resolver).await;
    }

    /// Writes the last lines of the access log, and sends the last spans.
    pub(super) async fn tell_rest(&self) {
        drop(self.exchange_log(None));
        self.common.traces.close().await;
    }

    fn exchange_log(&self, writer: Option<Writer>) -> Option<Writer> {
        std::mem::replace(&mut *self.log.lock().unwrap_or_else(PoisonError::into_inner), writer)
    }
}

/// Says where is listened now and was not before, and the other way round.
fn say_addresses(before: &[(Arc<str>, ListenAddr)], now: &[(Arc<str>, ListenAddr)]) {
    for (listener, address) in before.iter().filter(|one| !now.contains(one)) {
        info!(listener = &**listener, %address, "no longer listening");
    }
    for (listener, address) in now.iter().filter(|one| !before.contains(one)) {
        info!(listener = &**listener, %address, "listening");
    }
}

async fn resolve(backends: &[Arc<Backend>], resolver: &Arc<Resolver>) {
    join_all(backends.iter().map(|backend| backend.resolve_now(resolver))).await;
}

fn view_of(
    generation: &Generation,
    addresses: &[(Arc<str>, ListenAddr)],
    metrics: &Metrics,
) -> View {
    let config = &generation.config;
    View {
        generation: generation.number,
        token: config.admin.as_ref().and_then(|admin| admin.token.clone()),
        listeners: Listeners::new(config, addresses, metrics),
        resources: Resources::new(config, metrics),
        client_policies: client_policies(generation.client_auths.clone(), config),
        resumption: Resumption::new(config, metrics),
        backends: generation.backends.clone(),
    }
}

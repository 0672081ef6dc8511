//! Everything that is built once at start and shared by all connections.
//!
//! Owns the building, in the order of dependence, and the background work that keeps it current.
//! Refuses to know signals and phases. Read next: `reload`, `resumption`.

use std::sync::Arc;

use futures_util::future::join_all;
use portunus_certs::client_auth::ClientAuth;
use portunus_certs::store::{CertificateStore, StoreOptions};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::UnixTime;
use tokio::signal::unix::Signal;
use tokio::sync::Semaphore;
use tracing::{debug, warn};

use crate::access::AccessLog;
use crate::backend::{Backend, Resolver};
use crate::config::{self, Config, Mode};
use crate::connection::Entrance;
use crate::drain::DrainWatch;
use crate::limit::HandshakeLimit;
use crate::listener;
use crate::metrics::Metrics;
use crate::net::ListenAddr;
use crate::net::listen::{ListenSocket, OpenSocket};
use crate::phase::{Phase, PhaseWatch};
use crate::snapshot::{Shared, Snapshot};

use super::reload::{Reloader, Trust};
use super::resumption::Sessions;
use super::sockets::{Sockets, entrances};
use super::{RunError, clients};

/// What all listeners share.
pub(super) struct World {
    certificates: Arc<CertificateStore>,
    client_auths: Vec<Arc<ClientAuth>>,
    sessions: Sessions,
    backends: Vec<Arc<Backend>>,
    resolver: Arc<Resolver>,
    handshakes: Arc<HandshakeLimit>,
    dialogues: Arc<HandshakeLimit>,
    slots: Arc<Semaphore>,
    reloader: Reloader,
    access: AccessLog,
}

/// An address that is bound, and what its connections need.
pub(super) struct Listening {
    socket: ListenSocket,
    entrance: Entrance,
    snapshot: Arc<Snapshot>,
    slots: Arc<Semaphore>,
}

impl World {
    /// Reads the certificates and what decides which clients are let in, and resolves the names of
    /// endpoints. Neither a missing certificate nor a name that does not resolve keeps the process
    /// from starting; a file that clients are authenticated by does.
    pub(super) async fn build(
        config: &Config,
        metrics: &Arc<Metrics>,
        access: AccessLog,
    ) -> Result<Self, RunError> {
        let process = metrics.process();
        process.config_generation.set(1);
        process.build_info.with_label_values(&[env!("CARGO_PKG_VERSION"), "rustls+aws-lc"]).set(1);
        let options = StoreOptions {
            paths: config.certificates.paths.clone(),
            strict_permissions: config.certificates.strict_permissions,
            provider: Arc::new(aws_lc_rs::default_provider()),
        };
        let (certificates, report) = CertificateStore::open(options, UnixTime::now());
        let certificates = Arc::new(certificates);
        let mut client_auths = Vec::new();
        for opened in clients::open(config, UnixTime::now()) {
            let (auth, report) = opened?;
            for warning in &report.warnings {
                warn!("{warning}");
            }
            client_auths.push(Arc::new(auth));
        }
        let sessions = Sessions::open(config)?;
        sessions.show(metrics);
        let mut backends = Vec::new();
        for backend in &config.backends {
            let limits = Arc::clone(&config.limits);
            let name = &backend.name;
            let backend =
                Backend::new(backend, limits, metrics.backend(name)).map_err(|cause| {
                    RunError::Trust { backend: Arc::clone(name), cause: Box::new(cause) }
                })?;
            let told = Arc::downgrade(&backend);
            metrics.on_scrape(move || told.upgrade().iter().for_each(|one| one.refresh_metrics()));
            backends.push(backend);
        }
        let trust = Trust { client_auths: client_auths.clone(), backends: backends.clone() };
        let store = Arc::clone(&certificates);
        let reloader = Reloader::new(config, store, trust, metrics.process());
        reloader.say_first(&report);
        let resolver = Arc::new(Resolver::new(config.nameservers.clone()));
        join_all(backends.iter().map(|backend| backend.resolve_now(&resolver))).await;
        let limit = |gauge| {
            let config::Limits { handshakes_max, handshakes_per_source_max, .. } = *config.limits;
            HandshakeLimit::new(handshakes_max, handshakes_per_source_max, gauge)
        };
        let handshakes = limit(process.handshakes_pending.clone());
        let dialogues = limit(process.dialogues_pending.clone());
        // Each accept loop holds a slot while it waits, and must not keep it from the others.
        let loops = config.listeners.iter().flat_map(entrances).count();
        let slots = config.server.connections_max.saturating_add(loops.saturating_sub(1));
        let slots = Arc::new(Semaphore::new(slots.min(Semaphore::MAX_PERMITS)));
        Ok(Self {
            certificates,
            client_auths,
            sessions,
            backends,
            handshakes,
            dialogues,
            slots,
            reloader,
            access,
            resolver,
        })
    }

    /// Every certificate.
    pub(super) fn certificates(&self) -> Arc<CertificateStore> {
        Arc::clone(&self.certificates)
    }

    /// Every client authentication, in the order of the configuration.
    pub(super) fn client_auths(&self) -> Vec<Arc<ClientAuth>> {
        self.client_auths.clone()
    }

    /// Every backend, in the order of the configuration.
    pub(super) fn backends(&self) -> Vec<Arc<Backend>> {
        self.backends.clone()
    }

    /// Makes every listener ready to accept, on those of `sockets` that are for it.
    pub(super) fn bind(
        &self,
        config: &Config,
        metrics: &Metrics,
        mut sockets: Sockets,
    ) -> Result<Vec<Listening>, RunError> {
        let shared = Shared {
            config,
            metrics,
            certificates: &self.certificates,
            client_auths: &self.client_auths,
            resumption: &|mode| self.sessions.of_mode(mode),
            backends: &self.backends,
            handshakes: &self.handshakes,
            dialogues: &self.dialogues,
            access: &self.access,
        };
        let mut bound = Vec::new();
        for listener in &config.listeners {
            let name = &listener.name;
            let snapshot = Snapshot::build(listener, &shared)
                .map_err(|cause| RunError::Tls { listener: Arc::clone(name), cause })?;
            for (addr, entrance) in entrances(listener) {
                let open = match sockets.take(addr) {
                    Some(open) => Ok(open),
                    None => OpenSocket::bind(addr, &config.limits.keepalive),
                };
                let socket = open
                    .and_then(ListenSocket::new)
                    .map_err(|cause| RunError::Bind { listener: Arc::clone(name), cause })?;
                if listener.mode == Mode::Http
                    && let Err(error) = socket.keep_little_unsent()
                {
                    debug!(listener = &**name, %error, "the kernel has no limit on unsent bytes");
                }
                let snapshot = Arc::clone(&snapshot);
                let slots = Arc::clone(&self.slots);
                bound.push(Listening { socket, entrance, snapshot, slots });
            }
        }
        Ok(bound)
    }

    /// Keeps certificates, keys and endpoints current until the drain.
    pub(super) fn maintain(self, config: &Config, watch: &DrainWatch, hang_up: Option<Signal>) {
        self.sessions.maintain(config, watch);
        watch.spawn(self.reloader.run(config.certificates.clone(), hang_up, watch.clone()));
        for backend in self.backends {
            watch.spawn(backend.maintain(Arc::clone(&self.resolver), watch.clone()));
        }
    }
}

impl Listening {
    /// The name of the listener and the address.
    pub(super) fn addr(&self) -> (Arc<str>, ListenAddr) {
        (Arc::clone(&self.snapshot.listener), self.socket.addr().clone())
    }

    /// Accepts until the phase is one in which nothing new is.
    pub(super) fn spawn(self, phase: &PhaseWatch, watch: &DrainWatch) {
        let Self { socket, entrance, snapshot, slots } = self;
        let mut phase = phase.clone();
        let for_connections = watch.clone();
        watch.spawn(async move {
            tokio::select! {
                () = listener::accept(&socket, snapshot, entrance, slots, for_connections) => {}
                () = phase.reached(Phase::Draining) => {}
            }
        });
    }
}

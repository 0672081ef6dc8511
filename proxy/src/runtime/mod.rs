//! The life of the process: built, bound, served, drained.
//!
//! Owns the order of these steps, the worker threads, the signals and the phase. Everything is
//! built and every address bound before anything is served, so a start fails whole or not at all.
//! Refuses to know what a connection does. Read next: `listener`.

pub mod activation;
mod addresses;
mod allocator;
mod blocking;
mod cgroup;
pub mod clients;
mod clock;
mod configure;
pub mod confinement;
mod ebb;
mod expected;
mod generation;
pub mod handoff;
mod hints;
pub mod key_files;
mod leave;
mod logs;
mod memory;
mod numbers;
mod orphans;
mod panics;
pub mod reload;
pub mod resumption;
mod signals;
mod sockets;
mod supervisor;
mod turn;
mod watchdog;
mod world;

use std::fmt;
use std::io;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use portunus_certs::client_auth::ClientAuthError;
use portunus_certs::store::ReloadReport;
use tokio::sync::Notify;
use tracing::info;

use crate::access::AccessLogError;
use crate::admin::{self, AdminError};
use crate::backend::TrustError;
use crate::config::Config;
use crate::control::Orders;
use crate::drain::{Drain, DrainWatch};
use crate::limit::{Memory, Panics};
use crate::log;
use crate::metrics::Metrics;
use crate::net::listen::{BindError, OpenSocket};
use crate::phase::{Phase, PhaseTeller, PhaseWatch};
use crate::privilege::{ConfineError, Report};

pub use addresses::Addresses;
pub use signals::HangUp;
pub use sockets::{Sockets, Spare};

use activation::ActivationError;
use configure::{Asks, Configure};
use handoff::{Handoff, Place, SuccessionError, Upgrades, serve};
use leave::Company;
use reload::Reloader;
use resumption::ResumptionError;
use signals::Signals;
use supervisor::{Notice, Supervisor};
use turn::Turn;
use watchdog::{Beats, Watch, Watchdog};
use world::World;

/// The threads of the process and its signals, before anything runs on them.
#[derive(Debug)]
pub struct Runtime {
    threads: tokio::runtime::Runtime,
    signals: Signals,
    beats: Beats,
    confinement: Option<Arc<Report>>,
}

impl Runtime {
    /// Starts `workers` threads, and from then on hears signals.
    pub fn new(workers: NonZeroUsize, hang_up: HangUp) -> Result<Self, RunError> {
        let mut builder = match workers.get() {
            1 => tokio::runtime::Builder::new_current_thread(),
            _ => tokio::runtime::Builder::new_multi_thread(),
        };
        builder.worker_threads(workers.get()).thread_name("worker").enable_all();
        let beats = Beats::new(workers.get());
        beats.attach(&mut builder);
        let threads = builder.build().map_err(RunError::Threads)?;
        let signals = {
            let _entered = threads.enter();
            Signals::listen(hang_up).map_err(RunError::Signals)?
        };
        Ok(Self { threads, signals, beats, confinement: None })
    }

    /// Says what the process has given up, for whoever asks.
    pub fn confined(self, report: Report) -> Self {
        Self { confinement: Some(Arc::new(report)), ..self }
    }

    /// Runs `config` on `sockets` until it is asked to end or followed by another process, and
    /// calls `ready` once everything is served.
    pub fn run(
        self,
        config: &Config,
        sockets: Sockets,
        handoff: Handoff,
        ready: impl FnOnce(&Addresses),
    ) -> Result<End, RunError> {
        let _lines = log::start().map_err(RunError::Threads)?;
        let Self { threads, signals, beats, confinement } = self;
        let live = live(config, sockets, handoff, signals, beats.clone(), confinement, ready);
        let end = threads.block_on(async { (beats.begin().await, live.await).1 });
        // Whatever is still there was cut by the drain, or waits for a blocking call.
        threads.shutdown_timeout(CUT_GRACE);
        end
    }
}

/// How the process ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum End {
    /// Everything finished.
    Clean,
    /// The drain ended before everything had finished.
    Cut,
    /// A second signal ended everything at once.
    Forced,
}

impl End {
    /// The word in logs.
    fn label(self) -> &'static str {
        match self {
            Self::Clean => "clean",
            Self::Cut => "cut",
            Self::Forced => "forced",
        }
    }
}

async fn live(
    config: &Config,
    sockets: Sockets,
    handoff: Handoff,
    mut signals: Signals,
    beats: Beats,
    confinement: Option<Arc<Report>>,
    ready: impl FnOnce(&Addresses),
) -> Result<End, RunError> {
    let supervisor = Arc::new(Supervisor::from_environment());
    let metrics = Arc::new(Metrics::new());
    logs::count(&metrics);
    let panics = panics::hear(&metrics.process());
    let (teller, phase) = PhaseTeller::new();
    let (drain, watch) = Drain::counting(metrics.process().tasks);
    let (memory, guard) = memory::guard(config.server.memory_max, &metrics.process());
    let mut addresses = Addresses::default();
    let admin = open_admin(config, &sockets)?;
    addresses.0.extend(admin.iter().map(|socket| ("admin".into(), socket.addr().clone())));
    let built = World::build(config, &metrics, &memory, sockets.clone(), &phase, &watch);
    let (world, draft, report) = built.await?;
    let world = Arc::new(world);
    let Handoff { launcher, mut successor } = handoff;
    let turn = Turn::new();
    if let Some(successor) = &mut successor {
        supervisor.fall_silent();
        successor.take_over(&sockets, &world.current().sessions, &turn).await?;
    }
    let (orders, mut queue) = Orders::new();
    let about = about(&world, phase, panics, memory, confinement.clone(), orders.clone());
    let admin = admin.map(|socket| admin::start(socket, about)).transpose();
    let admin = admin.map_err(RunError::Admin)?;
    world.serve(draft);
    let means = (&supervisor, &turn);
    let asks = maintain(&world, &report, confinement, &mut signals, means, &watch);
    addresses.0.extend(world.addresses());
    let process = metrics.process();
    let ancestors = match successor {
        Some(successor) => {
            let (sockets, sessions) = (sockets.clone(), world.current().sessions.clone());
            let (supervisor, upgrades) = (Arc::clone(&supervisor), process.upgrades.clone());
            let place = Place { sockets, sessions, orders, supervisor, upgrades };
            successor.serve(place, &watch).await
        }
        None => Vec::new(),
    };
    let pending = [process.handshakes_pending.clone(), process.dialogues_pending.clone()];
    let upgrades = Upgrades { launcher, sockets, pending, ancestors, turn };
    drop(watch);
    addresses.tell();
    teller.enter(Phase::Running);
    info!(version = env!("CARGO_PKG_VERSION"), workers = config.server.workers.get(), "ready");
    ready(&addresses);
    let watchdog = watch_over(beats, config, &metrics, &supervisor);
    supervisor.tell(&Notice::Ready("serving"));

    let orders = (&mut queue, &asks);
    let came = serve(&mut signals, orders, &world, upgrades, &supervisor).await;
    let (teller, signals, orders) = (&teller, &mut signals, &mut queue);
    let (slots, forced) = (&*world.common().slots, &process.drain_forced);
    let company = Company { teller, signals, orders, slots, forced, supervisor: &supervisor };
    let end = leave::leave(came, &world.current().config.server, drain, company).await;
    drop(watchdog);
    info!(end = end.label(), "stopped");
    drop((admin, guard));
    // All requests are over: the last of what is told of them is told now.
    world.tell_rest().await;
    Ok(end)
}

/// The socket of the admin listener, if there is to be one.
fn open_admin(config: &Config, sockets: &Sockets) -> Result<Option<OpenSocket>, RunError> {
    let Some(admin) = &config.admin else { return Ok(None) };
    let socket = sockets.take_admin(&admin.listen, &config.limits.keepalive);
    socket.map(Some).map_err(|cause| RunError::Admin(AdminError::Bind(cause)))
}

/// What the admin listener tells of.
fn about(
    world: &World,
    phase: PhaseWatch,
    panics: Arc<Panics>,
    memory: Arc<Memory>,
    confinement: Option<Arc<Report>>,
    orders: Orders,
) -> admin::About {
    admin::About {
        metrics: Arc::clone(&world.common().metrics),
        phase,
        history: Arc::clone(&world.common().history),
        panics,
        memory,
        certificates: Arc::clone(&world.common().certificates),
        failures: Arc::clone(&world.common().failures),
        view: world.view(),
        confinement,
        orders,
    }
}

/// Keeps what is served current, and returns where to ask for another configuration.
fn maintain(
    world: &Arc<World>,
    report: &ReloadReport,
    confinement: Option<Arc<Report>>,
    signals: &mut Signals,
    (supervisor, turn): (&Arc<Supervisor>, &Turn),
    watch: &DrainWatch,
) -> Asks {
    let common = world.common();
    numbers::show(world);
    let reloader = Reloader::new(world.generations(), world.names(), common);
    reloader.say_first(report);
    let look = Arc::new(Notify::new());
    watch.spawn(reloader.run(Arc::clone(&look), signals.take_reload(), watch.clone()));
    if let Some(signals) = signals.take_reopen() {
        watch.spawn(logs::reopen(common.access.clone(), signals, watch.clone()));
    }
    watch.spawn(clock::watch(watch.clone()));
    ebb::follow(world, watch);
    orphans::bury(watch);
    let (supervisor, turn) = (Arc::clone(supervisor), turn.clone());
    let (configure, asks) = Configure::new(Arc::clone(world), confinement, look, supervisor, turn);
    watch.spawn(configure.run(signals.take_configure(), watch.clone()));
    asks
}

/// Watches over the workers from now on.
fn watch_over(
    beats: Beats,
    config: &Config,
    metrics: &Metrics,
    supervisor: &Arc<Supervisor>,
) -> Option<Watchdog> {
    let process = metrics.process();
    Watchdog::start(Watch {
        beats,
        runtime: tokio::runtime::Handle::current(),
        limit: config.server.watchdog,
        supervisor: Arc::clone(supervisor),
        stalls: process.worker_stalls,
        stalled: process.workers_stalled,
    })
}

/// Why the process could not start.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Requests could not be logged.
    #[error("no access log")]
    AccessLog(#[from] AccessLogError),
    /// What a supervisor gave cannot be used.
    #[error("sockets of the supervisor")]
    Activation(#[from] ActivationError),
    /// The admin listener could not be started.
    #[error("the admin listener could not start")]
    Admin(#[source] AdminError),
    /// An address of a listener could not be bound.
    #[error("listener `{listener}`")]
    Bind {
        /// The name of the listener.
        listener: Arc<str>,
        /// Which address, and why.
        #[source]
        cause: BindError,
    },
    /// A file that decides which clients are let in is missing or bad.
    #[error("{owner}: its clients cannot be authenticated")]
    ClientAuth {
        /// The listener, and the site if there is one.
        owner: String,
        /// Which file, and why.
        #[source]
        cause: Box<ClientAuthError>,
    },
    /// Privileges could not be given up as the configuration says.
    #[error("the process cannot be confined")]
    Confine(#[source] ConfineError),
    /// The paths that certificates are to come from have none.
    #[error("none of the certificates can be used, or there are none{}", Listed(skipped))]
    NoCertificates {
        /// The files that were skipped.
        skipped: Vec<String>,
    },
    /// The process before leaves nothing to this one.
    #[error("this process cannot follow the one before")]
    Handoff(#[from] SuccessionError),
    /// Signals could not be listened to.
    #[error("signals could not be set up")]
    Signals(#[source] io::Error),
    /// The threads could not be started.
    #[error("the worker threads could not start")]
    Threads(#[source] io::Error),
    /// Sessions cannot be kept as the configuration says.
    #[error("resumption")]
    Resumption(#[from] ResumptionError),
    /// The TLS configuration of a listener contradicts itself.
    #[error("listener `{listener}`: no TLS configuration")]
    Tls {
        /// The name of the listener.
        listener: Arc<str>,
        /// Why.
        #[source]
        cause: rustls::Error,
    },
    /// The files that a backend's TLS needs are missing or bad.
    #[error("backend `{backend}`: its endpoints cannot be trusted")]
    Trust {
        /// The name of the backend.
        backend: Arc<str>,
        /// Which file, and why.
        #[source]
        cause: Box<TrustError>,
    },
}

/// What stands behind a sentence, if there is anything.
struct Listed<'a>(&'a [String]);

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() { Ok(()) } else { write!(f, ": {}", self.0.join(", ")) }
    }
}

impl RunError {
    /// What can be done about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Admin(AdminError::Bind(cause)) | Self::Bind { cause, .. } => cause.hint(),
            Self::ClientAuth { .. } => Some(
                "`client_auth.ca` is a PEM bundle of the authorities that issue to your clients, \
                 `client_auth.crl` has their revocation lists, PEM or DER; without them nothing is \
                 served, since everybody would be let in or nobody",
            ),
            Self::Confine(cause) => cause.hint(),
            Self::NoCertificates { .. } => {
                Some("`certificates.paths` names files and folders; those of before stay in use")
            }
            Self::Resumption(cause) => Some(cause.hint()),
            _ => None,
        }
    }
}

/// How long cut tasks and blocking calls may take to notice.
const CUT_GRACE: Duration = Duration::from_secs(1);

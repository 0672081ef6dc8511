//! The sessions of the process, and what keeps them current.
//!
//! Owns the way from the configuration to the memory of sessions, the shared tier and the keys of
//! tickets, and the tasks behind them: sessions are handed over to the store, keys are renewed,
//! and the numbers are shown. A key file that is missing or bad at the start is an error, since
//! clients would be served otherwise than the operator said; a store that is away never is. Refuses
//! to know handshakes. Read next: `key_files`, and `handshake::resume` for who uses it.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use portunus_certs::session::engine::{Engine, ErrorKind};
use portunus_certs::session::local::{LaterEngine, LocalEngine, LocalOptions, Start};
use portunus_certs::session::memory::{Options, SessionCache};
use portunus_certs::session::redis::{RedisEngine, RedisOptions};
use portunus_certs::session::seal::SealingKeys;
use portunus_certs::session::shared::{self, Change, SharedTier};
use portunus_certs::session::trace::{LookupResult, Tier};
use portunus_certs::tickets::{FileKeys, RingOptions, TicketKeys};
use rustls::time_provider::DefaultTimeProvider;
use tokio::time::sleep;
use tracing::{debug, info, warn};

use crate::config::{self, Config, ResumptionMode, Secret, SharedEngine, TicketKeySource};
use crate::drain::DrainWatch;
use crate::handshake::resume::Resumption;
use crate::log::Chain;
use crate::metrics::{Metrics, ProcessMetrics};

use super::key_files::{KeyFileError, KeyFiles, read};

/// Every session of the process, and the keys of those that clients carry.
#[derive(Debug)]
pub(super) struct Sessions {
    memory: Arc<SessionCache>,
    shared: Option<Arc<SharedTier>>,
    tickets: Option<Arc<TicketKeys>>,
}

impl Sessions {
    /// Opens what `config` asks for; the store itself is not asked yet.
    pub(super) fn open(config: &Config) -> Result<Self, ResumptionError> {
        let resumption = &config.resumption;
        for path in exposed(config) {
            let file = path.display();
            warn!(%file, "others than its owner can read these keys: chmod 600 it");
        }
        let memory = Arc::new(SessionCache::new(Options {
            bytes_max: resumption.memory,
            entry_bytes_max: resumption.session_bytes_max,
            lifetime: resumption.lifetime,
        }));
        let shared = resumption.shared.as_ref();
        let shared = shared.map(|shared| open_tier(shared, &memory).map(Arc::new)).transpose()?;
        let carries = |listener: &config::Listener| {
            matches!(listener.resumption, ResumptionMode::Both | ResumptionMode::Tickets)
        };
        let are_carried = config.listeners.iter().any(carries);
        let tickets = are_carried.then(|| open_tickets(resumption).map(Arc::new)).transpose()?;
        Ok(Self { memory, shared, tickets })
    }

    /// What a listener with this mode resumes from.
    pub(super) fn of_mode(&self, mode: ResumptionMode) -> Resumption {
        Resumption {
            mode,
            sessions: Arc::clone(&self.memory),
            shared: self.shared.clone(),
            tickets: self.tickets.clone(),
        }
    }

    /// Has the numbers read before each scrape.
    pub(super) fn show(&self, metrics: &Metrics) {
        let process = metrics.process();
        let (memory, shared, tickets) =
            (Arc::clone(&self.memory), self.shared.clone(), self.tickets.clone());
        metrics.on_scrape(move || {
            show_memory(&process, &memory);
            if let Some(shared) = &shared {
                show_shared(&process, shared);
            }
            if let Some(tickets) = &tickets {
                show_tickets(&process, tickets);
            }
        });
    }

    /// Keeps all of it current until the drain, and then hands over what waits.
    pub(super) fn maintain(&self, config: &Config, watch: &DrainWatch) {
        if let Some(shared) = &self.shared {
            watch.spawn(hand_over(Arc::clone(shared), watch.clone()));
        }
        if let Some(tickets) = &self.tickets {
            watch.spawn(renew(Arc::clone(tickets), self.shared.clone(), watch.clone()));
        }
        let files = KeyFiles::new(config, self.shared.clone(), self.tickets.clone());
        if let Some(files) = files {
            watch.spawn(files.follow(config.certificates.clone(), watch.clone()));
        }
    }
}

fn open_tier(
    config: &config::SharedTier,
    memory: &Arc<SessionCache>,
) -> Result<SharedTier, ResumptionError> {
    let keys = read(&config.sealing_key, SealingKeys::parse)?;
    let engine: Arc<dyn Engine> = match &config.engine {
        SharedEngine::Local { path, bytes_max } => {
            let options = LocalOptions { bytes_max: *bytes_max, ..LocalOptions::new(path) };
            open_local(options)?
        }
        SharedEngine::Redis { url, ca, prefix } => {
            Arc::new(open_redis(url, ca.as_deref(), prefix)?)
        }
    };
    let options = shared::Options {
        timeout: config.timeout,
        in_flight_max: config.in_flight_max,
        queue_max: config.queue_max,
    };
    let memory = Arc::clone(memory);
    Ok(SharedTier::new(engine, keys, memory, options, Arc::new(DefaultTimeProvider)))
}

fn open_redis(
    url: &Secret,
    ca: Option<&Path>,
    prefix: &str,
) -> Result<RedisEngine, ResumptionError> {
    let options = RedisOptions {
        url: url.expose().to_owned(),
        ca: ca.map(read_ca).transpose()?,
        // The layout of what lies there, so that two versions do not meet.
        prefix: format!("{prefix}:1:"),
    };
    RedisEngine::new(&options).map_err(|cause| ResumptionError::Store(cause.into()))
}

fn open_local(options: LocalOptions) -> Result<Arc<dyn Engine>, ResumptionError> {
    let engine = match LocalEngine::open(&options) {
        Ok(engine) => engine,
        Err(error) if error.is_passing() => {
            warn!(error = %Chain(&error), "sessions stay in memory until the folder can be opened");
            return Ok(Arc::new(LaterEngine::new(options)));
        }
        Err(error) => return Err(ResumptionError::Store(error.into())),
    };
    let folder = options.path.display();
    match engine.start() {
        Start::Created | Start::Found => {}
        Start::Emptied => info!(%folder, "the machine was restarted: sessions begin anew"),
        Start::SetAside { path } => warn!(
            %folder,
            moved = %path.display(),
            "the file of sessions was damaged and moved aside: sessions begin anew"
        ),
    }
    Ok(Arc::new(engine))
}

fn read_ca(path: &Path) -> Result<Vec<u8>, ResumptionError> {
    let failed = |cause| KeyFileError::Read { path: path.to_owned(), cause };
    std::fs::read(path).map_err(failed).map_err(ResumptionError::Authorities)
}

fn open_tickets(config: &config::Resumption) -> Result<TicketKeys, ResumptionError> {
    let rotation = config.tickets.rotation;
    let lifetime = config.lifetime.min(rotation * ROTATIONS_OF_TICKET);
    let options = RingOptions::new(rotation, lifetime);
    let options = options.map_err(|cause| ResumptionError::Tickets(cause.into()))?;
    let clock = Arc::new(DefaultTimeProvider);
    Ok(match &config.tickets.keys {
        TicketKeySource::Generated => TicketKeys::local(options, clock)
            .map_err(|cause| ResumptionError::Tickets(cause.into()))?,
        TicketKeySource::File(path) => {
            TicketKeys::of_file(options, clock, &read(path, FileKeys::parse)?)
        }
        TicketKeySource::Shared => TicketKeys::agreed(options, clock),
    })
}

/// What would keep sessions from being kept as `config` says, without asking the store.
pub fn faults(config: &Config) -> Vec<ResumptionError> {
    let resumption = &config.resumption;
    let mut faults = Vec::new();
    if let Some(shared) = &resumption.shared {
        faults.extend(read(&shared.sealing_key, SealingKeys::parse).err().map(Into::into));
        if let SharedEngine::Redis { url, ca, prefix } = &shared.engine {
            faults.extend(open_redis(url, ca.as_deref(), prefix).err());
        }
    }
    if let TicketKeySource::File(path) = &resumption.tickets.keys {
        faults.extend(read(path, FileKeys::parse).err().map(Into::into));
    }
    faults
}

/// The files of keys that others than their owner can read.
pub fn exposed(config: &Config) -> impl Iterator<Item = &Path> {
    let resumption = &config.resumption;
    let sealing = resumption.shared.as_ref().map(|shared| shared.sealing_key.as_path());
    let tickets = match &resumption.tickets.keys {
        TicketKeySource::File(path) => Some(path.as_path()),
        TicketKeySource::Generated | TicketKeySource::Shared => None,
    };
    let mode = |path: &Path| std::fs::metadata(path).map_or(0, |data| data.permissions().mode());
    sealing.into_iter().chain(tickets).filter(move |path| mode(path) & OTHERS_MAY_READ != 0)
}

/// Hands sessions over until the drain, then what is left.
async fn hand_over(shared: Arc<SharedTier>, mut watch: DrainWatch) {
    let run = shared.run(|change| match change {
        Change::Away(error) => warn!(
            error = %Chain(&error),
            "the shared tier is left alone; sessions stay in memory meanwhile"
        ),
        Change::Back { after } => info!(?after, "the shared tier is back"),
    });
    let end = async {
        watch.finish().await;
        shared.flush(FLUSH_MAX).await;
    };
    tokio::select! {
        () = run => {}
        () = end => {}
    }
}

/// Renews ticket keys, and forgets those that are over, until the drain.
async fn renew(tickets: Arc<TicketKeys>, shared: Option<Arc<SharedTier>>, mut watch: DrainWatch) {
    let mut has_agreed = true;
    loop {
        if let Some(shared) = &shared {
            let agreed = tokio::select! {
                agreed = tickets.agree(&**shared, tickets.now()) => agreed,
                () = watch.finish() => return,
            };
            match agreed {
                Ok(()) => has_agreed = true,
                // The tier itself says when it is away.
                Err(error) if has_agreed && shared.is_available() => {
                    has_agreed = false;
                    warn!(error = %Chain(&error), "ticket keys are not shared meanwhile");
                }
                Err(error) => debug!(error = %Chain(&error), "ticket keys are not shared"),
            }
        }
        if let Err(error) = tickets.advance(tickets.now()) {
            warn!(error = %Chain(&error), "no new ticket key; sessions are kept in memory instead");
        }
        tokio::select! {
            () = sleep(tickets.next_change(tickets.now())) => {}
            () = watch.finish() => return,
        }
    }
}

fn show_memory(process: &ProcessMetrics, memory: &SessionCache) {
    let stats = memory.stats();
    process.sessions.set(stats.sessions as i64);
    process.session_bytes.set(stats.bytes as i64);
    let evictions = &process.session_evictions;
    evictions.inc_by(stats.evictions.saturating_sub(evictions.get()));
    let results = [
        (LookupResult::Hit, stats.hits),
        (LookupResult::Miss, stats.misses),
        (LookupResult::Expired, stats.expired),
        (LookupResult::Policy, stats.policy),
    ];
    for (result, total) in results {
        show_lookups(process, Tier::Memory, result, total);
    }
}

fn show_shared(process: &ProcessMetrics, shared: &SharedTier) {
    let stats = shared.stats();
    process.resumption_shared_up.set(i64::from(!stats.is_open));
    let (stored, dropped) = (&process.resumption_shared_stored, &process.resumption_shared_dropped);
    let lost = &process.resumption_shared_lost;
    lost.inc_by(stats.unknown.saturating_sub(lost.get()));
    stored.inc_by(stats.stored.saturating_sub(stored.get()));
    dropped.inc_by(stats.queue_dropped.saturating_sub(dropped.get()));
    for result in LookupResult::ALL {
        show_lookups(process, Tier::Shared, result, stats.lookups(result));
    }
    for kind in ErrorKind::ALL {
        let errors = process.resumption_shared_errors.with_label_values(&[kind.label()]);
        errors.inc_by(stats.errors(kind).saturating_sub(errors.get()));
    }
}

fn show_tickets(process: &ProcessMetrics, tickets: &TicketKeys) {
    let stats = tickets.stats();
    process.ticket_key_age.set(stats.age.unwrap_or_default().as_secs_f64());
    let results = [
        (LookupResult::Hit, stats.hit),
        (LookupResult::Miss, stats.miss),
        (LookupResult::Expired, stats.expired),
        (LookupResult::Policy, stats.policy),
    ];
    for (result, total) in results {
        show_lookups(process, Tier::Ticket, result, total);
    }
}

fn show_lookups(process: &ProcessMetrics, tier: Tier, result: LookupResult, total: u64) {
    let labels = [tier.label(), result.label()];
    let lookups = process.resumption_lookups.with_label_values(&labels);
    lookups.inc_by(total.saturating_sub(lookups.get()));
}

/// Why sessions cannot be kept as the configuration says.
#[derive(Debug, thiserror::Error)]
pub enum ResumptionError {
    /// A file of keys cannot be used.
    #[error(transparent)]
    KeyFile(#[from] KeyFileError),
    /// The authorities of the store cannot be read.
    #[error("authorities of the shared store")]
    Authorities(#[source] KeyFileError),
    /// The store cannot be used.
    #[error("shared store")]
    Store(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// There can be no ticket keys.
    #[error("ticket keys")]
    Tickets(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl ResumptionError {
    /// What can be done about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::KeyFile(_) => {
                "a file of sealing keys has a line for each, the first one seals: \
                 `openssl rand -base64 32`; a file of ticket keys is as nginx has it: \
                 `openssl rand 80`"
            }
            Self::Authorities(_) => "`resumption.shared.ca` is a PEM bundle",
            Self::Store(_) => "`resumption.shared` says where the store is, and how it is used",
            Self::Tickets(_) => "`resumption.ticket_rotation` and `resumption.lifetime` decide",
        }
    }
}

/// Rotations that a ticket may last: for so long the key that sealed it opens.
const ROTATIONS_OF_TICKET: u32 = 2;
/// Mode bits of a file that others than its owner can read.
const OTHERS_MAY_READ: u32 = 0o044;
/// What the drain spends on handing sessions over.
const FLUSH_MAX: Duration = Duration::from_secs(1);

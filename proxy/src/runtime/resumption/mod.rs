//! The sessions of the process, and what keeps them current.
//!
//! Owns the way from the configuration to the memory of sessions, the shared tier and the keys of
//! tickets, and the tasks behind them: sessions are handed over to the store, keys are renewed,
//! and the numbers are shown. A key file that is missing or bad at the start is an error, since
//! clients would be served otherwise than the operator said; a store that is away never is. Refuses
//! to know handshakes. Read next: `key_files`, and `handshake::resume` for who uses it.

mod engines;
mod error;
mod heritage;
mod numbers;

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use portunus_certs::session::engine::Engine;
use portunus_certs::session::local::{LaterEngine, LocalEngine, LocalOptions, Start};
use portunus_certs::session::memory::{Options, SessionCache};
use portunus_certs::session::redis::{RedisEngine, RedisOptions};
use portunus_certs::session::seal::SealingKeys;
use portunus_certs::session::shared::{self, Change, SharedTier};
use portunus_certs::tickets::{FileKeys, RingOptions, TicketKeys};
use rustls::time_provider::DefaultTimeProvider;
use tokio::time::{Instant, sleep};
use tracing::{debug, info, warn};

use crate::config::{self, Config, ResumptionMode, Secret, SharedEngine, TicketKeySource};
use crate::drain::DrainWatch;
use crate::handshake::resume::Resumption;
use crate::log::Chain;

use super::key_files::{Ears, KeyFileError, KeyFiles, read};
use engines::Engines;
pub use error::ResumptionError;
use numbers::Shown;

/// Every session of the process, and the keys of those that clients carry.
#[derive(Clone, Debug)]
pub(super) struct Sessions {
    memory: Arc<SessionCache>,
    store: Option<Arc<Store>>,
    tickets: Option<Arc<TicketKeys>>,
    shown: Arc<Shown>,
    engines: Arc<Engines>,
}

/// The store that processes share, and what it was opened as.
#[derive(Debug)]
struct Store {
    tier: Arc<SharedTier>,
    config: config::SharedTier,
    shown: Shown,
}

impl Sessions {
    /// Whether clients can carry sessions.
    pub(super) fn seals_tickets(&self) -> bool {
        self.tickets.is_some()
    }

    /// Opens what `config` asks for; the store itself is not asked yet. What `before` has is kept,
    /// as far as that is possible: whatever is kept keeps its sessions and its keys.
    pub(super) fn open(
        config: &Config,
        before: Option<(&Self, &Config)>,
    ) -> Result<Self, ResumptionError> {
        let old_tickets = before.map(|(_, config)| &config.resumption);
        let before = before.map(|(sessions, _)| sessions);
        let resumption = &config.resumption;
        for path in exposed(config) {
            let file = path.display();
            warn!(%file, "others than its owner can read these keys: chmod 600 it");
        }
        let (memory, shown, engines) = match before {
            Some(Self { memory, shown, engines, .. }) => {
                (Arc::clone(memory), Arc::clone(shown), Arc::clone(engines))
            }
            None => {
                let memory = Arc::new(SessionCache::new(memory_options(resumption)));
                (memory, Arc::default(), Arc::default())
            }
        };
        let open = |shared: &config::SharedTier| {
            let before = before.and_then(|before| before.store.as_ref());
            match before.filter(|before| before.config == *shared) {
                Some(before) => Ok(Arc::clone(before)),
                None => open_store(shared, &memory, &engines).map(Arc::new),
            }
        };
        let store = resumption.shared.as_ref().map(open).transpose()?;
        let carries = |listener: &config::Listener| {
            matches!(listener.resumption, ResumptionMode::Both | ResumptionMode::Tickets)
        };
        let are_carried = config.listeners.iter().any(carries);
        let tickets = match before.and_then(|before| before.tickets.as_ref()) {
            Some(tickets) => Some(go_on(tickets, resumption, old_tickets)?),
            None => are_carried.then(|| open_tickets(resumption).map(Arc::new)).transpose()?,
        };
        Ok(Self { memory, store, tickets, shown, engines })
    }

    /// What a listener with this mode resumes from.
    pub(super) fn of_mode(&self, mode: ResumptionMode) -> Resumption {
        Resumption {
            mode,
            sessions: Arc::clone(&self.memory),
            shared: self.shared(),
            tickets: self.tickets.clone(),
        }
    }

    fn shared(&self) -> Option<Arc<SharedTier>> {
        self.store.as_ref().map(|store| Arc::clone(&store.tier))
    }

    /// Whether a listener with this mode resumes from the same as with `other`.
    pub(super) fn is_same_for(&self, other: &Self, mode: ResumptionMode) -> bool {
        let is_same_store = is_same(self.store.as_ref(), other.store.as_ref());
        let is_same_keys = is_same(self.tickets.as_ref(), other.tickets.as_ref());
        match mode {
            ResumptionMode::Off => true,
            ResumptionMode::Stateful => is_same_store,
            ResumptionMode::Both | ResumptionMode::Tickets => is_same_store && is_same_keys,
        }
    }

    /// Whether the same has to be done to keep it current, as `config` and `other` say.
    pub(super) fn is_maintained_like(&self, config: &Config, other: &Self, of: &Config) -> bool {
        let files = |config: &Config| (config.resumption.clone(), config.certificates.clone());
        self.is_same_for(other, ResumptionMode::Both) && files(config) == files(of)
    }

    /// From now on, the memory is as large as `config` says.
    pub(super) fn resize(&self, config: &Config) {
        let options = memory_options(&config.resumption);
        if self.memory.options() != options {
            self.memory.reconfigure(options);
        }
    }

    /// Keeps all of it current until the drain, and then hands over what waits.
    pub(super) fn maintain(&self, config: &Config, ears: Ears, watch: &DrainWatch) {
        let shared = self.shared();
        if let Some(shared) = &shared {
            watch.spawn(hand_over(Arc::clone(shared), watch.clone()));
        }
        if let Some(tickets) = &self.tickets {
            watch.spawn(renew(Arc::clone(tickets), shared.clone(), watch.clone()));
        }
        let files = KeyFiles::new(config, shared, self.tickets.clone(), ears);
        watch.spawn(files.follow(config.certificates.clone(), watch.clone()));
    }
}

fn is_same<T>(one: Option<&Arc<T>>, other: Option<&Arc<T>>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => Arc::ptr_eq(one, other),
        (None, None) => true,
        _ => false,
    }
}

fn memory_options(config: &config::Resumption) -> Options {
    Options {
        bytes_max: config.memory,
        entry_bytes_max: config.session_bytes_max,
        lifetime: config.lifetime,
    }
}

/// Opens the store; what it lies in is not opened a second time.
fn open_store(
    config: &config::SharedTier,
    memory: &Arc<SessionCache>,
    engines: &Engines,
) -> Result<Store, ResumptionError> {
    let keys = read(&config.sealing_key, SealingKeys::parse)?;
    let engine = engines.of(&config.engine, || open_engine(&config.engine))?;
    let options = shared::Options {
        timeout: config.timeout,
        in_flight_max: config.in_flight_max,
        queue_max: config.queue_max,
    };
    let (memory, clock) = (Arc::clone(memory), Arc::new(DefaultTimeProvider));
    let tier = Arc::new(SharedTier::new(Arc::clone(&engine), keys, memory, options, clock));
    Ok(Store { tier, config: config.clone(), shown: Shown::default() })
}

fn open_engine(config: &SharedEngine) -> Result<Arc<dyn Engine>, ResumptionError> {
    match config {
        SharedEngine::Local { path, bytes_max } => {
            open_local(LocalOptions { bytes_max: *bytes_max, ..LocalOptions::new(path) })
        }
        SharedEngine::Redis { url, ca, prefix } => {
            Ok(Arc::new(open_redis(url, ca.as_deref(), prefix)?))
        }
    }
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

/// The keys of before, or others that begin with what those can open. Where keys come from is
/// settled for the life of the process.
fn go_on(
    keys: &Arc<TicketKeys>,
    config: &config::Resumption,
    before: Option<&config::Resumption>,
) -> Result<Arc<TicketKeys>, ResumptionError> {
    let settings = |config: &config::Resumption| (config.tickets.clone(), config.lifetime);
    let goes_on = before.is_none_or(|before| {
        settings(before) == settings(config) || !config.tickets.keys.is_like(&before.tickets.keys)
    });
    if goes_on {
        return Ok(Arc::clone(keys));
    }
    let new = open_tickets(config)?;
    if let Some(heritage) = keys.bequeath() {
        let inherited = new.inherit(&heritage, Instant::now());
        inherited.map_err(|cause| ResumptionError::Tickets(cause.into()))?;
    }
    Ok(Arc::new(new))
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

/// Rotations that a ticket may last: for so long the key that sealed it opens.
const ROTATIONS_OF_TICKET: u32 = 2;
/// Mode bits of a file that others than its owner can read.
const OTHERS_MAY_READ: u32 = 0o044;
/// What the drain spends on handing sessions over.
const FLUSH_MAX: Duration = Duration::from_secs(1);

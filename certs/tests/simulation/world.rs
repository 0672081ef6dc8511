//! Nodes, clients, and everything that befalls them.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::time::Duration;

use portunus_certs::session::engine::{Engine, ErrorKind};
use portunus_certs::session::id::{Offered, SessionId, Use};
use portunus_certs::session::memory::{Options as MemoryOptions, SessionCache};
use portunus_certs::session::seal::SealingKeys;
use portunus_certs::session::shared::{Change, Options, SharedTier};
use portunus_certs::session::trace::{LookupResult, Trace};
use portunus_certs::{ContextId, ScopedStore};
use rustls::pki_types::UnixTime;
use rustls::server::StoresServerSessions;
use rustls::time_provider::TimeProvider;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, sleep};

use crate::chance::Chance;
use crate::contexts;
use crate::oracle::{LIFETIME, Oracle, SKEW_MAX, Tally, session};
use crate::store::{Habits, Link, Mood, Store, Way};

pub(crate) struct World {
    pub(crate) chance: Chance,
    pub(crate) store: Arc<Store>,
    pub(crate) nodes: Vec<Node>,
    clients: Arc<Mutex<Vec<Vec<Ticket>>>>,
    oracle: Arc<Mutex<Oracle>>,
    options: Options,
    bytes_max: usize,
    /// Nodes and the store for as long as they run.
    services: JoinSet<()>,
    visits: JoinSet<()>,
}

pub(crate) struct Node {
    memory: Arc<SessionCache>,
    tier: Arc<SharedTier>,
    pub(crate) link: Arc<Link>,
    clock: Arc<Wall>,
    /// Which configuration it has, and which sealing keys.
    pub(crate) generation: usize,
    pub(crate) keys: usize,
    run: AbortHandle,
}

/// What a client keeps.
#[derive(Clone, Copy)]
struct Ticket {
    id: SessionId,
    usage: Use,
    site: usize,
}

/// A clock that goes right and was set wrong.
#[derive(Debug)]
struct Wall {
    epoch: Instant,
    begin: Duration,
}

impl TimeProvider for Wall {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(self.begin + self.epoch.elapsed()))
    }
}

impl World {
    pub(crate) fn new(seed: u64, habits: Habits) -> Self {
        let mut chance = Chance::new(seed);
        let keeps_for_ever = chance.percent(50);
        let habits = Habits { keeps_for_ever, ..habits };
        let store = Store::new(Chance::new(chance.next()), habits);
        let mut services = JoinSet::new();
        services.spawn(Arc::clone(&store).serve());
        let mut world = Self {
            store,
            nodes: Vec::new(),
            clients: Arc::new(Mutex::new(vec![Vec::new(); CLIENTS])),
            oracle: Arc::default(),
            options: Options {
                timeout: BUDGET,
                in_flight_max: chance.one_of(&[1, 3, 1024]),
                queue_max: chance.one_of(&[2, 20, 8192]),
            },
            bytes_max: chance.one_of(&[4 << 10, 1 << 20]),
            services,
            visits: JoinSet::new(),
            chance,
        };
        for _ in 0..NODES {
            let link = Link::new(&world.store);
            let half = u64::try_from(SKEW_MAX.as_micros()).unwrap() / 2;
            let skew = world.chance.micros(0..2 * half);
            let begin = Duration::from_secs(1_000_000) + skew;
            let clock = Arc::new(Wall { epoch: Instant::now(), begin });
            let node = world.start(link, clock, 0, 0);
            world.nodes.push(node);
        }
        world
    }

    fn start(&mut self, link: Arc<Link>, clock: Arc<Wall>, generation: usize, keys: usize) -> Node {
        let memory = Arc::new(SessionCache::new(MemoryOptions {
            bytes_max: self.bytes_max,
            lifetime: LIFETIME,
            ..MemoryOptions::default()
        }));
        let engine = Arc::clone(&link) as Arc<dyn Engine>;
        let provider = Arc::clone(&clock) as Arc<dyn TimeProvider>;
        let sealing = sealing_keys(keys);
        let tier = SharedTier::new(engine, sealing, Arc::clone(&memory), self.options, provider)
            .with_jitter_seed(self.chance.next());
        let tier = Arc::new(tier);
        let (runs, oracle) = (Arc::clone(&tier), Arc::clone(&self.oracle));
        let run = self.services.spawn(async move {
            let mut is_away = false;
            let tell = |change| {
                let mut oracle = lock(&oracle);
                if is_away == matches!(change, Change::Away(_)) {
                    oracle.broken(format!("{change:?} was told twice"));
                }
                is_away = !is_away;
                oracle.tally.times_away += u64::from(is_away);
            };
            runs.run(tell).await;
        });
        Node { memory, tier, link, clock, generation, keys, run }
    }

    /// Stops a node, or kills it, and starts it anew with an empty memory.
    pub(crate) async fn restart(&mut self, node: usize) {
        if self.chance.percent(50) {
            self.nodes[node].tier.flush(Duration::from_millis(100)).await;
        }
        let old = &self.nodes[node];
        old.run.abort();
        let (link, clock) = (Arc::clone(&old.link), Arc::clone(&old.clock));
        let (generation, keys) = (old.generation, old.keys);
        self.leave(node);
        self.nodes[node] = self.start(link, clock, generation, keys);
    }

    /// Takes down what a node counted.
    fn leave(&self, node: usize) {
        let stats = self.nodes[node].tier.stats();
        let results = LookupResult::ALL.map(|result| stats.lookups(result));
        let (refused, unknown) = (stats.refused, stats.unknown);
        lock(&self.oracle).add(&Tally { results, refused, unknown, ..Tally::default() });
    }

    pub(crate) fn replace_keys(&mut self, node: usize, keys: usize) {
        self.nodes[node].keys = keys;
        self.nodes[node].tier.replace_keys(sealing_keys(keys));
    }

    /// Some client comes to some node.
    pub(crate) fn visit(&mut self) {
        let (client, node) = (self.chance.below(CLIENTS), self.chance.below(NODES));
        let usage = if self.chance.percent(70) { Use::Single } else { Use::Repeated };
        let (offered, site) = self.offer(client, usage);
        let thinks = self.chance.micros(0..3_000);
        self.send(client, node, (offered, usage), site, thinks);
    }

    /// What a client offers, and where. It may offer what it offered before, or elsewhere.
    fn offer(&mut self, client: usize, usage: Use) -> (Offered, usize) {
        let mut clients = lock(&self.clients);
        let tickets = &mut clients[client];
        let mut ids = [None; 2];
        let mut site = self.chance.below(SITES);
        for id in ids.iter_mut().take(1 + self.chance.below(2)) {
            let last = tickets.iter().rposition(|ticket| ticket.usage == usage);
            let Some(place) = last else { break };
            let ticket = tickets[place];
            if !self.chance.percent(15) {
                site = ticket.site;
            }
            if usage == Use::Single && self.chance.percent(80) {
                tickets.remove(place);
            }
            *id = Some(ticket.id);
        }
        let offered = match (usage, ids[0]) {
            (Use::Single, _) => Offered::Identities(ids),
            (Use::Repeated, Some(id)) => Offered::SessionId(id),
            (Use::Repeated, None) => Offered::Nothing,
        };
        (offered, site)
    }

    fn send(
        &mut self,
        client: usize,
        node: usize,
        (offered, usage): (Offered, Use),
        site: usize,
        thinks: Duration,
    ) {
        let context = contexts()[self.nodes[node].generation % GENERATIONS][site];
        let mut bytes = [0; 32];
        bytes
            .chunks_mut(8)
            .for_each(|part| part.copy_from_slice(&self.chance.next().to_le_bytes()));
        let ticket = Ticket { id: SessionId::from(bytes), usage, site };
        let visit = self.at(node, offered, context);
        let clients = Arc::clone(&self.clients);
        self.visits.spawn(async move {
            if visit.pass(thinks, ticket).await {
                lock(&clients)[client].push(ticket);
            }
        });
    }

    fn at(&self, node: usize, offered: Offered, context: ContextId) -> Visit {
        let Node { memory, tier, .. } = &self.nodes[node];
        let (memory, tier) = (Arc::clone(memory), Arc::clone(tier));
        Visit { memory, tier, oracle: Arc::clone(&self.oracle), offered, context, node }
    }

    /// Everything is well again, and the nodes have had the time to learn of it.
    pub(crate) async fn heal(&mut self) {
        self.store.inner().mood = Mood::Well;
        while self.visits.join_next().await.is_some() {}
        let newest = self.nodes.iter().map(|node| node.keys).max().unwrap_or_default();
        for node in 0..NODES {
            self.nodes[node].link.set(Way::Open);
            self.nodes[node].generation = 0;
            self.replace_keys(node, newest);
        }
        sleep(Duration::from_secs(15)).await;
    }

    /// Each session that was never used is tried everywhere: it may lie in one place at most.
    pub(crate) async fn use_up(&mut self) {
        let unused = lock(&self.oracle).unused(4);
        for (id, made) in unused {
            for node in 0..NODES {
                let offered = Offered::Identities([Some(id), None]);
                self.at(node, offered, made.context).look(Duration::ZERO).await;
            }
        }
    }

    /// Whoever comes now resumes at whichever node.
    pub(crate) async fn is_alive(&mut self) {
        for node in 0..NODES {
            if !self.nodes[node].tier.is_available() {
                lock(&self.oracle).broken(format!("node {node} never came back"));
            }
            for usage in [Use::Single, Use::Repeated] {
                self.send(0, node, (Offered::Nothing, usage), 0, Duration::ZERO);
                while self.visits.join_next().await.is_some() {}
                let id = lock(&self.clients)[0].last().map(|ticket| ticket.id);
                sleep(Duration::from_millis(30)).await;
                let offered = match (id, usage) {
                    (None, _) => Offered::Nothing,
                    (Some(id), Use::Single) => Offered::Identities([Some(id), None]),
                    (Some(id), Use::Repeated) => Offered::SessionId(id),
                };
                let times = if usage == Use::Single { 1 } else { NODES - 1 };
                for to in (1..=times).map(|step| (node + step) % NODES) {
                    let visit = self.at(to, offered, contexts()[0][0]);
                    if visit.look(Duration::ZERO).await.1.is_none() {
                        let lost = format!("from {node} to {to}: {usage:?} is lost");
                        lock(&self.oracle).broken(lost);
                    }
                }
            }
        }
    }

    /// The verdict.
    pub(crate) fn end(self) -> Result<Tally, String> {
        (0..NODES).for_each(|node| self.leave(node));
        let mut oracle = lock(&self.oracle);
        for (number, node) in self.nodes.iter().enumerate() {
            let (stats, bytes) = (node.tier.stats(), node.memory.stats().bytes);
            if stats.in_flight > 0 || bytes > self.bytes_max as u64 {
                oracle.broken(format!("node {number}: {stats:?}, {bytes} bytes"));
            }
        }
        match oracle.violation.take() {
            None => Ok(std::mem::take(&mut oracle.tally)),
            Some(violation) => Err(violation),
        }
    }

    pub(crate) fn is_broken(&self) -> bool {
        lock(&self.oracle).violation.is_some()
    }
}

/// One connection.
struct Visit {
    memory: Arc<SessionCache>,
    tier: Arc<SharedTier>,
    oracle: Arc<Mutex<Oracle>>,
    offered: Offered,
    context: ContextId,
    node: usize,
}

impl Visit {
    /// Resumes, or not, and makes a session; whether the client has it then.
    async fn pass(self, thinks: Duration, ticket: Ticket) -> bool {
        let (store, resumed) = self.look(thinks).await;
        if resumed == Some(Use::Repeated) {
            return false;
        }
        lock(&self.oracle).made(ticket.id, self.node, self.context, ticket.usage);
        store.put(ticket.id.as_bytes().to_vec(), session(ticket.id, ticket.usage))
    }

    async fn look(&self, thinks: Duration) -> (ScopedStore, Option<Use>) {
        let began = Instant::now();
        let prefetched = self.tier.prefetch(&self.offered, &self.context).await;
        let took = began.elapsed();
        // A timer counts whole milliseconds.
        if took > BUDGET + Duration::from_millis(1) {
            lock(&self.oracle).broken(format!("a handshake waited {took:?}"));
        }
        let trace = Arc::new(Trace::default());
        let store = ScopedStore::new(Arc::clone(&self.memory), self.context)
            .with_shared(Arc::clone(&self.tier), prefetched)
            .with_trace(Arc::clone(&trace));
        sleep(thinks).await;
        let mut resumed = None;
        for (usage, id) in self.offered.ids() {
            let found = match usage {
                Use::Single => store.take(id.as_bytes()),
                Use::Repeated => store.get(id.as_bytes()),
            };
            if let Some(text) = found {
                lock(&self.oracle).resumed(id, self.node, self.context, &text);
                resumed = Some(usage);
                break;
            }
        }
        let mut oracle = lock(&self.oracle);
        oracle.tally.visits += 1;
        if resumed.is_some() != (trace.result() == Some(LookupResult::Hit)) {
            oracle.broken(format!("{resumed:?} is explained by {:?}", trace.result()));
        }
        drop(oracle);
        (store, resumed)
    }
}

/// The keys of each step of a rotation: the next one is known before it seals.
fn sealing_keys(step: usize) -> SealingKeys {
    static STEPS: OnceLock<Vec<SealingKeys>> = OnceLock::new();
    let steps = STEPS.get_or_init(|| {
        let key = |letter| format!("{letter}{}=\n", "BA".repeat(21));
        let steps = ["A", "AB", "BA", "B", "BC", "CB", "C"];
        let parse = |step: &&str| {
            SealingKeys::parse(step.chars().map(key).collect::<String>().as_bytes()).unwrap()
        };
        steps.iter().map(parse).collect()
    });
    steps[step.min(steps.len() - 1)].clone()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap()
}

/// What goes wrong with the store itself.
pub(crate) const MOODS: [Mood; 9] = [
    Mood::Well,
    Mood::Well,
    Mood::Slow,
    Mood::Full,
    Mood::Loses,
    Mood::Fails(ErrorKind::Auth),
    Mood::Fails(ErrorKind::Loading),
    Mood::Fails(ErrorKind::Other),
    Mood::Fails(ErrorKind::ReadOnly),
];
pub(crate) const NODES: usize = 3;
pub(crate) const SITES: usize = 2;
pub(crate) const GENERATIONS: usize = 2;
const CLIENTS: usize = 5;
const BUDGET: Duration = Duration::from_millis(5);

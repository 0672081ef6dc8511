//! Which tickets resume where: several processes, each with ticket keys of its own making or of
//! common origin, and clients that move between them.
//!
//! A process is its [`TicketKeys`]. Every case runs in TLS 1.3 and in TLS 1.2. Whatever does not
//! resume is a full handshake: `connect` fails the test on any alert.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_lc_rs::rand;
use portunus_certs::session::trace::{LookupResult, Trace};
use portunus_certs::tickets::{Agree, FileKeys, RingOptions, ScopedTicketer, TicketKeys};
use portunus_certs::{ContextFields, SiteContext};
use rustls::pki_types::UnixTime;
use rustls::server::NoServerSessionStorage;
use rustls::time_provider::TimeProvider;
use rustls::{ClientConfig, ServerConfig};
use zeroize::Zeroizing;

use super::harness::{Site, VERSIONS, World, connect, resumed, site};

/// A world in which clients and processes live on one clock.
struct Scene {
    world: World,
    clock: Arc<Clock>,
    store: Store,
}

impl Scene {
    fn new() -> Self {
        let clock = Arc::new(Clock(tokio::time::Instant::now()));
        Self { world: World::new(), clock, store: Store::default() }
    }

    fn clock(&self) -> Arc<dyn TimeProvider> {
        Arc::clone(&self.clock) as Arc<dyn TimeProvider>
    }

    fn with_file(&self, file: &[u8]) -> Arc<TicketKeys> {
        let file = FileKeys::parse(file).unwrap();
        Arc::new(TicketKeys::of_file(RingOptions::default(), self.clock(), &file))
    }

    fn local(&self) -> Arc<TicketKeys> {
        Arc::new(TicketKeys::local(RingOptions::default(), self.clock()).unwrap())
    }

    async fn agreed(&self) -> Arc<TicketKeys> {
        let keys = Arc::new(TicketKeys::agreed(RingOptions::default(), self.clock()));
        self.round(&keys).await;
        keys
    }

    /// What a process does whenever something is due.
    async fn round(&self, keys: &TicketKeys) {
        keys.agree(&self.store, keys.now()).await.unwrap();
        keys.advance(keys.now()).unwrap();
    }

    /// Time goes by, and every process does what is due.
    async fn pass(&self, time: Duration, processes: &[&Arc<TicketKeys>]) {
        let end = tokio::time::Instant::now() + time;
        while tokio::time::Instant::now() < end {
            let due = processes.iter().map(|keys| keys.next_change(keys.now())).min();
            let left = end - tokio::time::Instant::now();
            tokio::time::advance(due.unwrap_or(left).min(left)).await;
            for keys in processes {
                self.round(keys).await;
            }
        }
    }

    /// Connects to a process, and says what came of the ticket, if there was one.
    fn visit(
        &self,
        client: &ClientConfig,
        keys: &Arc<TicketKeys>,
        site: &Site<'_>,
    ) -> (bool, Option<LookupResult>) {
        let trace = Arc::new(Trace::default());
        let mut config = self.world.server(site);
        let context = SiteContext::new(&site.fields).with_credential(&self.world.credential());
        let ticketer = ScopedTicketer::new(Arc::clone(keys), context, Some(Arc::clone(&trace)));
        config.ticketer = Arc::new(ticketer);
        config.session_storage = Arc::new(NoServerSessionStorage {});
        (resumed(connect(client, config, "a.example")), trace.result())
    }
}

const FIRST: (bool, Option<LookupResult>) = (false, None);
const HIT: (bool, Option<LookupResult>) = (true, Some(LookupResult::Hit));
const MISS: (bool, Option<LookupResult>) = (false, Some(LookupResult::Miss));
const POLICY: (bool, Option<LookupResult>) = (false, Some(LookupResult::Policy));
const EXPIRED: (bool, Option<LookupResult>) = (false, Some(LookupResult::Expired));
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);

/// A wall clock that goes with the time of the runtime.
#[derive(Debug)]
struct Clock(tokio::time::Instant);

impl TimeProvider for Clock {
    fn current_time(&self) -> Option<UnixTime> {
        let start = Duration::from_secs(1_800_000_000);
        Some(UnixTime::since_unix_epoch(start + self.0.elapsed()))
    }
}

/// What is agreed on, and when each is forgotten.
#[derive(Default)]
struct Store(Mutex<HashMap<Vec<u8>, Text>>);

type Text = (Vec<u8>, tokio::time::Instant);

impl Agree for Store {
    type Error = Infallible;

    async fn agree(
        &self,
        label: &[u8],
        text: &[u8],
        lifetime: Duration,
    ) -> Result<Zeroizing<Vec<u8>>, Infallible> {
        let now = tokio::time::Instant::now();
        let mut texts = self.0.lock().unwrap();
        texts.retain(|_, (_, end)| now < *end);
        let (text, _) =
            texts.entry(label.to_vec()).or_insert_with(|| (text.to_vec(), now + lifetime));
        Ok(Zeroizing::new(text.clone()))
    }
}

/// What `openssl rand 80` writes.
fn record() -> Vec<u8> {
    let mut record = vec![0; 80];
    rand::fill(&mut record).unwrap();
    record
}

#[tokio::test(start_paused = true)]
async fn a_ticket_resumes_at_any_process_that_reads_the_same_file() {
    let scene = Scene::new();
    let (old, new) = (record(), record());
    let processes = [scene.with_file(&old), scene.with_file(&old)];
    for version in VERSIONS {
        let client = scene.world.client(version);
        assert_eq!(scene.visit(&client, &processes[0], &site()), FIRST);
        // The other one has sealed nothing yet, and so knows of no length.
        assert_eq!(scene.visit(&client, &processes[1], &site()), HIT);
        assert_eq!(scene.visit(&client, &processes[0], &site()), HIT);
    }
    for version in VERSIONS {
        let client = scene.world.client(version);
        assert_eq!(scene.visit(&client, &processes[0], &site()), FIRST);
        // The file of the other process goes through a rotation: a new key in front, and then the
        // old one is gone.
        let rotated = FileKeys::parse(&[new.as_slice(), &old].concat()).unwrap();
        processes[1].replace(&rotated, processes[1].now());
        assert_eq!(scene.visit(&client, &processes[1], &site()), HIT);
        // It has sealed with a key that is not yet in the other file.
        assert_eq!(scene.visit(&client, &processes[0], &site()), MISS);
        processes[1].replace(&FileKeys::parse(&new).unwrap(), processes[1].now());
        assert_eq!(scene.visit(&client, &processes[1], &site()), MISS);
        assert_eq!(scene.visit(&client, &processes[1], &site()), HIT);
        processes[1].replace(&FileKeys::parse(&old).unwrap(), processes[1].now());
    }
}

#[tokio::test(start_paused = true)]
async fn no_ticket_crosses_a_policy() {
    let scene = Scene::new();
    let file = record();
    let processes = [scene.with_file(&file), scene.with_file(&file)];
    let alpn = [b"h2".to_vec()];
    let base = site();
    let others = [
        ContextFields { listener_class: "smtp", ..base.fields },
        ContextFields { listener: "other", ..base.fields },
        ContextFields { site: "b.example", ..base.fields },
        ContextFields { alpn: &alpn, ..base.fields },
    ];
    for fields in others {
        let other = Site { fields, calls: Arc::default() };
        for version in VERSIONS {
            for (from, to) in [(&base, &other), (&other, &base)] {
                let client = scene.world.client(version);
                assert_eq!(scene.visit(&client, &processes[0], from), FIRST);
                assert_eq!(scene.visit(&client, &processes[1], to), POLICY, "{fields:?}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn processes_that_agree_resume_each_others_tickets_across_rotations_and_restarts() {
    let scene = Scene::new();
    let (one, other) = (scene.agreed().await, scene.agreed().await);
    for version in VERSIONS {
        let client = scene.world.client(version);
        assert_eq!(scene.visit(&client, &one, &site()), FIRST);
        assert_eq!(scene.visit(&client, &other, &site()), HIT);
        // Wherever in a period this begins, it crosses several.
        for _ in 0..5 {
            let again = scene.world.client(version);
            assert_eq!(scene.visit(&again, &other, &site()), FIRST);
            scene.pass(50 * MINUTE, &[&one, &other]).await;
            let restarted = scene.agreed().await;
            assert_eq!(scene.visit(&again, &restarted, &site()), HIT);
            assert_eq!(scene.visit(&again, &one, &site()), HIT);
        }
        let late = scene.world.client(version);
        assert_eq!(scene.visit(&late, &one, &site()), FIRST);
        scene.pass(HOUR, &[&one, &other]).await;
        let (is_resumed, result) = scene.visit(&late, &other, &site());
        assert!(!is_resumed && matches!(result, Some(LookupResult::Expired | LookupResult::Miss)));
    }
}

#[tokio::test(start_paused = true)]
async fn keys_that_are_made_here_resume_here_alone_and_for_the_lifetime_of_a_ticket() {
    let scene = Scene::new();
    let keys = scene.local();
    for version in VERSIONS {
        let client = scene.world.client(version);
        assert_eq!(scene.visit(&client, &keys, &site()), FIRST);
        scene.pass(59 * MINUTE, &[&keys]).await;
        assert_eq!(scene.visit(&client, &keys, &site()), HIT);
        assert_eq!(scene.visit(&client, &scene.local(), &site()), MISS);

        let client = scene.world.client(version);
        assert_eq!(scene.visit(&client, &keys, &site()), FIRST);
        scene.pass(3 * HOUR, &[&keys]).await;
        assert_eq!(scene.visit(&client, &keys, &site()), MISS);
    }
}

/// In TLS 1.2, the ticket of a resumed connection has the secret of the first one. It gets no older
/// than a session that lies in the memory of the process.
#[tokio::test(start_paused = true)]
async fn a_client_that_returns_all_the_time_makes_a_full_handshake_once_in_a_lifetime() {
    let scene = Scene::new();
    let keys = scene.with_file(&record());
    let client = scene.world.client(&rustls::version::TLS12);
    assert_eq!(scene.visit(&client, &keys, &site()), FIRST);
    for _ in 0..5 {
        scene.pass(11 * MINUTE, &[]).await;
        assert_eq!(scene.visit(&client, &keys, &site()), HIT);
    }
    scene.pass(11 * MINUTE, &[]).await;
    assert_eq!(scene.visit(&client, &keys, &site()), EXPIRED);
    assert_eq!(scene.visit(&client, &keys, &site()), HIT);
}

#[tokio::test(start_paused = true)]
async fn without_a_key_connections_are_made_and_sessions_are_kept_in_memory() {
    let scene = Scene::new();
    for version in VERSIONS {
        let keys = Arc::new(TicketKeys::agreed(RingOptions::default(), scene.clock()));
        let client = scene.world.client(version);
        assert_eq!(scene.visit(&client, &keys, &site()), FIRST);
        assert_eq!(scene.visit(&client, &keys, &site()), FIRST);

        // With a store beside it, rustls goes there.
        let stateful = || -> ServerConfig {
            let mut config = scene.world.server(&site());
            let context = SiteContext::new(&site().fields);
            let context = context.with_credential(&scene.world.credential());
            config.ticketer = Arc::new(ScopedTicketer::new(Arc::clone(&keys), context, None));
            config
        };
        let client = scene.world.client(version);
        assert!(!resumed(connect(&client, stateful(), "a.example")));
        assert!(resumed(connect(&client, stateful(), "a.example")));
    }
}

/// A session with a client's certificate may be too large for a ticket. Then TLS 1.2 sends an empty
/// one, TLS 1.3 sends none, and the connection goes on.
#[tokio::test(start_paused = true)]
async fn a_session_that_is_too_large_for_a_ticket_is_not_resumed() {
    let scene = Scene::new();
    let keys = scene.local();
    let strict = ContextFields { client_auth: Some(b"require"), ..site().fields };
    let strict = Site { fields: strict, calls: Arc::default() };
    for (length, is_small) in [(10, true), (9000, false)] {
        let own = scene.world.authority.issue_client(&"x".repeat(length), UnixTime::now()).unwrap();
        for version in VERSIONS {
            let client = scene.world.client_with(version, &own);
            assert_eq!(scene.visit(&client, &keys, &strict), FIRST);
            let returns = scene.visit(&client, &keys, &strict);
            assert_eq!(returns, if is_small { HIT } else { FIRST }, "{length} {version:?}");
        }
    }
    assert_eq!(keys.stats().refused, 4);
}

//! Processes with a store between them, and clients that go from one to the other.
//!
//! Owns what every process of a store is told, the counting over all of them, what is done again
//! when the store fails in the middle of it, and [`Visitor`], a client of either kind that keeps
//! its session. Refuses to know what is required.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use portunus_tests::foreign::{Foreign, openssl, s_client};
use portunus_tests::redis::{RedisServer, Reply, redis};
use portunus_tests::wait::eventually;
use portunus_tests::{Builder, Client, Proxy, Wallet, authority, echo, tls, write};
use tempfile::TempDir;

pub(super) const NAME: &str = "app.example";
pub(super) const LOOKUPS: &str = "portunus_resumption_lookups_total";
pub(super) const STORED: &str = "portunus_resumption_shared_stored_total";
const LOST: &str = "portunus_resumption_shared_lost_total";
pub(super) const ERRORS: &str = "portunus_resumption_shared_errors_total";
pub(super) const UP: &str = "portunus_resumption_shared_up";
/// In every address of Redis, and nowhere else.
pub(super) const PASSWORD: &str = "planted-password-of-the-store";

/// How often something is tried at most while the store fails in the middle of it.
const TRIES: usize = 4;
/// From when on sessions that are not in a store that failed are not on their way any more.
const ARRIVAL: Duration = Duration::from_secs(10);

/// What a store is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    Local,
    Redis,
}

/// A store, and what every process of it is told.
pub(super) struct Store {
    pub(super) folder: TempDir,
    pub(super) redis: Option<RedisServer>,
    url: String,
}

impl Store {
    /// An empty one, if its program is here.
    pub(super) async fn start(kind: Kind) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let local = format!("file:{}", folder.path().join("store").display());
        let redis = match kind {
            Kind::Local => None,
            Kind::Redis => Some(redis()?.password(PASSWORD).start().await),
        };
        let url = redis.as_ref().map_or(local, RedisServer::url);
        for (file, bytes) in [("sealing.key", "32"), ("ticket.keys", "48")] {
            let key = openssl()?.args(["rand", "-base64", bytes]).run().await.expect_success();
            write(&folder.path().join(file), &key);
        }
        Some(Self { folder, redis, url })
    }

    /// Has processes ask for it somewhere else.
    pub(super) fn reached_at(&mut self, address: std::net::SocketAddr) {
        let own = self.redis().address().to_string();
        self.url = self.url.replace(&own, &address.to_string());
    }

    /// The server, where there is one.
    pub(super) fn redis(&self) -> &RedisServer {
        self.redis.as_ref().unwrap()
    }

    /// The same, to be killed and started.
    pub(super) fn redis_mut(&mut self) -> &mut RedisServer {
        self.redis.as_mut().unwrap()
    }

    /// How often Redis was given this command, by its own count.
    pub(super) async fn asked(&self, command: &str) -> usize {
        let Reply::Text(info) = self.redis().ask(&["INFO", "commandstats"]).await else {
            panic!("no statistics")
        };
        let line = info.lines().find_map(|line| {
            line.strip_prefix("cmdstat_")?.strip_prefix(command)?.strip_prefix(":calls=")
        });
        line.and_then(|line| line.split(',').next()?.parse().ok()).unwrap_or(0)
    }

    /// A process with this store.
    pub(super) fn builder(&self) -> Builder {
        self.builder_with(&self.file("sealing.key"))
    }

    /// A process with this store, whose sealing keys stand in another file.
    pub(super) fn builder_with(&self, key: &Path) -> Builder {
        let shared = format!(
            "{{ url = {:?}, sealing_key = \"file:{}\", timeout = \"20ms\" }}",
            self.url,
            key.display()
        );
        Proxy::builder().set("resumption.shared", &shared)
    }

    /// A file beside the store.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

/// Processes with one store.
pub(super) struct Fleet {
    pub(super) proxies: Vec<Proxy>,
    pub(super) store: Store,
}

impl Fleet {
    /// So many processes with one site on one listener, as `change` has them.
    pub(super) async fn start(
        store: Store,
        count: usize,
        change: impl Fn(Builder) -> Builder,
    ) -> Self {
        let mut proxies = Vec::new();
        for _ in 0..count {
            let certificate = authority().issue(&[NAME]);
            let builder = store.builder().listener(tls(NAME)).backend(echo());
            proxies.push(change(builder.certificate(NAME, &certificate)).start().await);
        }
        Self { proxies, store }
    }

    /// What the series add up to in all processes.
    pub(super) async fn metric(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        sum(&self.proxies, name, labels).await
    }

    /// Does something, and waits until as many sessions as it says lie in the store. Where the
    /// store took fewer, it is done again, so what it does has to leave new ones each time.
    pub(super) async fn hand_over<T>(&self, act: impl AsyncFnMut() -> (usize, T)) -> T {
        hand_over(&self.proxies, act).await
    }

    /// Does something once, and waits until so many sessions are in the store or given up; whether
    /// they are in the store, and what else came of it.
    pub(super) async fn settles<T>(&self, act: impl AsyncFnOnce() -> (usize, T)) -> (bool, T) {
        settles(&self.proxies, act).await
    }

    /// See [`undisturbed`].
    pub(super) async fn undisturbed<T>(&self, act: impl AsyncFnMut() -> Result<T, String>) -> T {
        undisturbed(&self.proxies, act).await
    }
}

async fn sum(proxies: &[Proxy], name: &str, labels: &[(&str, &str)]) -> f64 {
    let mut sum = 0.0;
    for proxy in proxies {
        sum += proxy.metric(name, labels).await;
    }
    sum
}

/// [`Fleet::hand_over`] of any processes.
pub(super) async fn hand_over<T>(proxies: &[Proxy], mut act: impl AsyncFnMut() -> (usize, T)) -> T {
    for _ in 0..TRIES {
        if let (true, result) = settles(proxies, &mut act).await {
            return result;
        }
    }
    panic!("the store does not take what it is given");
}

async fn settles<T>(proxies: &[Proxy], act: impl AsyncFnOnce() -> (usize, T)) -> (bool, T) {
    let stored = sum(proxies, STORED, &[]).await;
    let (lost, errors) = (sum(proxies, LOST, &[]).await, sum(proxies, ERRORS, &[]).await);
    let (count, result) = act().await;
    let (count, begin) = (count as f64, Instant::now());
    let is_whole = eventually("sessions to arrive in the store", async || {
        let stored = sum(proxies, STORED, &[]).await - stored;
        let lost = sum(proxies, LOST, &[]).await - lost;
        // What the store has refused stays where it is.
        let is_refused = begin.elapsed() > ARRIVAL && sum(proxies, ERRORS, &[]).await > errors;
        (stored + lost >= count || is_refused).then_some(stored >= count)
    });
    (is_whole.await, result)
}

/// Does something until it goes well, but not again where it goes wrong although the store
/// answered every call: a look-up that a busy machine answers too late is as good as none.
pub(super) async fn undisturbed<T>(
    proxies: &[Proxy],
    mut act: impl AsyncFnMut() -> Result<T, String>,
) -> T {
    let mut wrong = String::new();
    for _ in 0..TRIES {
        is_used(proxies).await;
        let before = sum(proxies, ERRORS, &[]).await;
        match act().await {
            Ok(result) => return result,
            Err(what) => wrong = what,
        }
        assert!(sum(proxies, ERRORS, &[]).await > before, "{wrong}");
    }
    panic!("{wrong}");
}

/// Waits until every process asks its store, where it has one.
pub(super) async fn is_used(proxies: &[Proxy]) {
    for proxy in proxies {
        let has_failed = proxy.metric(ERRORS, &[]).await > 0.0;
        proxy.wait_for_metric(UP, &[], |up| up == 1.0 || !has_failed).await;
    }
}

/// The process had no reason to leave the store, unless that one was too late.
pub(super) async fn stays_with_its_store(proxy: &Proxy, what: &str) {
    if proxy.metric(UP, &[]).await != 1.0 {
        let late = proxy.metric(ERRORS, &[("kind", "timeout")]).await;
        assert!(late > 0.0, "{what}: no reason to leave the store");
    }
}

/// A client that keeps its last session and offers it wherever it goes.
#[derive(Clone, Debug)]
pub(super) struct Visitor {
    who: Who,
    pub(super) takes_tickets: bool,
    pub(super) is_tls13: bool,
}

#[derive(Clone, Debug)]
enum Who {
    /// rustls.
    Ours(Client),
    /// `openssl s_client` with these options and the file of its session.
    Foreign(Vec<&'static str>, PathBuf),
}

impl Visitor {
    /// One of rustls, of TLS 1.3.
    pub(super) fn tls13() -> Self {
        Self::ours(true, true)
    }

    /// One of rustls, of TLS 1.2, with or without tickets.
    pub(super) fn tls12(takes_tickets: bool) -> Self {
        Self::ours(takes_tickets, false)
    }

    fn ours(takes_tickets: bool, is_tls13: bool) -> Self {
        // Every visit says where to.
        let client = Client::new(([127, 0, 0, 1], 0).into(), NAME);
        let client = if is_tls13 { client } else { client.tls12() };
        let wallet = Wallet::new();
        let sessions = if takes_tickets { wallet.sessions() } else { wallet.session_ids() };
        Self { who: Who::Ours(client.resumption(sessions)), takes_tickets, is_tls13 }
    }

    /// One of OpenSSL, which keeps its session in `file`.
    pub(super) fn foreign(is_tls13: bool, takes_tickets: bool, file: PathBuf) -> Self {
        let mut options = vec![if is_tls13 { "-tls1_3" } else { "-tls1_2" }];
        if !takes_tickets {
            options.push("-no_ticket");
        }
        Self { who: Who::Foreign(options, file), takes_tickets, is_tls13 }
    }

    /// One connection with a word on it, so that tickets are read; says whether it was resumed.
    pub(super) async fn visit(&self, proxy: &Proxy) -> bool {
        match &self.who {
            Who::Ours(client) => {
                let mut client = client.clone().at(proxy.first_address()).connect().await;
                client.ticket().await;
                client.send(b"hello").await;
                client.expect(b"hello").await;
                client.resumed()
            }
            Who::Foreign(options, file) => {
                let client = s_client(proxy, NAME).expect("it was found before");
                let client = client.args(options).arg("-sess_out").arg(file);
                says_hello(offering(client, file)).await
            }
        }
    }
}

/// Where no session was given, there is none to offer.
fn offering(client: Foreign, file: &PathBuf) -> Foreign {
    if file.exists() { client.arg("-sess_in").arg(file) } else { client }
}

/// Has `s_client` exchange a word with an echo, and says whether it resumed.
pub(super) async fn says_hello(client: Foreign) -> bool {
    let mut client = client.start();
    // The echo comes behind the tickets, so it tells that they were read.
    client.say(b"hello\n").await;
    client.hear("\nhello").await;
    let output = client.finish().await.expect_success();
    let resumed = output.contains("\nReused, ");
    assert!(resumed || output.contains("\nNew, "), "{output}");
    resumed
}

/// A die that falls the same way in every run with the same seed (SplitMix64).
pub(super) struct Die(pub(super) u64);

impl Die {
    /// A number below `sides`.
    pub(super) fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) as usize % sides
    }
}

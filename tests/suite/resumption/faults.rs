//! A store that is away, deaf, slow, full or not to be written to: nobody waits for it longer than
//! the budget, nobody is refused, and what it was good for comes back with it.

use std::time::{Duration, Instant};

use portunus_tests::wait::{best_of, eventually};
use portunus_tests::{Detour, Line, Proxy, echo, tls};

use super::fleet::{ERRORS, Fleet, Kind, NAME, Store, UP, Visitor};

/// What `timeout` is in all of these tests.
const BUDGET: Duration = Duration::from_millis(20);
/// How often a fault is measured at most: what a busy machine does meanwhile only ever adds.
const MEASUREMENTS: usize = 5;

/// Two processes, the way to their store, and a process without one.
struct Trial {
    fleet: Fleet,
    detour: Detour,
    /// What handshakes take on this machine at this moment.
    control: Proxy,
    /// Sessions that were there before.
    known: Visitor,
}

/// How long handshakes took.
#[derive(Default)]
struct Pace(Vec<Duration>);

impl Trial {
    async fn start() -> Option<Self> {
        let mut store = Store::start(Kind::Redis).await?;
        let detour = Detour::to(store.redis().address()).await;
        store.reached_at(detour.address());
        Some(Self::of(store, detour).await)
    }

    async fn of(store: Store, detour: Detour) -> Self {
        let fleet = Fleet::start(store, 2, |builder| builder.set("log.level", "\"info\"")).await;
        let control = Proxy::builder().listener(tls(NAME)).backend(echo()).start().await;
        Self { fleet, detour, control, known: Visitor::tls12(false) }
    }

    /// The same trial for every fault: it begins, is noticed, is borne, ends, and is forgotten.
    /// One such fault that cost no more than it may is enough.
    async fn bears(
        mut self,
        begin: impl AsyncFn(&mut Self),
        end: impl AsyncFn(&mut Self),
        kinds: &[&str],
    ) {
        self.comes_back().await;
        best_of(MEASUREMENTS, async || Box::pin(self.bears_one(&begin, &end, kinds)).await).await;
    }

    async fn bears_one(
        &mut self,
        begin: impl AsyncFn(&mut Self),
        end: impl AsyncFn(&mut Self),
        kinds: &[&str],
    ) -> Result<(), String> {
        let (before, said) = (self.errors(kinds).await, self.said());
        begin(self).await;
        let noticed = self.is_noticed().await;
        let borne = self.is_borne().await;
        let errors = self.errors(kinds).await - before;
        end(self).await;
        self.comes_back().await;
        for (all, before) in self.said().iter().zip(said) {
            let is_alternating = all.chunks(2).all(|two| two == ["WARN", "INFO"]);
            assert!(is_alternating, "one line for each change: {all:?}");
            // A machine that is busy enough is another reason to leave the store alone.
            let is_few = (2..=4).contains(&(all.len() - before.len()));
            is_few.then_some(()).ok_or_else(|| format!("one line for each change: {all:?}"))?;
        }
        let told = || format!("{errors} errors of the kinds {kinds:?}");
        noticed.and(borne).and((errors >= 5.0).then_some(()).ok_or_else(told))
    }

    async fn errors(&self, kinds: &[&str]) -> f64 {
        let mut errors = 0.0;
        for kind in kinds {
            errors += self.fleet.metric(ERRORS, &[("kind", kind)]).await;
        }
        errors
    }

    /// What each process has said of the store.
    fn said(&self) -> Vec<Vec<String>> {
        self.fleet.proxies.iter().map(changes).collect()
    }

    /// Clients come until every process has noticed; and whether none of them waited long for that.
    async fn is_noticed(&self) -> Result<(), String> {
        let (mut all, mut usual) = (Pace::default(), Pace::default());
        for proxy in &self.fleet.proxies {
            eventually("a process that notices", async || {
                let (pace, others) = self.pace(4).await;
                all.0.extend(pace.0);
                usual.0.extend(others.0);
                (proxy.metric(UP, &[]).await == 0.0).then_some(())
            })
            .await;
        }
        // Beside what handshakes take anyway: the budget, and what a busy machine needs to be
        // woken up after it.
        let most = usual.most() + BUDGET + Duration::from_millis(100);
        if all.most() >= most {
            return Err(format!("{:?} instead of {:?}", all.most(), usual.most()));
        }
        // Whoever waited for an answer would have waited for a second or for ever.
        let is_soon = all.slowest() < Duration::from_millis(900);
        is_soon.then_some(()).ok_or_else(|| format!("one took {:?}", all.slowest()))
    }

    /// Processes resume what they have themselves; and whether handshakes go on as usual.
    async fn is_borne(&self) -> Result<(), String> {
        let (pace, usual) = self.pace(12).await;
        let (is, usual) = (pace.median(), usual.median());
        for proxy in &self.fleet.proxies {
            for visitor in [Visitor::tls12(false), Visitor::tls13()] {
                assert!(!visitor.visit(proxy).await);
                assert!(visitor.visit(proxy).await, "its own session");
            }
            assert!(self.known.visit(proxy).await, "a session that both have");
            assert_eq!(proxy.admin("/readyz").await.status, 200);
        }
        (is < usual + BUDGET).then_some(()).ok_or_else(|| format!("{is:?} instead of {usual:?}"))
    }

    /// Sessions go from one process to the other again, by themselves.
    async fn comes_back(&self) {
        for proxy in &self.fleet.proxies {
            proxy.wait_for_metric(UP, &[], |up| up == 1.0).await;
        }
        let [one, other] = &self.fleet.proxies[..] else { unreachable!() };
        for fresh in [|| Visitor::tls12(false), Visitor::tls13] {
            eventually("sessions that go around", async || {
                let visitor = fresh();
                self.fleet.settles(async || (1, visitor.visit(one).await)).await;
                visitor.visit(other).await.then_some(())
            })
            .await;
        }
        // A session of TLS 1.2 is copied, so both have it from now on.
        eventually("a session that both have", async || {
            let was = [self.known.visit(one).await, self.known.visit(other).await];
            (was == [true, true]).then_some(())
        })
        .await;
    }

    /// How long handshakes take of so many clients, who come to one process and then to the other;
    /// and how long they take without a store.
    async fn pace(&self, clients: usize) -> (Pace, Pace) {
        let (mut pace, mut usual) = (Pace::default(), Pace::default());
        let [one, other] = &self.fleet.proxies[..] else { unreachable!() };
        for number in 0..clients {
            let fresh = || if number % 2 == 0 { Visitor::tls12(false) } else { Visitor::tls13() };
            let (visitor, familiar) = (fresh(), fresh());
            let ways = if number % 4 < 2 { [one, other] } else { [other, one] };
            for proxy in ways {
                pace.add(&visitor, proxy).await;
                usual.add(&familiar, &self.control).await;
            }
        }
        (pace, usual)
    }
}

impl Pace {
    async fn add(&mut self, visitor: &Visitor, proxy: &Proxy) {
        let begin = Instant::now();
        visitor.visit(proxy).await;
        self.0.push(begin.elapsed());
    }

    fn median(&self) -> Duration {
        self.quantile(5)
    }

    /// Nine of ten took less.
    fn most(&self) -> Duration {
        self.quantile(9)
    }

    fn slowest(&self) -> Duration {
        self.quantile(10)
    }

    fn quantile(&self, tenths: usize) -> Duration {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        sorted[(sorted.len() - 1) * tenths / 10]
    }
}

/// The levels of all lines about the store since the process was ready.
fn changes(proxy: &Proxy) -> Vec<String> {
    let lines = proxy.process().lines();
    lines.iter().filter(|line| is_of_store(line)).map(|line| line.field("level")).collect()
}

fn is_of_store(line: &Line) -> bool {
    line.field("message").contains("the shared tier")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_gone_is_missed_by_nobody() {
    let Some(trial) = Trial::start().await else { return };
    let begin = async |trial: &mut Trial| trial.fleet.store.redis_mut().kill();
    let end = async |trial: &mut Trial| trial.fleet.store.redis_mut().restart().await;
    trial.bears(begin, end, &["unreachable", "broken", "timeout"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_deaf_is_not_waited_for() {
    let Some(trial) = Trial::start().await else { return };
    let begin = async |trial: &mut Trial| trial.fleet.store.redis().stop();
    let end = async |trial: &mut Trial| trial.fleet.store.redis().go_on();
    trial.bears(begin, end, &["timeout"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_slow_is_not_waited_for() {
    let Some(trial) = Trial::start().await else { return };
    let begin = async |trial: &mut Trial| trial.detour.takes(Duration::from_secs(1));
    let end = async |trial: &mut Trial| trial.detour.takes(Duration::ZERO);
    trial.bears(begin, end, &["timeout"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_full_is_left_alone() {
    let Some(trial) = Trial::start().await else { return };
    let begin = async |trial: &mut Trial| trial.tell(&["CONFIG", "SET", "maxmemory", "1"]).await;
    let end = async |trial: &mut Trial| trial.tell(&["CONFIG", "SET", "maxmemory", "0"]).await;
    trial.bears(begin, end, &["full"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_may_not_be_written_to_is_left_alone() {
    let Some(trial) = Trial::start().await else { return };
    // A replica of nobody: it reads from what it has.
    let begin = async |trial: &mut Trial| trial.tell(&["REPLICAOF", "127.0.0.1", "1"]).await;
    let end = async |trial: &mut Trial| trial.tell(&["REPLICAOF", "NO", "ONE"]).await;
    trial.bears(begin, end, &["read_only"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_with_another_password_is_left_alone() {
    let Some(trial) = Trial::start().await else { return };
    let begin = async |trial: &mut Trial| {
        trial.tell(&["ACL", "SETUSER", "default", "resetpass", ">another"]).await;
        trial.detour.cut();
    };
    let end = async |trial: &mut Trial| {
        trial.fleet.store.redis_mut().restart().await;
    };
    trial.bears(begin, end, &["auth", "broken"]).await;
}

impl Trial {
    async fn tell(&self, command: &[&str]) {
        self.fleet.store.redis().ask(command).await.expect_ok();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_starts_without_its_store_and_finds_it_later() {
    best_of(MEASUREMENTS, async || {
        let Some(mut store) = Store::start(Kind::Redis).await else { return Ok(()) };
        store.redis_mut().kill();
        starts_without(store).await
    })
    .await;
}

async fn starts_without(store: Store) -> Result<(), String> {
    let detour = Detour::to(store.redis().address()).await;
    let mut trial = Trial::of(store, detour).await;
    let noticed = trial.is_noticed().await;
    for proxy in &trial.fleet.proxies {
        assert_eq!(proxy.admin("/readyz").await.status, 200);
        let visitor = Visitor::tls13();
        assert!(!visitor.visit(proxy).await);
        assert!(visitor.visit(proxy).await, "its own session");
    }
    trial.fleet.store.redis_mut().restart().await;
    trial.comes_back().await;
    noticed
}

#[tokio::test(flavor = "multi_thread")]
async fn ticket_keys_that_could_not_be_agreed_on_are_agreed_on_later() {
    let Some(mut store) = Store::start(Kind::Redis).await else { return };
    store.redis_mut().kill();
    let mut fleet = Fleet::start(store, 2, |builder| {
        builder.set("resumption.mode", "\"tickets\"").set("resumption.ticket_keys", "\"shared\"")
    })
    .await;
    for proxy in &fleet.proxies {
        for visitor in [Visitor::tls12(true), Visitor::tls13()] {
            assert!(!visitor.visit(proxy).await);
            assert!(visitor.visit(proxy).await, "its own, under whatever key");
        }
    }
    fleet.store.redis_mut().restart().await;
    let [one, other] = &fleet.proxies[..] else { unreachable!() };
    for fresh in [|| Visitor::tls12(true), Visitor::tls13] {
        eventually("tickets that are good everywhere", async || {
            let visitor = fresh();
            visitor.visit(one).await;
            visitor.visit(other).await.then_some(())
        })
        .await;
    }
}

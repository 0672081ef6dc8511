//! Clients that come back to another process than the one that they were with: as good as to the
//! same one, whoever was killed and whatever was renewed in between.

use portunus_tests::authority;
use portunus_tests::foreign::{Conversation, s_client};
use portunus_tests::wait::eventually;

use super::fleet::{Die, ERRORS, Fleet, Kind, LOOKUPS, NAME, Store, Visitor, is_used, says_hello};

const PROCESSES: usize = 3;
/// How often clients return at most while the store fails in the middle of it.
const TRIES: usize = 4;
const SEED: u64 = 0x706f_7274_756e_7573;

/// What clients resume with.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Mode {
    Both,
    Stateful,
    Tickets,
}

impl Mode {
    fn text(self) -> &'static str {
        match self {
            Self::Both => "\"both\"",
            Self::Stateful => "\"stateful\"",
            Self::Tickets => "\"tickets\"",
        }
    }

    /// Whether a visit leaves a session in the store.
    fn keeps(self, visitor: &Visitor, resumed: bool) -> bool {
        match self {
            // One of TLS 1.3 is used once, one of TLS 1.2 again and again.
            Self::Stateful => visitor.is_tls13 || !resumed,
            Self::Both => !visitor.is_tls13 && !resumed,
            Self::Tickets => false,
        }
    }
}

/// Clients that move around.
struct Crowd {
    visitors: Vec<Visitor>,
    mode: Mode,
    die: Die,
    /// Whether the store has everything that their last round left there.
    is_whole: bool,
    /// How often the store had failed when they last returned well.
    errors: f64,
}

/// What became of visits.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    returned: usize,
    resumed: usize,
    /// Look-ups that a busy machine answered too late, by the product's own count.
    late: f64,
}

impl Crowd {
    /// Clients that were never here, of both kinds and versions.
    fn new(mode: Mode, fleet: &Fleet) -> Self {
        let ours = (0..15).map(|number| match number % 3 {
            0 => Visitor::tls12(true),
            1 => Visitor::tls12(false),
            _ => Visitor::tls13(),
        });
        let foreign = (0..6).map(|number| {
            let file = fleet.store.file(&format!("session-{number}"));
            Visitor::foreign(number % 3 == 0, number % 3 != 1, file)
        });
        let resumes = |visitor: &Visitor| visitor.takes_tickets || mode != Mode::Tickets;
        let visitors = ours.chain(foreign).filter(resumes).collect();
        Self { visitors, mode, die: Die(SEED), is_whole: false, errors: 0.0 }
    }

    /// Everybody goes to some process, and what that leaves in the store is there afterwards, or
    /// given up.
    async fn round(&mut self, fleet: &Fleet) -> Tally {
        let late = [("tier", "shared"), ("result", "timeout")];
        let before = fleet.metric(LOOKUPS, &late).await;
        let (is_whole, resumed) = fleet
            .settles(async || {
                let (mut kept, mut resumed) = (0, 0);
                for visitor in &self.visitors {
                    let proxy = &fleet.proxies[self.die.roll(PROCESSES)];
                    let is_resumed = visitor.visit(proxy).await;
                    kept += usize::from(self.mode.keeps(visitor, is_resumed));
                    resumed += usize::from(is_resumed);
                }
                (kept, resumed)
            })
            .await;
        self.is_whole = is_whole;
        let late = fleet.metric(LOOKUPS, &late).await - before;
        Tally { returned: self.visitors.len(), resumed, late }
    }

    /// Three rounds of clients that return after `act`: 99 of 100 resume, but for those whose
    /// look-up came too late, of whom there are few. Both are done again where the store failed.
    async fn returns(
        &mut self,
        fleet: &mut Fleet,
        when: &str,
        act: impl AsyncFn(&mut Fleet, &mut Die),
    ) {
        let mut all = Tally::default();
        for _ in 0..TRIES {
            is_used(&fleet.proxies).await;
            if !self.is_whole {
                eventually("a round in which everybody resumes", async || {
                    let Tally { returned, resumed, .. } = self.round(fleet).await;
                    (returned == resumed && self.is_whole).then_some(())
                })
                .await;
            }
            let has_failed = fleet.metric(ERRORS, &[]).await != self.errors;
            act(fleet, &mut self.die).await;
            // A new process begins to count anew.
            let before = fleet.metric(ERRORS, &[]).await;
            all = Tally::default();
            for _ in 0..3 {
                all.add(self.round(fleet).await);
            }
            let (returned, lost) = (all.returned as f64, (all.returned - all.resumed) as f64);
            if all.late <= 0.1 * returned && lost <= 0.01 * returned + all.late {
                self.errors = fleet.metric(ERRORS, &[]).await;
                return;
            }
            let has_failed = has_failed || fleet.metric(ERRORS, &[]).await > before;
            assert!(has_failed, "{when}: {all:?}");
            self.is_whole = false;
        }
        panic!("{when}, the store is too slow: {all:?}");
    }
}

impl Tally {
    fn add(&mut self, other: Self) {
        self.returned += other.returned;
        self.resumed += other.resumed;
        self.late += other.late;
    }
}

/// Has clients move around, kills a process, renews the certificates of all.
async fn clients_move(kind: Kind, mode: Mode, ticket_keys: Option<&str>) {
    let Some(store) = Store::start(kind).await else { return };
    let keys =
        ticket_keys.map(|keys| keys.replace("FOLDER", store.folder.path().to_str().unwrap()));
    let mut fleet = Fleet::start(store, PROCESSES, |builder| {
        let builder = builder.set("resumption.mode", mode.text());
        match &keys {
            Some(keys) => builder.set("resumption.ticket_keys", keys),
            None => builder,
        }
    })
    .await;
    let mut crowd = Crowd::new(mode, &fleet);
    assert_eq!(crowd.round(&fleet).await.resumed, 0, "nobody was here before");
    crowd.returns(&mut fleet, "at first", async |_, _| ()).await;
    let kill = async |fleet: &mut Fleet, die: &mut Die| {
        let killed = fleet.proxies.swap_remove(die.roll(PROCESSES));
        killed.kill().await;
        fleet.proxies.push(killed.restart().await);
    };
    crowd.returns(&mut fleet, "after one was killed", kill).await;
    let renew = async |fleet: &mut Fleet, _: &mut Die| {
        for proxy in &fleet.proxies {
            proxy.replace_certificate(NAME, &authority().issue(&[NAME])).await;
        }
    };
    crowd.returns(&mut fleet, "after the certificates were renewed", renew).await;
}

const SHARED: Option<&str> = Some("\"shared\"");
const FILE: Option<&str> = Some("\"file:FOLDER/ticket.keys\"");

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_back_to_another_process_resumes_through_redis() {
    clients_move(Kind::Redis, Mode::Stateful, None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_back_to_another_process_resumes_through_a_folder() {
    clients_move(Kind::Local, Mode::Stateful, None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tickets_under_keys_of_redis_are_good_in_every_process() {
    clients_move(Kind::Redis, Mode::Tickets, SHARED).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tickets_under_keys_of_a_folder_are_good_in_every_process() {
    clients_move(Kind::Local, Mode::Tickets, SHARED).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tickets_under_keys_of_a_file_are_good_in_every_process() {
    clients_move(Kind::Local, Mode::Tickets, FILE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_of_tls_1_2_and_tickets_of_tls_1_3_are_good_side_by_side() {
    clients_move(Kind::Redis, Mode::Both, SHARED).await;
    clients_move(Kind::Local, Mode::Both, FILE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_to_say_hello_twice_resumes_all_the_same() {
    for kind in [Kind::Redis, Kind::Local] {
        let Some(store) = Store::start(kind).await else { continue };
        let fleet = Fleet::start(store, 2, |builder| builder).await;
        let file = fleet.store.file("session");
        // A key share that is not taken, and another group for the second hello (RFC 8446 §4.1.4).
        let groups = ["-tls1_3", "-groups", "P-521:X25519"];
        let client = |proxy| s_client(proxy, NAME).expect("it was found before").args(groups);
        let moves = async || {
            let first = || says_hello(client(&fleet.proxies[0]).arg("-sess_out").arg(&file));
            assert!(!fleet.hand_over(async || (1, first().await)).await);
            let again = client(&fleet.proxies[1]).arg("-sess_in").arg(&file).arg("-msg").start();
            let output = visits(again).await;
            // The server says hello twice as well: once to have the client say it again.
            assert_eq!(output.matches(", ClientHello").count(), 2, "{output}");
            output.contains("\nReused, ").then_some(()).ok_or(output)
        };
        fleet.undisturbed(moves).await;
    }
}

/// Everything that `s_client` says while it exchanges a word with an echo.
async fn visits(mut client: Conversation) -> String {
    client.say(b"hello\n").await;
    client.hear("\nhello").await;
    client.finish().await.expect_success()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_back_to_the_same_process_at_once_resumes() {
    for kind in [Kind::Redis, Kind::Local] {
        let Some(store) = Store::start(kind).await else { continue };
        let fleet = Fleet::start(store, 1, |builder| builder).await;
        let returns = async || {
            let visitor = Visitor::tls13();
            assert!(!visitor.visit(&fleet.proxies[0]).await);
            let mut resumed = 0;
            for _ in 0..100 {
                // Its session is in memory, on its way to the store, or there.
                resumed += usize::from(visitor.visit(&fleet.proxies[0]).await);
            }
            let told = || format!("{kind:?}: {resumed} of 100");
            (resumed >= 90).then_some(()).ok_or_else(told)
        };
        fleet.undisturbed(returns).await;
    }
}

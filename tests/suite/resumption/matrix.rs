//! Every place where a session can be made, and every other where it can be offered: it is resumed
//! where it was made, and nowhere else.
//!
//! All places have one certificate and one backend, and the clients offer what they have wherever
//! they go, so that nothing but the policy stands between them. With a store, what one process made
//! is offered to another, so that the store is what answers.

use std::sync::Arc;

use portunus_tests::{
    Builder, Client, ClientAuthority, Credential, Flaw, Listener, Proxy, Wallet, authority, echo,
    https, tls,
};
use rustls::client::Resumption;

use super::fleet::{Kind, LOOKUPS, Store, hand_over, undisturbed};

/// A place where clients are served.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Place {
    listener: &'static str,
    name: &'static str,
    versions: &'static [Version],
    resumes: bool,
    /// Whether sessions are never carried by clients, since they are to be forgotten here.
    keeps: bool,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Version {
    Tls12,
    Tls13,
}

/// What of a wallet is offered.
type Offer = fn(&Arc<Wallet>) -> Resumption;

const BOTH: &[Version] = &[Version::Tls12, Version::Tls13];

const fn place(listener: &'static str, name: &'static str) -> Place {
    Place { listener, name, versions: BOTH, resumes: true, keeps: false }
}

const PLACES: [Place; 10] = [
    place("a", "one.m.example"),
    place("a", "two.m.example"),
    place("b", "one.m.example"),
    place("tcp", "one.m.example"),
    Place { versions: &[Version::Tls13], ..place("modern", "one.m.example") },
    Place { resumes: false, ..place("a", "require.m.example") },
    Place { resumes: false, ..place("a", "request.m.example") },
    Place { keeps: true, ..place("a", "revalidate.m.example") },
    Place { keeps: true, ..place("a", "maybe.m.example") },
    Place { keeps: true, ..place("a", "other.m.example") },
];

fn listeners() -> [Listener; 4] {
    let a = https("one.m.example")
        .named("a")
        .site("two.m.example", "app")
        .site_with("require.m.example", "app", "client_auth = { ca = \"clients.pem\" }")
        .site_with(
            "request.m.example",
            "app",
            "client_auth = { mode = \"request\", ca = \"clients.pem\" }",
        )
        .site_with(
            "revalidate.m.example",
            "app",
            "client_auth = { ca = \"clients.pem\", resumption = \"revalidate\" }",
        )
        .site_with(
            "maybe.m.example",
            "app",
            "client_auth = { mode = \"request\", ca = \"clients.pem\", \
             resumption = \"revalidate\" }",
        )
        .site_with(
            "other.m.example",
            "app",
            "client_auth = { ca = \"others.pem\", resumption = \"revalidate\" }",
        );
    let b = https("one.m.example").named("b");
    let modern = https("one.m.example").named("modern").with("tls", "{ min_version = \"1.3\" }");
    [a, b, tls("one.m.example").named("tcp"), modern]
}

/// One or two processes with all places, and a client that each of them lets in.
struct World {
    proxies: Vec<Proxy>,
    credentials: [Credential; 2],
    is_shared: bool,
}

/// How one kind of session went around.
#[derive(Debug, Default, Eq, PartialEq)]
struct Tally {
    crossed: Vec<(Place, Place)>,
    stayed: usize,
}

impl World {
    async fn start(builder: impl Fn() -> Builder, processes: usize) -> Self {
        let authorities = [ClientAuthority::new("clients"), ClientAuthority::new("others")];
        let mut proxies = Vec::new();
        for _ in 0..processes {
            let builder = listeners().into_iter().fold(builder(), Builder::listener);
            let builder = builder
                .certificate("all", &authority().issue(&["*.m.example"]))
                .file("clients.pem", &authorities[0].pem())
                .file("others.pem", &authorities[1].pem())
                .backend(echo());
            proxies.push(builder.start().await);
        }
        let credentials = authorities.map(|authority| authority.issue("client", Flaw::Nothing));
        Self { proxies, credentials, is_shared: processes > 1 }
    }

    /// A client with an empty wallet.
    fn client(&self, version: Version) -> Client {
        let client = Client::new(self.proxies[0].address("a"), "any.m.example");
        let client = if version == Version::Tls12 { client.tls12() } else { client };
        client.certificates(&[&self.credentials[0], &self.credentials[1]])
    }

    /// Makes a session at every place for every place, and offers it there.
    async fn every_pair(&self, version: Version, sessions: Offer, is_stored: bool) -> Tally {
        let mut tally = Tally::default();
        let serves = |place: &&Place| place.versions.contains(&version);
        for from in PLACES.iter().filter(serves) {
            let targets: Vec<_> = PLACES.iter().filter(serves).collect();
            let offers = self.make(from, version, sessions, is_stored, targets.len()).await;
            for ((client, wallet), to) in offers.into_iter().zip(targets) {
                assert_eq!(wallet.is_empty(), !from.resumes, "what {from:?} gave");
                if !from.resumes {
                    continue;
                }
                match (self.is_resumed(&client, to).await, from == to) {
                    (true, true) => tally.stayed += 1,
                    (true, false) => tally.crossed.push((*from, *to)),
                    (false, _) => {}
                }
            }
        }
        tally
    }

    /// So many clients, each with one session of this place.
    async fn make(
        &self,
        from: &Place,
        version: Version,
        sessions: Offer,
        is_stored: bool,
        count: usize,
    ) -> Vec<(Client, Arc<Wallet>)> {
        let is_shared = (is_stored || from.keeps) && self.is_shared && from.resumes;
        let act = async || {
            let offers = self.visit(from, version, sessions, count).await;
            (if is_shared { offers.len() } else { 0 }, offers)
        };
        hand_over(&self.proxies[..1], act).await
    }

    async fn visit(
        &self,
        from: &Place,
        version: Version,
        sessions: Offer,
        count: usize,
    ) -> Vec<(Client, Arc<Wallet>)> {
        let maker = &self.proxies[0];
        let mut offers = Vec::new();
        for _ in 0..count {
            let wallet = Wallet::new();
            let client = self.client(version).resumption(sessions(&wallet));
            let there = client.clone().at(maker.address(from.listener)).asking_for(from.name);
            let mut connection = there.connect().await;
            if from.resumes {
                connection.ticket().await;
            }
            wallet.close();
            offers.push((client, wallet));
        }
        offers
    }

    async fn is_resumed(&self, client: &Client, to: &Place) -> bool {
        let taker = &self.proxies[self.proxies.len() - 1];
        let client = client.clone().at(taker.address(to.listener)).asking_for(to.name);
        client.connect().await.resumed()
    }

    /// Nothing crosses, and what stays is resumed, but for look-ups that came too late.
    async fn holds(&self, is_stored: bool) {
        undisturbed(&self.proxies, async || self.try_to_hold(is_stored).await).await;
    }

    async fn try_to_hold(&self, is_stored: bool) -> Result<(), String> {
        let kinds: [(Version, Offer); 2] = if is_stored {
            [(Version::Tls12, Wallet::session_ids), (Version::Tls13, Wallet::sessions)]
        } else {
            [(Version::Tls12, Wallet::sessions), (Version::Tls13, Wallet::sessions)]
        };
        let taker = &self.proxies[self.proxies.len() - 1];
        let count = async |result| taker.metric(LOOKUPS, &[("result", result)]).await;
        let before = [count("timeout").await, count("policy").await];
        let mut offered = 0;
        for (version, sessions) in kinds {
            let tally = self.every_pair(version, sessions, is_stored).await;
            assert_eq!(tally.crossed, [], "{version:?}");
            let makers: Vec<_> = PLACES
                .iter()
                .filter(|place| place.resumes && place.versions.contains(&version))
                .collect();
            let late = count("timeout").await - before[0];
            let is_most = tally.stayed >= makers.len() - 2;
            if !is_most || tally.stayed as f64 + late < makers.len() as f64 {
                return Err(format!("{version:?}: {tally:?}"));
            }
            // What is kept and what is carried do not even look alike.
            let alike = |one: &Place, other: &Place| is_stored || one.keeps == other.keeps;
            offered += makers
                .iter()
                .flat_map(|from| makers.iter().map(move |to| (from, to)))
                .filter(|(from, to)| from != to && alike(from, to))
                .count();
        }
        let [late, said] = [count("timeout").await - before[0], count("policy").await - before[1]];
        let told = || format!("{said} of {offered} were refused by policy");
        (said + late >= offered as f64).then_some(()).ok_or_else(told)
    }
}

async fn sessions_stay(kind: Option<Kind>) {
    match kind {
        None => World::start(Proxy::builder, 1).await.holds(true).await,
        Some(kind) => {
            let Some(store) = Store::start(kind).await else { return };
            World::start(|| store.builder(), 2).await.holds(true).await;
        }
    }
}

async fn tickets_stay(kind: Option<Kind>) {
    let tickets = |builder: Builder| builder.set("resumption.mode", "\"tickets\"");
    match kind {
        None => World::start(|| tickets(Proxy::builder()), 1).await.holds(false).await,
        Some(kind) => {
            let Some(store) = Store::start(kind).await else { return };
            let shared = || tickets(store.builder()).set("resumption.ticket_keys", "\"shared\"");
            World::start(shared, 2).await.holds(false).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_in_memory_stays_where_it_was_made() {
    sessions_stay(None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_in_redis_stays_where_it_was_made() {
    sessions_stay(Some(Kind::Redis)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_in_a_folder_stays_where_it_was_made() {
    sessions_stay(Some(Kind::Local)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_stays_where_it_was_made() {
    tickets_stay(None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_under_keys_of_redis_stays_where_it_was_made() {
    tickets_stay(Some(Kind::Redis)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_under_keys_of_a_folder_stays_where_it_was_made() {
    tickets_stay(Some(Kind::Local)).await;
}

//! Traffic that never stops: clients that each keep up one habit, and count what does not go well.
//!
//! Owns the clients, their pace and their end. A client goes from one *turn* to the next: a visit,
//! a request, a message, a piece of a transfer. Whatever keeps a turn from ending as it has to is a
//! [`Fault`], and none is repeated or overlooked: a connection may end only where it was told to
//! or had nothing left to say. Refuses to know what happens to the proxy meanwhile; that is the
//! test's. Read next: `tally`, then the habits: `visits`, `requests`, `socket`, `bulk`.

mod bulk;
mod fault;
mod requests;
mod service;
mod socket;
mod tally;
mod visits;
mod way;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::asker::Version;
use crate::proxy::Proxy;
use crate::proxy::builder::{Builder, https, tls};
use crate::wait::{PATIENCE, eventually};
pub use fault::{Fault, Reason};
pub use service::{Bytes, Pages, bytes, pages};
use tally::Record;
pub use tally::{Failure, Sum, Tally};
use way::Way;

/// What a client keeps doing.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Habit {
    /// A full handshake, one request, and the end.
    Newcomer,
    /// The same with the session of the last time, in TLS 1.2.
    Returning12,
    /// The same with the session of the last time, in TLS 1.3.
    Returning13,
    /// One request after the other over HTTP/1.1.
    Http1,
    /// The same with a second of silence in between.
    Patient,
    /// Requests side by side over HTTP/2.
    Http2,
    /// Messages that come back through a WebSocket.
    Socket,
    /// Bytes that come back through a TCP listener.
    Tunnel,
    /// Large responses over HTTP/1.1, compared to the byte.
    Download,
    /// Many bytes through a TCP listener, compared by who gets them.
    Upload,
}

/// Where traffic goes, and what of it.
#[derive(Clone, Copy, Debug)]
pub struct Road {
    /// The listener that has [`Pages`] behind it.
    pub https: SocketAddr,
    /// The listener that has [`Bytes`] behind it.
    pub tls: SocketAddr,
    /// The name that both of them serve.
    pub name: &'static str,
    /// How long a socket and a tunnel live before they end themselves; forever, if that is `None`.
    pub lasting: Option<Duration>,
}

/// Clients that go on until they are told to end.
#[derive(Debug)]
pub struct Traffic {
    record: Arc<Record>,
    over: watch::Sender<bool>,
    clients: JoinSet<()>,
}

/// A client as the loop sees it.
trait Client: Send + 'static {
    /// One turn.
    fn turn(&mut self) -> impl Future<Output = Result<(), Fault>> + Send;

    /// Ends what is left open, as a client should.
    fn end(&mut self) -> impl Future<Output = Result<(), Fault>> + Send;

    /// Lets go of everything, since the last turn did not end well.
    fn forget(&mut self);
}

impl Habit {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Newcomer,
        Self::Returning12,
        Self::Returning13,
        Self::Http1,
        Self::Patient,
        Self::Http2,
        Self::Socket,
        Self::Tunnel,
        Self::Download,
        Self::Upload,
    ];

    /// The time from one turn to the next, where the machine has time.
    fn pace(self) -> Duration {
        Duration::from_millis(match self {
            Self::Newcomer | Self::Returning12 | Self::Returning13 => 25,
            Self::Http1 | Self::Http2 => 15,
            Self::Patient => 1_000,
            Self::Socket | Self::Tunnel | Self::Download | Self::Upload => 10,
        })
    }
}

/// A proxy for a [`Road`]: a listener `https` before `pages`, a listener `tls` before `bytes`.
pub fn road_builder(name: &str, pages: &[&str], bytes: &[&str]) -> Builder {
    Proxy::builder()
        .listener(https(name))
        .listener(tls(name).to("bytes"))
        .endpoints("app", pages)
        .endpoints("bytes", bytes)
        // Everybody comes from one address.
        .set("limits.handshakes_per_source", "1000")
        .set("log.level", "\"info\"")
}

impl Road {
    /// The way to `proxy`, which [`road_builder`] has described.
    pub fn to(proxy: &Proxy, name: &'static str) -> Self {
        let (https, tls) = (proxy.address("https"), proxy.address("tls"));
        Self { https, tls, name, lasting: None }
    }

    /// Sockets and tunnels end themselves after `life`.
    #[must_use]
    pub fn lasting(self, life: Duration) -> Self {
        Self { lasting: Some(life), ..self }
    }
}

impl Traffic {
    /// One client of each habit.
    pub fn of_all(road: Road) -> Self {
        Self::of(road, &Habit::ALL)
    }

    /// One client for each of `habits`.
    pub fn of(road: Road, habits: &[Habit]) -> Self {
        let record = Arc::new(Record::new(habits));
        let over = watch::channel(false).0;
        let mut traffic = Self { record, over, clients: JoinSet::new() };
        for (place, &habit) in habits.iter().enumerate() {
            traffic.begin(road, place, habit);
        }
        traffic
    }

    fn begin(&mut self, road: Road, place: usize, habit: Habit) {
        let way = || Way::new(road, &self.record, place);
        match habit {
            Habit::Newcomer => {
                let client = visits::Visits::newcomer(way());
                self.spawn(place, habit, client);
            }
            Habit::Returning12 => {
                let client = visits::Visits::returning(way().tls12());
                self.spawn(place, habit, client);
            }
            Habit::Returning13 => {
                let client = visits::Visits::returning(way());
                self.spawn(place, habit, client);
            }
            Habit::Http1 | Habit::Patient => {
                let client = requests::Requests::new(way(), Version::One);
                self.spawn(place, habit, client);
            }
            Habit::Http2 => {
                let client = requests::Requests::new(way(), Version::Two);
                self.spawn(place, habit, client);
            }
            Habit::Socket => {
                let client = socket::Conversation::socket(way());
                self.spawn(place, habit, client);
            }
            Habit::Tunnel => {
                let client = socket::Conversation::tunnel(way());
                self.spawn(place, habit, client);
            }
            Habit::Download => {
                let client = bulk::Download::new(way());
                self.spawn(place, habit, client);
            }
            Habit::Upload => {
                let client = bulk::Upload::new(way());
                self.spawn(place, habit, client);
            }
        }
    }

    fn spawn(&mut self, place: usize, habit: Habit, client: impl Client) {
        let (record, over) = (Arc::clone(&self.record), self.over.subscribe());
        let life = live(client, habit, place, record, over);
        if habit != Habit::Http2 {
            self.clients.spawn(life);
            return;
        }
        // hyper sees whether its connection ends, and then sends. What another thread hears in
        // between would look like a request that was sent and refused.
        self.clients.spawn_blocking(move || {
            let one = tokio::runtime::Builder::new_current_thread().enable_all().build();
            one.expect("a thread can be had").block_on(life);
        });
    }

    /// Waits until every client has ended a turn that it began after this was called; who is
    /// patient is not waited for.
    pub async fn round(&self) {
        let begun = self.record.begun();
        let what = "a turn of each client";
        eventually(what, async || self.record.has_ended_beyond(&begun).then_some(())).await;
    }

    /// What has happened so far.
    pub fn so_far(&self) -> Tally {
        self.record.tally()
    }

    /// Has every client end what it is doing, and tells what has happened.
    pub async fn end(mut self) -> Tally {
        self.over.send_replace(true);
        while let Some(ended) = self.clients.join_next().await {
            if let Err(error) = ended {
                std::panic::resume_unwind(error.into_panic());
            }
        }
        self.record.tally()
    }
}

/// Turn after turn until it is over.
async fn live(
    mut client: impl Client,
    habit: Habit,
    place: usize,
    record: Arc<Record>,
    mut over: watch::Receiver<bool>,
) {
    let mut clock = interval(habit.pace());
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = clock.tick() => {}
            _ = over.wait_for(|over| *over) => break,
        }
        let turn = record.begin(place);
        let outcome = bounded("take a turn", client.turn()).await;
        if outcome.is_err() {
            client.forget();
        }
        turn.end(outcome);
    }
    let turn = record.begin(place);
    turn.end(bounded("end", client.end()).await);
}

async fn bounded(
    step: &'static str,
    turn: impl Future<Output = Result<(), Fault>>,
) -> Result<(), Fault> {
    timeout(PATIENCE, turn).await.unwrap_or_else(|_| Err(Fault::new(step, Reason::Late)))
}

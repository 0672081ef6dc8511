//! The accept loop: where connections come in.
//!
//! Owns the law of accepting: a permit first, then the connection, so that what is beyond the cap
//! waits in the kernel, and everything does while memory is short; after an error a pause that
//! grows; without descriptors, one is kept in reserve to turn a client away rather than to let it
//! hang. There is no IO on a new connection here. What a connection is served as can change from
//! one to the next, without a pause in accepting. Who has connected when a socket is closed is
//! taken in all the same. Refuses to know what a connection is for. Read next: `connection`.

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::task::yield_now;
use tokio::time::{Instant, sleep};
use tracing::warn;

use crate::connection::{self, Accepted, Entrance, Present};
use crate::drain::DrainWatch;
use crate::limit::{Slot, Slots};
use crate::metrics::Limit;
use crate::net::listen::ListenSocket;
use crate::net::{PeerAddr, Socket};
use crate::snapshot::Snapshot;

/// What becomes of connections that come in.
#[derive(Debug)]
pub struct Serving {
    /// What they need.
    pub snapshot: Arc<Snapshot>,
    /// Which of its sockets they come to the listener by.
    pub entrance: Entrance,
    /// Who waits for them.
    pub watch: DrainWatch,
}

/// Accepts on `socket` for as long as the future is polled; it ends by being dropped. Each
/// connection is served as `serving` says at the moment at which it is accepted.
pub async fn accept(socket: &ListenSocket, serving: &Arc<ArcSwap<Serving>>, slots: &Arc<Slots>) {
    let present = present(serving);
    let mut trouble = Trouble::default();
    let port = socket.addr().port();
    loop {
        let memory = Arc::clone(&serving.load().snapshot.memory);
        if memory.is_closed() {
            serving.load().snapshot.process.limit_hits.of(Limit::Memory).inc();
            memory.opened().await;
        }
        let slot = match slots.try_take() {
            Some(slot) => slot,
            None => {
                serving.load().snapshot.process.limit_hits.of(Limit::Connections).inc();
                slots.take().await
            }
        };
        match socket.accept().await {
            Ok(come) => {
                trouble.over();
                begin(come, port, slot, &present, &serving.load());
            }
            Err(error) => {
                let snapshot = Arc::clone(&serving.load().snapshot);
                trouble.with(socket, &snapshot, &error).await;
            }
        }
    }
}

/// Accepts who has connected to `socket` already: the kernel has let them in, and would reset them
/// when the socket is closed. They hear of the end like everybody else.
pub async fn accept_rest(
    socket: &ListenSocket,
    serving: &Arc<ArcSwap<Serving>>,
    slots: &Arc<Slots>,
) {
    let (port, present) = (socket.addr().port(), present(serving));
    for count in 1..=REST_MAX {
        let Some(slot) = slots.try_take() else { return };
        match socket.accept_now() {
            Ok(Some(come)) => begin(come, port, slot, &present, &serving.load()),
            Err(error) if is_about_one_connection(&error) => {}
            Ok(None) | Err(_) => return,
        }
        if count % REST_TURN == 0 {
            yield_now().await;
        }
    }
}

/// How connections learn what holds when their ClientHello is complete, if anything still does.
fn present(serving: &Arc<ArcSwap<Serving>>) -> Present {
    let serving = Arc::downgrade(serving);
    Present::new(move || Some(Arc::clone(&serving.upgrade()?.load().snapshot)))
}

/// Has a connection served.
fn begin(
    (socket, peer): (Socket, PeerAddr),
    port: Option<u16>,
    slot: Slot,
    present: &Present,
    serving: &Serving,
) {
    let Serving { snapshot, entrance, watch } = serving;
    let (at, entrance, present) = (Instant::now(), *entrance, present.clone());
    let accepted = Accepted { socket, peer, port, at, slot, entrance, present };
    watch.spawn(connection::serve(accepted, Arc::clone(snapshot), watch.clone()));
}

/// What is remembered between errors of accepting.
struct Trouble {
    /// A descriptor to give up when there are no others.
    reserve: Option<File>,
    pause: Duration,
    last: Option<io::ErrorKind>,
}

impl Default for Trouble {
    fn default() -> Self {
        Self { reserve: reserve(), pause: PAUSE_MIN, last: None }
    }
}

impl Trouble {
    /// Accepting works.
    fn over(&mut self) {
        if self.last.take().is_some() {
            self.pause = PAUSE_MIN;
            self.reserve = self.reserve.take().or_else(reserve);
        }
    }

    /// Accepting failed: turns one client away if descriptors ran out, and pauses. Each kind of
    /// error is logged once until accepting works again.
    async fn with(&mut self, socket: &ListenSocket, snapshot: &Snapshot, error: &io::Error) {
        if self.last.replace(error.kind()) != Some(error.kind()) {
            warn!(listener = &*snapshot.listener, %error, "cannot accept connections");
        }
        if is_out_of_descriptors(error) {
            snapshot.process.limit_hits.of(Limit::Descriptors).inc();
            if self.reserve.take().is_some() {
                // Ready at once, since the connection that could not be accepted still waits.
                if let Ok(accepted) = tokio::time::timeout(PAUSE_MIN, socket.accept()).await
                    && let Ok((turned_away, ..)) = accepted
                {
                    turned_away.reset_on_close();
                }
                self.reserve = reserve();
            }
        } else if is_about_one_connection(error) {
            return;
        }
        sleep(self.pause).await;
        self.pause = (self.pause * 2).min(PAUSE_MAX);
    }
}

fn reserve() -> Option<File> {
    File::open("/dev/null").ok()
}

/// `EMFILE`, `ENFILE`.
fn is_out_of_descriptors(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(23 | 24))
}

/// Whether the error is that of a connection that broke before it was accepted (accept(2)).
fn is_about_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted)
}

/// As many as the kernel holds for us.
const REST_MAX: usize = 4096;
/// After as many, others have their turn.
const REST_TURN: usize = 64;
const PAUSE_MIN: Duration = Duration::from_millis(5);
const PAUSE_MAX: Duration = Duration::from_secs(1);

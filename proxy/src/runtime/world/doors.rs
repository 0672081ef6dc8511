//! The sockets that are accepted on, and what becomes of connections that come in by each.
//!
//! Owns [`Doors`]. A door is opened once and stays open for as long as its address is configured,
//! for whatever listener: what its connections are served as is swapped under it. It closes when
//! nothing is accepted any more, whoever still knows of it. What a reload needs besides is opened
//! before anything is swapped, so that an address that cannot be had changes nothing. Refuses to
//! know how connections are served.

use std::convert::Infallible;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use arc_swap::ArcSwap;
use tokio::sync::oneshot;
use tracing::debug;

use crate::config::{Config, Mode};
use crate::drain::DrainWatch;
use crate::limit::Slots;
use crate::listener::{self, Serving};
use crate::net::listen::ListenSocket;
use crate::net::{Keepalive, ListenAddr};
use crate::phase::{Phase, PhaseWatch};
use crate::runtime::RunError;
use crate::runtime::sockets::{Sockets, entrances};
use crate::snapshot::Snapshot;

/// Every socket that is accepted on.
#[derive(Debug)]
pub(super) struct Doors {
    sockets: Sockets,
    doors: Mutex<Vec<Door>>,
}

/// A socket that is accepted on.
#[derive(Debug)]
struct Door {
    /// The address as it is configured.
    addr: ListenAddr,
    /// Held by the one who accepts.
    socket: Weak<ListenSocket>,
    /// The address as it was bound.
    bound: ListenAddr,
    listener: Arc<str>,
    /// Held by the one who accepts, who lets go of it when nothing is accepted any more.
    serving: Weak<ArcSwap<Serving>>,
    /// Accepting ends when this is dropped.
    _open: oneshot::Sender<Infallible>,
}

/// Sockets that are open and on which nobody accepts yet.
#[derive(Debug, Default)]
pub(super) struct Opened(Vec<(Sign, ListenSocket)>);

/// What a socket is found again by.
type Sign = (ListenAddr, Option<Arc<str>>);

/// What the connections of one listener are served as.
#[derive(Debug)]
pub(super) struct Served {
    pub(super) snapshot: Arc<Snapshot>,
    pub(super) watch: DrainWatch,
}

impl Doors {
    /// No doors yet; those to come have their sockets from `sockets`.
    pub(super) fn new(sockets: Sockets) -> Self {
        Self { sockets, doors: Mutex::default() }
    }

    /// Opens what `config` has and is not open.
    pub(super) fn open(&self, config: &Config) -> Result<Opened, Vec<RunError>> {
        let mut have: Vec<_> = self.doors().iter().map(Door::sign).collect();
        let (mut opened, mut errors) = (Opened::default(), Vec::new());
        for listener in &config.listeners {
            for (addr, _) in entrances(listener) {
                let sign = sign(addr, &listener.name);
                if !take(&mut have, addr, |one| *one == sign).is_empty() {
                    continue;
                }
                let open = self.sockets.take(&listener.name, addr, &config.limits.keepalive);
                let sockets = open.and_then(|open| {
                    open.into_iter().map(ListenSocket::new).collect::<Result<Vec<_>, _>>()
                });
                match sockets {
                    Ok(sockets) => {
                        opened.0.extend(sockets.into_iter().map(|one| (sign.clone(), one)));
                    }
                    Err(cause) => {
                        let listener = Arc::clone(&listener.name);
                        errors.push(RunError::Bind { listener, cause });
                    }
                }
            }
        }
        if errors.is_empty() { Ok(opened) } else { Err(errors) }
    }

    /// From now on, connections are served as `served` says, which is in the order of `config`;
    /// what is not configured any more is closed.
    pub(super) fn serve(
        &self,
        config: &Config,
        served: &[Served],
        mut opened: Opened,
        means: (&PhaseWatch, &DrainWatch, &Arc<Slots>),
    ) {
        let mut doors = self.doors();
        let mut before = std::mem::take(&mut *doors);
        for (listener, served) in config.listeners.iter().zip(served) {
            for (addr, entrance) in entrances(listener) {
                let Served { snapshot, watch } = served;
                let (snapshot, watch) = (Arc::clone(snapshot), watch.clone());
                let serving = Arc::new(Serving { snapshot, entrance, watch });
                let name = &listener.name;
                let sign = sign(addr, name);
                let mut these = take(&mut before, addr, |door| door.sign() == sign);
                for door in &mut these {
                    if let Some(cell) = door.serving.upgrade() {
                        cell.store(Arc::clone(&serving));
                    }
                    door.listener = Arc::clone(name);
                }
                if these.is_empty() {
                    let sockets = take(&mut opened.0, addr, |(one, _)| *one == sign);
                    these.extend(sockets.into_iter().map(|(_, socket)| {
                        Door::new(addr.clone(), socket, Arc::clone(name), &serving, means)
                    }));
                }
                for door in these {
                    door.set_options(listener.mode, &config.limits.keepalive);
                    doors.push(door);
                }
            }
        }
    }

    /// Every address, with the name of its listener and the port that was really bound.
    pub(super) fn addresses(&self) -> Vec<(Arc<str>, ListenAddr)> {
        let door = |door: &Door| (Arc::clone(&door.listener), door.bound.clone());
        self.doors().iter().map(door).collect()
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.doors().len()
    }

    fn doors(&self) -> MutexGuard<'_, Vec<Door>> {
        self.doors.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes out the first that is meant; where a supervisor opened them, it is all of them.
fn take<T>(of: &mut Vec<T>, addr: &ListenAddr, is_meant: impl Fn(&T) -> bool) -> Vec<T> {
    let most = match addr {
        ListenAddr::Given(_) => usize::MAX,
        ListenAddr::Tcp(_) | ListenAddr::Unix(_) => 1,
    };
    let mut taken = Vec::new();
    while let Some(place) = of.iter().position(&is_meant).filter(|_| taken.len() < most) {
        taken.push(of.remove(place));
    }
    taken
}

/// A port that the system chose belongs to its listener, another one to whoever is configured.
fn sign(addr: &ListenAddr, listener: &Arc<str>) -> Sign {
    let is_chosen = matches!(addr, ListenAddr::Tcp(addr) if addr.port() == 0);
    (addr.clone(), is_chosen.then(|| Arc::clone(listener)))
}

impl Door {
    fn sign(&self) -> Sign {
        sign(&self.addr, &self.listener)
    }

    /// Accepts on `socket` until it is closed, or the phase is one in which nothing new is.
    fn new(
        addr: ListenAddr,
        socket: ListenSocket,
        listener: Arc<str>,
        serving: &Arc<Serving>,
        (phase, watch, slots): (&PhaseWatch, &DrainWatch, &Arc<Slots>),
    ) -> Self {
        let serving = Arc::new(ArcSwap::new(Arc::clone(serving)));
        let socket = Arc::new(socket);
        let (open, closed) = oneshot::channel();
        let door = Self {
            addr,
            socket: Arc::downgrade(&socket),
            bound: socket.addr().clone(),
            listener,
            serving: Arc::downgrade(&serving),
            _open: open,
        };
        let (mut phase, slots) = (phase.clone(), Arc::clone(slots));
        // What a supervisor keeps open, it lets wait for the next process.
        let is_closed = !matches!(door.addr, ListenAddr::Given(_));
        watch.spawn(async move {
            tokio::select! {
                () = listener::accept(&socket, &serving, &slots) => {}
                () = phase.reached(Phase::Draining) => {}
                _ = closed => {}
            }
            if is_closed {
                listener::accept_rest(&socket, &serving, &slots).await;
            }
        });
        door
    }

    fn set_options(&self, mode: Mode, keepalive: &Keepalive) {
        let Some(socket) = self.socket.upgrade() else { return };
        let little = match mode {
            Mode::Http => socket.keep_little_unsent(),
            Mode::Tcp => Ok(()),
        };
        let set = |set: io::Result<()>, what: &str| {
            if let Err(error) = set {
                let listener = &*self.listener;
                debug!(listener, %error, what, "an option of the socket is not set");
            }
        };
        set(little, "a limit on unsent bytes");
        set(socket.keep_alive(keepalive), "keepalive");
    }
}

//! The listening sockets of the process, opened before it has threads, and the book of them.
//!
//! Owns where each socket comes from: a process that this one follows, a supervisor, or it is
//! bound; all of the first ones are open or none. Opened this early, a process may give up
//! afterwards what it needed for that. Knows every socket that is open at any time, so that all of
//! them can be handed over, and has one gate before them all. Refuses to know what is served on
//! them. Read next: `net::listen`, and `handoff` for how sockets come and go.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use socket2::SockRef;

use crate::admin::AdminError;
use crate::config::{Config, Listener};
use crate::connection::Entrance;
use crate::net::gate::{Gate, Gatekeeper};
use crate::net::listen::{BindError, FileOwner, Hold, OpenSocket};
use crate::net::{Keepalive, ListenAddr};

use super::RunError;
use super::activation::judge;

/// Every listening socket of the process.
#[derive(Clone, Debug)]
pub struct Sockets(Arc<Book>);

#[derive(Debug)]
struct Book {
    gate: Gate,
    keeper: Gatekeeper,
    lists: Mutex<Lists>,
}

#[derive(Debug, Default)]
struct Lists {
    /// Nobody has asked for them, or a supervisor gave them.
    spare: Vec<Spare>,
    /// Open, and not yet served on.
    waiting: Vec<(SocketName, OpenSocket)>,
    /// Open, whoever has them.
    held: Vec<(SocketName, Weak<Hold>)>,
    /// Which of those that came from a process before were asked for.
    taken: Vec<u32>,
}

/// What tells a listening socket from others, beside the address that the kernel knows.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(super) struct SocketName {
    /// The name of its listener.
    pub owner: String,
    /// The address as the configuration has it.
    pub configured: String,
}

/// A socket that somebody else opened.
#[derive(Debug)]
pub struct Spare {
    name: SocketName,
    descriptor: OwnedFd,
    /// Its place among those of the process before, if it comes from one.
    place: Option<u32>,
    /// Who serves on it. That of a supervisor is kept beside, since nobody could open it again.
    used: Weak<Hold>,
}

impl Spare {
    /// A socket of a supervisor.
    pub fn given(name: &str, descriptor: OwnedFd) -> Self {
        let name = SocketName { owner: String::new(), configured: format!("{GIVEN}{name}") };
        Self { name, descriptor, place: None, used: Weak::new() }
    }

    /// A socket of the process before, at this place in the order in which they came.
    pub(super) fn inherited(name: SocketName, descriptor: OwnedFd, place: u32) -> io::Result<Self> {
        judge(&descriptor)?;
        Ok(Self { name, descriptor, place: Some(place), used: Weak::new() })
    }

    /// Whether this is the socket for `addr` of `owner`.
    fn is_for(&self, owner: &str, addr: &ListenAddr) -> bool {
        let SocketName { owner: had_by, configured } = &self.name;
        let bound = SockRef::from(&self.descriptor).local_addr().ok();
        match addr {
            ListenAddr::Given(name) => configured.strip_prefix(GIVEN) == Some(&**name),
            // Each port that the system chose is another one.
            ListenAddr::Tcp(tcp) if tcp.port() == 0 => {
                had_by == owner && *configured == addr.to_string()
            }
            ListenAddr::Tcp(tcp) => {
                bound.and_then(|bound| bound.as_socket()).is_some_and(|bound| same(bound, *tcp))
            }
            ListenAddr::Unix(path) => {
                bound.is_some_and(|bound| bound.as_pathname() == Some(path.as_path()))
            }
        }
    }

    fn is_used(&self) -> bool {
        self.used.strong_count() > 0
    }

    fn is_given(&self) -> bool {
        self.name.configured.starts_with(GIVEN)
    }
}

impl Lists {
    /// A socket for `addr` of `owner` among those that nobody serves on, and what a supervisor
    /// called it, if one gave it.
    fn adopt(
        &mut self,
        owner: &str,
        addr: &ListenAddr,
        keepalive: &Keepalive,
    ) -> Result<Option<(Option<SocketName>, OpenSocket)>, BindError> {
        let is_meant = |spare: &Spare| !spare.is_used() && spare.is_for(owner, addr);
        let Some(at) = self.spare.iter().position(is_meant) else { return Ok(None) };
        let mut spare = self.spare.remove(at);
        if let Some(place) = spare.place.filter(|place| !self.taken.contains(place)) {
            self.taken.push(place);
        }
        if !spare.is_given() {
            let socket = OpenSocket::adopt(spare.descriptor, addr, FileOwner::Heir, keepalive)?;
            return Ok(Some((None, socket)));
        }
        let called = spare.name.clone();
        let copy = spare.descriptor.try_clone().map_err(|cause| BindError::new(addr, cause));
        let adopted = copy
            .and_then(|copy| OpenSocket::adopt(copy, addr, FileOwner::Others, keepalive))
            .inspect(|socket| spare.used = Arc::downgrade(socket.hold()));
        self.spare.insert(at, spare);
        adopted.map(|socket| Some((Some(called), socket)))
    }
}

impl Lists {
    /// Binds `addr`, beside what this process has if that is in its way: one of the two is about to
    /// be closed, or both are configured.
    fn bind(&self, addr: &ListenAddr, keepalive: &Keepalive) -> Result<OpenSocket, BindError> {
        let refused = match OpenSocket::bind(addr, keepalive) {
            Err(error) if error.is_in_use() => error,
            bound => return bound,
        };
        let held = self.held.iter().filter_map(|(_, hold)| hold.upgrade());
        let beside: Vec<_> = held.filter(|hold| hold.is_beside(addr)).collect();
        if beside.is_empty() {
            return Err(refused);
        }
        OpenSocket::bind_beside(addr, &beside, keepalive)
    }
}

fn same(one: SocketAddr, other: SocketAddr) -> bool {
    (one.ip(), one.port()) == (other.ip(), other.port())
}

impl Sockets {
    /// Opens every address of every listener, and that of the admin listener, from among `spare`
    /// where it is there.
    pub fn open(config: &Config, spare: Vec<Spare>) -> Result<Self, RunError> {
        let (keeper, gate) = Gatekeeper::new();
        let lists = Mutex::new(Lists { spare, ..Lists::default() });
        let sockets = Self(Arc::new(Book { gate, keeper, lists }));
        let keepalive = &config.limits.keepalive;
        if let Some(admin) = &config.admin {
            sockets
                .prepare(ADMIN, &admin.listen, keepalive)
                .map_err(|cause| RunError::Admin(AdminError::Bind(cause)))?;
        }
        for listener in &config.listeners {
            let name = &listener.name;
            for (addr, _) in entrances(listener) {
                sockets
                    .prepare(name, addr, keepalive)
                    .map_err(|cause| RunError::Bind { listener: Arc::clone(name), cause })?;
            }
        }
        // What the process before had is served on no more. What a supervisor gave may be asked for
        // by a later configuration, for the first time or again.
        sockets.lists().spare.retain(Spare::is_given);
        Ok(sockets)
    }

    fn prepare(
        &self,
        owner: &str,
        addr: &ListenAddr,
        keepalive: &Keepalive,
    ) -> Result<(), BindError> {
        let opened = self.open_now(owner, addr, keepalive)?;
        self.lists().waiting.extend(opened);
        Ok(())
    }

    /// The sockets for this address of a listener: those that wait for it, or else opened now. It
    /// is one, unless a supervisor gave several of one name.
    pub(super) fn take(
        &self,
        owner: &str,
        addr: &ListenAddr,
        keepalive: &Keepalive,
    ) -> Result<Vec<OpenSocket>, BindError> {
        let (wanted, is_given) = (addr.to_string(), matches!(addr, ListenAddr::Given(_)));
        let mut found = Vec::new();
        let mut lists = self.lists();
        let is_wanted = |name: &SocketName| name.owner == owner && name.configured == wanted;
        while let Some(place) = lists.waiting.iter().position(|(name, _)| is_wanted(name)) {
            found.push(lists.waiting.remove(place).1);
            if !is_given {
                break;
            }
        }
        drop(lists);
        if found.is_empty() {
            let opened = self.open_now(owner, addr, keepalive)?;
            found.extend(opened.into_iter().map(|(_, socket)| socket));
        }
        Ok(found)
    }

    /// The same for the admin listener.
    pub(super) fn take_admin(
        &self,
        addr: &ListenAddr,
        keepalive: &Keepalive,
    ) -> Result<OpenSocket, BindError> {
        match self.take(ADMIN, addr, keepalive)?.pop() {
            Some(socket) => Ok(socket),
            None => OpenSocket::bind(addr, keepalive),
        }
    }

    fn open_now(
        &self,
        owner: &str,
        addr: &ListenAddr,
        keepalive: &Keepalive,
    ) -> Result<Vec<(SocketName, OpenSocket)>, BindError> {
        let mut lists = self.lists();
        let mut opened = Vec::new();
        while let Some(adopted) = lists.adopt(owner, addr, keepalive)? {
            opened.push(adopted);
            if !matches!(addr, ListenAddr::Given(_)) {
                break;
            }
        }
        if opened.is_empty() {
            opened.push((None, lists.bind(addr, keepalive)?));
        }
        lists.held.retain(|(_, hold)| hold.strong_count() > 0);
        let name = |configured| SocketName { owner: owner.to_owned(), configured };
        let mut sockets = Vec::with_capacity(opened.len());
        for (called, socket) in opened {
            // Whose it is goes along with the name, whatever it was asked for as.
            let known_as = called.map_or_else(|| addr.to_string(), |called| called.configured);
            lists.held.push((name(known_as), Arc::downgrade(socket.hold())));
            sockets.push((name(addr.to_string()), socket.behind(self.0.gate.clone())));
        }
        Ok(sockets)
    }

    /// The gate before all of them.
    pub fn keeper(&self) -> &Gatekeeper {
        &self.0.keeper
    }

    /// Every socket that is open now.
    pub(super) fn held(&self) -> Vec<(SocketName, Arc<Hold>)> {
        let lists = self.lists();
        let held = lists.held.iter();
        held.filter_map(|(name, hold)| Some((name.clone(), hold.upgrade()?))).collect()
    }

    /// Every socket that a supervisor gave and that nobody serves on.
    pub(super) fn unused(&self) -> io::Result<Vec<(SocketName, OwnedFd)>> {
        let lists = self.lists();
        let unused = lists.spare.iter().filter(|spare| spare.is_given() && !spare.is_used());
        unused.map(|spare| Ok((spare.name.clone(), spare.descriptor.try_clone()?))).collect()
    }

    /// Takes over the files of those that the process before had. Until then they are that one's,
    /// which goes on with them if this one fails.
    pub(super) fn take_files(&self) {
        self.held().iter().for_each(|(_, hold)| hold.take_file());
    }

    /// Which of those of the process before are in use.
    pub(super) fn taken(&self) -> Vec<u32> {
        self.lists().taken.clone()
    }

    fn lists(&self) -> MutexGuard<'_, Lists> {
        self.0.lists.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Every address of a listener, those for requests that are redirected last.
pub(super) fn entrances(listener: &Listener) -> impl Iterator<Item = (&ListenAddr, Entrance)> {
    let redirect = listener.http.redirect.iter().flat_map(|redirect| &redirect.addresses);
    let main = listener.addresses.iter().map(|addr| (addr, Entrance::Main));
    main.chain(redirect.map(|addr| (addr, Entrance::Redirect)))
}

/// Who has the socket of the admin listener; no listener can be called so.
const ADMIN: &str = "admin listener";
/// Before the name of a socket that a supervisor opened.
const GIVEN: &str = "fd:";

#[cfg(test)]
mod tests;

//! Listening sockets: bound once, each with an error that names its address.
//!
//! Owns binding, for TCP over IPv4, IPv6 and both, and for unix sockets, whose file is removed at
//! the end, and taking over what others bound. An [`OpenSocket`] needs no runtime, so it can be
//! bound before there are threads; a [`ListenSocket`] is one that is accepted on; a [`Hold`] is a
//! second hand on it, for whoever gives it to another process. Refuses to know who accepts.

use std::fs::Permissions;
use std::io;
use std::net::{self, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use socket2::{Domain, Protocol, SockRef, Type};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

use super::gate::Gate;
use super::{Keepalive, ListenAddr, PeerAddr, Socket};

/// A bound socket on which nobody accepts yet; connections wait in the kernel.
#[derive(Debug)]
pub struct OpenSocket {
    addr: ListenAddr,
    bound: OpenBound,
    gate: Gate,
    hold: Arc<Hold>,
}

/// A bound socket that is accepted on.
#[derive(Debug)]
pub struct ListenSocket {
    addr: ListenAddr,
    bound: Bound<TcpListener, UnixListener>,
    gate: Gate,
    _hold: Arc<Hold>,
}

#[derive(Debug)]
enum Bound<T, U> {
    Tcp(T),
    Unix(U),
}

impl OpenSocket {
    /// Binds `addr`. `[::]` also takes IPv4 where the system has both. On Linux connections have
    /// the options of their listening socket, which are those of `keepalive`.
    pub fn bind(addr: &ListenAddr, keepalive: &Keepalive) -> Result<Self, BindError> {
        let bound = match addr {
            ListenAddr::Tcp(addr) => bind_tcp(*addr, &[], keepalive).map(|bound| (bound, None)),
            ListenAddr::Unix(path) => bind_unix(path).map(|(bound, file)| (bound, Some(file))),
            ListenAddr::Given(_) => Err(io::ErrorKind::NotFound.into()),
        };
        let opened = bound.and_then(|(bound, file)| Self::of(bound, file));
        opened.map_err(|cause| BindError::new(addr, cause))
    }

    /// Binds `addr`, which overlaps with what `others` of this process are bound to: the same port
    /// of other addresses. Who connects comes to the one that says more exactly where to.
    pub fn bind_beside(
        addr: &ListenAddr,
        others: &[Arc<Hold>],
        keepalive: &Keepalive,
    ) -> Result<Self, BindError> {
        let bound = match addr {
            ListenAddr::Tcp(addr) => bind_tcp(*addr, others, keepalive),
            ListenAddr::Unix(_) | ListenAddr::Given(_) => Err(io::ErrorKind::AddrInUse.into()),
        };
        let opened = bound.and_then(|bound| Self::of(bound, None));
        opened.map_err(|cause| BindError { is_beside: true, ..BindError::new(addr, cause) })
    }

    /// Takes over what another process bound as `addr`. Whose file it is, decides who removes it.
    pub fn adopt(
        descriptor: OwnedFd,
        addr: &ListenAddr,
        file: FileOwner,
        keepalive: &Keepalive,
    ) -> Result<Self, BindError> {
        let adopted = adopt(descriptor, file, keepalive);
        adopted.map_err(|cause| BindError::new(addr, cause))
    }

    fn of(bound: OpenBound, file: Option<SocketFile>) -> io::Result<Self> {
        let (addr, descriptor) = match &bound {
            Bound::Tcp(socket) => (ListenAddr::Tcp(socket.local_addr()?), socket.as_fd()),
            Bound::Unix(socket) => {
                let path = socket.local_addr()?.as_pathname().map(Path::to_owned);
                (ListenAddr::Unix(path.unwrap_or_default()), socket.as_fd())
            }
        };
        let hold = Arc::new(Hold { descriptor: descriptor.try_clone_to_owned()?, file });
        Ok(Self { addr, bound, gate: Gate::default(), hold })
    }

    /// The same socket, behind `gate`.
    pub fn behind(self, gate: Gate) -> Self {
        Self { gate, ..self }
    }

    /// The address with the port that was really bound.
    pub fn addr(&self) -> &ListenAddr {
        &self.addr
    }

    /// A second hand on the socket, for as long as the first one has it.
    pub fn hold(&self) -> &Arc<Hold> {
        &self.hold
    }
}

/// Who removes the file of a unix socket that was taken over.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum FileOwner {
    /// This process once it has taken the file, and whoever had it before until then.
    Heir,
    /// Whoever made it.
    Others,
}

/// A second hand on a socket. The socket is closed when nobody holds it.
#[derive(Debug)]
pub struct Hold {
    descriptor: OwnedFd,
    file: Option<SocketFile>,
}

impl Hold {
    /// The socket.
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }

    /// Whether the socket is bound to the port of `addr`, at another address.
    pub fn is_beside(&self, addr: &ListenAddr) -> bool {
        let bound = SockRef::from(&self.descriptor).local_addr().ok();
        match (addr, bound.and_then(|bound| bound.as_socket())) {
            (ListenAddr::Tcp(addr), Some(bound)) => {
                bound.port() == addr.port() && bound.ip() != addr.ip()
            }
            _ => false,
        }
    }

    /// Leaves the file of a unix socket to another process, which has the socket as well.
    pub fn leave_file(&self) {
        self.file.iter().for_each(|file| file.is_left.store(true, Ordering::Relaxed));
    }

    /// Takes the file of a unix socket over from another process, which has left it.
    pub fn take_file(&self) {
        self.file.iter().for_each(|file| file.is_left.store(false, Ordering::Relaxed));
    }
}

impl ListenSocket {
    /// Takes an open socket over, within a runtime.
    pub fn new(open: OpenSocket) -> Result<Self, BindError> {
        let OpenSocket { addr, bound, gate, hold } = open;
        let bound = match bound {
            Bound::Tcp(socket) => TcpListener::from_std(socket).map(Bound::Tcp),
            Bound::Unix(socket) => UnixListener::from_std(socket).map(Bound::Unix),
        };
        match bound {
            Ok(bound) => Ok(Self { addr, bound, gate, _hold: hold }),
            Err(cause) => Err(BindError::new(&addr, cause)),
        }
    }

    /// The address with the port that was really bound.
    pub fn addr(&self) -> &ListenAddr {
        &self.addr
    }

    /// Has the kernel ask for more as long as little of a connection is unsent. Otherwise a client
    /// that reads slowly is heard of only when a third of several megabytes has gone. It costs a
    /// stream at full speed a few per cent, so only those have it whose progress is watched.
    pub fn keep_little_unsent(&self) -> io::Result<()> {
        #[cfg(any(target_os = "linux", target_os = "android"))]
        if let Bound::Tcp(socket) = &self.bound {
            SockRef::from(socket).set_tcp_notsent_lowat(UNSENT_BYTES)?;
        }
        Ok(())
    }

    /// Has connections from now on have the options of `keepalive`.
    pub fn keep_alive(&self, keepalive: &Keepalive) -> io::Result<()> {
        match &self.bound {
            Bound::Tcp(socket) => keepalive.apply(&SockRef::from(socket)),
            Bound::Unix(_) => Ok(()),
        }
    }

    /// Waits for a connection, while the gate is open, and says who opened it.
    pub async fn accept(&self) -> io::Result<(Socket, PeerAddr)> {
        loop {
            self.gate.opened().await;
            tokio::select! {
                biased;
                accepted = self.accept_behind() => return accepted,
                () = self.gate.shut() => {}
            }
        }
    }

    /// A connection that waits in the kernel, if there is one and the gate is open.
    pub fn accept_now(&self) -> io::Result<Option<(Socket, PeerAddr)>> {
        if !self.gate.is_open() {
            return Ok(None);
        }
        let accepted = match &self.bound {
            Bound::Tcp(socket) => SockRef::from(socket).accept(),
            Bound::Unix(socket) => SockRef::from(socket).accept(),
        };
        let (stream, peer) = match accepted {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            accepted => accepted?,
        };
        stream.set_nonblocking(true)?;
        let (stream, peer) = match peer.as_socket() {
            Some(peer) => (Socket::Tcp(TcpStream::from_std(stream.into())?), PeerAddr::new(peer)),
            None => (Socket::Unix(UnixStream::from_std(stream.into())?), PeerAddr::UNIX),
        };
        Ok(Some((stream, peer)))
    }

    async fn accept_behind(&self) -> io::Result<(Socket, PeerAddr)> {
        match &self.bound {
            Bound::Tcp(socket) => {
                let (stream, peer) = socket.accept().await?;
                Ok((Socket::Tcp(stream), PeerAddr::new(peer)))
            }
            Bound::Unix(socket) => {
                let (stream, _) = socket.accept().await?;
                Ok((Socket::Unix(stream), PeerAddr::UNIX))
            }
        }
    }
}

type OpenBound = Bound<net::TcpListener, unix::net::UnixListener>;

fn bind_tcp(
    addr: SocketAddr,
    beside: &[Arc<Hold>],
    keepalive: &Keepalive,
) -> io::Result<OpenBound> {
    let socket =
        socket2::Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if let SocketAddr::V6(v6) = addr {
        // Only the unspecified address stands for both families.
        socket.set_only_v6(!v6.ip().is_unspecified())?;
    }
    socket.set_nonblocking(true)?;
    keepalive.apply(&SockRef::from(&socket))?;
    // Only for as long as it takes, so that nobody else gets in beside us; what a supervisor shares
    // stays shared.
    let all = beside.iter().map(|hold| SockRef::from(&hold.descriptor));
    let all = all.chain((!beside.is_empty()).then(|| SockRef::from(&socket)));
    let alone: Vec<_> = all.filter(|one| !one.reuse_port().unwrap_or(true)).collect();
    let share = |is_shared| {
        let each = alone.iter().map(|one| one.set_reuse_port(is_shared));
        each.fold(Ok(()), io::Result::and)
    };
    let bound =
        share(true).and_then(|()| socket.bind(&addr.into())).and_then(|()| socket.listen(BACKLOG));
    share(false)?;
    bound?;
    Ok(Bound::Tcp(net::TcpListener::from(socket)))
}

fn bind_unix(path: &Path) -> io::Result<(OpenBound, SocketFile)> {
    use unix::net::UnixListener;
    let socket = match UnixListener::bind(path) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse && is_abandoned(path) => {
            std::fs::remove_file(path)?;
            UnixListener::bind(path)
        }
        bound => bound,
    }?;
    let file = SocketFile { path: path.to_owned(), is_left: AtomicBool::new(false) };
    socket.set_nonblocking(true)?;
    std::fs::set_permissions(path, Permissions::from_mode(SOCKET_MODE))?;
    Ok((Bound::Unix(socket), file))
}

fn adopt(descriptor: OwnedFd, owner: FileOwner, keepalive: &Keepalive) -> io::Result<OpenSocket> {
    let socket = socket2::Socket::from(descriptor);
    socket.set_nonblocking(true)?;
    if socket.domain()? == Domain::UNIX {
        let bound = unix::net::UnixListener::from(OwnedFd::from(socket));
        let path = bound.local_addr()?.as_pathname().map(Path::to_owned);
        let file = path.filter(|_| owner == FileOwner::Heir);
        let file = file.map(|path| SocketFile { path, is_left: AtomicBool::new(true) });
        return OpenSocket::of(Bound::Unix(bound), file);
    }
    keepalive.apply(&SockRef::from(&socket))?;
    OpenSocket::of(Bound::Tcp(net::TcpListener::from(socket)), None)
}

/// Whether `path` is a socket that nobody listens on, left behind by a process that was killed.
fn is_abandoned(path: &Path) -> bool {
    let is_socket = std::fs::symlink_metadata(path).is_ok_and(|meta| meta.file_type().is_socket());
    let refused = |error: io::Error| error.kind() == io::ErrorKind::ConnectionRefused;
    is_socket && unix::net::UnixStream::connect(path).err().is_some_and(refused)
}

/// The file of a unix socket; removed when nobody holds the socket, unless it was left to others.
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    is_left: AtomicBool,
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if !*self.is_left.get_mut() {
            // A file that somebody else removed is gone, which is all that is wanted.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// An address could not be bound.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {addr}")]
pub struct BindError {
    addr: ListenAddr,
    #[source]
    cause: io::Error,
    /// This process has the port at another address.
    is_beside: bool,
}

impl BindError {
    /// Whether somebody has the address, or one that overlaps.
    pub(crate) fn is_in_use(&self) -> bool {
        self.cause.kind() == io::ErrorKind::AddrInUse
    }

    /// `addr` could not be listened on.
    pub(crate) fn new(addr: &ListenAddr, cause: io::Error) -> Self {
        Self { addr: addr.clone(), cause, is_beside: false }
    }

    /// What can be done about it.
    pub fn hint(&self) -> Option<&'static str> {
        let no_family = rustix::io::Errno::AFNOSUPPORT.raw_os_error();
        match self.cause.kind() {
            _ if self.cause.raw_os_error() == Some(no_family) => {
                Some("this system has no IPv6: listen on 0.0.0.0, or another address of IPv4")
            }
            io::ErrorKind::AddrInUse if self.is_beside => Some(
                "this process has the port at another address, which it opened before it changed \
                 its user; the system lets only one user have both. Restart it, or reload twice: \
                 first without the old address, then with the new one",
            ),
            io::ErrorKind::AddrInUse => Some(
                "another process has it: `ss -ltnp` shows which; stop it or choose another port",
            ),
            io::ErrorKind::PermissionDenied => Some(
                "ports below 1024 need the capability CAP_NET_BIND_SERVICE; a unix socket needs \
                 write access to its folder",
            ),
            io::ErrorKind::NotFound if matches!(self.addr, ListenAddr::Given(_)) => Some(
                "the supervisor gave no socket of this name: with systemd it is \
                 `FileDescriptorName=` of a socket unit that is `Requires=` and `After=` of the \
                 service",
            ),
            io::ErrorKind::AddrNotAvailable => {
                Some("no interface of this machine has the address; `ip addr` shows those it has")
            }
            _ => None,
        }
    }
}

/// What is little (`TCP_NOTSENT_LOWAT` of tcp(7)).
#[cfg(any(target_os = "linux", target_os = "android"))]
const UNSENT_BYTES: u32 = 256 * 1024;

/// Connections that the kernel holds for us; it lowers the number to `net.core.somaxconn`.
const BACKLOG: i32 = 4096;

/// Owner and group may connect.
const SOCKET_MODE: u32 = 0o660;

//! Listening sockets: bound once, each with an error that names its address.
//!
//! Owns binding, for TCP over IPv4, IPv6 and both, and for unix sockets, whose file is removed at
//! the end. An [`OpenSocket`] needs no runtime, so it can be bound before there are threads; a
//! [`ListenSocket`] is one that is accepted on. Refuses to know who accepts.

use std::fs::Permissions;
use std::io;
use std::net::{self, SocketAddr};
use std::os::unix;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};

use socket2::{Domain, Protocol, SockRef, Type};
use tokio::net::{TcpListener, UnixListener};

use super::{Keepalive, ListenAddr, PeerAddr, Socket};

/// A bound socket on which nobody accepts yet; connections wait in the kernel.
#[derive(Debug)]
pub struct OpenSocket {
    addr: ListenAddr,
    bound: OpenBound,
}

/// A bound socket that is accepted on.
#[derive(Debug)]
pub struct ListenSocket {
    addr: ListenAddr,
    bound: Bound<TcpListener, UnixListener>,
}

#[derive(Debug)]
enum Bound<T, U> {
    Tcp(T),
    Unix {
        socket: U,
        /// Goes when the socket does.
        file: SocketFile,
    },
}

impl OpenSocket {
    /// Binds `addr`. `[::]` also takes IPv4 where the system has both. On Linux connections have
    /// the options of their listening socket, which are those of `keepalive`.
    pub fn bind(addr: &ListenAddr, keepalive: &Keepalive) -> Result<Self, BindError> {
        let bound = match addr {
            ListenAddr::Tcp(addr) => bind_tcp(*addr, keepalive),
            ListenAddr::Unix(path) => bind_unix(path).map(|bound| (addr.clone(), bound)),
        };
        let (addr, bound) = bound.map_err(|cause| BindError { addr: addr.clone(), cause })?;
        Ok(Self { addr, bound })
    }

    /// The address with the port that was really bound.
    pub fn addr(&self) -> &ListenAddr {
        &self.addr
    }
}

impl ListenSocket {
    /// Takes an open socket over, within a runtime.
    pub fn new(open: OpenSocket) -> Result<Self, BindError> {
        let OpenSocket { addr, bound } = open;
        let bound = match bound {
            Bound::Tcp(socket) => TcpListener::from_std(socket).map(Bound::Tcp),
            Bound::Unix { socket, file } => {
                UnixListener::from_std(socket).map(|socket| Bound::Unix { socket, file })
            }
        };
        match bound {
            Ok(bound) => Ok(Self { addr, bound }),
            Err(cause) => Err(BindError { addr, cause }),
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
            Bound::Unix { .. } => Ok(()),
        }
    }

    /// Waits for a connection and says who opened it.
    pub async fn accept(&self) -> io::Result<(Socket, PeerAddr)> {
        match &self.bound {
            Bound::Tcp(socket) => {
                let (stream, peer) = socket.accept().await?;
                Ok((Socket::Tcp(stream), PeerAddr::new(peer)))
            }
            Bound::Unix { socket, .. } => {
                let (stream, _) = socket.accept().await?;
                Ok((Socket::Unix(stream), PeerAddr::UNIX))
            }
        }
    }
}

type OpenBound = Bound<net::TcpListener, unix::net::UnixListener>;

fn bind_tcp(addr: SocketAddr, keepalive: &Keepalive) -> io::Result<(ListenAddr, OpenBound)> {
    let socket =
        socket2::Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if let SocketAddr::V6(v6) = addr {
        // Only the unspecified address stands for both families.
        socket.set_only_v6(!v6.ip().is_unspecified())?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&addr.into())?;
    keepalive.apply(&SockRef::from(&socket))?;
    socket.listen(BACKLOG)?;
    let socket = net::TcpListener::from(socket);
    Ok((ListenAddr::Tcp(socket.local_addr()?), Bound::Tcp(socket)))
}

fn bind_unix(path: &Path) -> io::Result<OpenBound> {
    use unix::net::UnixListener;
    let socket = match UnixListener::bind(path) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse && is_abandoned(path) => {
            std::fs::remove_file(path)?;
            UnixListener::bind(path)
        }
        bound => bound,
    }?;
    let file = SocketFile(path.to_owned());
    socket.set_nonblocking(true)?;
    std::fs::set_permissions(path, Permissions::from_mode(SOCKET_MODE))?;
    Ok(Bound::Unix { socket, file })
}

/// Whether `path` is a socket that nobody listens on, left behind by a process that was killed.
fn is_abandoned(path: &Path) -> bool {
    let is_socket = std::fs::symlink_metadata(path).is_ok_and(|meta| meta.file_type().is_socket());
    let refused = |error: io::Error| error.kind() == io::ErrorKind::ConnectionRefused;
    is_socket && unix::net::UnixStream::connect(path).err().is_some_and(refused)
}

/// The file of a unix socket; removed when the socket is closed.
#[derive(Debug)]
struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        // A file that somebody else removed is gone, which is all that is wanted.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// An address could not be bound.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {addr}")]
pub struct BindError {
    addr: ListenAddr,
    #[source]
    cause: io::Error,
}

impl BindError {
    /// What can be done about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self.cause.kind() {
            io::ErrorKind::AddrInUse => Some(
                "another process has it: `ss -ltnp` shows which; stop it or choose another port",
            ),
            io::ErrorKind::PermissionDenied => Some(
                "ports below 1024 need the capability CAP_NET_BIND_SERVICE; a unix socket needs \
                 write access to its folder",
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

//! Addresses: what the rest of the crate means by *peer*, *client* and *endpoint*.
//!
//! Owns the newtypes, which normalise v4-mapped IPv6 once. Refuses to know sockets.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

/// Where a listener waits: `host:port` with a literal IP address, `unix:/path`, or `fd:name`.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum ListenAddr {
    /// An IPv4 or IPv6 address with a port; `[::]` is dual stack.
    Tcp(SocketAddr),
    /// The path of a unix socket.
    Unix(PathBuf),
    /// Wherever the sockets of this name wait that a supervisor opened.
    Given(Arc<str>),
}

impl ListenAddr {
    /// Whether only processes of this machine can reach the address.
    pub fn is_local(&self) -> bool {
        match self {
            Self::Tcp(addr) => addr.ip().to_canonical().is_loopback(),
            Self::Unix(_) => true,
            // Nobody knows before it is open.
            Self::Given(_) => false,
        }
    }

    /// The TCP port; a unix socket has none.
    pub fn port(&self) -> Option<u16> {
        match self {
            Self::Tcp(addr) => Some(addr.port()),
            Self::Unix(_) | Self::Given(_) => None,
        }
    }
}

impl FromStr for ListenAddr {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        if let Some(path) = text.strip_prefix("unix:") {
            return match path {
                "" => Err(AddressError::EmptyPath),
                path => Ok(Self::Unix(PathBuf::from(path))),
            };
        }
        if let Some(name) = text.strip_prefix("fd:") {
            // As systemd allows them (sd_pid_notify_with_fds(3)).
            let is_good = |byte: u8| (b' '..=b'~').contains(&byte) && byte != b':';
            return match name.len() {
                1..=GIVEN_NAME_BYTES_MAX if name.bytes().all(is_good) => {
                    Ok(Self::Given(name.into()))
                }
                _ => Err(AddressError::BadGivenName),
            };
        }
        text.parse().map(Self::Tcp).map_err(|_| AddressError::NotAnAddress)
    }
}

/// What systemd allows.
const GIVEN_NAME_BYTES_MAX: usize = 255;

impl fmt::Display for ListenAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(addr) => addr.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Given(name) => write!(f, "fd:{name}"),
        }
    }
}

/// Who opened the connection: an address, or nobody in particular on a unix socket.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct PeerAddr(Option<SocketAddr>);

impl PeerAddr {
    /// The peer of a TCP connection; a v4-mapped IPv6 address becomes the IPv4 address it is.
    pub fn new(addr: SocketAddr) -> Self {
        Self(Some(SocketAddr::new(addr.ip().to_canonical(), addr.port())))
    }

    /// The peer of a unix connection.
    pub const UNIX: Self = Self(None);

    /// The IP address, if there is one.
    pub fn ip(self) -> Option<IpAddr> {
        self.0.map(|addr| addr.ip())
    }

    /// The IP address with the port, if there is one.
    pub fn addr(self) -> Option<SocketAddr> {
        self.0
    }
}

impl fmt::Display for PeerAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(addr) => addr.fmt(f),
            None => f.write_str("unix"),
        }
    }
}

/// Who the client is after every trusted header was heard; without one it is the peer.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct ClientAddr(PeerAddr);

impl ClientAddr {
    /// A client at `source`, on the word of the peer.
    pub fn introduced(source: SocketAddr) -> Self {
        Self(PeerAddr::new(source))
    }

    /// The IP address, if there is one.
    pub fn ip(self) -> Option<IpAddr> {
        self.0.ip()
    }

    /// The IP address with the port, if there is one.
    pub fn addr(self) -> Option<SocketAddr> {
        self.0.addr()
    }
}

impl From<PeerAddr> for ClientAddr {
    fn from(peer: PeerAddr) -> Self {
        Self(peer)
    }
}

impl fmt::Display for ClientAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// An address that can be dialled: an endpoint name after resolution.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum EndpointAddr {
    /// An IP address with a port.
    Tcp(SocketAddr),
    /// The path of a unix socket.
    Unix(Arc<Path>),
}

impl fmt::Display for EndpointAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(addr) => addr.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// Why a text is not an address.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum AddressError {
    /// The name behind `fd:` is none that a supervisor gives.
    #[error("`fd:` needs the name of a socket, without `:`")]
    BadGivenName,
    /// The host part has a character that no host name has.
    #[error("the host is not a name or an IP address")]
    BadHost,
    /// `unix:` without a path.
    #[error("`unix:` needs a path")]
    EmptyPath,
    /// There is no port from 0 to 65535 behind the last colon, and it is not a service.
    #[error("expected `host:port`, `srv:_http._tcp.name` or `unix:/path`")]
    NoPort,
    /// It begins as a URL does.
    #[error(
        "leave `http://` or `https://` out: it is `host:port`, and `tls` of the backend says that \
         it is spoken to over TLS"
    )]
    Scheme,
    /// The text is not a literal IP address with a port.
    #[error("expected an IP address with a port (`127.0.0.1:8443`, `[::]:8443`) or `unix:/path`")]
    NotAnAddress,
}

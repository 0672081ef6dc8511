//! Addresses and sockets: what the rest of the crate means by *peer*, *client* and *endpoint*.
//!
//! Owns the address newtypes, which normalise v4-mapped IPv6 once, and [`Socket`], the one stream
//! type for TCP and unix sockets. Refuses to know TLS, HTTP and configuration. Listening sockets
//! are in `listen`, buffers for what was read in `chunk`.

mod chunk;
pub mod listen;
mod name;
mod peek;

use std::cell::RefCell;
use std::fmt;
use std::io;
use std::mem::MaybeUninit;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::str::FromStr;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

pub use chunk::Chunk;
pub use name::EndpointName;

/// Where a listener waits: `host:port` with a literal IP address, or `unix:/path`.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum ListenAddr {
    /// An IPv4 or IPv6 address with a port; `[::]` is dual stack.
    Tcp(SocketAddr),
    /// The path of a unix socket.
    Unix(PathBuf),
}

impl ListenAddr {
    /// Whether only processes of this machine can reach the address.
    pub fn is_local(&self) -> bool {
        match self {
            Self::Tcp(addr) => addr.ip().to_canonical().is_loopback(),
            Self::Unix(_) => true,
        }
    }

    /// The TCP port; a unix socket has none.
    pub fn port(&self) -> Option<u16> {
        match self {
            Self::Tcp(addr) => Some(addr.port()),
            Self::Unix(_) => None,
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
        text.parse().map(Self::Tcp).map_err(|_| AddressError::NotAnAddress)
    }
}

impl fmt::Display for ListenAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(addr) => addr.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
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
    /// The host part has a character that no host name has.
    #[error("the host is not a name or an IP address")]
    BadHost,
    /// `unix:` without a path.
    #[error("`unix:` needs a path")]
    EmptyPath,
    /// There is no port from 0 to 65535 behind the last colon, and it is not a service.
    #[error("expected `host:port`, `srv:_http._tcp.name` or `unix:/path`")]
    NoPort,
    /// The text is not a literal IP address with a port.
    #[error("expected an IP address with a port (`127.0.0.1:8443`, `[::]:8443`) or `unix:/path`")]
    NotAnAddress,
}

/// A connected stream, TCP or unix.
#[derive(Debug)]
pub enum Socket {
    /// A TCP connection; `TCP_NODELAY` is set by [`Socket::tune`].
    Tcp(TcpStream),
    /// A unix connection.
    Unix(UnixStream),
}

impl Socket {
    /// Sets what every connection of ours has; unix sockets need none of it. Connections that were
    /// accepted have it from their listening socket.
    pub fn tune(&self, keepalive: &Keepalive) -> io::Result<()> {
        match self {
            Self::Tcp(tcp) => keepalive.apply(&SockRef::from(tcp)),
            Self::Unix(_) => Ok(()),
        }
    }

    /// The address of this end, unless it is a unix socket or gone; a v4-mapped IPv6 address is the
    /// IPv4 address it is.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(tcp) => PeerAddr::new(tcp.local_addr().ok()?).addr(),
            Self::Unix(_) => None,
        }
    }

    /// The address of the other end, likewise.
    pub fn peer_addr(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(tcp) => PeerAddr::new(tcp.peer_addr().ok()?).addr(),
            Self::Unix(_) => None,
        }
    }

    /// Sends what [`Socket::poll_write_ahead`] has left in the kernel.
    pub fn push(&self) {
        if let Self::Tcp(tcp) = self {
            // Setting the option that is set already pushes; a socket that refuses is broken, which
            // the next write will tell.
            let _ = tcp.set_nodelay(true);
        }
    }

    /// Waits until the kernel has sent all that was written: [`Socket::reset_on_close`] would have
    /// it forget the rest. What the other end has not acknowledged yet may still be lost to it.
    pub fn poll_sent(&self, cx: &mut Context<'_>) -> Poll<()> {
        #[cfg(target_os = "linux")]
        if let Self::Tcp(tcp) = self {
            use rustix::event::{PollFd, PollFlags, Timespec, poll};
            // The socket then counts as writable only when nothing is unsent.
            let is_set = SockRef::from(tcp).set_tcp_notsent_lowat(1).is_ok();
            self.push();
            let is_sent = || {
                let mut asked = [PollFd::new(tcp, PollFlags::OUT)];
                match poll(&mut asked, Some(&Timespec::default())) {
                    Ok(0) => Err(io::ErrorKind::WouldBlock.into()),
                    // A socket that is broken sends no more.
                    _ => Ok(()),
                }
            };
            while is_set && ready!(tcp.poll_write_ready(cx)).is_ok() {
                if tcp.try_io(Interest::WRITABLE, is_sent).is_ok() {
                    break;
                }
            }
        }
        Poll::Ready(())
    }

    /// Makes the coming close an abortive one: the other end gets a reset, not an end of stream.
    pub fn reset_on_close(&self) {
        if let Self::Tcp(tcp) = self {
            // A socket that refuses the option is closed in the ordinary way.
            let _ = SockRef::from(tcp).set_linger(Some(Duration::ZERO));
        }
    }

    /// Whether bytes of the other end are here that nobody has read. The kernel is asked, so this is
    /// true from the moment that they came.
    pub fn has_unread(&self) -> bool {
        let mut byte = [MaybeUninit::uninit()];
        let peeked = match self {
            Self::Tcp(tcp) => SockRef::from(tcp).peek(&mut byte),
            Self::Unix(unix) => SockRef::from(unix).peek(&mut byte),
        };
        // An end of stream is no byte, and what is broken will show.
        matches!(peeked, Ok(count) if count > 0)
    }

    /// Reads what is there. A read that does not fill `buf` emptied the socket, so the next one
    /// waits without asking the kernel.
    pub fn poll_fill(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut buf = ReadBuf::new(buf);
        ready!(Pin::new(self).poll_read(cx, &mut buf))?;
        Poll::Ready(Ok(buf.filled().len()))
    }

    /// Writes bytes that need not travel yet, since more follow at once, or the end of the stream:
    /// the kernel keeps them for up to a fifth of a second, to fill its packets.
    /// [`Socket::push`] sends them if nothing followed after all.
    pub fn poll_write_ahead(
        &mut self,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let Self::Tcp(tcp) = self else { return Pin::new(self).poll_write_vectored(cx, bufs) };
        loop {
            ready!(tcp.poll_write_ready(cx))?;
            let send = || SockRef::from(&*tcp).send_vectored_with_flags(bufs, MORE_FOLLOWS);
            match tcp.try_io(Interest::WRITABLE, send) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return Poll::Ready(result),
            }
        }
    }

    fn stream(self: Pin<&mut Self>) -> Pin<&mut dyn Stream> {
        match self.get_mut() {
            Self::Tcp(tcp) => Pin::<&mut TcpStream>::new(tcp),
            Self::Unix(unix) => Pin::<&mut UnixStream>::new(unix),
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.stream().poll_read(cx, buf)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.stream().poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_shutdown(cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match bufs {
            // send(2) is cheaper than writev(2).
            [one] => self.stream().poll_write(cx, one),
            _ => self.stream().poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }
}

trait Stream: AsyncRead + AsyncWrite {}

impl<T: AsyncRead + AsyncWrite> Stream for T {}

/// A stream that can tell that it gets on, even if slowly.
pub trait Progress {
    /// Bytes that the system took for the other side so far.
    fn bytes_sent(&self) -> u64;
}

/// How long a silent connection is believed to be alive.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Keepalive {
    /// Silence before the first probe.
    pub idle: Duration,
    /// Time between probes.
    pub interval: Duration,
    /// Unanswered probes before the connection is given up.
    pub probes: u32,
    /// How long sent data may stay unacknowledged (`TCP_USER_TIMEOUT`).
    pub user_timeout: Duration,
}

/// `MSG_MORE` of send(2).
#[cfg(target_os = "linux")]
const MORE_FOLLOWS: i32 = 0x8000;
/// Elsewhere the packets are two.
#[cfg(not(target_os = "linux"))]
const MORE_FOLLOWS: i32 = 0;

impl Keepalive {
    /// Sets what every TCP connection of ours has: no Nagle delay, keepalive probes, and a limit on
    /// how long sent data may stay unacknowledged.
    pub(crate) fn apply(&self, socket: &SockRef<'_>) -> io::Result<()> {
        socket.set_tcp_nodelay(true)?;
        let probes = TcpKeepalive::new()
            .with_time(self.idle)
            .with_interval(self.interval)
            .with_retries(self.probes);
        socket.set_tcp_keepalive(&probes)?;
        #[cfg(target_os = "linux")]
        socket.set_tcp_user_timeout(Some(self.user_timeout))?;
        Ok(())
    }
}

/// Whether an error says that the other side reset or abandoned the connection.
pub fn is_reset(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, NotConnected};
    matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionReset | NotConnected)
}

/// Lends the calling thread's buffer for bytes on their way; nothing stays in it.
pub fn with_scratch<R>(work: impl FnOnce(&mut [u8]) -> R) -> R {
    thread_local! {
        static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; SCRATCH_BYTES].into());
    }
    SCRATCH.with_borrow_mut(|scratch| work(scratch))
}

/// Four full TLS records.
pub const SCRATCH_BYTES: usize = 64 * 1024;

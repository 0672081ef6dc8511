//! One stream type for TCP and unix sockets, and how long the silent ones are believed.
//!
//! Owns [`Socket`] and [`Keepalive`]. Refuses to know who is at the other end, and what is said. A
//! look ahead is in `peek`.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

use super::cut::is_cutting;
use super::{PeerAddr, with_scratch};

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

    /// Reads what is there. A read that does not fill `buf` emptied the socket, so the next one
    /// waits without asking the kernel.
    pub fn poll_fill(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut buf = ReadBuf::new(buf);
        ready!(Pin::new(self).poll_read(cx, &mut buf))?;
        Poll::Ready(Ok(buf.filled().len()))
    }

    /// Waits for bytes, and shows at most `count_max` of them to `take`; none are the end of the
    /// stream.
    pub async fn hear<R>(
        &mut self,
        count_max: usize,
        mut take: impl FnMut(&[u8]) -> R,
    ) -> io::Result<R> {
        poll_fn(|cx| {
            with_scratch(|scratch| {
                let scratch = scratch.get_mut(..count_max).unwrap_or_default();
                let count = ready!(self.poll_fill(cx, scratch))?;
                Poll::Ready(Ok(take(scratch.get(..count).unwrap_or_default())))
            })
        })
        .await
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

impl Drop for Socket {
    fn drop(&mut self) {
        if is_cutting() {
            self.reset_on_close();
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

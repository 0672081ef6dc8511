//! A connection of a client in the clear, for requests that are sent on to TLS.
//!
//! Owns [`ClearStream`], which is to `serve` what a stream of TLS is, and counts the same. It reads
//! little at once: what comes here is a head without content. Refuses to know what is said.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use hyper::rt::{Read, ReadBufCursor, Write};
use tokio::io::AsyncWrite as _;

use crate::metrics::{Direction, Meter};
use crate::net::{Progress, Socket};

/// A socket whose bytes are counted.
#[derive(Debug)]
pub struct ClearStream {
    socket: Socket,
    meter: Arc<Meter>,
    sent: u64,
}

impl ClearStream {
    /// What passes over `socket` is counted in `meter`.
    pub fn new(socket: Socket, meter: Arc<Meter>) -> Self {
        Self { socket, meter, sent: 0 }
    }
}

impl Progress for ClearStream {
    fn bytes_sent(&self) -> u64 {
        self.sent
    }
}

impl Read for ClearStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let mut scratch = [0; SCRATCH_BYTES];
        let fitting = scratch.len().min(buf.remaining());
        let scratch = scratch.get_mut(..fitting).unwrap_or_default();
        let count = ready!(this.socket.poll_fill(cx, scratch))?;
        this.meter.add(Direction::Upstream, count);
        buf.put_slice(scratch.get(..count).unwrap_or_default());
        Poll::Ready(Ok(()))
    }
}

impl Write for ClearStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let count = ready!(Pin::new(&mut this.socket).poll_write(cx, bytes))?;
        this.sent = this.sent.saturating_add(count as u64);
        this.meter.add(Direction::Downstream, count);
        Poll::Ready(Ok(count))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_shutdown(cx)
    }
}

/// Most heads fit.
const SCRATCH_BYTES: usize = 4 << 10;

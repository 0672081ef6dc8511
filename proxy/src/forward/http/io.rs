//! The bytes towards a client.
//!
//! Owns [`Patience`], by which a client is given up that takes nothing of what is there for it, and
//! [`ClientIo`], a stream under it; HTTP/2 has a stream of its own. Refuses to know what the bytes
//! mean.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use hyper::rt::{Read, ReadBufCursor, Write};
use tokio::time::Instant;

use super::state::Connection;
use crate::backend::Alarm;
use crate::net::Progress;
use crate::outcome::CloseReason;

/// How long a client has taken nothing of what is there for it.
#[derive(Debug, Default)]
pub(super) struct Patience {
    /// What the client had taken when it was last looked at.
    sent: u64,
    stuck_since: Option<Instant>,
    alarm: Alarm,
}

impl Patience {
    /// Passes the result of a write on, unless the client has taken nothing for too long. `sent` is
    /// what it has taken so far.
    pub(super) fn watch<T>(
        &mut self,
        cx: &mut Context<'_>,
        result: Poll<io::Result<T>>,
        sent: u64,
        connection: &Connection,
    ) -> Poll<io::Result<T>> {
        if result.is_ready() || sent != self.sent {
            self.stuck_since = None;
            self.sent = sent;
        }
        if result.is_ready() {
            return result;
        }
        let since = *self.stuck_since.get_or_insert_with(Instant::now);
        ready!(self.alarm.poll_at(cx, since + connection.service.limits.http.write_timeout));
        connection.blame(CloseReason::Timeout);
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client takes nothing")))
    }
}

/// A stream of a client, which is given up in the end.
pub(super) struct ClientIo<I> {
    pub(super) stream: I,
    connection: Arc<Connection>,
    patience: Patience,
}

impl<I> ClientIo<I> {
    pub(super) fn new(stream: I, connection: Arc<Connection>) -> Self {
        Self { stream, connection, patience: Patience::default() }
    }
}

impl<I: Progress> ClientIo<I> {
    fn watch<T>(
        &mut self,
        cx: &mut Context<'_>,
        result: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        self.patience.watch(cx, result, self.stream.bytes_sent(), &self.connection)
    }
}

impl<I: Read + Unpin> Read for ClientIo<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<I: Write + Progress + Unpin> Write for ClientIo<I> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.watch(cx, result)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.stream).poll_flush(cx);
        self.watch(cx, result)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.watch(cx, result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.watch(cx, result)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

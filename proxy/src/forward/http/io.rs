//! The bytes between hyper and a client.
//!
//! Owns [`ClientIo`], which sees what hyper does not tell: that the next request has begun, that
//! an answer was sent completely, that the client takes nothing. It also holds back the answers
//! that hyper gives to malformed requests by itself, since they say nothing to a person.

use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};
use http::StatusCode;
use hyper::rt::{Read, ReadBuf, ReadBufCursor, Write};
use tokio::time::Instant;

use super::interim::encode;
use super::lines::Lines;
use super::state::{Connection, Phase};
use crate::backend::Alarm;
use crate::metrics::HttpVersion;
use crate::net::Progress;
use crate::outcome::CloseReason;

/// A stream of a client, with eyes.
pub(super) struct ClientIo<I> {
    pub(super) stream: I,
    /// The status of an answer of hyper's own that was held back.
    pub(super) refused: Option<StatusCode>,
    connection: Arc<Connection>,
    /// What was read and must be read again.
    unread: Bytes,
    lines: Lines,
    /// Interim responses, or what is left of them, which go out before anything else.
    interims: Bytes,
    /// Whether all that hyper has written was sent: only then what follows is a new message.
    is_flushed: bool,
    /// What the client had taken when it was last looked at.
    sent: u64,
    /// Since when the client has taken nothing of what is there for it.
    stuck_since: Option<Instant>,
    alarm: Alarm,
}

impl<I> ClientIo<I> {
    pub(super) fn new(stream: I, connection: Arc<Connection>) -> Self {
        Self {
            stream,
            refused: None,
            connection,
            unread: Bytes::new(),
            lines: Lines::default(),
            interims: Bytes::new(),
            is_flushed: true,
            sent: 0,
            stuck_since: None,
            alarm: Alarm::default(),
        }
    }

    /// Has `bytes` read again, before all others.
    pub(super) fn unread(&mut self, bytes: Bytes) {
        debug_assert!(self.unread.is_empty(), "what is put back was read from here");
        self.unread = bytes;
    }

    /// All that was read and not used: what hyper has left in `buffer`, and what it did not get.
    pub(super) fn leftovers(&mut self, buffer: Bytes) -> Bytes {
        let unread = std::mem::take(&mut self.unread);
        if unread.is_empty() { buffer } else { [buffer, unread].concat().into() }
    }

    /// Whether there is something to read again.
    pub(super) fn has_unread(&self) -> bool {
        !self.unread.is_empty()
    }

    /// Takes over an answer that hyper writes without having called us: one to a request that it
    /// could not parse. All that belongs to an earlier request was flushed before this phase.
    fn hold_back(&mut self, bytes: &[u8]) -> bool {
        if self.refused.is_some() {
            return true;
        }
        if !self.is_between() {
            return false;
        }
        let status = bytes.strip_prefix(b"HTTP/1.1 ").or(bytes.strip_prefix(b"HTTP/1.0 "));
        let digits = status.and_then(|rest| rest.get(..3));
        self.refused = digits.and_then(|digits| StatusCode::from_bytes(digits).ok());
        self.refused.is_some()
    }

    /// Whether what is read now is the head of a request of HTTP/1.1.
    fn is_between(&self) -> bool {
        self.connection.version == HttpVersion::H1
            && matches!(self.connection.phase(), Phase::Idle | Phase::Head)
    }
}

impl<I: Write + Unpin> ClientIo<I> {
    /// Writes interim responses between two messages of hyper's; whether that is the case is
    /// known only if hyper has nothing left to write.
    fn poll_interims(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.interims.is_empty() {
            if !self.connection.interims.is_waiting() {
                return Poll::Ready(Ok(()));
            }
            let interims = self.connection.interims.take();
            if !self.is_flushed {
                // The end of the last answer waits, and perhaps the next one behind it already.
                return Poll::Ready(Ok(()));
            }
            self.interims = encode(interims);
        }
        while !self.interims.is_empty() {
            let written = ready!(Pin::new(&mut self.stream).poll_write(cx, &self.interims))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.interims.advance(written);
        }
        Poll::Ready(Ok(()))
    }
}

impl<I: Write + Progress + Unpin> ClientIo<I> {
    /// Has `write` write, behind what must go first.
    fn write_with<T>(
        &mut self,
        cx: &mut Context<'_>,
        write: impl FnOnce(Pin<&mut I>, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        let result = match self.poll_interims(cx) {
            Poll::Ready(Ok(())) => {
                self.is_flushed = false;
                write(Pin::new(&mut self.stream), cx)
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => Poll::Pending,
        };
        self.watch(cx, result)
    }
}

impl<I: Progress> ClientIo<I> {
    /// Passes the result of a write on, unless the client has taken nothing for too long.
    fn watch<T>(
        &mut self,
        cx: &mut Context<'_>,
        result: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        let sent = self.stream.bytes_sent();
        if result.is_ready() || sent != self.sent {
            self.stuck_since = None;
            self.sent = sent;
        }
        if result.is_ready() {
            return result;
        }
        let since = *self.stuck_since.get_or_insert_with(Instant::now);
        let deadline = since + self.connection.service.limits.http.write_timeout;
        if self.alarm.poll_at(cx, deadline).is_pending() {
            return Poll::Pending;
        }
        self.connection.blame(CloseReason::Timeout);
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client takes nothing")))
    }
}

impl<I: Read + Unpin> ClientIo<I> {
    /// Reads by way of the stack, since what hyper's buffer got cannot be looked at.
    fn poll_read_head(
        &mut self,
        cx: &mut Context<'_>,
        mut buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let mut scratch = [MaybeUninit::uninit(); HEAD_READ_BYTES];
        let length = buf.remaining().min(HEAD_READ_BYTES);
        let mut read = ReadBuf::uninit(scratch.get_mut(..length).unwrap_or_default());
        ready!(Pin::new(&mut self.stream).poll_read(cx, read.unfilled()))?;
        self.connection.step(Phase::Idle, Phase::Head);
        if !self.lines.are_clean(read.filled()) {
            self.refused = Some(StatusCode::BAD_REQUEST);
            return Poll::Ready(Err(io::ErrorKind::InvalidData.into()));
        }
        buf.put_slice(read.filled());
        Poll::Ready(Ok(()))
    }
}

impl<I: Read + Unpin> Read for ClientIo<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        if self.has_unread() {
            let length = self.unread.len().min(buf.remaining());
            buf.put_slice(&self.unread.split_to(length));
            self.connection.step(Phase::Idle, Phase::Head);
            return Poll::Ready(Ok(()));
        }
        if self.is_between() {
            return self.poll_read_head(cx, buf);
        }
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<I: Write + Progress + Unpin> Write for ClientIo<I> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.hold_back(buf) {
            return Poll::Ready(Ok(buf.len()));
        }
        self.write_with(cx, |stream, cx| stream.poll_write(cx, buf))
    }

    /// hyper flushes only what it has written completely.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut result = Pin::new(&mut self.stream).poll_flush(cx);
        if let Poll::Ready(Ok(())) = result {
            self.is_flushed = true;
            if !self.interims.is_empty() || self.connection.interims.is_waiting() {
                result = self.poll_interims(cx);
                if let Poll::Ready(Ok(())) = result {
                    result = Pin::new(&mut self.stream).poll_flush(cx);
                }
            }
        }
        if let Poll::Ready(Ok(())) = result {
            if self.connection.phase() == Phase::Tail {
                self.lines = Lines::after_another();
            }
            self.connection.step(Phase::Tail, Phase::Idle);
        }
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
        if bufs.first().is_some_and(|first| self.hold_back(first)) {
            return Poll::Ready(Ok(bufs.iter().map(|buf| buf.len()).sum()));
        }
        self.write_with(cx, |stream, cx| stream.poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

/// What most heads are smaller than.
const HEAD_READ_BYTES: usize = 4096;

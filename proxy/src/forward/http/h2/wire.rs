//! The bytes between h2 and a client.
//!
//! Owns [`Wire`], which gathers what h2 writes frame by frame, so that answers that are ready
//! together travel together and in full TLS records, gives a client up that takes nothing, and
//! shows every byte that comes to the [`Guard`]. [`Link`] is what the task of the connection, which
//! h2 gives no way to its stream, knows of it. Read next: `guard`.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use hyper::rt::{Read, Write};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use super::guard::{Flood, Guard};
use crate::backend::Alarm;
use crate::config::HttpLimits;
use crate::forward::http::state::Connection;
use crate::net::Progress;
use crate::outcome::CloseReason;

/// A stream of a client.
pub(super) struct Wire<I> {
    io: TokioIo<I>,
    link: Arc<Link>,
    connection: Arc<Connection>,
    guard: Guard,
    /// What h2 has written and the stream has not got yet, behind `gone` bytes that it has.
    out: Vec<u8>,
    gone: usize,
    /// What the client had taken when it was last looked at.
    sent: u64,
    /// Since when the client has taken nothing of what is there for it.
    stuck_since: Option<Instant>,
    alarm: Alarm,
}

/// What the task of a connection and its stream tell each other.
#[derive(Debug, Default)]
pub(super) struct Link {
    /// Whether something waits to be flushed.
    is_unflushed: AtomicBool,
    /// Whether the next flush is to take place; else it is put off.
    may_flush: AtomicBool,
    /// Whether the client takes less than there is for it.
    is_stuck: AtomicBool,
    reads: AtomicU64,
    /// How often the connection was polled.
    turns: AtomicU64,
    /// Whether somebody waits for the connection to be polled.
    is_turn_wanted: AtomicBool,
    /// What the client may say more than usual, in frames, since we sent it something.
    credit: AtomicU64,
    flood: Mutex<Option<Flood>>,
}

impl Link {
    pub(super) fn is_unflushed(&self) -> bool {
        self.is_unflushed.load(Ordering::Relaxed)
    }

    pub(super) fn let_flush(&self, may_flush: bool) {
        self.may_flush.store(may_flush, Ordering::Relaxed);
    }

    pub(super) fn is_stuck(&self) -> bool {
        self.is_stuck.load(Ordering::Relaxed)
    }

    /// How often anything came.
    pub(super) fn reads(&self) -> u64 {
        self.reads.load(Ordering::Relaxed)
    }

    pub(super) fn turn(&self) -> u64 {
        self.turns.load(Ordering::Relaxed)
    }

    pub(super) fn want_turn(&self) {
        self.is_turn_wanted.store(true, Ordering::Relaxed);
    }

    pub(super) fn take_turn_wanted(&self) -> bool {
        self.is_turn_wanted.swap(false, Ordering::Relaxed)
    }

    pub(super) fn note_turn(&self) {
        self.turns.fetch_add(1, Ordering::Relaxed);
    }

    /// Notes that the client was sent `bytes` of content, which it may answer.
    pub(super) fn note_sent(&self, bytes: usize) {
        let frames = FRAMES_PER_CONTENT + bytes / BYTES_PER_FRAME;
        self.credit.fetch_add(frames as u64, Ordering::Relaxed);
    }

    pub(super) fn flood(&self) -> Option<Flood> {
        *self.flood.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<I> Wire<I> {
    pub(super) fn new(io: I, connection: Arc<Connection>, link: Arc<Link>) -> Self {
        let guard = Guard::new(&connection.service.limits.http, Instant::now());
        Self {
            io: TokioIo::new(io),
            link,
            connection,
            guard,
            out: Vec::new(),
            gone: 0,
            sent: 0,
            stuck_since: None,
            alarm: Alarm::default(),
        }
    }
}

impl<I: Write + Progress + Unpin> Wire<I> {
    /// Passes the result of a write on, unless the client has taken nothing for too long.
    fn watch<T>(
        &mut self,
        cx: &mut Context<'_>,
        result: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        self.link.is_stuck.store(result.is_pending(), Ordering::Relaxed);
        if result.is_ready() {
            self.stuck_since = None;
            return result;
        }
        let sent = self.io.inner().bytes_sent();
        if sent != self.sent {
            self.sent = sent;
            self.stuck_since = None;
        }
        let since = *self.stuck_since.get_or_insert_with(Instant::now);
        let limits: &HttpLimits = &self.connection.service.limits.http;
        ready!(self.alarm.poll_at(cx, since + limits.write_timeout));
        self.connection.blame(CloseReason::Timeout);
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client takes nothing")))
    }

    /// Gives the stream all that is gathered.
    fn poll_empty(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.gone < self.out.len() {
            let gathered = self.out.get(self.gone..).unwrap_or_default();
            let written = ready!(Pin::new(&mut self.io).poll_write(cx, gathered))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.gone += written;
        }
        self.clear();
        Poll::Ready(Ok(()))
    }

    /// Gives the stream what is gathered and `bufs`, in full records, and keeps what remains. Tells
    /// how much of `bufs` is taken care of.
    fn poll_pass(&mut self, cx: &mut Context<'_>, bufs: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        loop {
            let gathered = self.out.get(self.gone..).unwrap_or_default();
            let total: usize = gathered.len() + bufs.iter().map(|buf| buf.len()).sum::<usize>();
            let mut rest = total - total % RECORD_BYTES;
            let mut slices = [IoSlice::new(&[]); SLICES_MAX];
            let all = std::iter::once(gathered).chain(bufs.iter().map(|buf| &**buf));
            for (slice, bytes) in slices.iter_mut().zip(all) {
                let bytes = bytes.get(..rest).unwrap_or(bytes);
                rest -= bytes.len();
                *slice = IoSlice::new(bytes);
            }
            let written = ready!(Pin::new(&mut self.io).poll_write_vectored(cx, &slices))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            if let Some(taken) = written.checked_sub(gathered.len()) {
                self.clear();
                return Poll::Ready(Ok(if total - written < RECORD_BYTES {
                    taken + self.gather(bufs, taken)
                } else {
                    taken
                }));
            }
            self.gone += written;
        }
    }
}

impl<I> Wire<I> {
    /// Everything that was gathered is gone. A large buffer does not stay, since most connections
    /// wait most of the time.
    fn clear(&mut self) {
        self.gone = 0;
        self.out.clear();
        self.out.shrink_to(KEPT_BYTES_MAX);
    }

    /// Keeps what of `bufs` comes behind its first `taken` bytes.
    fn gather(&mut self, bufs: &[IoSlice<'_>], mut taken: usize) -> usize {
        let before = self.out.len();
        for buf in bufs {
            let skipped = taken.min(buf.len());
            taken -= skipped;
            self.out.extend_from_slice(buf.get(skipped..).unwrap_or_default());
        }
        self.out.len() - before
    }
}

impl<I: Read + Unpin> AsyncRead for Wire<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.link.flood().is_some() {
            // Nothing more is wanted: the task is about to say so.
            return Poll::Pending;
        }
        let before = buf.filled().len();
        ready!(Pin::new(&mut this.io).poll_read(cx, buf))?;
        this.link.reads.fetch_add(1, Ordering::Relaxed);
        let read = buf.filled().get(before..).unwrap_or_default();
        if let Err(flood) = this.guard.watch(read, &this.link.credit) {
            *this.link.flood.lock().unwrap_or_else(PoisonError::into_inner) = Some(flood);
        }
        Poll::Ready(Ok(()))
    }
}

impl<I: Write + Progress + Unpin> AsyncWrite for Wire<I> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let total: usize = bufs.iter().map(|buf| buf.len()).sum();
        if self.out.len() - self.gone + total < RECORD_BYTES {
            return Poll::Ready(Ok(self.gather(bufs, 0)));
        }
        let result = self.poll_pass(cx, bufs);
        self.watch(cx, result)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.link.may_flush.load(Ordering::Relaxed) {
            self.link.is_unflushed.store(true, Ordering::Relaxed);
            return Poll::Ready(Ok(()));
        }
        let mut result = self.poll_empty(cx);
        if let Poll::Ready(Ok(())) = result {
            result = Pin::new(&mut self.io).poll_flush(cx);
        }
        self.link.is_unflushed.store(result.is_pending(), Ordering::Relaxed);
        self.watch(cx, result)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut result = self.poll_empty(cx);
        if let Poll::Ready(Ok(())) = result {
            result = Pin::new(&mut self.io).poll_shutdown(cx);
        }
        self.watch(cx, result)
    }
}

/// One full TLS record.
const RECORD_BYTES: usize = 16 * 1024;
/// What is kept of a buffer.
const KEPT_BYTES_MAX: usize = 4 * 1024;
/// What is written at once: what is gathered, the head of a frame, and its content.
const SLICES_MAX: usize = 8;
/// What a client may answer to a piece of content: a window of its stream, one of its connection,
/// a measurement of the way.
const FRAMES_PER_CONTENT: usize = 4;
/// And as much again for so many bytes.
const BYTES_PER_FRAME: usize = 1024;

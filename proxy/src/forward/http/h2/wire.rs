//! The bytes between h2 and a client.
//!
//! Owns [`Wire`], which gathers what h2 writes frame by frame, so that answers that are ready
//! together travel together and in full TLS records, gives a client up that takes nothing, and
//! shows every byte that comes to the [`Guard`]. Read next: `guard`, then `link`, by which the
//! task of the connection knows of all this.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use hyper::rt::{Read, Write};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use super::guard::Guard;
use super::link::Link;
use crate::forward::http::io::Patience;
use crate::forward::http::state::Connection;
use crate::net::Progress;

/// A stream of a client.
pub(super) struct Wire<I> {
    io: TokioIo<I>,
    link: Arc<Link>,
    connection: Arc<Connection>,
    guard: Guard,
    /// What h2 has written and the stream has not got yet, behind `gone` bytes that it has.
    out: Vec<u8>,
    gone: usize,
    patience: Patience,
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
            patience: Patience::default(),
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
        self.link.note_stuck(result.is_pending());
        self.patience.watch(cx, result, self.io.inner().bytes_sent(), &self.connection)
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
            if total < RECORD_BYTES {
                return Poll::Ready(Ok(self.gather(bufs, 0)));
            }
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
                if total - written < RECORD_BYTES {
                    return Poll::Ready(Ok(taken + self.gather(bufs, taken)));
                }
                // That nothing was taken would be understood as the end of the stream.
                if taken > 0 {
                    return Poll::Ready(Ok(taken));
                }
            } else {
                self.gone += written;
            }
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
        this.link.note_read();
        let read = buf.filled().get(before..).unwrap_or_default();
        if let Err(flood) = this.guard.watch(read, this.link.credit()) {
            // h2 need not see it: the task of the connection has the last word.
            buf.set_filled(before);
            this.link.note_flood(flood);
            return Poll::Pending;
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
        if !self.link.may_flush() {
            self.link.note_unflushed(true);
            return Poll::Ready(Ok(()));
        }
        let mut result = self.poll_empty(cx);
        if let Poll::Ready(Ok(())) = result {
            result = Pin::new(&mut self.io).poll_flush(cx);
        }
        self.link.note_unflushed(result.is_pending());
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

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use hyper::rt::ReadBufCursor;
    use proptest::prelude::*;

    use super::*;
    use crate::forward::http::tests::{facts, service};
    use crate::metrics::HttpVersion;

    /// A client that takes so many bytes of each write, one after the other, and then all.
    struct Taker {
        takes: std::vec::IntoIter<usize>,
        taken: Vec<u8>,
    }

    impl Read for Taker {
        fn poll_read(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            _: ReadBufCursor<'_>,
        ) -> Poll<io::Result<()>> {
            Poll::Pending
        }
    }

    impl Write for Taker {
        fn poll_write(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            buf: &[u8],
        ) -> Poll<io::Result<usize>> {
            let most = self.takes.next().unwrap_or(usize::MAX);
            if most == 0 {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            let count = most.min(buf.len());
            self.taken.extend_from_slice(&buf[..count]);
            Poll::Ready(Ok(count))
        }

        fn poll_write_vectored(
            self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            bufs: &[IoSlice<'_>],
        ) -> Poll<io::Result<usize>> {
            let all: Vec<u8> = bufs.iter().flat_map(|buf| buf.to_vec()).collect();
            self.poll_write(cx, &all)
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    impl Progress for Taker {
        fn bytes_sent(&self) -> u64 {
            self.taken.len() as u64
        }
    }

    /// Writes pieces of so many bytes, each behind a head of so many, to a client that takes them
    /// as `takes` says.
    fn write(writes: Vec<(usize, usize)>, takes: Vec<usize>) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.unwrap().block_on(async {
            let (service, _metrics) = service("127.0.0.1:1", |_| {});
            let connection = Connection::new(service, facts(), HttpVersion::H2);
            let taker = Taker { takes: takes.into_iter(), taken: Vec::new() };
            let link = Arc::new(Link::default());
            let mut wire = Wire::new(taker, connection, Arc::clone(&link));
            let mut expected = Vec::new();
            for (count, head) in writes {
                let bytes: Vec<u8> = (0..count + head).map(|n| (n % 251) as u8).collect();
                expected.extend_from_slice(&bytes);
                let mut rest = &bytes[..];
                while !rest.is_empty() {
                    let (one, other) = rest.split_at(head.min(rest.len()));
                    let slices = [IoSlice::new(one), IoSlice::new(other)];
                    let written =
                        poll_fn(|cx| Pin::new(&mut wire).poll_write_vectored(cx, &slices)).await;
                    let written = written.unwrap();
                    assert!(written > 0, "which h2 takes for the end of the stream");
                    rest = &rest[written..];
                }
            }
            link.let_flush(true);
            poll_fn(|cx| Pin::new(&mut wire).poll_flush(cx)).await.unwrap();
            assert!(wire.io.inner().taken == expected);
            assert!(!link.is_unflushed());
        });
    }

    #[test]
    fn a_client_that_takes_what_is_gathered_and_no_more_is_not_at_its_end() {
        write(vec![(91, 9), (40_000, 9)], vec![100, 0, 5]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn what_is_written_arrives_however_much_the_client_takes_at_once(
            writes in prop::collection::vec((0..40_000_usize, 0..20_usize), 1..20),
            takes in prop::collection::vec(0..30_000_usize, 0..40),
        ) {
            write(writes, takes);
        }
    }
}

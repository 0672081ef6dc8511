//! A connection of a client in the clear: what a stream of TLS is, without TLS.
//!
//! Owns [`ClearStream`], for requests that are sent on to TLS, for bytes that TLS is put around on
//! the way to the backend, and for TLS that passes through undecrypted. It counts the same as a
//! stream of TLS, holds no buffer while it is idle, and begins with what was read from the socket
//! before. Refuses to know what is said. Read next: `tcp`, then `tcp/downstream`.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use hyper::rt::{Read, ReadBufCursor, Write};
use tokio::io::AsyncWrite as _;

use crate::metrics::{Direction, Meter};
use crate::net::{Chunk, Progress, Socket};

/// A socket whose bytes are counted.
#[derive(Debug)]
pub struct ClearStream {
    socket: Socket,
    /// What the client has said and nobody has taken yet.
    heard: Option<Chunk>,
    has_ended: bool,
    /// What the client was given and the kernel did not take yet.
    unsent: Option<Chunk>,
    /// Bytes that the kernel took.
    sent: u64,
    meter: Arc<Meter>,
}

impl ClearStream {
    /// What passes over `socket` is counted in `meter`.
    pub fn new(socket: Socket, meter: Arc<Meter>) -> Self {
        Self { socket, heard: None, has_ended: false, unsent: None, sent: 0, meter }
    }

    /// The same for a client of whom `early` was read from `socket` already.
    pub fn beginning_with(early: Vec<u8>, socket: Socket, meter: Arc<Meter>) -> Self {
        let heard = (!early.is_empty()).then(|| Chunk::of(early));
        Self { heard, ..Self::new(socket, meter) }
    }

    /// The socket, to set options.
    pub fn socket(&self) -> &Socket {
        &self.socket
    }

    /// Waits until [`ClearStream::clear_text`] has something to show, or never will again.
    pub fn poll_clear_text(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.heard.is_some() || self.has_ended {
            return Poll::Ready(Ok(()));
        }
        let mut chunk = Chunk::lend();
        match ready!(chunk.poll_fill(cx, &mut self.socket))? {
            0 => self.has_ended = true,
            _ => self.heard = Some(chunk),
        }
        Poll::Ready(Ok(()))
    }

    /// The next of what the client has said, empty at its end; [`ClearStream::consume`] takes it
    /// away.
    pub fn clear_text(&self) -> &[u8] {
        self.heard.as_ref().map_or(&[], Chunk::rest)
    }

    /// Whether the client has probably said more than [`ClearStream::clear_text`] shows.
    pub fn has_more(&self) -> bool {
        self.heard.as_ref().is_some_and(Chunk::is_full)
    }

    /// Takes away the first `count` bytes of what [`ClearStream::clear_text`] showed.
    pub fn consume(&mut self, count: usize) {
        self.meter.add(Direction::Upstream, count);
        if self.heard.as_mut().is_some_and(|heard| heard.advance(count) == 0) {
            self.heard = None;
        }
    }

    /// Sends `bytes`, and keeps what the kernel does not take: all of them, if
    /// [`ClearStream::poll_flush`] has left nothing and they are no more than a scratch buffer has.
    /// Returns how many were taken.
    pub fn give(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> io::Result<usize> {
        let mut taken = 0;
        while self.unsent.is_none()
            && let Some(rest) = bytes.get(taken..).filter(|rest| !rest.is_empty())
        {
            match poll_send(&mut self.socket, &mut self.sent, cx, rest) {
                Poll::Ready(count) => taken += count?,
                Poll::Pending => self.unsent = Some(Chunk::lend()),
            }
        }
        if let Some(unsent) = &mut self.unsent {
            taken += unsent.append(bytes.get(taken..).unwrap_or_default());
        }
        self.meter.add(Direction::Downstream, taken);
        Ok(taken)
    }

    /// Sends all that the client was given.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(unsent) = &mut self.unsent {
            let count = ready!(poll_send(&mut self.socket, &mut self.sent, cx, unsent.rest()))?;
            if unsent.advance(count) == 0 {
                self.unsent = None;
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Ends our direction, when all is sent.
    pub fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_flush(cx))?;
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

/// Has the kernel take the first of `bytes`, and counts how many it took. It takes none only of
/// none.
fn poll_send(
    socket: &mut Socket,
    sent: &mut u64,
    cx: &mut Context<'_>,
    bytes: &[u8],
) -> Poll<io::Result<usize>> {
    let count = ready!(Pin::new(socket).poll_write(cx, bytes))?;
    if count == 0 && !bytes.is_empty() {
        return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
    }
    *sent = sent.saturating_add(count as u64);
    Poll::Ready(Ok(count))
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
        ready!(this.poll_clear_text(cx))?;
        let heard = this.clear_text();
        let count = heard.len().min(buf.remaining());
        buf.put_slice(heard.get(..count).unwrap_or_default());
        this.consume(count);
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
        ready!(this.poll_flush(cx))?;
        let count = ready!(poll_send(&mut this.socket, &mut this.sent, cx, bytes))?;
        this.meter.add(Direction::Downstream, count);
        Poll::Ready(Ok(count))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Self::poll_flush(self.get_mut(), cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().poll_end(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::UnixStream;

    use super::*;
    use crate::metrics::Metrics;
    use crate::net::SCRATCH_BYTES;

    fn stream(early: &[u8]) -> (ClearStream, UnixStream) {
        let (near, far) = UnixStream::pair().unwrap();
        let meter = Arc::new(Meter::new(&Metrics::new().listener("a").bytes));
        (ClearStream::beginning_with(early.to_vec(), Socket::Unix(near), meter), far)
    }

    async fn heard(stream: &mut ClearStream, count: usize) -> Vec<u8> {
        poll_fn(|cx| stream.poll_clear_text(cx)).await.unwrap();
        let clear = stream.clear_text();
        let heard = clear[..count.min(clear.len())].to_vec();
        stream.consume(heard.len());
        heard
    }

    #[tokio::test]
    async fn what_was_read_before_comes_first_and_the_end_comes_last() {
        let (mut stream, mut far) = stream(b"early");
        far.write_all(b"late").await.unwrap();
        drop(far);
        assert_eq!(heard(&mut stream, 2).await, b"ea");
        assert_eq!(heard(&mut stream, 9).await, b"rly");
        assert_eq!(heard(&mut stream, 9).await, b"late");
        assert_eq!(heard(&mut stream, 9).await, b"");
        assert_eq!(heard(&mut stream, 9).await, b"");
        assert_eq!(stream.meter.total(Direction::Upstream), 9);
        assert!(stream.heard.is_none(), "an idle stream holds no buffer");
    }

    #[tokio::test]
    async fn what_a_slow_client_does_not_take_is_kept_and_sent_later() {
        let (mut stream, mut far) = stream(b"");
        let piece: Vec<u8> = (0..SCRATCH_BYTES).map(|place| place as u8).collect();
        let mut given = Vec::new();
        while stream.unsent.is_none() {
            let taken = poll_fn(|cx| Poll::Ready(stream.give(cx, &piece))).await.unwrap();
            assert_eq!(taken, piece.len());
            given.extend_from_slice(&piece);
        }
        let refused = poll_fn(|cx| Poll::Ready(stream.give(cx, &piece))).await.unwrap();
        given.extend_from_slice(&piece[..refused]);
        let reader = async {
            let mut all = Vec::new();
            far.read_to_end(&mut all).await.unwrap();
            all
        };
        let end = poll_fn(|cx| stream.poll_end(cx));
        let (end, all) = tokio::join!(end, reader);
        end.unwrap();
        assert!(all == given, "{} of {}", all.len(), given.len());
        assert_eq!(stream.bytes_sent(), given.len() as u64);
        assert_eq!(stream.meter.total(Direction::Downstream), given.len() as u64);
        assert!(stream.unsent.is_none(), "an idle stream holds no buffer");
    }
}

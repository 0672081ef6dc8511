//! Frames of several streams in one write.
//!
//! Owns [`Batched`], which puts off the flushes that h2 asks for after each frame until the
//! connection has nothing left to do, so that answers that are ready together travel together.
//! Refuses to know frames. Read next: `h2`, which sees to it that nothing is put off for long.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use hyper::rt::{Read, ReadBufCursor, Write};

/// A stream whose flushes happen when it is read in vain.
pub(super) struct Batched<I> {
    stream: I,
    put_off: PutOff,
}

/// Whether a flush was put off; shared with the task of the connection.
#[derive(Clone, Debug, Default)]
pub(super) struct PutOff(Arc<AtomicBool>);

impl PutOff {
    pub(super) fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    fn set(&self, is_put_off: bool) {
        self.0.store(is_put_off, Ordering::Relaxed);
    }
}

impl<I> Batched<I> {
    pub(super) fn new(stream: I, put_off: PutOff) -> Self {
        Self { stream, put_off }
    }
}

impl<I: Read + Write + Unpin> Read for Batched<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        if read.is_pending() && self.put_off.is_set() {
            match Pin::new(&mut self.stream).poll_flush(cx) {
                Poll::Ready(Ok(())) => self.put_off.set(false),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {}
            }
        }
        read
    }
}

impl<I: Write + Unpin> Write for Batched<I> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.put_off.set(true);
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

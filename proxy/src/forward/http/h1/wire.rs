//! The two directions of a connection: what was read and not used, and what is to be written.
//!
//! Owns [`Wire`]. A connection at rest holds no memory but itself: bytes are read through the
//! stack, and only what came is kept. Refuses to know when to read and what to write: `turn` does.

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes, BytesMut};
use http::HeaderMap;
use hyper::rt::{Read, ReadBuf, Write};

use super::super::io::ClientIo;
use crate::net::Progress;

/// A connection of a client.
pub(super) struct Wire<I> {
    pub(super) io: ClientIo<I>,
    /// What was read and not used.
    pub(super) buffer: BytesMut,
    /// Empty, with room for the fields of the next head: that of the last response.
    pub(super) spare: HeaderMap,
    out: Out,
}

/// What is to be written: text of ours, a part of a body, and what ends that part.
#[derive(Default)]
struct Out {
    text: Vec<u8>,
    /// How much of it is written.
    written: usize,
    data: Bytes,
    end: &'static [u8],
    /// Whether the system may not have all that was written.
    is_unflushed: bool,
}

impl<I> Wire<I> {
    pub(super) fn new(io: ClientIo<I>) -> Self {
        Self { io, buffer: BytesMut::new(), spare: HeaderMap::new(), out: Out::default() }
    }

    /// Where text is put that is to be written before anything that is put there later.
    pub(super) fn text(&mut self) -> &mut Vec<u8> {
        debug_assert!(self.out.data.is_empty() && self.out.end.is_empty(), "text goes first");
        &mut self.out.text
    }

    /// Has `data` written behind the text, and `end` behind it.
    pub(super) fn put(&mut self, data: Bytes, end: &'static [u8]) {
        debug_assert!(self.out.data.is_empty() && self.out.end.is_empty(), "one part at a time");
        self.out.data = data;
        self.out.end = end;
    }

    /// Whether a part of a body may be put behind what is to be written.
    pub(super) fn has_room(&self) -> bool {
        self.out.data.is_empty() && self.out.end.is_empty()
    }

    /// Whether there is anything to write or to flush.
    pub(super) fn has_output(&self) -> bool {
        !self.out.is_empty() || self.out.is_unflushed
    }
}

impl<I: Read + Unpin> Wire<I> {
    /// Reads what there is behind what was read already; 0 at the end.
    pub(super) fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut scratch = [MaybeUninit::uninit(); READ_BYTES];
        let mut read = ReadBuf::uninit(&mut scratch);
        ready!(Pin::new(&mut self.io.stream).poll_read(cx, read.unfilled()))?;
        self.buffer.extend_from_slice(read.filled());
        Poll::Ready(Ok(read.filled().len()))
    }
}

impl<I: Write + Progress + Unpin> Wire<I> {
    /// Hands all that is to be written over to the stream, which may keep it for a while.
    pub(super) fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.out.is_empty() {
            let written = {
                let Out { data, end, .. } = &self.out;
                let text = self.out.text();
                let slices = [IoSlice::new(text), IoSlice::new(data), IoSlice::new(end)];
                let first = if text.is_empty() { 1 } else { 0 };
                let last = if end.is_empty() { 2 } else { 3 };
                let slices = slices.get(first..last).unwrap_or_default();
                ready!(Pin::new(&mut self.io).poll_write_vectored(cx, slices))?
            };
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.out.advance(written);
            self.out.is_unflushed = true;
        }
        Poll::Ready(Ok(()))
    }

    /// The same, and has the stream send it.
    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_write(cx))?;
        if self.out.is_unflushed {
            ready!(Pin::new(&mut self.io).poll_flush(cx))?;
            self.out.is_unflushed = false;
        }
        Poll::Ready(Ok(()))
    }
}

impl Out {
    fn text(&self) -> &[u8] {
        self.text.get(self.written..).unwrap_or_default()
    }

    fn is_empty(&self) -> bool {
        self.text().is_empty() && self.data.is_empty() && self.end.is_empty()
    }

    fn advance(&mut self, written: usize) {
        let text = written.min(self.text().len());
        self.written += text;
        let data = (written - text).min(self.data.len());
        self.data.advance(data);
        self.end = self.end.get(written - text - data..).unwrap_or_default();
        if self.text().is_empty() {
            // A connection at rest keeps nothing.
            (self.text, self.written) = (Vec::new(), 0);
        }
    }
}

/// What is read at once: a record of TLS at most.
const READ_BYTES: usize = 16 * 1024;

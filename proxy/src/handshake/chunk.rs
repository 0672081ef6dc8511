//! Buffers for ciphertext, lent by the thread for as long as they hold any.
//!
//! Owns the pool of each thread, which is why an idle connection has no read buffer. Refuses to
//! know TLS. Read next: `tls`.

use std::cell::RefCell;
use std::io;
use std::task::{Context, Poll, ready};

use crate::net::{SCRATCH_BYTES, Socket};

/// Ciphertext in a buffer that the thread lent; it goes back when the chunk is dropped.
#[derive(Debug)]
pub(super) struct Chunk {
    bytes: Box<[u8]>,
    start: usize,
    end: usize,
}

thread_local! {
    /// Buffers that nobody reads into now.
    static LENT: RefCell<Vec<Box<[u8]>>> = const { RefCell::new(Vec::new()) };
}

impl Chunk {
    /// A buffer with nothing in it.
    pub(super) fn lend() -> Self {
        let bytes = LENT.with_borrow_mut(Vec::pop).unwrap_or_else(|| vec![0; SCRATCH_BYTES].into());
        Self { bytes, start: 0, end: 0 }
    }

    /// Reads what the socket has.
    pub(super) fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        socket: &mut Socket,
    ) -> Poll<io::Result<usize>> {
        self.end = ready!(socket.poll_fill(cx, &mut self.bytes))?;
        Poll::Ready(Ok(self.end))
    }

    /// What was read and not yet forgotten.
    pub(super) fn rest(&self) -> &[u8] {
        self.bytes.get(self.start..self.end).unwrap_or_default()
    }

    /// Forgets the first `count` bytes and returns how many are left.
    pub(super) fn advance(&mut self, count: usize) -> usize {
        self.start += count;
        self.end - self.start
    }
}

impl Drop for Chunk {
    fn drop(&mut self) {
        let bytes = std::mem::take(&mut self.bytes);
        // At the end of a thread there is nobody left to lend to.
        let _ = LENT.try_with(|lent| {
            if let Ok(mut lent) = lent.try_borrow_mut()
                && lent.len() < LENT_MAX
            {
                lent.push(bytes);
            }
        });
    }
}

/// Buffers that a thread keeps for the next reads.
const LENT_MAX: usize = 4;

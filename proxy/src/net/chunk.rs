//! Buffers for bytes that were read, lent by the thread for as long as they hold any.
//!
//! Owns the pool of each thread, which is why an idle connection has no read buffer. Refuses to
//! know what the bytes are: ciphertext to one reader, clear text to another.

use std::cell::RefCell;
use std::io;
use std::task::{Context, Poll, ready};

use super::{SCRATCH_BYTES, Socket};

/// Bytes in a buffer that the thread lent; it goes back when the chunk is dropped.
#[derive(Debug)]
pub struct Chunk {
    bytes: Box<[u8]>,
    start: usize,
    end: usize,
}

thread_local! {
    /// Buffers that nobody reads into now.
    static LENT: RefCell<Vec<Box<[u8]>>> = const { RefCell::new(Vec::new()) };
}

impl Chunk {
    /// A buffer of [`SCRATCH_BYTES`] with nothing in it.
    pub fn lend() -> Self {
        let bytes = LENT.with_borrow_mut(Vec::pop).unwrap_or_else(|| vec![0; SCRATCH_BYTES].into());
        Self { bytes, start: 0, end: 0 }
    }

    /// A chunk that owns `bytes`, for those that were read before there was one.
    pub fn of(bytes: Vec<u8>) -> Self {
        let end = bytes.len();
        Self { bytes: bytes.into(), start: 0, end }
    }

    /// Reads what the socket has. What the chunk held before is forgotten.
    pub fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        socket: &mut Socket,
    ) -> Poll<io::Result<usize>> {
        let count = ready!(socket.poll_fill(cx, &mut self.bytes))?;
        (self.start, self.end) = (0, count);
        Poll::Ready(Ok(count))
    }

    /// Appends as much of `bytes` as there is room for, and returns how much that is.
    pub fn append(&mut self, bytes: &[u8]) -> usize {
        let room = self.bytes.get_mut(self.end..).unwrap_or_default();
        let count = room.len().min(bytes.len());
        let (room, bytes) = (room.get_mut(..count), bytes.get(..count));
        if let (Some(room), Some(bytes)) = (room, bytes) {
            room.copy_from_slice(bytes);
        }
        self.end += count;
        count
    }

    /// What was read and not yet forgotten.
    pub fn rest(&self) -> &[u8] {
        self.bytes.get(self.start..self.end).unwrap_or_default()
    }

    /// Whether the buffer was read full, so that there is probably more.
    pub fn is_full(&self) -> bool {
        self.end == self.bytes.len()
    }

    /// Forgets the first `count` bytes and returns how many are left.
    pub fn advance(&mut self, count: usize) -> usize {
        self.start = self.end.min(self.start.saturating_add(count));
        self.end - self.start
    }
}

impl Drop for Chunk {
    fn drop(&mut self) {
        let bytes = std::mem::take(&mut self.bytes);
        if bytes.len() != SCRATCH_BYTES {
            return;
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_gives_back_what_it_was_given_and_takes_no_more_than_it_has_room_for() {
        let mut chunk = Chunk::lend();
        assert_eq!(chunk.append(b"hello "), 6);
        assert_eq!(chunk.append(b"there"), 5);
        assert_eq!(chunk.rest(), b"hello there");
        assert!(!chunk.is_full());
        assert_eq!(chunk.advance(6), 5);
        assert_eq!(chunk.rest(), b"there");
        assert_eq!(chunk.append(&vec![0; SCRATCH_BYTES]), SCRATCH_BYTES - 11);
        assert!(chunk.is_full());
        let mut owned = Chunk::of(b"early".to_vec());
        assert_eq!(owned.append(b"late"), 0);
        assert_eq!(owned.rest(), b"early");
        assert_eq!(owned.advance(9), 0);
    }

    #[test]
    fn only_buffers_of_the_usual_size_are_lent_again() {
        drop(Chunk::of(vec![1; 9]));
        assert_eq!(Chunk::lend().bytes.len(), SCRATCH_BYTES);
    }
}

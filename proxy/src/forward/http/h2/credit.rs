//! What a client may say more than usual, since we sent it something.
//!
//! Owns [`Credit`]: a client answers content with windows, and pings to measure the way, and none
//! of that is a flood. It is not credited for content that came in crumbs because it makes room for
//! no more at a time: it would pay for each crumb with the window that let it through. Refuses to
//! know what the client says. Read next: `guard`, which draws on it.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counted in bytes, [`BYTES_PER_FRAME`] of them for each frame of the client.
#[derive(Debug, Default)]
pub(super) struct Credit(AtomicU64);

impl Credit {
    /// Notes that a part of `bytes` went out, or the last piece of one.
    pub(super) fn note_part(&self, bytes: usize) {
        self.add(BYTES_PER_PART + bytes);
    }

    /// Notes that `bytes` of a part went out, and that there was no room for the others.
    pub(super) fn note_piece(&self, bytes: usize) {
        self.add(BYTES_PER_PART / PIECE_BYTES * bytes.min(PIECE_BYTES) + bytes);
    }

    fn add(&self, bytes: usize) {
        self.0.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Takes everything, in frames.
    pub(super) fn take(&self) -> u32 {
        let frames = self.0.swap(0, Ordering::Relaxed) / BYTES_PER_FRAME as u64;
        u32::try_from(frames).unwrap_or(u32::MAX)
    }
}

/// What content earns a frame of the client, in either direction.
pub(super) const BYTES_PER_FRAME: usize = 1024;
/// For what a client may answer to any part: a window of its stream, one of its connection, a
/// measurement of the way.
const BYTES_PER_PART: usize = 4 * BYTES_PER_FRAME;
/// A piece that is answered like a whole part; smaller ones earn less.
const PIECE_BYTES: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crumbs_do_not_pay_for_the_windows_that_let_them_through() {
        let credit = Credit::default();
        for _ in 0..1000 {
            credit.note_piece(1);
        }
        assert!(credit.take() < 50);
        credit.note_part(1);
        assert_eq!((credit.take(), credit.take()), (4, 0));
    }

    #[test]
    fn a_client_with_a_small_window_may_open_it_after_every_piece() {
        let credit = Credit::default();
        for bytes in [64, 128, 1000, 4096, 16_384] {
            for _ in 0..1000 {
                credit.note_piece(bytes);
            }
            // One window of the stream and one of the connection.
            assert!(credit.take() >= 2000, "{bytes}");
        }
    }
}

//! What the allocator keeps for later goes back to the system.
//!
//! Owns the word to the C library, which keeps pages that nobody may ever need again, and how often
//! it is said where it could be said all the time. Refuses to know when memory is short, and when a
//! crowd has left: that is in `memory` and `ebb`.

use tokio::time::Instant;

/// When it was last told, and how long that took.
#[derive(Debug, Default)]
pub(super) struct Allocator {
    due: Option<Instant>,
}

impl Allocator {
    /// Has what is kept returned, unless that has taken a good part of the time already: others may
    /// wait for the allocator meanwhile.
    pub(super) fn give_back_now_and_then(&mut self) {
        let start = Instant::now();
        if self.due.is_none_or(|due| due <= start) {
            give_back();
            let end = Instant::now();
            self.due = Some(end + (end - start) * REST);
        }
    }
}

/// Has the allocator return what it keeps for later.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[expect(unsafe_code, reason = "no crate offers malloc_trim(3) without; see the note inside")]
pub(super) fn give_back() {
    // SAFETY: it takes a number by value and may be called from any thread at any time (MT-Safe by
    // its manual); it changes no memory that anybody has been given.
    let _ = unsafe { libc::malloc_trim(0) };
}

/// Other allocators do so by themselves, or cannot.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(super) fn give_back() {}

/// So many times as long as it took is it left alone.
const REST: u32 = 9;

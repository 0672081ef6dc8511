//! Connections that are cut: dropped in the middle of what they did.
//!
//! Owns who is cut: whatever [`cut`] drops, and whatever goes in a panic. A socket that is dropped
//! so ends in a reset, since an ordinary end would tell the other side that it has heard all there
//! is. Refuses to know why. Read next: `socket`, which asks.

use std::cell::Cell;
use std::thread;

thread_local! {
    static IS_CUTTING: Cell<bool> = const { Cell::new(false) };
}

/// Drops `held`; the sockets in it are reset.
pub fn cut<T>(held: T) {
    let _back = Back(IS_CUTTING.replace(true));
    drop(held);
}

/// Whether what is dropped now is cut.
pub(super) fn is_cutting() -> bool {
    // A thread that ends has no such place any more; nothing is cut there.
    thread::panicking() || IS_CUTTING.try_with(Cell::get).unwrap_or(false)
}

/// Puts back what was there before, even if the drop panics.
struct Back(bool);

impl Drop for Back {
    fn drop(&mut self) {
        IS_CUTTING.set(self.0);
    }
}

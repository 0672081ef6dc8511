//! Random numbers that need not be secret: balancing and request ids.
//!
//! Owns one generator for each thread, so that nobody waits for a number. Whoever needs a secret
//! asks `aws_lc_rs::rand` instead. Read next: `balance`.

use std::cell::Cell;

thread_local! {
    static STATE: Cell<u64> = Cell::new(seed());
}

/// The next number of this thread's generator (SplitMix64).
pub(crate) fn random() -> u64 {
    STATE.with(|state| {
        let next = state.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        state.set(next);
        mix(next)
    })
}

/// A random start for each thread; should the provider fail, threads still differ by address.
fn seed() -> u64 {
    let mut bytes = [0; 8];
    let here = std::ptr::from_ref(&bytes).addr() as u64;
    match aws_lc_rs::rand::fill(&mut bytes) {
        Ok(()) => u64::from_ne_bytes(bytes),
        Err(_) => here,
    }
}

/// The finaliser of SplitMix64: each bit of the input moves half of the output.
pub(super) fn mix(state: u64) -> u64 {
    let state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let state = (state ^ (state >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    state ^ (state >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_do_not_repeat() {
        let numbers: std::collections::HashSet<u64> = (0..1000).map(|_| random()).collect();
        assert_eq!(numbers.len(), 1000);
    }
}

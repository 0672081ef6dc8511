//! No copy of a ticket key is left in memory after its life: a scan of the whole process.
//!
//! The test knows the key in disguise only, as two halves that give it when they are combined, so
//! that what it finds are copies that the code under test has made. It is alone in its binary, and
//! so in its process.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a failed step is the failure of the test")]

use std::convert::Infallible;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::rand;
use portunus_certs::tickets::{Agree, Moment, RingOptions, TicketKeys};
use rustls::time_provider::DefaultTimeProvider;
use zeroize::Zeroizing;

/// A key, as two halves.
struct Disguised {
    mask: [u8; 32],
    masked: [u8; 32],
}

impl Disguised {
    fn new() -> Self {
        let (mut mask, mut masked) = ([0; 32], [0; 32]);
        rand::fill(&mut mask).unwrap();
        rand::fill(&mut masked).unwrap();
        Self { mask, masked }
    }

    /// How many copies of the key there are in what this process can write to.
    fn copies(&self) -> usize {
        let memory = File::open("/proc/self/mem").unwrap();
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        // What was read is no copy to be found: the buffer is cleared before each reading.
        let mut buffer = vec![0; CHUNK_BYTES + 31];
        let mut copies = 0;
        for line in maps.lines() {
            let mut words = line.split_whitespace();
            let (range, rights) = (words.next().unwrap(), words.next().unwrap());
            let (from, to) = range.split_once('-').unwrap();
            let [from, to] = [from, to].map(|hex| u64::from_str_radix(hex, 16).unwrap());
            if !rights.starts_with("rw") {
                continue;
            }
            for start in (from..to).step_by(CHUNK_BYTES) {
                buffer.fill(0);
                let Ok(length) = memory.read_at(&mut buffer, start) else { continue };
                copies += (0..length.saturating_sub(31))
                    .step_by(BLOCK_BYTES)
                    .map(|block| self.copies_at(buffer.get(block..length).unwrap_or_default()))
                    .sum::<usize>();
            }
        }
        buffer.fill(0);
        copies
    }

    /// How many begin in the first block. Most blocks do not hold even the first byte of the key,
    /// and to find that out is quick.
    fn copies_at(&self, bytes: &[u8]) -> usize {
        let starts = bytes.get(..BLOCK_BYTES).unwrap_or(bytes);
        if !starts.contains(&(self.mask[0] ^ self.masked[0])) {
            return 0;
        }
        bytes.windows(32).take(BLOCK_BYTES).filter(|bytes| self.is(bytes)).count()
    }

    fn is(&self, bytes: &[u8]) -> bool {
        let halves = self.mask.iter().zip(&self.masked);
        bytes.iter().zip(halves).all(|(byte, (mask, masked))| *byte == mask ^ masked)
    }
}

impl Agree for Disguised {
    type Error = Infallible;

    /// The key for the first period, and what is proposed for the others.
    async fn agree(
        &self,
        label: &[u8],
        text: &[u8],
        _: Duration,
    ) -> Result<Zeroizing<Vec<u8>>, Infallible> {
        let mut text = Zeroizing::new(text.to_vec());
        if label.ends_with(b"/500000") {
            let halves = self.mask.iter().zip(&self.masked);
            text.iter_mut().zip(halves).for_each(|(byte, (mask, masked))| *byte = mask ^ masked);
        }
        Ok(text)
    }
}

#[tokio::test]
async fn no_copy_of_a_ticket_key_outlives_it() {
    let key = Disguised::new();
    let start = Duration::from_secs(500_000 * 60 * 60);
    let after = |hours: u32| {
        let time = start + hours * Duration::from_secs(60 * 60);
        Moment { wall: time, steady: time }
    };
    let keys = TicketKeys::agreed(RingOptions::default(), Arc::new(DefaultTimeProvider));
    for hours in [0, 1] {
        keys.agree(&key, after(hours)).await.unwrap();
        keys.advance(after(hours)).unwrap();
        assert!(key.copies() > 0, "a key in use is found, or this test finds nothing");
    }
    keys.advance(after(2)).unwrap();
    assert_eq!(key.copies(), 0);
}

const CHUNK_BYTES: usize = 1 << 20;
const BLOCK_BYTES: usize = 64;

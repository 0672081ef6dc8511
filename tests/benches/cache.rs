//! The session cache, used by one thread and by several at once.
//!
//! Owns the load: each thread stores a session and takes it back, as a TLS 1.3 connection and the
//! next one do. The CPU time of all threads counts, so waiting that spins or calls the kernel
//! shows; that is what contention costs.

mod measure;
mod place;

use std::sync::Arc;
use std::thread;

use portunus_certs::session::memory::{Options, SessionCache};
use portunus_certs::session::{ContextId, ScopedStore};
use rustls::server::StoresServerSessions;

use measure::{cpu, run};
use place::context;

fn main() {
    let context = context();
    let cache = Arc::new(SessionCache::new(Options::default()));
    // As full as a busy process has it: look-ups walk memory, not one warm line.
    for index in 0..FILLED {
        ScopedStore::new(Arc::clone(&cache), context).put(key(usize::MAX, index), session());
    }
    for (threads, name) in [(1, "1_thread"), (2, "2_threads"), (8, "8_threads")] {
        run(&format!("cache/put_take/{name}"), threads * ROUNDS, || {
            thread::scope(|scope| {
                let working: Vec<_> = (0..threads)
                    .map(|thread| {
                        let cache = &cache;
                        scope.spawn(move || cpu(|| put_and_take(cache, context, thread)))
                    })
                    .collect();
                working.into_iter().map(|thread| thread.join().expect("no panic")).sum()
            })
        });
    }
}

/// Each round is two connections, and each connection has its own view of the cache.
fn put_and_take(cache: &Arc<SessionCache>, context: ContextId, thread: usize) {
    for index in 0..ROUNDS {
        let key = key(thread, index);
        let first = ScopedStore::new(Arc::clone(cache), context);
        assert!(first.put(key.clone(), session()), "the session was not stored");
        let second = ScopedStore::new(Arc::clone(cache), context);
        assert!(second.take(&key).is_some(), "the session is gone");
    }
}

/// An identity as rustls makes them, except that it is no secret: it is spread over all bytes.
fn key(thread: usize, index: usize) -> Vec<u8> {
    let mut state = (thread as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ index as u64;
    let mut words = [0_u64; 4];
    for word in &mut words {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        *word = mixed ^ (mixed >> 27);
    }
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

/// As long as what rustls stores for a client without a certificate, and like it in front, where
/// the cache reads the version: no server name, TLS 1.3.
fn session() -> Vec<u8> {
    let mut session = vec![7; 91];
    session.splice(..3, [0, 3, 4]);
    session
}

const FILLED: usize = 100_000;
const ROUNDS: usize = 10_000;

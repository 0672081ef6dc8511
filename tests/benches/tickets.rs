//! What a ticket costs: sealing a session and opening it again.
//!
//! Owns the load: each connection has its own view of the keys, as in the proxy, and a session of
//! the length that it has with or without a client's certificate.

mod measure;
mod place;

use std::hint::black_box;
use std::sync::Arc;

use portunus_certs::tickets::{RingOptions, ScopedTicketer, TicketKeys};
use rustls::server::ProducesTickets;
use rustls::time_provider::DefaultTimeProvider;

use measure::{cpu, run};
use place::context;

fn main() {
    let context = context();
    let clock = Arc::new(DefaultTimeProvider);
    let keys = TicketKeys::local(RingOptions::default(), clock).expect("randomness");
    let keys = Arc::new(keys);
    let ticketer = || ScopedTicketer::new(Arc::clone(&keys), context, None);
    for (length, name) in [(91, "anonymous"), (930, "client_chain")] {
        let session = session(length);
        let ticket = ticketer().encrypt(&session).expect("a ticket");
        run(&format!("ticket/encrypt/{name}"), ROUNDS, || {
            cpu(|| {
                (0..ROUNDS).for_each(|_| {
                    black_box(ticketer().encrypt(black_box(&session)));
                });
            })
        });
        run(&format!("ticket/decrypt/{name}"), ROUNDS, || {
            cpu(|| {
                for _ in 0..ROUNDS {
                    let opened = ticketer().decrypt(black_box(&ticket));
                    assert!(opened.is_some(), "the ticket does not open");
                }
            })
        });
    }
    let unknown = vec![7; 200];
    run("ticket/decrypt/unknown_key", ROUNDS, || {
        cpu(|| {
            (0..ROUNDS).for_each(|_| {
                black_box(ticketer().decrypt(black_box(&unknown)));
            });
        })
    });
    run("ticket/enabled", ROUNDS, || {
        cpu(|| {
            (0..ROUNDS).for_each(|_| {
                black_box(ticketer().enabled());
            });
        })
    });
}

/// A session as rustls seals it, which begins with the version: no server name, TLS 1.3.
fn session(length: usize) -> Vec<u8> {
    let mut session = vec![7; length];
    session.splice(..3, [0, 3, 4]);
    session
}

const ROUNDS: usize = 10_000;

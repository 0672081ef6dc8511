//! Reading what a ClientHello offers to resume, which every handshake pays for.
//!
//! Owns the two hellos, of real clients: a short one, and one with a post-quantum key share.

mod measure;

use std::hint::black_box;

use portunus::handshake::hello::offer::ResumptionOffer;

use measure::{cpu, run};

fn main() {
    for (name, hello) in [
        (
            "hello/offer/full",
            &include_bytes!("../fuzz/seeds/client_hello/full-rustls-classic.bin")[..],
        ),
        (
            "hello/offer/full_mlkem",
            include_bytes!("../fuzz/seeds/client_hello/full-rustls-hybrid.bin"),
        ),
        (
            "hello/offer/session_id",
            include_bytes!("../fuzz/seeds/client_hello/good-openssl-tls12-stateful.bin"),
        ),
        (
            "hello/offer/psk",
            include_bytes!("../fuzz/seeds/client_hello/good-openssl-tls13-stateful.bin"),
        ),
        (
            "hello/offer/psk_mlkem",
            include_bytes!("../fuzz/seeds/client_hello/good-rustls-tls13-stateful.bin"),
        ),
        (
            "hello/offer/many_records",
            include_bytes!("../fuzz/seeds/client_hello/good-many-records.bin"),
        ),
    ] {
        run(&format!("{name}/{}b", hello.len()), TIMES, || {
            cpu(|| {
                for _ in 0..TIMES {
                    black_box(ResumptionOffer::parse(black_box(hello)));
                }
            })
        });
    }
}

const TIMES: usize = 100_000;

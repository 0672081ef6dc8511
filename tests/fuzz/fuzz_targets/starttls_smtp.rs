//! SMTP before TLS, from both sides, and the greeting of a backend.
//!
//! Owns the calls; what holds of them is in the harness. The first byte is the size of the pieces.

#![no_main]

#[path = "../../src/dialogue.rs"]
mod dialogue;

use libfuzzer_sys::fuzz_target;
use portunus::starttls::{WithoutTls, smtp};

fuzz_target!(|bytes: &[u8]| {
    for without_tls in [WithoutTls::Allowed, WithoutTls::Refused] {
        let _ = dialogue::serve(|| smtp::server("mx.test", without_tls), bytes);
    }
    let _ = dialogue::ask(&mut smtp::Client::new("proxy.test"), bytes);
    let _ = dialogue::welcome(smtp::welcome, bytes);
});

//! POP3 before TLS, from both sides, and the greeting of a backend.
//!
//! Owns the calls; what holds of them is in the harness. The first byte is the size of the pieces.

#![no_main]

#[path = "../../src/dialogue.rs"]
mod dialogue;

use libfuzzer_sys::fuzz_target;
use portunus::starttls::pop3;

fuzz_target!(|bytes: &[u8]| {
    let _ = dialogue::serve(|| pop3::server("mx.test"), bytes);
    let _ = dialogue::ask(&mut pop3::Client::default(), bytes);
    let _ = dialogue::welcome(pop3::welcome, bytes);
});

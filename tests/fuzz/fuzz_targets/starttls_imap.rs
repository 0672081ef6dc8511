//! IMAP before TLS, from both sides, and the greeting of a backend.
//!
//! Owns the calls; what holds of them is in the harness. The first byte is the size of the pieces.

#![no_main]

#[path = "../../src/dialogue.rs"]
mod dialogue;

use libfuzzer_sys::fuzz_target;
use portunus::starttls::imap;

fuzz_target!(|bytes: &[u8]| {
    let _ = dialogue::serve(|| imap::server("mx.test"), bytes);
    let _ = dialogue::ask(&mut imap::Client::default(), bytes);
    let _ = dialogue::welcome(imap::welcome, bytes);
});

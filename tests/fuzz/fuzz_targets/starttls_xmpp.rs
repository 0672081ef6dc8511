//! XMPP before TLS.
//!
//! Owns the calls; what holds of them is in the harness. The first byte is the size of the pieces.

#![no_main]

#[path = "../../src/dialogue.rs"]
mod dialogue;

use libfuzzer_sys::fuzz_target;
use portunus::starttls::xmpp;

fuzz_target!(|bytes: &[u8]| {
    let _ = dialogue::serve(|| xmpp::Server::new("chat.test", 1), bytes);
});

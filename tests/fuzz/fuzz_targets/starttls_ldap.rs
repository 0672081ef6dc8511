//! LDAP before TLS, from both sides.
//!
//! Owns the calls; what holds of them is in the harness. The first byte is the size of the pieces.

#![no_main]

#[path = "../../src/dialogue.rs"]
mod dialogue;

use libfuzzer_sys::fuzz_target;
use portunus::starttls::{WithoutTls, ldap};

fuzz_target!(|bytes: &[u8]| {
    for without_tls in [WithoutTls::Allowed, WithoutTls::Refused] {
        let _ = dialogue::serve(|| ldap::Server::new(without_tls), bytes);
    }
    let _ = dialogue::ask(&mut ldap::Client::default(), bytes);
});

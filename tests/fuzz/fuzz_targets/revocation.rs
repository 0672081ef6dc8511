//! Revocation lists, PEM or DER.
//!
//! Owns the one call. The product catches a panic of the parsers that it relies on; here it is a
//! finding, since the fuzzer ends the process before it can be caught.

#![no_main]

use libfuzzer_sys::fuzz_target;
use portunus_certs::client_auth;

fuzz_target!(|bytes: &[u8]| {
    let _ = client_auth::check_crl(bytes);
});

//! OCSP responses, which are DER.
//!
//! Owns the one call.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use portunus_certs::load;
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::default_provider;

static PROVIDER: LazyLock<CryptoProvider> = LazyLock::new(default_provider);

fuzz_target!(|bytes: &[u8]| {
    let _ = load::check_staple(bytes, &PROVIDER);
});

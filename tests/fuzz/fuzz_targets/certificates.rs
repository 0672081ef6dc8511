//! Files of the certificate folder, and bundles of authorities, which are PEM as well.
//!
//! Owns the two calls. That a file is bad is what the answer says; that there is an answer is what
//! is tested.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use portunus_certs::{client_auth, load};
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::default_provider;

static PROVIDER: LazyLock<CryptoProvider> = LazyLock::new(default_provider);

fuzz_target!(|bytes: &[u8]| {
    let _ = load::check(bytes, &PROVIDER);
    let _ = client_auth::check_bundle(bytes, &PROVIDER);
});

//! A context that sessions are bound to, for the targets that seal some.
//!
//! Owns one, made of a certificate among the seeds.

use std::path::Path;
use std::sync::{Arc, LazyLock};

use portunus_certs::resolver::Offer;
use portunus_certs::session::{ContextFields, ContextId};
use portunus_certs::store::{CertificateStore, StoreOptions};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::UnixTime;
use rustls::{CipherSuite, ProtocolVersion, SignatureScheme};

pub static CONTEXT: LazyLock<ContextId> = LazyLock::new(|| {
    let seed = concat!(env!("CARGO_MANIFEST_DIR"), "/seeds/certificates");
    let options = StoreOptions {
        paths: vec![Path::new(seed).join("good-ecdsa-chain-and-key.pem")],
        strict_permissions: false,
        provider: Arc::new(default_provider()),
    };
    let (store, _) = CertificateStore::open(options, UnixTime::now());
    let offer = Offer {
        signature_schemes: &[SignatureScheme::ECDSA_NISTP256_SHA256],
        cipher_suites: &[CipherSuite::TLS13_AES_128_GCM_SHA256],
    };
    let index = store.load();
    let credential = index.default_credential(&offer).expect("a credential");
    let fields = ContextFields {
        listener_class: "tls",
        listener: "fuzz",
        site: "",
        min_version: ProtocolVersion::TLSv1_2,
        alpn: &[],
        client_auth: None,
    };
    ContextId::new(&fields, credential)
});

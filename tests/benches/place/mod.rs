//! The one site that micro benchmarks keep sessions for.
//!
//! Owns its certificate and its context; refuses to know what is measured there.

use std::sync::Arc;

use portunus_certs::session::{ContextFields, ContextId};
use portunus_certs::store::{CertificateStore, StoreOptions};
use portunus_certs::{DevelopmentCa, HostName, Offer};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::UnixTime;
use rustls::{CipherSuite, ProtocolVersion, SignatureScheme};

/// The context of one site with one certificate.
pub(crate) fn context() -> ContextId {
    let folder = tempfile::tempdir().expect("a temporary folder");
    DevelopmentCa::new(UnixTime::now())
        .and_then(|ca| ca.issue(&["bench.test"], UnixTime::now()))
        .and_then(|issued| issued.write(folder.path(), "leaf"))
        .expect("a certificate");
    let options = StoreOptions {
        paths: vec![folder.path().to_owned()],
        strict_permissions: false,
        provider: Arc::new(default_provider()),
    };
    let (store, _) = CertificateStore::open(options, UnixTime::now());
    let offer = Offer {
        signature_schemes: &[SignatureScheme::ECDSA_NISTP256_SHA256],
        cipher_suites: &[CipherSuite::TLS13_AES_128_GCM_SHA256],
    };
    let name = HostName::parse("bench.test").expect("a well-formed name");
    let index = store.load();
    let credential = index.select(Some(&name), &offer).expect("the credential");
    let fields = ContextFields {
        listener_class: "tls",
        listener: "bench",
        site: "",
        min_version: ProtocolVersion::TLSv1_2,
        alpn: &[],
        client_auth: None,
    };
    ContextId::new(&fields, credential)
}

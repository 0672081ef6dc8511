//! What a ticket costs: sealing a session and opening it again.
//!
//! Owns the load: each connection has its own view of the keys, as in the proxy, and a session of
//! the length that it has with or without a client's certificate.

mod measure;

use std::hint::black_box;
use std::sync::Arc;

use portunus_certs::session::{ContextFields, ContextId};
use portunus_certs::store::{CertificateStore, StoreOptions};
use portunus_certs::tickets::{RingOptions, ScopedTicketer, TicketKeys};
use portunus_certs::{DevelopmentCa, HostName, Offer};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::UnixTime;
use rustls::server::ProducesTickets;
use rustls::time_provider::DefaultTimeProvider;
use rustls::{CipherSuite, ProtocolVersion, SignatureScheme};

use measure::{cpu, run};

fn main() {
    let context = context();
    let clock = Arc::new(DefaultTimeProvider);
    let keys = TicketKeys::local(RingOptions::default(), clock).expect("randomness");
    let keys = Arc::new(keys);
    let ticketer = || ScopedTicketer::new(Arc::clone(&keys), context, None);
    for (length, name) in [(91, "anonymous"), (930, "client_chain")] {
        let session = session(length);
        let ticket = ticketer().encrypt(&session).expect("a ticket");
        run(&format!("ticket/encrypt/{name}"), ROUNDS, || {
            cpu(|| {
                (0..ROUNDS).for_each(|_| {
                    black_box(ticketer().encrypt(black_box(&session)));
                });
            })
        });
        run(&format!("ticket/decrypt/{name}"), ROUNDS, || {
            cpu(|| {
                for _ in 0..ROUNDS {
                    let opened = ticketer().decrypt(black_box(&ticket));
                    assert!(opened.is_some(), "the ticket does not open");
                }
            })
        });
    }
    let unknown = vec![7; 200];
    run("ticket/decrypt/unknown_key", ROUNDS, || {
        cpu(|| {
            (0..ROUNDS).for_each(|_| {
                black_box(ticketer().decrypt(black_box(&unknown)));
            });
        })
    });
    run("ticket/enabled", ROUNDS, || {
        cpu(|| {
            (0..ROUNDS).for_each(|_| {
                black_box(ticketer().enabled());
            });
        })
    });
}

/// A session as rustls seals it, which begins with the version: no server name, TLS 1.3.
fn session(length: usize) -> Vec<u8> {
    let mut session = vec![7; length];
    session.splice(..3, [0, 3, 4]);
    session
}

/// The context of one site with one certificate.
fn context() -> ContextId {
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

const ROUNDS: usize = 10_000;

//! Which sessions resume where: real handshakes in memory, rustls on both sides.
//!
//! Every case runs as TLS 1.3 with single-use tickets and as TLS 1.2 with session ids.

#![expect(clippy::unwrap_used, reason = "a failed step is the failure of the test")]

mod harness;
mod tickets;

use std::sync::Arc;
use std::time::Duration;

use portunus_certs::session::TAKES_MAX;
use portunus_certs::{
    ContextFields, HostName, KeyChoice, Offer, ScopedStore, SessionOptions, SiteContext,
};
use proptest::prelude::*;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::UnixTime;
use rustls::server::StoresServerSessions;
use rustls::{ProtocolVersion, ServerConfig, version};

use harness::{NAMES, Site, VERSIONS, World, connect, provider, resumed, site, try_connect};

/// Establishes a session at `from` and offers it at `to`.
fn crosses(world: &World, from: &Site<'_>, to: &Site<'_>) -> [bool; 2] {
    VERSIONS.map(|version| {
        let client = world.client(version);
        assert!(!resumed(connect(&client, world.server(from), "a.example")));
        resumed(connect(&client, world.server(to), "a.example"))
    })
}

#[test]
fn a_session_resumes_where_it_was_made() {
    let world = World::new();
    assert_eq!(crosses(&world, &site(), &site()), [true, true]);
}

#[test]
fn a_client_can_return_again_and_again() {
    let world = World::new();
    for version in VERSIONS {
        let client = world.client(version);
        assert!(!resumed(connect(&client, world.server(&site()), "a.example")));
        for _ in 0..5 {
            assert!(resumed(connect(&client, world.server(&site()), "a.example")));
        }
    }
}

/// The same certificate, the same cache and one field that differs: never resumed, never an error.
#[test]
fn no_session_crosses_a_policy() {
    let world = World::new();
    let alpn = [b"h2".to_vec()];
    let base = site();
    let others = [
        ContextFields { listener_class: "smtp", ..base.fields },
        ContextFields { listener: "other", ..base.fields },
        ContextFields { site: "b.example", ..base.fields },
        ContextFields { min_version: ProtocolVersion::TLSv1_3, ..base.fields },
        ContextFields { alpn: &alpn, ..base.fields },
    ];
    for fields in others {
        let other = Site { fields, calls: Arc::default() };
        assert_eq!(crosses(&world, &base, &other), [false, false], "{fields:?}");
        assert_eq!(crosses(&world, &other, &base), [false, false], "{fields:?}");
    }
    assert!(world.cache.stats().policy >= 20, "{:?}", world.cache.stats());
}

#[test]
fn an_anonymous_session_does_not_open_a_site_with_client_authentication() {
    let world = World::new();
    let strict = ContextFields { client_auth: Some(b"require, authority 1"), ..site().fields };
    let strict = Site { fields: strict, calls: Arc::default() };
    for version in VERSIONS {
        let anonymous = world.client(version);
        assert!(!resumed(connect(&anonymous, world.server(&site()), "a.example")));
        let refused = try_connect(&anonymous, world.server(&strict), "a.example");
        assert_eq!(refused, Err(rustls::Error::NoCertificatesPresented), "{version:?}");

        // With a certificate it gets in, by a full handshake; under another set of authorities
        // that session is worth nothing.
        let own = world.authority.issue_client("somebody", UnixTime::now()).unwrap();
        let known = world.client_with(version, &own);
        assert!(!resumed(connect(&known, world.server(&strict), "a.example")));
        let changed = ContextFields { client_auth: Some(b"require, authority 2"), ..strict.fields };
        let changed = Site { fields: changed, calls: Arc::default() };
        assert!(!resumed(connect(&known, world.server(&changed), "a.example")));
    }
}

#[test]
fn a_session_outlives_a_renewed_certificate_but_not_other_names() {
    let world = World::new();
    for version in VERSIONS {
        let client = world.client(version);
        assert!(!resumed(connect(&client, world.server(&site()), "a.example")));
        let before = world.credential().fingerprint();
        let renewed = world.authority.issue(&NAMES, UnixTime::now()).unwrap();
        renewed.write(world.folder.path(), "site").unwrap();
        assert!(world.store.reload(UnixTime::now()).changed);
        assert_ne!(world.credential().fingerprint(), before);
        assert!(resumed(connect(&client, world.server(&site()), "a.example")));

        let names = ["a.example", "b.example", "c.example"];
        let other = world.authority.issue(&names, UnixTime::now()).unwrap();
        other.write(world.folder.path(), "site").unwrap();
        assert!(world.store.reload(UnixTime::now()).changed);
        assert!(!resumed(connect(&client, world.server(&site()), "a.example")));
        let back = world.authority.issue(&NAMES, UnixTime::now()).unwrap();
        back.write(world.folder.path(), "site").unwrap();
        assert!(world.store.reload(UnixTime::now()).changed);
    }
}

#[test]
fn an_expired_session_is_a_full_handshake() {
    let world = World::new();
    for version in VERSIONS {
        let client = world.client(version);
        assert!(!resumed(connect(&client, world.server(&site()), "a.example")));
        world.cache.reconfigure(SessionOptions { lifetime: Duration::ZERO, ..Default::default() });
        assert!(!resumed(connect(&client, world.server(&site()), "a.example")));
        world.cache.reconfigure(SessionOptions::default());
    }
}

#[test]
fn a_retried_hello_resumes_too() {
    let world = World::new();
    let client = world.client(&version::TLS13);
    assert!(!resumed(connect(&client, world.server(&site()), "a.example")));
    // The server lacks the group of the client's first share, and asks for another.
    let mut provider = aws_lc_rs::default_provider();
    provider.kx_groups = vec![aws_lc_rs::kx_group::SECP384R1];
    let site = site();
    let mut server = world.server(&site);
    let mut retrying = ServerConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::clone(&server.cert_resolver));
    std::mem::swap(&mut retrying.session_storage, &mut server.session_storage);
    assert!(resumed(connect(&client, retrying, "a.example")));
    let takes = site.calls.lock().unwrap().iter().filter(|call| **call == "take").count();
    assert!(takes <= usize::from(TAKES_MAX), "{takes}");
}

#[test]
fn a_connection_looks_up_no_more_than_its_share() {
    let world = World::new();
    let context = SiteContext::new(&site().fields).with_credential(&world.credential());
    let value = vec![0, 3, 4, 0x13, 0x01];
    let fresh = || ScopedStore::new(Arc::clone(&world.cache), context);
    for number in 0..10 {
        assert!(fresh().put(vec![number; 32], value.clone()));
    }
    let greedy = fresh();
    // Ids of another length are not even counted.
    assert_eq!(greedy.take(&[0; 31]), None);
    assert_eq!(greedy.take(&[0; 33]), None);
    let found = (0..10).filter(|number| greedy.take(&[*number; 32]).is_some()).count();
    assert_eq!(found, usize::from(TAKES_MAX));
    assert_eq!(world.cache.stats().truncated, 8);
    assert_eq!(world.cache.stats().sessions, 8);
    assert!(!fresh().put(vec![1; 16], value));
}

#[tokio::test(start_paused = true)]
async fn a_row_of_sessions_of_an_authenticated_client_ends_with_the_lifetime_of_the_first() {
    let world = World::new();
    let context = SiteContext::new(&site().fields).with_credential(&world.credential());
    let (value, minutes) =
        (vec![0, 3, 4, 0x13, 0x01], |count: u64| Duration::from_secs(60 * count));
    for inherits in [false, true] {
        let connection = || {
            let store = ScopedStore::new(Arc::clone(&world.cache), context);
            if inherits { store.with_inherited_age() } else { store }
        };
        assert!(connection().put(vec![0; 32], value.clone()));
        // The lifetime is an hour, and each session is used after 25 minutes.
        let resumed = async |number: u8| {
            tokio::time::advance(minutes(25)).await;
            let connection = connection();
            let found = connection.take(&[number; 32]).is_some();
            assert!(connection.put(vec![number + 1; 32], value.clone()));
            found
        };
        let row = [resumed(0).await, resumed(1).await, resumed(2).await];
        assert_eq!(row, [true, true, !inherits]);
    }
}

#[test]
fn a_padded_client_chain_is_not_kept() {
    let world = World::new();
    let store = ScopedStore::new(
        Arc::clone(&world.cache),
        SiteContext::new(&site().fields).with_credential(&world.credential()),
    );
    let mut value = vec![0, 3, 4];
    value.resize(64 << 10, 0);
    assert!(!store.put(vec![1; 32], value));
    assert_eq!(world.cache.stats().bytes, 0);
}

#[test]
fn rsa_goes_to_those_who_verify_nothing_else() {
    let world = World::new();
    let now = i64::try_from(UnixTime::now().as_secs()).unwrap();
    let rsa =
        world.authority.issue_with(&NAMES, KeyChoice::Rsa2048, now - 60, now + 86_400).unwrap();
    rsa.write(world.folder.path(), "rsa").unwrap();
    let report = world.store.reload(UnixTime::now());
    assert_eq!((report.loaded, report.warnings.len()), (2, 0), "{report:?}");
    let index = world.store.load();
    let name = HostName::parse("b.example").unwrap();
    let kinds: Vec<_> = index
        .explain(&name, UnixTime::now())
        .into_iter()
        .map(|answer| answer.credential.unwrap().key_kind().to_string())
        .collect();
    assert_eq!(kinds, ["ECDSA P-256", "RSA 2048", "ECDSA P-256"]);
    // The rule for offers agrees with what rustls itself would sign with.
    for credential in index.credentials() {
        for scheme in provider().signature_verification_algorithms.supported_schemes() {
            let suites = [rustls::CipherSuite::TLS13_AES_128_GCM_SHA256];
            let offer = Offer { signature_schemes: &[scheme], cipher_suites: &suites };
            let ours = offer.accepts(credential.key_kind());
            let theirs = credential.key().key.choose_scheme(&[scheme]).is_some();
            assert_eq!(ours, theirs, "{scheme:?}");
        }
    }
}

/// Everything that a site's context is made of, owned.
type Fields = (String, String, String, bool, Vec<Vec<u8>>, Option<Vec<u8>>);

fn context(fields: &Fields) -> SiteContext {
    let (listener_class, listener, site, modern, alpn, client_auth) = fields;
    SiteContext::new(&ContextFields {
        listener_class,
        listener,
        site,
        min_version: if *modern { ProtocolVersion::TLSv1_3 } else { ProtocolVersion::TLSv1_2 },
        alpn,
        client_auth: client_auth.as_deref(),
    })
}

fn fields() -> impl Strategy<Value = Fields> {
    let bytes = || prop::collection::vec(0..2_u8, 0..3);
    let alpn = prop::collection::vec(bytes(), 0..3);
    ("[ab]{0,2}", "[ab]{0,2}", "[ab]{0,2}", any::<bool>(), alpn, prop::option::of(bytes()))
}

proptest! {
    #[test]
    fn two_policies_share_a_context_only_if_they_are_the_same(one in fields(), other in fields()) {
        prop_assert_eq!(context(&one) == context(&other), one == other);
    }
}

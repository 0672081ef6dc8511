//! Tickets: they open where and when they were sealed for, and nowhere else.

use std::sync::OnceLock;

use proptest::prelude::*;
use rustls::ProtocolVersion;
use rustls::server::ProducesTickets;

use super::*;
use crate::session::trace::{LookupResult, Trace};
use crate::session::{ContextFields, ContextId, SiteContext};
use crate::{CertificateStore, DevelopmentCa, StoreOptions};

const TLS_1_3: &[u8] = &[0, 3, 4, 0x13, 1];
const TLS_1_2: &[u8] = &[0, 3, 3, 0xc0, 0x2b];

pub(super) fn context(site: &str) -> ContextId {
    static CREDENTIAL: OnceLock<Arc<crate::Credential>> = OnceLock::new();
    let credential = CREDENTIAL.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let authority = DevelopmentCa::new(UnixTime::now()).unwrap();
        let issued = authority.issue(&["a.example"], UnixTime::now()).unwrap();
        issued.write(folder.path(), "site").unwrap();
        let options = StoreOptions {
            paths: vec![folder.path().into()],
            strict_permissions: true,
            provider: Arc::new(rustls::crypto::aws_lc_rs::default_provider()),
        };
        let (store, _) = CertificateStore::open(options, UnixTime::now());
        let name = crate::HostName::parse("a.example").unwrap();
        let schemes = [rustls::SignatureScheme::ECDSA_NISTP256_SHA256];
        let suites = [rustls::CipherSuite::TLS13_AES_128_GCM_SHA256];
        let offer = crate::Offer { signature_schemes: &schemes, cipher_suites: &suites };
        Arc::clone(store.load().select(Some(&name), &offer).unwrap())
    });
    let fields = ContextFields {
        listener_class: "tls",
        listener: "https",
        site,
        min_version: ProtocolVersion::TLSv1_2,
        alpn: &[],
        client_auth: None,
    };
    SiteContext::new(&fields).with_credential(credential)
}

fn local() -> (Arc<TicketKeys>, Duration) {
    (Arc::new(super::local(START)), START)
}

fn ticketer(keys: &Arc<TicketKeys>) -> ScopedTicketer {
    ScopedTicketer::new(Arc::clone(keys), context("a"), None)
}

fn opened(result: Result<Zeroizing<Vec<u8>>, LookupResult>) -> Result<Vec<u8>, LookupResult> {
    result.map(|plain| plain.to_vec())
}

#[test]
fn a_ticket_opens_within_its_lifetime_and_not_after() {
    let (keys, start) = local();
    let ticket = ticketer(&keys).seal_at(TLS_1_3, at(start + HOUR / 2)).unwrap();
    let open = |time| opened(ticketer(&keys).open_at(&ticket, at(time)));
    let second = Duration::from_secs(1);
    assert_eq!(open(start + HOUR / 2), Ok(TLS_1_3.to_vec()));
    assert_eq!(open(start + 3 * HOUR / 2 - second), Ok(TLS_1_3.to_vec()));
    assert_eq!(open(start + 3 * HOUR / 2), Err(LookupResult::Expired));
    // Its key is gone.
    assert_eq!(open(start + 2 * HOUR), Err(LookupResult::Miss));
    // Of a process whose clock is ahead, by little or by too much.
    assert_eq!(open(start + HOUR / 2 - 60 * second), Ok(TLS_1_3.to_vec()));
    assert_eq!(open(start + HOUR / 2 - 61 * second), Err(LookupResult::Expired));
}

#[test]
fn a_ticket_of_another_context_or_of_other_keys_does_not_open() {
    let (keys, start) = local();
    let ticket = ticketer(&keys).seal_at(TLS_1_3, at(start)).unwrap();
    let other = ScopedTicketer::new(Arc::clone(&keys), context("b"), None);
    assert_eq!(other.open_at(&ticket, at(start)), Err(LookupResult::Policy));
    let (foreign, _) = local();
    assert_eq!(ticketer(&foreign).open_at(&ticket, at(start)), Err(LookupResult::Miss));
}

#[test]
fn what_is_found_is_counted_and_told_to_the_connection() {
    let (keys, _) = local();
    let trace = Arc::new(Trace::default());
    let ticketer =
        |site| ScopedTicketer::new(Arc::clone(&keys), context(site), Some(Arc::clone(&trace)));
    let ticket = ticketer("a").encrypt(TLS_1_3).unwrap();
    assert_eq!(trace.result(), None);
    assert_eq!(ticketer("a").decrypt(&[0; 32]), None);
    assert_eq!(trace.result(), Some(LookupResult::Miss));
    assert_eq!(ticketer("b").decrypt(&ticket), None);
    assert_eq!(trace.result(), Some(LookupResult::Policy));
    assert_eq!(ticketer("a").decrypt(&ticket), Some(TLS_1_3.to_vec()));
    assert_eq!(trace.result(), Some(LookupResult::Hit));
    let stats = keys.stats();
    assert_eq!((stats.hit, stats.miss, stats.policy, stats.expired), (1, 1, 1, 0));
    assert_eq!((stats.sealed, stats.refused, stats.keys), (1, 0, 1));
    assert_eq!(stats.sealing, Some(Source::Local));
}

#[test]
fn a_connection_opens_no_more_tickets_than_a_client_has() {
    let (keys, start) = local();
    let ticket = ticketer(&keys).seal_at(TLS_1_3, at(start)).unwrap();
    let greedy = ticketer(&keys);
    // Those that name no key of ours cost nothing, and do not count.
    for _ in 0..100 {
        assert_eq!(greedy.open_at(&[1; 200], at(start)), Err(LookupResult::Miss));
    }
    let found = (0..100).filter(|_| greedy.open_at(&ticket, at(start)).is_ok()).count();
    assert_eq!(found, usize::from(OPENS_MAX));
    assert_eq!(keys.stats().truncated, 98);
}

#[test]
fn what_is_too_large_becomes_no_ticket_and_what_another_process_made_opens_at_any_length() {
    let (keys, start) = local();
    let session = |length: usize| [TLS_1_3, &vec![7; length - TLS_1_3.len()]].concat();
    assert_eq!(ticketer(&keys).seal_at(&session(PLAIN_BYTES_MAX + 1), at(start)), None);
    let largest = session(PLAIN_BYTES_MAX);
    let ticket = ticketer(&keys).seal_at(&largest, at(start)).unwrap();
    assert!(ticket.len() <= TICKET_BYTES_MAX);
    // The one that opens has never sealed anything.
    assert_eq!(opened(ticketer(&keys).open_at(&ticket, at(start))), Ok(largest));
    assert_eq!(ticketer(&keys).encrypt(&session(PLAIN_BYTES_MAX + 1)), None);
    assert_eq!(keys.stats().refused, 1);
}

#[test]
fn without_a_key_there_is_no_ticket_and_no_error() {
    let keys = Arc::new(TicketKeys::agreed(RingOptions::default(), clock(START)));
    let ticketer = ticketer(&keys);
    assert!(!ticketer.enabled());
    assert_eq!(ticketer.encrypt(TLS_1_3), None);
    assert_eq!(ticketer.decrypt(&[0; 200]), None);
    keys.advance(keys.now()).unwrap();
    assert!(ticketer.enabled());
    assert_eq!(ticketer.lifetime(), 3600);
    assert!(ticketer.encrypt(TLS_1_3).is_some());
}

#[test]
fn a_secret_of_tls_1_2_does_not_live_on_from_ticket_to_ticket() {
    let (keys, start) = local();
    let later = at(start + HOUR * 3 / 4);
    for (session, renews) in [(TLS_1_2, false), (TLS_1_3, true)] {
        let first = ticketer(&keys).seal_at(session, at(start)).unwrap();
        let returning = ticketer(&keys);
        assert!(returning.open_at(&first, later).is_ok());
        let second = returning.seal_at(session, later).unwrap();
        let end = at(start + HOUR + HOUR / 4);
        let result = ticketer(&keys).open_at(&second, end);
        assert_eq!(result.is_ok(), renews, "{result:?}");
    }
}

proptest! {
    #[test]
    fn any_ticket_but_an_untouched_one_is_a_full_handshake(
        bytes in prop::collection::vec(any::<u8>(), 0..300),
        place in any::<prop::sample::Index>(),
        bit in 0..8_u32,
    ) {
        let (keys, start) = local();
        prop_assert!(ticketer(&keys).open_at(&bytes, at(start)).is_err());
        let ticket = ticketer(&keys).seal_at(TLS_1_3, at(start)).unwrap();
        let place = place.index(ticket.len());
        prop_assert!(ticketer(&keys).open_at(&ticket[..place], at(start)).is_err());
        let named = [&ticket[..16], &bytes].concat();
        prop_assert!(ticketer(&keys).open_at(&named, at(start)).is_err());
        let mut touched = ticket;
        touched[place] ^= 1 << bit;
        prop_assert!(ticketer(&keys).open_at(&touched, at(start)).is_err());
    }
}

//! What clients offer to resume, as the parser reads it and as rustls asks for it.
//!
//! The oracle is rustls: the ids that it asks its store for are those that the parser should have
//! told before.

use std::sync::{LazyLock, Mutex};

use portunus_certs::session::id::Offered;
use proptest::prelude::*;
use rustls::client::Tls12Resumption;
use rustls::server::{Acceptor, ServerSessionMemoryCache, StoresServerSessions};
use rustls::{ServerConfig, ServerConnection};

use super::hellos::vector16;
use super::*;
use crate::handshake::hello::Incomplete;
use crate::handshake::hello::offer::{OfferKind, ResumptionOffer};

const NOTHING: ResumptionOffer = ResumptionOffer {
    offered: Offered::Nothing,
    kind: OfferKind::None,
    identities: 0,
    tls13: false,
    is_extended: false,
};

/// A store that remembers what it was asked for.
#[derive(Debug)]
struct Asked {
    store: Arc<ServerSessionMemoryCache>,
    ids: Mutex<Vec<Vec<u8>>>,
}

impl StoresServerSessions for Asked {
    fn put(&self, key: Vec<u8>, value: Vec<u8>) -> bool {
        self.store.put(key, value)
    }

    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.ids.lock().unwrap().push(key.to_vec());
        self.store.get(key)
    }

    fn take(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.ids.lock().unwrap().push(key.to_vec());
        self.store.take(key)
    }

    fn can_cache(&self) -> bool {
        true
    }
}

/// A server that keeps sessions in `store`, or gives tickets.
struct Server {
    config: ServerConfig,
    asked: Arc<Asked>,
}

impl Server {
    fn new(bench: &Bench) -> Self {
        let issued = bench.authority.issue(&["a.example"], UnixTime::now()).unwrap();
        let chain = CertificateDer::from_pem_slice(issued.chain_pem.as_bytes()).unwrap();
        let key = PrivateKeyDer::from_pem_slice(issued.key_pem.as_bytes()).unwrap();
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![chain], key)
            .unwrap();
        let asked =
            Arc::new(Asked { store: ServerSessionMemoryCache::new(32), ids: Mutex::default() });
        config.session_storage = Arc::clone(&asked) as Arc<_>;
        Self { config, asked }
    }

    /// What rustls asks the store for if it gets `records`; none if it makes no connection of them.
    fn asks(&self, records: &[u8]) -> Option<Vec<Vec<u8>>> {
        self.asked.ids.lock().unwrap().clear();
        let mut acceptor = Acceptor::default();
        let mut unread = records;
        while !unread.is_empty() {
            acceptor.read_tls(&mut unread).ok()?;
        }
        let accepted = acceptor.accept().ok()??;
        let connection = accepted.into_connection(Arc::new(self.config.clone()));
        let asked = std::mem::take(&mut *self.asked.ids.lock().unwrap());
        connection.ok().map(|_| asked)
    }

    /// A handshake, so that the client has something to resume, and its next ClientHello.
    fn next_hello(&self, config: &Arc<ClientConfig>) -> Vec<u8> {
        let name = ServerName::try_from("a.example").unwrap();
        let client = || ClientConnection::new(Arc::clone(config), name.clone()).unwrap();
        let mut one = client();
        let mut other = ServerConnection::new(Arc::new(self.config.clone())).unwrap();
        for _ in 0..4 {
            let mut words = Vec::new();
            while one.wants_write() {
                one.write_tls(&mut words).unwrap();
            }
            let mut unread = &words[..];
            while !unread.is_empty() {
                other.read_tls(&mut unread).unwrap();
                other.process_new_packets().unwrap();
            }
            let mut words = Vec::new();
            while other.wants_write() {
                other.write_tls(&mut words).unwrap();
            }
            let mut unread = &words[..];
            while !unread.is_empty() {
                one.read_tls(&mut unread).unwrap();
                one.process_new_packets().unwrap();
            }
        }
        assert!(!one.is_handshaking() && !other.is_handshaking());
        let mut hello = Vec::new();
        client().write_tls(&mut hello).unwrap();
        hello
    }
}

/// ClientHellos of clients that have been here before, and in which way they would resume.
fn returning() -> (Server, Vec<(OfferKind, Vec<u8>)>) {
    let bench = Bench::new();
    let server = Server::new(&bench);
    let mut tickets = Server::new(&bench);
    tickets.config.ticketer = aws_lc_rs::Ticketer::new().unwrap();
    let client = |version, tls12: Tls12Resumption| {
        let mut config = bench.client(version, None);
        config.resumption = Resumption::in_memory_sessions(8).tls12_resumption(tls12);
        Arc::new(config)
    };
    let both = || Tls12Resumption::SessionIdOrTickets;
    let hellos = vec![
        (OfferKind::Psk, server.next_hello(&client(&version::TLS13, both()))),
        (OfferKind::Psk, tickets.next_hello(&client(&version::TLS13, both()))),
        (OfferKind::SessionId, server.next_hello(&client(&version::TLS12, both()))),
        (OfferKind::Ticket, tickets.next_hello(&client(&version::TLS12, both()))),
    ];
    (server, hellos)
}

#[test]
fn a_client_that_was_never_here_offers_nothing_whatever_its_session_id() {
    let mut hello = Vec::new();
    let client = Arc::new(Bench::new().client(&version::TLS13, None));
    let name = ServerName::try_from("a.example").unwrap();
    ClientConnection::new(client, name).unwrap().write_tls(&mut hello).unwrap();
    // RFC 8446 appendix D.4: behind record, message, version and random.
    assert_eq!(hello[43], 32);
    assert_eq!(ResumptionOffer::parse(&hello), ResumptionOffer { tls13: true, ..NOTHING });
}

fn ids(offer: &ResumptionOffer) -> Vec<Vec<u8>> {
    offer.offered.ids().map(|(_, id)| id.as_bytes().to_vec()).collect()
}

#[test]
fn what_a_returning_client_offers_is_what_rustls_asks_for() {
    let (server, hellos) = returning();
    let mut looked_up = 0;
    for (kind, hello) in hellos {
        let offer = ResumptionOffer::parse(&hello);
        assert_eq!((offer.kind, offer.tls13), (kind, kind == OfferKind::Psk));
        let mut asked = server.asks(&hello).unwrap();
        // A ticket that no store of ours made.
        asked.retain(|id| id.len() == 32);
        assert_eq!(ids(&offer), asked, "{kind:?}");
        looked_up += asked.len();
    }
    assert_eq!(looked_up, 2, "one of TLS 1.3 and one of TLS 1.2");
}

#[test]
fn what_openssl_offers_is_what_rustls_asks_for() {
    let server = Server::new(&Bench::new());
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fuzz/seeds/client_hello");
    let mut looked_up = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        if !name.contains("-openssl-") {
            continue;
        }
        let hello = std::fs::read(path).unwrap();
        let offer = ResumptionOffer::parse(&hello);
        let kind = match name.as_str() {
            "good-openssl-tls12-stateful" => OfferKind::SessionId,
            "good-openssl-tls12-ticket" => OfferKind::Ticket,
            good if good.starts_with("good") => OfferKind::Psk,
            _ => OfferKind::None,
        };
        assert_eq!((offer.kind, offer.tls13), (kind, !name.contains("tls12")), "{name}");
        let mut asked = server.asks(&hello).unwrap();
        asked.retain(|id| id.len() == 32);
        assert_eq!(ids(&offer), asked, "{name}");
        looked_up += asked.len();
    }
    assert_eq!(looked_up, 3, "two of TLS 1.3 and one of TLS 1.2");
}

/// Cuts a hello that came in one record into records of the given sizes; the last is the rest.
fn in_records(hello: &[u8], sizes: &[usize]) -> Vec<u8> {
    let mut rest = &hello[5..];
    let mut records = Vec::new();
    for size in sizes.iter().copied().chain([usize::MAX]) {
        let (fragment, behind) = rest.split_at(size.min(rest.len()));
        if !fragment.is_empty() {
            records.extend([&[22, 3, 1][..], &vector16(fragment)].concat());
        }
        rest = behind;
    }
    records
}

/// What the pieces of a hello come to, as they come from the socket.
fn feed(pieces: &[&[u8]]) -> Option<ResumptionOffer> {
    let mut hello = Incomplete::default();
    let mut answers = pieces.iter().filter(|piece| !piece.is_empty());
    answers.find_map(|piece| hello.feed(piece).unwrap().map(|hello| *hello.offer()))
}

#[test]
fn a_hello_is_read_alike_wherever_it_is_cut_into_reads_and_records() {
    for (_, hello) in returning().1 {
        let offer = ResumptionOffer::parse(&hello);
        assert_eq!(feed(&[&hello]), Some(offer));
        for cut in 1..hello.len() {
            let (before, behind) = hello.split_at(cut);
            assert_eq!(feed(&[before, behind]), Some(offer), "{cut}");
            let records = in_records(&hello, &[cut]);
            assert_eq!(ResumptionOffer::parse(&records), offer, "{cut}");
            assert_eq!(feed(&[&records]), Some(offer), "{cut}");
            // Half a ClientHello is none.
            assert_eq!(ResumptionOffer::parse(before), NOTHING, "{cut}");
        }
    }
}

#[test]
fn what_a_client_sends_behind_its_hello_changes_nothing() {
    for (_, hello) in returning().1 {
        let offer = ResumptionOffer::parse(&hello);
        for behind in [&[20, 3, 3, 0, 1, 1][..], &[23], b"anything", &hello] {
            assert_eq!(ResumptionOffer::parse(&[&hello, behind].concat()), offer);
        }
        // Within the record it would be a second message, before its time.
        let more = [&hello[5..], &[1]].concat();
        let record = [&[22, 3, 1][..], &vector16(&more)].concat();
        assert_eq!(ResumptionOffer::parse(&record), NOTHING);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn many_cuts_are_like_none(
        cuts in proptest::collection::vec(1..200_usize, 0..8),
        reads in proptest::collection::vec(1..200_usize, 0..8),
    ) {
        for (kind, hello) in &*HELLOS {
            let offer = ResumptionOffer::parse(hello);
            prop_assert_eq!(offer.kind, *kind);
            let records = in_records(hello, &cuts);
            prop_assert_eq!(ResumptionOffer::parse(&records), offer);
            let mut pieces = Vec::new();
            let mut rest = &records[..];
            for read in &reads {
                let (piece, behind) = rest.split_at((*read).min(rest.len()));
                pieces.push(piece);
                rest = behind;
            }
            pieces.push(rest);
            prop_assert_eq!(feed(&pieces), Some(offer));
        }
    }
}

static HELLOS: LazyLock<Vec<(OfferKind, Vec<u8>)>> = LazyLock::new(|| returning().1);

#[test]
fn where_a_damaged_hello_has_an_offer_rustls_asks_for_nothing_else() {
    let (server, hellos) = returning();
    let mut compared = 0;
    for (_, hello) in hellos {
        for place in 0..hello.len() {
            let mut damaged = hello.clone();
            damaged[place] ^= 1 << (place % 8);
            let offered = ids(&ResumptionOffer::parse(&damaged));
            let Some(mut asked) = server.asks(&damaged) else { continue };
            asked.retain(|id| id.len() == 32);
            if !offered.is_empty() && !asked.is_empty() {
                assert_eq!(offered, asked, "{place}");
                compared += 1;
            }
        }
    }
    assert!(compared > 100, "{compared}");
}

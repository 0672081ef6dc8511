//! What a handshake is believed to cost: little only if the session is there.

use std::num::NonZeroU32;

use rustls::NamedGroup;
use rustls::client::{
    ClientSessionMemoryCache, ClientSessionStore, Tls12ClientSessionValue, Tls13ClientSessionValue,
};

use super::*;
use crate::handshake::hello::{Hello, Incomplete};
use crate::handshake::policy::{Choice, Terms};
use crate::handshake::resume::Clients::Anonymous;
use crate::limit::{Cost, SourceRates};
use crate::metrics::{HandshakeKind, Limit};
use crate::outcome::HandshakeFailure;

/// What the policy says of a ClientHello.
fn terms(bench: &Bench, hello: &Hello) -> Terms {
    match bench.policy.choose(hello).unwrap() {
        Choice::Terminate(terms) => *terms,
        Choice::PassThrough(_) => unreachable!("no site passes anything through"),
    }
}

/// What the handshake with this ClientHello is believed to cost.
async fn cost(bench: &Bench, hello: &[u8]) -> Cost {
    let hello = Incomplete::default().feed(hello).unwrap().expect("all of it");
    let Terms { mut config, context, certificate, .. } = terms(bench, &hello);
    let context = context.expect("sessions are kept");
    let resumption = bench.policy.resumption();
    let prepared = resumption.prepare(&mut config, context, Anonymous, certificate.key, &hello);
    prepared.await.cost
}

/// What the client says at the beginning of its next connection.
fn hello(config: &Arc<ClientConfig>) -> Vec<u8> {
    let name = ServerName::try_from("b.example").unwrap();
    let mut hello = Vec::new();
    ClientConnection::new(Arc::clone(config), name).unwrap().write_tls(&mut hello).unwrap();
    hello
}

/// Where the suites are in a ClientHello of one record.
fn suites(hello: &[u8]) -> std::ops::Range<usize> {
    let session_id = 5 + 4 + 2 + 32;
    let length = session_id + 1 + usize::from(hello[session_id]);
    let begin = length + 2;
    begin..begin + usize::from(u16::from_be_bytes([hello[length], hello[length + 1]]))
}

#[tokio::test]
async fn only_a_session_that_is_there_makes_a_handshake_cheap() {
    for (mode, version) in [
        ("stateful", &version::TLS12),
        ("stateful", &version::TLS13),
        ("tickets", &version::TLS12),
        ("tickets", &version::TLS13),
    ] {
        let bench = Bench::of(&format!("resumption.mode = '{mode}'\n{SITES}"));
        let mut client = bench.client(version, None);
        client.resumption = Resumption::in_memory_sessions(8);
        let client = Arc::new(client);
        assert_eq!(cost(&bench, &hello(&client)).await, Cost::Full, "nothing is offered");
        let (served, _) = bench.connect("b.example", ClientConfig::clone(&client)).await;
        assert_eq!(served.unwrap().not_resumed, None);
        let returning = hello(&client);
        assert_eq!(cost(&bench, &returning).await, Cost::Resumed, "{mode} {version:?}");
        // One bit of what it offers: wherever it lies, what is left is an invention.
        let offered = Incomplete::default().feed(&returning).unwrap().expect("all of it");
        let what = match offered.offer().offered.ids().next() {
            Some((_, id)) => id.as_bytes().to_vec(),
            None => offered.tickets().first().expect("a ticket").to_vec(),
        };
        let start = returning.windows(what.len()).position(|bytes| bytes == what).unwrap();
        for place in [start, start + what.len() / 2, start + what.len() - 1] {
            let mut invented = returning.clone();
            invented[place] ^= 1;
            assert_eq!(cost(&bench, &invented).await, Cost::Full, "{mode} {version:?} {place}");
        }
        // Without the suite of the session there can be only another one.
        let mut other = returning.clone();
        let suites = suites(&other);
        let ours: &[u8] = if version == &version::TLS13 { &[0x13, 0x01] } else { &[0xc0, 0x2b] };
        let at = suites.clone().step_by(2).find(|&at| other[at..].starts_with(ours)).unwrap();
        other[at..at + 2].copy_from_slice(&[0x0a, 0x0a]);
        assert_eq!(cost(&bench, &other).await, Cost::Full, "{mode} {version:?}");
        assert_eq!(cost(&bench, &returning).await, Cost::Resumed, "it was only asked about");
    }
}

/// So many handshakes a second of each source.
fn rates(bench: &Bench, per_second: u32) -> Arc<SourceRates> {
    let hits = bench.metrics.process().limit_hits;
    let hits = hits.of(Limit::HandshakeRatePerSource).clone();
    SourceRates::new(NonZeroU32::new(per_second), hits)
}

#[tokio::test(start_paused = true)]
async fn who_invents_sessions_has_no_more_handshakes_than_who_offers_none() {
    let bench = Bench::new();
    let rates = rates(&bench, 2);
    let mut client = bench.client(&version::TLS13, None);
    client.resumption = Resumption::in_memory_sessions(8);
    let client = Arc::new(client);
    let (served, _) = bench.connect("b.example", ClientConfig::clone(&client)).await;
    served.unwrap();
    let mut invented = hello(&client);
    let offered = Incomplete::default().feed(&invented).unwrap().expect("all of it");
    let (_, id) = offered.offer().offered.ids().next().expect("a session");
    let id = id.as_bytes();
    let place = invented.windows(id.len()).position(|bytes| bytes == id).unwrap();
    invented[place] ^= 1;
    let mut failures = Vec::new();
    for _ in 0..4 {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        theirs.write_all(&invented).await.unwrap();
        theirs.shutdown().await.unwrap();
        let bill = rates.open(Some([192, 0, 2, 1].into())).expect("it is heard");
        failures.push(bench.meet(ours, bill).await.unwrap_err().failure());
    }
    // Those who have their handshake, and go away in it, and those who get none.
    let expected = [
        HandshakeFailure::ClientClosed,
        HandshakeFailure::ClientClosed,
        HandshakeFailure::SourceRate,
        HandshakeFailure::SourceRate,
    ];
    assert_eq!(failures, expected);
}

/// The sessions of a client that never remembers which group a server wants.
#[derive(Debug)]
struct Forgetful(ClientSessionMemoryCache);

impl ClientSessionStore for Forgetful {
    fn set_kx_hint(&self, _: ServerName<'static>, _: NamedGroup) {}

    fn kx_hint(&self, _: &ServerName<'_>) -> Option<NamedGroup> {
        None
    }

    fn set_tls12_session(&self, _: ServerName<'static>, _: Tls12ClientSessionValue) {}

    fn tls12_session(&self, _: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        None
    }

    fn remove_tls12_session(&self, _: &ServerName<'static>) {}

    fn insert_tls13_ticket(&self, name: ServerName<'static>, value: Tls13ClientSessionValue) {
        self.0.insert_tls13_ticket(name, value);
    }

    fn take_tls13_ticket(&self, name: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        self.0.take_tls13_ticket(name)
    }
}

#[tokio::test(start_paused = true)]
async fn who_is_asked_for_another_hello_pays_before_that_is_heard_whatever_it_offers() {
    let bench = Bench::new();
    let rates = rates(&bench, 1);
    let source = Some([192, 0, 2, 1].into());
    let mut groups = CryptoProvider::clone(&provider());
    let wanted = aws_lc_rs::kx_group::X25519;
    groups.kx_groups = vec![aws_lc_rs::kx_group::MLKEM768, wanted];
    for (kx_groups, is_asked) in [(groups.kx_groups.clone(), true), (vec![wanted], false)] {
        let provider = Arc::new(CryptoProvider { kx_groups, ..groups.clone() });
        let mut client = bench.client_of(provider, &version::TLS13, None);
        let sessions = Arc::new(Forgetful(ClientSessionMemoryCache::new(8)));
        client.resumption = Resumption::store(sessions);
        let (served, _) = bench.connect("b.example", client.clone()).await;
        served.unwrap();
        // Whoever owes nothing pays at most once.
        let mut failures = Vec::new();
        for _ in 0..2 {
            let (ours, theirs) = UnixStream::pair().unwrap();
            let name = ServerName::try_from("b.example").unwrap();
            let tls = ClientConnection::new(Arc::new(client.clone()), name).unwrap();
            let bill = rates.open(source).expect("it is heard");
            let met = async {
                let arrival = bench.meet(ours, bill).await;
                let Arrival::Established(Established { mut stream, facts }) = arrival? else {
                    unreachable!("no site passes anything through");
                };
                poll_fn(|cx| stream.poll_flush(cx)).await.unwrap();
                Ok::<_, HandshakeError>(facts.kind)
            };
            let (met, _) = tokio::join!(Box::pin(met), Box::pin(talk(theirs, tls)));
            failures.push(met.map_err(|error| error.failure()));
        }
        let second =
            if is_asked { Err(HandshakeFailure::SourceRate) } else { Ok(HandshakeKind::Stateful) };
        assert_eq!(failures, [Ok(HandshakeKind::Stateful), second]);
        // Until nothing is owed.
        tokio::time::advance(std::time::Duration::from_secs(5)).await;
    }
}

//! What a handshake is believed to cost: little only if the session is there.

use std::num::NonZeroU32;

use super::*;
use crate::handshake::hello::{Hello, Incomplete};
use crate::handshake::policy::{Choice, Terms};
use crate::handshake::resume::Clients::Anonymous;
use crate::limit::{Cost, SourceRates};
use crate::metrics::Limit;
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
    let Terms { mut config, context, .. } = terms(bench, &hello);
    let context = context.expect("sessions are kept");
    let prepared = bench.policy.resumption().prepare(&mut config, context, Anonymous, &hello);
    prepared.await.cost
}

/// What the client says at the beginning of its next connection.
fn hello(config: &Arc<ClientConfig>) -> Vec<u8> {
    let name = ServerName::try_from("b.example").unwrap();
    let mut hello = Vec::new();
    ClientConnection::new(Arc::clone(config), name).unwrap().write_tls(&mut hello).unwrap();
    hello
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
        assert_eq!(cost(&bench, &returning).await, Cost::Resumed, "it was only asked about");
    }
}

#[tokio::test]
async fn who_invents_sessions_has_no_more_handshakes_than_who_offers_none() {
    let bench = Bench::new();
    let hits = bench.metrics.process().limit_hits;
    let hits = hits.of(Limit::HandshakeRatePerSource).clone();
    let rates = SourceRates::new(NonZeroU32::new(2), hits);
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

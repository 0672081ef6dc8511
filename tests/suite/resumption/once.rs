//! Who wins when everybody asks at once: one ticket of TLS 1.3 is good for one connection in the
//! whole world, and a hello with hundreds of them is not hundreds of questions.

use portunus_tests::foreign::s_client;
use portunus_tests::wait::within;
use portunus_tests::{Client, Wallet};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::fleet::{Fleet, Kind, LOOKUPS, NAME, Store, Visitor, says_hello};
use super::many::with_identities;
use super::wire::resumes_tls13;

const ROUNDS: usize = 40;

#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_that_is_offered_to_all_processes_at_once_is_taken_by_one() {
    for kind in [Kind::Redis, Kind::Local] {
        let Some(store) = Store::start(kind).await else { continue };
        let fleet = Fleet::start(store, 3, |builder| builder).await;
        let rounds = async || {
            let mut taken = 0;
            for round in 0..ROUNDS {
                let winners = winners(&fleet, round % 3).await;
                assert!(winners <= 1, "{kind:?}: {winners} processes took one ticket");
                taken += winners;
            }
            // A look-up may come too late on a busy machine; then nobody has it.
            let is_most = taken * 10 >= ROUNDS * 9;
            let told = || format!("{kind:?}: {taken} of {ROUNDS} tickets were taken");
            is_most.then_some(()).ok_or_else(told)
        };
        fleet.undisturbed(rounds).await;
    }
}

/// How many processes take one ticket of this one's, which all of them are offered at once.
async fn winners(fleet: &Fleet, maker: usize) -> usize {
    let client = Client::new(fleet.proxies[maker].first_address(), NAME);
    // Made and forgotten: what counts is who offers it.
    let client = fleet
        .hand_over(async || {
            let client = client.clone().resumption(Wallet::new().sessions());
            client.connect().await.ticket().await;
            (1, client)
        })
        .await;
    // A hello is good at whichever process hears it.
    let hello = client.hello();
    let mut connections = Vec::new();
    for proxy in &fleet.proxies {
        connections.push(client.clone().at(proxy.first_address()).tcp().await);
    }
    let [a, b, c] = &mut connections[..] else { unreachable!() };
    let (a, b, c) = tokio::join!(tries(a, &hello), tries(b, &hello), tries(c, &hello));
    [a, b, c].into_iter().filter(|&resumes| resumes).count()
}

/// Says hello, and tells whether the server takes the ticket that is in it.
async fn tries(tcp: &mut TcpStream, hello: &[u8]) -> bool {
    tcp.write_all(hello).await.unwrap();
    let answer = async {
        let mut answer = Vec::new();
        loop {
            let count = tcp.read_buf(&mut answer).await.unwrap();
            assert!(count > 0, "ended without a ServerHello: {answer:?}");
            if let Some(resumes) = resumes_tls13(&answer) {
                return resumes;
            }
        }
    };
    within("a ServerHello", answer).await
}

#[tokio::test(flavor = "multi_thread")]
async fn three_programs_with_one_ticket_get_one_resumption() {
    let Some(store) = Store::start(Kind::Redis).await else { return };
    let fleet = Fleet::start(store, 3, |builder| builder).await;
    let rounds = async || {
        let mut taken = 0;
        for round in 0..8 {
            let file = fleet.store.file(&format!("session-{round}"));
            let first = Visitor::foreign(true, true, file.clone());
            fleet.hand_over(async || (1, first.visit(&fleet.proxies[round % 3]).await)).await;
            let offers = fleet.proxies.iter().map(|proxy| {
                let client = s_client(proxy, NAME).unwrap();
                let client = client.arg("-tls1_3").arg("-sess_in").arg(&file);
                tokio::spawn(says_hello(client))
            });
            let offers: Vec<_> = offers.collect();
            let mut winners = 0;
            for offer in offers {
                winners += usize::from(offer.await.unwrap());
            }
            assert!(winners <= 1, "{winners} processes took one ticket");
            taken += winners;
        }
        (taken >= 6).then_some(()).ok_or_else(|| format!("{taken} of 8 tickets were taken"))
    };
    fleet.undisturbed(rounds).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hundreds_of_offered_sessions_are_two_questions_to_the_store_at_most() {
    let Some(store) = Store::start(Kind::Redis).await else { return };
    let fleet =
        Fleet::start(store, 1, |builder| builder.set("limits.client_hello_size", "\"64 KiB\""))
            .await;
    let client = fleet.proxies[0].client(NAME);
    let tiers = ["memory", "shared"];
    let count = async |tier| fleet.metric(LOOKUPS, &[("tier", tier)]).await;
    let before = [count(tiers[0]).await, count(tiers[1]).await];
    let asked = fleet.store.asked("getdel").await;
    let hello = with_identities(&client.hello(), 300);
    let mut tcp = client.tcp().await;
    tcp.write_all(&hello).await.unwrap();
    tcp.shutdown().await.unwrap();
    crate::handshake::last_words(&mut tcp).await;
    for (tier, before) in tiers.into_iter().zip(before) {
        let lookups = count(tier).await - before;
        assert!((1.0..=2.0).contains(&lookups), "{lookups} look-ups in {tier}");
    }
    let asked = fleet.store.asked("getdel").await - asked;
    assert_eq!(asked, 2, "by Redis' own count");
}

//! Processes that are killed in the middle of whatever they do: the folder that they shared is as
//! good as before, for those who stay and for those who come.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use portunus_tests::wait::{eventually, within};
use portunus_tests::{Client, Wallet};
use tokio::sync::watch;

use super::fleet::{Die, Fleet, Kind, NAME, Store, UP, Visitor};

const KILLS: usize = 8;

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_process_leaves_the_folder_usable() {
    let Some(store) = Store::start(Kind::Local).await else { return };
    let mut fleet = Fleet::start(store, 3, |builder| builder).await;
    let addresses = fleet.proxies.iter().map(|proxy| proxy.first_address()).collect();
    let addresses = Arc::new(Mutex::new(addresses));
    let (visits, counted) = watch::channel(0_usize);
    let (visits, done) = (Arc::new(visits), Arc::new(AtomicBool::new(false)));
    let load = (0..3).map(|seed| {
        let (addresses, visits) = (Arc::clone(&addresses), Arc::clone(&visits));
        tokio::spawn(keeps_coming(seed, addresses, visits, Arc::clone(&done)))
    });
    let load: Vec<_> = load.collect();
    let mut die = Die(99);
    for _ in 0..KILLS {
        // At any moment, as far as it can be told beforehand.
        let enough = *counted.borrow() + 5 + die.roll(20);
        let mut counted = counted.clone();
        within("more visits", counted.wait_for(|visits| *visits >= enough)).await.unwrap();
        let killed = fleet.proxies.swap_remove(die.roll(3));
        killed.kill().await;
        go_around(&fleet).await;
        fleet.proxies.push(killed.restart().await);
        *addresses.lock().unwrap() =
            fleet.proxies.iter().map(|proxy| proxy.first_address()).collect();
        go_around(&fleet).await;
    }
    done.store(true, Ordering::Relaxed);
    for task in load {
        task.await.unwrap();
    }
}

/// Sessions of each process are resumed in every other, with nobody having stumbled over it.
async fn go_around(fleet: &Fleet) {
    for proxy in &fleet.proxies {
        proxy.wait_for_metric(UP, &[], |up| up == 1.0).await;
    }
    for from in &fleet.proxies {
        for to in &fleet.proxies {
            eventually("sessions that go around", async || {
                let visitor = Visitor::tls13();
                fleet.settles(async || (1, visitor.visit(from).await)).await;
                visitor.visit(to).await.then_some(())
            })
            .await;
        }
    }
}

/// Makes and uses sessions until it is done; what is being killed is not there.
async fn keeps_coming(
    seed: u64,
    addresses: Arc<Mutex<Vec<std::net::SocketAddr>>>,
    visits: Arc<watch::Sender<usize>>,
    done: Arc<AtomicBool>,
) {
    let mut die = Die(seed);
    while !done.load(Ordering::Relaxed) {
        let wallet = Wallet::new();
        for _ in 0..3 {
            let address = addresses.lock().unwrap()[die.roll(3)];
            let client = Client::new(address, NAME);
            let client = if seed.is_multiple_of(2) { client } else { client.tls12() };
            if let Ok(mut client) = client.resumption(wallet.sessions()).try_connect().await {
                // A killed process says no more.
                let _ = client.try_send(b"hello").await;
                let _ = client.receive().await;
            }
            visits.send_modify(|visits| *visits += 1);
        }
    }
}

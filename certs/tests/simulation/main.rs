//! A world of nodes, clients and one store, in which everything goes wrong that can.
//!
//! Each seed is a world of its own, on a clock that runs only when nobody has anything to do.
//! Clients move from node to node, offer sessions twice and at the wrong site; nodes reload,
//! restart, rotate their sealing keys and have clocks that differ; the store is slow, full, away,
//! cut off, tampered with, and loses answers to what it did. An oracle that knows every session
//! says after every step: nothing was resumed under another policy, nothing twice that may be used
//! once, nothing that is too old, nothing else than what was made; and no handshake waited longer
//! than its budget. When everything is well again, everybody resumes everywhere.
//!
//! A world again: `SIMULATION_SEED=17 cargo test -p portunus-certs --test simulation`. More of
//! them: `SIMULATION_SEEDS=100000`.

#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a failed step is the failure of the test"
)]

mod chance;
mod oracle;
mod store;
mod world;

use std::ops::Range;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use portunus_certs::session::trace::LookupResult;
use portunus_certs::{
    CertificateStore, ContextFields, ContextId, DevelopmentCa, HostName, Offer, SiteContext,
    StoreOptions,
};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::UnixTime;
use rustls::{CipherSuite, ProtocolVersion, SignatureScheme};
use tokio::time::sleep;

use oracle::Tally;
use store::{Habits, Way};
use world::{GENERATIONS, MOODS, NODES, SITES, World};

/// One world from its beginning to its end.
fn live(seed: u64, habits: Habits) -> Result<Tally, String> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.unwrap().block_on(async {
        let mut world = World::new(seed, habits);
        for _ in 0..STEPS {
            step(&mut world).await;
            if world.is_broken() {
                return world.end();
            }
        }
        world.heal().await;
        world.use_up().await;
        world.is_alive().await;
        world.end()
    })
}

async fn step(world: &mut World) {
    let node = world.chance.below(NODES);
    match world.chance.below(100) {
        0..70 => world.visit(),
        70..76 => {
            // Several at the same moment.
            (0..5).for_each(|_| world.visit());
        }
        76..82 => {
            let mood = world.chance.one_of(&MOODS);
            world.store.inner().mood = mood;
        }
        82..86 => {
            let ways = [Way::Open, Way::Open, Way::Refused, Way::Swallowed];
            let way = world.chance.one_of(&ways);
            world.nodes[node].link.set(way);
        }
        86..89 => world.nodes[node].generation += 1,
        89..92 => world.replace_keys(node, world.nodes[node].keys + 1),
        92..94 => world.restart(node).await,
        94..95 => world.store.inner().tamper(),
        95..96 => world.store.inner().forget_all(),
        _ => sleep(Duration::from_secs(world.chance.one_of(&[1, 10, 50, 100]))).await,
    }
    let pause = world.chance.micros(0..4_000);
    sleep(pause).await;
}

/// Worlds on all cores; what happened in all of them, or the first that broke.
fn live_all(seeds: Range<u64>, habits: Habits) -> Result<Tally, (u64, String)> {
    contexts();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let all = Mutex::new(Ok(Tally::default()));
    std::thread::scope(|scope| {
        for first in 0..threads {
            let (all, seeds) = (&all, seeds.clone());
            scope.spawn(move || {
                for seed in seeds.skip(first).step_by(threads) {
                    let lived = live(seed, habits);
                    match (&mut *all.lock().unwrap(), lived) {
                        (Ok(all), Ok(tally)) => all.add(&tally),
                        (all @ Ok(_), Err(violation)) => *all = Err((seed, violation)),
                        (Err(_), _) => return,
                    }
                }
            });
        }
    });
    all.into_inner().unwrap()
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

#[test]
fn whatever_befalls_them_sessions_are_resumed_where_and_as_often_as_they_may_be() {
    if let Some(seed) = number("SIMULATION_SEED") {
        println!("{:?}", live(seed, Habits::default()).unwrap());
        return;
    }
    let seeds = number("SIMULATION_SEEDS").unwrap_or(10_000);
    let tally = match live_all(0..seeds, Habits::default()) {
        Ok(tally) => tally,
        Err((seed, violation)) => panic!("SIMULATION_SEED={seed}: {violation}"),
    };
    println!("{tally:?}");
    // A world in which nothing happens proves nothing.
    for (result, count) in LookupResult::ALL.into_iter().zip(tally.results) {
        assert!(count > seeds / 20, "{result:?}: {tally:?}");
    }
    assert!(tally.resumed > 10 * seeds && tally.moved > 5 * seeds, "{tally:?}");
    assert!(tally.times_away > seeds / 10, "{tally:?}");
    assert!(tally.refused > seeds / 10 && tally.unknown > seeds / 10, "{tally:?}");
}

/// What the oracle is worth: it finds stores that break the contract.
#[test]
fn a_store_that_hands_out_twice_or_denies_what_it_took_is_found_out() {
    let two_steps = Habits { takes_in_two_steps: true, ..Habits::default() };
    let denies = Habits { denies_what_it_took: true, ..Habits::default() };
    for habits in [two_steps, denies] {
        let (_, violation) = live_all(0..1_000, habits).expect_err("nobody noticed");
        assert!(violation.contains("was resumed 2 times"), "{violation}");
    }
}

/// The policies of all sites in all configurations.
fn contexts() -> &'static [[ContextId; SITES]; GENERATIONS] {
    static CONTEXTS: OnceLock<[[ContextId; SITES]; GENERATIONS]> = OnceLock::new();
    CONTEXTS.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let now = UnixTime::now();
        let issued = DevelopmentCa::new(now).unwrap().issue(&["a.example"], now).unwrap();
        issued.write(folder.path(), "site").unwrap();
        let paths = vec![folder.path().into()];
        let provider = Arc::new(aws_lc_rs::default_provider());
        let options = StoreOptions { paths, strict_permissions: true, provider };
        let (store, _) = CertificateStore::open(options, now);
        let offer = Offer {
            signature_schemes: &[SignatureScheme::ECDSA_NISTP256_SHA256],
            cipher_suites: &[CipherSuite::TLS13_AES_128_GCM_SHA256],
        };
        let name = HostName::parse("a.example").unwrap();
        let credential = Arc::clone(store.load().select(Some(&name), &offer).unwrap());
        std::array::from_fn(|generation| {
            std::array::from_fn(|site| {
                let fields = ContextFields {
                    listener_class: "tls",
                    listener: "https",
                    site: &format!("{site}.example"),
                    min_version: ProtocolVersion::TLSv1_2,
                    alpn: &[],
                    client_auth: (generation > 0).then_some(b"policy"),
                };
                SiteContext::new(&fields).with_credential(&credential)
            })
        })
    })
}

const STEPS: usize = 36;

//! A store whose entries somebody has changed: garbage, flipped bits, one entry in the place of
//! another. None of it is resumed, none of it is an error for a client.

use portunus_tests::redis::Reply;

use super::fleet::{Die, Fleet, Kind, LOOKUPS, Store, UP, Visitor, stays_with_its_store};

const CLIENTS: usize = 12;
/// The version, the name of a key, the tag of a context.
const FRONT_BYTES: usize = 17;

/// What is done to an entry. The second key is that of another one.
type Poison = (&'static str, &'static [Step]);

/// A command, in which `KEY` and `OTHER` stand for keys.
type Step = &'static [&'static str];

const POISONS: &[Poison] = &[
    ("garbage", &[&["SET", "KEY", "garbage", "KEEPTTL"]]),
    ("nothing", &[&["SET", "KEY", "", "KEEPTTL"]]),
    ("the entry of another", &[&["COPY", "OTHER", "KEY", "REPLACE"]]),
    ("a longer one", &[&["APPEND", "KEY", "x"]]),
];

/// Two processes with a store that somebody changes.
async fn fleet() -> Option<Fleet> {
    Some(Fleet::start(Store::start(Kind::Redis).await?, 2, |builder| builder).await)
}

/// Does this to every entry.
async fn poison(fleet: &Fleet, steps: &[Step]) {
    let keys = fleet.store.redis().keys().await;
    assert!(keys.len() >= CLIENTS, "{keys:?}");
    for (place, key) in keys.iter().enumerate() {
        // The last one finds the first one changed, which is as good.
        let other = &keys[(place + 1) % keys.len()];
        for step in steps {
            let word = |word: &&'static str| match *word {
                "KEY" => key.as_str(),
                "OTHER" => other.as_str(),
                word => word,
            };
            let command: Vec<&str> = step.iter().map(word).collect();
            let reply = fleet.store.redis().ask(&command).await;
            assert!(!matches!(reply, Reply::Error(_)), "{command:?}: {reply:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_poisoned_entry_is_resumed_by_nobody_and_harms_nobody() {
    let Some(fleet) = fleet().await else { return };
    let other = &fleet.proxies[1];
    for (what, steps) in POISONS {
        let visitors = fill(&fleet).await;
        poison(&fleet, steps).await;
        are_strangers(&fleet, &visitors, what).await;
        stays_with_its_store(other, what).await;
        fleet.store.redis().ask(&["FLUSHALL"]).await.expect_ok();
    }
    let count =
        async |result| other.metric(LOOKUPS, &[("tier", "shared"), ("result", result)]).await;
    let (errors, late) = (count("error").await, count("timeout").await);
    assert!(errors + late >= (POISONS.len() * CLIENTS) as f64, "{errors} errors, {late} late");
    assert_eq!(count("hit").await, 0.0);
    comes_back(&fleet).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_that_redis_itself_refuses_to_read_harms_nobody() {
    let Some(fleet) = fleet().await else { return };
    let visitors = fill(&fleet).await;
    poison(&fleet, &[&["DEL", "KEY"], &["RPUSH", "KEY", "one", "two"]]).await;
    for visitor in &visitors {
        assert!(!visitor.visit(&fleet.proxies[1]).await, "it was resumed");
    }
    comes_back(&fleet).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_bit_of_an_entry_may_be_another() {
    let Some(fleet) = fleet().await else { return };
    let redis = fleet.store.redis();
    let mut die = Die(7);
    // Every byte of what stands in front of the sealed text, and some behind it.
    let mut front = 0..FRONT_BYTES;
    for _ in 0..4 {
        let visitors = fill(&fleet).await;
        for key in redis.keys().await {
            let bytes = usize::try_from(redis.ask(&["STRLEN", &key]).await.number()).unwrap();
            let byte = front.next().unwrap_or_else(|| die.roll(bytes));
            let bit = (byte * 8 + die.roll(8)).to_string();
            let was = redis.ask(&["GETBIT", &key, &bit]).await.number();
            redis.ask(&["SETBIT", &key, &bit, &(1 - was).to_string()]).await;
        }
        are_strangers(&fleet, &visitors, "a flipped bit").await;
        redis.ask(&["FLUSHALL"]).await.expect_ok();
    }
}

fn crowd() -> Vec<Visitor> {
    let fresh = |number| if number % 2 == 0 { Visitor::tls12(false) } else { Visitor::tls13() };
    (0..CLIENTS).map(fresh).collect()
}

/// Clients each of whom has left a session in the store, by way of the first process.
async fn fill(fleet: &Fleet) -> Vec<Visitor> {
    fleet
        .hand_over(async || {
            let visitors = crowd();
            for visitor in &visitors {
                assert!(!visitor.visit(&fleet.proxies[0]).await);
            }
            (visitors.len(), visitors)
        })
        .await
}

/// None of them is resumed by the second process; what they leave is there afterwards, or lost.
async fn are_strangers(fleet: &Fleet, visitors: &[Visitor], what: &str) {
    fleet
        .settles(async || {
            for visitor in visitors {
                assert!(!visitor.visit(&fleet.proxies[1]).await, "{what}: it was resumed");
            }
            (visitors.len(), ())
        })
        .await;
}

/// What comes later is good.
async fn comes_back(fleet: &Fleet) {
    for proxy in &fleet.proxies {
        proxy.wait_for_metric(UP, &[], |up| up == 1.0).await;
    }
    let come = async || {
        let mut resumed = 0;
        for visitor in fill(fleet).await {
            resumed += usize::from(visitor.visit(&fleet.proxies[1]).await);
        }
        let is_most = resumed >= CLIENTS - 1;
        is_most.then_some(()).ok_or_else(|| format!("{resumed} of {CLIENTS}"))
    };
    fleet.undisturbed(come).await;
}

//! Keys that are replaced while processes run, and processes that are replaced while clients come:
//! a new key is first added, then used, and the old one taken away, and nobody notices but those
//! whose sessions are older than that.

use std::path::Path;

use portunus_tests::wait::{best_of, eventually};
use portunus_tests::{Proxy, authority, echo, tls, write_and_rename};
use serde_json::Value;

use super::fleet::{Fleet, Kind, NAME, Store, Visitor, stays_with_its_store};

const CLIENTS: usize = 12;
const BAD: &str = "portunus_resumption_key_files_bad";

/// Puts `text` into a file of the store's, and waits until every process has taken it.
async fn put(fleet: &Fleet, file: &str, text: &str) {
    let before: Vec<_> = fleet.proxies.iter().map(words).collect();
    write_and_rename(&fleet.store.file(file), text);
    for (proxy, before) in fleet.proxies.iter().zip(before) {
        eventually("keys that are in use", async || (words(proxy) > before).then_some(())).await;
    }
}

/// How often a process said that it took keys.
fn words(proxy: &Proxy) -> usize {
    let lines = proxy.process().lines();
    lines.iter().filter(|line| line.says("the keys of the file are in use", &[])).count()
}

fn crowd() -> Vec<Visitor> {
    let fresh = |number: usize| match number % 2 {
        0 => Visitor::tls12(true),
        _ => Visitor::tls13(),
    };
    (0..CLIENTS).map(fresh).collect()
}

/// Clients that were with the first process, and whose sessions the second could have.
async fn regulars(fleet: &Fleet, is_kept: bool) -> Vec<Visitor> {
    let visit = async || {
        let visitors = crowd();
        for visitor in &visitors {
            assert!(!visitor.visit(&fleet.proxies[0]).await);
        }
        (visitors.len(), visitors)
    };
    if is_kept { fleet.hand_over(visit).await } else { visit().await.1 }
}

/// How many of them the second process resumes.
async fn resumed(fleet: &Fleet, visitors: &[Visitor]) -> usize {
    let mut resumed = 0;
    for visitor in visitors {
        resumed += usize::from(visitor.visit(&fleet.proxies[1]).await);
    }
    resumed
}

/// Says so if fewer of them are resumed than all but one.
fn expect_most(resumed: usize, when: &str) -> Result<(), String> {
    let is_most = resumed >= CLIENTS - 1;
    is_most.then_some(()).ok_or_else(|| format!("{when}: {resumed} of {CLIENTS}"))
}

/// Replaces the key of a file in three steps, with clients that come back after each.
async fn replaces(fleet: &Fleet, file: &str, is_kept: bool) -> Result<(), String> {
    let keys = std::fs::read_to_string(fleet.store.file(file)).unwrap();
    // There are two if it did not come to the end before.
    let old = keys.split_inclusive('\n').next().unwrap();
    let other = Store::start(Kind::Local).await.expect("openssl is here");
    let new = std::fs::read_to_string(other.file(file)).unwrap();
    let (early, late) = (regulars(fleet, is_kept).await, regulars(fleet, is_kept).await);
    put(fleet, file, &format!("{old}{new}")).await;
    let added = regulars(fleet, is_kept).await;
    put(fleet, file, &format!("{new}{old}")).await;
    let used = regulars(fleet, is_kept).await;
    for (when, visitors) in [("before", &early), ("with it added", &added), ("with it", &used)] {
        expect_most(resumed(fleet, visitors).await, when)?;
    }
    let new_only = regulars(fleet, is_kept).await;
    put(fleet, file, &new).await;
    assert_eq!(resumed(fleet, &late).await, 0, "the old key is gone");
    expect_most(resumed(fleet, &new_only).await, "without the old one")
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_outlive_the_replacement_of_the_key_that_seals_them() {
    for kind in [Kind::Redis, Kind::Local] {
        let Some(store) = Store::start(kind).await else { continue };
        let fleet = Fleet::start(store, 2, |builder| builder).await;
        fleet.undisturbed(async || replaces(&fleet, "sealing.key", true).await).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tickets_outlive_the_replacement_of_the_key_that_seals_them() {
    let Some(store) = Store::start(Kind::Local).await else { return };
    let keys = format!("\"file:{}\"", store.file("ticket.keys").display());
    let fleet = Fleet::start(store, 2, |builder| {
        builder.set("resumption.mode", "\"tickets\"").set("resumption.ticket_keys", &keys)
    })
    .await;
    fleet.undisturbed(async || replaces(&fleet, "ticket.keys", false).await).await;
}

/// What the status says of files of keys to whom should look.
async fn complaint(proxy: &Proxy) -> Option<String> {
    let status: Value = serde_json::from_slice(&proxy.admin("/status").await.body).unwrap();
    let findings = status["attention"].as_array().unwrap().iter();
    let mut what = findings.filter_map(|finding| finding["what"].as_str());
    what.find(|what| what.contains("files of keys")).map(str::to_owned)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_keys_that_goes_bad_leaves_the_last_good_ones_in_use() {
    let Some(store) = Store::start(Kind::Local).await else { return };
    let fleet = Fleet::start(store, 2, |builder| builder).await;
    let file = fleet.store.file("sealing.key");
    let good = std::fs::read_to_string(&file).unwrap();
    for bad in ["", "no key\n", &good[..20]] {
        let complaints = |proxy: &Proxy| {
            let lines = proxy.process().lines();
            let warned = "the keys that were there before stay in use";
            lines.iter().filter(|line| line.says(warned, &[])).count()
        };
        let before: Vec<_> = fleet.proxies.iter().map(complaints).collect();
        write_and_rename(&file, bad);
        for (proxy, before) in fleet.proxies.iter().zip(before) {
            eventually("a complaint", async || (complaints(proxy) > before).then_some(())).await;
        }
        for proxy in &fleet.proxies {
            let said = eventually("a word for who should look", async || complaint(proxy).await);
            assert!(said.await.contains("sealing.key"));
            assert_eq!(proxy.metric(BAD, &[]).await, 1.0);
        }
        fleet
            .undisturbed(async || {
                let visitors = regulars(&fleet, true).await;
                expect_most(resumed(&fleet, &visitors).await, &format!("with {bad:?}"))
            })
            .await;
        put(&fleet, "sealing.key", &good).await;
    }
    for proxy in &fleet.proxies {
        let is_well = async || complaint(proxy).await.is_none().then_some(());
        eventually("nothing to look at", is_well).await;
        assert_eq!(proxy.metric(BAD, &[]).await, 0.0);
    }
    let all = fleet.proxies.iter().map(words);
    assert_eq!(all.collect::<Vec<_>>(), [3, 3], "once for each time that it was good again");
    let said = fleet.proxies.iter().flat_map(|proxy| proxy.process().text()).collect::<String>();
    assert!(!said.contains(&good[..20]), "a part of a key is said");

    // The way out may be not to ask for it any more.
    write_and_rename(&file, "no key\n");
    let proxy = &fleet.proxies[0];
    eventually("a word for who should look", async || complaint(proxy).await).await;
    let config = proxy.folder().join("config.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    let without: Vec<_> = text.lines().filter(|line| !line.contains("sealing_key")).collect();
    write_and_rename(&config, &without.join("\n"));
    let is_well = async || complaint(proxy).await.is_none().then_some(());
    eventually("nothing to look at", is_well).await;
    assert_eq!(proxy.metric(BAD, &[]).await, 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_with_other_keys_share_a_store_and_nothing_else() {
    for kind in [Kind::Redis, Kind::Local] {
        let Some(store) = Store::start(kind).await else { continue };
        let Some(others) = Store::start(Kind::Local).await else { continue };
        let mut fleet = Fleet::start(store, 2, |builder| builder).await;
        let process = |key: &Path| {
            let builder = fleet.store.builder_with(key).listener(tls(NAME)).backend(echo());
            builder.certificate(NAME, &authority().issue(&[NAME])).start()
        };
        let stranger = process(&others.file("sealing.key")).await;
        fleet.proxies[1] = stranger;
        let (ours, theirs) = (regulars(&fleet, true).await, crowd());
        assert_eq!(resumed(&fleet, &ours).await, 0, "{kind:?}: what others have sealed");
        assert_eq!(resumed(&fleet, &theirs).await, 0, "nobody was here before");
        eventually("sessions of the stranger's own", async || {
            (resumed(&fleet, &theirs).await >= CLIENTS - 1).then_some(())
        })
        .await;
        for proxy in &fleet.proxies {
            stays_with_its_store(proxy, &format!("{kind:?}")).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_ends_leaves_its_sessions_to_the_others() {
    for kind in [Kind::Redis, Kind::Local] {
        // What the store did to a process that has ended, nobody can be asked.
        best_of(3, async || {
            let Some(store) = Store::start(kind).await else { return Ok(()) };
            expect_most(left_by_one_that_ends(store).await, &format!("{kind:?}"))
        })
        .await;
    }
}

/// How many clients another process resumes of one that ended.
async fn left_by_one_that_ends(store: Store) -> usize {
    let mut fleet = Fleet::start(store, 2, |builder| builder).await;
    let visitors = crowd();
    let ends = fleet.proxies.remove(0);
    for visitor in &visitors {
        assert!(!visitor.visit(&ends).await);
    }
    assert_eq!(ends.drain().await.code, Some(0));
    let mut resumed = 0;
    for visitor in &visitors {
        resumed += usize::from(visitor.visit(&fleet.proxies[0]).await);
    }
    resumed
}

//! Endpoints that fail, drain, leave and come back.

use std::collections::HashSet;
use std::path::Path;
use std::time::Duration;

use super::*;
use crate::metrics::Metrics;

fn members(balance: Balance) -> Arc<Members> {
    let text = "[listener.a]\nlisten = ['[::]:1']\nbackend = 'app'\n\
                [backend.app]\nendpoints = ['10.0.0.1:1', '10.0.0.2:1', 'unix:/run/a']\n";
    let config = config::Config::parse(text, "config.toml", Path::new("/")).unwrap();
    let backend = config.backends.into_iter().next().unwrap();
    let backend = config::Backend { balance, ..backend };
    let means = Means::new(&backend, Arc::default(), None);
    Members::new(&backend, &Arc::new(means), &Metrics::new().backend("app"))
}

fn chosen(members: &Members, key: Option<u64>) -> String {
    members.choose(key, &[]).unwrap().endpoint().addr.to_string()
}

fn all_chosen(members: &Members) -> HashSet<String> {
    (0..50).map(|key| chosen(members, Some(key))).collect()
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_fails_in_use_is_left_out_and_comes_back() {
    let members = members(Balance::RoundRobin);
    let first = chosen(&members, None);
    for _ in 0..5 {
        let load = std::iter::repeat_with(|| members.choose(None, &[]).unwrap());
        let load = load.take(3).find(|load| load.endpoint().addr.to_string() == first);
        load.unwrap().note(Verdict::Failed);
    }
    assert!(!all_chosen(&members).contains(&first));
    assert_eq!(members.metrics.ejections.get(), 1);
    assert_eq!(members.metrics.endpoints.of(Standing::Ejected).get(), 1);
    tokio::time::advance(Duration::from_secs(10)).await;
    assert_eq!(all_chosen(&members).len(), 3);
    assert_eq!(members.metrics.endpoints.of(Standing::Usable).get(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_success_in_between_keeps_an_endpoint_in() {
    let members = members(Balance::P2c);
    let load = members.choose(None, &[]).unwrap();
    for _ in 0..20 {
        (0..4).for_each(|_| load.note(Verdict::Failed));
        load.note(Verdict::Good);
    }
    assert_eq!(members.metrics.ejections.get(), 0);
}

#[test]
fn what_drains_gets_nothing_new_under_its_name_and_under_its_address() {
    let members = members(Balance::Least);
    assert_eq!(members.set_draining("10.0.0.9:1", Draining::On), None);
    for endpoint in ["10.0.0.1:1", "unix:/run/a"] {
        assert_eq!(members.set_draining(endpoint, Draining::On), Some(1));
    }
    assert_eq!(all_chosen(&members), HashSet::from(["10.0.0.2:1".to_owned()]));
    // Resolving anew does not undo it.
    let all = members.all();
    members.replace(
        all.into_iter()
            .map(|(one, share)| (members.endpoint(one.place, one.addr.clone()), share))
            .collect(),
    );
    assert_eq!(all_chosen(&members).len(), 1);
    assert_eq!(members.set_draining("10.0.0.2:1", Draining::On), Some(1));
    assert!(members.choose(None, &[]).is_none());
    assert_eq!(members.set_draining("unix:/run/a", Draining::Off), Some(1));
    assert_eq!(all_chosen(&members), HashSet::from(["unix:/run/a".to_owned()]));
}

#[test]
fn what_drains_is_resumed_even_after_it_has_left() {
    let members = members(Balance::Least);
    let all = members.all();
    assert_eq!(members.set_draining("10.0.0.1:1", Draining::On), Some(1));
    let others = all.iter().skip(1).map(|(one, share)| (Arc::clone(one), *share)).collect();
    members.replace(others);
    assert_eq!(members.set_draining("10.0.0.1:1", Draining::Off), Some(0));
    members.replace(all);
    assert_eq!(all_chosen(&members).len(), 3);
}

#[test]
fn failures_of_an_address_that_gets_another_name_are_made_up_for() {
    let members = members(Balance::Least);
    let mut all = members.all();
    let (first, share) = all[0].clone();
    let first = Load::new(first);
    (0..4).for_each(|_| first.note(Verdict::Failed));
    let renamed = members.endpoint(1, first.endpoint().addr.clone());
    all[0] = (Arc::clone(&renamed), share);
    members.replace(all);
    let renamed = Load::new(renamed);
    renamed.note(Verdict::Good);
    renamed.note(Verdict::Failed);
    assert_eq!(members.metrics.ejections.get(), 0);
}

#[test]
fn a_key_finds_its_endpoint_in_every_process() {
    let (one, other) = (members(Balance::HashClient), members(Balance::HashClient));
    let owners: Vec<_> = (0..50).map(|key| chosen(&one, Some(key))).collect();
    assert_eq!(owners, (0..50).map(|key| chosen(&other, Some(key))).collect::<Vec<_>>());
    assert_eq!(owners.iter().collect::<HashSet<_>>().len(), 3);
}

#[test]
fn of_two_endpoints_at_one_address_the_first_counts() {
    let members = members(Balance::P2c);
    let mut all = members.all();
    all.push((members.endpoint(2, all[0].0.addr.clone()), Share { weight: 1, is_backup: false }));
    members.replace(all);
    let told = members.report();
    assert_eq!(told.len(), 3);
    assert_eq!(told[0].name, "10.0.0.1:1");
}

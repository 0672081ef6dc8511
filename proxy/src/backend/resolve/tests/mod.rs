//! Names that resolve, fail, change and lie, against a DNS server of our own.

mod server;

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use super::dns::ResolveError;
use super::*;
use crate::backend::standing::Share;
use crate::config::{self, Resolve};
use crate::metrics::{Metrics, ResolveResult};
use server::{A, AAAA, NXDOMAIN, REFUSED, SERVFAIL, SRV, Say, Server};

const NAME: &str = "app.example";

fn config(endpoints: &[&str]) -> config::Backend {
    let text = format!(
        "[listener.a]\nlisten = ['[::]:1']\nbackend = 'app'\n\
         [backend.app]\nendpoints = {endpoints:?}\n",
    );
    let config = config::Config::parse(&text, "config.toml", Path::new("/")).unwrap();
    config.backends.into_iter().next().unwrap()
}

/// A backend with one endpoint that has a name, and whoever knows what it means.
async fn named(endpoint: &str) -> (Server, Resolver, Arc<Backend>) {
    let server = Server::start().await;
    let resolver = Resolver::new(vec![server.addr]);
    (server, resolver, backend(&config(&[endpoint])))
}

fn backend(config: &config::Backend) -> Arc<Backend> {
    Backend::new(config, Arc::default(), Metrics::new().backend("app")).unwrap()
}

fn addrs(backend: &Backend) -> Vec<String> {
    backend.report().endpoints.iter().map(|endpoint| endpoint.addr.to_string()).collect()
}

/// Asks although it is not due.
async fn ask(backend: &Backend, resolver: &Resolver) -> Result<Found, ResolveError> {
    let name = &backend.members.config().endpoints[0].name;
    let answer = resolver.look_up(name, &backend.members.config().resolve.allow).await;
    if backend.take_answer(0, &answer) {
        backend.members.replace_by_ledger();
    }
    answer
}

#[tokio::test]
async fn literals_need_no_resolver() {
    let cases = [
        ("127.0.0.1:80", "127.0.0.1:80"),
        ("[::1]:80", "[::1]:80"),
        ("[::ffff:10.0.0.1]:80", "10.0.0.1:80"),
        ("unix:/run/app.sock", "unix:/run/app.sock"),
    ];
    for (name, addr) in cases {
        let backend = backend(&config(&[name]));
        assert_eq!(addrs(&backend), [addr]);
        assert_eq!(backend.members.ledger().next_due(), None);
    }
}

#[tokio::test]
async fn a_name_becomes_all_its_addresses_for_as_long_as_the_answer_holds() {
    let (server, resolver, backend) = named("app.example:80").await;
    server.say_addresses(NAME, 7, &["192.0.2.2", "192.0.2.1", "2001:db8::1", "192.0.2.1"]);
    let before = Instant::now();
    backend.resolve_now(&resolver).await;
    assert_eq!(addrs(&backend), ["192.0.2.1:80", "192.0.2.2:80", "[2001:db8::1]:80"]);
    let due = backend.members.ledger().next_due().unwrap();
    assert!(due > before + Duration::from_secs(6), "{:?}", due - before);
    assert!(due <= Instant::now() + Duration::from_secs(7));
    let asked = server.questions();
    backend.resolve_now(&resolver).await;
    for _ in 0..100 {
        backend.choose(None, &[]).unwrap();
    }
    assert_eq!(server.questions(), asked, "nothing is due, and nothing is asked for a connection");
    assert_eq!(backend.metrics.resolutions.of(ResolveResult::Good).get(), 1);
}

#[tokio::test]
async fn whatever_fails_takes_no_address_away() {
    let (server, resolver, backend) = named("app.example:80").await;
    server.say_addresses(NAME, 60, &["192.0.2.1", "2001:db8::1"]);
    ask(&backend, &resolver).await.unwrap();
    let before = backend.members.all();
    let evil = Say::Other(60, vec!["198.51.100.1".parse().unwrap()]);
    let failures = [
        (NXDOMAIN, ResolveResult::Empty),
        (Say::Nothing, ResolveResult::Empty),
        (SERVFAIL, ResolveResult::Failed),
        (REFUSED, ResolveResult::Failed),
        (Say::Garbage, ResolveResult::Timeout),
        (Say::Silence, ResolveResult::Timeout),
        (evil, ResolveResult::Timeout),
        (Say::Addresses(60, vec!["0.0.0.0".parse().unwrap()]), ResolveResult::Refused),
    ];
    let count = failures.len();
    for (say, expected) in failures {
        server.say_both(NAME, &say);
        let result = ask(&backend, &resolver).await.map_err(|error| error.result());
        let result = result.expect_err("there is no good answer");
        // Of what is no answer to the question, the library may hear at once or never.
        let is_unheard = expected == ResolveResult::Timeout && result == ResolveResult::Failed;
        assert!(result == expected || is_unheard, "{say:?}: {result}");
        let after = backend.members.all();
        assert_eq!(after.len(), before.len(), "{say:?}");
        for ((one, _), (other, _)) in before.iter().zip(&after) {
            assert!(Arc::ptr_eq(one, other), "carried over by identity");
        }
    }
    let failed = backend.metrics.errors.of(BackendFailure::Resolve).get();
    assert_eq!(failed, count as u64);
    server.say_addresses(NAME, 60, &["192.0.2.9"]);
    ask(&backend, &resolver).await.unwrap();
    assert_eq!(addrs(&backend), ["192.0.2.9:80"]);
}

#[tokio::test]
async fn addresses_of_the_kind_that_cannot_be_asked_for_stay() {
    let (server, resolver, backend) = named("app.example:80").await;
    server.say_addresses(NAME, 60, &["192.0.2.1", "2001:db8::1"]);
    ask(&backend, &resolver).await.unwrap();
    server.say_addresses(NAME, 60, &["192.0.2.2"]);
    server.say(NAME, AAAA, SERVFAIL);
    ask(&backend, &resolver).await.unwrap();
    assert_eq!(addrs(&backend), ["192.0.2.2:80", "[2001:db8::1]:80"]);
    server.say(NAME, AAAA, Say::Nothing);
    ask(&backend, &resolver).await.unwrap();
    assert_eq!(addrs(&backend), ["192.0.2.2:80"]);
}

#[tokio::test]
async fn an_answer_of_any_size_gives_no_more_addresses_than_the_limit() {
    let (server, resolver, backend) = named("app.example:80").await;
    let many: Vec<_> = (0..200).map(|last| format!("192.0.2.{last}")).collect();
    server.say_addresses(NAME, 60, &many.iter().map(String::as_str).collect::<Vec<_>>());
    ask(&backend, &resolver).await.unwrap();
    assert_eq!(addrs(&backend).len(), 64);
}

#[test]
fn a_backend_has_a_limited_number_of_addresses_and_backups_go_first() {
    let names: Vec<_> = (0..70).map(|number| format!("n{number}.example:80")).collect();
    let backend = backend(&config(&names.iter().map(String::as_str).collect::<Vec<_>>()));
    for place in 0..70 {
        let share = Share { weight: 1, is_backup: place == 0 };
        let addr = |last| (SocketAddr::from(([10, 0, place, last], 80)), Some(share));
        let found = Found {
            addrs: (0..64).map(addr).collect(),
            valid_for: Duration::from_secs(60),
            lacks_v4: false,
            lacks_v6: false,
            refused: 0,
        };
        backend.members.ledger().settle(place.into(), Some(&found), 0, Instant::now());
    }
    backend.members.replace_by_ledger();
    let told = backend.report().endpoints;
    assert_eq!(told.len(), 4_096);
    assert!(told.iter().all(|endpoint| !endpoint.is_backup));
}

#[tokio::test]
async fn an_address_that_is_not_allowed_is_not_taken() {
    let server = Server::start().await;
    let resolver = Resolver::new(vec![server.addr]);
    let mut config = config(&["app.example:80"]);
    config.resolve.allow = vec!["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()];
    let backend = backend(&config);
    let mixed = ["10.1.2.3", "127.0.0.1", "169.254.169.254", "fd00::1", "::1", "::ffff:127.0.0.1"];
    server.say_addresses(NAME, 60, &mixed);
    ask(&backend, &resolver).await.unwrap();
    assert_eq!(addrs(&backend), ["10.1.2.3:80", "[fd00::1]:80"]);
    server.say_addresses(NAME, 60, &["127.0.0.1"]);
    assert_eq!(ask(&backend, &resolver).await.unwrap_err().result(), ResolveResult::Refused);
    assert_eq!(addrs(&backend), ["10.1.2.3:80", "[fd00::1]:80"], "the last good ones");
    assert_eq!(backend.metrics.resolutions.of(ResolveResult::Refused).get(), 2);
}

#[tokio::test]
async fn what_names_no_single_machine_is_never_an_endpoint() {
    let (server, resolver, backend) = named("app.example:80").await;
    let odd = ["0.0.0.0", "224.0.0.1", "255.255.255.255", "::", "ff02::1", "192.0.2.1"];
    server.say_addresses(NAME, 60, &odd);
    ask(&backend, &resolver).await.unwrap();
    assert_eq!(addrs(&backend), ["192.0.2.1:80"]);
}

#[tokio::test]
async fn a_service_has_hosts_ports_weights_and_backups() {
    let (server, resolver, backend) = named("srv:_http._tcp.app.example").await;
    let hosts = vec![
        (20, 1, 83, "far.example"),
        (10, 30, 81, "one.example"),
        (10, 0, 82, "two.example"),
        (10, 5, 84, "none.example"),
    ];
    server.say("_http._tcp.app.example", SRV, Say::Services(5, hosts));
    server.say_addresses("one.example", 60, &["192.0.2.1", "2001:db8::1"]);
    server.say_addresses("two.example", 60, &["192.0.2.2"]);
    server.say_addresses("far.example", 60, &["192.0.2.3"]);
    let found = ask(&backend, &resolver).await.unwrap();
    assert_eq!(found.valid_for, Duration::from_secs(5), "the shortest of all answers");
    let told: BTreeSet<_> = backend
        .report()
        .endpoints
        .into_iter()
        .map(|endpoint| (endpoint.addr.to_string(), endpoint.weight, endpoint.is_backup))
        .collect();
    let expected = [
        ("192.0.2.1:81", 30, false),
        ("192.0.2.2:82", 1, false),
        ("192.0.2.3:83", 1, true),
        ("[2001:db8::1]:81", 30, false),
    ];
    assert_eq!(
        told,
        expected.map(|(addr, weight, backup)| (addr.to_owned(), weight, backup)).into()
    );
    // RFC 2782: a dot says that there is no such service.
    server.say("_http._tcp.app.example", SRV, Say::Services(5, vec![(0, 0, 0, ".")]));
    assert_eq!(ask(&backend, &resolver).await.unwrap_err().result(), ResolveResult::Empty);
    assert_eq!(addrs(&backend).len(), 4);
}

#[tokio::test]
async fn a_backup_displaces_nobody() {
    let (server, resolver, backend) = named("srv:_http._tcp.app.example").await;
    let hosts = vec![(10, 1, 80, "near.example"), (10, 9, 80, "same.example")];
    let hosts = [hosts, vec![(20, 1, 80, "far.example")]].concat();
    server.say("_http._tcp.app.example", SRV, Say::Services(60, hosts));
    let near: Vec<_> = (0..40).map(|last| format!("192.0.2.{last}")).collect();
    let mut far: Vec<_> = (0..40).map(|last| format!("10.0.0.{last}")).collect();
    far.push("192.0.2.0".to_owned());
    for (name, addrs) in [("near.example", &near), ("far.example", &far)] {
        let addrs: Vec<_> = addrs.iter().map(String::as_str).collect();
        server.say_addresses(name, 60, &addrs);
    }
    server.say_addresses("same.example", 60, &["192.0.2.0"]);
    ask(&backend, &resolver).await.unwrap();
    let told = backend.report().endpoints;
    assert_eq!(told.len(), 64);
    assert_eq!(told.iter().filter(|endpoint| !endpoint.is_backup).count(), 40);
    let twice = told.iter().find(|endpoint| endpoint.addr.to_string() == "192.0.2.0:80").unwrap();
    assert_eq!((twice.weight, twice.is_backup), (9, false));
}

#[tokio::test]
async fn a_change_is_heard_of_when_the_answer_ends() {
    let (server, resolver, backend) = named("app.example:80").await;
    server.say_addresses(NAME, 0, &["192.0.2.1"]);
    backend.resolve_now(&resolver).await;
    server.say_addresses(NAME, 60, &["192.0.2.2"]);
    let changed = async {
        while addrs(&backend) != ["192.0.2.2:80"] {
            backend.members.changed().await;
        }
    };
    tokio::select! {
        () = backend.refresh(&resolver) => {}
        changed = tokio::time::timeout(Duration::from_secs(20), changed) => changed.unwrap(),
    }
}

#[tokio::test]
async fn a_question_without_an_answer_takes_nothing_from_the_others() {
    let (server, resolver, backend) = named("app.example:80").await;
    server.say_addresses(NAME, 60, &["192.0.2.1"]);
    server.say(NAME, AAAA, Say::Silence);
    let mut found = ask(&backend, &resolver).await.unwrap();
    // An answer that comes after its time is none either.
    for _ in 0..4 {
        if found.lacks_v4 {
            found = ask(&backend, &resolver).await.unwrap();
        }
    }
    assert!(found.lacks_v6 && !found.lacks_v4);
    assert_eq!(addrs(&backend), ["192.0.2.1:80"]);
}

#[tokio::test]
async fn the_hosts_file_is_read_whoever_else_is_asked() {
    let (server, resolver, backend) = named("localhost:80").await;
    server.say_both("localhost", &NXDOMAIN);
    ask(&backend, &resolver).await.unwrap();
    assert!(addrs(&backend).contains(&"127.0.0.1:80".to_owned()), "{:?}", addrs(&backend));
}

#[test]
fn failures_are_repeated_more_and_more_slowly_and_addresses_grow_too_old() {
    let mut config = config(&["app.example:80", "10.0.0.1:80"]);
    let seconds = Duration::from_secs;
    config.resolve =
        Resolve { interval: seconds(30), stale_max: seconds(1_000), allow: Vec::new() };
    let start = Instant::now();
    let mut ledger = Ledger::new(&config, start);
    let found = |valid_for| Found {
        addrs: vec![("192.0.2.1:80".parse().unwrap(), None)],
        valid_for: seconds(valid_for),
        lacks_v4: false,
        lacks_v6: false,
        refused: 0,
    };
    assert_eq!(ledger.due(start), [0]);
    assert_eq!(ledger.settle(0, Some(&found(0)), 0, start), News::Changed);
    assert_eq!(ledger.next_due(), Some(start + seconds(1)), "not sooner, whatever it says");
    assert_eq!(ledger.settle(0, Some(&found(9_999)), 0, start), News::Nothing);
    assert_eq!(ledger.next_due(), Some(start + seconds(30)), "not later, whatever it says");
    for (pause, news) in [1, 2, 4, 8, 16, 30, 30]
        .into_iter()
        .zip(std::iter::once(News::Failing).chain(std::iter::repeat(News::Nothing)))
    {
        assert_eq!(ledger.settle(0, None, 0, start), news);
        assert_eq!(ledger.next_due(), Some(start + seconds(pause)));
    }
    assert_eq!(ledger.age(start + seconds(5)), Some(seconds(5)));
    assert_eq!(ledger.settle(0, None, 0, start + seconds(1_000)), News::Nothing);
    assert_eq!(ledger.addrs().count(), 2);
    assert_eq!(ledger.settle(0, None, 0, start + seconds(1_001)), News::Lost);
    assert_eq!(ledger.addrs().count(), 1, "the literal one stays");
    assert_eq!(ledger.settle(0, Some(&found(5)), 99, start + seconds(2_000)), News::Recovered);
    let due = ledger.next_due().unwrap();
    assert!(due > start + seconds(2_004) && due < start + seconds(2_005), "somewhat sooner");
}

#[test]
fn an_answer_is_fresh_without_the_kind_that_there_never_was() {
    let start = Instant::now();
    let mut ledger = Ledger::new(&config(&["app.example:80"]), start);
    let mut settle = |addrs: &[&str], lacks_v6, after| {
        let found = Found {
            addrs: addrs.iter().map(|addr| (addr.parse().unwrap(), None)).collect(),
            valid_for: Duration::from_secs(1),
            lacks_v4: false,
            lacks_v6,
            refused: 0,
        };
        let now = start + Duration::from_secs(after);
        ledger.settle(0, Some(&found), 0, now);
        ledger.age(now).unwrap().as_secs()
    };
    let (one, both) = (["192.0.2.1:80"], ["192.0.2.1:80", "[2001:db8::1]:80"]);
    assert_eq!(settle(&one, true, 100), 0, "there never was an IPv6 address");
    assert_eq!(settle(&both, false, 200), 0);
    assert_eq!(settle(&one, true, 300), 100, "there is one, which is 100 s old");
    assert_eq!(settle(&one, false, 400), 0, "it is known that there is none any more");
}

#[tokio::test]
async fn only_one_kind_of_question_has_to_be_answered() {
    let (server, resolver, backend) = named("app.example:80").await;
    server.say(NAME, A, SERVFAIL);
    server.say(NAME, AAAA, Say::Addresses(60, vec!["2001:db8::1".parse().unwrap()]));
    ask(&backend, &resolver).await.unwrap();
    assert_eq!(addrs(&backend), ["[2001:db8::1]:80"]);
}

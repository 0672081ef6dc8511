//! Endpoints that end, at every point of a request and again and again: each request gets one
//! answer or an honest failure, nobody gets another's, and what must not happen twice does not.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use hyper::Method;
use portunus_tests::wait::{eventually, within};
use portunus_tests::{Client, Death, Proxy, Version, doomed, http, https, ledger};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::NAME;

const VERSIONS: [Version; 2] = [Version::One, Version::Two];

/// Half of the requests may be repeated, half must not be.
fn kind(number: usize) -> (Method, Vec<u8>) {
    match number % 4 {
        0 | 2 => (Method::GET, Vec::new()),
        1 => (Method::POST, vec![b'a'; number % 3_000]),
        _ => (Method::POST, vec![b'b'; 100_000]),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_may_end_at_any_point_of_a_request() {
    for death in Death::ALL {
        for lives in [0, 1] {
            let (dying, alive) = (doomed(death, lives), http());
            let proxy = Proxy::builder()
                .listener(https(NAME))
                .endpoints("app", &[dying.endpoint(), alive.endpoint()])
                .start()
                .await;
            for version in VERSIONS {
                let mut asker = proxy.client(NAME).asker(version).await.unwrap();
                for number in 0..24 {
                    let id = format!("{version:?}-{number}").to_lowercase();
                    let (method, content) = kind(number);
                    let fields = [("x-id", id.as_str())];
                    let answer = asker.ask(method.clone(), "/", &fields, content).await;
                    let what = format!("{death:?} after {lives}: {method} {id}: {answer:?}");
                    let reached =
                        alive.seen().iter().filter(|seen| seen.field("x-id") == id).count();
                    let times = dying.count(&id) + reached;
                    let most = if method == Method::GET { 2 } else { 1 };
                    assert!(times <= most, "{times} times: {what}");
                    // A connection whose request was not read to its end is not used again.
                    if !matches!(&answer, Ok(answer) if answer.status == 200) {
                        asker = proxy.client(NAME).asker(version).await.unwrap();
                    }
                    match answer {
                        Ok(answer) if answer.status == 200 => assert!(times > 0, "{what}"),
                        Ok(answer) => assert!(matches!(answer.status, 502..=504), "{what}"),
                        // What has begun to come cannot be taken back, only broken off.
                        Err(_) => assert_eq!(death, Death::InAnswerContent, "{what}"),
                    }
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_died_in_the_pool_costs_no_request_that_may_be_repeated() {
    for (death, lives) in [(Death::BehindAnswer, 0), (Death::AtOnce, 1)] {
        let backend = doomed(death, lives);
        let proxy = Proxy::builder().listener(https(NAME)).backend(&*backend).start().await;
        for version in VERSIONS {
            let mut asker = proxy.client(NAME).asker(version).await.unwrap();
            for number in 0..50 {
                let id = format!("{version:?}-{number}");
                let answer = asker.ask(Method::GET, "/", &[("x-id", &id)], "").await.unwrap();
                assert_eq!(answer.status, 200, "{death:?}: {id}: {:?}", answer.body);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_requests_of_http_1_1_survive_endpoints_that_come_and_go() {
    storm(Version::One, Version::One).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_requests_of_http_2_survive_endpoints_that_come_and_go() {
    storm(Version::Two, Version::One).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_requests_of_http_1_1_survive_endpoints_of_http_2_that_come_and_go() {
    storm(Version::One, Version::Two).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_requests_of_http_2_survive_endpoints_of_http_2_that_come_and_go() {
    storm(Version::Two, Version::Two).await;
}

/// What the clients of a storm share.
struct Storm {
    client: Client,
    version: Version,
    next: AtomicUsize,
    done: watch::Sender<usize>,
}

/// Asks [`REQUESTS`] times while one of two endpoints is always about to end or to come back.
async fn storm(downstream: Version, upstream: Version) {
    let ledgers = [ledger(upstream).await, ledger(upstream).await];
    let endpoints = ledgers.each_ref().map(portunus_tests::Ledger::endpoint);
    let protocol = match upstream {
        Version::One => "\"http1\"",
        Version::Two => "\"h2c\"",
    };
    let proxy = Proxy::builder()
        .listener(https(NAME))
        .endpoints("app", &endpoints.each_ref().map(String::as_str))
        .set("backend.app.protocol", protocol)
        .set("limits.http.requests", "100")
        .set("limits.http.h2_requests", "100")
        .set("log.level", "\"portunus=info\"")
        .start()
        .await;
    let storm = Arc::new(Storm {
        client: proxy.client(NAME),
        version: downstream,
        next: AtomicUsize::new(0),
        done: watch::Sender::new(0),
    });
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        clients.spawn(ask_on_and_on(Arc::clone(&storm)));
    }
    for round in 0..REQUESTS / ROUND {
        let ledger = &ledgers[round % 2];
        storm.reaches(round * ROUND + ROUND / 2).await;
        ledger.kill();
        storm.reaches(round * ROUND + ROUND / 2 + ROUND / 8).await;
        ledger.revive().await;
    }
    let outcomes: Vec<_> = clients.join_all().await.concat();
    assert_eq!(outcomes.len(), REQUESTS, "one outcome for each request");
    let mut answered = 0;
    for (number, status) in outcomes {
        let (method, _) = kind(number);
        let times: usize = ledgers.iter().map(|ledger| ledger.count(&number.to_string())).sum();
        let most = if method == Method::GET { 2 } else { 1 };
        assert!(times <= most, "{method} {number} came {times} times");
        match status {
            Some(200) => assert!(times > 0, "{method} {number} was answered by nobody"),
            Some(status) => assert!(matches!(status, 502..=504), "{method} {number}: {status}"),
            None => {}
        }
        answered += usize::from(status == Some(200));
    }
    assert!(answered * 10 > REQUESTS * 9, "only {answered} of {REQUESTS} were answered");
    eventually("service as ever", async || {
        let mut asker = storm.client.asker(downstream).await.ok()?;
        let answer = asker.ask(Method::GET, "/", &[("x-id", "after")], "").await.ok()?;
        (answer.status == 200).then_some(())
    })
    .await;
}

impl Storm {
    /// Waits until so many requests have an outcome, or all have one.
    async fn reaches(&self, count: usize) {
        let mut done = self.done.subscribe();
        let reached = done.wait_for(|done| *done >= count);
        within("so many outcomes", reached).await.unwrap();
    }
}

/// Asks until all was asked; each outcome is a status, or none if the answer broke off.
async fn ask_on_and_on(storm: Arc<Storm>) -> Vec<(usize, Option<u16>)> {
    let mut outcomes = Vec::new();
    let mut asker = storm.client.asker(storm.version).await.unwrap();
    loop {
        let number = storm.next.fetch_add(1, Ordering::SeqCst);
        if number >= REQUESTS {
            return outcomes;
        }
        let id = number.to_string();
        let (method, content) = kind(number);
        if !asker.is_open().await {
            asker = storm.client.asker(storm.version).await.unwrap();
        }
        let answer = asker.ask(method, "/", &[("x-id", &id)], content).await;
        let status = answer.ok().map(|answer| {
            assert!(answer.status != 200 || answer.body == id, "{id} got {:?}", answer.body);
            answer.status
        });
        outcomes.push((number, status));
        storm.done.send_modify(|done| *done += 1);
    }
}

const REQUESTS: usize = 10_000;
const CLIENTS: usize = 16;
/// Requests from one end of an endpoint to the next.
const ROUND: usize = 500;

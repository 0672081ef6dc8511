//! A collector that is away, slow, busy or choosy, that is another one all at once, or that has to
//! prove who it is.

use std::collections::BTreeSet;
use std::fs;
use std::time::{Duration, Instant};

use portunus_tests::wait::eventually;
use portunus_tests::{
    ClientAuthority, Collector, Proxy, authority, http, https, now, unreachable, write_and_rename,
};

use super::{endpoint, traced};
use crate::http::{NAME, ask, get};

const EXPORTED: &str = "portunus_traces_exported_total";

/// Asks so often, and says how long the longest answer took.
async fn ask_often(proxy: &Proxy, count: usize) -> Duration {
    let mut longest = Duration::ZERO;
    for _ in 0..count {
        let since = Instant::now();
        assert_eq!(ask(proxy, get("/", "")).await.unwrap().status, 200);
        longest = longest.max(since.elapsed());
    }
    longest
}

#[tokio::test(flavor = "multi_thread")]
async fn no_request_waits_for_a_collector_that_is_away() {
    let nowhere = unreachable();
    let url = format!("\"http://{}\"", nowhere.endpoint());
    let builder = Proxy::builder().set("traces.endpoint", &url);
    let proxy = builder.listener(https(NAME)).backend(http()).start().await;
    let said = "spans cannot be sent; requests do not wait for them";
    ask_often(&proxy, 1).await;
    proxy.wait_for_log(said, &[]).await;
    let longest = ask_often(&proxy, 20).await;
    assert!(longest < Duration::from_secs(5), "{longest:?}");
    // What is left is given up at the end, and the end does not wait for it either.
    let since = Instant::now();
    let exit = proxy.drain().await;
    assert_eq!(exit.code, Some(0));
    assert!(since.elapsed() < Duration::from_secs(10), "{:?}", since.elapsed());
    assert_eq!(exit.log.iter().filter(|line| line.contains(said)).count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_busy_collector_does_not_take_is_sent_again() {
    let Some(mut collector) = Collector::start().await else { return };
    let builder = traced(&collector).set("traces.timeout", "\"500ms\"");
    let proxy = builder.listener(https(NAME)).backend(http()).start().await;
    let mut asked = 0;
    for order in ["status 429 1", "status 503", "silent"] {
        collector.answer(order).await;
        ask_often(&proxy, 1).await;
        asked += 1;
        let before = collector.requests().len();
        collector.wait_for_requests(before + 1).await;
        collector.answer("taken").await;
        // One that was taken too late for the proxy to hear of it comes once more.
        let spans = eventually("spans at a collector", async || {
            let spans = collector.spans().into_iter();
            let spans = spans.filter(|span| span["kind"] == "SPAN_KIND_SERVER");
            let spans: BTreeSet<_> = spans.map(|span| span["span"].to_string()).collect();
            (spans.len() >= asked).then_some(spans)
        });
        assert_eq!(spans.await.len(), asked, "{order}");
    }
    proxy.wait_for_metric(EXPORTED, &[("result", "taken")], |spans| spans == 6.0).await;
    proxy.wait_for_log("spans are sent again", &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_collector_does_not_want_is_counted_and_not_sent_again() {
    let Some(mut collector) = Collector::start().await else { return };
    let proxy = traced(&collector).listener(https(NAME)).backend(http()).start().await;
    collector.answer("partial 1").await;
    ask_often(&proxy, 1).await;
    proxy.wait_for_metric(EXPORTED, &[("result", "rejected")], |spans| spans == 1.0).await;
    proxy.wait_for_metric(EXPORTED, &[("result", "taken")], |spans| spans == 1.0).await;
    collector.answer("status 400").await;
    ask_often(&proxy, 1).await;
    proxy.wait_for_metric(EXPORTED, &[("result", "refused")], |spans| spans == 2.0).await;
    assert_eq!(collector.requests().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_spans_of_the_last_requests_are_sent_before_the_process_ends() {
    let Some(collector) = Collector::start().await else { return };
    let proxy = traced(&collector).listener(https(NAME)).backend(http()).start().await;
    ask_often(&proxy, 3).await;
    assert_eq!(proxy.drain().await.code, Some(0));
    assert_eq!(collector.wait_for("SERVER", 3).await.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_has_spans_go_elsewhere_or_nowhere() {
    let (Some(first), Some(second)) = (Collector::start().await, Collector::start().await) else {
        return;
    };
    let proxy = traced(&first).taking_orders().listener(https(NAME)).backend(http()).start().await;
    let mut kept = crate::http::connect(&proxy).await;
    let mut buffer = Vec::new();
    let mut ask_kept = async || {
        kept.send(get("/", "").as_bytes()).await;
        portunus_tests::read_response(&mut kept, &mut buffer).await.unwrap()
    };
    ask_kept().await;
    let path = proxy.folder().join("config.toml");
    let text = fs::read_to_string(&path).unwrap();
    let (from, to) = (endpoint(&first), endpoint(&second));
    write_and_rename(&path, &text.replace(&from, &to));
    assert_eq!(proxy.order("/reload").await.0, 200);
    // The connection is the same, and what it brings goes to the other one.
    ask_kept().await;
    assert_eq!(second.wait_for("SERVER", 1).await.len(), 1);
    assert_eq!(first.wait_for("SERVER", 1).await.len(), 1);
    write_and_rename(&path, &text.replace(&format!("endpoint = {from}"), "sample = 1.0"));
    assert_eq!(proxy.order("/reload").await.0, 200);
    ask_kept().await;
    assert_eq!(proxy.drain().await.code, Some(0));
    assert_eq!((first.requests().len(), second.requests().len()), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_is_believed_by_its_certificate_and_told_who_we_are() {
    let services = ClientAuthority::new("collectors");
    let credential = services.issue_server(&["localhost"], now() - 60, now() + 3_600);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("collector.pem");
    fs::write(&file, credential.pem()).unwrap();
    let Some(collector) = Collector::start_secure(&file).await else { return };
    let url = format!("\"https://localhost:{}/otlp\"", collector.address().port());
    let proxy = async |ca: &str| {
        Proxy::builder()
            .set("traces.endpoint", &url)
            .set("traces.ca", "\"collectors.pem\"")
            .set("traces.headers", "{ authorization = \"file:token\", x-tenant = \"a\" }")
            .file("collectors.pem", ca)
            .file("token", "Bearer of-a-file\n")
            .certificate(NAME, &authority().issue(&[NAME]))
            .listener(https(NAME))
            .backend(http())
            .start()
            .await
    };
    let stranger = proxy(&ClientAuthority::new("others").pem()).await;
    ask_often(&stranger, 1).await;
    stranger.wait_for_log("spans cannot be sent; requests do not wait for them", &[]).await;
    assert!(collector.requests().is_empty());
    // Other authorities in the same file are believed without any other change.
    write_and_rename(&stranger.folder().join("collectors.pem"), &services.pem());
    stranger.reload().await;
    collector.wait_for("SERVER", 1).await;
    drop(stranger);
    let proxy = proxy(&services.pem()).await;
    ask_often(&proxy, 1).await;
    collector.wait_for("SERVER", 2).await;
    let request = collector.requests().remove(1);
    assert_eq!(request["path"], "/otlp");
    assert_eq!(request["headers"]["authorization"], "Bearer of-a-file");
    assert_eq!(request["headers"]["x-tenant"], "a");
    let log = proxy.drain().await.log.join("\n");
    assert!(!log.contains("of-a-file"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_file_of_authorities_refuses_the_configuration() {
    let builder = Proxy::builder()
        .set("traces.endpoint", "\"https://localhost:1\"")
        .set("traces.ca", "\"nowhere.pem\"");
    let (_folder, process) = builder.listener(https(NAME)).backend(http()).spawn();
    assert_eq!(process.exit().await.code(), Some(1));
    let said = process.text().join("\n");
    assert!(said.contains("nowhere.pem"), "{said}");
}

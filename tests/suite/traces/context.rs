//! What travels with a request: W3C Trace Context, from whom it is heard and what a backend gets.

use portunus_tests::{Collector, Proxy, http, https};

use super::traced;
use crate::http::{NAME, ask, get};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const SPAN: &str = "b7ad6b7169203331";

/// Fields of a request that belongs to a trace.
fn fields(flags: &str) -> String {
    format!("TraceParent: 00-{TRACE}-{SPAN}-{flags}\r\ntracestate: a=1\r\nTraceState: b=2\r\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_trace_of_a_trusted_peer_goes_on_and_that_of_a_stranger_does_not() {
    let Some(collector) = Collector::start().await else { return };
    let backend = http();
    let trusting = https(NAME).with("trusted_peers", "[\"127.0.0.1\"]");
    let proxy = traced(&collector).listener(trusting).backend(&backend).start().await;
    ask(&proxy, get("/", &fields("01"))).await.unwrap();
    let served = collector.wait_for("SERVER", 1).await.remove(0);
    let called = collector.wait_for("CLIENT", 1).await.remove(0);
    assert_eq!((&served["trace"], &served["parent"]), (&TRACE.into(), &SPAN.into()));
    assert_eq!((&served["state"], &called["state"]), (&"a=1,b=2".into(), &"a=1,b=2".into()));
    assert_eq!((&served["flags"], &called["flags"]), (&0x301.into(), &0x101.into()));
    let seen = backend.last();
    let span = called["span"].as_str().unwrap();
    assert_eq!(seen.field("traceparent"), format!("00-{TRACE}-{span}-01"));
    assert_eq!(seen.field("tracestate"), "a=1|b=2");

    let proxy = traced(&collector).listener(https(NAME)).backend(&backend).start().await;
    ask(&proxy, get("/", &fields("01"))).await.unwrap();
    let served = collector.wait_for("SERVER", 2).await.remove(1);
    assert_ne!(served["trace"], TRACE);
    assert_eq!((&served["parent"], &served["state"]), (&"".into(), &"".into()));
    let told = backend.last();
    assert!(!told.field("traceparent").contains(TRACE) && told.field("tracestate").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_began_a_trace_decides_whether_it_is_recorded() {
    let Some(collector) = Collector::start().await else { return };
    let backend = http();
    let builder = traced(&collector).set("traces.parent", "\"accept\"");
    let proxy = builder.set("traces.sample", "0.0").listener(https(NAME)).backend(&backend);
    let proxy = proxy.start().await;
    ask(&proxy, get("/", &fields("00"))).await.unwrap();
    let seen = backend.last();
    assert_eq!(seen.field("traceparent"), format!("00-{TRACE}-{SPAN}-00"));
    assert_eq!(seen.field("tracestate"), "a=1|b=2");
    // Nobody began one: it begins here, unrecorded, and the backend hears of that.
    ask(&proxy, get("/", "tracestate: c=3\r\n")).await.unwrap();
    let seen = backend.last();
    assert!(seen.field("traceparent").ends_with("-00") && seen.field("tracestate").is_empty());
    ask(&proxy, get("/last", &fields("01"))).await.unwrap();
    let spans = collector.wait_for("SERVER", 1).await;
    assert_eq!((spans.len(), &spans[0]["trace"]), (1, &TRACE.into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_collector_traces_of_others_pass_as_they_are() {
    let backend = http();
    let proxy = Proxy::builder().listener(https(NAME)).backend(&backend).start().await;
    ask(&proxy, get("/", &fields("01"))).await.unwrap();
    let seen = backend.last();
    assert_eq!(seen.field("traceparent"), format!("00-{TRACE}-{SPAN}-01"));
    ask(&proxy, get("/", "")).await.unwrap();
    assert_eq!(backend.last().field("traceparent"), "");
}

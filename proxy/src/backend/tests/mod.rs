//! Endpoints that refuse, that do not exist, that come and go.

mod introductions;
mod waits;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::net::{TcpListener, UnixListener};

use super::*;
use crate::config::Balance;
use crate::drain::Drain;
use crate::metrics::{Exposition, Metrics};
use crate::net::Socket;
use crate::proxy_protocol::Introduction;

async fn listening() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    (listener, addr)
}

/// An address where nobody listens.
async fn refusing() -> String {
    listening().await.1
}

fn backend(endpoints: &[String], balance: Balance) -> (Arc<Backend>, Metrics) {
    let metrics = Metrics::new();
    let config = config(endpoints, balance);
    (Backend::new(&config, Arc::default(), metrics.backend("app")).unwrap(), metrics)
}

fn config(endpoints: &[String], balance: Balance) -> config::Backend {
    let text = format!(
        "[listener.a]\nlisten = ['[::]:1']\nbackend = 'app'\n\
         [backend.app]\nendpoints = {endpoints:?}\n",
    );
    let config = config::Config::parse(&text, "config.toml", Path::new("/")).unwrap();
    config::Backend { balance, ..config.backends.into_iter().next().unwrap() }
}

fn text(metrics: &Metrics) -> String {
    metrics.encode(Exposition::Text)
}

fn peer(dedicated: &Dedicated) -> SocketAddr {
    let Link::Clear(Socket::Tcp(tcp)) = &dedicated.link else {
        unreachable!("all endpoints are TCP")
    };
    tcp.peer_addr().unwrap()
}

#[tokio::test]
async fn an_endpoint_that_did_not_answer_is_down_until_it_does() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.sock");
    let (backend, metrics) = backend(&[format!("unix:{}", path.display())], Balance::RoundRobin);
    let is_down = || backend.report().endpoints[0].is_down;
    let is_shown_up = || {
        let text = text(&metrics);
        let mut lines = text.lines().filter(|line| line.starts_with("portunus_endpoint_up{"));
        lines.all(|line| line.ends_with(" 1"))
    };
    let connect = async || backend.connect(None, &Introduction::default()).await.is_ok();
    assert!(!is_down(), "nobody has asked it yet");
    assert!(!connect().await);
    assert!(is_down(), "although nothing else is to be had, so that it is not ejected");
    assert!(!is_shown_up());
    let listener = UnixListener::bind(&path).unwrap();
    assert!(connect().await);
    assert!(!is_down() && is_shown_up());
    let kept = backend.members.choose(None, &[]).unwrap();
    drop(listener);
    assert!(!connect().await && is_down());
    kept.note(Verdict::Good);
    assert!(!is_down() && is_shown_up(), "it answers over a connection that it had already");
}

#[tokio::test]
async fn the_next_endpoint_is_tried_when_one_refuses() {
    let (_listener, open) = listening().await;
    let refusing = refusing().await;
    let (backend, metrics) = backend(&[refusing.clone(), open.clone()], Balance::RoundRobin);
    for _ in 0..4 {
        assert_eq!(
            peer(&backend.connect(None, &Introduction::default()).await.unwrap()).to_string(),
            open
        );
    }
    let text = text(&metrics);
    for line in [
        "portunus_backend_errors_total{backend=\"app\",reason=\"connect_refused\"} 2".to_owned(),
        "portunus_backend_retries_total{backend=\"app\"} 2".to_owned(),
        format!("portunus_endpoint_up{{backend=\"app\",endpoint=\"{open}\"}} 1"),
        format!("portunus_endpoint_up{{backend=\"app\",endpoint=\"{refusing}\"}} 0"),
        "portunus_backend_connections_active{backend=\"app\"} 0".to_owned(),
    ] {
        assert!(text.contains(&line), "{line} is not in\n{text}");
    }
}

#[tokio::test]
async fn an_error_names_the_backend_and_the_endpoint() {
    let refusing = refusing().await;
    let (backend, _) = backend(std::slice::from_ref(&refusing), Balance::P2c);
    let error = backend.connect(None, &Introduction::default()).await.unwrap_err();
    let expected = format!("cannot connect to endpoint {refusing} of backend `app`");
    assert_eq!(error.to_string(), expected);
    assert_eq!(error.failure(), BackendFailure::ConnectRefused);
    let source = std::error::Error::source(&error).unwrap();
    assert_eq!(source.to_string(), "connection refused");
    assert!(matches!(error, ConnectError::Dial { all_tried: true, .. }));
}

#[tokio::test]
async fn no_more_endpoints_are_tried_than_the_limit_allows() {
    let mut endpoints = Vec::new();
    for _ in 0..5 {
        endpoints.push(refusing().await);
    }
    let (backend, metrics) = backend(&endpoints, Balance::P2c);
    let error = backend.connect(None, &Introduction::default()).await.unwrap_err();
    assert!(matches!(error, ConnectError::Dial { all_tried: false, .. }));
    let tried = Limits::default().connect_attempts_max;
    let line = format!(
        "portunus_backend_errors_total{{backend=\"app\",reason=\"connect_refused\"}} {tried}"
    );
    assert!(text(&metrics).contains(&line), "{line}");
}

#[tokio::test]
async fn connections_that_are_held_are_load() {
    let (_one, first) = listening().await;
    let (_two, second) = listening().await;
    let (backend, _) = backend(&[first.clone(), second], Balance::P2c);
    let mut held = Vec::new();
    for _ in 0..20 {
        held.push(backend.connect(None, &Introduction::default()).await.unwrap());
    }
    let on_first = held.iter().filter(|held| peer(held).to_string() == first).count();
    assert_eq!(on_first, 10);
}

#[tokio::test]
async fn unix_sockets_are_endpoints() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.sock");
    let name = format!("unix:{}", path.display());
    let (backend, _) = backend(&[name], Balance::P2c);
    let error = backend.connect(None, &Introduction::default()).await.unwrap_err();
    assert_eq!(error.failure(), BackendFailure::ConnectRefused);
    let _listener = UnixListener::bind(&path).unwrap();
    assert!(matches!(
        backend.connect(None, &Introduction::default()).await.unwrap().link,
        Link::Clear(Socket::Unix(_))
    ));
}

#[tokio::test]
async fn a_name_is_resolved_before_it_is_needed() {
    let (listener, _) = listening().await;
    let port = listener.local_addr().unwrap().port();
    let (backend, _) = backend(&[format!("localhost:{port}")], Balance::P2c);
    let error = backend.connect(None, &Introduction::default()).await.unwrap_err();
    assert_eq!(error.failure(), BackendFailure::NoEndpoint);
    backend.resolve_now(&Resolver::default()).await;
    backend.connect(None, &Introduction::default()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn maintenance_ends_with_the_process() {
    let (backend, _) = backend(&["127.0.0.1:9".to_owned()], Balance::P2c);
    let (drain, watch) = Drain::new();
    watch.spawn(backend.maintain(Arc::default(), watch.clone()));
    drop(watch);
    assert_eq!(drain.drain(Duration::from_secs(3600)).await, 0);
}

#[tokio::test]
async fn an_attempt_waits_its_turn_to_connect_but_not_for_ever() {
    let (_listener, addr) = listening().await;
    let config = config(&[addr], Balance::P2c);
    let connect_timeout = Duration::from_millis(50);
    let limits = Limits { connects_max: 1, connect_timeout, ..Limits::default() };
    let metrics = Metrics::new();
    let backend = Backend::new(&config, Arc::new(limits), metrics.backend("app")).unwrap();
    let turn = backend.turns.take().await;
    let error = backend.connect(None, &Introduction::default()).await.unwrap_err();
    assert_eq!(error.failure(), BackendFailure::ConnectTimeout);
    drop(turn);
    backend.connect(None, &Introduction::default()).await.unwrap();
}

/// A backend at one endpoint that takes connections and says nothing, and how many it took.
async fn silent(keys: &str) -> (Arc<Backend>, Arc<AtomicUsize>, Drain, DrainWatch) {
    let (drain, watch) = Drain::new();
    let (listener, addr) = listening().await;
    let accepted = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&accepted);
    watch.spawn(async move {
        let mut open = Vec::new();
        while let Ok((socket, _)) = listener.accept().await {
            count.fetch_add(1, Ordering::SeqCst);
            open.push(socket);
        }
    });
    let text = format!(
        "[listener.a]\nlisten = ['[::]:1']\nbackend = 'app'\n\
         [backend.app]\nendpoints = ['{addr}']\n{keys}\n"
    );
    let config = config::Config::parse(&text, "config.toml", Path::new("/")).unwrap();
    let limits = Limits { connect_timeout: Duration::from_millis(100), ..Limits::default() };
    let metrics = Metrics::new().backend("app");
    let backend = Backend::new(&config.backends[0], Arc::new(limits), metrics).unwrap();
    watch.spawn(Arc::clone(&backend).maintain(Arc::default(), watch.clone()));
    (backend, accepted, drain, watch)
}

async fn lease(backend: &Backend) -> Result<Lease, ConnectError> {
    backend.lease(None, Speech::Any, Reuse::Allowed).await
}

#[tokio::test]
async fn a_shared_connection_has_a_limited_number_of_streams() {
    let (backend, accepted, ..) = &silent("protocol = 'h2c'\nstreams = 2").await;
    let mut held = Vec::new();
    for _ in 0..5 {
        held.push(lease(backend).await.unwrap());
    }
    assert_eq!(backend.metrics().connections_active.get(), 3);
    held.truncate(4);
    held.push(lease(backend).await.unwrap());
    assert_eq!(backend.metrics().connections_active.get(), 3);
    while accepted.load(Ordering::SeqCst) < 3 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn those_who_come_at_the_same_time_share_a_connection() {
    let (backend, ..) = &silent("protocol = 'h2c'").await;
    let leases = futures_util::future::join_all((0..50).map(|_| lease(backend))).await;
    assert!(leases.iter().all(Result::is_ok));
    assert_eq!(backend.metrics().connections_active.get(), 1);
}

#[tokio::test]
async fn there_are_no_more_connections_than_the_limit_allows() {
    for keys in ["max_connections = 2", "max_connections = 2\nprotocol = 'h2c'\nstreams = 1"] {
        let (backend, ..) = &silent(keys).await;
        let mut held = vec![lease(backend).await.unwrap(), lease(backend).await.unwrap()];
        let error = lease(backend).await.unwrap_err();
        assert_eq!(error.failure(), BackendFailure::Full, "{keys}");
        // Whoever waits gets what comes free.
        let (next, ()) = tokio::join!(lease(backend), async {
            tokio::task::yield_now().await;
            held.pop();
        });
        next.unwrap();
        assert!(backend.metrics().connections_active.get() <= 2);
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_is_too_old_gets_nothing_new() {
    let (backend, ..) = &silent("protocol = 'h2c'\nconnection_age = '1m'").await;
    let old = lease(backend).await.unwrap();
    tokio::time::advance(Duration::from_secs(59)).await;
    drop(lease(backend).await.unwrap());
    assert_eq!(backend.metrics().connections_active.get(), 1);
    tokio::time::advance(Duration::from_secs(1)).await;
    let _new = lease(backend).await.unwrap();
    assert_eq!(backend.metrics().connections_active.get(), 2);
    // With its last stream it ends.
    drop(old);
    while backend.metrics().connections_active.get() > 1 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn an_endpoint_that_has_left_keeps_only_what_is_in_use() {
    let (backend, ..) = &silent("").await;
    let (used, waiting) = (lease(backend).await.unwrap(), lease(backend).await.unwrap());
    let late = lease(backend).await.unwrap();
    waiting.give_back();
    assert_eq!(backend.metrics().connections_active.get(), 3);
    backend.members.replace(Vec::new());
    assert_eq!(backend.metrics().connections_active.get(), 2);
    // Given back behind the endpoint's back.
    late.give_back();
    backend.members.sweep(Instant::now());
    assert_eq!(backend.metrics().connections_active.get(), 1);
    drop(used);
    assert_eq!(backend.metrics().connections_active.get(), 0);
}

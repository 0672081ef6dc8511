//! Those who wait for a connection: how long, what for, and what they hear if there is none.

use std::sync::Mutex;

use futures_util::future::join_all;

use super::*;
use crate::config::{BackendProtocol, PoolBounds};

/// A backend with one endpoint, maintained.
fn maintained(
    endpoint: &str,
    protocol: BackendProtocol,
    connections_max: usize,
) -> (Arc<Backend>, Metrics, Drain) {
    let metrics = Metrics::new();
    let config = config(&[endpoint.to_owned()], Balance::P2c);
    let pool = PoolBounds { connections_max, ..config.pool };
    let config = config::Backend { protocol, pool, ..config };
    let backend = Backend::new(&config, Arc::default(), metrics.backend("app")).unwrap();
    let (drain, watch) = Drain::new();
    let _ = backend.watch.set(watch.downgrade());
    watch.spawn(Arc::clone(&backend).maintain(Arc::default(), watch.clone()));
    (backend, metrics, drain)
}

/// An endpoint that takes nothing: the queue of its socket is full.
async fn black_hole() -> (TcpListener, Vec<tokio::net::TcpStream>, String) {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(0).unwrap();
    let addr = listener.local_addr().unwrap();
    let mut queue = Vec::new();
    let moment = Duration::from_millis(200);
    while let Ok(Ok(one)) = tokio::time::timeout(moment, tokio::net::TcpStream::connect(addr)).await
    {
        queue.push(one);
    }
    (listener, queue, addr.to_string())
}

#[tokio::test]
async fn those_who_wait_for_a_connection_hear_why_there_is_none() {
    let (_listener, _queue, hole) = black_hole().await;
    let (backend, metrics, _drain) = maintained(&hole, BackendProtocol::Http2, 9);
    let limit = Limits::default().connect_timeout;
    let start = Instant::now();
    let asked = Mutex::new(Vec::new());
    join_all((0..10).map(|_| async {
        let error = backend.lease(None, Speech::Any, Reuse::Allowed).await.unwrap_err();
        asked.lock().unwrap().push((start.elapsed(), error));
    }))
    .await;
    for (elapsed, error) in asked.into_inner().unwrap() {
        assert!(elapsed >= limit && elapsed < limit * 5, "{elapsed:?}, one after another");
        assert_eq!(error.failure(), BackendFailure::ConnectTimeout);
    }
    let attempts = "portunus_backend_errors_total{backend=\"app\",reason=\"connect_timeout\"} 1\n";
    assert!(text(&metrics).contains(attempts), "one attempt is one failure");
}

#[tokio::test]
async fn who_comes_after_a_failure_tries_again() {
    let (listener, addr) = listening().await;
    drop(listener);
    let (backend, metrics, _drain) = maintained(&addr, BackendProtocol::Http2, 9);
    for count in 1..=3 {
        let error = backend.lease(None, Speech::Any, Reuse::Allowed).await.unwrap_err();
        assert_eq!(error.failure(), BackendFailure::ConnectRefused);
        let line = format!("{{backend=\"app\",reason=\"connect_refused\"}} {count}\n");
        assert!(text(&metrics).contains(&line), "{count}");
    }
    let _listener = TcpListener::bind(&addr).await.unwrap();
    backend.lease(None, Speech::Any, Reuse::Allowed).await.unwrap();
}

#[tokio::test]
async fn what_is_not_in_use_makes_room() {
    let active = |metrics: &Metrics, count: usize| {
        let line = format!("portunus_backend_connections_active{{backend=\"app\"}} {count}\n");
        text(metrics).contains(&line)
    };
    for protocol in [BackendProtocol::Http1, BackendProtocol::Http2] {
        let (_listener, addr) = listening().await;
        let (backend, metrics, _drain) = maintained(&addr, protocol, 1);
        backend.lease(None, Speech::Any, Reuse::Allowed).await.unwrap().give_back();
        assert!(active(&metrics, 1), "{protocol:?}");
        let held = backend.connect(None, &Introduction::default()).await.unwrap();
        // What is in use does not.
        let error = backend.connect(None, &Introduction::default()).await.unwrap_err();
        assert_eq!(error.failure(), BackendFailure::Full);
        drop(held);
    }
}

//! Exchanges that share a connection and do not wait for each other.

use std::future::poll_fn;
use std::pin::Pin;

use http_body::Body as _;

use super::*;
use crate::backend::{Lease, Reuse, Speech, Upload};
use crate::body::Incoming;

const LENGTH: usize = 64 * 1024;

/// As much as the window of a stream takes.
fn a_window(mut asked: Asked) -> Answering {
    Box::pin(async move {
        let mut body = asked.respond.send_response(Response::new(()), false).unwrap();
        body.send_data(Bytes::from(vec![b'x'; LENGTH]), true).unwrap();
    })
}

/// Asks for one, and takes nothing of it but the head.
async fn ask(backend: &Backend) -> (Lease, Incoming) {
    let mut lease = backend.lease(None, Speech::Any, Reuse::Allowed).await.unwrap();
    let request = Request::get("/").header("host", "app.example").body(Upload::none()).unwrap();
    let response = lease.send(request, None).await.unwrap();
    (lease, response.into_body())
}

#[tokio::test]
async fn clients_that_take_nothing_hold_up_nobody_else() {
    let (_drain, watch) = Drain::new();
    let endpoint = Endpoint::start(&watch, a_window).await;
    let keys = format!("endpoints = ['{}']\nprotocol = 'http2'", endpoint.addr);
    let (_, _, backend) =
        service_before(&keys, |_| {}, &[], &config::Behind::forwarding(0), |_| {});
    let (_of_backend, backend_watch) = Drain::new();
    watch.spawn(Arc::clone(&backend).maintain(Arc::default(), backend_watch));
    let streams_max = 100;
    let mut idle = Vec::new();
    for _ in 1..streams_max {
        idle.push(ask(&backend).await);
    }
    let (_lease, mut body) = ask(&backend).await;
    let mut length = 0;
    while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        length += frame.unwrap().into_data().unwrap().len();
    }
    assert_eq!(length, LENGTH);
    assert_eq!(endpoint.connections(), 1);
}

//! Which responses are failures of the endpoint that gave them.

use std::sync::Arc;

use super::*;

/// A backend that is given up after two failures, with something to fall back on.
fn service(addr: &str, statuses: &str) -> (Arc<HttpService>, Metrics) {
    let keys = format!(
        "endpoints = ['{addr}', {{ address = 'unix:/nowhere', backup = true }}]\n\
         ejection = {{ failures = 2, {statuses} }}"
    );
    let places = [Place { host: "app.example", ..Place::default() }];
    let behind = config::Behind::forwarding(0);
    let (service, metrics, _) = service_before(&keys, |_| {}, &places, &behind, |_| {});
    (service, metrics)
}

/// Whether an endpoint is left out that gives two clients this answer and closes.
async fn is_left_out(request: &str, answer: &'static str, statuses: &str) -> bool {
    let script = vec![say(answer).and_close()];
    let mut first = Client::at(vec![script], |addr| service(addr, statuses), facts()).await;
    let shared = (Arc::clone(&first.service), Metrics::new());
    let mut second = Client::at(vec![vec![say("")]], |_| shared, facts()).await;
    for client in [&mut first, &mut second] {
        client.send(request).await;
        client.read_to_end().await;
    }
    assert_eq!(first.mock.received().len(), 2);
    first.metrics().contains("portunus_backend_ejections_total{backend=\"app\"} 1")
}

const GET: &str = "GET / HTTP/1.1\r\nHost: app.example\r\nConnection: close\r\n\r\n";
const BUSY: &str = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 2\r\n\r\nno";

#[tokio::test]
async fn an_application_that_refuses_a_client_is_not_taken_from_the_others() {
    assert!(!is_left_out(GET, BUSY, "").await);
    let gone = "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 2\r\n\r\nno";
    assert!(is_left_out(GET, gone, "").await);
    assert!(!is_left_out(GET, gone, "statuses = []").await);
    assert!(is_left_out(GET, BUSY, "statuses = ['502-504']").await);
}

#[tokio::test]
async fn an_endpoint_that_breaks_off_every_body_is_left_out() {
    let cut = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab";
    assert!(is_left_out(GET, cut, "").await);
    let whole = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab";
    assert!(!is_left_out(GET, whole, "").await);
    // The rest of the request never came: who knows what the endpoint made of that.
    let half = "POST / HTTP/1.1\r\nHost: app.example\r\nContent-Length: 9\r\n\r\n";
    assert!(!is_left_out(half, cut, "").await);
}

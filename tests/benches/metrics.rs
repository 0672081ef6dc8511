//! What numbers cost: to count them for a connection and for a request, and to tell them all.
//!
//! Owns the counts of a connection as `connection::report` and `forward` make them, and a set of
//! metrics as large as a large configuration's: 100 listeners, 10 backends with 500 endpoints,
//! 1,000 certificates.

mod measure;

use std::hint::black_box;

use portunus::metrics::{
    Active, BackendMetrics, BackendTrait, CodeClass, Direction, Exposition, Group, HandshakeKind,
    HttpVersion, ListenerMetrics, ListenerTrait, Meter, Metrics, Suite, TlsVersion,
};
use portunus::outcome::CloseReason;

use measure::{cpu, run};

fn main() {
    let metrics = large();
    let (listener, backend) = (metrics.listener("listener7"), metrics.backend("backend7"));
    run("metrics/connection", TIMES, || {
        cpu(|| (0..TIMES).for_each(|_| connection(black_box(&listener))))
    });
    run("metrics/request", TIMES, || {
        cpu(|| (0..TIMES).for_each(|_| request(black_box(&listener), black_box(&backend))))
    });
    for exposition in [Exposition::OpenMetrics, Exposition::Text] {
        let length = metrics.encode(exposition).len();
        run(&format!("metrics/scrape/{exposition:?}/{length}b"), SCRAPES, || {
            cpu(|| (0..SCRAPES).for_each(|_| drop(black_box(metrics.encode(exposition)))))
        });
    }
}

/// What a connection with a resumed handshake has counted, from accept to close.
fn connection(metrics: &ListenerMetrics) {
    metrics.connections.inc();
    let active = Active::new(&metrics.connections_active);
    let meter = Meter::new(&metrics.bytes);
    let kind = HandshakeKind::Ticket;
    metrics.handshakes.of(TlsVersion::V1_3, kind).inc();
    metrics.handshake_duration.of(kind).observe(black_box(0.000_7));
    metrics.ciphers.of(Suite::Tls13Aes128).inc();
    metrics.key_exchanges.of(Group::X25519).inc();
    meter.add(Direction::Upstream, black_box(500));
    meter.add(Direction::Downstream, black_box(1_500));
    metrics.connections_closed.of(CloseReason::Done).inc();
    metrics.connection_duration.observe(black_box(0.2));
    drop(active);
}

/// What a request has counted.
fn request(listener: &ListenerMetrics, backend: &BackendMetrics) {
    backend.request_duration.observe(black_box(0.003));
    backend.responses.of(CodeClass::Successful).inc();
    listener.http_requests.of(HttpVersion::H2, CodeClass::Successful).inc();
    listener.bytes.of(Direction::Upstream).inc_by(black_box(500));
    listener.bytes.of(Direction::Downstream).inc_by(black_box(1_500));
}

fn large() -> Metrics {
    let metrics = Metrics::new();
    let process = metrics.process();
    for number in 0..100 {
        let name = format!("listener{number}");
        metrics.expect_listener(&name, &LISTENER);
        let listener = metrics.listener(&name);
        (0..50).for_each(|_| connection(&listener));
    }
    for number in 0..10 {
        let name = format!("backend{number}");
        metrics.expect_backend(&name, &BACKEND);
        let backend = metrics.backend(&name);
        for endpoint in 0..50 {
            backend.endpoint_up(&format!("10.0.{number}.{endpoint}:8080")).set(1);
        }
    }
    for number in 0..1_000 {
        let certificate = format!("/etc/portunus/certs.d/site{number}.pem");
        process.certificate_not_before.with_label_values(&[&certificate]).set(1.7e9);
        process.certificate_not_after.with_label_values(&[&certificate]).set(1.8e9);
    }
    metrics
}

/// As `mode = "http"` and the defaults make it.
const LISTENER: [ListenerTrait; 6] = [
    ListenerTrait::Hello,
    ListenerTrait::Http,
    ListenerTrait::SessionIds,
    ListenerTrait::Stateful,
    ListenerTrait::Tls,
    ListenerTrait::Tls12,
];

const BACKEND: [BackendTrait; 2] = [BackendTrait::Ejection, BackendTrait::Http];

const TIMES: usize = 100_000;

const SCRAPES: usize = 20;

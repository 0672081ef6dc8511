//! The list of all metrics as a document for people, made from the same table as the metrics.

use std::fmt::Write as _;

use super::families::{Kind, TABLE};
use super::{
    BackendTrait, CodeClass, Exposition, Group, HandshakeKind, HttpVersion, ListenerTrait, Metrics,
    Suite, TlsVersion,
};
use crate::outcome::Label;

/// The reference of all metrics, as Markdown.
pub fn reference() -> String {
    let mut text = String::from(HEAD);
    for family in TABLE {
        let kind = match family.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram(_) => "histogram",
        };
        let labels: Vec<_> = family.labels.iter().map(|label| format!("`{label}`")).collect();
        let labels = if labels.is_empty() { "–".to_owned() } else { labels.join(", ") };
        // Writing to a String cannot fail.
        let _ = writeln!(text, "| `{}` | {kind} | {labels} | {} |", family.name, family.help);
    }
    text.push_str(COUNT);
    for (what, count) in counts() {
        let _ = writeln!(text, "| {what} | {count} |");
    }
    text
}

/// How many series there are for each thing that is configured.
fn counts() -> Vec<(&'static str, usize)> {
    let metrics = Metrics::new();
    let process = metrics.process();
    let mut told = lines(&metrics);
    let mut more = || {
        let before = std::mem::replace(&mut told, lines(&metrics));
        told - before
    };
    let mut counts = Vec::new();
    let listeners: [(_, &[_]); 3] = [
        ("a listener of `mode = \"http\"`", &[&ANY[..], &[ListenerTrait::Http]].concat()),
        ("a listener of `mode = \"tcp\"`", &[&ANY[..], &[ListenerTrait::Tcp]].concat()),
        ("any listener, at most", &ListenerTrait::ALL),
    ];
    for (what, traits) in listeners {
        metrics.expect_listener(what, traits);
        metrics.listener(what);
        if traits.len() == ListenerTrait::ALL.len() {
            have_all(&metrics, what);
        }
        counts.push((what, more()));
    }
    let backends: [(_, &[_]); 3] = [
        (
            "a backend of listeners of `mode = \"http\"`",
            &[BackendTrait::Ejection, BackendTrait::Http],
        ),
        ("a backend of listeners of `mode = \"tcp\"`", &[BackendTrait::Ejection]),
        ("any backend, at most", &BackendTrait::ALL),
    ];
    for (what, traits) in backends {
        metrics.expect_backend(what, traits);
        let backend = metrics.backend(what);
        if traits.len() == BackendTrait::ALL.len() {
            backend.show_credential(&(0..1));
            backend.responses.of(CodeClass::Informational).inc();
        }
        counts.push((what, more()));
    }
    metrics.backend(backends[0].0).endpoint_up("x");
    counts.push(("an endpoint", more()));
    for gauges in [&process.certificate_not_before, &process.certificate_not_after] {
        gauges.with_label_values(&["x"]);
    }
    counts.push(("a certificate", more()));
    process.staple_next_update.with_label_values(&["x"]);
    counts.push(("its OCSP staple", more()));
    metrics.backend(backends[0].0).show_crl("x", &(0..1));
    counts.push(("a revocation list", more()));
    counts.push(("the process, at most", PROCESS_MAX));
    counts
}

/// Has happen at this listener what does not stand at zero from the start.
fn have_all(metrics: &Metrics, name: &str) {
    let listener = metrics.listener(name);
    Group::ALL.iter().for_each(|group| listener.key_exchanges.of(*group).inc());
    Suite::ALL.iter().for_each(|suite| listener.ciphers.of(*suite).inc());
    for version in HttpVersion::ALL {
        listener.http_requests.of(*version, CodeClass::Informational).inc();
    }
    for version in TlsVersion::ALL {
        HandshakeKind::ALL.iter().for_each(|kind| listener.handshakes.of(*version, *kind).inc());
    }
}

fn lines(metrics: &Metrics) -> usize {
    let text = metrics.encode(Exposition::Text);
    text.lines().filter(|line| !line.starts_with('#')).count()
}

/// What a listener is by the defaults.
const ANY: [ListenerTrait; 5] = [
    ListenerTrait::Hello,
    ListenerTrait::SessionIds,
    ListenerTrait::Stateful,
    ListenerTrait::Tls,
    ListenerTrait::Tls12,
];

/// With a shared tier of sessions and traces; a test counts them.
const PROCESS_MAX: usize = 150;

const COUNT: &str = "
## How many series

Each bucket of a histogram is a series. What the configuration of a listener or a backend rules out
is not shown, so there are the fewer of them the less is configured; cipher suites and groups are
shown with the first handshake that has them, all else from the start. Sum up:

| for | series |
|---|---|
";

const HEAD: &str = "\
# Metrics

What `GET /metrics` on the admin listener shows, in Prometheus' text format or, to whoever asks for
it, as OpenMetrics 1.0. Times are in seconds, sizes in bytes. Label values are closed sets or names
from the configuration, never a server name, a host, a path or an address of a client, so the number
of series does not depend on traffic.

| name | kind | labels | meaning |
|---|---|---|---|
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reference_in_the_tree_is_that_of_the_code() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../dashboards/METRICS.md");
        if std::env::var_os("PORTUNUS_TEST_WRITE").is_some() {
            std::fs::write(path, reference()).expect("the tree can be written");
        }
        let written = std::fs::read_to_string(path).expect("the reference is in the tree");
        assert!(written == reference(), "PORTUNUS_TEST_WRITE=1 cargo test renews {path}");
    }
}

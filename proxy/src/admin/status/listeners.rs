//! What programs are told about listeners: where they wait, who came, and how it went.
//!
//! Owns the form. The numbers are those that Prometheus reads. Refuses to know sockets.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use crate::config::{Config, Entrance, Mode};
use crate::metrics::{Direction, HandshakeKind, ListenerMetrics, Metrics, TlsVersion};
use crate::net::ListenAddr;
use crate::outcome::{HandshakeFailure, Label};

/// What listeners are told from.
#[derive(Debug)]
pub struct Listeners(Vec<One>);

/// One of them.
#[derive(Debug)]
struct One {
    name: Arc<str>,
    mode: Mode,
    entrance: Entrance,
    starttls: Option<&'static str>,
    addresses: Vec<String>,
    numbers: ListenerMetrics,
}

impl Listeners {
    /// The listeners of `config`, which wait at `addresses`.
    pub fn new(config: &Config, addresses: &[(Arc<str>, ListenAddr)], metrics: &Metrics) -> Self {
        let one = |listener: &crate::config::Listener| {
            let here = addresses.iter().filter(|(name, _)| *name == listener.name);
            let mut addresses: Vec<_> = here.map(|(_, address)| address.to_string()).collect();
            // Several sockets may share an address.
            addresses.dedup();
            One {
                name: Arc::clone(&listener.name),
                mode: listener.mode,
                entrance: listener.entrance,
                starttls: listener.starttls.as_ref().map(|starttls| starttls.protocol.name()),
                addresses,
                numbers: metrics.listener(&listener.name),
            }
        };
        Self(config.listeners.iter().map(one).collect())
    }

    /// The facts of this moment.
    pub fn facts(&self) -> Value {
        self.0.iter().map(facts).collect()
    }
}

fn facts(listener: &One) -> Value {
    let One { name, mode, entrance, starttls, addresses, numbers } = listener;
    let pairs = TlsVersion::ALL.iter().flat_map(|version| {
        HandshakeKind::ALL.iter().map(|kind| numbers.handshakes.of(*version, *kind).get())
    });
    let failures = HandshakeFailure::ALL.iter().filter_map(|reason| {
        let count = numbers.handshake_failures.of(*reason).get();
        (count > 0).then(|| (reason.label().to_owned(), json!(count)))
    });
    let failures: Map<_, _> = failures.collect();
    json!({
        "listener": &**name,
        "mode": match mode {
            Mode::Http => "http",
            Mode::Tcp => "tcp",
        },
        "entrance": match entrance {
            Entrance::Clear => "clear",
            Entrance::Tls => "tls",
        },
        "starttls": starttls,
        "addresses": addresses,
        "connections": {
            "active": numbers.connections_active.get(),
            "total": numbers.connections.get(),
        },
        "handshakes": {
            "finished": pairs.sum::<u64>(),
            "failed": failures.values().filter_map(Value::as_u64).sum::<u64>(),
            "failures": failures,
        },
        "passed_through": numbers.passed_through.get(),
        "bytes": {
            "downstream": numbers.bytes.of(Direction::Downstream).get(),
            "upstream": numbers.bytes.of(Direction::Upstream).get(),
        },
    })
}

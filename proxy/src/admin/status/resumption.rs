//! What programs are told about resumption: how many clients came back, and to what.
//!
//! Owns the counting up and the rates. Everything is read from the numbers that Prometheus reads,
//! so that both tell the same. A rate is `null` where nothing happened yet. Refuses to know where
//! sessions lie.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use crate::config::{Config, ResumptionMode, SharedEngine};
use crate::metrics::{
    HandshakeKind, ListenerMetrics, Metrics, NotResumed, ProcessMetrics, TlsVersion,
};
use crate::outcome::Label;

/// What resumption is told from.
#[derive(Debug)]
pub struct Resumption {
    listeners: Vec<(Arc<str>, ResumptionMode, ListenerMetrics)>,
    shared: Option<&'static str>,
    process: ProcessMetrics,
}

impl Resumption {
    /// The numbers of what `config` says.
    pub fn new(config: &Config, metrics: &Metrics) -> Self {
        let listener = |listener: &crate::config::Listener| {
            let name = Arc::clone(&listener.name);
            let numbers = metrics.listener(&name);
            (name, listener.resumption, numbers)
        };
        let shared = config.resumption.shared.as_ref().map(|shared| match shared.engine {
            SharedEngine::Local { .. } => "file",
            SharedEngine::Redis { .. } => "redis",
        });
        let listeners = config.listeners.iter().map(listener).collect();
        Self { listeners, shared, process: metrics.process() }
    }

    /// The facts of this moment.
    pub fn facts(&self) -> Value {
        let Self { listeners, shared, process } = self;
        json!({
            "listeners": listeners.iter().map(listener_facts).collect::<Vec<_>>(),
            "memory": {
                "sessions": process.sessions.get(),
                "bytes": process.session_bytes.get(),
                "evictions": process.session_evictions.get(),
                "lookups": self.lookups("memory"),
            },
            "shared": shared.map(|store| json!({
                "store": store,
                "up": process.resumption_shared_up.get() == 1,
                "stored": process.resumption_shared_stored.get(),
                "dropped": process.resumption_shared_dropped.get(),
                "lookups": self.lookups("shared"),
            })),
            "tickets": {
                "key_age_seconds": process.ticket_key_age.get(),
                "lookups": self.lookups("ticket"),
            },
        })
    }

    /// The look-ups of a tier by result, and which part of them found something.
    fn lookups(&self, tier: &str) -> Value {
        let count =
            |result: &str| self.process.resumption_lookups.with_label_values(&[tier, result]).get();
        let total: u64 = RESULTS.iter().map(|result| count(result)).sum();
        let mut facts: Map<_, _> =
            RESULTS.iter().map(|result| ((*result).to_owned(), json!(count(result)))).collect();
        facts.insert("hit_rate".to_owned(), rate(count("hit"), total));
        Value::Object(facts)
    }
}

fn listener_facts((name, mode, numbers): &(Arc<str>, ResumptionMode, ListenerMetrics)) -> Value {
    let of_kind = |kind: HandshakeKind| -> u64 {
        TlsVersion::ALL.iter().map(|version| numbers.handshakes.of(*version, kind).get()).sum()
    };
    let kinds = HandshakeKind::ALL.iter();
    let handshakes: Map<_, _> =
        kinds.map(|kind| (kind.label().to_owned(), json!(of_kind(*kind)))).collect();
    let all: u64 = HandshakeKind::ALL.iter().map(|kind| of_kind(*kind)).sum();
    let resumed = all - of_kind(HandshakeKind::Full);
    let refused = |reason: &NotResumed| numbers.handshakes_not_resumed.of(*reason).get();
    let reasons = NotResumed::ALL.iter();
    let not_resumed: Map<_, _> =
        reasons.map(|reason| (reason.label().to_owned(), json!(refused(reason)))).collect();
    let came_back = resumed + NotResumed::ALL.iter().map(refused).sum::<u64>();
    json!({
        "listener": &**name,
        "mode": mode_label(*mode),
        "handshakes": handshakes,
        "not_resumed": not_resumed,
        "resumed_of_all": rate(resumed, all),
        "resumed_of_returning": rate(resumed, came_back),
    })
}

fn rate(part: u64, whole: u64) -> Value {
    if whole == 0 { Value::Null } else { json!(part as f64 / whole as f64) }
}

/// What the configuration calls it.
fn mode_label(mode: ResumptionMode) -> &'static str {
    match mode {
        ResumptionMode::Both => "both",
        ResumptionMode::Off => "off",
        ResumptionMode::Stateful => "stateful",
        ResumptionMode::Tickets => "tickets",
    }
}

const RESULTS: [&str; 6] = ["hit", "miss", "expired", "policy", "timeout", "error"];

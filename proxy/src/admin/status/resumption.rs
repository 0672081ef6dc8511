//! What programs are told about resumption: how many clients came back, and to what.
//!
//! Owns the counting up, the rates, and how both are written for people. Everything is read from
//! the numbers that Prometheus reads, so that both tell the same. A rate is `null` where nothing
//! happened yet. Refuses to know where sessions lie.

use std::sync::Arc;

use portunus_certs::session::trace::{LookupResult, Tier};
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
                "lookups": self.lookups(Tier::Memory),
            },
            "shared": shared.map(|store| json!({
                "store": store,
                "up": process.resumption_shared_up.shown().get() == 1,
                "stored": process.resumption_shared_stored.get(),
                "dropped": process.resumption_shared_dropped.get(),
                "lookups": self.lookups(Tier::Shared),
            })),
            "tickets": {
                "key_age_seconds": process.ticket_key_age.get(),
                "lookups": self.lookups(Tier::Ticket),
            },
        })
    }

    /// The look-ups of a tier by result, and which part of them found something.
    fn lookups(&self, tier: Tier) -> Value {
        let count = |result: LookupResult| {
            let labels = [tier.label(), result.label()];
            self.process.resumption_lookups.with_label_values(&labels).get()
        };
        let counts = LookupResult::ALL.map(|result| (result.label().to_owned(), count(result)));
        let total = counts.iter().map(|(_, count)| count).sum();
        let mut facts: Map<_, _> =
            counts.into_iter().map(|(result, count)| (result, json!(count))).collect();
        facts.insert("hit_rate".to_owned(), rate(count(LookupResult::Hit), total));
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

/// A rate of these facts for people.
pub fn percent(rate: Option<&Value>) -> String {
    match rate.and_then(Value::as_f64) {
        Some(rate) => format!("{:.1} %", rate * 100.0),
        None => "–".to_owned(),
    }
}

/// Those counts of an object of these facts that are not zero, for people.
pub fn counts(facts: Option<&Value>) -> String {
    let counts = facts.and_then(Value::as_object).into_iter().flatten();
    let seen = counts.filter(|(_, count)| count.as_u64().is_some_and(|count| count > 0));
    seen.map(|(name, count)| format!("{count} {name}")).collect::<Vec<_>>().join(", ")
}

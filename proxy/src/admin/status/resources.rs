//! What programs are told about what is used up: connections, handshakes, files, memory.
//!
//! Owns the form: what is used stands beside what may be. Refuses to know what happens at a limit.

use serde_json::{Map, Value, json};

use crate::config::Config;
use crate::limit::Pressure;
use crate::metrics::{Limit, Metrics, ProcessMetrics, Usage};
use crate::outcome::Label;

/// What resources are told from.
#[derive(Debug)]
pub struct Resources {
    connections_max: usize,
    handshakes_max: usize,
    process: ProcessMetrics,
}

impl Resources {
    /// The numbers beside what `config` allows.
    pub fn new(config: &Config, metrics: &Metrics) -> Self {
        Self {
            connections_max: config.server.connections_max,
            handshakes_max: config.limits.handshakes_max,
            process: metrics.process(),
        }
    }

    /// The facts of this moment, of which `connections` are open.
    pub fn facts(&self, connections: i64) -> Value {
        let Self { connections_max, handshakes_max, process } = self;
        let usage = Usage::read();
        let limit = process.memory_available.get();
        let hits = Limit::ALL
            .iter()
            .map(|limit| (limit.label().to_owned(), json!(process.limit_hits.of(*limit).get())));
        json!({
            "connections": { "used": connections, "max": connections_max },
            "handshakes": { "used": process.handshakes_pending.get(), "max": handshakes_max },
            "open_files": usage.as_ref().map(|usage| json!({
                "used": usage.open_fds,
                "max": usage.max_fds,
            })),
            "memory": {
                "resident_bytes": usage.map(|usage| usage.resident_bytes),
                "used_bytes": (limit > 0).then(|| process.memory_used.get()),
                "max_bytes": (limit > 0).then_some(limit),
                "pressure": pressure(process.memory_pressure.get()),
            },
            "limit_hits": hits.collect::<Map<_, _>>(),
            "workers_stalled": process.workers_stalled.get(),
            "panics": process.panics.get(),
            "log_lines_dropped": process.log_dropped.get(),
        })
    }
}

/// The word for a level of pressure that the gauge shows.
fn pressure(level: i64) -> &'static str {
    let levels =
        [(Pressure::Critical, "critical"), (Pressure::Severe, "severe"), (Pressure::High, "high")];
    let reached = levels.into_iter().find(|(least, _)| level >= i64::from(least.index()));
    reached.map_or("none", |(_, word)| word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_level_of_pressure_has_its_word() {
        assert_eq!([0, 1, 2, 3].map(pressure), ["none", "high", "severe", "critical"]);
    }
}

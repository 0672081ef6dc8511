//! What `/status` tells of what the process has given up.
//!
//! Owns the JSON. Refuses to know what a measure is.

use serde_json::{Map, Value, json};

use crate::config::Sandbox;
use crate::privilege::Report;

/// Each measure with what became of it.
pub fn confinement(report: &Report) -> Value {
    let measures: Map<_, _> = report
        .measures()
        .map(|(measure, standing)| {
            let facts = json!({ "standing": standing.label(), "detail": standing.detail() });
            (measure.label().to_owned(), facts)
        })
        .collect();
    json!({
        "sandbox": match report.sandbox() {
            Sandbox::Auto => "auto",
            Sandbox::Off => "off",
            Sandbox::Require => "require",
        },
        "missing": report.missing().map(|(measure, _)| measure.label()).collect::<Vec<_>>(),
        "measures": measures,
    })
}

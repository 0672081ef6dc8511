//! What programs are told about backends: which endpoints there are, and how they stand.
//!
//! Owns the form. Refuses to know how an endpoint came to stand as it does.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::backend::{Backend, EndpointReport};
use crate::metrics::Standing;
use crate::outcome::Label;

/// Every backend, each with at most `shown_max` of its endpoints.
pub fn backends(backends: &[Arc<Backend>], shown_max: usize) -> Value {
    backends.iter().map(|backend| backend_facts(backend, shown_max)).collect()
}

fn backend_facts(backend: &Backend, shown_max: usize) -> Value {
    let report = backend.report();
    json!({
        "backend": &*report.name,
        "endpoints":
            report.endpoints.iter().take(shown_max).map(endpoint_facts).collect::<Vec<_>>(),
        "total": report.endpoints.len(),
        "resolve_age_seconds": report.resolve_age.map(|age| age.as_secs()),
    })
}

fn endpoint_facts(endpoint: &EndpointReport) -> Value {
    json!({
        "endpoint": endpoint.name,
        "address": endpoint.addr.to_string(),
        "standing": standing(endpoint),
        "weight": endpoint.weight,
        "backup": endpoint.is_backup,
        "load": endpoint.load,
    })
}

/// How it stands. One that nothing takes away goes on being tried, whether or not it answers.
fn standing(endpoint: &EndpointReport) -> &'static str {
    match endpoint.standing {
        Standing::Usable if endpoint.is_down => "down",
        standing => standing.label(),
    }
}

//! Traces: what a collector hears of requests and connections, what backends hear of the trace, and
//! that no request ever waits for any of it.
//!
//! The collector decodes what arrives by OpenTelemetry's own classes. `spans` is about what they
//! say, `context` about what travels with a request, `collector` about one that fails, changes or
//! has to be believed.

mod collector;
mod context;
mod spans;

use portunus_tests::{Builder, Collector, Proxy};
use serde_json::Value;

/// A proxy whose spans go to `collector`.
fn traced(collector: &Collector) -> Builder {
    Proxy::builder().set("traces.endpoint", &endpoint(collector))
}

/// The URL of `collector`, as the configuration has it.
fn endpoint(collector: &Collector) -> String {
    format!("\"http://{}/v1/traces\"", collector.address())
}

/// An attribute of `span`.
fn about<'a>(span: &'a Value, name: &str) -> &'a Value {
    &span["attributes"][name]
}

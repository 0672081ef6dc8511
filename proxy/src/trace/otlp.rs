//! How a collector is spoken to: OTLP over HTTP, in Protocol Buffers.
//!
//! Owns the message around the spans, and what an answer means: what was taken, what never will be,
//! and what may be sent again, and when. All of it is pure. Refuses to know connections.

use std::time::Duration;

use http::header::RETRY_AFTER;
use http::{HeaderMap, StatusCode};

use super::proto::{Value, Writer, field};
use super::queue::Batch;

/// Who speaks.
#[derive(Clone, Debug)]
pub struct Resource<'a> {
    /// The name that the operator gives all processes that do the same.
    pub service: &'a str,
    /// Our version.
    pub version: &'a str,
    /// What the machine is called.
    pub host: &'a str,
    /// Which process it is.
    pub instance: &'a str,
}

/// What a collector makes of what it was sent.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Verdict {
    /// It may be sent again, no sooner than after this time if the collector has said so.
    Later(Option<Duration>),
    /// It is not wanted.
    Refused,
    /// It is there, but for so many spans.
    Taken {
        /// How many were not wanted.
        rejected: u64,
    },
}

/// The message with all spans of `batch`.
pub fn request(resource: &Resource<'_>, batch: &Batch) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(batch.bytes.len() + HEAD_BYTES);
    Writer::new(&mut bytes).message(RESOURCE_SPANS, |of_resource| {
        of_resource.message(RESOURCE, |about| {
            for (name, text) in [
                ("service.name", resource.service),
                ("service.version", resource.version),
                ("service.instance.id", resource.instance),
                ("host.name", resource.host),
            ] {
                about.message(RESOURCE_ATTRIBUTES, |pair| {
                    pair.bytes(KEY, name.as_bytes());
                    pair.message(VALUE, |value| value.bytes(STRING, text.as_bytes()));
                });
            }
        });
        of_resource.message(SCOPE_SPANS, |of_scope| {
            of_scope.message(SCOPE, |scope| {
                scope.bytes(SCOPE_NAME, b"portunus");
                scope.bytes(SCOPE_VERSION, resource.version.as_bytes());
            });
            of_scope.fields(&batch.bytes);
        });
    });
    bytes
}

/// What the answer with this `status`, these `headers` and this `body` means.
pub fn verdict(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Verdict {
    match status {
        StatusCode::OK => Verdict::Taken { rejected: rejected(body) },
        status if status.is_success() => Verdict::Taken { rejected: 0 },
        StatusCode::TOO_MANY_REQUESTS
        | StatusCode::BAD_GATEWAY
        | StatusCode::SERVICE_UNAVAILABLE
        | StatusCode::GATEWAY_TIMEOUT => Verdict::Later(retry_after(headers)),
        _ => Verdict::Refused,
    }
}

/// How many spans were not wanted, as the body of a good answer says.
fn rejected(mut body: &[u8]) -> u64 {
    while let Some((number, value, rest)) = field(body) {
        if let (PARTIAL_SUCCESS, Value::Bytes(mut partial)) = (number, value) {
            while let Some((number, value, rest)) = field(partial) {
                if let (REJECTED_SPANS, Value::Number(spans)) = (number, value) {
                    return spans;
                }
                partial = rest;
            }
        }
        body = rest;
    }
    0
}

/// Seconds, within reason; a date is taken for no word at all, since nobody sends one.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds).clamp(WISH_MIN, WISH_MAX))
}

/// How soon a collector may be asked again, whatever it says.
const WISH_MIN: Duration = Duration::from_secs(1);
/// How long a collector may have us wait.
const WISH_MAX: Duration = Duration::from_secs(300);
/// Room for what stands around the spans.
const HEAD_BYTES: usize = 512;

// `ExportTraceServiceRequest`, `ResourceSpans`, `ScopeSpans` and what is in them.
const RESOURCE_SPANS: u32 = 1;
const RESOURCE: u32 = 1;
const SCOPE_SPANS: u32 = 2;
const RESOURCE_ATTRIBUTES: u32 = 1;
const SCOPE: u32 = 1;
const SCOPE_NAME: u32 = 1;
const SCOPE_VERSION: u32 = 2;
const KEY: u32 = 1;
const VALUE: u32 = 2;
const STRING: u32 = 1;

// `ExportTraceServiceResponse` and `ExportTracePartialSuccess`.
const PARTIAL_SUCCESS: u64 = 1;
const REJECTED_SPANS: u64 = 1;

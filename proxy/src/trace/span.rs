//! What a span says, in the words of OpenTelemetry, as bytes of OTLP.
//!
//! Owns the fields of a span, and that a text that a client may have written has an end. Refuses to
//! know which attributes there are. Read next: `proto`.

use std::time::{SystemTime, UNIX_EPOCH};

use super::Recording;
use super::proto::Writer;

/// A span, without its attributes.
#[derive(Clone, Copy, Debug)]
pub struct Span<'a> {
    /// What it is.
    pub kind: Kind,
    /// What all spans are called that do the same.
    pub name: &'a str,
    /// When it began.
    pub start: SystemTime,
    /// When it ended.
    pub end: SystemTime,
    /// Whether it failed, as who looks at it has to know.
    pub failed: Option<&'a str>,
}

/// What a span is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// What a backend was asked for the sake of a client.
    Call,
    /// What a client has asked.
    Service,
}

/// Writes attributes, which have names of OpenTelemetry's conventions, or begin with `portunus.`.
#[derive(Debug)]
pub struct Attributes<'a>(Writer<'a>);

impl Attributes<'_> {
    /// A text; what is too long is cut.
    pub fn text(&mut self, name: &str, text: &str) {
        let end = text.floor_char_boundary(TEXT_BYTES_MAX);
        let text = text.get(..end).unwrap_or_default();
        self.attribute(name, |value| value.bytes(STRING, text.as_bytes()));
    }

    /// A text that may not be there.
    pub fn text_if_any(&mut self, name: &str, text: Option<&str>) {
        if let Some(text) = text {
            self.text(name, text);
        }
    }

    /// A number.
    pub fn number(&mut self, name: &str, number: u64) {
        self.attribute(name, |value| value.number_or_zero(INT, number));
    }

    /// Yes or no.
    pub fn truth(&mut self, name: &str, is_true: bool) {
        self.attribute(name, |value| value.number_or_zero(BOOL, u64::from(is_true)));
    }

    fn attribute(&mut self, name: &str, write: impl FnOnce(&mut Writer<'_>)) {
        self.0.message(ATTRIBUTES, |pair| {
            pair.bytes(KEY, name.as_bytes());
            pair.message(VALUE, write);
        });
    }
}

/// Writes `span` of `recording`.
pub(super) fn write(
    writer: &mut Writer<'_>,
    span: &Span<'_>,
    recording: &Recording,
    about: impl FnOnce(&mut Attributes<'_>),
) {
    let Recording { context, call, trail, .. } = recording;
    let (own, parent, kind) = match span.kind {
        Kind::Call => (call, Some(context.span()), KIND_CLIENT),
        Kind::Service => (context, trail.as_ref().map(|trail| trail.parent), KIND_SERVER),
    };
    let is_remote = span.kind == Kind::Service && parent.is_some();
    let remote = if is_remote { IS_REMOTE } else { 0 };
    writer.message(SPANS, |writer| {
        writer.bytes(TRACE_ID, &own.trace());
        writer.bytes(SPAN_ID, &own.span());
        if let Some(state) = trail.as_ref().and_then(|trail| trail.state.as_deref()) {
            writer.bytes(TRACE_STATE, state.as_bytes());
        }
        if let Some(parent) = parent {
            writer.bytes(PARENT_SPAN_ID, &parent);
        }
        writer.bytes(NAME, span.name.as_bytes());
        writer.number(KIND, kind);
        writer.fixed64(START, nanos(span.start));
        writer.fixed64(END, nanos(span.end));
        about(&mut Attributes(writer.again()));
        if let Some(reason) = span.failed {
            writer.message(STATUS, |status| {
                status.bytes(STATUS_MESSAGE, reason.as_bytes());
                status.number(STATUS_CODE, STATUS_ERROR);
            });
        }
        writer.fixed32(FLAGS, u32::from(own.flags()) | HAS_REMOTE | remote);
    });
}

/// Nanoseconds since 1970.
fn nanos(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// What is said of one attribute, at most.
const TEXT_BYTES_MAX: usize = 512;

/// `ScopeSpans`, where spans stand.
const SPANS: u32 = 2;

// `Span`.
const TRACE_ID: u32 = 1;
const SPAN_ID: u32 = 2;
const TRACE_STATE: u32 = 3;
const PARENT_SPAN_ID: u32 = 4;
const NAME: u32 = 5;
const KIND: u32 = 6;
const START: u32 = 7;
const END: u32 = 8;
const ATTRIBUTES: u32 = 9;
const STATUS: u32 = 15;
const FLAGS: u32 = 16;
const KIND_SERVER: u64 = 2;
const KIND_CLIENT: u64 = 3;
const STATUS_MESSAGE: u32 = 2;
const STATUS_CODE: u32 = 3;
const STATUS_ERROR: u64 = 2;
/// Whether the parent is in another program is known, and whether it is.
const HAS_REMOTE: u32 = 0x100;
const IS_REMOTE: u32 = 0x200;

// `KeyValue` and `AnyValue`.
const KEY: u32 = 1;
const VALUE: u32 = 2;
const STRING: u32 = 1;
const BOOL: u32 = 2;
const INT: u32 = 3;

//! What travels with a request: the trace that it belongs to (W3C Trace Context).
//!
//! Owns [`Context`], how `traceparent` is read and written, and what becomes of `tracestate`. What
//! is not written as it has to be is as if it were not there, and what two fields say is said by
//! neither: then the trace begins here, and nothing of the old one goes on. Refuses to know what is
//! recorded of a trace.

use std::num::{NonZeroU64, NonZeroU128};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};

/// A place in a trace.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Context {
    trace: NonZeroU128,
    span: NonZeroU64,
    flags: u8,
}

impl Context {
    /// A new trace, of which this `share` is recorded.
    pub(super) fn new(chance: fn() -> u64, share: f64) -> Self {
        let (high, low) = (chance(), chance());
        let trace = NonZeroU128::new((u128::from(high) << 64) | u128::from(low));
        // 53 bits of the id decide, so that whoever goes by the same bits decides alike.
        let place = (low >> 11) as f64 / (1_u64 << 53) as f64;
        let flags = if place < share { RECORDED } else { 0 };
        Self { trace: trace.unwrap_or(NonZeroU128::MIN), span: span_id(chance), flags }
    }

    /// The one that a request with `headers` comes with, if there is one.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        let mut values = headers.get_all(TRACEPARENT).iter();
        let value = values.next()?;
        if values.next().is_some() {
            return None;
        }
        Self::read(value.as_bytes())
    }

    /// Another place in the same trace.
    pub(super) fn child(self, chance: fn() -> u64) -> Self {
        Self { span: span_id(chance), ..self }
    }

    /// The trace.
    pub(super) fn trace(self) -> [u8; 16] {
        self.trace.get().to_be_bytes()
    }

    /// The place.
    pub(super) fn span(self) -> [u8; 8] {
        self.span.get().to_be_bytes()
    }

    /// What is said of the trace.
    pub(super) fn flags(self) -> u8 {
        self.flags
    }

    /// Whether whoever began the trace has it recorded.
    pub(super) fn is_recorded(self) -> bool {
        self.flags & RECORDED != 0
    }

    /// Reads `00-TRACE-SPAN-FLAGS`. A version that is not known yet may have more behind it.
    fn read(text: &[u8]) -> Option<Self> {
        let version = number(text.get(..2)?)?;
        let (b'-', trace, b'-', span, b'-', flags) = (
            *text.get(2)?,
            text.get(3..35)?,
            *text.get(35)?,
            text.get(36..52)?,
            *text.get(52)?,
            text.get(53..55)?,
        ) else {
            return None;
        };
        match (version, text.get(55)) {
            (0xff, _) | (0, Some(_)) => return None,
            (_, Some(more)) if *more != b'-' => return None,
            _ => {}
        }
        Some(Self {
            trace: NonZeroU128::new(number(trace)?)?,
            span: NonZeroU64::new(u64::try_from(number(span)?).ok()?)?,
            flags: u8::try_from(number(flags)?).ok()? & KNOWN,
        })
    }

    /// The value of `traceparent`.
    fn value(self) -> HeaderValue {
        let mut text = Vec::with_capacity(VALUE_BYTES);
        text.extend_from_slice(b"00-");
        put_hex(&mut text, &self.trace());
        text.push(b'-');
        put_hex(&mut text, &self.span());
        text.push(b'-');
        put_hex(&mut text, &[self.flags]);
        // Hexadecimal digits are a valid value.
        HeaderValue::from_maybe_shared(Bytes::from(text)).unwrap_or(HeaderValue::from_static("00"))
    }
}

/// Where a trace comes from.
#[derive(Debug)]
pub(super) struct Trail {
    /// The span that ours are part of.
    pub(super) parent: [u8; 8],
    /// What those before us have noted.
    pub(super) state: Option<Box<str>>,
}

/// What a backend is told of the trace of a request.
#[derive(Clone, Copy, Debug)]
pub struct Told {
    context: Context,
    origin: Origin,
}

#[derive(Clone, Copy, Debug)]
enum Origin {
    /// The trace begins here: what others noted is of another one.
    Here,
    /// The trace was there before.
    Before,
}

impl Told {
    pub(super) fn first(context: Context) -> Self {
        Self { context, origin: Origin::Here }
    }

    pub(super) fn next(context: Context) -> Self {
        Self { context, origin: Origin::Before }
    }

    /// Writes it into `headers`, in the place of what the request said.
    pub fn write(self, headers: &mut HeaderMap) {
        if let Origin::Here = self.origin {
            headers.remove(TRACESTATE);
        }
        headers.insert(TRACEPARENT, self.context.value());
    }
}

/// What those before us have noted of a trace; nothing, if that is longer than anybody has to pass
/// on.
pub(super) fn state(headers: &HeaderMap) -> Option<Box<str>> {
    let values = headers.get_all(TRACESTATE).iter().map(|value| value.to_str());
    let values: Vec<&str> = values.collect::<Result<_, _>>().ok()?;
    let text = values.join(",");
    (1..=STATE_BYTES_MAX).contains(&text.len()).then(|| text.into())
}

fn span_id(chance: fn() -> u64) -> NonZeroU64 {
    NonZeroU64::new(chance()).unwrap_or(NonZeroU64::MIN)
}

/// Two digits for each byte. Every request pays for it, so it is not left to a formatter.
fn put_hex(text: &mut Vec<u8>, bytes: &[u8]) {
    let digit = |nibble: u8| if nibble < 10 { b'0' + nibble } else { b'a' - 10 + nibble };
    for byte in bytes {
        text.extend_from_slice(&[digit(byte >> 4), digit(byte & 0xf)]);
    }
}

/// Hexadecimal digits, which have to be in lower case.
fn number(digits: &[u8]) -> Option<u128> {
    digits.iter().try_fold(0, |number: u128, digit| {
        let digit = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some((number << 4) | u128::from(digit))
    })
}

/// The length of `00-TRACE-SPAN-FLAGS`.
const VALUE_BYTES: usize = 55;
/// The trace is recorded.
const RECORDED: u8 = 1;
/// That, and that the id of the trace is random.
const KNOWN: u8 = 3;
/// W3C Trace Context §3.3.1.5.
const STATE_BYTES_MAX: usize = 512;
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

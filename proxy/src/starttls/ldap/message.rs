//! One message of LDAP (RFC 4511 §4.1.1), as far as it decides about TLS.
//!
//! Owns the envelope: the id, the kind of the operation, its content and whether a control of it
//! is critical; and the answers. Refuses to know what an operation is about. Read next: `mod`.

use super::ber::{self, ENUMERATED, Head, INTEGER, Malformed, OCTETS, Reader, SEQUENCE};

/// A message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Message<'a> {
    /// What its answer is told by.
    pub(super) id: u32,
    /// The tag of its operation.
    pub(super) operation: u8,
    /// What the operation says.
    pub(super) content: &'a [u8],
    /// Whether it must not be done without something that we may not know (RFC 4511 §4.1.11).
    pub(super) has_critical_control: bool,
    /// Bytes of the whole message.
    pub(super) length: usize,
}

impl<'a> Message<'a> {
    /// Reads the message at the start of `bytes`; `None` if it is not whole.
    pub(super) fn read(bytes: &'a [u8]) -> Result<Option<Self>, Unreadable> {
        let Some(head) = Head::read(bytes)? else { return Ok(None) };
        if head.tag != SEQUENCE {
            return Err(Unreadable::Malformed);
        }
        // Where a pointer has 32 bits, a length may be more than can be counted.
        let length = head.head.checked_add(head.content).ok_or(Unreadable::TooLarge)?;
        if length > MESSAGE_BYTES_MAX {
            return Err(Unreadable::TooLarge);
        }
        let Some(envelope) = bytes.get(head.head..length) else { return Ok(None) };
        let mut envelope = Reader::new(envelope);
        let id = ber::natural(envelope.expect(INTEGER)?)?;
        let (operation, content) = envelope.any()?;
        let controls = envelope.accept(CONTROLS)?.map(has_critical).transpose()?;
        // RFC 4511 §4.1.1 has the envelope extensible: what follows is to be ignored.
        let has_critical_control = controls.unwrap_or(false);
        Ok(Some(Self { id, operation, content, has_critical_control, length }))
    }
}

fn has_critical(controls: &[u8]) -> Result<bool, Malformed> {
    let mut controls = Reader::new(controls);
    let mut found = false;
    while !controls.is_empty() {
        let mut control = Reader::new(controls.expect(SEQUENCE)?);
        control.expect(OCTETS)?;
        let criticality = control.accept(ber::BOOLEAN)?;
        found |= criticality.is_some_and(|content| content != [0]);
        control.accept(OCTETS)?;
        control.finish()?;
    }
    Ok(found)
}

/// Why there is no message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Unreadable {
    Malformed,
    /// Longer than [`MESSAGE_BYTES_MAX`].
    TooLarge,
}

impl From<Malformed> for Unreadable {
    fn from(Malformed: Malformed) -> Self {
        Self::Malformed
    }
}

/// The answer to the message `id`: a result (RFC 4511 §4.1.9), with what stands behind it.
pub(super) fn answer(
    id: u32,
    operation: u8,
    code: ResultCode,
    words: &str,
    more: &[u8],
) -> Vec<u8> {
    let code = ber::element(ENUMERATED, &[&[code as u8]]);
    let matched = ber::element(OCTETS, &[]);
    let words = ber::element(OCTETS, &[words.as_bytes()]);
    let operation = ber::element(operation, &[&code, &matched, &words, more]);
    ber::element(SEQUENCE, &[&ber::integer(id), &operation])
}

/// What became of an operation (RFC 4511 appendix A).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum ResultCode {
    Success = 0,
    OperationsError = 1,
    ProtocolError = 2,
    UnavailableCriticalExtension = 12,
    ConfidentialityRequired = 13,
}

/// `controls [0]`.
const CONTROLS: u8 = 0xa0;

/// A message before TLS. All that a client needs to say fits in a tenth of it; what a client says
/// that does not know that it needs TLS fits most often.
pub(super) const MESSAGE_BYTES_MAX: usize = 4096;

//! ClientHellos as bytes: what both of their readers here need.
//!
//! Owns [`Cursor`] and [`message`]. Total: whatever is not as it should be is `None`. Refuses to
//! know what a field means. Read next: `offer` and `profile`, the readers.

use std::borrow::Cow;

/// The ClientHello with its head, put together from its fragments (RFC 8446 §5.1). What stands
/// behind it in its last record is not for a client to say yet.
pub(super) fn message(records: &[u8]) -> Option<Cow<'_, [u8]>> {
    let mut records = Cursor(records);
    let mut message = Cow::Borrowed(records.fragment()?);
    while !is_whole(&message)? {
        message.to_mut().extend_from_slice(records.fragment()?);
    }
    Some(message)
}

/// None if it is no ClientHello, or more than one.
fn is_whole(message: &[u8]) -> Option<bool> {
    if *message.first()? != CLIENT_HELLO {
        return None;
    }
    let mut rest = Cursor(message);
    let Some([_, high, middle, low]) = rest.array() else { return Some(false) };
    let length = u32::from_be_bytes([0, high, middle, low]);
    match rest.0.len().cmp(&usize::try_from(length).ok()?) {
        std::cmp::Ordering::Less => Some(false),
        std::cmp::Ordering::Equal => Some(true),
        std::cmp::Ordering::Greater => None,
    }
}

/// What is left to read.
#[derive(Clone, Copy)]
pub(super) struct Cursor<'a>(pub(super) &'a [u8]);

impl<'a> Cursor<'a> {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*taken)
    }

    pub(super) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    /// Bytes with their number before them, in one byte.
    pub(super) fn vector8(&mut self) -> Option<&'a [u8]> {
        let [length] = self.array()?;
        self.take(length.into())
    }

    /// Bytes with their number before them, in two bytes.
    pub(super) fn vector16(&mut self) -> Option<&'a [u8]> {
        let length = self.u16()?;
        self.take(length.into())
    }

    /// What the next record carries of a handshake, which is never nothing (RFC 8446 §5.1).
    fn fragment(&mut self) -> Option<&'a [u8]> {
        let [kind, major, _] = self.array()?;
        let fragment = self.vector16()?;
        let is_good =
            kind == HANDSHAKE && major == 3 && (1..=RECORD_BYTES_MAX).contains(&fragment.len());
        is_good.then_some(fragment)
    }
}

/// The one vector that `data` consists of.
pub(super) fn only<'a>(
    data: &'a [u8],
    vector: impl FnOnce(&mut Cursor<'a>) -> Option<&'a [u8]>,
) -> Option<&'a [u8]> {
    let mut data = Cursor(data);
    let bytes = vector(&mut data)?;
    data.is_empty().then_some(bytes)
}

/// The type of records that carry handshakes (RFC 8446 §5.1).
const HANDSHAKE: u8 = 22;
/// What a record carries at the most (RFC 8446 §5.1).
const RECORD_BYTES_MAX: usize = 1 << 14;
/// The type of the message (RFC 8446 §4).
const CLIENT_HELLO: u8 = 1;
/// Type and length of a message.
pub(super) const HEAD_BYTES: usize = 4;

pub(super) const RANDOM_BYTES: usize = 32;

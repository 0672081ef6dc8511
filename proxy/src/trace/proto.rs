//! Protocol Buffers, as far as spans need them.
//!
//! Owns how fields are written, and read where an answer has to be understood. A message within
//! another is written first and given its length afterwards, since it is almost always shorter than
//! 128 bytes. Refuses to know any message.

/// Writes fields, one behind the other.
#[derive(Debug)]
pub(super) struct Writer<'a>(&'a mut Vec<u8>);

impl<'a> Writer<'a> {
    /// Writes behind what is in `bytes`.
    pub(super) fn new(bytes: &'a mut Vec<u8>) -> Self {
        Self(bytes)
    }

    /// The same place, for whoever writes what comes next.
    pub(super) fn again(&mut self) -> Writer<'_> {
        Writer(self.0)
    }

    /// A number in as many bytes as it needs; none if it is the default.
    pub(super) fn number(&mut self, field: u32, number: u64) {
        if number != 0 {
            self.number_or_zero(field, number);
        }
    }

    /// The same where being there says something.
    pub(super) fn number_or_zero(&mut self, field: u32, number: u64) {
        self.tag(field, VARINT);
        put_varint(self.0, number);
    }

    /// A number of eight bytes.
    pub(super) fn fixed64(&mut self, field: u32, number: u64) {
        self.tag(field, FIXED64);
        self.0.extend_from_slice(&number.to_le_bytes());
    }

    /// A number of four bytes.
    pub(super) fn fixed32(&mut self, field: u32, number: u32) {
        self.tag(field, FIXED32);
        self.0.extend_from_slice(&number.to_le_bytes());
    }

    /// Bytes, or a text.
    pub(super) fn bytes(&mut self, field: u32, bytes: &[u8]) {
        self.tag(field, LENGTH);
        put_varint(self.0, bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    /// Fields that were written before.
    pub(super) fn fields(&mut self, fields: &[u8]) {
        self.0.extend_from_slice(fields);
    }

    /// What `write` writes, as a message.
    pub(super) fn message(&mut self, field: u32, write: impl FnOnce(&mut Writer<'_>)) {
        self.tag(field, LENGTH);
        let start = self.0.len();
        self.0.push(0);
        write(&mut Writer(self.0));
        let length = self.0.len() - start - 1;
        match self.0.get_mut(start) {
            Some(place) if length < 0x80 => *place = length as u8,
            _ => {
                let mut long = Vec::with_capacity(VARINT_BYTES_MAX);
                put_varint(&mut long, length as u64);
                self.0.splice(start..=start, long);
            }
        }
    }

    fn tag(&mut self, field: u32, kind: u32) {
        put_varint(self.0, u64::from((field << 3) | kind));
    }
}

fn put_varint(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

/// What a field holds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Value<'a> {
    /// A number, in as many bytes as it needs.
    Number(u64),
    /// Bytes, a text or a message.
    Bytes(&'a [u8]),
    /// Something that nobody here asks for.
    Other,
}

/// The next field of a message: its number, what it holds, and what follows. Nothing at the end,
/// and nothing where it is none.
pub(super) fn field(message: &[u8]) -> Option<(u64, Value<'_>, &[u8])> {
    let (tag, rest) = varint(message)?;
    let (value, rest) = match (tag & 7) as u32 {
        VARINT => varint(rest).map(|(number, rest)| (Value::Number(number), rest))?,
        FIXED64 => (Value::Other, rest.get(8..)?),
        FIXED32 => (Value::Other, rest.get(4..)?),
        LENGTH => {
            let (length, rest) = varint(rest)?;
            let length = usize::try_from(length).ok()?;
            (Value::Bytes(rest.get(..length)?), rest.get(length..)?)
        }
        _ => return None,
    };
    Some((tag >> 3, value, rest))
}

fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut number = 0;
    for (place, byte) in bytes.iter().enumerate().take(VARINT_BYTES_MAX) {
        number |= u64::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            return Some((number, bytes.get(place + 1..)?));
        }
    }
    None
}

const VARINT: u32 = 0;
const FIXED64: u32 = 1;
const LENGTH: u32 = 2;
const FIXED32: u32 = 5;
const VARINT_BYTES_MAX: usize = 10;

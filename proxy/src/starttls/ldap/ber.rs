//! The little of BER that LDAP messages are made of (RFC 4511 §5.1).
//!
//! Owns elements with a tag of one byte and a definite length. Lengths may be longer than they need
//! to be, as BER allows and directories write them. Refuses to know what an element means. Nothing
//! here recurses: the caller goes as deep as its message does.

/// The start of an element.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Head {
    pub(super) tag: u8,
    /// Bytes of tag and length.
    pub(super) head: usize,
    /// Bytes of the content.
    pub(super) content: usize,
}

impl Head {
    /// Reads the start of an element; `None` if it is not all there.
    pub(super) fn read(bytes: &[u8]) -> Result<Option<Self>, Malformed> {
        let [tag, rest @ ..] = bytes else { return Ok(None) };
        if tag & LONG_TAG == LONG_TAG {
            return Err(Malformed);
        }
        let tag = *tag;
        let (first, rest) = match rest {
            [] => return Ok(None),
            [first, rest @ ..] => (*first, rest),
        };
        if first < LONG_LENGTH {
            return Ok(Some(Self { tag, head: 2, content: usize::from(first) }));
        }
        let count = usize::from(first - LONG_LENGTH);
        if !(1..=LENGTH_BYTES_MAX).contains(&count) {
            return Err(Malformed);
        }
        let Some(length) = rest.get(..count) else { return Ok(None) };
        let content = length.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte));
        Ok(Some(Self { tag, head: 2 + count, content }))
    }
}

/// Reads elements one after the other, out of bytes that are all there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The next element, whatever it is.
    pub(super) fn any(&mut self) -> Result<(u8, &'a [u8]), Malformed> {
        let head = Head::read(self.0)?.ok_or(Malformed)?;
        let rest = self.0.get(head.head..).ok_or(Malformed)?;
        let (content, rest) = rest.split_at_checked(head.content).ok_or(Malformed)?;
        self.0 = rest;
        Ok((head.tag, content))
    }

    /// The content of the next element, which has to be one with `tag`.
    pub(super) fn expect(&mut self, tag: u8) -> Result<&'a [u8], Malformed> {
        let (found, content) = self.any()?;
        if found == tag { Ok(content) } else { Err(Malformed) }
    }

    /// The content of the next element if it has `tag`; else it is still to be read.
    pub(super) fn accept(&mut self, tag: u8) -> Result<Option<&'a [u8]>, Malformed> {
        if self.0.first() == Some(&tag) { self.expect(tag).map(Some) } else { Ok(None) }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Sees to it that nothing is left.
    pub(super) fn finish(self) -> Result<(), Malformed> {
        if self.is_empty() { Ok(()) } else { Err(Malformed) }
    }
}

/// An integer that is not negative and has at most 31 bits, like all in LDAP (RFC 4511 §4.1.1.1).
pub(super) fn natural(content: &[u8]) -> Result<u32, Malformed> {
    match content {
        [first, rest @ ..] if *first < 0x80 && rest.len() < 4 => {
            Ok(content.iter().fold(0, |sum, byte| sum << 8 | u32::from(*byte)))
        }
        _ => Err(Malformed),
    }
}

/// An element made of `parts`.
pub(super) fn element(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let bytes = length.to_be_bytes();
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    let mut all = vec![tag];
    match u8::try_from(length) {
        Ok(short) if short < LONG_LENGTH => all.push(short),
        _ => {
            let length = bytes.get(zeros..).unwrap_or_default();
            all.push(LONG_LENGTH + length.len() as u8);
            all.extend_from_slice(length);
        }
    }
    all.extend(parts.iter().copied().flatten());
    all
}

/// An integer, in as few bytes as it takes.
pub(super) fn integer(value: u32) -> Vec<u8> {
    let bytes = u64::from(value).to_be_bytes();
    // The first bit is the sign.
    let zeros = bytes.windows(2).take_while(|pair| matches!(pair, [0, next] if *next < 0x80));
    let zeros = zeros.count();
    element(INTEGER, &[bytes.get(zeros..).unwrap_or_default()])
}

/// What is not BER as LDAP has it, or not the message that it should be.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Malformed;

/// Universal tags.
pub(super) const BOOLEAN: u8 = 0x01;
pub(super) const INTEGER: u8 = 0x02;
pub(super) const OCTETS: u8 = 0x04;
pub(super) const ENUMERATED: u8 = 0x0a;
pub(super) const SEQUENCE: u8 = 0x30;

/// The bits of a tag that goes on in the next byte.
const LONG_TAG: u8 = 0x1f;

/// The bit of a length that says how many bytes the length has; alone, that the length is not
/// known, which LDAP does not allow.
const LONG_LENGTH: u8 = 0x80;

/// More than enough for all that is not refused for its length.
const LENGTH_BYTES_MAX: usize = 4;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lengths_are_definite_and_may_be_longer_than_they_need_to_be() {
        let content = |bytes: &[u8]| Head::read(bytes).map(|head| head.map(|head| head.content));
        assert_eq!(content(&[0x30, 0x7f]), Ok(Some(127)));
        assert_eq!(content(&[0x30, 0x81, 0x80]), Ok(Some(128)));
        assert_eq!(content(&[0x30, 0x84, 0, 0, 0, 5]), Ok(Some(5)));
        for not_whole in [&[][..], &[0x30], &[0x30, 0x82, 1]] {
            assert_eq!(content(not_whole), Ok(None), "{not_whole:?}");
        }
        for bad in [&[0x30, 0x80][..], &[0x30, 0x85, 0, 0, 0, 0, 1], &[0x30, 0xff], &[0x1f]] {
            assert_eq!(content(bad), Err(Malformed), "{bad:?}");
        }
    }

    #[test]
    fn integers_are_natural_and_of_31_bits() {
        assert_eq!(natural(&[0x7f, 0xff, 0xff, 0xff]), Ok(0x7fff_ffff));
        assert_eq!(natural(&[0, 0xff]), Ok(255));
        for bad in [&[][..], &[0xff], &[0, 0, 0, 0, 1]] {
            assert_eq!(natural(bad), Err(Malformed), "{bad:?}");
        }
        assert_eq!(integer(0), [INTEGER, 1, 0]);
        assert_eq!(integer(127), [INTEGER, 1, 127]);
        assert_eq!(integer(128), [INTEGER, 2, 0, 128]);
        assert_eq!(integer(0x7fff_ffff), [INTEGER, 4, 0x7f, 0xff, 0xff, 0xff]);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            tag in 0_u8..0x1f,
            content in prop::collection::vec(any::<u8>(), 0..600),
            behind in prop::collection::vec(any::<u8>(), 0..4),
            number in 0_u32..1 << 31,
        ) {
            let mut bytes = element(tag, &[&content]);
            let length = bytes.len();
            bytes.extend(&behind);
            let mut reader = Reader::new(&bytes);
            prop_assert_eq!(reader.any(), Ok((tag, &content[..])));
            prop_assert_eq!(reader.finish().is_ok(), behind.is_empty());
            prop_assert!(Reader::new(&bytes[..length - 1]).any().is_err());
            let number_again = Reader::new(&integer(number)).expect(INTEGER).and_then(natural);
            prop_assert_eq!(number_again, Ok(number));
        }

        #[test]
        fn bytes_that_nobody_wrote_are_read_without_harm(
            bytes in prop::collection::vec(any::<u8>(), 0..40),
        ) {
            let mut reader = Reader::new(&bytes);
            while reader.any().is_ok() {}
        }
    }
}

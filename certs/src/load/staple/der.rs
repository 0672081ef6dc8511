//! DER: bytes to the values within them, one after the other.
//!
//! Owns the walk through structures that the X.509 parser has no types for. A value is taken only
//! if it has the tag that is asked for, so that whoever reads says the structure in the words of
//! its RFC. Every read moves forward in a slice that it cannot leave: no input is too odd, and
//! nothing recurses. Does not know what the values mean; that is [`super`].

use x509_parser::asn1_rs::{Any, Class, FromDer as _, Tag};
use x509_parser::time::ASN1Time;

/// What is left of a structure.
#[derive(Clone, Copy)]
pub(super) struct Der<'a>(&'a [u8]);

/// Whether a value holds others.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Form {
    Constructed,
    Primitive,
}

/// The bytes are not what the structure asks for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Malformed;

impl<'a> Der<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(super) fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    /// Nothing may follow what was read.
    pub(super) fn end(self) -> Result<(), Malformed> {
        if self.is_empty() { Ok(()) } else { Err(Malformed) }
    }

    /// The content of the next value, which has this tag.
    pub(super) fn value(&mut self, tag: Tag) -> Result<&'a [u8], Malformed> {
        let form = if tag == Tag::Sequence { Form::Constructed } else { Form::Primitive };
        self.take(Class::Universal, tag, Some(form))?.ok_or(Malformed)
    }

    /// The content of the next value, which is a SEQUENCE.
    pub(super) fn sequence(&mut self) -> Result<Self, Malformed> {
        self.value(Tag::Sequence).map(Self)
    }

    /// The values within the next one if its tag is `[number]`.
    pub(super) fn context(&mut self, number: u32) -> Result<Option<Self>, Malformed> {
        let content = self.take(Class::ContextSpecific, Tag(number), Some(Form::Constructed))?;
        Ok(content.map(Self))
    }

    /// Whether the tag of the next value is `[number]`, whatever it holds; then it is passed over.
    pub(super) fn is_context(&mut self, number: u32) -> Result<bool, Malformed> {
        Ok(self.take(Class::ContextSpecific, Tag(number), None)?.is_some())
    }

    /// The next SEQUENCE with its tag and length, as it is hashed and signed.
    pub(super) fn whole_sequence(&mut self) -> Result<&'a [u8], Malformed> {
        let before = self.0;
        self.sequence()?;
        before.get(..before.len() - self.0.len()).ok_or(Malformed)
    }

    /// The bytes of a BIT STRING that has whole bytes, as keys and signatures have.
    pub(super) fn bits(&mut self) -> Result<&'a [u8], Malformed> {
        match self.value(Tag::BitString)? {
            [0, bits @ ..] => Ok(bits),
            _ => Err(Malformed),
        }
    }

    /// A GeneralizedTime, in seconds since 1970.
    pub(super) fn time(&mut self) -> Result<i64, Malformed> {
        let before = self.0;
        self.value(Tag::GeneralizedTime)?;
        ASN1Time::from_der(before).map(|(_, time)| time.timestamp()).map_err(|_| Malformed)
    }

    /// The content of the next value, if it is of this class and tag. DER allows one form of each
    /// (X.690 §10.2).
    fn take(
        &mut self,
        class: Class,
        tag: Tag,
        form: Option<Form>,
    ) -> Result<Option<&'a [u8]>, Malformed> {
        if self.is_empty() {
            return Ok(None);
        }
        let (rest, value) = Any::from_der(self.0).map_err(|_| Malformed)?;
        if (value.class(), value.tag()) != (class, tag) {
            return Ok(None);
        }
        let constructed = value.header.constructed();
        if form.is_some_and(|form| (form == Form::Constructed) != constructed) {
            return Err(Malformed);
        }
        self.0 = rest;
        Ok(Some(value.data))
    }
}

//! The little of XML that stands in a stream of XMPP before TLS (RFC 6120 §11).
//!
//! Owns tags, one at a time, within a bound. What XMPP forbids is refused: comments, instructions,
//! declarations of types, references but for nothing (RFC 6120 §11.1); and so is what no client of
//! it needs before TLS: text, names and values beyond a small set of characters. Refuses to know
//! what a tag means. Nothing here recurses or builds a tree.

/// A tag.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Tag<'a> {
    pub(super) kind: Kind,
    /// Its name, with its prefix.
    pub(super) name: &'a str,
    attributes: Vec<(&'a str, &'a str)>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    /// `</a>`
    Close,
    /// `<?xml …?>`
    Declaration,
    /// `<a/>`
    Empty,
    /// `<a>`
    Open,
}

impl<'a> Tag<'a> {
    /// The value of an attribute.
    pub(super) fn attribute(&self, name: &str) -> Option<&'a str> {
        let mut attributes = self.attributes.iter();
        attributes.find(|(found, _)| *found == name).map(|(_, value)| *value)
    }

    /// The name without its prefix.
    pub(super) fn local_name(&self) -> &'a str {
        self.name.split_once(':').map_or(self.name, |(_, local)| local)
    }

    /// The namespace that the tag itself declares for its name.
    pub(super) fn namespace(&self) -> Option<&'a str> {
        match self.name.split_once(':') {
            None => self.attribute("xmlns"),
            Some((prefix, _)) => {
                let mut attributes = self.attributes.iter();
                let declares = |name: &str| name.strip_prefix("xmlns:") == Some(prefix);
                attributes.find(|(name, _)| declares(name)).map(|(_, value)| *value)
            }
        }
    }
}

/// Reads the tag at the start of `bytes`, behind white space, and returns it with the number of
/// bytes up to its end; `None` if it is not whole.
pub(super) fn tag(bytes: &[u8]) -> Result<Option<(Tag<'_>, usize)>, Fault> {
    let white = bytes.iter().take_while(|byte| is_white(**byte)).count();
    let rest = bytes.get(white..).unwrap_or_default();
    match rest.first() {
        None => return Ok(None),
        Some(b'<') => {}
        Some(_) => return Err(Fault::NotATag),
    }
    if matches!(rest.get(1), Some(b'!')) {
        return Err(Fault::Restricted);
    }
    let Some(length) = end(rest) else {
        return if rest.len() >= TAG_BYTES_MAX { Err(Fault::TooLong) } else { Ok(None) };
    };
    if length > TAG_BYTES_MAX {
        return Err(Fault::TooLong);
    }
    let inside = rest.get(1..length - 1).unwrap_or_default();
    let inside = str::from_utf8(inside).map_err(|_| Fault::Malformed)?;
    Ok(Some((parse(inside)?, white + length)))
}

/// The place behind the first `>` that is not in a value.
fn end(bytes: &[u8]) -> Option<usize> {
    let mut quote = None;
    for (place, byte) in bytes.iter().enumerate() {
        match (quote, byte) {
            (None, b'>') => return Some(place + 1),
            (None, b'"' | b'\'') => quote = Some(byte),
            (Some(open), byte) if open == byte => quote = None,
            _ => {}
        }
    }
    None
}

/// What stands between `<` and `>`.
fn parse(inside: &str) -> Result<Tag<'_>, Fault> {
    let (kind, inside) = if let Some(inside) = inside.strip_prefix('/') {
        (Kind::Close, inside)
    } else if let Some(inside) = inside.strip_prefix('?') {
        let inside = inside.strip_suffix('?').ok_or(Fault::Malformed)?;
        (Kind::Declaration, inside)
    } else if let Some(inside) = inside.strip_suffix('/') {
        (Kind::Empty, inside)
    } else {
        (Kind::Open, inside)
    };
    let (name, mut rest) = name(inside)?;
    if kind == Kind::Declaration && name != "xml" {
        return Err(Fault::Restricted);
    }
    let mut attributes: Vec<(&str, &str)> = Vec::new();
    loop {
        let trimmed = rest.trim_start_matches(WHITE);
        if trimmed.is_empty() {
            break;
        }
        if trimmed.len() == rest.len() || kind == Kind::Close {
            return Err(Fault::Malformed);
        }
        let (attribute, behind) = attribute(trimmed)?;
        if attributes.len() == ATTRIBUTES_MAX {
            return Err(Fault::TooLong);
        }
        if attributes.iter().any(|(name, _)| *name == attribute.0) {
            return Err(Fault::Malformed);
        }
        attributes.push(attribute);
        rest = behind;
    }
    Ok(Tag { kind, name, attributes })
}

/// A name and its value at the start of `text`, and what is behind.
fn attribute(text: &str) -> Result<((&str, &str), &str), Fault> {
    let (name, rest) = name(text)?;
    let rest = rest.trim_start_matches(WHITE).strip_prefix('=').ok_or(Fault::Malformed)?;
    let rest = rest.trim_start_matches(WHITE);
    let quote = rest.chars().next().filter(|quote| matches!(quote, '"' | '\''));
    let quote = quote.ok_or(Fault::Malformed)?;
    let rest = rest.strip_prefix(quote).unwrap_or_default();
    let (value, rest) = rest.split_once(quote).ok_or(Fault::Malformed)?;
    if value.contains('&') {
        return Err(Fault::Restricted);
    }
    if value.contains(|c: char| c == '<' || c.is_control()) {
        return Err(Fault::Malformed);
    }
    Ok(((name, value), rest))
}

/// A name at the start of `text`, and what is behind.
fn name(text: &str) -> Result<(&str, &str), Fault> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':');
    let length = text.find(|c| !is_part(c)).unwrap_or(text.len());
    let (name, rest) = text.split_at(length);
    let is_one = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && !name.ends_with(':')
        && name.matches(':').count() <= 1;
    if is_one { Ok((name, rest)) } else { Err(Fault::Malformed) }
}

pub(super) fn is_white(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

/// Why there is no tag.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Fault {
    /// Not XML.
    Malformed,
    /// Something stands in its place.
    NotATag,
    /// XML that XMPP does not allow, or not here.
    Restricted,
    /// Longer than any needs to be.
    TooLong,
}

/// White space.
const WHITE: [char; 4] = [' ', '\t', '\r', '\n'];

/// Bytes of a tag.
const TAG_BYTES_MAX: usize = 1024;

/// Attributes of a tag.
const ATTRIBUTES_MAX: usize = 16;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Result<Option<(Tag<'_>, usize)>, Fault> {
        tag(text.as_bytes())
    }

    #[test]
    fn tags_are_read_with_what_is_in_them() {
        let text =
            " \n<stream:stream xmlns = 'jabber:client' to=\"a'b>c\"\txmlns:stream='u'  >more";
        let (found, length) = read(text).unwrap().unwrap();
        assert_eq!(&text[length..], "more");
        assert_eq!(
            (found.kind, found.name, found.local_name()),
            (Kind::Open, "stream:stream", "stream")
        );
        assert_eq!(found.namespace(), Some("u"));
        assert_eq!(found.attribute("to"), Some("a'b>c"));
        assert_eq!(found.attribute("from"), None);
        for (text, kind) in [
            ("<a>", Kind::Open),
            ("<a/>", Kind::Empty),
            ("<a b='c'/>", Kind::Empty),
            ("</a >", Kind::Close),
            ("<?xml version='1.0'?>", Kind::Declaration),
        ] {
            let (found, length) = read(text).unwrap().unwrap();
            assert_eq!((found.kind, length), (kind, text.len()), "{text}");
        }
    }

    #[test]
    fn what_is_no_tag_is_told_from_what_is_not_whole() {
        for text in ["", " ", "<", "<a", "<a b='>'", "<?xml version='1.0'?"] {
            assert_eq!(read(text), Ok(None), "{text}");
        }
        for text in ["a", "EHLO", " \u{feff}<a>"] {
            assert_eq!(read(text), Err(Fault::NotATag), "{text}");
        }
    }

    #[test]
    fn what_xmpp_forbids_is_refused() {
        for text in ["<!-- a -->", "<!DOCTYPE a>", "<![CDATA[", "<?php ?>", "<a b='&amp;'>"] {
            assert_eq!(read(text), Err(Fault::Restricted), "{text}");
        }
        for text in [
            "<>",
            "</>",
            "< a>",
            "<a b>",
            "<a b=c>",
            "<a b='c'd='e'>",
            "<a b='c' b='d'>",
            "<a b='<'>",
            "<a b='\u{1}'>",
            "</a b='c'>",
            "<a:>",
            "<a:b:c>",
            "<1>",
            "<?xml version='1.0'>",
            "<a / >",
        ] {
            assert_eq!(read(text), Err(Fault::Malformed), "{text}");
        }
        assert_eq!(tag(b"<a b='\xff'>"), Err(Fault::Malformed));
    }

    #[test]
    fn a_tag_has_an_end_in_time() {
        let long = format!("<a b='{}", "x".repeat(1024));
        assert_eq!(read(&long), Err(Fault::TooLong));
        assert_eq!(read(&format!("{long}'>")), Err(Fault::TooLong));
        let many: String = (0..17).map(|number| format!(" a{number}=''")).collect();
        assert_eq!(read(&format!("<a{many}>")), Err(Fault::TooLong));
    }

    proptest! {
        #[test]
        fn bytes_that_nobody_wrote_are_read_without_harm(
            text in "[<>/?!a:= '\"&\n]{0,40}",
            bytes in prop::collection::vec(any::<u8>(), 0..40),
        ) {
            if let Ok(Some((_, length))) = read(&text) {
                prop_assert!(text[..length].ends_with('>'));
            }
            let _ = tag(&bytes);
        }
    }
}

//! Host names: one spelling, one comparison.
//!
//! Owns [`HostName::parse`], the only normalisation of a host name in Portunus. The certificate
//! index, the TLS policy and the HTTP router all look up what this function returned, so they can
//! never disagree on what `WWW.Example.COM.` means; security holes of other proxies came from two
//! components that spelled one name in two ways. Knows nothing of certificates or requests.
//!
//! Read [`crate::resolver`] next for how a certificate is found by name.

mod map;
mod shards;

use std::fmt;
use std::net::Ipv4Addr;
use std::sync::Arc;

use thiserror::Error;

pub use map::NameMap;

/// A DNS name in its one spelling: lower case, without the trailing dot, ASCII.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct HostName(Arc<str>);

impl HostName {
    /// Normalises `name`: lower case, one trailing dot removed, each label checked.
    ///
    /// Internationalised names are accepted in their `xn--` form only: two spellings of one name
    /// would be one too many. Addresses are not names.
    pub fn parse(name: &str) -> Result<Self, NameError> {
        let bare = name.strip_suffix('.').unwrap_or(name);
        if bare.is_empty() {
            return Err(NameError::Empty);
        }
        if bare.len() > NAME_BYTES_MAX {
            return Err(NameError::TooLong { bytes: bare.len() });
        }
        bare.split('.').try_for_each(check_label)?;
        // Browsers read any name whose last label is a number as an address ("127.1"), and
        // rustls refuses such a server name; so it is no name here either.
        let last = bare.rsplit('.').next().unwrap_or(bare);
        if last.bytes().all(|byte| byte.is_ascii_digit()) || bare.parse::<Ipv4Addr>().is_ok() {
            return Err(NameError::Address);
        }
        Ok(Self(bare.to_ascii_lowercase().into()))
    }

    /// The name in its one spelling.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What follows the first label, which is what a wildcard is found by.
    fn parent(&self) -> Option<&str> {
        self.0.split_once('.').map(|(_, parent)| parent)
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl AsRef<str> for HostName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

/// A name as certificates and sites state it: exact, or one wildcard label.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum NamePattern {
    /// This name only.
    Exact(HostName),
    /// Every name that is one label below this parent.
    Wildcard(HostName),
}

impl NamePattern {
    /// Reads `a.example` or `*.a.example`. A star is a whole label and the first one.
    pub fn parse(pattern: &str) -> Result<Self, NameError> {
        let read = match pattern.strip_prefix("*.") {
            Some(parent) => HostName::parse(parent).map(Self::Wildcard),
            None => HostName::parse(pattern).map(Self::Exact),
        };
        read.map_err(|error| match error {
            NameError::Character { character: '*' } => NameError::Star,
            error => error,
        })
    }

    /// Whether `name` is covered: a wildcard stands for exactly one label (RFC 9525 section 6.3).
    #[must_use]
    pub fn matches(&self, name: &HostName) -> bool {
        match self {
            Self::Exact(own) => own == name,
            Self::Wildcard(parent) => name.parent() == Some(parent.as_str()),
        }
    }

    /// A name that it covers, and that nobody states by itself if it is a wildcard.
    #[must_use]
    pub fn example(&self) -> Option<HostName> {
        match self {
            Self::Exact(name) => Some(name.clone()),
            Self::Wildcard(parent) => HostName::parse(&format!("{ANY_LABEL}.{parent}")).ok(),
        }
    }
}

/// A label that nobody has a certificate for.
const ANY_LABEL: &str = "any-name-portunus-check";

impl fmt::Display for NamePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(name) => name.fmt(f),
            Self::Wildcard(parent) => write!(f, "*.{parent}"),
        }
    }
}

/// Why a text is not a host name.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum NameError {
    /// An IP address, or what a browser would take for one.
    #[error("is an address, not a host name")]
    Address,
    /// A character that no host name has.
    #[error("holds the character {character:?}, which no host name has")]
    Character {
        /// The first such character.
        character: char,
    },
    /// Nothing, or only a dot.
    #[error("is empty")]
    Empty,
    /// Two dots in a row, or a dot at the start.
    #[error("has an empty label")]
    EmptyLabel,
    /// A label that starts or ends with a hyphen.
    #[error("has a label that starts or ends with a hyphen")]
    Hyphen,
    /// A label above 63 bytes.
    #[error("has a label of {bytes} bytes; {LABEL_BYTES_MAX} is the most")]
    LabelTooLong {
        /// Length of that label.
        bytes: usize,
    },
    /// A star that is not the whole of the first label, or not followed by a name.
    #[error("may have one `*`, as the first label and all of it: `*.example.com`")]
    Star,
    /// More than 253 bytes in all.
    #[error("has {bytes} bytes; {NAME_BYTES_MAX} is the most")]
    TooLong {
        /// Length of the name without its trailing dot.
        bytes: usize,
    },
}

fn check_label(label: &str) -> Result<(), NameError> {
    if label.is_empty() {
        return Err(NameError::EmptyLabel);
    }
    if label.len() > LABEL_BYTES_MAX {
        return Err(NameError::LabelTooLong { bytes: label.len() });
    }
    let foreign = |c: &char| !(c.is_ascii_alphanumeric() || *c == '-' || *c == '_');
    if let Some(character) = label.chars().find(foreign) {
        return Err(NameError::Character { character });
    }
    if label.starts_with('-') || label.ends_with('-') {
        return Err(NameError::Hyphen);
    }
    Ok(())
}

/// RFC 1035 section 2.3.4.
const LABEL_BYTES_MAX: usize = 63;
/// 255 octets on the wire less the first length octet and the root (RFC 1035 section 3.1).
const NAME_BYTES_MAX: usize = 253;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn host(name: &str) -> HostName {
        HostName::parse(name).unwrap()
    }

    #[test]
    fn spellings_of_one_name_are_one_name() {
        for spelling in ["www.example.com", "WWW.Example.COM", "www.example.com."] {
            assert_eq!(host(spelling).as_str(), "www.example.com");
        }
        assert_eq!(host("xn--bcher-kva.example").as_str(), "xn--bcher-kva.example");
        assert_eq!(host("_acme.a").as_str(), "_acme.a");
    }

    #[test]
    fn what_is_no_name_is_refused_with_the_reason() {
        let long_label = "a".repeat(64);
        let long_name = ["abcdefg"; 32].join(".");
        for (text, error) in [
            ("", NameError::Empty),
            (".", NameError::Empty),
            ("a..b", NameError::EmptyLabel),
            ("a..", NameError::EmptyLabel),
            (".a", NameError::EmptyLabel),
            ("127.0.0.1", NameError::Address),
            ("127.1", NameError::Address),
            ("::1", NameError::Character { character: ':' }),
            ("[::1]", NameError::Character { character: '[' }),
            ("a b", NameError::Character { character: ' ' }),
            ("*.a", NameError::Character { character: '*' }),
            ("bücher.example", NameError::Character { character: 'ü' }),
            ("-a.b", NameError::Hyphen),
            (long_label.as_str(), NameError::LabelTooLong { bytes: 64 }),
            (long_name.as_str(), NameError::TooLong { bytes: 255 }),
        ] {
            assert_eq!(HostName::parse(text), Err(error), "{text:?}");
        }
        for text in ["*", "*.*.a", "a*.b", "a.*.b"] {
            assert_eq!(NamePattern::parse(text), Err(NameError::Star), "{text}");
        }
    }

    #[test]
    fn the_exact_name_goes_before_the_wildcard() {
        let mut map = NameMap::new();
        assert_eq!(map.insert(NamePattern::parse("*.a.example").unwrap(), 1), None);
        assert_eq!(map.insert(NamePattern::parse("b.a.example").unwrap(), 2), None);
        assert_eq!(map.get(&host("b.a.example")), Some(&2));
        assert_eq!(map.get(&host("c.a.example")), Some(&1));
        assert_eq!(map.get(&host("a.example")), None);
        assert_eq!(map.get(&host("d.c.a.example")), None);
        assert_eq!(map.insert(NamePattern::parse("*.A.example.").unwrap(), 3), Some(1));
    }

    const LABEL: &str = "[A-Za-z0-9_]([A-Za-z0-9_-]{0,8}[A-Za-z0-9_])?";

    proptest! {
        #[test]
        fn any_text_is_parsed_or_refused_and_parsing_is_idempotent(text in ".{0,80}") {
            if let Ok(once) = HostName::parse(&text) {
                prop_assert_eq!(&HostName::parse(once.as_str()).unwrap(), &once);
            }
        }

        #[test]
        fn every_spelling_finds_what_was_stored(labels in prop::collection::vec(LABEL, 2..5)) {
            let name = labels.join(".") + ".example";
            let parent = labels.get(1..).unwrap().join(".") + ".example";
            let parsed = host(&name);
            prop_assert_eq!(&host(&name.to_ascii_uppercase()), &parsed);
            prop_assert_eq!(&host(&(name + ".")), &parsed);
            let wildcard = NamePattern::parse(&format!("*.{parent}")).unwrap();
            prop_assert!(wildcard.matches(&parsed));
            let deeper = host(&format!("more.{parsed}"));
            prop_assert!(!wildcard.matches(&deeper));
            prop_assert!(!wildcard.matches(&host(&parent)));
            let mut map = NameMap::new();
            map.insert(wildcard.clone(), ());
            prop_assert!(map.get(&parsed).is_some());
            prop_assert_eq!(NamePattern::parse(&wildcard.to_string()).unwrap(), wildcard);
        }
    }
}

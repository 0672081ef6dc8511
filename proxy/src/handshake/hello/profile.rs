//! What a ClientHello says of its client, for people: whom it asks for, which versions and
//! protocols it offers, and which software it is like.
//!
//! Owns [`Profile`]. It is read from the bytes when a handshake is told of, never to decide
//! anything. What a client has written is cut behind 256 bytes, and shown as it is where it is
//! ASCII that can be seen, as `\xNN` where it is not. Refuses to know what became of the client.
//! Read next: `ja4`.

use std::sync::Arc;

use super::ja4::{self, Traits};
use super::wire::{Cursor, HEAD_BYTES, RANDOM_BYTES, message, only};

/// What a client has told of itself.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Profile {
    /// Whom it asks for, which need not be a name.
    pub server_name: Option<Box<str>>,
    /// The versions of TLS that it speaks, in its order; the highest alone, if it says no more.
    pub versions: Vec<Box<str>>,
    /// The protocols that it offers by ALPN, in its order.
    pub alpn: Vec<Box<str>>,
    /// Its JA4 fingerprint, which software of one kind has in common.
    pub ja4: Option<Arc<str>>,
}

impl Profile {
    /// Reads the TLS records in which a ClientHello came, and which may go on behind it. One that
    /// is not whole tells nothing, one that is strange as much as can be read of it.
    #[must_use]
    pub fn parse(records: &[u8]) -> Self {
        let Some(message) = message(records) else { return Self::default() };
        let Some(mut hello) = message.get(HEAD_BYTES..).and_then(Hello::read) else {
            return Self::default();
        };
        let is_whole = hello.read_extensions().is_some();
        Self {
            server_name: hello.server_name.map(shown),
            versions: hello.versions().into_iter().filter(is_real).map(version).collect(),
            alpn: hello.alpn.iter().take(SHOWN_MAX).map(|name| shown(name)).collect(),
            ja4: is_whole.then(|| ja4::fingerprint(&hello.traits()).into()),
        }
    }
}

/// The fields of a ClientHello that tell something.
struct Hello<'a> {
    legacy_version: u16,
    suites: Vec<u16>,
    rest: &'a [u8],
    extensions: Vec<u16>,
    server_name: Option<&'a [u8]>,
    supported_versions: Option<Vec<u16>>,
    signature_schemes: Vec<u16>,
    alpn: Vec<&'a [u8]>,
}

impl<'a> Hello<'a> {
    /// Reads the body of a ClientHello (RFC 8446 §4.1.2) up to its extensions.
    fn read(body: &'a [u8]) -> Option<Self> {
        let mut body = Cursor(body);
        let legacy_version = body.u16()?;
        body.take(RANDOM_BYTES)?;
        body.vector8()?;
        let suites = numbers(body.vector16()?);
        body.vector8()?;
        let rest = if body.is_empty() { &[][..] } else { body.vector16()? };
        Some(Self {
            legacy_version,
            suites,
            rest,
            extensions: Vec::new(),
            server_name: None,
            supported_versions: None,
            signature_schemes: Vec::new(),
            alpn: Vec::new(),
        })
    }

    fn read_extensions(&mut self) -> Option<()> {
        let mut extensions = Cursor(self.rest);
        while !extensions.is_empty() {
            let kind = extensions.u16()?;
            let data = extensions.vector16()?;
            self.extensions.push(kind);
            match kind {
                // A list of one name, of the only type that there is (RFC 6066 §3).
                ja4::SERVER_NAME => {
                    let list = only(data, Cursor::vector16).map(Cursor);
                    let name = list.and_then(|mut list| {
                        list.take(1)?;
                        list.vector16()
                    });
                    self.server_name = Some(name.unwrap_or_default());
                }
                SIGNATURE_ALGORITHMS => {
                    self.signature_schemes = numbers(only(data, Cursor::vector16)?);
                }
                ja4::ALPN => {
                    let mut names = Cursor(only(data, Cursor::vector16)?);
                    while !names.is_empty() {
                        self.alpn.push(names.vector8()?);
                    }
                }
                SUPPORTED_VERSIONS => {
                    self.supported_versions = Some(numbers(only(data, Cursor::vector8)?));
                }
                _ => {}
            }
        }
        Some(())
    }

    fn versions(&self) -> Vec<u16> {
        self.supported_versions.clone().unwrap_or_else(|| vec![self.legacy_version])
    }

    fn traits(&self) -> Traits<'_> {
        Traits {
            versions: self.versions(),
            suites: &self.suites,
            extensions: &self.extensions,
            signature_schemes: &self.signature_schemes,
            first_protocol: self.alpn.first().copied(),
        }
    }
}

/// Numbers of two bytes; an odd byte at the end is none.
fn numbers(bytes: &[u8]) -> Vec<u16> {
    let number = |pair: &[u8]| pair.try_into().ok().map(u16::from_be_bytes);
    bytes.chunks_exact(2).filter_map(number).collect()
}

/// Whether a version is meant, and not there to be passed over (RFC 8701).
fn is_real(version: &u16) -> bool {
    !ja4::is_grease(*version)
}

fn version(version: u16) -> Box<str> {
    match version {
        0x0304 => "1.3".into(),
        0x0303 => "1.2".into(),
        0x0302 => "1.1".into(),
        0x0301 => "1.0".into(),
        0x0300 => "SSL 3.0".into(),
        other => format!("{other:#06x}").into(),
    }
}

/// What a client has written, so that everybody can read it.
fn shown(bytes: &[u8]) -> Box<str> {
    let mut text = String::with_capacity(bytes.len());
    for (place, byte) in bytes.iter().enumerate() {
        let letter = std::ascii::escape_default(*byte);
        if text.len() + letter.len() > SHOWN_BYTES_MAX || place == SHOWN_BYTES_MAX {
            text.push_str("...");
            break;
        }
        match byte {
            b'"' | b'\'' => text.push(char::from(*byte)),
            _ => text.extend(letter.map(char::from)),
        }
    }
    text.into()
}

/// What is shown of a text; host names are not longer.
const SHOWN_BYTES_MAX: usize = 256;
/// How many protocols are shown.
const SHOWN_MAX: usize = 16;

/// RFC 8446 §4.2.3.
const SIGNATURE_ALGORITHMS: u16 = 13;
/// RFC 8446 §4.2.1.
const SUPPORTED_VERSIONS: u16 = 43;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn vector16(bytes: &[u8]) -> Vec<u8> {
        [&u16::try_from(bytes.len()).unwrap().to_be_bytes()[..], bytes].concat()
    }

    /// A ClientHello of this version with these suites and extensions, in a record.
    fn hello(version: [u8; 2], suites: &[u8], extensions: &[(u16, Vec<u8>)]) -> Vec<u8> {
        let one =
            |(kind, data): &(u16, Vec<u8>)| [&kind.to_be_bytes()[..], &vector16(data)].concat();
        let extensions: Vec<u8> = extensions.iter().flat_map(one).collect();
        let body =
            [&version[..], &[7; 32], &[0], &vector16(suites), &[1, 0], &vector16(&extensions)];
        let message = [&[1, 0][..], &vector16(&body.concat())].concat();
        [&[22, 3, 1][..], &vector16(&message)].concat()
    }

    fn name(bytes: &[u8]) -> (u16, Vec<u8>) {
        (0, vector16(&[&[0][..], &vector16(bytes)].concat()))
    }

    fn alpn(names: &[&[u8]]) -> (u16, Vec<u8>) {
        let names = names.iter().flat_map(|name| [&[name.len() as u8][..], name].concat());
        (16, vector16(&names.collect::<Vec<_>>()))
    }

    #[test]
    fn a_hello_tells_whom_it_asks_for_and_what_it_offers() {
        let versions = (43, vec![6, 0x0a, 0x0a, 3, 4, 3, 3]);
        let extensions = [name(b"app.example"), alpn(&[b"h2", b"http/1.1"]), versions];
        let profile = Profile::parse(&hello([3, 3], &[0x13, 0x01], &extensions));
        assert_eq!(profile.server_name.as_deref(), Some("app.example"));
        assert_eq!(profile.versions.join(" "), "1.3 1.2", "GREASE is no version");
        assert_eq!(profile.alpn.join(" "), "h2 http/1.1");
        assert!(profile.ja4.unwrap().starts_with("t13d0103h2_"));
        let old = Profile::parse(&hello([3, 1], &[0, 0x2f], &[]));
        assert_eq!((old.versions.join(" "), old.server_name), ("1.0".to_owned(), None));
    }

    #[test]
    fn what_a_client_has_written_is_escaped_and_cut() {
        let profile = Profile::parse(&hello([3, 3], &[], &[name(b"<a>\x1b[2J\n\"\\\xff")]));
        let shown = "<a>\\x1b[2J\\n\"\\\\\\xff";
        assert_eq!(profile.server_name.as_deref(), Some(shown));
        let long = [name(&[b'a'; 300]), alpn(&[&[0; 200][..]; 20])];
        let profile = Profile::parse(&hello([3, 3], &[], &long));
        let cut = format!("{}...", "a".repeat(256));
        assert_eq!(profile.server_name, Some(cut.into()));
        assert_eq!(profile.alpn.len(), 16);
        assert!(profile.alpn.iter().all(|name| name.len() < 260));
    }

    #[test]
    fn half_a_hello_tells_nothing_and_a_strange_one_what_can_be_read() {
        let whole = hello([3, 3], &[0x13, 0x01], &[name(b"app.example")]);
        for end in 0..whole.len() {
            assert_eq!(Profile::parse(&whole[..end]), Profile::default());
        }
        let strange = hello([3, 3], &[0x13, 0x01], &[name(b"app.example"), (13, vec![9])]);
        let profile = Profile::parse(&strange);
        assert_eq!(profile.server_name.as_deref(), Some("app.example"));
        assert_eq!(profile.ja4, None);
    }

    proptest! {
        #[test]
        fn anything_can_be_read(bytes: Vec<u8>, kind: u16, data: Vec<u8>) {
            let _ = Profile::parse(&bytes);
            let profile = Profile::parse(&hello([3, 3], &bytes, &[(kind % 64, data)]));
            let words = profile.server_name.iter().chain(&profile.versions).chain(&profile.alpn);
            prop_assert!(words.clone().all(|word| word.is_ascii() && word.len() < 260));
            prop_assert!(profile.ja4.is_none_or(|ja4| ja4.len() == 36));
        }
    }
}

//! The JA4 fingerprint of a ClientHello, by the specification that its inventors have published.
//!
//! Owns [`fingerprint`], a pure function. Two clients with the same software have the same
//! fingerprint, whatever they ask for and in whatever order they shuffle their extensions; so it
//! tells a library that is too old from a scanner. It proves nothing: whoever wants to can look
//! like somebody else. Refuses to know how a hello is read.

use std::fmt::Write as _;

use aws_lc_rs::digest::{SHA256, digest};

/// What a ClientHello says, in its order and with what stands for nothing (RFC 8701).
#[derive(Clone, Debug)]
pub(super) struct Traits<'a> {
    /// What it speaks; the legacy version, if it has no list.
    pub(super) versions: Vec<u16>,
    /// The cipher suites.
    pub(super) suites: &'a [u16],
    /// The types of the extensions.
    pub(super) extensions: &'a [u16],
    /// The schemes of signatures.
    pub(super) signature_schemes: &'a [u16],
    /// The protocol that it would have best, by ALPN.
    pub(super) first_protocol: Option<&'a [u8]>,
}

/// The fingerprint: what people can read, the suites, and the extensions with the schemes.
pub(super) fn fingerprint(traits: &Traits<'_>) -> String {
    let real = |numbers: &[u16]| -> Vec<u16> {
        numbers.iter().copied().filter(|number| !is_grease(*number)).collect()
    };
    let (mut suites, mut extensions) = (real(traits.suites), real(traits.extensions));
    let schemes = real(traits.signature_schemes);
    let version = version(real(&traits.versions).into_iter().max());
    let name = if extensions.contains(&SERVER_NAME) { 'd' } else { 'i' };
    let [first, last] = ends(traits.first_protocol);
    let counts = [suites.len(), extensions.len()].map(|count| count.min(COUNT_MAX));
    let [suite_count, extension_count] = counts;
    suites.sort_unstable();
    extensions.retain(|kind| ![SERVER_NAME, ALPN].contains(kind));
    extensions.sort_unstable();
    let mut offers = list(&extensions);
    if !offers.is_empty() && !schemes.is_empty() {
        offers = [offers, list(&schemes)].join("_");
    }
    format!(
        "t{version}{name}{suite_count:02}{extension_count:02}{first}{last}_{}_{}",
        hash(&list(&suites)),
        hash(&offers),
    )
}

/// Whether a number only keeps servers from choking on what is new (RFC 8701 §2).
pub(super) fn is_grease(number: u16) -> bool {
    let [high, low] = number.to_be_bytes();
    high == low && low & 0x0f == 0x0a
}

fn version(version: Option<u16>) -> &'static str {
    match version {
        Some(0x0304) => "13",
        Some(0x0303) => "12",
        Some(0x0302) => "11",
        Some(0x0301) => "10",
        Some(0x0300) => "s3",
        Some(0x0002) => "s2",
        _ => "00",
    }
}

/// The first and the last letter of a protocol; of its hexadecimal form, if one of them is none.
fn ends(protocol: Option<&[u8]>) -> [char; 2] {
    let Some((&first, &last)) = protocol.and_then(|name| name.first().zip(name.last())) else {
        return ['0', '0'];
    };
    if first.is_ascii_alphanumeric() && last.is_ascii_alphanumeric() {
        return [char::from(first), char::from(last)];
    }
    let digit = |nibble: u8| char::from_digit(nibble.into(), 16).unwrap_or('0');
    [digit(first >> 4), digit(last & 0x0f)]
}

/// Numbers as four hexadecimal digits each, between commas.
fn list(numbers: &[u16]) -> String {
    let mut list = String::with_capacity(numbers.len() * 5);
    for number in numbers {
        let comma = if list.is_empty() { "" } else { "," };
        // Writing to a String cannot fail, here and below.
        let _ = write!(list, "{comma}{number:04x}");
    }
    list
}

/// The start of the SHA-256 digest; zeros for nothing.
fn hash(text: &str) -> String {
    if text.is_empty() {
        return "0".repeat(HASH_BYTES * 2);
    }
    let digest = digest(&SHA256, text.as_bytes());
    digest.as_ref().iter().take(HASH_BYTES).fold(String::new(), |mut hash, byte| {
        let _ = write!(hash, "{byte:02x}");
        hash
    })
}

/// RFC 6066 §3.
pub(super) const SERVER_NAME: u16 = 0;
/// RFC 7301 §3.1.
pub(super) const ALPN: u16 = 16;

/// There are two digits.
const COUNT_MAX: usize = 99;
const HASH_BYTES: usize = 6;

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification: a browser.
    fn browser() -> Traits<'static> {
        Traits {
            versions: vec![0x6a6a, 0x0304, 0x0303],
            suites: &[
                0x2a2a, 0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9, 0xcca8,
                0xc013, 0xc014, 0x009c, 0x009d, 0x002f, 0x0035,
            ],
            extensions: &[
                0x1a1a, 0x001b, 0x0000, 0x0033, 0x0010, 0x4469, 0x0017, 0x002d, 0x000d, 0x0005,
                0x0023, 0x0012, 0x002b, 0xff01, 0x000b, 0x000a, 0x0015, 0x3a3a,
            ],
            signature_schemes: &[0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601],
            first_protocol: Some(b"h2"),
        }
    }

    #[test]
    fn the_example_of_the_specification_has_its_fingerprint() {
        assert_eq!(fingerprint(&browser()), "t13d1516h2_8daaf6152771_e5627efa2ab1");
    }

    #[test]
    fn the_order_of_extensions_is_of_no_consequence_and_that_of_schemes_is() {
        let whole = fingerprint(&browser());
        let mut extensions = browser().extensions.to_vec();
        extensions.reverse();
        assert_eq!(fingerprint(&Traits { extensions: &extensions, ..browser() }), whole);
        let mut schemes = browser().signature_schemes.to_vec();
        schemes.reverse();
        assert_ne!(fingerprint(&Traits { signature_schemes: &schemes, ..browser() }), whole);
    }

    #[test]
    fn what_is_not_there_is_told_as_zeros() {
        let nothing = Traits {
            versions: vec![0x0303],
            suites: &[],
            extensions: &[],
            signature_schemes: &[],
            first_protocol: None,
        };
        assert_eq!(fingerprint(&nothing), "t12i000000_000000000000_000000000000");
        let many = vec![1; 200];
        let many = Traits { suites: &many, extensions: &many, ..nothing };
        assert!(fingerprint(&many).starts_with("t12i999900_"));
    }

    #[test]
    fn the_ends_of_a_protocol_are_told_as_letters_or_as_digits() {
        for (protocol, ends) in [
            (&b"h2"[..], "h2"),
            (b"http/1.1", "h1"),
            (b"x", "xx"),
            (b"", "00"),
            (b"\xab", "ab"),
            (b"\xab\xcd", "ad"),
            (b"\x30\xab", "3b"),
            (b"\x30\x31\xab\xcd", "3d"),
            (b"\x30\xab\xcd\x31", "01"),
        ] {
            assert_eq!(String::from_iter(super::ends(Some(protocol))), ends, "{protocol:?}");
        }
    }
}

//! Distinguished names as people read them, and as nobody can abuse them.
//!
//! Owns the text form of RFC 4514 and the decoding of the strings of X.500, of which there are
//! six kinds. What it writes goes to logs and status pages: no control character, no line
//! separator and no mark that turns the direction of writing leaves it raw. It is not a key to
//! compare people by; a fingerprint is.

use std::fmt::Write as _;

use x509_parser::asn1_rs::{Any, Tag, ToDer as _};
use x509_parser::x509::X509Name;

/// The name, the most specific part first (RFC 4514 section 2.1).
pub(super) fn text(name: &X509Name<'_>) -> Box<str> {
    let mut text = String::new();
    let parts: Vec<_> = name.iter().collect();
    for part in parts.iter().rev() {
        for (index, attribute) in part.iter().enumerate() {
            match index {
                0 if text.is_empty() => {}
                0 => text.push(','),
                _ => text.push('+'),
            }
            let number = attribute.attr_type().to_id_string();
            let value = attribute.attr_value();
            match (descriptor(&number), string(value)) {
                (Some(descriptor), Some(value)) => {
                    let _ = write!(text, "{descriptor}=");
                    escape(&value, &mut text);
                }
                (descriptor, _) => {
                    let _ = write!(text, "{}=#", descriptor.unwrap_or(&number));
                    hex(&value.to_der_vec().unwrap_or_default(), &mut text);
                }
            }
        }
    }
    text.into()
}

/// The characters of an X.500 string; `None` for what is no string, or none that can be read.
pub(super) fn string(value: &Any<'_>) -> Option<String> {
    let bytes = value.data;
    match value.tag() {
        Tag::Utf8String
        | Tag::PrintableString
        | Tag::NumericString
        | Tag::Ia5String
        | Tag::VisibleString => std::str::from_utf8(bytes).ok().map(str::to_owned),
        // T.61 in name; Latin-1 in every certificate that was ever seen with it.
        Tag::T61String => Some(bytes.iter().map(|byte| char::from(*byte)).collect()),
        Tag::BmpString => {
            let (units, odd) = bytes.as_chunks::<2>();
            let units: Vec<_> = units.iter().map(|unit| u16::from_be_bytes(*unit)).collect();
            odd.is_empty().then(|| String::from_utf16(&units).ok())?
        }
        Tag::UniversalString => {
            let (units, odd) = bytes.as_chunks::<4>();
            let text = units.iter().map(|unit| char::from_u32(u32::from_be_bytes(*unit)));
            odd.is_empty().then(|| text.collect())?
        }
        _ => None,
    }
}

/// Bytes in lower-case hexadecimal.
pub(super) fn hex(bytes: &[u8], text: &mut String) {
    for byte in bytes {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
}

/// RFC 4514 section 2.4, and in the form that it allows for any character (a backslash before
/// each byte in hexadecimal) everything that a terminal or a log reader would act upon.
fn escape(value: &str, text: &mut String) {
    let last = value.chars().count().saturating_sub(1);
    for (index, character) in value.chars().enumerate() {
        match character {
            '"' | '+' | ',' | ';' | '<' | '>' | '\\' => text.extend(['\\', character]),
            ' ' if index == 0 || index == last => text.push_str("\\ "),
            '#' if index == 0 => text.push_str("\\#"),
            _ if acts(character) => {
                for byte in character.encode_utf8(&mut [0; 4]).bytes() {
                    let _ = write!(text, "\\{byte:02X}");
                }
            }
            _ => text.push(character),
        }
    }
}

/// Control characters, line and paragraph separators, invisible and bidirectional marks.
fn acts(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}')
        || matches!(character, '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// RFC 4514 section 3, and the few others that certificates of people and machines bear, by
/// their names in the LDAP registry (RFC 4519) and in RFC 2985.
fn descriptor(number: &str) -> Option<&'static str> {
    Some(match number {
        "0.9.2342.19200300.100.1.1" => "UID",
        "0.9.2342.19200300.100.1.25" => "DC",
        "1.2.840.113549.1.9.1" => "emailAddress",
        "2.5.4.3" => "CN",
        "2.5.4.4" => "SN",
        "2.5.4.5" => "serialNumber",
        "2.5.4.6" => "C",
        "2.5.4.7" => "L",
        "2.5.4.8" => "ST",
        "2.5.4.9" => "STREET",
        "2.5.4.10" => "O",
        "2.5.4.11" => "OU",
        "2.5.4.12" => "title",
        "2.5.4.42" => "givenName",
        _ => return None,
    })
}

//! PEM: text to sections, with line numbers.
//!
//! Owns the framing of RFC 7468 as OpenSSL reads it in practice: text around sections, CRLF, a
//! byte order mark and trailing blanks are harmless, everything else that is wrong is an error
//! that names its line. The base64 within is decoded here, because a library's decoder leaves a
//! copy of a private key in memory that is not wiped. Does not know what the sections mean; that
//! is [`super`].

use zeroize::Zeroizing;

use super::LoadError;

/// One decoded section.
pub(crate) struct Section {
    /// Line of its BEGIN, counted from one.
    pub(crate) line: usize,
    pub(crate) kind: Kind,
    /// Wiped when dropped, since it may be a key.
    pub(crate) der: Zeroizing<Vec<u8>>,
}

/// What a section holds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    Certificate,
    /// `RSA PRIVATE KEY`, RFC 8017 appendix A.1.2.
    Pkcs1,
    /// `PRIVATE KEY`, RFC 5958.
    Pkcs8,
    /// `EC PRIVATE KEY`, RFC 5915.
    Sec1,
    /// `X509 CRL`, RFC 7468 section 6, and `CRL`, the name that it had before.
    RevocationList,
}

/// What becomes of revocation lists among the sections.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Lists {
    /// They are let be, as everything that has no place in a chain.
    Ignored,
    /// They are sections like others.
    Decoded,
}

/// The certificates and plain private keys of a file, and its revocation lists if `lists` says so,
/// in their order.
pub(crate) fn sections(bytes: &[u8], lists: Lists) -> Result<Vec<Section>, LoadError> {
    let bytes = text_of(bytes)?;
    let mut sections = Vec::new();
    let mut open: Option<Open<'_>> = None;
    let mut offset = 0;
    for (index, raw) in bytes.split_inclusive(|byte| *byte == b'\n').enumerate() {
        let (line, start) = (index + 1, offset);
        offset += raw.len();
        let text = raw.trim_ascii_end();
        if let Some(label) = text.strip_prefix(b"-----BEGIN ") {
            if let Some(open) = open {
                return Err(open.unterminated());
            }
            let label = label.strip_suffix(b"-----").ok_or(LoadError::Marker { line })?;
            open = Some(Open { label, line, start: offset });
        } else if let Some(label) = text.strip_prefix(b"-----END ") {
            let Some(begun) = open.take() else {
                return Err(LoadError::Marker { line });
            };
            if label.strip_suffix(b"-----") != Some(begun.label) {
                return Err(begun.unterminated());
            }
            let body = bytes.get(begun.start..start).unwrap_or_default();
            sections.extend(begun.decode(body, lists)?);
        } else if let Some(begun) = &open
            && text.starts_with(b"Proc-Type:")
        {
            return Err(LoadError::EncryptedKey { line: begun.line });
        }
    }
    match open {
        Some(open) => Err(open.unterminated()),
        None if offset == 0 => Err(LoadError::Empty),
        None if sections.is_empty() => Err(LoadError::NothingUsable),
        None => Ok(sections),
    }
}

/// A section whose END has not been seen.
#[derive(Clone, Copy)]
struct Open<'a> {
    label: &'a [u8],
    line: usize,
    /// Where the line after BEGIN starts.
    start: usize,
}

impl Open<'_> {
    fn label(&self) -> String {
        String::from_utf8_lossy(self.label).into_owned()
    }

    fn unterminated(&self) -> LoadError {
        LoadError::Unterminated { line: self.line, label: self.label() }
    }

    /// Decodes what we have a use for, refuses by name what a user will expect to work, and lets
    /// the rest (parameters, requests) be.
    fn decode(&self, body: &[u8], lists: Lists) -> Result<Option<Section>, LoadError> {
        let line = self.line;
        let unsupported =
            |algorithm: &str| Err(LoadError::UnsupportedKey { line, algorithm: algorithm.into() });
        let kind = match self.label {
            b"CERTIFICATE" | b"X509 CERTIFICATE" => Kind::Certificate,
            b"PRIVATE KEY" => Kind::Pkcs8,
            b"RSA PRIVATE KEY" => Kind::Pkcs1,
            b"EC PRIVATE KEY" => Kind::Sec1,
            b"X509 CRL" | b"CRL" if lists == Lists::Decoded => Kind::RevocationList,
            b"ENCRYPTED PRIVATE KEY" => return Err(LoadError::EncryptedKey { line }),
            b"DSA PRIVATE KEY" => return unsupported("DSA"),
            b"OPENSSH PRIVATE KEY" => return unsupported("OpenSSH"),
            _ => return Ok(None),
        };
        match base64(body) {
            Some(der) => Ok(Some(Section { line, kind, der })),
            None => Err(LoadError::Base64 { line, label: self.label() }),
        }
    }
}

/// Decodes base64 (RFC 4648 section 4) with white space anywhere; `None` for anything else and
/// for nothing at all. One allocation, which is wiped, and no table that a key would index.
fn base64(text: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(text.len() / 4 * 3 + 3));
    let (mut group, mut digits, mut padding) = (0_u32, 0_usize, 0_usize);
    for byte in text.iter().filter(|byte| !byte.is_ascii_whitespace()) {
        let digit = match byte {
            b'=' => {
                padding += 1;
                0
            }
            _ if padding > 0 => return None,
            _ => u32::try_from(base64_digit(*byte)).ok()?,
        };
        group = group << 6 | digit;
        digits += 1;
        if digits.is_multiple_of(4) {
            let [_, decoded @ ..] = group.to_be_bytes();
            bytes.extend_from_slice(&decoded);
            group = 0;
        }
    }
    if digits == 0 || !digits.is_multiple_of(4) || padding > 2 {
        return None;
    }
    let length = bytes.len() - padding;
    bytes.truncate(length);
    Some(bytes)
}

/// The value of a digit, or -1, by arithmetic alone: each line adds its term only if the digit is
/// in its range.
fn base64_digit(byte: u8) -> i16 {
    let c = i16::from(byte);
    let within = |low: u8, high: u8, value: i16| {
        ((i16::from(low) - 1 - c) & (c - i16::from(high) - 1)) >> 8 & (value + 1)
    };
    within(b'A', b'Z', c - 65)
        + within(b'a', b'z', c - 71)
        + within(b'0', b'9', c + 4)
        + within(b'+', b'+', 62)
        + within(b'/', b'/', 63)
        - 1
}

/// Drops a byte order mark; names the encodings that are not text as we need it.
fn text_of(bytes: &[u8]) -> Result<&[u8], LoadError> {
    let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    match text {
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => Err(LoadError::Utf16),
        // SEQUENCE with a two-byte length: how every certificate and key begins in DER.
        [0x30, 0x82 | 0x81, ..] => Err(LoadError::Der),
        _ => Ok(text),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject as _;

    use super::*;

    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

    #[test]
    fn every_digit_has_its_value_and_nothing_else_has_one() {
        for byte in 0..=u8::MAX {
            let place = ALPHABET.iter().position(|digit| *digit == byte);
            let expected = place.map_or(-1, |place| i16::try_from(place).unwrap());
            assert_eq!(base64_digit(byte), expected, "{byte:#x}");
        }
    }

    #[test]
    fn padding_is_at_the_end_and_makes_whole_groups() {
        assert_eq!(base64(b"Zm9v").unwrap().as_slice(), b"foo");
        assert_eq!(base64(b"Zm 9v\r\nYg=\n=").unwrap().as_slice(), b"foob");
        assert_eq!(base64(b"Zm9vYmE=").unwrap().as_slice(), b"fooba");
        let wrong = ["", "\n", "Zm9", "Zm9v=", "Z===", "Zg==Zg==", "====", "Zm-_"];
        for text in wrong {
            assert!(base64(text.as_bytes()).is_none(), "{text:?}");
        }
    }

    const BASE64: &str = "([A-Za-z0-9+/]{4}){1,30}([A-Za-z0-9+/][AQgw]==)?";

    proptest! {
        /// Beside the decoder of another hand.
        #[test]
        fn sections_decode_as_they_do_elsewhere(text in BASE64, crlf: bool) {
            let end = if crlf { "\r\n" } else { "\n" };
            let label = "CERTIFICATE-----";
            let pem = format!("-----BEGIN {label}{end}{text}{end}-----END {label}{end}");
            let theirs = CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
            let ours = sections(pem.as_bytes(), Lists::Ignored).unwrap();
            prop_assert_eq!(ours.first().unwrap().der.as_slice(), theirs.as_ref());
        }

        #[test]
        fn no_bytes_are_too_odd(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = sections(&bytes, Lists::Ignored);
            let _ = sections(&bytes, Lists::Decoded);
        }
    }
}

//! From bytes to an introduction.
//!
//! Owns which version it is, and the line of version 1; version 2 is in `binary`, what follows its
//! addresses in `vectors`. What is wrong is found at the first byte that makes it so, and how the
//! bytes came in parts changes nothing. Whatever may be read in two ways is refused.

mod binary;
mod vectors;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use super::{Ends, HEADER_BYTES_MAX, Introduction, LINE_BYTES_MAX, SIGNATURE, WORD};

/// What bytes are so far.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Decoded {
    /// A whole header.
    Complete {
        /// What it says.
        introduction: Box<Introduction>,
        /// Its length in bytes; what stands behind is not part of it.
        length: usize,
    },
    /// The beginning of one: all of these bytes are part of it, and more follow.
    Incomplete,
}

/// Reads the header that `bytes` begin with.
pub fn decode(bytes: &[u8]) -> Result<Decoded, Malformed> {
    if begins(bytes, SIGNATURE) {
        return binary::decode(bytes);
    }
    if begins(bytes, WORD) {
        return line(bytes);
    }
    Err(Malformed::NoHeader)
}

/// Whether `bytes` begin with `start`, as far as there are any.
fn begins(bytes: &[u8], start: &[u8]) -> bool {
    bytes.iter().zip(start).all(|(byte, expected)| byte == expected)
}

/// Version 1 (specification 2.1).
fn line(bytes: &[u8]) -> Result<Decoded, Malformed> {
    let head = bytes.get(..LINE_BYTES_MAX).unwrap_or(bytes);
    let end = head.iter().position(|byte| matches!(byte, b'\r' | b'\n'));
    let end = match end.and_then(|end| head.split_at_checked(end)) {
        Some((line, [b'\r', b'\n', ..])) => line,
        Some((_, [b'\r'])) | None if head.len() < LINE_BYTES_MAX => return Ok(Decoded::Incomplete),
        Some((_, [b'\r'])) | None => return Err(Malformed::TooLong { max: LINE_BYTES_MAX }),
        Some(_) => return Err(Malformed::LineEnd),
    };
    let words = std::str::from_utf8(end).ok().and_then(|line| line.strip_prefix("PROXY "));
    let unknown = end.strip_prefix(b"PROXY UNKNOWN");
    let ends = match (unknown, words) {
        (Some([] | [b' ', ..]), _) => Ends::Unknown,
        (_, Some(words)) => addresses(words)?,
        (_, None) => return Err(Malformed::Line),
    };
    let introduction = Box::new(Introduction::of(ends));
    Ok(Decoded::Complete { introduction, length: end.len() + 2 })
}

/// `TCP4 SOURCE DESTINATION PORT PORT`, with one space between any two.
fn addresses(words: &str) -> Result<Ends, Malformed> {
    let words: Vec<_> = words.split(' ').collect();
    let [family, source, destination, source_port, destination_port] = words[..] else {
        return Err(Malformed::Line);
    };
    let ip = |text| match family {
        "TCP4" => Ipv4Addr::from_str(text).ok().map(IpAddr::V4),
        "TCP6" => Ipv6Addr::from_str(text).ok().map(IpAddr::V6),
        _ => None,
    };
    let addr = |addr, of| Some(SocketAddr::new(ip(addr)?, port(of)?));
    let source = addr(source, source_port);
    let destination = addr(destination, destination_port);
    let (Some(source), Some(destination)) = (source, destination) else {
        return Err(Malformed::Line);
    };
    Ok(Ends::Tcp { source: canonical(source), destination: canonical(destination) })
}

/// A port without a sign and without zeros in front.
fn port(text: &str) -> Option<u16> {
    let is_plain = matches!(text.as_bytes(), b"0" | [b'1'..=b'9', ..]);
    text.parse().ok().filter(|_| is_plain)
}

/// An IPv4 address is one, however it is written.
fn canonical(addr: SocketAddr) -> SocketAddr {
    SocketAddr::new(addr.ip().to_canonical(), addr.port())
}

/// Why bytes are no header.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Malformed {
    /// The addresses are longer than what is said to follow.
    #[error("the PROXY header is too short for its addresses")]
    AddressesCut,
    /// The checksum that the header has of itself is not its own.
    #[error("the checksum of the PROXY header is not its own")]
    Checksum,
    /// Neither LOCAL nor PROXY of version 2.
    #[error("version or command {0:#04x} of the PROXY header is unknown")]
    Command(u8),
    /// A family of addresses, or a transport, that the specification does not have.
    #[error("the family of addresses {0:#04x} of the PROXY header is unknown")]
    Family(u8),
    /// The line of version 1 is not one.
    #[error("the PROXY line is not of the form `PROXY TCP4 SOURCE DESTINATION PORT PORT`")]
    Line,
    /// CR without LF, or LF without CR.
    #[error("the PROXY line does not end in CR and LF")]
    LineEnd,
    /// It begins with something else.
    #[error("there is no PROXY header")]
    NoHeader,
    /// It is longer than any that is taken.
    #[error("the PROXY header is longer than {max} bytes")]
    TooLong {
        /// The longest that would be.
        max: usize,
    },
    /// What follows the addresses does not end where the header does.
    #[error("the PROXY header ends within a TLV")]
    VectorCut,
    /// Two readers could take one for the other.
    #[error("the PROXY header has TLV {0:#04x} twice")]
    VectorTwice(u8),
    /// The value is not of the form that the specification has for it.
    #[error("TLV {0:#04x} of the PROXY header has no such value")]
    VectorValue(u8),
}

impl Malformed {
    fn too_long() -> Self {
        Self::TooLong { max: HEADER_BYTES_MAX }
    }
}

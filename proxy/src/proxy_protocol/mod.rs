//! The PROXY protocol: how one proxy introduces a client to the next.
//!
//! Owns [`Introduction`], which is what a header says, and both forms of it as pure functions:
//! [`decode`], which takes bytes as they come and never more than the header, and [`encode`], whose
//! lengths are counted before they are written. "The specification" is `proxy-protocol.txt` of
//! HAProxy. Refuses to know sockets, and who may be believed: `handshake::introduction` hears,
//! `backend::introduction` speaks.

mod crc32c;
mod decode;
mod encode;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::Path;

pub use decode::{Decoded, Malformed, decode};
pub use encode::{Encoded, encode};

/// What a header says of a connection, heard or to be said.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Introduction {
    /// Who speaks with whom.
    pub ends: Ends,
    /// The protocol that ALPN chose (specification 2.2.1); at most 255 bytes mean something.
    pub alpn: Option<Vec<u8>>,
    /// The host that the client asked for (2.2.2).
    pub authority: Option<Text>,
    /// The name of the connection, at most [`UNIQUE_ID_BYTES_MAX`] bytes (2.2.5).
    pub unique_id: Option<Vec<u8>>,
    /// How the client came, if it came under TLS (2.2.6).
    pub tls: Option<TlsIntroduction>,
}

/// Who speaks with whom.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum Ends {
    /// The sender itself, on its own account: a health check, say. Nothing else is said then.
    Local,
    /// A client and the address that it connected to, over TCP.
    Tcp {
        /// The client.
        source: SocketAddr,
        /// Where it connected to; of the same family as `source` on the wire.
        destination: SocketAddr,
    },
    /// A client of a unix socket.
    Unix {
        /// Its own name, mostly empty.
        source: UnixName,
        /// The socket that it connected to.
        destination: UnixName,
    },
    /// A client that is not told of, or not one of TCP.
    #[default]
    Unknown,
}

/// A name of a unix socket, with the zeros that it is filled up with.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct UnixName([u8; UNIX_NAME_BYTES]);

/// How a client came under TLS (specification 2.2.6).
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct TlsIntroduction {
    /// Such as `TLSv1.3`.
    pub version: Option<Text>,
    /// The cipher suite, such as `TLS_AES_128_GCM_SHA256` or `ECDHE-RSA-AES128-GCM-SHA256`.
    pub cipher: Option<Text>,
    /// What the certificate that the client was shown is signed with, such as `RSA-SHA256`.
    pub signature_algorithm: Option<Text>,
    /// The key of the certificate that the client was shown, such as `RSA2048`.
    pub key_algorithm: Option<Text>,
    /// The group of the key exchange, such as `secp256r1`.
    pub group: Option<Text>,
    /// What the handshake was signed with, such as `rsa_pss_rsae_sha256`.
    pub signature_scheme: Option<Text>,
    /// Whether there is a certificate of the client.
    pub shown: Shown,
    /// 0 if there is one and it is good; anything else otherwise.
    pub verify: u32,
    /// The common name in it.
    pub common_name: Option<Text>,
    /// The certificate itself, in DER.
    pub certificate: Option<Vec<u8>>,
}

/// When a client has shown a certificate.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Shown {
    /// On this connection.
    Now,
    /// Never.
    #[default]
    Never,
    /// On an earlier connection of the session, which this one resumed.
    Once,
}

/// Words of the protocol.
pub type Text = Cow<'static, str>;

impl Introduction {
    /// Of a connection of which nothing else is known than who speaks with whom.
    pub fn of(ends: Ends) -> Self {
        Self { ends, ..Self::default() }
    }
}

/// A name for a connection that has none: a random UUID (RFC 9562 §5.4) in words, which need not be
/// secret.
pub fn unique_id() -> Vec<u8> {
    let mut bytes = [0; 16];
    // Without chance there is a name like others, which misleads nobody who sees it twice.
    let _ = aws_lc_rs::rand::fill(&mut bytes);
    let number = u128::from_be_bytes(bytes);
    let number = number & !(0xf << 76 | 0b11 << 62) | 0x4 << 76 | 0b10 << 62;
    let part = |shift: u32, digits: u32| (number >> shift) & ((1 << (4 * digits)) - 1);
    let [a, b, c, d, e] = [(96, 8), (80, 4), (64, 4), (48, 4), (0, 12)].map(|(s, n)| part(s, n));
    format!("{a:08x}-{b:04x}-{c:04x}-{d:04x}-{e:012x}").into_bytes()
}

impl Ends {
    /// A client at `source` that connected to `destination`, as far as both are known.
    pub fn between(source: Option<SocketAddr>, destination: Option<SocketAddr>) -> Self {
        match (source, destination) {
            (Some(source), Some(destination)) => Self::Tcp { source, destination },
            _ => Self::Unknown,
        }
    }

    /// The address of the client, if it has one.
    pub fn source(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp { source, .. } => Some(*source),
            Self::Local | Self::Unix { .. } | Self::Unknown => None,
        }
    }

    /// The address that the client connected to, if it has one.
    pub fn destination(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp { destination, .. } => Some(*destination),
            Self::Local | Self::Unix { .. } | Self::Unknown => None,
        }
    }
}

impl UnixName {
    /// The name of the socket at `path`; `None` if it is too long to be one.
    pub fn new(path: &Path) -> Option<Self> {
        let mut name = [0; UNIX_NAME_BYTES];
        let path = path.as_os_str().as_encoded_bytes();
        name.get_mut(..path.len())?.copy_from_slice(path);
        Some(Self(name))
    }
}

/// Both addresses in one family, the smaller one that holds them; an IPv4 address beside one of
/// IPv6 is written as the IPv6 address that stands for it (RFC 4291 §2.5.5.2).
enum Family {
    V4([[u8; 4]; 2]),
    V6([[u8; 16]; 2]),
}

impl Family {
    fn of(source: SocketAddr, destination: SocketAddr) -> Self {
        match (source.ip().to_canonical(), destination.ip().to_canonical()) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                Self::V4([source.octets(), destination.octets()])
            }
            (source, destination) => Self::V6([wide(source).octets(), wide(destination).octets()]),
        }
    }
}

fn wide(ip: IpAddr) -> Ipv6Addr {
    match ip {
        IpAddr::V4(v4) => v4.to_ipv6_mapped(),
        IpAddr::V6(v6) => v6,
    }
}

/// The longest line of version 1, with its end (specification 2.1).
pub const LINE_BYTES_MAX: usize = 107;
/// The longest header of version 2 that is heard or said: no sender needs more, and a receiver need
/// not take it.
pub const HEADER_BYTES_MAX: usize = 4096;
/// The longest name of a connection (specification 2.2.5).
pub const UNIQUE_ID_BYTES_MAX: usize = 128;

/// How version 1 begins.
const WORD: &[u8; 5] = b"PROXY";
/// How version 2 begins.
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// What of version 2 stands before the addresses.
const FIXED_BYTES: usize = 16;
/// What of a TLV stands before its value.
const TLV_HEAD_BYTES: usize = 3;
/// `sun_path` of unix(7).
const UNIX_NAME_BYTES: usize = 108;

/// The types of TLVs (specification 2.2), those inside of [`kind::SSL`] among them. 0x26 to 0x28
/// came in 2025 and 2026.
mod kind {
    pub(super) const ALPN: u8 = 0x01;
    pub(super) const AUTHORITY: u8 = 0x02;
    pub(super) const CRC32C: u8 = 0x03;
    pub(super) const UNIQUE_ID: u8 = 0x05;
    pub(super) const SSL: u8 = 0x20;
    pub(super) const SSL_VERSION: u8 = 0x21;
    pub(super) const SSL_CN: u8 = 0x22;
    pub(super) const SSL_CIPHER: u8 = 0x23;
    pub(super) const SSL_SIG_ALG: u8 = 0x24;
    pub(super) const SSL_KEY_ALG: u8 = 0x25;
    pub(super) const SSL_GROUP: u8 = 0x26;
    pub(super) const SSL_SIG_SCHEME: u8 = 0x27;
    pub(super) const SSL_CLIENT_CERT: u8 = 0x28;
}

/// The bits of the first byte of [`kind::SSL`].
mod client {
    pub(super) const SSL: u8 = 0x01;
    pub(super) const CERT_CONN: u8 = 0x02;
    pub(super) const CERT_SESS: u8 = 0x04;
}

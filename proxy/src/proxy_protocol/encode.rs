//! From an introduction to bytes.
//!
//! Owns both forms, and what is left out when there is too much to say. All lengths are counted
//! before the first byte is written, so that none can be wrong. Refuses to know who is told.

use std::net::{IpAddr, SocketAddr};

use super::{
    Ends, FIXED_BYTES, Family, HEADER_BYTES_MAX, Introduction, SIGNATURE, Shown, TLV_HEAD_BYTES,
    Text, TlsIntroduction, UNIQUE_ID_BYTES_MAX, client, kind,
};
use crate::config::{ProxyTlv, ProxyVersion, SendProxy};

/// A header.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Encoded {
    /// All of it, at most [`HEADER_BYTES_MAX`] bytes.
    pub bytes: Vec<u8>,
    /// How many things that were to be said are not, since there was no room.
    pub omitted: usize,
}

/// Writes `introduction` in the `form` of the configuration. What cannot be said in it, or finds no
/// room, is left out, the certificate of the client first; addresses always have room.
pub fn encode(introduction: &Introduction, form: &SendProxy) -> Encoded {
    match form.version {
        ProxyVersion::V1 => Encoded { bytes: line(&introduction.ends), omitted: 0 },
        ProxyVersion::V2 => binary(introduction, &form.tlvs),
    }
}

/// Version 1. For those who speak for themselves it has no words, and UNKNOWN is taken by all who
/// follow the specification.
fn line(ends: &Ends) -> Vec<u8> {
    let Ends::Tcp { source, destination } = ends else { return b"PROXY UNKNOWN\r\n".to_vec() };
    let (name, source_ip, destination_ip) = match Family::of(*source, *destination) {
        Family::V4([source, destination]) => {
            ("TCP4", IpAddr::from(source), IpAddr::from(destination))
        }
        Family::V6([source, destination]) => {
            ("TCP6", IpAddr::from(source), IpAddr::from(destination))
        }
    };
    let (source, destination) = (source.port(), destination.port());
    format!("PROXY {name} {source_ip} {destination_ip} {source} {destination}\r\n").into_bytes()
}

/// Version 2.
fn binary(introduction: &Introduction, tlvs: &[ProxyTlv]) -> Encoded {
    let (command, family, addresses) = addresses(&introduction.ends);
    let mut vectors = match introduction.ends {
        Ends::Local => Vec::new(),
        Ends::Tcp { .. } | Ends::Unix { .. } | Ends::Unknown => vectors(introduction, tlvs),
    };
    let room = HEADER_BYTES_MAX - FIXED_BYTES - addresses.len();
    let omitted = make_room(&mut vectors, room);
    let length = addresses.len() + sum(&vectors);
    let mut bytes = Vec::with_capacity(FIXED_BYTES + length);
    bytes.extend_from_slice(SIGNATURE);
    bytes.extend([command, family]);
    bytes.extend(short(length));
    bytes.extend_from_slice(&addresses);
    for vector in &vectors {
        vector.write(&mut bytes);
    }
    debug_assert_eq!(bytes.len(), FIXED_BYTES + length);
    Encoded { bytes, omitted }
}

/// Command, family and addresses.
fn addresses(ends: &Ends) -> (u8, u8, Vec<u8>) {
    let ports = |source: &SocketAddr, destination: &SocketAddr| {
        [source.port().to_be_bytes(), destination.port().to_be_bytes()].concat()
    };
    match ends {
        Ends::Local => (0x20, 0x00, Vec::new()),
        Ends::Unknown => (0x21, 0x00, Vec::new()),
        Ends::Unix { source, destination } => (0x21, 0x31, [source.0, destination.0].concat()),
        Ends::Tcp { source, destination } => {
            let ports = ports(source, destination);
            match Family::of(*source, *destination) {
                Family::V4(ips) => (0x21, 0x11, [ips.concat(), ports].concat()),
                Family::V6(ips) => (0x21, 0x21, [ips.concat(), ports].concat()),
            }
        }
    }
}

/// A value with its type, or several in one.
enum Vector<'a> {
    Plain { kind: u8, value: &'a [u8] },
    Tls { head: [u8; 5], inner: Vec<Self> },
}

impl Vector<'_> {
    fn kind(&self) -> u8 {
        match self {
            Self::Plain { kind, .. } => *kind,
            Self::Tls { .. } => kind::SSL,
        }
    }

    /// How long the value is.
    fn value_bytes(&self) -> usize {
        match self {
            Self::Plain { value, .. } => value.len(),
            Self::Tls { head, inner } => head.len() + sum(inner),
        }
    }

    fn write(&self, bytes: &mut Vec<u8>) {
        bytes.push(self.kind());
        bytes.extend(short(self.value_bytes()));
        match self {
            Self::Plain { value, .. } => bytes.extend_from_slice(value),
            Self::Tls { head, inner } => {
                bytes.extend(head);
                inner.iter().for_each(|vector| vector.write(bytes));
            }
        }
    }
}

/// How long `vectors` are together.
fn sum(vectors: &[Vector<'_>]) -> usize {
    vectors.iter().map(|vector| TLV_HEAD_BYTES + vector.value_bytes()).sum()
}

/// A length that is below [`HEADER_BYTES_MAX`].
fn short(length: usize) -> [u8; 2] {
    debug_assert!(length < HEADER_BYTES_MAX);
    u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes()
}

/// What is to be said and can be.
fn vectors<'a>(introduction: &'a Introduction, tlvs: &[ProxyTlv]) -> Vec<Vector<'a>> {
    let Introduction { ends: _, alpn, authority, unique_id, tls } = introduction;
    let is_wanted = |tlv| tlvs.contains(&tlv);
    let plain = |tlv, kind, value: Option<&'a [u8]>| {
        let value = value.filter(|_| is_wanted(tlv))?;
        Some(Vector::Plain { kind, value })
    };
    let name = unique_id.as_deref().filter(|name| name.len() <= UNIQUE_ID_BYTES_MAX);
    let certificate = plain(
        ProxyTlv::ClientCert,
        kind::SSL_CLIENT_CERT,
        tls.as_ref().and_then(|tls| tls.certificate.as_deref()),
    );
    let is_tls = is_wanted(ProxyTlv::Ssl) || certificate.is_some();
    let tls = tls.as_ref().filter(|_| is_tls);
    [
        plain(ProxyTlv::Alpn, kind::ALPN, alpn.as_deref()),
        plain(ProxyTlv::Authority, kind::AUTHORITY, authority.as_ref().map(text)),
        plain(ProxyTlv::UniqueId, kind::UNIQUE_ID, name),
        tls.map(|tls| vector_of_tls(tls, certificate)),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// What is to be said of TLS (specification 2.2.6).
fn vector_of_tls<'a>(tls: &'a TlsIntroduction, certificate: Option<Vector<'a>>) -> Vector<'a> {
    let shown = match tls.shown {
        // What is shown now is shown in this session, too.
        Shown::Now => client::CERT_CONN | client::CERT_SESS,
        Shown::Once => client::CERT_SESS,
        Shown::Never => 0,
    };
    let [a, b, c, d] = tls.verify.to_be_bytes();
    let words = [
        (kind::SSL_VERSION, &tls.version),
        (kind::SSL_CN, &tls.common_name),
        (kind::SSL_CIPHER, &tls.cipher),
        (kind::SSL_SIG_ALG, &tls.signature_algorithm),
        (kind::SSL_KEY_ALG, &tls.key_algorithm),
        (kind::SSL_GROUP, &tls.group),
        (kind::SSL_SIG_SCHEME, &tls.signature_scheme),
    ];
    let words = words
        .into_iter()
        .filter_map(|(kind, value)| Some(Vector::Plain { kind, value: text(value.as_ref()?) }));
    let inner = words.chain(certificate).collect();
    Vector::Tls { head: [client::SSL | shown, a, b, c, d], inner }
}

fn text(text: &Text) -> &[u8] {
    text.as_bytes()
}

/// Leaves out of `vectors` what has no room, and returns how many those are.
fn make_room(vectors: &mut Vec<Vector<'_>>, room: usize) -> usize {
    let mut omitted = 0;
    for kind in OMITTED {
        if sum(vectors) <= room {
            break;
        }
        omitted += remove(vectors, kind);
    }
    debug_assert!(sum(vectors) <= room);
    omitted
}

/// Removes what is of `kind`, and returns how many those were.
fn remove(vectors: &mut Vec<Vector<'_>>, kind: u8) -> usize {
    let before = vectors.len();
    vectors.retain(|vector| vector.kind() != kind);
    let mut removed = before - vectors.len();
    for vector in vectors {
        if let Vector::Tls { inner, .. } = vector {
            removed += remove(inner, kind);
        }
    }
    removed
}

/// What is left out, in this order, until the rest has room: first what is long, last what is
/// looked for. A name of the connection alone is never too long.
const OMITTED: [u8; 5] =
    [kind::SSL_CLIENT_CERT, kind::SSL_CN, kind::SSL, kind::AUTHORITY, kind::ALPN];

//! The PROXY header at the beginning of a connection: who the client is, from somebody who knows.
//!
//! Owns [`hear`], which takes exactly the header off a socket, and only of those whom the
//! configuration names. A connection either has to begin with a header or is never looked at for
//! one: nothing is guessed, so that nobody else can say who it is. Refuses to know what a header
//! looks like, which is `proxy_protocol`, and what follows from it.

use std::io;
use std::net::SocketAddr;

use portunus_certs::credential::KeyKind;
use tokio::io::AsyncReadExt as _;
use tokio::time::{Instant, timeout_at};

use super::facts::Facts;
use crate::config::{ProxyProtocol, UnixPeers};
use crate::metrics::{Group, HandshakeKind, Heard, Suite, TlsVersion};
use crate::net::{ClientAddr, PeerAddr, Socket};
use crate::outcome::Label;
use crate::proxy_protocol::{
    Decoded, Ends, HEADER_BYTES_MAX, Introduction, Malformed, Shown, TlsIntroduction, decode,
    unique_id,
};

/// Hears whom `peer` introduces, until `deadline`, if it is one whom `rule` names. What follows the
/// header stays in the socket. Without a header the coming close is a reset, before which nothing
/// is said (specification 2: the connection is not processed before the header is whole).
pub async fn hear(
    socket: &mut Socket,
    peer: PeerAddr,
    rule: &ProxyProtocol,
    deadline: Instant,
) -> Result<Introduction, IntroductionError> {
    let heard = match is_named(peer, rule) {
        true => timeout_at(deadline, read(socket, peer))
            .await
            .unwrap_or(Err(IntroductionError::Timeout { peer })),
        false => Err(IntroductionError::Untrusted { peer }),
    };
    if heard.is_err() {
        socket.reset_on_close();
    }
    heard
}

/// Who the client of a connection is that `peer` has opened and introduced: `peer` itself, unless
/// it has told of an address.
pub fn client(peer: PeerAddr, introduction: &Introduction) -> ClientAddr {
    match introduction.ends.source() {
        Some(source) => ClientAddr::introduced(source),
        None => peer.into(),
    }
}

/// What was heard, as metrics have it.
pub fn outcome(heard: &Result<Introduction, IntroductionError>) -> Heard {
    match heard {
        Ok(introduction) => match introduction.ends {
            Ends::Local => Heard::Local,
            Ends::Tcp { .. } => Heard::Accepted,
            Ends::Unix { .. } | Ends::Unknown => Heard::Unknown,
        },
        Err(IntroductionError::Broken { .. } | IntroductionError::Ended { .. }) => Heard::Ended,
        Err(IntroductionError::Malformed { source, .. }) => match source {
            Malformed::NoHeader => Heard::Missing,
            Malformed::TooLong { .. } => Heard::TooLarge,
            _ => Heard::Malformed,
        },
        Err(IntroductionError::Timeout { .. }) => Heard::Timeout,
        Err(IntroductionError::Untrusted { .. }) => Heard::Untrusted,
    }
}

/// How the client of a connection is introduced to an endpoint: what was `heard` of it, if anybody
/// introduced it to us, and what we know ourselves. `destination` is where the connection came to.
pub fn introduce(
    heard: Option<&Introduction>,
    client: ClientAddr,
    destination: Option<SocketAddr>,
    facts: Option<&Facts>,
) -> Introduction {
    let ends = match heard.map(|heard| &heard.ends) {
        Some(ends @ (Ends::Tcp { .. } | Ends::Unix { .. })) => ends.clone(),
        None | Some(Ends::Local | Ends::Unknown) => Ends::between(client.addr(), destination),
    };
    let name = heard.and_then(|heard| heard.unique_id.clone()).filter(|name| !name.is_empty());
    let unique_id = Some(name.unwrap_or_else(unique_id));
    match (facts, heard) {
        (Some(facts), _) => Introduction {
            ends,
            alpn: facts.alpn.as_deref().map(<[u8]>::to_vec),
            authority: facts.server_name.as_ref().map(|name| name.as_str().to_owned().into()),
            unique_id,
            tls: Some(tls(facts)),
        },
        // What is said of a client without TLS here is said of its TLS elsewhere.
        (None, Some(heard)) => Introduction { ends, unique_id, ..heard.clone() },
        (None, None) => Introduction { unique_id, ..Introduction::of(ends) },
    }
}

/// What of a handshake is told. A certificate was shown on this very connection only if the
/// handshake was a full one; a session that is resumed brings it along.
fn tls(facts: &Facts) -> TlsIntroduction {
    let shown = match (&facts.client, facts.kind) {
        (None, _) => Shown::Never,
        (Some(_), HandshakeKind::Full) => Shown::Now,
        (Some(_), _) => Shown::Once,
    };
    let version = match facts.version {
        TlsVersion::V1_2 => "TLSv1.2",
        TlsVersion::V1_3 => "TLSv1.3",
    };
    let group = facts.group.filter(|group| *group != Group::Other);
    TlsIntroduction {
        version: Some(version.into()),
        cipher: cipher(facts.suite).map(Into::into),
        signature_algorithm: facts.certificate.signature.map(Into::into),
        key_algorithm: key(facts.certificate.key).map(Into::into),
        group: group.map(|group| group.label().into()),
        shown,
        verify: if shown == Shown::Never { 1 } else { 0 },
        common_name: facts.client.as_ref().and_then(|client| client.common_name()).map(Into::into),
        certificate: facts.client.as_ref().map(|client| client.leaf().to_vec()),
        ..TlsIntroduction::default()
    }
}

/// A cipher suite as receivers know it, which is as OpenSSL calls it (specification 2.2.6).
fn cipher(suite: Suite) -> Option<&'static str> {
    match suite {
        Suite::EcdheEcdsaAes128 => Some("ECDHE-ECDSA-AES128-GCM-SHA256"),
        Suite::EcdheEcdsaAes256 => Some("ECDHE-ECDSA-AES256-GCM-SHA384"),
        Suite::EcdheEcdsaChaCha20 => Some("ECDHE-ECDSA-CHACHA20-POLY1305"),
        Suite::EcdheRsaAes128 => Some("ECDHE-RSA-AES128-GCM-SHA256"),
        Suite::EcdheRsaAes256 => Some("ECDHE-RSA-AES256-GCM-SHA384"),
        Suite::EcdheRsaChaCha20 => Some("ECDHE-RSA-CHACHA20-POLY1305"),
        Suite::Tls13Aes128 | Suite::Tls13Aes256 | Suite::Tls13ChaCha20 => Some(suite.label()),
        Suite::Other => None,
    }
}

/// The key of a certificate as receivers know it: kind and bits, as HAProxy tells it, which has no
/// word for Ed25519.
fn key(kind: KeyKind) -> Option<String> {
    match kind {
        KeyKind::EcdsaP256 => Some("EC256".to_owned()),
        KeyKind::EcdsaP384 => Some("EC384".to_owned()),
        KeyKind::EcdsaP521 => Some("EC521".to_owned()),
        KeyKind::Ed25519 => None,
        KeyKind::Rsa(bits) => Some(format!("RSA{bits}")),
    }
}

fn is_named(peer: PeerAddr, rule: &ProxyProtocol) -> bool {
    match peer.ip() {
        Some(ip) => rule.from.iter().any(|block| block.contains(&ip)),
        None => rule.from_unix == UnixPeers::Believed,
    }
}

/// Looks first and takes then, so that not one byte too much is taken.
async fn read(socket: &mut Socket, peer: PeerAddr) -> Result<Introduction, IntroductionError> {
    let broken = |source| IntroductionError::Broken { peer, source };
    let mut header = vec![0; HEADER_BYTES_MAX];
    let mut taken = 0;
    loop {
        let room = header.get_mut(taken..).unwrap_or_default();
        let seen = match socket.peek(room).await.map_err(broken)? {
            0 => return Err(IntroductionError::Ended { peer }),
            count => taken + count,
        };
        let decoded = decode(header.get(..seen).unwrap_or_default())
            .map_err(|source| IntroductionError::Malformed { peer, source })?;
        let end = match &decoded {
            Decoded::Complete { length, .. } => *length,
            Decoded::Incomplete => seen,
        };
        // All of it is there, as was seen.
        let part = header.get_mut(taken..end).unwrap_or_default();
        socket.read_exact(part).await.map_err(broken)?;
        match decoded {
            Decoded::Complete { introduction, .. } => return Ok(*introduction),
            Decoded::Incomplete => taken = end,
        }
    }
}

/// Why a connection is closed that should have begun with a PROXY header.
#[derive(Debug, thiserror::Error)]
pub enum IntroductionError {
    /// The connection broke.
    #[error("the connection of {peer} broke before its PROXY header")]
    Broken {
        /// Who opened it.
        peer: PeerAddr,
        /// How.
        source: io::Error,
    },
    /// The connection ended, as it does if somebody only looks whether the port is open.
    #[error("{peer} has ended the connection before its PROXY header")]
    Ended {
        /// Who opened it.
        peer: PeerAddr,
    },
    /// There is no header, or a bad one.
    #[error(
        "the connection of {peer} does not begin with a good PROXY header: have it send one, or \
         remove `proxy_protocol` from the listener"
    )]
    Malformed {
        /// Who opened it.
        peer: PeerAddr,
        /// What is wrong.
        source: Malformed,
    },
    /// It took too long.
    #[error("{peer} sent no whole PROXY header within `limits.proxy_header_timeout`")]
    Timeout {
        /// Who opened it.
        peer: PeerAddr,
    },
    /// The peer is not one who may connect.
    #[error("{peer} is not in `proxy_protocol.from`: add it there, or have it connect elsewhere")]
    Untrusted {
        /// Who opened it.
        peer: PeerAddr,
    },
}

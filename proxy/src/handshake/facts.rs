//! What a finished handshake made known, in our words rather than in rustls'.
//!
//! Owns [`Facts`] and the translation. Refuses to know what is done with them: `connection` counts
//! and logs them, `route` takes the site, `forward` the protocol.

use std::sync::Arc;

use portunus_certs::client_auth::ClientIdentity;
use portunus_certs::credential::{Credential, KeyKind};
use portunus_certs::name::HostName;
use rustls::{
    CipherSuite, HandshakeKind as RustlsKind, NamedGroup, ProtocolVersion, ServerConnection,
};

use crate::metrics::{Group, HandshakeKind, NotResumed, Suite, TlsVersion};

use super::resume::{Attempt, Kept};
use super::sites::SiteId;

/// What a handshake made known.
#[derive(Clone, Debug)]
pub struct Facts {
    /// What the client asked for; `None` for clients that name nobody.
    pub server_name: Option<HostName>,
    /// Whose policy holds.
    pub site: SiteId,
    /// Who the client is; `None` for clients that stay anonymous.
    pub client: Option<Arc<ClientIdentity>>,
    /// The certificate that is served to it; one who resumes does not see it again.
    pub certificate: OwnCertificate,
    /// The protocol that both chose.
    pub protocol: Protocol,
    /// Its name (RFC 7301 §3.1), if they chose one.
    pub alpn: Option<Box<[u8]>>,
    /// The version of TLS.
    pub version: TlsVersion,
    /// How the keys came about.
    pub kind: HandshakeKind,
    /// Why the session that the client offered was not resumed; `None` if it was, or if the client
    /// offered none.
    pub not_resumed: Option<NotResumed>,
    /// The cipher suite.
    pub suite: Suite,
    /// The group of the key exchange; TLS 1.2 resumes without one.
    pub group: Option<Group>,
    /// Which software the client is like, if that is wanted to be known.
    pub ja4: Option<Arc<str>>,
}

/// What others are told of a certificate of ours.
#[derive(Clone, Copy, Debug)]
pub struct OwnCertificate {
    /// Its key.
    pub key: KeyKind,
    /// What it is signed with, as OpenSSL abbreviates it.
    pub signature: Option<&'static str>,
}

impl OwnCertificate {
    /// That of `credential`.
    pub(super) fn of(credential: &Credential) -> Self {
        Self { key: credential.key_kind(), signature: credential.signature() }
    }
}

/// What is spoken inside TLS, as ALPN has it (RFC 7301).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Protocol {
    /// `h2`.
    Http2,
    /// `http/1.1`, or no choice.
    Plain,
}

impl Facts {
    /// The facts of a finished handshake.
    pub(super) fn new(
        tls: &ServerConnection,
        attempt: &Attempt,
        server_name: Option<HostName>,
        site: SiteId,
        client: Option<Arc<ClientIdentity>>,
        certificate: OwnCertificate,
    ) -> Self {
        let version = match tls.protocol_version() {
            Some(ProtocolVersion::TLSv1_3) => TlsVersion::V1_3,
            _ => TlsVersion::V1_2,
        };
        let kind = match (tls.handshake_kind(), attempt.kept, version) {
            (Some(RustlsKind::Resumed), Kept::WithClient, _) => HandshakeKind::Ticket,
            (Some(RustlsKind::Resumed), _, TlsVersion::V1_3) => HandshakeKind::Stateful,
            (Some(RustlsKind::Resumed), _, TlsVersion::V1_2) => HandshakeKind::SessionId,
            _ => HandshakeKind::Full,
        };
        let not_resumed = match kind {
            HandshakeKind::Full => attempt.reason(),
            _ => None,
        };
        let protocol = match tls.alpn_protocol() {
            Some(b"h2") => Protocol::Http2,
            _ => Protocol::Plain,
        };
        let alpn = tls.alpn_protocol().map(Into::into);
        let suite = tls.negotiated_cipher_suite().map_or(Suite::Other, |s| suite(s.suite()));
        let group = tls.negotiated_key_exchange_group().map(|group| match group.name() {
            NamedGroup::X25519MLKEM768 => Group::X25519MlKem768,
            NamedGroup::X25519 => Group::X25519,
            NamedGroup::secp256r1 => Group::Secp256r1,
            NamedGroup::secp384r1 => Group::Secp384r1,
            _ => Group::Other,
        });
        Self {
            server_name,
            site,
            client,
            certificate,
            protocol,
            alpn,
            version,
            kind,
            not_resumed,
            suite,
            group,
            ja4: None,
        }
    }
}

fn suite(suite: CipherSuite) -> Suite {
    match suite {
        CipherSuite::TLS13_AES_128_GCM_SHA256 => Suite::Tls13Aes128,
        CipherSuite::TLS13_AES_256_GCM_SHA384 => Suite::Tls13Aes256,
        CipherSuite::TLS13_CHACHA20_POLY1305_SHA256 => Suite::Tls13ChaCha20,
        CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256 => Suite::EcdheEcdsaAes128,
        CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384 => Suite::EcdheEcdsaAes256,
        CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256 => Suite::EcdheEcdsaChaCha20,
        CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 => Suite::EcdheRsaAes128,
        CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384 => Suite::EcdheRsaAes256,
        CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256 => Suite::EcdheRsaChaCha20,
        _ => Suite::Other,
    }
}

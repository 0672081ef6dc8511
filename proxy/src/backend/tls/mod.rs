//! TLS towards endpoints: whom we believe, what we show, and which protocol is agreed on.
//!
//! Owns [`Encryption`], made for a backend from its files, and made anew when these are others, and
//! [`EndpointTls`], what each endpoint adds to it. Nothing is read from an endpoint as clear text
//! before the handshake is done: what comes earlier is part of the handshake or breaks it. Refuses
//! to know sockets' addresses, what is sent later, and when files are read again. Read next:
//! `trust`, `sessions` and `error`, then `connect`.

mod error;
mod sessions;
#[cfg(test)]
mod tests;
mod trust;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use rustls::HandshakeKind;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

pub use error::TlsError;
pub(super) use sessions::EndpointTls;
pub use trust::TrustError;

use crate::config::{BackendTls, StarttlsProtocol};
use crate::metrics::{BackendHandshake, BackendMetrics};
use crate::net::Socket;
use trust::{Times, Trust, digest_of};

/// How the connections of a backend are encrypted.
#[derive(Debug)]
pub(super) struct Encryption {
    files: BackendTls,
    /// What the files were when `trust` was made of them.
    digest: AtomicU64,
    trust: ArcSwap<Trust>,
    metrics: BackendMetrics,
}

/// Which protocols are offered in the handshake (RFC 7301).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Alpn {
    /// Those that the configuration names, if any: it is not HTTP.
    Bytes,
    Http1,
    /// HTTP/1.1 alone, of an endpoint that need not speak it, since another protocol is to follow.
    Upgradable,
    Http2,
    /// HTTP/2, or else HTTP/1.1.
    Either,
}

impl Alpn {
    /// Those of HTTP.
    fn names(self) -> Vec<Vec<u8>> {
        let names: &[&[u8]] = match self {
            Self::Bytes => &[],
            Self::Http1 | Self::Upgradable => &[HTTP1],
            Self::Http2 => &[HTTP2],
            Self::Either => &[HTTP2, HTTP1],
        };
        names.iter().map(|name| name.to_vec()).collect()
    }
}

impl Encryption {
    /// Reads the files that `config` names.
    pub(super) fn open(config: &BackendTls, metrics: &BackendMetrics) -> Result<Self, TrustError> {
        // Sooner than the files are read: a change in between is found by the next reading.
        let digest = digest_of(config)?.into();
        let trust = Trust::read(config)?;
        show(&trust.times, metrics);
        let (trust, metrics) = (ArcSwap::from_pointee(trust), metrics.clone());
        Ok(Self { digest, trust, metrics, files: config.clone() })
    }

    /// Reads the files again, and returns whether they are others; what is bad changes nothing.
    /// Connections that are there go on as they are.
    pub(super) fn reload(&self) -> Result<bool, TrustError> {
        let digest = digest_of(&self.files)?;
        if digest == self.digest.load(Ordering::Relaxed) {
            return Ok(false);
        }
        let trust = Trust::read(&self.files)?;
        show(&trust.times, &self.metrics);
        self.trust.store(Arc::new(trust));
        self.digest.store(digest, Ordering::Relaxed);
        Ok(true)
    }

    /// What endpoints are asked for TLS in, if they are.
    pub(super) fn starttls(&self) -> Option<StarttlsProtocol> {
        self.files.starttls
    }

    /// The files that the configuration names.
    pub(super) fn paths(&self) -> impl Iterator<Item = &Path> {
        trust::paths(&self.files)
    }

    /// What is remembered of a new endpoint of this name: nothing yet.
    pub(super) fn endpoint(&self, name: &str) -> EndpointTls {
        EndpointTls::new(name.parse().ok().and_then(|name| self.files.name_of(&name)))
    }

    /// Establishes TLS on a socket that is connected.
    pub(super) async fn establish(
        &self,
        socket: Socket,
        endpoint: &EndpointTls,
        alpn: Alpn,
    ) -> Result<Box<TlsStream<Socket>>, TlsError> {
        let name = endpoint.name().ok_or(TlsError::NoName)?.clone();
        let connector = TlsConnector::from(endpoint.config(&self.trust.load().config));
        let names = match alpn {
            Alpn::Bytes => self.files.alpn.iter().map(|name| name.to_vec()).collect(),
            alpn => alpn.names(),
        };
        let stream = connector.with_alpn(names).connect(name, socket).await;
        let stream = stream.map_err(TlsError::of)?;
        if alpn == Alpn::Http2 && !speaks_http2(&stream) {
            return Err(TlsError::NoHttp2);
        }
        Ok(Box::new(stream))
    }
}

/// Shows from when and until when the files are good.
fn show(times: &Times, metrics: &BackendMetrics) {
    if let Some(credential) = &times.credential {
        metrics.show_credential(credential);
    }
    for (path, list) in &times.crls {
        metrics.show_crl(&path.display().to_string(), list);
    }
}

/// How the handshake came to its keys.
pub(super) fn kind(stream: &TlsStream<Socket>) -> BackendHandshake {
    match stream.get_ref().1.handshake_kind() {
        Some(HandshakeKind::Resumed) => BackendHandshake::Resumed,
        _ => BackendHandshake::Full,
    }
}

/// Whether the endpoint chose HTTP/2.
pub(super) fn speaks_http2(stream: &TlsStream<Socket>) -> bool {
    stream.get_ref().1.alpn_protocol() == Some(HTTP2)
}

/// Whether the files that `config` names are what they should be, for those who want to know it
/// before anything is served.
pub fn check_trust(config: &BackendTls) -> Result<(), TrustError> {
    Trust::read(config).map(drop)
}

const HTTP1: &[u8] = b"http/1.1";
const HTTP2: &[u8] = b"h2";

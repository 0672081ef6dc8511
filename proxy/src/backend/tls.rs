//! TLS towards endpoints: whom we believe, what we show, and which protocol is agreed on.
//!
//! Owns [`Encryption`], made for a backend from its files, and made anew when these are others;
//! with sessions that its connections share. Nothing is read from an endpoint as clear text before
//! the handshake is done: what comes earlier is part of the handshake or breaks it. Refuses to know
//! sockets' addresses, what is sent later, and when files are read again. Read next: `connect`.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::{fs, io};

use arc_swap::ArcSwap;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem};
use rustls::{AlertDescription, ClientConfig, RootCertStore};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::key::digest;
use crate::config::BackendTls;
use crate::net::Socket;

/// How the connections of a backend are encrypted.
#[derive(Debug)]
pub(super) struct Encryption {
    files: BackendTls,
    /// What the files were when `config` was made.
    digest: AtomicU64,
    config: ArcSwap<ClientConfig>,
}

/// Which protocols are offered in the handshake (RFC 7301).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Alpn {
    /// None: it is not HTTP.
    None,
    Http1,
    /// HTTP/1.1 alone, of an endpoint that need not speak it, since another protocol is to follow.
    Upgradable,
    Http2,
    /// HTTP/2, or else HTTP/1.1.
    Either,
}

impl Alpn {
    fn names(self) -> Vec<Vec<u8>> {
        let names: &[&[u8]] = match self {
            Self::None => &[],
            Self::Http1 | Self::Upgradable => &[HTTP1],
            Self::Http2 => &[HTTP2],
            Self::Either => &[HTTP2, HTTP1],
        };
        names.iter().map(|name| name.to_vec()).collect()
    }
}

impl Encryption {
    /// Reads the files that `config` names.
    pub(super) fn open(config: &BackendTls) -> Result<Self, TrustError> {
        // Sooner than the files are read: a change in between is found by the next reading.
        let digest = digest_of(config)?.into();
        let files = config.clone();
        Ok(Self { digest, config: ArcSwap::from(client_config(&files)?), files })
    }

    /// Reads the files again, and returns whether they are others; what is bad changes nothing.
    /// Connections that are there go on as they are.
    pub(super) fn reload(&self) -> Result<bool, TrustError> {
        let digest = digest_of(&self.files)?;
        if digest == self.digest.load(Ordering::Relaxed) {
            return Ok(false);
        }
        self.config.store(client_config(&self.files)?);
        self.digest.store(digest, Ordering::Relaxed);
        Ok(true)
    }

    /// The files that the configuration names.
    pub(super) fn paths(&self) -> impl Iterator<Item = &Path> {
        paths(&self.files)
    }

    /// The name that the certificate of an endpoint has to be for.
    pub(super) fn server_name(&self, endpoint: &str) -> Option<ServerName<'static>> {
        self.files.name_of(&endpoint.parse().ok()?)
    }

    /// Establishes TLS on a socket that is connected.
    pub(super) async fn establish(
        &self,
        socket: Socket,
        name: Option<ServerName<'static>>,
        alpn: Alpn,
    ) -> io::Result<Box<TlsStream<Socket>>> {
        let Some(name) = name else {
            let words = "there is no name that the certificate could be for";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, words));
        };
        let connector = TlsConnector::from(self.config.load_full());
        let stream = connector.with_alpn(alpn.names()).connect(name, socket).await?;
        if alpn == Alpn::Http2 && !speaks_http2(&stream) {
            let words = "the endpoint does not speak HTTP/2";
            return Err(io::Error::new(io::ErrorKind::Unsupported, words));
        }
        Ok(Box::new(stream))
    }
}

/// Whether the endpoint chose HTTP/2.
pub(super) fn speaks_http2(stream: &TlsStream<Socket>) -> bool {
    stream.get_ref().1.alpn_protocol() == Some(HTTP2)
}

/// Whether the endpoint speaks nothing of what was offered (RFC 7301 §3.2).
pub(super) fn is_no_protocol(error: &io::Error) -> bool {
    let error = error.get_ref().and_then(|error| error.downcast_ref::<rustls::Error>());
    error == Some(&rustls::Error::AlertReceived(AlertDescription::NoApplicationProtocol))
}

fn client_config(config: &BackendTls) -> Result<Arc<ClientConfig>, TrustError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(TrustError::Tls)?
        .with_root_certificates(authorities(config.ca.as_deref())?);
    let config_of_tls = match &config.credential {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let (chain, key) = credential(path)?;
            builder
                .with_client_auth_cert(chain, key)
                .map_err(|source| TrustError::Credential { path: path.clone(), source })?
        }
    };
    Ok(Arc::new(config_of_tls))
}

/// What tells these files from others.
fn digest_of(config: &BackendTls) -> Result<u64, TrustError> {
    let mut bytes = Vec::new();
    for path in paths(config) {
        let read = fs::read(path).map_err(|source| TrustError::Pem {
            path: path.to_owned(),
            source: pem::Error::Io(source),
        })?;
        bytes.extend_from_slice(&digest(&read).to_be_bytes());
    }
    Ok(digest(&bytes))
}

fn paths(config: &BackendTls) -> impl Iterator<Item = &Path> {
    config.ca.iter().chain(&config.credential).map(PathBuf::as_path)
}

fn authorities(bundle: Option<&Path>) -> Result<RootCertStore, TrustError> {
    let mut roots = RootCertStore::empty();
    let Some(path) = bundle else {
        let found = rustls_native_certs::load_native_certs();
        roots.add_parsable_certificates(found.certs);
        return if roots.is_empty() { Err(TrustError::NoAuthorities) } else { Ok(roots) };
    };
    for certificate in certificates(path)? {
        roots
            .add(certificate)
            .map_err(|source| TrustError::Authority { path: path.to_owned(), source })?;
    }
    Ok(roots)
}

fn credential(
    path: &Path,
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), TrustError> {
    let key = PrivateKeyDer::from_pem_file(path)
        .map_err(|source| TrustError::Pem { path: path.to_owned(), source })?;
    Ok((certificates(path)?, key))
}

/// At least one.
fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TrustError> {
    let bad = |source| TrustError::Pem { path: path.to_owned(), source };
    let found: Result<Vec<_>, _> = CertificateDer::pem_file_iter(path).map_err(bad)?.collect();
    match found.map_err(bad)? {
        found if found.is_empty() => Err(bad(pem::Error::NoItemsFound)),
        found => Ok(found),
    }
}

/// Whether the files that `config` names are what they should be, for those who want to know it
/// before anything is served.
pub fn check_trust(config: &BackendTls) -> Result<(), TrustError> {
    Encryption::open(config).map(drop)
}

/// Why a backend has no TLS.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// A certificate of the bundle cannot be an authority.
    #[error("{}: a certificate cannot be used as an authority", path.display())]
    Authority {
        /// The bundle.
        path: PathBuf,
        /// Why.
        source: rustls::Error,
    },
    /// Chain and key do not belong together, or the key is of no known kind.
    #[error("{}: the credential cannot be used", path.display())]
    Credential {
        /// The file with both.
        path: PathBuf,
        /// Why.
        source: rustls::Error,
    },
    /// The system trusts nobody.
    #[error("there are no authorities of the system; name a file in `tls.ca`")]
    NoAuthorities,
    /// A file cannot be read, or has nothing of what it should have.
    #[error("{}", path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// Why.
        source: pem::Error,
    },
    /// The provider lacks a version of TLS.
    #[error("TLS cannot be set up")]
    Tls(#[source] rustls::Error),
}

const HTTP1: &[u8] = b"http/1.1";
const HTTP2: &[u8] = b"h2";

//! Who may be a client: authorities, revocation lists, and the verifier made of them.
//!
//! Owns the files behind client authentication and the rule that they fail closed: a bundle that
//! is missing, empty or damaged refuses to open, and at a reload the last good one stays. The
//! authorities are those of the bundle and no others; the system's own are never consulted.
//! Refuses to know sites: whoever serves one asks for the [`ClientTrust`] of the moment once for
//! each connection.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use aws_lc_rs::digest::{self, SHA256};
use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use thiserror::Error;

use crate::credential::digest_bytes;

/// What is demanded of clients, and where the proof of it lies.
#[derive(Clone, Debug)]
pub struct ClientAuthOptions {
    /// Whether a client may do without a certificate.
    pub demand: Demand,
    /// PEM bundle of the authorities whose clients are let in.
    pub ca: PathBuf,
    /// Revocation lists, PEM or DER; empty means that nothing is ever revoked.
    pub crls: Vec<PathBuf>,
    /// How far revocation is checked.
    pub crl_depth: CrlDepth,
    /// Bounds on what a client may present.
    pub bounds: ChainBounds,
    /// The cryptography that verifies.
    pub provider: Arc<CryptoProvider>,
}

/// Whether a client may do without a certificate.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Demand {
    /// It may; one that it shows has to be good all the same.
    Request,
    /// It may not.
    Require,
}

/// How far revocation is checked.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum CrlDepth {
    /// Every certificate of the chain must be known not to be revoked.
    Chain,
    /// The client's own certificate must be.
    Leaf,
}

/// Bounds on what a client may present.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct ChainBounds {
    /// Certificates, the client's own included.
    pub certificates_max: usize,
    /// Bytes of all certificates in DER.
    pub bytes_max: usize,
}

/// The client authentication of one policy, kept current.
#[derive(Debug)]
pub struct ClientAuth {
    options: ClientAuthOptions,
    trust: ArcSwap<ClientTrust>,
    reloads: Mutex<()>,
}

impl ClientAuth {
    /// Loads the files for the first time. Whatever is wrong with any of them is an error.
    pub fn open(
        options: ClientAuthOptions,
        now: UnixTime,
    ) -> Result<(Self, TrustReport), ClientAuthError> {
        let trust = build(&options)?;
        let auth = Self { trust: ArcSwap::from_pointee(trust), options, reloads: Mutex::default() };
        let report = auth.reload(now);
        Ok((auth, report))
    }

    /// The trust of this moment; a connection takes it once and keeps it.
    #[must_use]
    pub fn load(&self) -> Arc<ClientTrust> {
        self.trust.load_full()
    }

    /// What it was opened with.
    #[must_use]
    pub fn options(&self) -> &ClientAuthOptions {
        &self.options
    }

    /// Every file that it depends on.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        std::iter::once(&self.options.ca).chain(&self.options.crls).map(PathBuf::as_path)
    }

    /// Reads the files again and publishes what they give; the last good stays if they are bad.
    pub fn reload(&self, _now: UnixTime) -> TrustReport {
        let _one_at_a_time = self.reloads.lock().unwrap_or_else(PoisonError::into_inner);
        match build(&self.options) {
            Ok(trust) => {
                let changed = trust.digest != self.load().digest;
                if changed {
                    self.trust.store(Arc::new(trust));
                }
                TrustReport { changed, news: changed, ..TrustReport::default() }
            }
            Err(error) => TrustReport { failures: vec![error], ..TrustReport::default() },
        }
    }
}

/// What verifies the clients of one moment.
#[derive(Debug)]
pub struct ClientTrust {
    verifier: Arc<dyn ClientCertVerifier>,
    digest: [u8; 32],
}

impl ClientTrust {
    /// For `ServerConfig`.
    #[must_use]
    pub fn verifier(&self) -> Arc<dyn ClientCertVerifier> {
        Arc::clone(&self.verifier)
    }

    /// Digest of everything that decides whether a client is let in: demand, authorities,
    /// revocation lists, bounds.
    #[must_use]
    pub fn digest(&self) -> &[u8; 32] {
        &self.digest
    }

    /// The authorities, for people.
    #[must_use]
    pub fn authorities(&self) -> &[AuthorityFacts] {
        &[]
    }

    /// The revocation lists, for people.
    #[must_use]
    pub fn crls(&self) -> &[CrlFacts] {
        &[]
    }
}

/// An authority that is trusted to vouch for clients.
#[derive(Clone, Debug)]
pub struct AuthorityFacts {
    /// Its distinguished name.
    pub subject: Box<str>,
    /// End of validity, in seconds since 1970.
    pub not_after: i64,
}

/// A revocation list.
#[derive(Clone, Debug)]
pub struct CrlFacts {
    /// The file, as configured.
    pub path: PathBuf,
    /// Whose certificates it is about.
    pub issuer: Box<str>,
    /// When it was made, in seconds since 1970.
    pub this_update: i64,
    /// When the next one was promised; past it, clients are refused.
    pub next_update: Option<i64>,
    /// How many certificates are revoked.
    pub revoked: usize,
}

/// The account of one reload.
#[derive(Clone, Debug, Default)]
pub struct TrustReport {
    /// Whether another trust is served now.
    pub changed: bool,
    /// Whether there is anything to tell that the reload before did not tell.
    pub news: bool,
    /// Why the last good stays, a file each.
    pub failures: Vec<ClientAuthError>,
    /// What should be looked at, in words: authorities and lists that end soon or have ended.
    pub warnings: Vec<String>,
    /// The next moment, in seconds since 1970, at which time alone will change what is to be said.
    pub next_change: Option<i64>,
}

/// Why a file of client authentication is not taken.
#[derive(Clone, Debug, Error)]
pub enum ClientAuthError {
    /// The bundle.
    #[error("{}: no authority can be read", path.display())]
    Bundle {
        /// The file.
        path: PathBuf,
    },
}

fn build(options: &ClientAuthOptions) -> Result<ClientTrust, ClientAuthError> {
    let error = || ClientAuthError::Bundle { path: options.ca.clone() };
    let mut roots = RootCertStore::empty();
    let mut hash = digest::Context::new(&SHA256);
    for certificate in CertificateDer::pem_file_iter(&options.ca).map_err(|_| error())? {
        let certificate = certificate.map_err(|_| error())?;
        hash.update(&certificate);
        roots.add(certificate).map_err(|_| error())?;
    }
    let builder =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&options.provider));
    let builder = match options.demand {
        Demand::Request => builder.allow_unauthenticated(),
        Demand::Require => builder,
    };
    let verifier = builder.build().map_err(|_| error())?;
    Ok(ClientTrust { verifier, digest: digest_bytes(hash.finish()) })
}

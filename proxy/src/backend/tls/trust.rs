//! Whom we believe, and what we show of ourselves: from files to what rustls goes by.
//!
//! Owns the reading of authorities, revocation lists and credentials to a [`Trust`], and
//! [`TrustError`]. What is read is good as a whole or not at all. A list that is past its end
//! refuses what it speaks for, and so does the lack of one as soon as there are any: revocation
//! fails closed. Refuses to know when files are read again, and which endpoint it is for. Read
//! next: the parent module.

use std::fs;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use portunus_certs::client_auth::{ClientAuthError, read_crls};
use portunus_certs::load::validity;
use rustls::client::{Resumption, VerifierBuilderError, WebPkiServerVerifier};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem};
use rustls::{ClientConfig, RootCertStore};

use crate::backend::key::digest;
use crate::config::BackendTls;

/// What the files of a backend came to.
#[derive(Debug)]
pub(super) struct Trust {
    /// With no sessions: they are an endpoint's own.
    pub(super) config: Arc<ClientConfig>,
    pub(super) times: Times,
}

/// From when and until when the files of a backend are good, in seconds since 1970.
#[derive(Debug, Default)]
pub(super) struct Times {
    /// What we show of ourselves.
    pub(super) credential: Option<Range<i64>>,
    /// Each list that has an end, with its file.
    pub(super) crls: Vec<(PathBuf, Range<i64>)>,
}

impl Trust {
    /// Reads the files that `config` names.
    pub(super) fn read(config: &BackendTls) -> Result<Self, TrustError> {
        let mut times = Times::default();
        let mut lists = Vec::new();
        for (facts, list) in read_crls(&config.crls).map_err(TrustError::RevocationList)? {
            let times_of_list = facts.next_update.map(|end| facts.this_update..end);
            times.crls.extend(times_of_list.map(|list| (facts.path, list)));
            lists.push(list);
        }
        let provider = Arc::new(aws_lc_rs::default_provider());
        let roots = Arc::new(authorities(config.ca.as_deref())?);
        let verifier = WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(&provider))
            .with_crls(lists)
            .enforce_revocation_expiration()
            .build()
            .map_err(TrustError::Verifier)?;
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(TrustError::Tls)?
            .with_webpki_verifier(verifier);
        let mut client = match &config.credential {
            None => builder.with_no_client_auth(),
            Some(path) => {
                let (chain, key) = credential(path)?;
                times.credential = chain.first().and_then(validity);
                builder
                    .with_client_auth_cert(chain, key)
                    .map_err(|source| TrustError::Credential { path: path.clone(), source })?
            }
        };
        client.resumption = Resumption::disabled();
        Ok(Self { config: Arc::new(client), times })
    }
}

/// What tells these files from others.
pub(super) fn digest_of(config: &BackendTls) -> Result<u64, TrustError> {
    let mut bytes = Vec::new();
    for path in paths(config) {
        let read =
            fs::read(path).map_err(|error| TrustError::of_pem(path, pem::Error::Io(error)))?;
        bytes.extend_from_slice(&digest(&read).to_be_bytes());
    }
    Ok(digest(&bytes))
}

pub(super) fn paths(config: &BackendTls) -> impl Iterator<Item = &Path> {
    config.ca.iter().chain(&config.credential).chain(&config.crls).map(PathBuf::as_path)
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
    let key =
        PrivateKeyDer::from_pem_file(path).map_err(|error| TrustError::of_pem(path, error))?;
    Ok((certificates(path)?, key))
}

/// At least one.
fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TrustError> {
    let bad = |error| TrustError::of_pem(path, error);
    let found: Result<Vec<_>, _> = CertificateDer::pem_file_iter(path).map_err(bad)?.collect();
    match found.map_err(bad)? {
        found if found.is_empty() => Err(bad(pem::Error::NoItemsFound)),
        found => Ok(found),
    }
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
    /// There is no such file.
    #[error("{} does not exist; create it, or correct the path", path.display())]
    Missing {
        /// The path, as configured.
        path: PathBuf,
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
    /// A revocation list cannot be used.
    #[error(transparent)]
    RevocationList(ClientAuthError),
    /// The provider lacks a version of TLS.
    #[error("TLS cannot be set up")]
    Tls(#[source] rustls::Error),
    /// Every file is good by itself, and rustls makes no verifier of them.
    #[error("authorities and revocation lists cannot be used together")]
    Verifier(#[source] VerifierBuilderError),
}

impl TrustError {
    fn of_pem(path: &Path, source: pem::Error) -> Self {
        let path = path.to_owned();
        match source {
            pem::Error::Io(error) if error.kind() == io::ErrorKind::NotFound => {
                Self::Missing { path }
            }
            source => Self::Pem { path, source },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_not_there_says_what_to_do() {
        let path = || Some("/nowhere/file.pem".into());
        let ca = BackendTls { ca: path(), ..BackendTls::default() };
        let credential = BackendTls { credential: path(), ..BackendTls::default() };
        for tls in [ca, credential] {
            let (read, digest) = (Trust::read(&tls), digest_of(&tls));
            for error in [read.err().unwrap(), digest.unwrap_err()] {
                assert!(
                    error.to_string().ends_with("does not exist; create it, or correct the path")
                );
            }
        }
    }
}

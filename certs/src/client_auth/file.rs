//! The files of one policy, each with its last good content.
//!
//! Owns the question whether a file changed, and the rule by which a new content takes the place
//! of the old. A file that nobody touched is not read; one that was rewritten with the same bytes
//! is not parsed; one that is bad is looked at again when it changes, or when the bundle does that
//! it was judged by. A list is judged by two things beyond itself: the authority of its issuer's
//! name, whose signature it has to bear, and the list that it would replace, which may not be the
//! newer one.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_lc_rs::digest::{self, SHA256};
use rustls::crypto::CryptoProvider;

use super::ClientAuthOptions;
use super::authorities::{BUNDLE_BYTES_MAX, Bundle};
use super::error::{BundleError, ClientAuthError, CrlError};
use super::revocation::{self, CRL_BYTES_MAX, List};
use super::trust::Signer;
use crate::credential::digest_bytes;
use crate::load::{self, LoadError, Stamp};

/// The bundle and the files of lists, in the order of the configuration.
#[derive(Clone, Debug)]
pub(super) struct Files {
    bundle: Held<Bundle>,
    crls: Vec<Crl>,
}

#[derive(Clone, Debug)]
struct Crl {
    file: Held<Vec<List>>,
    /// Who signed each of its lists, as far as the bundle in use tells.
    signers: Arc<[Signer]>,
}

impl Crl {
    fn pairs(&self) -> impl Iterator<Item = (&List, Signer)> {
        self.file.good.iter().zip(self.signers.iter().copied())
    }
}

impl Files {
    /// Reads all of them; the first that is bad is the error.
    pub(super) fn open(options: &ClientAuthOptions) -> Result<Self, ClientAuthError> {
        let provider = &options.provider;
        let read = |bytes: &[u8]| Bundle::parse(bytes, provider);
        let bundle =
            Held::open(&options.ca, BUNDLE_BYTES_MAX, read).map_err(|e| e.of(&options.ca))?;
        let mut crls = Vec::with_capacity(options.crls.len());
        for path in &options.crls {
            let read = |bytes: &[u8]| accept(path, bytes, &bundle.good, provider, &[]);
            let file = Held::open(path, CRL_BYTES_MAX, read).map_err(|e| e.of(path))?;
            let signers = signers(&file.good, &bundle.good, provider);
            crls.push(Crl { file, signers });
        }
        Ok(Self { bundle, crls })
    }

    /// Reads again what was touched. Whether anything in use is another now; the files that are
    /// bad are put down in `failures`, and keep what they had.
    pub(super) fn reload(
        &mut self,
        options: &ClientAuthOptions,
        failures: &mut Vec<ClientAuthError>,
    ) -> bool {
        let provider = &options.provider;
        let read = |bytes: &[u8], _: &Bundle| Bundle::parse(bytes, provider);
        let renewed = self.bundle.refresh(&options.ca, BUNDLE_BYTES_MAX, read);
        let bundle_changed = note(renewed, failures);
        let bundle = Arc::clone(&self.bundle.good);
        let mut changed = bundle_changed;
        for (crl, path) in self.crls.iter_mut().zip(&options.crls) {
            if bundle_changed {
                crl.file.bad = None;
            }
            let read = |bytes: &[u8], old: &Vec<List>| accept(path, bytes, &bundle, provider, old);
            let renewed = note(crl.file.refresh(path, CRL_BYTES_MAX, read), failures);
            if renewed || bundle_changed {
                crl.signers = signers(&crl.file.good, &bundle, provider);
            }
            changed |= renewed;
        }
        changed
    }

    pub(super) fn bundle(&self) -> &Bundle {
        &self.bundle.good
    }

    pub(super) fn lists(&self) -> Vec<&List> {
        self.crls.iter().flat_map(|crl| crl.file.good.iter()).collect()
    }

    /// Each list with who signed it.
    pub(super) fn signed_lists(&self) -> Vec<(&List, Signer)> {
        self.crls.iter().flat_map(Crl::pairs).collect()
    }
}

fn note(renewed: Result<bool, ClientAuthError>, failures: &mut Vec<ClientAuthError>) -> bool {
    renewed.unwrap_or_else(|error| {
        failures.push(error);
        false
    })
}

fn signers(lists: &[List], bundle: &Bundle, provider: &CryptoProvider) -> Arc<[Signer]> {
    lists.iter().map(|list| Signer::of(list, bundle, provider)).collect()
}

/// Reads lists that are to be used with `bundle` in the place of `old`.
fn accept(
    path: &Path,
    bytes: &[u8],
    bundle: &Bundle,
    provider: &CryptoProvider,
    old: &[List],
) -> Result<Vec<List>, CrlError> {
    let lists = revocation::parse(path, bytes)?;
    for list in &lists {
        let (place, issuer) = (list.place, list.facts.issuer.clone());
        if Signer::of(list, bundle, provider) == Signer::Wrong {
            return Err(CrlError::WrongSigner { place, issuer });
        }
        // Where several lists of one series stand in the file, the newest has to be new enough.
        let as_new = |other: &List, served: &List| {
            other.is_of_series(served) && !other.is_older_than(served)
        };
        let backwards = |served: &List| {
            list.is_older_than(served) && !lists.iter().any(|other| as_new(other, served))
        };
        if old.iter().any(backwards) {
            return Err(CrlError::Backwards { place, issuer });
        }
    }
    Ok(lists)
}

/// A file and its last good content.
#[derive(Debug)]
struct Held<T> {
    /// Of the good content; `None` while it is so young that it could change unseen.
    stamp: Option<Stamp>,
    digest: [u8; 32],
    good: Arc<T>,
    /// What is wrong with the content that lies there now.
    bad: Option<(Stamp, ClientAuthError)>,
}

impl<T> Clone for Held<T> {
    fn clone(&self) -> Self {
        let Self { stamp, digest, good, bad } = self;
        Self { stamp: *stamp, digest: *digest, good: Arc::clone(good), bad: bad.clone() }
    }
}

impl<T> Held<T> {
    fn open<E: Cause>(
        path: &Path,
        bytes_max: u64,
        read: impl FnOnce(&[u8]) -> Result<T, E>,
    ) -> Result<Self, E> {
        let contents = load::read(path, bytes_max)?;
        let good = Arc::new(read(&contents.bytes)?);
        Ok(Self { stamp: contents.stamp, digest: sha256(&contents.bytes), good, bad: None })
    }

    /// Takes what lies there now, if it is another content and `read` takes it; whether it did.
    /// `read` is given the content in use as well.
    fn refresh<E: Cause>(
        &mut self,
        path: &Path,
        bytes_max: u64,
        read: impl FnOnce(&[u8], &T) -> Result<T, E>,
    ) -> Result<bool, ClientAuthError> {
        let stamp = Stamp::at(path);
        if stamp.is_some() && stamp == self.stamp {
            self.bad = None;
            return Ok(false);
        }
        if let Some((bad, error)) = &self.bad
            && stamp.as_ref() == Some(bad)
        {
            return Err(error.clone());
        }
        self.bad = None;
        let contents = load::read(path, bytes_max).map_err(|error| E::from(error).of(path))?;
        let digest = sha256(&contents.bytes);
        if digest == self.digest {
            self.stamp = contents.stamp;
            return Ok(false);
        }
        match read(&contents.bytes, &self.good) {
            Ok(good) => {
                let (stamp, good) = (contents.stamp, Arc::new(good));
                *self = Self { stamp, digest, good, bad: None };
                Ok(true)
            }
            Err(error) => {
                let error = error.of(path);
                self.bad = contents.stamp.map(|stamp| (stamp, error.clone()));
                Err(error)
            }
        }
    }
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    digest_bytes(digest::digest(&SHA256, bytes))
}

/// What is wrong with a content, before it is known of which file.
trait Cause: From<LoadError> {
    fn of(self, path: &Path) -> ClientAuthError;
}

impl Cause for BundleError {
    fn of(self, path: &Path) -> ClientAuthError {
        ClientAuthError::Bundle { path: PathBuf::from(path), source: self }
    }
}

impl Cause for CrlError {
    fn of(self, path: &Path) -> ClientAuthError {
        ClientAuthError::Crl { path: PathBuf::from(path), source: self }
    }
}

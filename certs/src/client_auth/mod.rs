//! Who may be a client: authorities, revocation lists, and the verifier made of them.
//!
//! Owns the files behind client authentication and the rule that they fail closed. At the start,
//! a bundle or a list that is missing, empty or damaged refuses to open. At a reload the last good
//! of each file stays: a bundle that went bad keeps the authorities that it had while a new list
//! beside it still takes effect, and the other way round. Both directions are safe, because a
//! client whose list is missing or stale is refused and never let in. The authorities are those of
//! the bundle and no others; the system's own are never consulted, and nothing that can happen to
//! a file makes a client anonymous.
//!
//! Refuses to know sites: whoever serves one asks for the [`ClientTrust`] of the moment once for
//! each connection.
//!
//! In the order of a file's way: `file` finds out whether it changed, `authorities` and
//! `revocation` read it, `trust` joins them to a verifier, `verifier` is what a handshake asks,
//! [`Rejection`] and [`ClientIdentity`] are what comes of it.

mod authorities;
mod error;
mod file;
mod identity;
mod rejection;
mod revocation;
mod signature;
mod subject;
mod trust;
mod verifier;
mod warnings;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, TryLockError};

use arc_swap::ArcSwap;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::UnixTime;

pub use self::authorities::{AuthorityFacts, check_bundle};
pub use self::error::{BundleError, ClientAuthError, CrlError, Place};
pub use self::identity::ClientIdentity;
pub use self::rejection::Rejection;
pub use self::revocation::{CrlFacts, check_crl, read_crls};
pub use self::trust::ClientTrust;

use self::file::Files;
use self::warnings::Warnings;

/// What is demanded of clients, and where the proof of it lies.
#[derive(Clone, Debug)]
pub struct ClientAuthOptions {
    /// Whether a client may do without a certificate.
    pub demand: Demand,
    /// PEM bundle of the authorities whose clients are let in; at most 8 MiB and 4096 of them.
    pub ca: PathBuf,
    /// Revocation lists, PEM or DER, at most 32 MiB a file; empty means that nothing is ever
    /// revoked.
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
    files: Mutex<Files>,
    /// What the last reading that came to an end told.
    last: ArcSwap<TrustReport>,
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

impl ClientAuth {
    /// Loads the files for the first time. Whatever is wrong with any of them is an error; a list
    /// that has expired is not wrong, and is warned of.
    pub fn open(
        options: ClientAuthOptions,
        now: UnixTime,
    ) -> Result<(Self, TrustReport), ClientAuthError> {
        let files = Files::open(&options)?;
        let trust = ClientTrust::build(&options, files.bundle(), &files.lists())?;
        let mut report = TrustReport { changed: true, news: true, ..TrustReport::default() };
        report.tell(&options, &files, now);
        let (trust, files) = (ArcSwap::from_pointee(trust), Mutex::new(files));
        let last = ArcSwap::from_pointee(report.clone());
        Ok((Self { options, trust, files, last }, report))
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

    /// Reads the files again and publishes what they give; of each that is bad, the last good
    /// stays. Reads nothing that was not touched. Blocks on the disk; what is being read already is
    /// not read a second time, since that may hang: what was found before it holds until then.
    pub fn reload(&self, now: UnixTime) -> TrustReport {
        let mut files = match self.files.try_lock() {
            Ok(files) => files,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => {
                let last = TrustReport::clone(&self.last.load());
                return TrustReport { changed: false, news: false, ..last };
            }
        };
        let mut report = TrustReport::default();
        let mut next = files.clone();
        if next.reload(&self.options, &mut report.failures) {
            match ClientTrust::build(&self.options, next.bundle(), &next.lists()) {
                Ok(trust) => {
                    report.changed = trust.digest() != self.load().digest();
                    // The facts about files may differ where what is trusted does not.
                    self.trust.store(Arc::new(trust));
                    *files = next;
                }
                Err(error) => report.failures.push(error),
            }
        } else {
            *files = next;
        }
        report.tell(&self.options, &files, now);
        report.news = report.changed || report.sentences() != self.last.load().sentences();
        self.last.store(Arc::new(report.clone()));
        report
    }
}

impl TrustReport {
    /// Fills in what these files have one say now.
    fn tell(&mut self, options: &ClientAuthOptions, files: &Files, now: UnixTime) {
        let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
        let bundle = (options.ca.as_path(), files.bundle());
        let Warnings { lines, next_change, .. } = Warnings::of(bundle, &files.signed_lists(), now);
        (self.warnings, self.next_change) = (lines, next_change);
    }

    /// All that is wrong, or will be.
    fn sentences(&self) -> Vec<String> {
        let failures = self.failures.iter().map(sentence);
        failures.chain(self.warnings.iter().cloned()).collect()
    }
}

/// An error with its causes.
fn sentence(error: &ClientAuthError) -> String {
    let mut sentence = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        sentence.push_str(": ");
        sentence.push_str(&error.to_string());
        cause = error.source();
    }
    sentence
}

#[cfg(test)]
mod tests {
    use std::fs;

    use rustls::crypto::aws_lc_rs;

    use super::*;
    use crate::issue::DevelopmentCa;

    #[test]
    fn what_was_found_before_holds_while_a_reading_hangs() {
        let folder = tempfile::tempdir().unwrap();
        let ca = folder.path().join("ca.pem");
        let now = UnixTime::now();
        let good = DevelopmentCa::new(now).unwrap().certificate_pem().to_owned();
        fs::write(&ca, &good).unwrap();
        let options = ClientAuthOptions {
            demand: Demand::Require,
            ca: ca.clone(),
            crls: Vec::new(),
            crl_depth: CrlDepth::Chain,
            bounds: ChainBounds { certificates_max: 4, bytes_max: 65_536 },
            provider: Arc::new(aws_lc_rs::default_provider()),
        };
        let (auth, opened) = ClientAuth::open(options, now).unwrap();
        let hung = |auth: &ClientAuth| {
            let _reading = auth.files.lock().unwrap();
            auth.reload(now)
        };
        let meanwhile = hung(&auth);
        assert!(opened.changed && !meanwhile.changed && !meanwhile.news);
        assert!(meanwhile.failures.is_empty() && meanwhile.next_change.is_some());
        assert_eq!(meanwhile.next_change, opened.next_change);
        fs::write(&ca, "nothing").unwrap();
        let bad = auth.reload(now);
        assert!(bad.news && bad.failures.len() == 1);
        let meanwhile = hung(&auth);
        assert!(!meanwhile.news, "it was told");
        let failures = |report: &TrustReport| -> Vec<_> {
            report.failures.iter().map(ToString::to_string).collect()
        };
        assert_eq!(failures(&meanwhile), failures(&bad), "it is bad still");
    }
}

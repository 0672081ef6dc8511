//! What a reload did, in words.
//!
//! Owns the account that a reload gives: whether anything changed, what was skipped and why, what
//! is served but should be looked at. Knows nothing of how the decision was made.

use std::collections::HashSet;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use crate::credential::Credential;
use crate::load::LoadError;
use crate::name::NamePattern;
use crate::resolver::CertificateIndex;

/// The account of one reload.
#[derive(Clone, Debug, Default)]
pub struct ReloadReport {
    /// Whether another index is served now.
    pub changed: bool,
    /// Whether what was skipped or warned of is not what the reload before said; where neither
    /// this nor `changed` holds, there is nothing to tell anybody.
    pub news: bool,
    /// How many credentials are served.
    pub loaded: usize,
    /// How many of them are the last good of files that are bad, gone in half, or not yet due.
    pub kept: usize,
    /// How many of those that are served are sent with a staple.
    pub stapled: usize,
    /// Renewed credentials that wait for the start of their validity.
    pub pending: Vec<Arc<Credential>>,
    /// When time alone will next change what is served or said, in seconds since 1970.
    pub next_change: Option<i64>,
    /// Labels of credentials that are served no longer.
    pub removed: Vec<Arc<str>>,
    /// Labels of credentials that are new or were replaced.
    pub updated: Vec<Arc<str>>,
    /// Files that were not taken, each with the reason.
    pub skipped: Vec<Skipped>,
    /// What is served but should be looked at.
    pub warnings: Vec<Warning>,
}

impl ReloadReport {
    /// Whether nothing at all is served, so that every handshake will fail.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.loaded == 0
    }

    /// Tells what has expired and is served in no place any more from what clients suffer from.
    pub(super) fn tell_superseded(&mut self, index: &CertificateIndex, now: i64) {
        let superseded = index.soonest().filter(|one| index.is_superseded(one, now));
        let superseded: HashSet<_> = superseded.map(|credential| credential.label()).collect();
        for warning in &mut self.warnings {
            if let Warning::Expired { label, .. } = warning
                && superseded.contains(label)
            {
                *warning = Warning::Superseded { label: Arc::clone(label) };
            }
        }
    }

    /// Every skipped file and every warning, one line each, causes included.
    pub fn lines(&self) -> impl Iterator<Item = String> {
        let skipped = self.skipped.iter().map(ToString::to_string);
        skipped.chain(self.warnings.iter().map(ToString::to_string))
    }
}

impl fmt::Display for ReloadReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = if self.changed { "changed" } else { "unchanged" };
        write!(f, "certificates {verb}: {} loaded", self.loaded)?;
        for (count, what) in [
            (self.updated.len(), "new"),
            (self.removed.len(), "removed"),
            (self.kept, "kept from before"),
            (self.pending.len(), "waiting for their time"),
            (self.skipped.len(), "skipped"),
            (self.warnings.len(), "warnings"),
        ] {
            if count > 0 {
                write!(f, ", {count} {what}")?;
            }
        }
        Ok(())
    }
}

/// A file that was not taken.
#[derive(Clone, Debug)]
pub struct Skipped {
    /// The file, as configured.
    pub path: PathBuf,
    /// Why.
    pub error: LoadError,
}

impl fmt::Display for Skipped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // These two sentences name the file themselves.
        if !matches!(self.error, LoadError::NoKey { .. } | LoadError::NoCertificate { .. }) {
            write!(f, "{}: ", self.path.display())?;
        }
        write!(f, "{}", self.error)?;
        let mut cause = std::error::Error::source(&self.error);
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

/// Something that is served, and that somebody should look at.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Warning {
    /// A chain in which some certificate did not issue the one before it.
    BrokenChain {
        /// Which credential.
        label: Arc<str>,
    },
    /// Past its end and served all the same, for want of a better one.
    Expired {
        /// Which credential.
        label: Arc<str>,
        /// Its end, in seconds since 1970.
        not_after: i64,
    },
    /// Others may read the key.
    KeyMode {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Only the leaf, although clients will need an intermediate.
    ///
    /// Certificates of a private authority are often issued by the root that clients trust, and
    /// to warn of those would be to cry wolf. So a lone leaf is warned of if an intermediate of
    /// its issuer's name lies among the files, or, where no file tells whether the issuer is a
    /// root, if the leaf says where the issuer's certificate is to be had: public authorities
    /// always say so, and never issue from a root.
    MissingIntermediate {
        /// Which credential.
        label: Arc<str>,
        /// The issuer that clients will look for.
        issuer: Box<str>,
    },
    /// The leaf asks to be refused without a staple, and there is none to send.
    MustStapleWithoutStaple {
        /// Which credential.
        label: Arc<str>,
    },
    /// Two credentials hold one name for the same clients.
    NameConflict {
        /// The name.
        name: NamePattern,
        /// Which one is served.
        winner: Arc<str>,
        /// Which one is not.
        loser: Arc<str>,
    },
    /// No DNS name: it can only be the default.
    NoNames {
        /// Which credential.
        label: Arc<str>,
    },
    /// Not valid yet and served all the same, for want of a better one.
    NotYetValid {
        /// Which credential.
        label: Arc<str>,
        /// Its start, in seconds since 1970.
        not_before: i64,
    },
    /// It took the place of one that ends later: renewals go the other way, unless somebody means
    /// it so.
    EndsEarlier {
        /// Which credential.
        label: Arc<str>,
        /// By how much, in seconds.
        seconds: i64,
    },
    /// A DNS name in the certificate that is none.
    OddName {
        /// Which credential.
        label: Arc<str>,
        /// What stands there.
        name: Box<str>,
    },
    /// Past its end, and clients get another one.
    Superseded {
        /// Which credential.
        label: Arc<str>,
    },
    /// The staple is for later.
    StapleEarly {
        /// Which credential.
        label: Arc<str>,
        /// Its start, in seconds since 1970.
        this_update: i64,
    },
    /// The staple says that the certificate is revoked.
    StapleRevoked {
        /// Which credential.
        label: Arc<str>,
    },
    /// The staple is past its end.
    StapleStale {
        /// Which credential.
        label: Arc<str>,
        /// Its end, in seconds since 1970.
        next_update: i64,
    },
    /// The staple says that the authority does not know the certificate.
    StapleUnknown {
        /// Which credential.
        label: Arc<str>,
    },
    /// A certificate of the chain is signed with a hash that clients reject.
    WeakSignature {
        /// Which credential.
        label: Arc<str>,
        /// The hash.
        algorithm: &'static str,
    },
}

impl Warning {
    /// Whether it says why a staple that is there is not sent.
    pub(super) fn is_of_staple(&self) -> bool {
        matches!(
            self,
            Self::StapleEarly { .. }
                | Self::StapleRevoked { .. }
                | Self::StapleStale { .. }
                | Self::StapleUnknown { .. }
        )
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BrokenChain { label } => {
                write!(f, "{label}: a certificate of the chain did not issue the one before it")
            }
            Self::EndsEarlier { label, seconds } => {
                let days = seconds / SECONDS_OF_DAY;
                write!(f, "{label}: ends {days} days before the certificate that it replaced")
            }
            Self::Expired { label, .. } => write!(f, "{label}: has expired and is served"),
            Self::KeyMode { path, mode } => {
                let path = path.display();
                write!(f, "{path}: holds a private key and its mode is {mode:04o}; use 0600")
            }
            Self::MissingIntermediate { label, issuer } => {
                write!(f, "{label}: holds only the leaf; clients will miss its issuer {issuer}")
            }
            Self::MustStapleWithoutStaple { label } => {
                write!(f, "{label}: must be stapled and is not; clients that insist refuse it")
            }
            Self::NameConflict { name, winner, loser } => {
                write!(f, "{loser}: {name} is served from {winner}, which also has it")
            }
            Self::NoNames { label } => {
                write!(f, "{label}: has no DNS name; it is used only where no name is asked for")
            }
            Self::NotYetValid { label, .. } => {
                write!(f, "{label}: is not valid yet and is served")
            }
            Self::OddName { label, name } => {
                write!(f, "{label}: the name {name:?} is no host name and is ignored")
            }
            Self::StapleEarly { label, .. } => {
                write!(f, "{label}: the OCSP staple is not valid yet and is not sent")
            }
            Self::StapleRevoked { label } => {
                write!(f, "{label}: the OCSP staple says that the certificate is revoked")
            }
            Self::StapleStale { label, .. } => {
                write!(f, "{label}: the OCSP staple is stale and is not sent; fetch the next one")
            }
            Self::StapleUnknown { label } => {
                write!(f, "{label}: the OCSP staple says that its authority knows no such serial")
            }
            Self::Superseded { label } => {
                write!(f, "{label}: has expired, and another one is served; delete it")
            }
            Self::WeakSignature { label, algorithm } => {
                write!(f, "{label}: is signed with {algorithm}, which clients reject")
            }
        }
    }
}

const SECONDS_OF_DAY: i64 = 86_400;

//! What is wrong with certificates, each thing in a line that names the file and the way out.
//!
//! Owns the words and the difference between an error, which clients notice or a file that is not
//! used, and a warning. Refuses to know where findings come from.

use std::collections::HashSet;
use std::fmt::{self, Display};
use std::sync::Arc;

use portunus_certs::credential::Validity;
use portunus_certs::load::LoadError;
use portunus_certs::name::NamePattern;
use portunus_certs::resolver::{CertificateIndex, ClientKind};
use portunus_certs::store::{ReloadReport, Warning};
use rustls::pki_types::UnixTime;

use crate::admin::status::{NOTHING_LOADED, reason};
use crate::config::Certificates;

use super::{date, output};

/// Everything that was found, in the order in which it was.
#[derive(Debug, Default)]
pub(super) struct Findings(Vec<Finding>);

/// One thing that is wrong.
#[derive(Debug)]
struct Finding {
    severity: Severity,
    text: String,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Severity {
    /// Somebody is not served, or a file is not used.
    Error,
    /// Somebody should look.
    Warning,
}

impl Findings {
    /// Adds an error, and what can be done about it.
    pub(super) fn error(&mut self, text: impl Display, hint: Option<&str>) {
        self.add(Severity::Error, &text, hint);
    }

    /// Adds a warning, and what can be done about it.
    pub(super) fn warning(&mut self, text: impl Display, hint: Option<&str>) {
        self.add(Severity::Warning, &text, hint);
    }

    fn add(&mut self, severity: Severity, text: &dyn Display, hint: Option<&str>) {
        let text = match hint {
            Some(hint) => format!("{text}; {hint}"),
            None => text.to_string(),
        };
        self.0.push(Finding { severity, text });
    }

    /// How many there are.
    pub(super) fn count(&self, severity: Severity) -> usize {
        self.0.iter().filter(|finding| finding.severity == severity).count()
    }

    /// Writes each to standard error, in a line of its own.
    pub(super) fn say(&self) {
        for finding in &self.0 {
            output::say(finding);
        }
    }

    /// Adds what a reading of the certificates came to.
    pub(super) fn add_report(
        &mut self,
        report: &ReloadReport,
        index: &CertificateIndex,
        needed: &Certificates,
    ) {
        for skipped in &report.skipped {
            let text = format!("{}: {}", skipped.path.display(), reason(&skipped.error));
            self.error(text, way_out(&skipped.error));
        }
        if index.is_empty() && !needed.paths.is_empty() {
            self.error(NOTHING_LOADED, None);
        }
        self.add_warnings(report);
    }

    /// Adds what is served but should be looked at, dates aside: what they mean depends on who is
    /// served, see [`Findings::add_dates`].
    pub(super) fn add_warnings(&mut self, report: &ReloadReport) {
        let mut expired = HashSet::new();
        for warning in &report.warnings {
            if let Warning::Expired { label, .. } | Warning::Superseded { label } = warning {
                expired.insert(label);
            }
        }
        // Conflicts stand apart: two files with a hundred common names are one thing to look at.
        let mut conflicts: Vec<Conflict<'_>> = Vec::new();
        for warning in &report.warnings {
            match warning {
                Warning::Expired { .. }
                | Warning::NotYetValid { .. }
                | Warning::Superseded { .. } => {}
                Warning::NameConflict { loser, .. } if expired.contains(loser) => {}
                Warning::NameConflict { name, winner, loser } => {
                    let known = conflicts.iter_mut().find(|c| c.is_between(winner, loser));
                    match known {
                        Some(conflict) => conflict.names.push(name),
                        None => conflicts.push(Conflict { winner, loser, names: vec![name] }),
                    }
                }
                warning => self.warning(warning, advice(warning)),
            }
        }
        for conflict in conflicts {
            self.warning(conflict, Some("delete the one that is not needed"));
        }
    }

    /// Adds the certificates that are not valid at `now`, and those that soon will not be.
    pub(super) fn add_dates(&mut self, index: &CertificateIndex, now: i64) {
        for credential in index.credentials() {
            let (from, to) = (credential.not_before(), credential.not_after());
            let label = credential.label();
            match credential.validity(now) {
                Validity::Valid if to - now < (to - from) / LIFE_LEFT => {
                    let to = date::moment(to, now);
                    self.warning(format_args!("{label}: expires on {to}"), Some("renew it"));
                }
                Validity::Valid => {}
                Validity::Expired if index.is_superseded(credential, now) => {
                    let to = date::moment(to, now);
                    let text = format!("{label}: expired on {to}, and another one is served");
                    self.warning(text, Some("delete it"));
                }
                Validity::Expired => {
                    let to = date::moment(to, now);
                    let text = format!("{label}: expired on {to}, and clients refuse it");
                    self.error(text, Some("renew it"));
                }
                Validity::Pending if !index.is_presented(credential) => {
                    let from = date::moment(from, now);
                    self.warning(format_args!("{label}: will be valid from {from}"), None);
                }
                Validity::Pending => {
                    let from = date::moment(from, now);
                    let text = format!("{label}: is valid from {from}, and clients refuse it now");
                    self.error(
                        text,
                        Some("serve the one before it until then, or correct the clock"),
                    );
                }
            }
        }
    }
}

impl Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        write!(f, "{severity}: {}", output::plain(&self.text))
    }
}

/// Whether there is a certificate for every name of `pattern`.
pub(super) fn is_covered(pattern: &NamePattern, index: &CertificateIndex) -> bool {
    let Some(name) = pattern.example() else { return false };
    let answers = index.explain(&name, UnixTime::now());
    answers.iter().any(|answer| answer.client == ClientKind::Modern && answer.credential.is_some())
}

/// Names of one certificate that are served from another one.
struct Conflict<'a> {
    winner: &'a Arc<str>,
    loser: &'a Arc<str>,
    names: Vec<&'a NamePattern>,
}

impl Conflict<'_> {
    fn is_between(&self, winner: &Arc<str>, loser: &Arc<str>) -> bool {
        *self.winner == *winner && *self.loser == *loser
    }
}

impl Display for Conflict<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { winner, loser, names } = self;
        let (shown, more) = names.split_at(names.len().min(CONFLICT_NAMES_SHOWN_MAX));
        let shown: Vec<_> = shown.iter().map(ToString::to_string).collect();
        write!(f, "{loser}: {}", shown.join(", "))?;
        match more.len() {
            0 => {}
            more => write!(f, " and {}", output::count(more, "more name"))?,
        }
        let verb = if names.len() == 1 { "is" } else { "are" };
        write!(f, " {verb} served from {winner}")
    }
}

/// What to do about a file that was skipped, where the reason does not say it.
pub(super) fn way_out(error: &LoadError) -> Option<&'static str> {
    match error {
        LoadError::Base64 { .. }
        | LoadError::Certificate { .. }
        | LoadError::Empty
        | LoadError::Marker { .. }
        | LoadError::Unterminated { .. } => Some("copy it again, whole"),
        LoadError::ChainTooLong { .. } => Some("keep the leaf and its intermediates only"),
        LoadError::Key { .. } => Some("look at it with `openssl pkey -noout -text -in FILE`"),
        LoadError::KeyMode { .. } => Some("or set `certificates.strict_permissions = false`"),
        LoadError::NoCertificate { .. } => Some("put its certificate there, or delete it"),
        LoadError::NoKey { .. } => Some("put its key there, or delete it"),
        LoadError::NothingUsable => Some("delete it, or give it another extension"),
        LoadError::UnsupportedCertificate { .. } | LoadError::UnsupportedKey { .. } => {
            Some("use ECDSA on P-256 or RSA with 2048 bits")
        }
        _ => None,
    }
}

/// What to do about a warning, where it does not say so itself.
fn advice(warning: &Warning) -> Option<&'static str> {
    match warning {
        Warning::BrokenChain { .. } => Some("put the leaf first, and each issuer behind it"),
        Warning::MissingIntermediate { .. } => {
            Some("append that certificate to the file, or use `fullchain.pem` of the authority")
        }
        Warning::NoNames { .. } => Some("issue it with a subjectAltName"),
        Warning::WeakSignature { .. } => Some("have it issued again with SHA-256"),
        _ => None,
    }
}

/// A certificate is renewed when a third of its life is left; with a fifth, that has failed.
const LIFE_LEFT: i64 = 5;

/// Names of a conflict that are told; the file tells the rest.
const CONFLICT_NAMES_SHOWN_MAX: usize = 3;

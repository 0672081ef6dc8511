//! When a staple is sent.
//!
//! Owns the rule: while it says "good", from its `thisUpdate` until its `nextUpdate`, by the clock
//! of each handshake. What a client is shown is made ready for both cases, so a stale staple is
//! never sent, however long no reload comes, and a handshake costs no more for it. An answer that
//! is not good is never sent either: it would help nobody whom the certificate still serves, and
//! clients ask the authority themselves. Knows nothing of DER, which is [`crate::load`], nor of
//! which staple belongs to which chain, which is decided in [`crate::store`].

use std::path::PathBuf;
use std::sync::Arc;

use rustls::sign::CertifiedKey;

use crate::credential::Located;
use crate::load::{Answer, CertificateStatus, Chain, Staple, Verdict};

/// What the OCSP staple of a credential says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct StapleFacts {
    /// What the authority says of the certificate.
    pub status: CertificateStatus,
    /// The first second in which it may be sent, counted from 1970.
    pub this_update: i64,
    /// The first second in which it may be sent no longer, counted from 1970: its `nextUpdate`,
    /// or the end of the certificate of its responder.
    pub next_update: i64,
    /// The file that it came from.
    pub path: PathBuf,
}

impl StapleFacts {
    /// Whether it is sent at `now` (seconds since 1970).
    #[must_use]
    pub fn is_sent(&self, now: i64) -> bool {
        let good = self.status == CertificateStatus::Good;
        good && (self.this_update..self.next_update).contains(&now)
    }
}

/// A staple and its answer about one chain, which its signature does not contradict.
#[derive(Clone, Debug)]
pub(crate) struct Answered {
    staple: Arc<Staple>,
    facts: StapleFacts,
}

impl Answered {
    /// `None` if the staple is not signed by the authority of `chain`.
    pub(crate) fn new(
        chain: &Chain,
        staple: Located<'_, Arc<Staple>>,
        answer: &Answer,
    ) -> Option<Self> {
        let until = match staple.item.verdict(chain) {
            // The end of a certificate is the last second that it is valid in.
            Verdict::Right { until } => until.saturating_add(1),
            Verdict::Unknown => i64::MAX,
            Verdict::Wrong => return None,
        };
        let facts = StapleFacts {
            status: answer.status,
            this_update: answer.this_update,
            next_update: answer.next_update.min(until),
            path: staple.path.to_path_buf(),
        };
        Some(Self { staple: Arc::clone(staple.item), facts })
    }

    /// Whether it is this answer of this staple, so that nothing need be verified again.
    pub(crate) fn is(&self, staple: Located<'_, Arc<Staple>>, answer: &Answer) -> bool {
        self.staple.digest == staple.item.digest
            && self.facts.path == staple.path
            && (self.facts.status, self.facts.this_update) == (answer.status, answer.this_update)
    }

    /// What it says.
    pub(crate) fn facts(&self) -> &StapleFacts {
        &self.facts
    }

    /// SHA-256 of the staple.
    pub(crate) fn digest(&self) -> &[u8; 32] {
        &self.staple.digest
    }
}

/// A staple with what a client is shown while it is sent.
pub(crate) struct Stapled {
    answered: Answered,
    /// `None` unless the answer is good.
    certified: Option<Arc<CertifiedKey>>,
}

impl Stapled {
    /// Adds the staple to a chain. rustls wants both as bytes of its own, so the chain is held
    /// twice; only a credential with a staple pays for that.
    pub(crate) fn new(answered: Answered, bare: &CertifiedKey) -> Self {
        let good = answered.facts.status == CertificateStatus::Good;
        let certified = good.then(|| {
            let mut certified = bare.clone();
            certified.ocsp = Some(answered.staple.bytes.to_vec());
            Arc::new(certified)
        });
        Self { answered, certified }
    }

    /// What is shown at `now`, if that is with the staple.
    pub(crate) fn key_at(&self, now: i64) -> Option<&Arc<CertifiedKey>> {
        self.certified.as_ref().filter(|_| self.answered.facts.is_sent(now))
    }

    /// The staple without the chain.
    pub(crate) fn answered(&self) -> Answered {
        self.answered.clone()
    }

    /// What it says.
    pub(crate) fn facts(&self) -> &StapleFacts {
        &self.answered.facts
    }

    /// SHA-256 of the staple.
    pub(crate) fn digest(&self) -> &[u8; 32] {
        &self.answered.staple.digest
    }
}

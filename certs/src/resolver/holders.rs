//! The credentials of one name, and which of them goes first.
//!
//! Owns the ranking. Refuses to know names and wildcards; that is [`super`].

use std::sync::Arc;

use crate::credential::{Credential, Validity};
use crate::name::NamePattern;
use crate::store::Warning;

/// The credentials that hold one name, the best first.
///
/// Valid before the rest, then the cheaper key, then the later end, then path order. Of two with
/// keys for the same clients the second is never served, and stays here in case the first goes.
#[derive(Clone, Debug, Default)]
pub(super) struct Holders {
    pub(super) ranked: Vec<Arc<Credential>>,
    /// How many of them, from the front, were valid when they were ranked.
    valid: usize,
}

impl Holders {
    pub(super) fn settle(&mut self, now: i64) {
        let rank = |credential: &Credential| {
            (credential.validity(now), credential.key_kind().class(), -credential.not_after())
        };
        self.ranked.sort_by(|one, other| {
            rank(one).cmp(&rank(other)).then_with(|| one.place().cmp(&other.place()))
        });
        self.valid =
            self.ranked.partition_point(|credential| credential.validity(now) == Validity::Valid);
    }

    pub(super) fn valid(&self) -> &[Arc<Credential>] {
        self.ranked.get(..self.valid).unwrap_or_default()
    }

    pub(super) fn all(&self) -> &[Arc<Credential>] {
        &self.ranked
    }

    /// Who is never served under `name`, and because of whom.
    pub(super) fn conflicts(&self, name: &NamePattern) -> Vec<Warning> {
        let mut winners: Vec<&Arc<Credential>> = Vec::new();
        let mut warnings = Vec::new();
        for credential in &self.ranked {
            let class = credential.key_kind().class();
            match winners.iter().find(|winner| winner.key_kind().class() == class) {
                Some(winner) => warnings.push(Warning::NameConflict {
                    name: name.clone(),
                    winner: Arc::clone(winner.label()),
                    loser: Arc::clone(credential.label()),
                }),
                None => winners.push(credential),
            }
        }
        warnings
    }
}

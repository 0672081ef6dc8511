//! Ticket keys that processes agree on, through a store that they share.
//!
//! Owns the trait [`Agree`], which is all that is asked of the store, and one round of asking. For
//! each period there is one label. Whoever asks brings a key of its own, and gets the key that the
//! store holds then: its own, if it was the first. The store sees sealed texts only; that is the
//! concern of whoever implements the trait.
//!
//! A key in hand is offered again in each round. So a store that has forgotten everything gets
//! back what its users go on with, and a process that starts after that gets the same keys. Where
//! two processes did come to different keys, the one that the store holds wins, and the other one
//! still opens.

use std::collections::VecDeque;
use std::error::Error;
use std::time::Duration;

use aws_lc_rs::rand;
use zeroize::Zeroizing;

use super::Moment;
use super::key::{KeyName, TicketKey};
use super::ring::RingOptions;
use crate::sealing::{KEY_BYTES, NoRandomness};
use crate::session::shared::{AgreeError, SharedTier};

/// A store in which processes agree on texts.
pub trait Agree: Sync {
    /// Why there is no agreement.
    type Error: Error + Send + Sync + 'static;

    /// Stores `text` under `label` for `lifetime`, unless another one is there, and says which one
    /// is there then.
    ///
    /// Security consequences: whoever can choose the answer can open every ticket. It must be
    /// authenticated, as sealed by a process of ours and for this label, and nobody else may be
    /// able to read it.
    fn agree(
        &self,
        label: &[u8],
        text: &[u8],
        lifetime: Duration,
    ) -> impl Future<Output = Result<Zeroizing<Vec<u8>>, Self::Error>> + Send;
}

impl Agree for SharedTier {
    type Error = AgreeError;

    async fn agree(
        &self,
        label: &[u8],
        text: &[u8],
        lifetime: Duration,
    ) -> Result<Zeroizing<Vec<u8>>, AgreeError> {
        Self::agree(self, label, text, lifetime).await
    }
}

/// Why processes did not agree on a ticket key.
#[derive(Debug, thiserror::Error)]
pub enum AgreementError<E: Error + 'static> {
    /// There is no key to propose.
    #[error("cannot make a ticket key")]
    NoRandomness(#[source] NoRandomness),
    /// The store gave no answer.
    #[error("no agreement on the ticket key of period {period}")]
    Store {
        /// Which period, counted from 1970.
        period: u64,
        /// What the store says.
        #[source]
        cause: E,
    },
    /// What others agreed on is no key.
    #[error("what was agreed on for period {period} is not a ticket key")]
    Unfit {
        /// Which period, counted from 1970.
        period: u64,
    },
}

/// When the keys end that were agreed on so far, on the steady clock: their sealing, and their
/// life. A key that was forgotten, because the wall clock was set forward, is no younger when it
/// comes back out of the store.
#[derive(Default)]
pub(super) struct Ends(VecDeque<(KeyName, [Duration; 2])>);

impl Ends {
    /// The key with the end that it had when this process first got it.
    pub(super) fn limit(
        &mut self,
        key: TicketKey,
        options: &RingOptions,
        now: Moment,
    ) -> TicketKey {
        // By then it is gone from the store too.
        let is_of_use = |dies: Duration| now.steady < dies.saturating_add(options.life_max());
        self.0.retain(|(_, [_, dies])| is_of_use(*dies));
        match self.0.iter().find(|(name, _)| name == key.name()) {
            Some((_, ends)) => key.ending_by(*ends),
            None => {
                if self.0.len() == ENDS_MAX {
                    self.0.pop_front();
                }
                self.0.push_back((*key.name(), key.ends()));
                key
            }
        }
    }
}

/// What the store calls the key of a period. Processes that rotate differently do not meet.
pub(super) fn label(options: &RingOptions, period: u64) -> String {
    format!("ticket-key/{}/{period}", options.rotation().as_secs())
}

/// A key to propose.
pub(super) fn proposal() -> Result<Zeroizing<Vec<u8>>, NoRandomness> {
    let mut text = Zeroizing::new(vec![0; KEY_BYTES]);
    rand::fill(&mut text).map_err(|_| NoRandomness)?;
    Ok(text)
}

/// Keys whose end is known: as many as years of setting the clock need.
const ENDS_MAX: usize = 256;

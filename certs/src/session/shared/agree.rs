//! One text for all processes: whoever comes first decides, everybody else learns.
//!
//! Owns [`SharedTier::agree`]. What is agreed on is a secret of all who hold the sealing keys, and
//! of nobody else; the store sees a sealed text. Refuses to know what it is good for.

use std::time::Duration;

use tokio::time::timeout;
use zeroize::Zeroizing;

use super::SharedTier;
use crate::sealing::NoRandomness;
use crate::session::engine::{EngineError, ErrorKind, Record, Wanted};
use crate::session::id::Use;
use crate::session::seal::SealingKeys;

impl SharedTier {
    /// What lies in the store for `label`; `text`, if nothing lies there yet. Processes that have
    /// the same sealing keys in another order agree too, except in the moment of the first text.
    ///
    /// # Errors
    ///
    /// [`AgreeError`]. If the store fails, nobody knows whether others have agreed.
    pub async fn agree(
        &self,
        label: &[u8],
        text: &[u8],
        lifetime: Duration,
    ) -> Result<Zeroizing<Vec<u8>>, AgreeError> {
        if !self.is_available() {
            return Err(AgreeError::Away);
        }
        let keys = self.keys();
        let sealed = keys.seal_text(label, text).map_err(AgreeError::Seal)?;
        let key = keys.text_keys(label).next().ok_or(AgreeError::Unreadable)?;
        let record = Record { key, sealed, lifetime };
        let answer = timeout(self.patience(), self.ask_all(&keys, label, &record)).await;
        match answer.unwrap_or_else(|_| Err(ErrorKind::Timeout.into())) {
            Ok(text) => {
                self.answered();
                text.ok_or(AgreeError::Unreadable)
            }
            Err(error) => {
                let kind = error.kind();
                self.failed(error);
                Err(AgreeError::Store(kind))
            }
        }
    }

    /// What was agreed on under an older key, or else is under the first one.
    async fn ask_all(
        &self,
        keys: &SealingKeys,
        label: &[u8],
        record: &Record,
    ) -> Result<Option<Zeroizing<Vec<u8>>>, EngineError> {
        let others = keys.text_keys(label).skip(1);
        let others: Vec<_> = others.map(|key| Wanted { key, usage: Use::Repeated }).collect();
        if !others.is_empty() {
            let found = self.engine.fetch(&others).await?;
            let opened = found.iter().flatten().find_map(|text| keys.open_text(label, text));
            if opened.is_some() {
                return Ok(opened);
            }
        }
        Ok(keys.open_text(label, &self.engine.agree(record).await?))
    }
}

/// Why processes do not agree.
#[derive(Debug, thiserror::Error)]
pub enum AgreeError {
    /// It failed before, and is left alone.
    #[error("the store is away")]
    Away,
    /// The text cannot be sealed.
    #[error("the text cannot be sealed")]
    Seal(#[source] NoRandomness),
    /// It failed now.
    #[error("the store failed")]
    Store(#[source] ErrorKind),
    /// What lies there was not sealed with any of our keys, or is damaged.
    #[error("what others agreed on cannot be opened with our sealing keys")]
    Unreadable,
}

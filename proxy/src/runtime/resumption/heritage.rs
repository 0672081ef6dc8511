//! What a process that follows this one goes on with.
//!
//! Owns that sessions are in one process or in the other, and that ticket keys are in both. What
//! cannot be taken over costs full handshakes and nothing else. Refuses to know how it gets there:
//! that is `handoff`.

use tokio::time::Instant;
use tracing::warn;
use zeroize::Zeroizing;

use crate::log::Chain;

use super::{FLUSH_MAX, Sessions};

impl Sessions {
    /// The ticket keys for a process that follows this one.
    pub(in crate::runtime) fn bequeath_keys(&self) -> Option<Zeroizing<Vec<u8>>> {
        self.tickets.as_ref()?.bequeath()
    }

    /// Goes on with the ticket keys of the process before, which came at `at`.
    pub(in crate::runtime) fn inherit_keys(&self, keys: &[u8], at: Instant) {
        if let Some(tickets) = &self.tickets
            && let Err(error) = tickets.inherit(keys, at)
        {
            warn!(error = %Chain(&error), "tickets of the process before do not resume");
        }
    }

    /// Gives what waits to the store, within a bound.
    pub(in crate::runtime) async fn flush(&self) {
        if let Some(store) = &self.store {
            store.tier.flush(FLUSH_MAX).await;
        }
    }

    /// Takes sessions out of memory for a process that follows this one.
    pub(in crate::runtime) fn pack(&self, bytes_max: usize) -> Option<Zeroizing<Vec<u8>>> {
        self.memory.pack(bytes_max)
    }

    /// Goes on with sessions of the process before.
    pub(in crate::runtime) fn unpack(&self, parcel: &[u8]) {
        if let Err(error) = self.memory.unpack(parcel) {
            warn!(%error, "sessions of the process before do not resume");
        }
    }
}

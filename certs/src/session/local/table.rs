//! Two databases in one environment: the entries, and the order in which they expire.
//!
//! Owns what lies in a page: an entry is its key and, behind it, when it expires and the sealed
//! text; a row of the index is when something expires and its key, in an order that bytes have too.
//! Each function is one step inside of somebody's transaction, and time is an argument. Refuses to
//! know when a transaction begins, ends or fails: that is [`super::work`].

use heed::types::Bytes;
use heed::{CommitOrAbort, Database, Env, RoTxn, RwTxn};

use crate::session::engine::EntryKey;

/// The databases, in an environment that is open.
pub(super) struct Table<'e> {
    entries: Database<'e, Bytes, Bytes>,
    index: Database<'e, Bytes, Bytes>,
}

impl<'e> Table<'e> {
    /// Opens the databases, or makes them.
    pub(super) fn open(env: &'e Env) -> heed::Result<Self> {
        let made = env.create_databases_and_commit(env.write_txn()?, |opener, txn| {
            let entries = opener.create_database::<Bytes, Bytes>(txn, Some("entries"))?;
            let index = opener.create_database::<Bytes, Bytes>(txn, Some("index"))?;
            Ok::<_, heed::Error>(CommitOrAbort::<_, ()>::Commit([entries, index]))
        })?;
        let [entries, index] = made.unwrap_commit();
        Ok(Self { entries, index })
    }

    /// The text under the key, unless it has expired.
    pub(super) fn look(
        &self,
        txn: &RoTxn<'_>,
        key: &EntryKey,
        now: u64,
    ) -> heed::Result<Option<Vec<u8>>> {
        let entry = self.entries.get(txn, key)?.and_then(split);
        Ok(entry.filter(|(expiry, _)| *expiry > now).map(|(_, text)| text.to_vec()))
    }

    /// The text under the key, unless it has expired; afterwards nothing lies there.
    pub(super) fn take(
        &self,
        txn: &mut RwTxn<'_>,
        key: &EntryKey,
        now: u64,
    ) -> heed::Result<Option<Vec<u8>>> {
        let text = self.look(txn, key, now)?;
        self.remove(txn, key)?;
        Ok(text)
    }

    /// Lays the text under the key, in the place of what lay there.
    pub(super) fn put(
        &self,
        txn: &mut RwTxn<'_>,
        key: &EntryKey,
        text: &[u8],
        expiry: u64,
    ) -> heed::Result<()> {
        self.remove(txn, key)?;
        let mut entry = Vec::with_capacity(EXPIRY_BYTES + text.len());
        entry.extend_from_slice(&expiry.to_be_bytes());
        entry.extend_from_slice(text);
        self.entries.put(txn, key, &entry)?;
        self.index.put(txn, &row(expiry, key), &[])
    }

    /// Removes up to `count_max` entries, those that expire soonest first, as long as `wanted` says
    /// so of when they expire, and says how many it removed.
    pub(super) fn remove_first(
        &self,
        txn: &mut RwTxn<'_>,
        count_max: usize,
        wanted: impl Fn(u64) -> bool,
    ) -> heed::Result<usize> {
        for removed in 0..count_max {
            let first = self.index.first(txn)?.map(|(row, _)| row.to_vec());
            let Some((row, (expiry, key))) =
                first.as_deref().and_then(|row| Some((row, split(row)?)))
            else {
                return Ok(removed);
            };
            if !wanted(expiry) {
                return Ok(removed);
            }
            self.entries.delete(txn, key)?;
            self.index.delete(txn, row)?;
        }
        Ok(count_max)
    }

    /// How many pages hold entries, rows, and the ways to them.
    pub(super) fn pages(&self, txn: &RoTxn<'_>) -> heed::Result<usize> {
        let count =
            |stat: heed::DatabaseStat| stat.branch_pages + stat.leaf_pages + stat.overflow_pages;
        Ok(count(self.entries.stat(txn)?) + count(self.index.stat(txn)?))
    }

    /// How many entries there are, and how many rows: always as many.
    #[cfg(test)]
    pub(super) fn counts(&self, txn: &RoTxn<'_>) -> heed::Result<(u64, u64)> {
        Ok((self.entries.len(txn)?, self.index.len(txn)?))
    }

    fn remove(&self, txn: &mut RwTxn<'_>, key: &EntryKey) -> heed::Result<()> {
        let expiry = self.entries.get(txn, key)?.and_then(split).map(|(expiry, _)| expiry);
        if let Some(expiry) = expiry {
            self.entries.delete(txn, key)?;
            self.index.delete(txn, &row(expiry, key))?;
        }
        Ok(())
    }
}

/// A row of the index. The number stands in front with its highest byte first, so that rows lie in
/// the order of time.
fn row(expiry: u64, key: &EntryKey) -> [u8; EXPIRY_BYTES + 32] {
    let mut row = [0; EXPIRY_BYTES + 32];
    let (front, back) = row.split_at_mut(EXPIRY_BYTES);
    front.copy_from_slice(&expiry.to_be_bytes());
    back.copy_from_slice(key);
    row
}

/// When something expires, and what follows; `None` for what is none of ours.
fn split(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (expiry, rest) = bytes.split_first_chunk()?;
    Some((u64::from_be_bytes(*expiry), rest))
}

const EXPIRY_BYTES: usize = size_of::<u64>();

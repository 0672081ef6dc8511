//! What the task of a connection and its stream of bytes tell each other.
//!
//! Owns [`Link`]. h2 sits between the two and gives no way to the stream that it was given. Nothing
//! here waits. Read next: `wire`, the one side; `mod` is the other.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use super::backlog::Backlog;
use super::credit::Credit;
use super::guard::Flood;

/// What the task of a connection and its stream tell each other.
#[derive(Debug, Default)]
pub(super) struct Link {
    /// Whether something waits to be flushed.
    is_unflushed: AtomicBool,
    /// Whether the next flush is to take place; else it is put off.
    may_flush: AtomicBool,
    /// Whether the client takes less than there is for it.
    is_stuck: AtomicBool,
    reads: AtomicU64,
    /// How often the connection was polled.
    turns: AtomicU64,
    /// Whether somebody waits for the connection to be polled.
    is_turn_wanted: AtomicBool,
    credit: Credit,
    backlog: Backlog,
    flood: Mutex<Option<Flood>>,
}

impl Link {
    pub(super) fn note_unflushed(&self, is_unflushed: bool) {
        self.is_unflushed.store(is_unflushed, Ordering::Relaxed);
    }

    pub(super) fn may_flush(&self) -> bool {
        self.may_flush.load(Ordering::Relaxed)
    }

    pub(super) fn note_stuck(&self, is_stuck: bool) {
        self.is_stuck.store(is_stuck, Ordering::Relaxed);
    }

    pub(super) fn note_read(&self) {
        self.reads.fetch_add(1, Ordering::Relaxed);
    }

    /// What the client may say more than usual.
    pub(super) fn credit(&self) -> &Credit {
        &self.credit
    }

    /// What waits for the client.
    pub(super) fn backlog(&self) -> &Backlog {
        &self.backlog
    }

    pub(super) fn note_flood(&self, flood: Flood) {
        *self.flood.lock().unwrap_or_else(PoisonError::into_inner) = Some(flood);
    }

    pub(super) fn is_unflushed(&self) -> bool {
        self.is_unflushed.load(Ordering::Relaxed)
    }

    pub(super) fn let_flush(&self, may_flush: bool) {
        self.may_flush.store(may_flush, Ordering::Relaxed);
    }

    pub(super) fn is_stuck(&self) -> bool {
        self.is_stuck.load(Ordering::Relaxed)
    }

    /// How often anything came.
    pub(super) fn reads(&self) -> u64 {
        self.reads.load(Ordering::Relaxed)
    }

    pub(super) fn turn(&self) -> u64 {
        self.turns.load(Ordering::Relaxed)
    }

    pub(super) fn want_turn(&self) {
        self.is_turn_wanted.store(true, Ordering::Relaxed);
    }

    pub(super) fn take_turn_wanted(&self) -> bool {
        self.is_turn_wanted.swap(false, Ordering::Relaxed)
    }

    pub(super) fn note_turn(&self) {
        self.turns.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn flood(&self) -> Option<Flood> {
        *self.flood.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

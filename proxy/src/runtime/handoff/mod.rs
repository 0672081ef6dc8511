//! The upgrade of the binary: one process follows another and nobody who connects notices.
//!
//! Owns both sides of it. The process that serves has its `launcher` start the new binary with one
//! end of a socket pair as standard input; `packets` go over it, `message` is what they mean,
//! `predecessor` and `successor` are who says what when, `heir` is the new process as the old one
//! sees it. The listening sockets are handed over as
//! they are, so what connects meanwhile waits in the kernel; `order` tells what came of it. Refuses
//! to know what is served.

mod error;
mod heir;
pub mod launcher;
mod life;
mod message;
mod order;
mod packets;
mod predecessor;
mod successor;
mod talk;

pub use error::UpgradeError;
pub use message::MessageError;
pub use successor::{SuccessionError, Successor, Teller};

pub(super) use order::{Came, serve};
pub(super) use predecessor::Upgrades;
pub(super) use successor::Place;

use launcher::Launcher;

/// How this process follows another one, and how another one may follow it.
#[derive(Debug, Default)]
pub struct Handoff {
    /// Who starts the next one; without, there is none.
    pub launcher: Option<Launcher>,
    /// What the one before leaves, if there is one.
    pub successor: Option<Successor>,
}

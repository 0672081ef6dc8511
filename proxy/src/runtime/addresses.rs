//! Where the process listens, once it does.
//!
//! Owns the words for it in the log. Refuses to know sockets.

use std::sync::Arc;

use tracing::info;

use crate::net::ListenAddr;

/// Every address that is listened on, with the name of its listener, and the port that the system
/// chose where the configuration says 0.
#[derive(Clone, Debug, Default)]
pub struct Addresses(pub(super) Vec<(Arc<str>, ListenAddr)>);

impl Addresses {
    /// Says each of them.
    pub(super) fn tell(&self) {
        for (listener, addr) in &self.0 {
            info!(listener = &**listener, address = %addr, "listening");
        }
    }

    /// The port of the first TCP address of `listener`.
    pub fn port(&self, listener: &str) -> Option<u16> {
        self.0.iter().find_map(|(name, addr)| match addr {
            ListenAddr::Tcp(addr) if **name == *listener => Some(addr.port()),
            ListenAddr::Tcp(_) | ListenAddr::Unix(_) | ListenAddr::Given(_) => None,
        })
    }
}

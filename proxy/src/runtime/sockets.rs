//! The listening sockets of the process, opened before it has threads.
//!
//! Owns where each socket comes from: it is bound, and all of them are or none. Opened this early, a
//! process may give up afterwards what it needed for that. Refuses to know what is served on them.
//! Read next: `net::listen`.

use std::sync::Arc;

use crate::admin::AdminError;
use crate::config::{Config, Listener};
use crate::connection::Entrance;
use crate::net::ListenAddr;
use crate::net::listen::OpenSocket;

use super::RunError;

/// Sockets that are open and not yet served, each with the address of the configuration that it is
/// for.
#[derive(Debug, Default)]
pub struct Sockets(Vec<(ListenAddr, OpenSocket)>);

impl Sockets {
    /// Opens every address of every listener, and that of the admin listener.
    pub fn open(config: &Config) -> Result<Self, RunError> {
        let keepalive = &config.limits.keepalive;
        let mut sockets = Self::default();
        if let Some(admin) = &config.admin {
            let socket = OpenSocket::bind(&admin.listen, keepalive)
                .map_err(|cause| RunError::Admin(AdminError::Bind(cause)))?;
            sockets.0.push((admin.listen.clone(), socket));
        }
        for listener in &config.listeners {
            for (addr, _) in entrances(listener) {
                let socket = OpenSocket::bind(addr, keepalive).map_err(|cause| RunError::Bind {
                    listener: Arc::clone(&listener.name),
                    cause,
                })?;
                sockets.0.push((addr.clone(), socket));
            }
        }
        Ok(sockets)
    }

    /// The socket for this address, if it is open and was not taken.
    pub(super) fn take(&mut self, addr: &ListenAddr) -> Option<OpenSocket> {
        let place = self.0.iter().position(|(of, _)| of == addr)?;
        Some(self.0.swap_remove(place).1)
    }
}

/// Every address of a listener, those for requests that are redirected last.
pub(super) fn entrances(listener: &Listener) -> impl Iterator<Item = (&ListenAddr, Entrance)> {
    let redirect = listener.http.redirect.iter().flat_map(|redirect| &redirect.addresses);
    let main = listener.addresses.iter().map(|addr| (addr, Entrance::Main));
    main.chain(redirect.map(|addr| (addr, Entrance::Redirect)))
}

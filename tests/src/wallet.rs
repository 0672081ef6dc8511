//! A client's sessions, offered wherever their owner goes: a client that respects no names.
//!
//! Owns the sessions of one client. rustls asks for those of a name, and gets the newest there is,
//! whoever gave it. Refuses to know whether a server should take it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustls::NamedGroup;
use rustls::client::{
    ClientSessionStore, Resumption, Tls12ClientSessionValue, Tls12Resumption,
    Tls13ClientSessionValue,
};
use rustls::pki_types::ServerName;

/// Sessions of whichever server.
#[derive(Debug, Default)]
pub struct Wallet(Mutex<Sessions>);

#[derive(Debug, Default)]
struct Sessions {
    tls12: Option<Tls12ClientSessionValue>,
    tls13: Vec<Tls13ClientSessionValue>,
    is_closed: bool,
}

impl Wallet {
    /// An empty one.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// What has a client offer what is in here, by session id or by ticket.
    pub fn sessions(self: &Arc<Self>) -> Resumption {
        Resumption::store(Arc::<Self>::clone(self))
    }

    /// What has a client offer what is in here, and take no tickets of TLS 1.2.
    pub fn session_ids(self: &Arc<Self>) -> Resumption {
        self.sessions().tls12_resumption(Tls12Resumption::SessionIdOnly)
    }

    /// Takes nothing more, and keeps what it has.
    pub fn close(&self) {
        self.lock().is_closed = true;
    }

    /// Whether there is something to offer.
    pub fn is_empty(&self) -> bool {
        let sessions = self.lock();
        sessions.tls12.is_none() && sessions.tls13.is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, Sessions> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientSessionStore for Wallet {
    fn set_kx_hint(&self, _: ServerName<'static>, _: NamedGroup) {}

    fn kx_hint(&self, _: &ServerName<'_>) -> Option<NamedGroup> {
        None
    }

    fn set_tls12_session(&self, _: ServerName<'static>, value: Tls12ClientSessionValue) {
        let mut sessions = self.lock();
        if !sessions.is_closed {
            sessions.tls12 = Some(value);
        }
    }

    fn tls12_session(&self, _: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        self.lock().tls12.clone()
    }

    fn remove_tls12_session(&self, _: &ServerName<'static>) {
        // rustls has it thrown away when a server does not take it, which is what is tried here
        // with one server after the other.
    }

    fn insert_tls13_ticket(&self, _: ServerName<'static>, value: Tls13ClientSessionValue) {
        let mut sessions = self.lock();
        if !sessions.is_closed {
            sessions.tls13.push(value);
        }
    }

    fn take_tls13_ticket(&self, _: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        self.lock().tls13.pop()
    }
}

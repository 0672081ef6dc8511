//! What is remembered of one endpoint: the sessions that it gave us, for as long as they count.
//!
//! Owns [`EndpointTls`]: the name that the certificate of the endpoint has to be for, and a store
//! of sessions that no other endpoint shares, so that what one server gave is never shown to
//! another, whatever they are called. With another trust or credential the store is another one.
//! A session vouches for a certificate that is not looked at again (RFC 8446 §2.2), and so does
//! every session that its connection brings. A store is therefore given up after an hour with all
//! that is in it, and the next handshake is a full one. Refuses to know files. Read next: the
//! parent module.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use rustls::client::{
    ClientSessionStore, Resumption, Tls12ClientSessionValue, Tls13ClientSessionValue,
};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, NamedGroup};
use tokio::time::Instant;

/// What TLS with one endpoint needs beside that of its backend.
#[derive(Debug)]
pub(in crate::backend) struct EndpointTls {
    name: Option<ServerName<'static>>,
    config: ArcSwapOption<Own>,
}

/// The configuration of one endpoint, and that of its backend from which it was made.
#[derive(Debug)]
struct Own {
    base: Arc<ClientConfig>,
    config: Arc<ClientConfig>,
    /// When the store of sessions was made: no full handshake that it stands for is older.
    since: Instant,
}

impl EndpointTls {
    /// For an endpoint of which nothing is remembered.
    pub(super) fn new(name: Option<ServerName<'static>>) -> Self {
        Self { name, config: ArcSwapOption::empty() }
    }

    /// The name that its certificate has to be for.
    pub(super) fn name(&self) -> Option<&ServerName<'static>> {
        self.name.as_ref()
    }

    /// The `base` of the backend with the sessions of this endpoint. What was remembered under
    /// another base is forgotten, and so is what is too old: a connection that is resumed leaves
    /// its new sessions in the store that it took the old one from.
    pub(super) fn config(&self, base: &Arc<ClientConfig>) -> Arc<ClientConfig> {
        if let Some(own) = &*self.config.load()
            && Arc::ptr_eq(&own.base, base)
            && own.since.elapsed() < AGE_MAX
        {
            return Arc::clone(&own.config);
        }
        let mut config = ClientConfig::clone(base);
        config.resumption = Resumption::store(Arc::new(Sessions::default()));
        let config = Arc::new(config);
        let (base, since) = (Arc::clone(base), Instant::now());
        let own = Own { base, config: Arc::clone(&config), since };
        self.config.store(Some(Arc::new(own)));
        config
    }
}

/// The sessions of one endpoint.
#[derive(Default)]
struct Sessions(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    /// What the endpoint asked for when we guessed wrong (RFC 8446 §4.1.4).
    group: Option<NamedGroup>,
    /// May be used again and again.
    tls12: Option<Tls12ClientSessionValue>,
    /// Each may be used once (RFC 8446 appendix C.4); the oldest first.
    tls13: VecDeque<Tls13ClientSessionValue>,
}

impl Sessions {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientSessionStore for Sessions {
    fn set_kx_hint(&self, _: ServerName<'static>, group: NamedGroup) {
        self.kept().group = Some(group);
    }

    fn kx_hint(&self, _: &ServerName<'_>) -> Option<NamedGroup> {
        self.kept().group
    }

    fn set_tls12_session(&self, _: ServerName<'static>, session: Tls12ClientSessionValue) {
        self.kept().tls12 = Some(session);
    }

    fn tls12_session(&self, _: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        self.kept().tls12.clone()
    }

    fn remove_tls12_session(&self, _: &ServerName<'static>) {
        self.kept().tls12 = None;
    }

    fn insert_tls13_ticket(&self, _: ServerName<'static>, session: Tls13ClientSessionValue) {
        let mut kept = self.kept();
        if kept.tls13.len() == TICKETS_MAX {
            kept.tls13.pop_front();
        }
        kept.tls13.push_back(session);
    }

    fn take_tls13_ticket(&self, _: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        self.kept().tls13.pop_back()
    }
}

/// Shows no secrets.
impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sessions").finish_non_exhaustive()
    }
}

/// How long sessions are believed, from before the first handshake on. An endpoint whose
/// certificate has expired, or was revoked on a list that is not ours, is looked at again after
/// that.
const AGE_MAX: Duration = Duration::from_secs(60 * 60);

/// Tickets of one endpoint: enough for connections that are made at the same time.
const TICKETS_MAX: usize = 8;

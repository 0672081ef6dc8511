//! What the parts of one connection tell each other: its task, its exchanges, its IO.
//!
//! Owns [`Connection`] and [`InFlight`], an exchange of it. Nothing here waits.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use http::HeaderValue;

use super::{ConnectionFacts, HttpService};
use crate::access::Record;
use crate::backend::{Alarm, Interims, Tunnel};
use crate::config::ClientCertForward;
use crate::forward::header::{ClientCert, ClientCertError, Proto, Sender, TlsFacts, TlsFields};
use crate::handshake::sites::SiteId;
use crate::limit::Footprint;
use crate::metrics::HttpVersion;
use crate::outcome::CloseReason;

/// A connection of a client.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) service: Arc<HttpService>,
    pub(super) version: HttpVersion,
    pub(super) server_name: Option<Arc<str>>,
    /// Which software the client is like, if that is told.
    pub(super) ja4: Option<Arc<str>>,
    pub(super) sender: Sender,
    /// What the client speaks.
    pub(super) proto: Proto,
    pub(super) local_port: Option<HeaderValue>,
    pub(super) site: SiteId,
    /// What backends hear of the client; if that cannot be said, they hear nothing at all.
    pub(super) client_cert: Result<ClientCert, ClientCertError>,
    /// What backends hear of TLS.
    pub(super) tls: TlsFields,
    /// How TLS was established; `None` in the clear.
    pub(super) tls_facts: Option<TlsFacts>,
    footprint: Option<Arc<Footprint>>,
    requests: AtomicU64,
    unread: AtomicBool,
    fault: Mutex<Option<CloseReason>>,
    tunnel: Mutex<Option<Tunnel>>,
    /// Alarms of exchanges that are over, for those to come.
    alarms: Mutex<Vec<Alarm>>,
    /// What the exchange of an HTTP/1.1 connection is answered before its final response; a stream
    /// of HTTP/2 has its own.
    pub(super) interims: Arc<Interims>,
}

impl Connection {
    pub(super) fn new(
        service: Arc<HttpService>,
        facts: ConnectionFacts,
        version: HttpVersion,
    ) -> Arc<Self> {
        let forward = service.routes.of_site(facts.site).map(|route| route.forward);
        let chain = facts.identity.as_ref().map_or(&[][..], |identity| identity.chain());
        let client_cert = ClientCert::new(chain, forward.unwrap_or(ClientCertForward::None));
        let listener = &service.listener;
        let sender = Sender::new(facts.client, &listener.trusted_peers);
        let tls = match &facts.tls {
            Some(tls) if listener.tls_fields => TlsFields::new(tls, facts.server_name.as_deref()),
            Some(_) | None => TlsFields::default(),
        };
        Arc::new(Self {
            service,
            version,
            server_name: facts.server_name,
            ja4: facts.ja4,
            sender,
            proto: if facts.tls.is_some() { Proto::Https } else { Proto::Http },
            local_port: facts.local_port.map(HeaderValue::from),
            site: facts.site,
            client_cert,
            tls,
            tls_facts: facts.tls,
            footprint: facts.footprint,
            requests: AtomicU64::new(0),
            unread: AtomicBool::new(false),
            fault: Mutex::default(),
            tunnel: Mutex::default(),
            alarms: Mutex::default(),
            interims: Arc::default(),
        })
    }

    /// Requests so far.
    pub(super) fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// Tells what the connection holds now, beyond what any does.
    pub(super) fn hold(&self, bytes: usize) {
        if let Some(footprint) = &self.footprint {
            footprint.set(bytes);
        }
    }

    /// Whether the connection has served as many requests as it may.
    pub(super) fn is_worn_out(&self) -> bool {
        self.requests() >= self.service.limits.http.requests_max
    }

    /// Whether a request was answered without having been read to its end.
    pub(super) fn has_unread(&self) -> bool {
        self.unread.load(Ordering::Relaxed)
    }

    pub(super) fn leave_unread(&self) {
        self.unread.store(true, Ordering::Relaxed);
    }

    /// Remembers why the connection will end, if nobody did before.
    pub(super) fn blame(&self, reason: CloseReason) {
        self.fault.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(reason);
    }

    pub(super) fn fault(&self) -> Option<CloseReason> {
        *self.fault.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Leaves what the connection will be joined with once the agreement is sent.
    pub(super) fn leave_tunnel(&self, tunnel: Tunnel) {
        *self.tunnel.lock().unwrap_or_else(PoisonError::into_inner) = Some(tunnel);
    }

    pub(super) fn take_tunnel(&self) -> Option<Tunnel> {
        self.tunnel.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// An exchange that is going on; ends when this is dropped.
#[derive(Debug)]
pub(super) struct InFlight {
    connection: Arc<Connection>,
    /// The alarm of this exchange; it goes from one exchange to the next.
    pub(super) alarm: Alarm,
    /// Where interim responses go, if the client understands them. Whoever sends the request has
    /// them put in there; `h1` and `h2` take them out whenever they have polled the exchange.
    pub(super) interims: Option<Arc<Interims>>,
    /// What the access log will say of this exchange.
    pub(super) record: Record,
}

impl InFlight {
    pub(super) fn new(connection: Arc<Connection>, interims: Option<Arc<Interims>>) -> Self {
        if let Some(interims) = &interims {
            interims.restart();
        }
        connection.requests.fetch_add(1, Ordering::Relaxed);
        let alarm = connection.alarms.lock().unwrap_or_else(PoisonError::into_inner).pop();
        Self { connection, alarm: alarm.unwrap_or_default(), interims, record: Record::default() }
    }

    pub(super) fn connection(&self) -> &Arc<Connection> {
        &self.connection
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let alarm = std::mem::take(&mut self.alarm);
        self.connection.alarms.lock().unwrap_or_else(PoisonError::into_inner).push(alarm);
    }
}

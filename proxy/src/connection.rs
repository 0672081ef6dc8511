//! The spine: what happens to a connection, from accept to close, in the order in which it happens.
//!
//! Owns the sequence identify → establish → route → forward → report, and every branch between
//! them. Refuses to know how any of the stages does its work. Read next: `handshake`.

use std::fmt::Display;
use std::sync::Arc;

use portunus_certs::name::HostName;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;
use tracing::debug;

use crate::drain::DrainWatch;
use crate::forward::header::TlsFacts;
use crate::forward::http::HttpService;
use crate::forward::{http, tcp};
use crate::handshake::sites::SiteId;
use crate::handshake::{self, Established, Facts, HandshakeError, Protocol};
use crate::limit::HandshakePermit;
use crate::log::Chain;
use crate::metrics::{Active, Direction, HandshakeKind, HttpVersion, Limit, Meter, NotResumed};
use crate::net::{ClientAddr, PeerAddr, Socket};
use crate::outcome::{CloseReason, HandshakeFailure, Label};
use crate::route::Site;
use crate::snapshot::{Service, Snapshot};

/// A connection that was accepted and not yet looked at.
#[derive(Debug)]
pub struct Accepted {
    /// The connection.
    pub socket: Socket,
    /// Who opened it.
    pub peer: PeerAddr,
    /// The TCP port that it was opened to; a unix socket has none.
    pub port: Option<u16>,
    /// When it was accepted.
    pub at: Instant,
    /// Its place among all connections.
    pub slot: OwnedSemaphorePermit,
    /// Which way it came.
    pub entrance: Entrance,
}

/// Which way a connection comes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Entrance {
    /// In the clear, only to be sent on.
    Clear,
    /// By a handshake.
    Tls,
}

/// Serves a connection to its end.
pub async fn serve(accepted: Accepted, snapshot: Arc<Snapshot>, watch: DrainWatch) {
    match (accepted.entrance, &snapshot.clear) {
        (Entrance::Clear, Some(service)) => {
            let service = Arc::clone(service);
            Box::pin(serve_in_the_clear(accepted, &snapshot, service, watch)).await;
        }
        (Entrance::Clear, None) => {}
        (Entrance::Tls, _) => serve_tls(accepted, snapshot, watch).await,
    }
}

/// Sends the requests of a connection on to TLS.
async fn serve_in_the_clear(
    accepted: Accepted,
    snapshot: &Snapshot,
    service: Arc<HttpService>,
    watch: DrainWatch,
) {
    let Accepted { socket, peer, port, at, slot: _slot, entrance: _ } = accepted;
    let client = ClientAddr::from(peer);
    let report = Report::open(snapshot, peer, client, at);
    let stream = http::ClearStream::new(socket, Arc::clone(&report.meter));
    let facts = http::ConnectionFacts {
        peer,
        client,
        local_port: port,
        server_name: None,
        site: SiteId::FIRST,
        identity: None,
        tls: None,
    };
    report.close(http::serve(stream, HttpVersion::H1, service, facts, watch).await);
}

async fn serve_tls(accepted: Accepted, snapshot: Arc<Snapshot>, watch: DrainWatch) {
    let Accepted { socket, peer, port, at, slot: _slot, entrance: _ } = accepted;
    let client = ClientAddr::from(peer);
    let mut report = Report::open(&snapshot, peer, client, at);
    let permit = match admit(&snapshot, client, &socket) {
        Ok(permit) => permit,
        Err(failure) => return report.refuse(failure),
    };
    let meter = Arc::clone(&report.meter);
    // The state of the handshake is large and short-lived: it does not stay in this task.
    let establish =
        Box::pin(handshake::establish(socket, &snapshot.policy, &snapshot.limits, at, meter));
    let Established { mut stream, facts } = match establish.await {
        Ok(established) => established,
        Err(error) => return report.fail(&error),
    };
    drop(permit);
    report.establish(&facts);
    let reason = match &snapshot.service {
        Service::Http(service) => {
            let version = match facts.protocol {
                Protocol::Http2 => HttpVersion::H2,
                Protocol::Plain => HttpVersion::H1,
            };
            let facts = http::ConnectionFacts {
                peer,
                client,
                local_port: port,
                server_name: facts.server_name.as_ref().map(|name| name.as_str().into()),
                site: facts.site,
                identity: facts.client,
                tls: Some(TlsFacts {
                    version: facts.version,
                    suite: facts.suite,
                    kind: facts.kind,
                }),
            };
            Box::pin(http::serve(stream, version, Arc::clone(service), facts, watch)).await
        }
        Service::Tcp(routes) => match routes.of_site(facts.site).and_then(Site::backend) {
            Some(backend) => match Box::pin(tcp::connect(&mut stream, client, backend)).await {
                Ok(upstream) => {
                    let metrics = backend.metrics();
                    Box::pin(tcp::join(stream, upstream, &snapshot.limits, metrics)).await
                }
                Err(error) => {
                    debug!(%peer, error = %Chain(&error), "no backend");
                    CloseReason::BackendUnreachable
                }
            },
            None => CloseReason::Internal,
        },
    };
    report.close(reason);
}

/// Admits the connection to its handshake, or sees to it that it ends in a reset.
fn admit(
    snapshot: &Snapshot,
    client: ClientAddr,
    socket: &Socket,
) -> Result<HandshakePermit, HandshakeFailure> {
    snapshot.handshakes.admit(client.ip()).map_err(|limit| {
        snapshot.process.limit_hits.of(limit).inc();
        socket.reset_on_close();
        match limit {
            Limit::HandshakesPerSource => HandshakeFailure::SourceLimit,
            Limit::Connections | Limit::Descriptors | Limit::Handshakes => HandshakeFailure::Shed,
        }
    })
}

/// What is counted and logged of a connection. It closes exactly once; a connection that is
/// dropped before its end was cut by the drain.
struct Report<'a> {
    snapshot: &'a Snapshot,
    peer: PeerAddr,
    client: ClientAddr,
    at: Instant,
    server_name: Option<HostName>,
    client_cert: Option<Box<str>>,
    handshake: Option<HandshakeKind>,
    not_resumed: Option<NotResumed>,
    meter: Arc<Meter>,
    reason: CloseReason,
    _active: Active,
}

impl<'a> Report<'a> {
    fn open(snapshot: &'a Snapshot, peer: PeerAddr, client: ClientAddr, at: Instant) -> Self {
        let metrics = &snapshot.metrics;
        metrics.connections.inc();
        Self {
            snapshot,
            peer,
            client,
            at,
            server_name: None,
            client_cert: None,
            handshake: None,
            not_resumed: None,
            meter: Arc::new(Meter::new(&metrics.bytes)),
            reason: CloseReason::Drain,
            _active: Active::new(&metrics.connections_active),
        }
    }

    fn establish(&mut self, facts: &Facts) {
        let metrics = &self.snapshot.metrics;
        metrics.handshakes.of(facts.version, facts.kind).inc();
        metrics.handshake_duration.of(facts.kind).observe(self.at.elapsed().as_secs_f64());
        metrics.ciphers.of(facts.suite).inc();
        if let Some(reason) = facts.not_resumed {
            metrics.handshakes_not_resumed.of(reason).inc();
        }
        if let Some(group) = facts.group {
            metrics.key_exchanges.of(group).inc();
        }
        self.server_name.clone_from(&facts.server_name);
        self.handshake = Some(facts.kind);
        self.not_resumed = facts.not_resumed;
        self.client_cert = facts.client.as_ref().map(|client| client.fingerprint().into());
    }

    /// The connection was not admitted to its handshake.
    fn refuse(self, failure: HandshakeFailure) {
        self.fail_for(failure, &"a limit on handshakes was reached");
    }

    fn fail(mut self, error: &HandshakeError) {
        self.server_name = error.server_name().cloned();
        self.fail_for(error.failure(), &Chain(error));
    }

    fn fail_for(mut self, failure: HandshakeFailure, error: &dyn Display) {
        self.snapshot.metrics.handshake_failures.of(failure).inc();
        self.reason = CloseReason::Handshake;
        debug!(
            listener = &*self.snapshot.listener,
            peer = %self.peer,
            client = %self.client,
            sni = self.server_name(),
            reason = %failure,
            error = %error,
            "handshake failed"
        );
    }

    fn close(mut self, reason: CloseReason) {
        self.reason = reason;
    }

    fn server_name(&self) -> &str {
        self.server_name.as_ref().map_or("", |name| name.as_str())
    }
}

impl Drop for Report<'_> {
    fn drop(&mut self) {
        let metrics = &self.snapshot.metrics;
        let lasted = self.at.elapsed();
        metrics.connections_closed.of(self.reason).inc();
        metrics.connection_duration.observe(lasted.as_secs_f64());
        debug!(
            listener = &*self.snapshot.listener,
            peer = %self.peer,
            client = %self.client,
            sni = self.server_name(),
            client_cert = self.client_cert.as_deref(),
            handshake = self.handshake.map(Label::label),
            not_resumed = self.not_resumed.map(Label::label),
            reason = %self.reason,
            duration_ms = lasted.as_millis() as u64,
            bytes_downstream = self.meter.total(Direction::Downstream),
            bytes_upstream = self.meter.total(Direction::Upstream),
            "closed"
        );
    }
}

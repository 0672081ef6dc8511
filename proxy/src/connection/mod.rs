//! The spine: what happens to a connection, from accept to close, in the order in which it happens.
//!
//! Owns the sequence identify → establish → route → forward → report, and every branch between
//! them. Refuses to know how any of the stages does its work. Read next: `handshake`, and `tunnel`
//! for what happens to bytes.

mod prelude;
mod report;
mod tunnel;

use std::sync::Arc;

use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use crate::config::{self, ProxyProtocol};
use crate::drain::DrainWatch;
use crate::forward::clear::ClearStream;
use crate::forward::header::TlsFacts;
use crate::forward::http::{self, HttpService};
use crate::handshake::introduction::{self, IntroductionError};
use crate::handshake::sites::SiteId;
use crate::handshake::{self, Arrival, Established, PassedThrough, Protocol, Start};
use crate::limit::HandshakePermit;
use crate::metrics::{HttpVersion, Limit};
use crate::net::{ClientAddr, PeerAddr, Socket};
use crate::outcome::{CloseReason, HandshakeFailure};
use crate::proxy_protocol::Introduction;
use crate::snapshot::{Service, Snapshot};
use prelude::Prelude;
use report::Report;
use tunnel::{Known, Way};

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

/// Which of its sockets a connection came to a listener by.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Entrance {
    /// One of its own.
    Main,
    /// One for requests in the clear, which are sent on to the listener.
    Redirect,
}

/// Who is at the other end of a connection, and when and where it came.
#[derive(Debug)]
struct Origin {
    peer: PeerAddr,
    client: ClientAddr,
    /// What the peer has said of the client, where it has to.
    introduction: Option<Box<Introduction>>,
    port: Option<u16>,
    at: Instant,
}

/// Serves a connection to its end.
pub async fn serve(accepted: Accepted, snapshot: Arc<Snapshot>, watch: DrainWatch) {
    let Accepted { mut socket, peer, port, at, slot: _slot, entrance } = accepted;
    let client = ClientAddr::from(peer);
    let mut report = Report::open(&snapshot, peer, client, at);
    let mut origin = Origin { peer, client, introduction: None, port, at };
    if let Some(rule) = &snapshot.proxy_protocol {
        match Box::pin(identify(&mut socket, &mut origin, rule, &snapshot)).await {
            Ok(()) => report.identify(origin.client),
            Err(error) => return report.stay_unknown(&error),
        }
    }
    match (entrance, snapshot.entrance, &snapshot.redirect) {
        (Entrance::Redirect, _, None) => {}
        (Entrance::Redirect, _, Some(redirect)) => {
            let service = Arc::clone(redirect);
            let stream = ClearStream::new(socket, Arc::clone(&report.meter));
            report.close(Box::pin(serve_requests(stream, service, origin, watch)).await);
        }
        (Entrance::Main, config::Entrance::Clear, _) => {
            Box::pin(serve_clear(socket, &snapshot, origin, watch, report)).await;
        }
        (Entrance::Main, config::Entrance::Tls, _) => {
            serve_tls(socket, &snapshot, origin, watch, report).await;
        }
    }
}

/// Hears who the client is.
async fn identify(
    socket: &mut Socket,
    origin: &mut Origin,
    rule: &ProxyProtocol,
    snapshot: &Snapshot,
) -> Result<(), IntroductionError> {
    let deadline = origin.at + snapshot.limits.proxy_header_timeout;
    let heard = introduction::hear(socket, origin.peer, rule, deadline).await;
    snapshot.metrics.proxy_headers.of(introduction::outcome(&heard)).inc();
    let heard = heard?;
    origin.client = introduction::client(origin.peer, &heard);
    origin.port = heard.ends.destination().map(|addr| addr.port()).or(origin.port);
    origin.introduction = Some(Box::new(heard));
    Ok(())
}

/// Serves a client that came without TLS to a listener for such.
async fn serve_clear(
    socket: Socket,
    snapshot: &Snapshot,
    origin: Origin,
    watch: DrainWatch,
    report: Report<'_>,
) {
    let stream = ClearStream::new(socket, Arc::clone(&report.meter));
    let reason = match &snapshot.service {
        Service::Http(service) => serve_requests(stream, Arc::clone(service), origin, watch).await,
        Service::Tcp(_) => tunnel::serve(stream, Known::Nothing, Way::New, snapshot, origin).await,
    };
    report.close(reason);
}

/// Serves requests that come in the clear.
async fn serve_requests(
    stream: ClearStream,
    service: Arc<HttpService>,
    origin: Origin,
    watch: DrainWatch,
) -> CloseReason {
    let facts = http::ConnectionFacts {
        client: origin.client,
        local_port: origin.port,
        server_name: None,
        site: SiteId::FIRST,
        identity: None,
        tls: None,
    };
    http::serve(stream, HttpVersion::H1, service, facts, watch).await
}

async fn serve_tls(
    socket: Socket,
    snapshot: &Snapshot,
    origin: Origin,
    watch: DrainWatch,
    mut report: Report<'_>,
) {
    let permit = match admit(snapshot, origin.client, &socket) {
        Ok(permit) => permit,
        Err(failure) => return report.refuse(failure),
    };
    let (start, way) = match &snapshot.starttls {
        None => (Start { socket, early: Vec::new(), protocol: None, at: origin.at }, Way::New),
        Some(rule) => {
            let prelude = prelude::lead(socket, rule, snapshot, &origin, &mut report);
            match Box::pin(prelude).await {
                Prelude::Tls(start, way) => (start, way),
                Prelude::Over(reason) => return report.close(reason),
                Prelude::Clear(socket, said, way) => {
                    drop(permit);
                    let stream =
                        ClearStream::beginning_with(said, socket, Arc::clone(&report.meter));
                    let served = tunnel::serve(stream, Known::Nothing, way, snapshot, origin);
                    return report.close(Box::pin(served).await);
                }
            }
        }
    };
    let meter = Arc::clone(&report.meter);
    // The state of the handshake is large and short-lived: it does not stay in this task.
    let establish =
        Box::pin(handshake::establish(start, &snapshot.policy, &snapshot.limits, meter));
    let arrival = match establish.await {
        Ok(arrival) => arrival,
        Err(error) => return report.fail(&error),
    };
    drop(permit);
    let Established { stream, facts } = match arrival {
        Arrival::Established(established) => established,
        Arrival::PassedThrough(passed) => {
            return pass_through(passed, snapshot, origin, report).await;
        }
    };
    report.establish(&facts);
    let reason = match &snapshot.service {
        Service::Http(service) => {
            let version = match facts.protocol {
                Protocol::Http2 => HttpVersion::H2,
                Protocol::Plain => HttpVersion::H1,
            };
            let facts = http::ConnectionFacts {
                client: origin.client,
                local_port: origin.port,
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
        Service::Tcp(_) => tunnel::serve(stream, Known::Tls(&facts), way, snapshot, origin).await,
    };
    report.close(reason);
}

/// Takes a client to the endpoint that establishes TLS with it.
async fn pass_through(
    passed: PassedThrough,
    snapshot: &Snapshot,
    origin: Origin,
    mut report: Report<'_>,
) {
    let PassedThrough { socket, hello, server_name, site } = passed;
    report.pass_through(server_name.clone());
    let known = Known::Name(site, server_name.as_ref());
    let stream = ClearStream::beginning_with(hello, socket, Arc::clone(&report.meter));
    report.close(tunnel::serve(stream, known, Way::New, snapshot, origin).await);
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

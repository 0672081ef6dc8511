//! HTTP on one connection of a client, from the first request to the last.
//!
//! Owns [`serve`], which has the connection served in the version that ALPN chose: by `h1` or by
//! `h2`, which own the framing, the deadlines between requests, and the end of the connection.
//! What happens to a request is in `exchange`, the same for both. Refuses to know TLS and
//! accepting. Read next: `h1`, then `exchange`.

mod challenge;
mod date;
mod download;
mod exchange;
mod h1;
mod h2;
mod io;
mod page;
mod plan;
mod send;
mod spans;
mod state;
#[cfg(test)]
mod tests;
mod unread;

use std::sync::Arc;

use hyper::rt::{Read, Write};
use portunus_certs::client_auth::ClientIdentity;

pub use super::clear::ClearStream;
use crate::access::AccessLog;
use crate::config::{HttpListener, Limits};
use crate::drain::DrainWatch;
use crate::forward::header::TlsFacts;
use crate::handshake::sites::SiteId;
use crate::limit::{Footprint, Memory};
use crate::metrics::{HttpVersion, ListenerMetrics};
use crate::net::{ClientAddr, Progress};
use crate::outcome::CloseReason;
use crate::route::Routes;
use crate::trace::Tracer;
use state::Connection;

/// What the connections of one listener have in common.
#[derive(Debug)]
pub struct HttpService {
    /// The name of the listener.
    pub name: Arc<str>,
    /// Every timeout and cap.
    pub limits: Arc<Limits>,
    /// What the listener counts.
    pub metrics: ListenerMetrics,
    /// What happens to which request.
    pub routes: Arc<Routes>,
    /// What is believed, told and refused.
    pub listener: HttpListener,
    /// Where requests are told of.
    pub access: AccessLog,
    /// Which requests are traced.
    pub tracer: Tracer,
    /// What is left of memory.
    pub memory: Arc<Memory>,
}

/// What is known of a connection before its first request.
#[derive(Clone, Debug)]
pub struct ConnectionFacts {
    /// Who asks: whom a PROXY header tells of, and without one the peer.
    pub client: ClientAddr,
    /// The port that the client connected to; a unix socket has none.
    pub local_port: Option<u16>,
    /// The name that the client asked for in its ClientHello.
    pub server_name: Option<Arc<str>>,
    /// Whose policy the connection was established under.
    pub site: SiteId,
    /// Who the client is, if it was authenticated.
    pub identity: Option<Arc<ClientIdentity>>,
    /// How TLS was established; `None` in the clear.
    pub tls: Option<TlsFacts>,
    /// Which software the client is like, if that is told.
    pub ja4: Option<Arc<str>>,
    /// Where it is told what the connection holds, if that is measured.
    pub footprint: Option<Arc<Footprint>>,
}

/// Serves requests that come over `io` until there are no more, and closes it.
pub async fn serve<I>(
    io: I,
    version: HttpVersion,
    service: Arc<HttpService>,
    facts: ConnectionFacts,
    watch: DrainWatch,
) -> CloseReason
where
    I: Read + Write + Progress + Unpin + Send + 'static,
{
    let connection = Connection::new(service, facts, version);
    match version {
        HttpVersion::H1 => Box::pin(h1::serve(io, connection, watch)).await,
        HttpVersion::H2 => Box::pin(h2::serve(io, connection, watch)).await,
    }
}

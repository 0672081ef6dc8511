//! A new connection to one address, within a time.
//!
//! Owns the dialling and [`DialError`], which tells refusal, silence and the rest apart. Refuses to
//! know which address is the right one, and whether to try another: the parent module decides.

use std::io;
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

use super::link::Link;
use super::tls::{Alpn, Encryption};
use super::upstream::SendFault;
use crate::net::{EndpointAddr, Keepalive, Socket};
use crate::outcome::BackendFailure;

/// Why an address could not be connected to.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// Nobody listens there.
    #[error("connection refused")]
    Refused(#[source] io::Error),
    /// The operating system has another reason.
    #[error("cannot connect")]
    System(#[source] io::Error),
    /// There was no answer in time.
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    /// As many connections as the endpoint may have are in use, and none came free in time.
    #[error("all connections are in use, and none came free within {0:?}")]
    Full(Duration),
    /// This machine has no port left to connect from.
    #[error("no local port is free")]
    Ports(#[source] io::Error),
    /// TLS or HTTP/2 was not agreed on.
    #[error("no secure connection")]
    Tls(#[source] io::Error),
    /// The process is about to end.
    #[error("the process is finishing")]
    Finishing,
    /// HTTP was not agreed on.
    #[error("the endpoint does not speak HTTP")]
    Http(#[source] SendFault),
}

impl DialError {
    /// The reason in metrics and logs.
    pub fn failure(&self) -> BackendFailure {
        match self {
            Self::Refused(_) => BackendFailure::ConnectRefused,
            Self::System(_) | Self::Finishing | Self::Http(_) => BackendFailure::Connect,
            Self::Full(_) => BackendFailure::Full,
            Self::Ports(_) => BackendFailure::PortsExhausted,
            Self::Tls(_) => BackendFailure::Tls,
            Self::Timeout(_) => BackendFailure::ConnectTimeout,
        }
    }
}

/// Connects to `addr` within `limit`, and establishes TLS if `secure` says how.
pub(super) async fn dial(
    addr: &EndpointAddr,
    limit: Duration,
    keepalive: &Keepalive,
    secure: Option<Secure<'_>>,
) -> Result<Link, DialError> {
    let dialling = async {
        let socket = open(addr).await.map_err(|error| classify(error, limit))?;
        socket.tune(keepalive).map_err(DialError::System)?;
        let Some(Secure { encryption, name, alpn }) = secure else {
            return Ok(Link::Clear(socket));
        };
        let stream = encryption.establish(socket, name.cloned(), alpn).await;
        stream.map(Link::Tls).map_err(DialError::Tls)
    };
    timeout(limit, dialling).await.unwrap_or(Err(DialError::Timeout(limit)))
}

/// How TLS is established with one endpoint.
pub(super) struct Secure<'a> {
    pub(super) encryption: &'a Encryption,
    pub(super) name: Option<&'a ServerName<'static>>,
    pub(super) alpn: Alpn,
}

async fn open(addr: &EndpointAddr) -> io::Result<Socket> {
    match addr {
        EndpointAddr::Tcp(addr) => TcpStream::connect(addr).await.map(Socket::Tcp),
        EndpointAddr::Unix(path) => UnixStream::connect(path).await.map(Socket::Unix),
    }
}

fn classify(error: io::Error, limit: Duration) -> DialError {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => DialError::Refused(error),
        // The kernel may give up before we do.
        io::ErrorKind::TimedOut => DialError::Timeout(limit),
        // A unix socket whose path is gone: nobody listens there either.
        io::ErrorKind::NotFound => DialError::Refused(error),
        io::ErrorKind::AddrNotAvailable => DialError::Ports(error),
        _ => DialError::System(error),
    }
}

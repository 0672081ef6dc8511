//! A new connection to one address, within a time.
//!
//! Owns the dialling and [`DialError`], which tells refusal, silence and the rest apart. Refuses to
//! know which address is the right one, and whether to try another: the parent module decides.

use std::io;
use std::time::Duration;

use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

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
}

impl DialError {
    /// The reason in metrics and logs.
    pub fn failure(&self) -> BackendFailure {
        match self {
            Self::Refused(_) => BackendFailure::ConnectRefused,
            Self::System(_) => BackendFailure::Connect,
            Self::Timeout(_) => BackendFailure::ConnectTimeout,
        }
    }
}

/// Connects to `addr` within `limit`.
pub(super) async fn dial(
    addr: &EndpointAddr,
    limit: Duration,
    keepalive: &Keepalive,
) -> Result<Socket, DialError> {
    let socket = match timeout(limit, open(addr)).await {
        Ok(Ok(socket)) => socket,
        Ok(Err(error)) => return Err(classify(error, limit)),
        Err(_) => return Err(DialError::Timeout(limit)),
    };
    socket.tune(keepalive).map_err(DialError::System)?;
    Ok(socket)
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
        _ => DialError::System(error),
    }
}

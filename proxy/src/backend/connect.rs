//! A new connection to one address, within a time.
//!
//! Owns the dialling and [`DialError`], which tells refusal, silence and the rest apart. Refuses to
//! know which address is the right one, and whether to try another: the parent module decides.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustix::io::Errno;
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{Instant, timeout_at};

use super::introduction::Herald;
use super::link::Link;
use super::starttls::{self, StarttlsError};
use super::tls::{Alpn, Encryption, EndpointTls, TlsError};
use super::upstream::SendFault;
use crate::net::{EndpointAddr, Keepalive, Socket};
use crate::outcome::BackendFailure;
use crate::starttls::Unwilling;

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
    /// As many attempts as the backend may have were going on all the time.
    #[error("no turn to connect within {0:?}")]
    NoTurn(Duration),
    /// This machine has no port left to connect from.
    #[error("no local port is free")]
    Ports(#[source] io::Error),
    /// The endpoint does not go on to TLS.
    #[error("the endpoint was asked for TLS in vain")]
    Starttls(#[source] StarttlsError),
    /// The endpoint was told of a client, and refuses it in the words of its protocol.
    #[error("the endpoint does not want the client that it was told of")]
    Unwelcome(#[source] StarttlsError),
    /// TLS or HTTP/2 was not agreed on.
    #[error("no secure connection")]
    Tls(#[source] Box<TlsError>),
    /// The endpoint speaks HTTP/2 alone, which is not what was asked for.
    #[error("the endpoint does not speak HTTP/1.1")]
    NoHttp1(#[source] Box<TlsError>),
    /// Somebody else, whose connection was waited for, did not get it.
    #[error(transparent)]
    Heard(Arc<Self>),
    /// The reason was told to others, who waited for the same connection.
    #[error(transparent)]
    Told(Arc<Self>),
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
            Self::Heard(error) | Self::Told(error) => error.failure(),
            Self::System(_) | Self::Finishing | Self::Http(_) => BackendFailure::Connect,
            Self::Full(_) => BackendFailure::Full,
            Self::Ports(_) => BackendFailure::PortsExhausted,
            Self::NoHttp1(_) => BackendFailure::Tls,
            Self::Starttls(_) | Self::Unwelcome(_) => BackendFailure::Starttls,
            Self::Tls(error) => error.failure(),
            Self::NoTurn(_) | Self::Timeout(_) => BackendFailure::ConnectTimeout,
        }
    }

    /// The reason itself, if several have it.
    pub fn reason(&self) -> &Self {
        match self {
            Self::Heard(error) | Self::Told(error) => error.reason(),
            _ => self,
        }
    }

    /// Whether it is we who lack something: a port, a descriptor, room or time; or who asked for
    /// what need not be, or on behalf of whom the endpoint does not want. That says nothing of the
    /// endpoint, and must not have all of them left out. What somebody else has noted already says
    /// nothing new.
    pub(super) fn is_ours(&self) -> bool {
        match self {
            Self::Finishing
            | Self::Full(_)
            | Self::NoHttp1(_)
            | Self::NoTurn(_)
            | Self::Heard(_)
            | Self::Ports(_)
            | Self::Unwelcome(_) => true,
            Self::Told(error) => error.is_ours(),
            Self::System(error) => {
                let scarce = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM];
                scarce.iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
            }
            Self::Http(_)
            | Self::Refused(_)
            | Self::Starttls(_)
            | Self::Timeout(_)
            | Self::Tls(_) => false,
        }
    }
}

/// The time that an attempt has.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limit {
    /// When it is over.
    pub(super) at: Instant,
    /// How long it was in the beginning.
    pub(super) of: Duration,
}

/// Connects to `addr` within `limit`, has `herald` say whom it is for, and establishes TLS if
/// `secure` says how.
pub(super) async fn dial(
    addr: &EndpointAddr,
    Limit { at, of }: Limit,
    keepalive: &Keepalive,
    herald: Option<Herald<'_>>,
    secure: Option<Secure<'_>>,
) -> Result<Link, DialError> {
    let dialling = async {
        let mut socket = open(addr).await.map_err(|error| classify(error, of))?;
        socket.tune(keepalive).map_err(DialError::System)?;
        let is_told_of_client = herald.is_some_and(|herald| herald.tells_of_client());
        if let Some(herald) = herald {
            herald.tell(&mut socket).await.map_err(DialError::System)?;
        }
        let Some(Secure { encryption, endpoint, alpn }) = secure else {
            return Ok(Link::Clear(socket));
        };
        if let Some(protocol) = encryption.starttls() {
            starttls::ask(&mut socket, protocol).await.map_err(|error| match error {
                StarttlsError::Unwilling(Unwilling::Refused) if is_told_of_client => {
                    DialError::Unwelcome(error)
                }
                _ => DialError::Starttls(error),
            })?;
        }
        let stream = encryption.establish(socket, endpoint, alpn).await;
        stream.map(Link::Tls).map_err(|error| match alpn {
            Alpn::Upgradable if error.is_no_protocol() => DialError::NoHttp1(Box::new(error)),
            _ => DialError::Tls(Box::new(error)),
        })
    };
    let start = Instant::now();
    timeout_at(at, dialling).await.unwrap_or_else(|_| {
        // An endpoint is not to blame for what was spent on waiting for a turn.
        let is_fair = at.duration_since(start) >= of / 2;
        Err(if is_fair { DialError::Timeout(of) } else { DialError::NoTurn(of) })
    })
}

/// How TLS is established with one endpoint.
pub(super) struct Secure<'a> {
    pub(super) encryption: &'a Encryption,
    pub(super) endpoint: &'a EndpointTls,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_this_machine_lacks_says_nothing_of_an_endpoint() {
        let is_ours = |errno: Errno| {
            let error = io::Error::from_raw_os_error(errno.raw_os_error());
            classify(error, Duration::from_secs(1)).is_ours()
        };
        for errno in [Errno::ADDRNOTAVAIL, Errno::MFILE, Errno::NFILE] {
            assert!(is_ours(errno), "{errno}");
        }
        for errno in [Errno::CONNREFUSED, Errno::TIMEDOUT, Errno::HOSTUNREACH, Errno::CONNRESET] {
            assert!(!is_ours(errno), "{errno}");
        }
    }
}

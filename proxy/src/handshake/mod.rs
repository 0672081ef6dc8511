//! From the first byte to an established TLS connection, under one deadline.
//!
//! Owns the stages: read the ClientHello (`hello`), choose site, certificate and TLS configuration
//! (`policy`), find the session that is offered (`resume`), finish the handshake (`tls`), say who
//! the client is (`client`), and the words to a client that gets none of it (`refusal`). The data
//! flows one way: [`establish`] consumes the socket and yields [`Established`], which alone knows
//! the server name, the site, the client and the protocol, or [`PassedThrough`], where TLS is the
//! endpoint's to establish. Refuses to know backends and HTTP. Read next: `policy`, then `resume`
//! and `tls`.

mod client;
mod compression;
mod facts;
pub mod hello;
pub mod introduction;
pub mod policy;
mod refusal;
pub mod resume;
pub mod sites;
pub mod starttls;
mod template;
pub mod tls;

use std::sync::Arc;
use std::time::Duration;

use portunus_certs::name::HostName;
use tokio::time::{Instant, timeout_at};

use crate::config::Limits;
use crate::limit::Admission;
use crate::metrics::Meter;
use crate::net::Socket;
use crate::outcome::HandshakeFailure;

pub use client::{Authentication, Unidentified};
pub use facts::{Facts, OwnCertificate, Protocol};
pub use refusal::tell;

use hello::{Hello, HelloError};
use policy::{Choice, Policy, Refused, Terms};
use resume::Attempt;
use resume::Clients::{Anonymous, Authenticated};
use sites::SiteId;
use tls::TlsStream;

/// A connection on which TLS is to begin.
#[derive(Debug)]
pub struct Start {
    /// The connection.
    pub socket: Socket,
    /// What was read of the ClientHello already.
    pub early: Vec<u8>,
    /// What the client has to offer by ALPN to be understood at all, if anything.
    pub protocol: Option<&'static [u8]>,
    /// When the client could first have sent its ClientHello.
    pub at: Instant,
}

/// What a ClientHello came to.
#[derive(Debug)]
pub enum Arrival {
    /// TLS ends here, and stands.
    Established(Established),
    /// TLS ends at the endpoint.
    PassedThrough(PassedThrough),
}

/// A connection whose TLS is the endpoint's to establish: nothing was said to the client yet.
#[derive(Debug)]
pub struct PassedThrough {
    /// The connection, without what was read of it.
    pub socket: Socket,
    /// What was read of it, for the endpoint: the ClientHello and whatever came behind.
    pub hello: Vec<u8>,
    /// What the client asked for; `None` for clients that name nobody.
    pub server_name: Option<HostName>,
    /// The site that it asked for.
    pub site: SiteId,
}

/// A connection whose TLS stands.
#[derive(Debug)]
pub struct Established {
    /// The stream of clear text.
    pub stream: TlsStream,
    /// What became known.
    pub facts: Facts,
}

/// Establishes TLS within the limits, or finds out that this is the endpoint's to do.
///
/// A client that is refused is told why, in an alert or, if it speaks plain HTTP, in words.
pub async fn establish(
    start: Start,
    policy: &Policy,
    limits: &Limits,
    admission: &mut Admission,
    meter: Arc<Meter>,
) -> Result<Arrival, HandshakeError> {
    let Start { mut socket, early, protocol, at } = start;
    let hello_deadline = at + limits.client_hello_timeout.min(limits.handshake_timeout);
    let hello = hello::read(&mut socket, &early, limits.client_hello_bytes_max);
    let hello = match timeout_at(hello_deadline, hello).await {
        Ok(Ok(hello)) => hello,
        Ok(Err(error)) => {
            let (words, error) = error.into_parts();
            tell(socket, &words).await;
            return Err(HandshakeError::new(None, Cause::Hello(error)));
        }
        Err(_) => {
            let cause = Cause::Timeout(HandshakeFailure::TimeoutHello, at.elapsed());
            return Err(HandshakeError::new(None, cause));
        }
    };
    let name = hello.server_name();
    #[cfg(debug_assertions)]
    name.iter().for_each(|name| crate::fault::strike(name.as_str()));
    let chosen = match protocol {
        Some(protocol) if !hello.offers_protocol(protocol) => Err(Refused::NoProtocol),
        Some(_) | None => policy.choose(&hello),
    };
    let terms = match chosen {
        Ok(Choice::Terminate(terms)) => *terms,
        Ok(Choice::PassThrough(site)) => {
            let passed =
                PassedThrough { socket, hello: hello.into_bytes(), server_name: name, site };
            return Ok(Arrival::PassedThrough(passed));
        }
        Err(refused) => {
            tell(socket, &refused.alert()).await;
            return Err(HandshakeError::new(name, Cause::Refused(refused)));
        }
    };
    let deadline = at + limits.handshake_timeout;
    let finish = Box::pin(finish(socket, hello, terms, policy, admission, meter));
    match timeout_at(deadline, finish).await {
        Ok(Ok(established)) => Ok(Arrival::Established(established)),
        Ok(Err(cause)) => Err(HandshakeError::new(name, cause)),
        Err(_) => {
            let cause = Cause::Timeout(HandshakeFailure::Timeout, at.elapsed());
            Err(HandshakeError::new(name, cause))
        }
    }
}

/// Finds the session that is offered, runs the handshake, and says who the client is; an alert of
/// ours is sent before the error is returned. There is none for a client whose handshake is over
/// and who is not who it has to be: rustls sends none of ours by then, and the connection ends.
async fn finish(
    socket: Socket,
    hello: Hello,
    terms: Terms,
    policy: &Policy,
    admission: &mut Admission,
    meter: Arc<Meter>,
) -> Result<Established, Cause> {
    let Terms { site, authentication, context, certificate, mut config } = terms;
    let attempt = match context {
        Some(context) => {
            let clients = authentication.as_ref().map_or(Anonymous, |_| Authenticated);
            policy.resumption().prepare(&mut config, context, clients, &hello).await
        }
        None => Attempt::none(hello.offer()),
    };
    let name = hello.server_name();
    let Ok(turn) = admission.turn(attempt.cost).await else {
        socket.reset_on_close();
        return Err(Cause::SourceRate);
    };
    // Here keys are exchanged and signed.
    let connection = hello.into_connection(Arc::new(config));
    drop(turn);
    let connection = match connection {
        Ok(connection) => connection,
        Err((error, mut alert)) => {
            tell(socket, &refusal::alert_bytes(&mut alert)).await;
            return Err(Cause::Tls(tls::TlsError::Tls(error)));
        }
    };
    let mut stream = TlsStream::new(socket, connection, meter);
    if let Err(error) = stream.handshake().await {
        let (socket, words) = stream.into_last_words();
        tell(socket, &words).await;
        return Err(Cause::Tls(error));
    }
    match stream.identify(authentication.as_ref()) {
        Ok(client) => {
            let facts = stream.facts(name, site, client, &attempt, certificate);
            Ok(Established { stream, facts })
        }
        Err(error) => {
            // What rustls would still say is the next session, which this client must not have.
            // The one that it came with would bring it here again, if it is not forgotten.
            attempt.forget().await;
            Err(Cause::Tls(error))
        }
    }
}

/// Why a connection never became one, and whom the client asked for.
#[derive(Debug, thiserror::Error)]
#[error("{}", self.words())]
pub struct HandshakeError {
    server_name: Option<HostName>,
    #[source]
    cause: Cause,
}

#[derive(Debug, thiserror::Error)]
enum Cause {
    #[error(transparent)]
    Hello(HelloError),
    #[error(transparent)]
    Refused(Refused),
    #[error("its source had as many within a second as it may")]
    SourceRate,
    #[error("the limit ended it after {} ms", .1.as_millis())]
    Timeout(HandshakeFailure, Duration),
    #[error(transparent)]
    Tls(tls::TlsError),
}

impl HandshakeError {
    fn new(server_name: Option<HostName>, cause: Cause) -> Self {
        Self { server_name, cause }
    }

    /// What the client asked for, as far as it came.
    pub fn server_name(&self) -> Option<&HostName> {
        self.server_name.as_ref()
    }

    /// The reason as metrics and logs have it.
    pub fn failure(&self) -> HandshakeFailure {
        match &self.cause {
            Cause::Hello(error) => error.failure(),
            Cause::Refused(refused) => refused.failure(),
            Cause::SourceRate => HandshakeFailure::SourceRate,
            Cause::Timeout(failure, _) => *failure,
            Cause::Tls(error) => error.failure(),
        }
    }

    fn words(&self) -> &'static str {
        match &self.cause {
            Cause::Hello(_) => "no ClientHello",
            Cause::Refused(_) => "no certificate to show",
            Cause::SourceRate => "too many handshakes",
            Cause::Timeout(..) => "too slow",
            Cause::Tls(_) => "no TLS",
        }
    }
}

#[cfg(test)]
mod tests;

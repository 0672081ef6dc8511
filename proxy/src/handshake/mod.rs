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
pub mod reason;
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
use crate::limit::{Admission, Cost};
use crate::metrics::Meter;
use crate::net::Socket;
use crate::outcome::HandshakeFailure;

pub use client::{Authentication, Unidentified};
pub use facts::{Facts, OwnCertificate, Protocol};
pub use hello::profile::Profile;
pub use refusal::tell;

use hello::{Hello, HelloError, Incomplete};
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

/// Establishes TLS within the limits, or finds out that this is the endpoint's to do. Which
/// `policy` holds is asked once the ClientHello is complete.
///
/// A client that is refused is told why, in an alert or, if it speaks plain HTTP, in words.
pub async fn establish<'p>(
    start: Start,
    policy: impl FnOnce() -> &'p Policy,
    limits: &Limits,
    admission: &mut Admission,
    meter: Arc<Meter>,
) -> Result<Arrival, HandshakeError> {
    let Start { mut socket, early, protocol, at } = start;
    let mut hello = match hear(&mut socket, &early, at, limits).await {
        Ok(hello) => hello,
        Err((words, error)) => {
            tell(socket, &words).await;
            return Err(error);
        }
    };
    let policy = policy();
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
            let hello = hello.take_bytes();
            let passed = PassedThrough { socket, hello, server_name: name, site };
            return Ok(Arrival::PassedThrough(passed));
        }
        Err(refused) => {
            tell(socket, &refused.alert()).await;
            return Err(HandshakeError::new(hello.take_bytes(), Cause::Refused(refused)));
        }
    };
    let deadline = at + limits.handshake_timeout;
    let mut said = Vec::new();
    let finish = Box::pin(finish(socket, hello, &mut said, terms, policy, admission, meter));
    match timeout_at(deadline, finish).await {
        Ok(Ok(mut established)) => {
            if policy.tells_ja4() {
                established.facts.ja4 = Profile::parse(&said).ja4;
            }
            Ok(Arrival::Established(established))
        }
        Ok(Err(cause)) => Err(HandshakeError::new(said, cause)),
        Err(_) => {
            let cause = Cause::Timeout(HandshakeFailure::Timeout, at.elapsed());
            Err(HandshakeError::new(said, cause))
        }
    }
}

/// Reads the ClientHello in its time; an error comes with the last words to the client.
async fn hear(
    socket: &mut Socket,
    early: &[u8],
    at: Instant,
    limits: &Limits,
) -> Result<Hello, (Vec<u8>, HandshakeError)> {
    let deadline = at + limits.client_hello_timeout.min(limits.handshake_timeout);
    let mut hello = Incomplete::default();
    let read = hello::read(&mut hello, socket, early, limits.client_hello_bytes_max);
    let (words, cause) = match timeout_at(deadline, read).await {
        Ok(Ok(hello)) => return Ok(hello),
        Ok(Err(error)) => {
            let (words, error) = error.into_parts();
            (words, Cause::Hello(error))
        }
        Err(_) => (Vec::new(), Cause::Timeout(HandshakeFailure::TimeoutHello, at.elapsed())),
    };
    Err((words, HandshakeError::new(hello.into_bytes(), cause)))
}

/// Finds the session that is offered, runs the handshake, and says who the client is; an alert of
/// ours is sent before the error is returned. There is none for a client whose handshake is over
/// and who is not who it has to be: rustls sends none of ours by then, and the connection ends.
/// What the client had said is left in `said`.
async fn finish(
    socket: Socket,
    mut hello: Hello,
    said: &mut Vec<u8>,
    terms: Terms,
    policy: &Policy,
    admission: &mut Admission,
    meter: Arc<Meter>,
) -> Result<Established, Cause> {
    let Terms { site, authentication, context, certificate, mut config } = terms;
    let attempt = match context {
        Some(context) => {
            let clients = authentication.as_ref().map_or(Anonymous, |_| Authenticated);
            let key = certificate.key;
            policy.resumption().prepare(&mut config, context, clients, key, &hello).await
        }
        None => Attempt::none(hello.offer()),
    };
    let name = hello.server_name();
    *said = hello.take_bytes();
    let Ok(turn) = admission.turn(attempt.cost).await else {
        socket.reset_on_close();
        return Err(Cause::SourceRate);
    };
    // Here keys are exchanged and signed, unless the client has to say it in another way.
    let connection = hello.into_connection(Arc::new(config));
    drop(turn);
    let connection = match connection {
        Ok(connection) => connection,
        Err((error, mut alert)) => {
            tell(socket, &refusal::alert_bytes(&mut alert)).await;
            return Err(Cause::Tls(tls::TlsError::Tls(reason::Broken(error))));
        }
    };
    let mut stream = TlsStream::new(socket, connection, meter);
    let handshaken = match hear_again(&mut stream, admission).await {
        Ok(()) => stream.handshake().await.map_err(Cause::Tls),
        Err(cause) => Err(cause),
    };
    match handshaken {
        Ok(()) => {}
        Err(cause @ Cause::SourceRate) => {
            stream.socket().reset_on_close();
            return Err(cause);
        }
        Err(cause) => {
            let (socket, words) = stream.into_last_words();
            tell(socket, &words).await;
            return Err(cause);
        }
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

/// Takes the ClientHello of a client that was asked for another one, if it was (RFC 8446 §4.1.4).
/// What it says now decides what it costs; one that resumes all the same gets back what it pays.
async fn hear_again(stream: &mut TlsStream, admission: &mut Admission) -> Result<(), Cause> {
    while stream.awaits_another_hello() {
        stream.hear().await.map_err(Cause::Tls)?;
        let turn = admission.turn(Cost::Full).await.map_err(|_| Cause::SourceRate)?;
        let taken = stream.take_heard();
        drop(turn);
        taken.map_err(Cause::Tls)?;
    }
    Ok(())
}

/// Why a connection never became one, and what the client had said until then.
#[derive(Debug, thiserror::Error)]
#[error("{}", self.words())]
pub struct HandshakeError {
    said: Vec<u8>,
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
    fn new(said: Vec<u8>, cause: Cause) -> Self {
        Self { said, cause }
    }

    /// What the client has told of itself; nothing, if its ClientHello is not complete.
    pub fn profile(&self) -> Profile {
        Profile::parse(&self.said)
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
            Cause::Hello(HelloError::OldVersion(_)) => "no version in common",
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

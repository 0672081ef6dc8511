//! What a client says before its TLS, on listeners whose protocol begins in the clear.
//!
//! Owns which dialogue is led, and which backend is heard while it lasts: none where TLS is
//! required, since only TLS tells the site; that of the first site for MySQL, whose greeting the
//! client has to see, and for a client that does without TLS. Refuses to know what is said. Read
//! next: `handshake::starttls`.

use std::future::{Future, pending};

use tokio::time::Instant;

use super::Origin;
use super::report::Report;
use super::tunnel::{self, Known, Way};
use crate::backend::Dedicated;
use crate::config::{Starttls, StarttlsProtocol, WithoutTls};
use crate::forward::tcp::inquiry::Inquiry;
use crate::forward::tcp::mysql;
use crate::forward::tcp::opening::OpeningError;
use crate::handshake::sites::SiteId;
use crate::handshake::starttls::{Conversed, NoBackend, StarttlsError, converse, dialogue};
use crate::handshake::{Start, tell};
use crate::net::Socket;
use crate::outcome::CloseReason;
use crate::snapshot::Snapshot;
use crate::starttls::Refusal;
use crate::starttls::mysql::{Opening, Packet, Server};
use crate::starttls::postgresql;

/// What a dialogue came to.
pub(super) enum Prelude {
    /// The client goes on in the clear, and has said this.
    Clear(Socket, Vec<u8>, Way),
    /// The connection is over.
    Over(CloseReason),
    /// The client begins its TLS.
    Tls(Start, Way),
}

/// Leads the dialogue that `rule` asks for.
pub(super) async fn lead(
    socket: Socket,
    rule: &Starttls,
    snapshot: &Snapshot,
    origin: &Origin,
    report: &mut Report<'_>,
) -> Prelude {
    let deadline = Instant::now() + snapshot.limits.starttls_timeout;
    let Some(mut dialogue) = dialogue(rule) else {
        return lead_mysql(socket, rule, snapshot, origin, report).await;
    };
    let asked = (rule.protocol, rule.without_tls) == (StarttlsProtocol::Smtp, WithoutTls::Allowed);
    let (conversed, way) = match tunnel::backend(snapshot, SiteId::FIRST).filter(|_| asked) {
        Some(backend) => {
            let local = socket.local_addr();
            let introduction = tunnel::introduction(backend, Known::Nothing, origin, local);
            let mut inquiry = Inquiry::new(backend, origin.client, introduction, deadline);
            let conversed = converse(socket, &mut *dialogue, &mut inquiry, deadline).await;
            // Whoever comes to TLS gets a connection on which nothing was said.
            let kept = inquiry.into_connection().filter(|_| is_clear(&conversed));
            (conversed, kept.map_or(Way::New, |connection| Way::Kept(Box::new(connection))))
        }
        None => {
            let conversed = converse(socket, &mut *dialogue, &mut NoBackend, deadline).await;
            (conversed, Way::New)
        }
    };
    conclude(conversed, rule, way, report)
}

/// The same for MySQL, whose backend greets first.
async fn lead_mysql(
    socket: Socket,
    rule: &Starttls,
    snapshot: &Snapshot,
    origin: &Origin,
    report: &mut Report<'_>,
) -> Prelude {
    let Some(backend) = tunnel::backend(snapshot, SiteId::FIRST) else {
        return Prelude::Over(CloseReason::Internal);
    };
    let connected = tunnel::connect_alone(backend, origin, socket.local_addr(), report);
    let Some(connected) = unless_gone(&socket, connected).await else {
        return conclude(Err(StarttlsError::Closed), rule, Way::New, report);
    };
    let mut connection = match connected {
        Ok(connection) => Box::new(connection),
        Err(reason) => {
            report.miss_backend();
            return Prelude::Over(reason);
        }
    };
    // A database greets as soon as it is connected to.
    let deadline = Instant::now() + snapshot.limits.connect_timeout;
    let heard = mysql::hear(&mut connection.link, deadline);
    let Some(heard) = unless_gone(&socket, heard).await else {
        return conclude(Err(StarttlsError::Closed), rule, Way::New, report);
    };
    let (error, words) = match heard {
        Ok(Opening::Greeting(greeting)) => {
            return lead_mysql_on(socket, rule, (connection, greeting), snapshot, report).await;
        }
        Ok(Opening::Refusal(refusal)) => (OpeningError::Refused, refusal.bytes()),
        Err(error) => (error, Vec::new()),
    };
    tell(socket, &words).await;
    report.miss_backend();
    report.explain(&error);
    backend.charge(error.failure());
    Prelude::Over(error.reason())
}

/// The same once the backend has greeted.
async fn lead_mysql_on(
    socket: Socket,
    rule: &Starttls,
    (connection, greeting): (Box<Dedicated>, Packet),
    snapshot: &Snapshot,
    report: &mut Report<'_>,
) -> Prelude {
    let deadline = Instant::now() + snapshot.limits.starttls_timeout;
    let mut dialogue = Server::new(greeting.clone(), rule.without_tls);
    let conversed = converse(socket, &mut dialogue, &mut NoBackend, deadline).await;
    let way = match is_clear(&conversed) {
        true => Way::Kept(connection),
        false => Way::Login(connection, greeting),
    };
    conclude(conversed, rule, way, report)
}

/// Waits for `wait`, but for no client that has closed the connection.
async fn unless_gone<T>(socket: &Socket, wait: impl Future<Output = T>) -> Option<T> {
    let gone = async {
        match socket.peek(&mut [0]).await {
            Ok(0) | Err(_) => {}
            // Whoever says something is there, as far as can be seen without reading it.
            Ok(_) => pending().await,
        }
    };
    tokio::select! {
        biased;
        done = wait => Some(done),
        () = gone => None,
    }
}

fn conclude(
    conversed: Result<Conversed, StarttlsError>,
    rule: &Starttls,
    way: Way,
    report: &mut Report<'_>,
) -> Prelude {
    report.converse(rule.protocol, &conversed);
    let (socket, early, protocol) = match conversed {
        Ok(Conversed::Clear { socket, start }) => return Prelude::Clear(socket, start, way),
        Ok(Conversed::Upgraded { socket }) => (socket, Vec::new(), None),
        Ok(Conversed::DirectTls { socket, start }) => {
            let is_postgresql = rule.protocol == StarttlsProtocol::Postgresql;
            (socket, start, is_postgresql.then_some(postgresql::ALPN))
        }
        Err(StarttlsError::Quit) => return Prelude::Over(CloseReason::Done),
        Err(StarttlsError::Refused(Refusal::Backend)) => {
            return Prelude::Over(CloseReason::BackendError);
        }
        Err(StarttlsError::Timeout) => return Prelude::Over(CloseReason::Timeout),
        Err(_) => return Prelude::Over(CloseReason::Handshake),
    };
    Prelude::Tls(Start { socket, early, protocol, at: Instant::now() }, way)
}

fn is_clear(conversed: &Result<Conversed, StarttlsError>) -> bool {
    matches!(conversed, Ok(Conversed::Clear { .. }))
}

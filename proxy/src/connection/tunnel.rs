//! The way of bytes: from a client's stream to an endpoint of its site's backend, and back.
//!
//! Owns the sequence route → connect → greet → join, and how the client is introduced to the
//! endpoint. Refuses to know how a client's stream came about. Read next: `forward::tcp`.

use std::error::Error;
use std::net::SocketAddr;

use http::HeaderMap;
use portunus_certs::name::HostName;
use tokio::time::Instant;
use tracing::debug;

use super::report::Report;
use super::{Forwarding, Origin};
use crate::backend::{Backend, ConnectError, Dedicated};
use crate::config::StarttlsProtocol;
use crate::forward::tcp::downstream::Downstream;
use crate::forward::tcp::greeting::{self, Greeting};
use crate::forward::tcp::{self, Terms, mysql, postgresql};
use crate::handshake::Facts;
use crate::handshake::introduction::introduce;
use crate::handshake::sites::SiteId;
use crate::log::Chain;
use crate::outcome::CloseReason;
use crate::proxy_protocol::Introduction;
use crate::route::Site;
use crate::snapshot::{Service, Snapshot};
use crate::starttls::mysql::Packet;

/// How the way to an endpoint begins.
pub(super) enum Way {
    /// With a connection that is there, and on which the client has been heard.
    Kept(Box<Dedicated>),
    /// With a connection that is there, and on which the client, who has seen this greeting, still
    /// has to log in to MySQL.
    Login(Box<Dedicated>, Packet),
    /// With a new connection.
    New,
}

/// What is known of a client beside where it came from.
#[derive(Clone, Copy, Debug)]
pub(super) enum Known<'a> {
    /// For which site TLS passes through, and by which name.
    Name(SiteId, Option<&'a HostName>),
    /// Nothing.
    Nothing,
    /// How it came under TLS.
    Tls(&'a Facts),
}

/// The backend of `site`, where bytes are forwarded.
pub(super) fn backend(snapshot: &Snapshot, site: SiteId) -> Option<&Backend> {
    match &snapshot.service {
        Service::Http(_) => None,
        Service::Tcp(routes) => routes.of_site(site).and_then(Site::backend).map(|b| &**b),
    }
}

/// Connects while there is nothing to be sent to the client, which came to `local`.
pub(super) async fn connect_alone(
    backend: &Backend,
    origin: &Origin,
    local: Option<SocketAddr>,
    report: &mut Report<'_>,
) -> Result<Dedicated, CloseReason> {
    let key = backend.balance_key(origin.client, &HeaderMap::new());
    let introduction = introduction(backend, Known::Nothing, origin, local);
    let connected = backend.connect(key, &introduction).await;
    connected.map_err(|error| unreachable(&error, origin, report))
}

/// How the client that came to `local` is introduced to endpoints of `backend`.
pub(super) fn introduction(
    backend: &Backend,
    known: Known<'_>,
    origin: &Origin,
    local: Option<SocketAddr>,
) -> Introduction {
    if !backend.introduces() {
        return Introduction::default();
    }
    let say = |facts| introduce(origin.introduction.as_deref(), origin.client, local, facts);
    match known {
        Known::Name(_, name) => Introduction {
            authority: name.map(|name| name.as_str().to_owned().into()),
            ..say(None)
        },
        Known::Nothing => say(None),
        Known::Tls(facts) => say(Some(facts)),
    }
}

/// Connects `stream`, of whose client this much is `known`, with an endpoint; what is left to do
/// is to join them.
pub(super) async fn begin<'s, C: Downstream + 's>(
    mut stream: C,
    known: Known<'_>,
    way: Way,
    snapshot: &'s Snapshot,
    origin: &Origin,
    report: &mut Report<'_>,
) -> Result<Forwarding<'s>, CloseReason> {
    let site = match known {
        Known::Name(site, _) => site,
        Known::Nothing => SiteId::FIRST,
        Known::Tls(facts) => facts.site,
    };
    let backend = backend(snapshot, site).ok_or(CloseReason::Internal)?;
    report.choose(backend.name());
    let upstream = reach(&mut stream, (backend, known), way, snapshot, origin, report).await?;
    report.reach(upstream.addr());
    let terms = Terms {
        limits: &snapshot.limits,
        on_truncation: snapshot.on_truncation,
        listener: &snapshot.metrics,
        backend: backend.metrics(),
    };
    Ok(Box::pin(tcp::join(stream, upstream, terms)))
}

/// Sees to it that client and endpoint can be joined.
async fn reach<C: Downstream>(
    stream: &mut C,
    (backend, known): (&Backend, Known<'_>),
    way: Way,
    snapshot: &Snapshot,
    origin: &Origin,
    report: &mut Report<'_>,
) -> Result<Dedicated, CloseReason> {
    let deadline = Instant::now() + snapshot.limits.starttls_timeout;
    match way {
        Way::New => {
            let spoken = snapshot.starttls.as_ref().map(|rule| rule.protocol);
            let local = stream.socket().local_addr();
            let introduction = introduction(backend, known, origin, local);
            let connected = tcp::connect(stream, origin.client, backend, &introduction).await;
            let mut upstream = match connected {
                Ok(upstream) => upstream,
                Err(error) => {
                    greeting::decline(stream, spoken.or(backend.starttls())).await;
                    return Err(unreachable(&error, origin, report));
                }
            };
            // Under TLS of ours, or passed through, clients offer what fits.
            let asked_in_clear = backend.starttls().filter(|_| matches!(known, Known::Nothing));
            if asked_in_clear == Some(StarttlsProtocol::Postgresql) {
                let begun = postgresql::begin(stream, &mut upstream.link, deadline).await;
                begun.map_err(|error| {
                    backend.charge(error.failure());
                    told(&error, origin, error.reason())
                })?;
            } else {
                greet(stream, &mut upstream, backend, snapshot, origin).await?;
            }
            Ok(upstream)
        }
        Way::Kept(upstream) => Ok(*upstream),
        Way::Login(mut upstream, greeting) => {
            let login = mysql::log_in(stream, &mut upstream.link, &greeting, deadline).await;
            login.map_err(|error| {
                backend.charge(error.failure());
                told(&error, origin, error.reason())
            })?;
            Ok(*upstream)
        }
    }
}

/// Sees to it that both are greeted, or nobody is to be.
async fn greet<C: Downstream>(
    stream: &mut C,
    upstream: &mut Dedicated,
    backend: &Backend,
    snapshot: &Snapshot,
    origin: &Origin,
) -> Result<(), CloseReason> {
    let rule = snapshot.starttls.as_ref();
    let name = rule.map_or(LOCAL_NAME, |rule| &rule.greeting_name);
    let greeting = Greeting::between(rule.map(|rule| rule.protocol), backend.starttls(), name);
    let deadline = Instant::now() + snapshot.limits.starttls_timeout;
    greeting::exchange(stream, upstream, greeting, deadline).await.map_err(|error| {
        backend.charge(error.failure());
        told(&error, origin, error.reason())
    })
}

/// `reason`, after the log was told of it.
fn told(error: &(dyn Error + 'static), origin: &Origin, reason: CloseReason) -> CloseReason {
    let Origin { peer, client, .. } = origin;
    debug!(%peer, %client, error = %Chain(error), "client and endpoint were not joined");
    reason
}

fn unreachable(error: &ConnectError, origin: &Origin, report: &mut Report<'_>) -> CloseReason {
    if let Some(endpoint) = error.endpoint() {
        report.reach(endpoint);
    }
    let Origin { peer, client, .. } = origin;
    debug!(%peer, %client, error = %Chain(error), "no backend");
    CloseReason::BackendUnreachable
}

/// What we call ourselves to clients that come without TLS, and so from near by.
const LOCAL_NAME: &str = "localhost";

//! The way of bytes: from a client's stream to an endpoint of its site's backend, and back.
//!
//! Owns the sequence route → connect → greet → join. Refuses to know how a client's stream came
//! about. Read next: `forward::tcp`.

use http::HeaderMap;
use tokio::time::Instant;
use tracing::debug;

use super::Origin;
use crate::backend::{Backend, ConnectError, Dedicated};
use crate::forward::tcp::downstream::Downstream;
use crate::forward::tcp::greeting::{self, Greeting};
use crate::forward::tcp::{self, Terms, mysql};
use crate::handshake::sites::SiteId;
use crate::log::Chain;
use crate::outcome::CloseReason;
use crate::route::Site;
use crate::snapshot::{Service, Snapshot};

/// How the way to an endpoint begins.
pub(super) enum Way {
    /// With a connection that is there, and on which the client has been heard.
    Kept(Box<Dedicated>),
    /// With a connection that is there, and on which the client still has to log in to MySQL.
    Login(Box<Dedicated>),
    /// With a new connection.
    New,
}

/// The backend of `site`, where bytes are forwarded.
pub(super) fn backend(snapshot: &Snapshot, site: SiteId) -> Option<&Backend> {
    match &snapshot.service {
        Service::Http(_) => None,
        Service::Tcp(routes) => routes.of_site(site).and_then(Site::backend).map(|b| &**b),
    }
}

/// Connects while there is nothing to be sent to the client.
pub(super) async fn connect_alone(
    backend: &Backend,
    origin: &Origin,
) -> Result<Dedicated, CloseReason> {
    let key = backend.balance_key(origin.client, &HeaderMap::new());
    backend.connect(key).await.map_err(|error| unreachable(&error, origin))
}

/// Joins `stream`, which is for `site`, with an endpoint.
pub(super) async fn serve<C: Downstream>(
    mut stream: C,
    site: SiteId,
    way: Way,
    snapshot: &Snapshot,
    origin: Origin,
) -> CloseReason {
    let Some(backend) = backend(snapshot, site) else { return CloseReason::Internal };
    let begun = Box::pin(begin(&mut stream, backend, way, snapshot, &origin)).await;
    drop(origin);
    match begun {
        Ok(upstream) => {
            let terms = Terms {
                limits: &snapshot.limits,
                on_truncation: snapshot.on_truncation,
                listener: &snapshot.metrics,
                backend: backend.metrics(),
            };
            Box::pin(tcp::join(stream, upstream, terms)).await
        }
        Err(reason) => reason,
    }
}

/// Sees to it that client and endpoint can be joined: both are greeted, or nobody is to be.
async fn begin<C: Downstream>(
    stream: &mut C,
    backend: &Backend,
    way: Way,
    snapshot: &Snapshot,
    origin: &Origin,
) -> Result<Dedicated, CloseReason> {
    let deadline = Instant::now() + snapshot.limits.starttls_timeout;
    let mut upstream = match way {
        Way::New => tcp::connect(stream, origin.client, backend)
            .await
            .map_err(|error| unreachable(&error, origin))?,
        Way::Kept(upstream) => return Ok(*upstream),
        Way::Login(mut upstream) => {
            let login = mysql::log_in(stream, &mut upstream.link, deadline).await;
            login.map_err(|error| {
                debug!(peer = %origin.peer, error = %Chain(&error), "no login");
                error.reason()
            })?;
            return Ok(*upstream);
        }
    };
    let rule = snapshot.starttls.as_ref();
    let name = rule.map_or(LOCAL_NAME, |rule| &rule.greeting_name);
    let greeting = Greeting::between(rule.map(|rule| rule.protocol), backend.starttls(), name);
    greeting::exchange(stream, &mut upstream, greeting, deadline).await.map_err(|error| {
        if let Some(failure) = error.failure() {
            backend.metrics().errors.of(failure).inc();
        }
        debug!(peer = %origin.peer, error = %Chain(&error), "no greeting");
        error.reason()
    })?;
    Ok(upstream)
}

fn unreachable(error: &ConnectError, origin: &Origin) -> CloseReason {
    debug!(peer = %origin.peer, error = %Chain(error), "no backend");
    CloseReason::BackendUnreachable
}

/// What we call ourselves to clients that come without TLS, and so from near by.
const LOCAL_NAME: &str = "localhost";

//! The way of bytes: from a client's stream to an endpoint of its site's backend, and back.
//!
//! Owns the sequence route → connect → join. Refuses to know how a client's stream came about.
//! Read next: `forward::tcp`.

use tracing::debug;

use super::Origin;
use crate::forward::tcp::downstream::Downstream;
use crate::forward::tcp::{self, Terms};
use crate::handshake::sites::SiteId;
use crate::log::Chain;
use crate::outcome::CloseReason;
use crate::route::{Routes, Site};
use crate::snapshot::Snapshot;

/// Joins `stream`, which is for `site`, with an endpoint.
pub(super) async fn serve<C: Downstream>(
    mut stream: C,
    routes: &Routes,
    site: SiteId,
    snapshot: &Snapshot,
    origin: Origin,
) -> CloseReason {
    let Some(backend) = routes.of_site(site).and_then(Site::backend) else {
        return CloseReason::Internal;
    };
    match Box::pin(tcp::connect(&mut stream, origin.client, backend)).await {
        Ok(upstream) => {
            let terms = Terms {
                limits: &snapshot.limits,
                on_truncation: snapshot.on_truncation,
                listener: &snapshot.metrics,
                backend: backend.metrics(),
            };
            Box::pin(tcp::join(stream, upstream, terms)).await
        }
        Err(error) => {
            debug!(peer = %origin.peer, error = %Chain(&error), "no backend");
            CloseReason::BackendUnreachable
        }
    }
}

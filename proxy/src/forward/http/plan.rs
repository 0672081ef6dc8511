//! What will be done with a request, decided before anything is.
//!
//! Owns the decision: whether the request may pass at all, which site and route it is for, what its
//! head will be. Refuses to know connections to endpoints. Read next: `send`.

use std::sync::Arc;

use http::{HeaderValue, Request, StatusCode};
use tokio::time::Instant;

use super::state::Connection;
use crate::backend::{Backend, Upload, UploadProgress};
use crate::body::Incoming;
use crate::forward::header::{self, ClientCertError, Forwarded, Protocol, Refusal};
use crate::route::Misdirected;

/// A request that may be forwarded, and where to.
pub(super) struct Plan {
    pub(super) backend: Arc<Backend>,
    pub(super) protocol: Protocol,
    pub(super) request: Option<Request<Upload>>,
    /// `None` if the request has no body.
    pub(super) progress: Option<Arc<UploadProgress>>,
    pub(super) start: Instant,
}

impl Plan {
    pub(super) fn new(
        connection: &Connection,
        request: Request<Incoming>,
        id: &HeaderValue,
    ) -> Result<Self, Refusal> {
        let limits = &connection.service.limits.http;
        let (mut parts, body) = request.into_parts();
        let vetted = header::vet(&parts, connection.server_name.as_deref(), limits)?;
        let backend = connection.service.routes.backend(vetted.host.name(), connection.site);
        let backend = Arc::clone(backend.map_err(misdirected)?);
        let client_cert = connection.client_cert.as_ref().map_err(|error| untold(error, id))?;
        let upload = Upload::new(body, limits, header::clean_trailers);
        let progress = upload.progress();
        let ours = Forwarded {
            client: connection.client_ip.as_ref(),
            port: connection.local_port.as_ref(),
            request_id: id.clone(),
            client_cert,
        };
        header::forward(&mut parts, &vetted, ours, progress.is_some());
        // What hyper has attached concerns the connection of the client.
        parts.extensions.clear();
        Ok(Self {
            backend,
            protocol: vetted.protocol,
            request: Some(Request::from_parts(parts, upload)),
            progress,
            start: Instant::now(),
        })
    }
}

/// The answer to a request that came over the wrong connection.
fn misdirected(error: Misdirected) -> Refusal {
    let words = match error {
        Misdirected::OtherPolicy => "This host is not served on this connection, but on its own.",
        Misdirected::Unknown => "This host is not served here.",
    };
    Refusal { status: StatusCode::MISDIRECTED_REQUEST, words }
}

/// The answer if the backend cannot be told who the client is: it is not asked at all.
fn untold(error: &ClientCertError, id: &HeaderValue) -> Refusal {
    let error: &(dyn std::error::Error + 'static) = error;
    tracing::debug!(error, request_id = id.to_str().unwrap_or_default(), "no identity");
    UNTOLD
}

const UNTOLD: Refusal = Refusal {
    status: StatusCode::BAD_GATEWAY,
    words: "The backend cannot be told who the client is.",
};

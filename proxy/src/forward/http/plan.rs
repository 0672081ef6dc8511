//! What will be done with a request, decided before anything is.
//!
//! Owns the decision: whether the request may pass at all, on whose behalf it came, which site and
//! route it is for, and either what its head will be or what is answered instead. Nothing here
//! waits. Refuses to know connections to endpoints. Read next: `send`.

use std::sync::Arc;

use bytes::Bytes;
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderValue, Request, StatusCode, Uri};
use http_body::Body as _;
use tokio::time::Instant;

use super::challenge::Challenge;
use super::page::{Reply, request_id};
use super::state::Connection;
use crate::backend::{Backend, Upload, UploadBounds, UploadProgress};
use crate::body::Incoming;
use crate::config::UnknownHost;
use crate::forward::header::{
    self, Client, ClientCertError, Ours, Protocol, Refusal, TOO_LARGE, Trailers, Vetted,
};
use crate::net::ClientAddr;
use crate::route::{Action, Misdirected, Redirect, Rewrite, Route};

/// A request that was looked at.
pub(super) struct Decision {
    /// What to do.
    pub(super) plan: Plan,
    /// Which route it takes, if it got so far: its answer has the fields of that route, whoever
    /// gives it.
    pub(super) route: Option<Arc<Route>>,
    /// What it is called.
    pub(super) id: HeaderValue,
    /// On whose behalf it came.
    pub(super) client: ClientAddr,
}

/// What to do with a request.
pub(super) enum Plan {
    /// It goes to a backend.
    Forward(Box<Forwarding>),
    /// The answer is in a file.
    Challenge(Challenge),
    /// It is answered here.
    Reply(Reply),
}

/// A request that may be forwarded, and where to.
pub(super) struct Forwarding {
    pub(super) backend: Arc<Backend>,
    pub(super) route: Arc<Route>,
    pub(super) protocol: Protocol,
    pub(super) trailers: Trailers,
    /// What the choice of an endpoint goes by, if by anything of the request.
    pub(super) key: Option<u64>,
    pub(super) request: Option<Request<Upload>>,
    /// `None` if the request has no body.
    pub(super) progress: Option<Arc<UploadProgress>>,
    pub(super) start: Instant,
}

impl Decision {
    /// Decides about `request`.
    pub(super) fn new(connection: &Connection, request: Request<Incoming>) -> Self {
        let sender = &connection.sender;
        let client = sender.identify(request.headers(), &connection.service.listener);
        let id = sender.request_id(request.headers()).unwrap_or_else(request_id);
        let addr = client.addr;
        let (route, plan) = match find(connection, request) {
            Ok(found) => (Some(Arc::clone(&found.route)), found.plan(connection, &client, &id)),
            Err(refusal) => (None, Err(refusal)),
        };
        let plan = plan.unwrap_or_else(|refusal| Plan::Reply(Reply::Refusal(refusal)));
        Self { plan, route, id, client: addr }
    }
}

/// A request whose route is known.
struct Found {
    parts: Parts,
    body: Incoming,
    vetted: Vetted,
    route: Arc<Route>,
}

fn find(connection: &Connection, request: Request<Incoming>) -> Result<Found, Refusal> {
    let service = &connection.service;
    let (parts, body) = request.into_parts();
    let name = connection.server_name.as_deref();
    let vetted = header::vet(&parts, name, &service.limits.http, &service.listener)?;
    let path = parts.uri.path();
    if let Some(route) = service.routes.challenge(path) {
        let route = Arc::clone(route);
        return Ok(Found { parts, body, vetted, route });
    }
    let site = service.routes.of_host(vetted.host.name(), connection.site);
    let site = site.map_err(|error| misdirected(error, service.listener.unknown_host))?;
    let route = Arc::clone(site.route(path));
    Ok(Found { parts, body, vetted, route })
}

impl Found {
    fn plan(
        self,
        connection: &Connection,
        client: &Client,
        id: &HeaderValue,
    ) -> Result<Plan, Refusal> {
        let route = Arc::clone(&self.route);
        let reply = match &route.action {
            Action::Forward { backend, rewrite } => {
                let forwarding = self.forward(connection, client, id, backend, rewrite.as_ref())?;
                return Ok(Plan::Forward(Box::new(forwarding)));
            }
            Action::Challenge(folder) => {
                let (path, method) = (self.parts.uri.path(), &self.parts.method);
                return Ok(Plan::Challenge(Challenge::new(folder, path, method)?));
            }
            Action::NotFound => return Err(NOTHING),
            Action::Redirect(redirect) => self.redirect(redirect)?,
            Action::Respond { status, body, content_type } => Reply::Respond {
                status: *status,
                body: Bytes::clone(body),
                content_type: content_type.clone(),
            },
        };
        Ok(Plan::Reply(reply))
    }

    fn redirect(&self, redirect: &Redirect) -> Result<Reply, Refusal> {
        let target = self.parts.uri.path_and_query().map_or("/", PathAndQuery::as_str);
        let location = redirect.location(self.vetted.host.name(), target).ok_or(NO_TARGET)?;
        Ok(Reply::Redirect { status: redirect.status, location })
    }

    fn forward(
        self,
        connection: &Connection,
        client: &Client,
        id: &HeaderValue,
        backend: &Arc<Backend>,
        rewrite: Option<&Rewrite>,
    ) -> Result<Forwarding, Refusal> {
        let Self { mut parts, body, vetted, route } = self;
        let service = &connection.service;
        if route.body_bytes_max.is_some_and(|max| body.size_hint().lower() > max) {
            return Err(TOO_LARGE);
        }
        let client_cert = connection.client_cert.as_ref().map_err(|error| untold(error, id))?;
        let passes = route.has_trailers || header::is_grpc(&parts.headers);
        let trailers = if passes { Trailers::Pass } else { Trailers::Drop };
        let bounds = UploadBounds {
            silence_max: route.request_body_timeout,
            rate_min: service.limits.http.request_body_rate_min,
            bytes_max: route.body_bytes_max,
        };
        let key = backend.balance_key(client.addr, &parts.headers);
        let upload = Upload::new(body, bounds, trailers.cleaner());
        let progress = upload.progress();
        let ours = Ours {
            sender: &connection.sender,
            client,
            family: service.listener.forwarded,
            port: connection.local_port.as_ref(),
            request_id: id.clone(),
            client_cert,
            tls: &connection.tls,
            edits: &route.request_fields,
            trailers,
        };
        header::forward(&mut parts, &vetted, ours, progress.is_some());
        if let Some(rewrite) = rewrite
            && let Some(target) = parts.uri.path_and_query().filter(|target| *target != "*")
        {
            parts.uri = Uri::from(rewrite.apply(target).ok_or(NO_TARGET)?);
        }
        // What hyper has attached concerns the connection of the client.
        parts.extensions.clear();
        Ok(Forwarding {
            backend: Arc::clone(backend),
            route,
            protocol: vetted.protocol,
            trailers,
            key,
            request: Some(Request::from_parts(parts, upload)),
            progress,
            start: Instant::now(),
        })
    }
}

/// The answer to a request that came over the wrong connection.
fn misdirected(error: Misdirected, unknown_host: UnknownHost) -> Refusal {
    let (status, words) = match (error, unknown_host) {
        (Misdirected::OtherPolicy, _) => (
            StatusCode::MISDIRECTED_REQUEST,
            "This host is not served on this connection, but on its own.",
        ),
        (Misdirected::Unknown, UnknownHost::Misdirected) => {
            (StatusCode::MISDIRECTED_REQUEST, "This host is not served here.")
        }
        (Misdirected::Unknown, UnknownHost::NotFound) => {
            (StatusCode::NOT_FOUND, "This host is not served here.")
        }
    };
    Refusal { status, words }
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
const NOTHING: Refusal =
    Refusal { status: StatusCode::NOT_FOUND, words: "There is nothing at this path." };
/// The configuration is checked for it, so that only the request can be the cause.
const NO_TARGET: Refusal = Refusal {
    status: StatusCode::BAD_REQUEST,
    words: "The request target cannot be made into the one that is wanted here.",
};

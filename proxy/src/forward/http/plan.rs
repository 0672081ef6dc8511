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
use super::unread::Unread;
use crate::backend::{Backend, Upload, UploadBounds, UploadProgress};
use crate::body::Incoming;
use crate::config::UnknownHost;
use crate::forward::header::{
    self, Client, ClientCert, ClientCertError, Ours, Protocol, Refusal, TOO_LARGE, Trailers, Vetted,
};
use crate::metrics::HttpReject;
use crate::net::ClientAddr;
use crate::route::{Action, Misdirected, Redirect, Rewrite, Route};
use crate::trace::Told;

/// A request that was looked at.
pub(super) struct Decision {
    /// What to do.
    pub(super) plan: Plan,
    /// Which route it takes, if it got so far: its answer has the fields of that route, whoever
    /// gives it.
    pub(super) route: Option<Arc<Route>>,
    /// What is left of it if it is answered here.
    pub(super) unread: Option<Unread>,
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
    /// Of the response.
    pub(super) trailers: Trailers,
    /// What the choice of an endpoint goes by, if by anything of the request.
    pub(super) key: Option<u64>,
    pub(super) request: Option<Request<Upload>>,
    /// `None` if the request has no body.
    pub(super) progress: Option<Arc<UploadProgress>>,
    pub(super) start: Instant,
}

impl Decision {
    /// Decides about `request`; the backend is `told` of its trace.
    pub(super) fn new(
        connection: &Connection,
        request: Request<Incoming>,
        told: Option<Told>,
    ) -> Self {
        let Connection { service, sender, .. } = connection;
        let (parts, body) = request.into_parts();
        let client = sender.identify(&parts.headers, &service.listener);
        let id = sender.request_id(&parts.headers).unwrap_or_else(request_id);
        let mut decision = Self::refusing(NOTHING, id, client.addr);
        let name = connection.server_name.as_deref();
        let vetted = match header::vet(&parts, name, &service.limits.http, &service.listener) {
            Ok(vetted) => vetted,
            // Nobody knows what would be read as its body.
            Err(refusal) => return Self { plan: refusal.into(), ..decision },
        };
        let route = find(connection, vetted.host.name(), parts.uri.path());
        decision.route = route.ok().cloned();
        let id = &decision.id;
        let asked = Asked { connection, client: &client, id, told, vetted, parts, body };
        match route.map_err(Plan::from).and_then(|route| asked.way(route)) {
            Ok(way) => decision.plan = asked.forward(&way).unwrap_or_else(Plan::from),
            Err(plan) => {
                decision.unread = Unread::new(asked.body, &asked.parts.headers);
                decision.plan = plan;
            }
        }
        decision
    }

    fn refusing(refusal: Refusal, id: HeaderValue, client: ClientAddr) -> Self {
        Self { plan: refusal.into(), route: None, unread: None, id, client }
    }
}

impl From<Refusal> for Plan {
    fn from(refusal: Refusal) -> Self {
        Self::Reply(Reply::Refusal(refusal))
    }
}

/// The route for `path` of `host`.
fn find<'a>(connection: &'a Connection, host: &str, path: &str) -> Result<&'a Arc<Route>, Refusal> {
    let service = &connection.service;
    if let Some(route) = service.routes.challenge(path) {
        return Ok(route);
    }
    let site = service.routes.of_host(host, connection.site);
    let site = site.map_err(|error| misdirected(error, service.listener.unknown_host))?;
    Ok(site.route(path))
}

/// A request that is what it seems, and who asks.
struct Asked<'a> {
    connection: &'a Connection,
    client: &'a Client,
    id: &'a HeaderValue,
    told: Option<Told>,
    vetted: Vetted,
    parts: Parts,
    body: Incoming,
}

/// What is needed to forward a request.
struct Way<'a> {
    route: &'a Arc<Route>,
    backend: &'a Arc<Backend>,
    rewrite: Option<&'a Rewrite>,
    client_cert: &'a ClientCert,
}

impl<'a> Asked<'a> {
    /// The way to the backend of `route`, or what is done instead.
    fn way(&self, route: &'a Arc<Route>) -> Result<Way<'a>, Plan> {
        let (backend, rewrite) = match &route.action {
            Action::Forward { backend, rewrite } => (backend, rewrite.as_ref()),
            Action::Challenge(folder) => {
                let (path, method) = (self.parts.uri.path(), &self.parts.method);
                return Err(
                    Challenge::new(folder, path, method).map_or_else(Plan::from, Plan::Challenge)
                );
            }
            Action::NotFound => return Err(NOTHING.into()),
            Action::Redirect(redirect) => return Err(self.redirect(redirect)),
            Action::Respond { status, body, content_type } => {
                let (status, content_type) = (*status, content_type.clone());
                let body = Bytes::clone(body);
                return Err(Plan::Reply(Reply::Respond { status, body, content_type }));
            }
        };
        if route.body_bytes_max.is_some_and(|max| self.body.size_hint().lower() > max) {
            return Err(TOO_LARGE.into());
        }
        match &self.connection.client_cert {
            Ok(client_cert) => Ok(Way { route, backend, rewrite, client_cert }),
            Err(error) => Err(untold(error, self.id).into()),
        }
    }

    fn redirect(&self, redirect: &Redirect) -> Plan {
        let target = self.parts.uri.path_and_query().map_or("/", PathAndQuery::as_str);
        match redirect.location(self.vetted.host.name(), target) {
            Some(location) => Plan::Reply(Reply::Redirect { status: redirect.status, location }),
            None => NO_TARGET.into(),
        }
    }

    fn forward(self, way: &Way<'_>) -> Result<Plan, Refusal> {
        let Self { connection, client, id, told, vetted, mut parts, body } = self;
        let Way { route, backend, rewrite, client_cert } = *way;
        let service = &connection.service;
        let is_grpc = header::is_grpc(&parts.headers);
        let response_trailers = Trailers::from(route.has_trailers || is_grpc);
        // Those of requests have no use there, but HTTP/2 has them. A client alone says what gRPC
        // is; a backend of HTTP/1.1 may not expect any.
        let request_trailers =
            Trailers::from(route.has_trailers || is_grpc && backend.may_speak_http2());
        let bounds = UploadBounds {
            silence_max: route.request_body_timeout,
            rate_min: service.limits.http.request_body_rate_min,
            bytes_max: route.body_bytes_max,
        };
        let key = backend.balance_key(client.addr, &parts.headers);
        let upload = Upload::new(body, bounds, request_trailers.sieve(&route.request_fields));
        let progress = upload.progress();
        let ours = Ours {
            sender: &connection.sender,
            client,
            family: service.listener.forwarded,
            proto: connection.proto,
            port: connection.local_port.as_ref(),
            request_id: id.clone(),
            client_cert,
            tls: &connection.tls,
            edits: &route.request_fields,
            request_trailers,
            response_trailers,
        };
        header::forward(&mut parts, &vetted, ours, progress.is_some());
        if let Some(told) = told {
            told.write(&mut parts.headers);
        }
        if let Some(rewrite) = rewrite
            && let Some(target) = parts.uri.path_and_query().filter(|target| *target != "*")
        {
            parts.uri = Uri::from(rewrite.apply(target).ok_or(NO_TARGET)?);
        }
        // What was attached concerns the connection of the client.
        parts.extensions.clear();
        Ok(Plan::Forward(Box::new(Forwarding {
            backend: Arc::clone(backend),
            route: Arc::clone(route),
            protocol: vetted.protocol,
            trailers: response_trailers,
            key,
            request: Some(Request::from_parts(parts, upload)),
            progress,
            start: Instant::now(),
        })))
    }
}

/// The answer to a request that came over the wrong connection.
fn misdirected(error: Misdirected, unknown_host: UnknownHost) -> Refusal {
    let (status, reason, words) = match (error, unknown_host) {
        (Misdirected::OtherPolicy, _) => (
            StatusCode::MISDIRECTED_REQUEST,
            HttpReject::Misdirected,
            "This host is not served on this connection, but on its own.",
        ),
        (Misdirected::Unknown, unknown_host) => {
            let status = match unknown_host {
                UnknownHost::Misdirected => StatusCode::MISDIRECTED_REQUEST,
                UnknownHost::NotFound => StatusCode::NOT_FOUND,
            };
            (status, HttpReject::UnknownHost, "This host is not served here.")
        }
    };
    Refusal::new(status, reason, words)
}

/// The answer if the backend cannot be told who the client is: it is not asked at all.
fn untold(error: &ClientCertError, id: &HeaderValue) -> Refusal {
    let error: &(dyn std::error::Error + 'static) = error;
    tracing::debug!(error, request_id = id.to_str().unwrap_or_default(), "no identity");
    UNTOLD
}

const UNTOLD: Refusal =
    Refusal::ours(StatusCode::BAD_GATEWAY, "The backend cannot be told who the client is.");
const NOTHING: Refusal = Refusal::ours(StatusCode::NOT_FOUND, "There is nothing at this path.");
/// The configuration is checked for it, so that only the request can be the cause.
const NO_TARGET: Refusal =
    Refusal::malformed("The request target cannot be made into the one that is wanted here.");

//! One request and its response.
//!
//! Owns the way of a request through this program: refuse, find the backend, rewrite the head, get
//! a connection, send, wait, rewrite the head of the response. A request is sent a second time only
//! if nothing of it was sent the first time. Whatever goes wrong ends in an answer that says so, in
//! words and with the id of the request. Refuses to know how bytes get to the client. Read next:
//! `download`, for what follows the head.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use http::header::CONNECTION;
use http::response::Parts;
use http::{HeaderValue, Request, Response, StatusCode, Version};
use hyper::body::{Body, Incoming};
use tokio::time::Instant;

use super::download::{Download, Relay};
use super::page::{page, request_id};
use super::state::{Connection, InFlight};
use crate::backend::{
    Alarm, Backend, ConnectError, DialError, Lease, Reuse, Upload, UploadProgress, UploadState,
};
use crate::forward::header::{self, ClientCertError, Forwarded, Protocol, Refusal};
use crate::metrics::{CodeClass, HttpVersion};
use crate::outcome::BackendFailure;
use crate::route::Misdirected;

/// Answers `request`, one way or the other.
///
/// What can be decided at once is decided before there is a future, which is thus smaller.
pub(super) fn exchange(
    connection: &Arc<Connection>,
    request: Request<Incoming>,
) -> impl Future<Output = Response<Download>> + Send + use<> {
    let in_flight = InFlight::new(Arc::clone(connection));
    let id = request_id();
    let has_body = !request.body().is_end_stream();
    let plan = Plan::new(connection, request, &id);
    Exchange { in_flight, id, has_body }.answer(plan)
}

/// A request that is being answered.
struct Exchange {
    in_flight: InFlight,
    id: HeaderValue,
    has_body: bool,
}

impl Exchange {
    async fn answer(mut self, mut plan: Result<Plan, Refusal>) -> Response<Download> {
        let result = match &mut plan {
            Ok(plan) => plan.carry_out(&mut self.in_flight).await,
            Err(refusal) => Err(*refusal),
        };
        let connection = Arc::clone(self.in_flight.connection());
        let mut response = match result {
            Ok((head, Some(relay))) => {
                Response::from_parts(head, Download::relay(relay, self.in_flight))
            }
            Ok((head, None)) => {
                Response::from_parts(head, Download::text(Bytes::new(), self.in_flight))
            }
            Err(refusal) => {
                if self.has_body {
                    connection.leave_unread();
                }
                page(refusal, self.id).map(|text| Download::text(text, self.in_flight))
            }
        };
        match connection.version {
            HttpVersion::H1 if connection.is_worn_out() => {
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            HttpVersion::H1 => {}
            HttpVersion::H2 => {
                response.headers_mut().remove(CONNECTION);
            }
        }
        let class = CodeClass::of(response.status().as_u16());
        connection.service.metrics.http_requests.of(connection.version, class).inc();
        response
    }
}

/// A request that may be forwarded, and where to.
struct Plan {
    backend: Arc<Backend>,
    protocol: Protocol,
    request: Option<Request<Upload>>,
    /// `None` if the request has no body.
    progress: Option<Arc<UploadProgress>>,
    start: Instant,
}

impl Plan {
    fn new(
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

    /// The head of the response, and its body unless another protocol follows.
    async fn carry_out(
        &mut self,
        in_flight: &mut InFlight,
    ) -> Result<(Parts, Option<Relay>), Refusal> {
        let limit = in_flight.connection().service.limits.http.response_head_timeout;
        let (response, lease) = self.send(limit, &mut in_flight.alarm).await?;
        let metrics = self.backend.metrics();
        metrics.request_duration.observe(self.start.elapsed().as_secs_f64());
        let (mut head, body) = response.into_parts();
        if let Err(error) = header::clean(&mut head, self.protocol) {
            self.report(BackendFailure::BadResponse, &error);
            return Err(BAD_RESPONSE);
        }
        let is_read = self.upload_state().is_none_or(|state| state == UploadState::Sent);
        if !is_read {
            in_flight.connection().leave_unread();
        }
        // HTTP/1.0 would make hyper speak it in the next request, where a body without length is
        // lost. A response that overtook its request leaves the rest of it where the next one is
        // expected.
        let is_reusable = is_read && lease.is_flushed() && head.version == Version::HTTP_11;
        head.version = Version::HTTP_11;
        if head.status == StatusCode::SWITCHING_PROTOCOLS {
            let tunnel = Box::pin(lease.into_tunnel()).await.ok_or(BAD_RESPONSE)?;
            in_flight.connection().leave_tunnel(tunnel);
            return Ok((head, None));
        }
        let backend = Arc::clone(&self.backend);
        Ok((head, Some(Relay::new(body, backend, lease, is_reusable))))
    }

    async fn send(
        &mut self,
        limit: Duration,
        alarm: &mut Alarm,
    ) -> Result<(Response<Incoming>, Lease), Refusal> {
        let mut reuse = Reuse::Allowed;
        loop {
            let mut lease = self.backend.lease(reuse).await.map_err(|error| {
                let cause: &(dyn std::error::Error + 'static) = &error;
                tracing::debug!(error = cause, "no connection");
                unreachable(&error)
            })?;
            // Taken only now: the future of a lease needs no room for it.
            let request = self.request.take().ok_or(BROKEN_OFF)?;
            let Some(result) = self.wait(lease.send(request), limit, alarm).await else {
                self.backend.metrics().errors.of(BackendFailure::Timeout).inc();
                return Err(SILENT);
            };
            let mut error = match result {
                Ok(response) => return Ok((response, lease)),
                Err(error) => error,
            };
            // The connection ended before anything was sent: as if it had never been there.
            match error.take_message() {
                Some(unsent) if reuse == Reuse::Allowed => self.request = Some(unsent),
                _ => return Err(self.refuse(&error.into_error())),
            }
            self.backend.metrics().retries.inc();
            reuse = Reuse::Forbidden;
        }
    }

    /// The result, or `None` if the backend takes too long. The time that a client takes for the
    /// body of its request does not count.
    async fn wait<T>(
        &self,
        sent: impl Future<Output = T>,
        limit: Duration,
        alarm: &mut Alarm,
    ) -> Option<T> {
        let mut sent = pin!(sent);
        let mut frames = 0;
        let mut since = Instant::now();
        poll_fn(|cx| {
            if let Poll::Ready(result) = sent.as_mut().poll(cx) {
                return Poll::Ready(Some(result));
            }
            if let Some(progress) = &self.progress {
                let is_waiting = progress.state() == UploadState::Waiting;
                if is_waiting || progress.frames() != frames {
                    frames = progress.frames();
                    since = Instant::now();
                }
            }
            alarm.poll_at(cx, since + limit).map(|()| None)
        })
        .await
    }

    /// Why there is no response.
    fn refuse(&self, error: &hyper::Error) -> Refusal {
        let (failure, refusal) = match self.upload_state() {
            Some(UploadState::Broken) => return BROKEN_BODY,
            Some(UploadState::Late) => return LATE_BODY,
            _ if error.is_parse() => (BackendFailure::BadResponse, BAD_RESPONSE),
            _ => (BackendFailure::Broken, BROKEN_OFF),
        };
        self.report(failure, error);
        refusal
    }

    fn upload_state(&self) -> Option<UploadState> {
        self.progress.as_ref().map(|progress| progress.state())
    }

    fn report(&self, failure: BackendFailure, error: &(dyn std::error::Error + 'static)) {
        self.backend.metrics().errors.of(failure).inc();
        tracing::debug!(backend = %self.backend.name(), %failure, error, "no response");
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

/// The answer if no endpoint could be reached.
fn unreachable(error: &ConnectError) -> Refusal {
    let (status, words) = match error {
        ConnectError::Dial { source: DialError::Timeout(_), .. } => {
            (StatusCode::GATEWAY_TIMEOUT, "The backend cannot be reached in time.")
        }
        ConnectError::Dial { all_tried: false, .. } | ConnectError::Http { .. } => {
            (StatusCode::BAD_GATEWAY, "The backend cannot be reached.")
        }
        ConnectError::Dial { all_tried: true, .. } | ConnectError::NoEndpoint { .. } => {
            (StatusCode::SERVICE_UNAVAILABLE, "The backend is not available.")
        }
    };
    Refusal { status, words }
}

const UNTOLD: Refusal = Refusal {
    status: StatusCode::BAD_GATEWAY,
    words: "The backend cannot be told who the client is.",
};
const SILENT: Refusal =
    Refusal { status: StatusCode::GATEWAY_TIMEOUT, words: "The backend did not answer in time." };
const BAD_RESPONSE: Refusal = Refusal {
    status: StatusCode::BAD_GATEWAY,
    words: "The backend gave an answer that cannot be forwarded.",
};
const BROKEN_OFF: Refusal = Refusal {
    status: StatusCode::BAD_GATEWAY,
    words: "The backend closed the connection before it answered.",
};
const BROKEN_BODY: Refusal =
    Refusal { status: StatusCode::BAD_REQUEST, words: "The body of the request is malformed." };
const LATE_BODY: Refusal = Refusal {
    status: StatusCode::REQUEST_TIMEOUT,
    words: "The body of the request did not come in time.",
};

//! A request on its way to an endpoint, and the head of the response on its way back.
//!
//! Owns the attempts: a request is sent a second time only if nothing of it was sent the first
//! time; and the wait for the response. Whatever goes wrong ends in a [`Refusal`] that says so.
//! Refuses to know routes and how bytes get to the client. Read next: `download`, for what follows
//! the head.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use http::response::Parts;
use http::{Response, StatusCode, Version};
use tokio::time::Instant;

use super::download::{Manner, Relay, Verdicts};
use super::plan::Forwarding;
use super::state::InFlight;
use crate::access::Record;
use crate::backend::{
    Alarm, ConnectError, DialError, INTERIMS_MAX, Lease, Reuse, SendFault, Speech, UploadState,
    Verdict,
};
use crate::body::Incoming;
use crate::forward::header::{self, Protocol, Refusal};
use crate::metrics::{CodeClass, HttpReject};
use crate::outcome::BackendFailure;

impl Forwarding {
    /// The head of the response, and its body unless another protocol follows.
    pub(super) async fn carry_out(
        &mut self,
        in_flight: &mut InFlight,
    ) -> Result<(Parts, Option<Relay>), Refusal> {
        let (response, lease) = self.send(self.route.response_head_timeout, in_flight).await?;
        let metrics = self.backend.metrics();
        metrics.request_duration.observe(self.start.elapsed().as_secs_f64());
        metrics.responses.of(CodeClass::of(response.status().as_u16())).inc();
        if in_flight.interims.as_ref().is_some_and(|interims| interims.are_too_many()) {
            lease.note(Verdict::Failed);
            self.report(BackendFailure::BadResponse, &InterimStorm, &mut in_flight.record);
            return Err(BAD_RESPONSE);
        }
        let (mut head, body) = response.into_parts();
        if let Err(error) = header::clean(&mut head, self.protocol, self.trailers) {
            lease.note(Verdict::Failed);
            self.report(BackendFailure::BadResponse, &error, &mut in_flight.record);
            return Err(BAD_RESPONSE);
        }
        let verdict = self.backend.verdict(head.status);
        let is_read = self.upload_state().is_none_or(|state| state == UploadState::Sent);
        // HTTP/1.0 would make hyper speak it in the next request, where a body without length is
        // lost. A response that overtook its request leaves the rest of it where the next one is
        // expected.
        let is_reusable = is_read && lease.is_flushed() && head.version == Version::HTTP_11;
        head.version = Version::HTTP_11;
        if head.status == StatusCode::SWITCHING_PROTOCOLS {
            lease.note(verdict);
            let tunnel = Box::pin(lease.into_tunnel()).await.ok_or(BAD_RESPONSE)?;
            in_flight.connection().leave_tunnel(tunnel);
            return Ok((head, None));
        }
        let manner = Manner {
            silence_max: self.route.response_body_timeout,
            trailers: self.trailers.sieve(&self.route.response_fields),
        };
        // A body that breaks while the client still sends may be the client's doing.
        let verdicts = Verdicts { so_far: verdict, if_broken: is_read.then_some(Verdict::Failed) };
        let backend = Arc::clone(&self.backend);
        Ok((head, Some(Relay::new(body, backend, lease, is_reusable, manner, verdicts))))
    }

    async fn send(
        &mut self,
        limit: Duration,
        in_flight: &mut InFlight,
    ) -> Result<(Response<Incoming>, Lease), Refusal> {
        let speech = match self.protocol {
            Protocol::Http => Speech::Any,
            Protocol::WebSocket => Speech::Http1,
        };
        if !self.backend.speaks(speech) {
            return Err(NO_UPGRADE);
        }
        let InFlight { alarm, interims, record, .. } = in_flight;
        let mut reuse = Reuse::Allowed;
        loop {
            let mut lease = self.backend.lease(self.key, speech, reuse).await.map_err(|error| {
                let cause: &(dyn std::error::Error + 'static) = &error;
                tracing::debug!(error = cause, "no connection");
                record.note(|entry| {
                    entry.failure = Some(error.failure());
                    // Otherwise that of the attempt before stays the last one.
                    if let Some(endpoint) = error.endpoint() {
                        entry.endpoint = Some(endpoint.clone());
                    }
                });
                unreachable(&error)
            })?;
            record.note(|entry| entry.endpoint = Some(lease.addr().clone()));
            // Taken only now: the future of a lease needs no room for it.
            let request = self.request.take().ok_or(BROKEN_OFF)?;
            let sent = lease.send(request, interims.as_ref());
            let Some(result) = self.wait(sent, limit, alarm).await else {
                lease.note(Verdict::Failed);
                self.backend.metrics().errors.of(BackendFailure::Timeout).inc();
                record.note(|entry| entry.failure = Some(BackendFailure::Timeout));
                return Err(SILENT);
            };
            let error = match result {
                Ok(response) => return Ok((response, lease)),
                Err(error) => error,
            };
            // The endpoint did nothing about the request: as if it had never been sent.
            match error.unsent {
                Some(unsent) if reuse == Reuse::Allowed => self.request = Some(*unsent),
                _ => return Err(self.refuse(&error.cause, &lease, record)),
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
    fn refuse(&self, error: &SendFault, lease: &Lease, record: &mut Record) -> Refusal {
        let (failure, refusal) = match self.upload_state() {
            Some(UploadState::Broken) => return BROKEN_BODY,
            Some(UploadState::Late) => return LATE_BODY,
            Some(UploadState::TooLarge) => return header::TOO_LARGE,
            _ if error.is_bad_response() => (BackendFailure::BadResponse, BAD_RESPONSE),
            _ => (BackendFailure::Broken, BROKEN_OFF),
        };
        lease.note(Verdict::Failed);
        self.report(failure, error, record);
        refusal
    }

    fn upload_state(&self) -> Option<UploadState> {
        self.progress.as_ref().map(|progress| progress.state())
    }

    fn report(
        &self,
        failure: BackendFailure,
        error: &(dyn std::error::Error + 'static),
        record: &mut Record,
    ) {
        record.note(|entry| entry.failure = Some(failure));
        self.backend.metrics().errors.of(failure).inc();
        tracing::debug!(backend = %self.backend.name(), %failure, error, "no response");
    }
}

/// The backend has sent interim responses without end.
#[derive(Debug, thiserror::Error)]
#[error("more than {INTERIMS_MAX} interim responses to one request")]
struct InterimStorm;

/// The answer if no endpoint could be reached.
fn unreachable(error: &ConnectError) -> Refusal {
    let (reason, all_tried) = match error {
        ConnectError::Dial { source, all_tried, .. } => (Some(source.reason()), *all_tried),
        ConnectError::NoEndpoint { .. } => (None, true),
    };
    let (status, words) = match reason {
        Some(DialError::NoHttp1(_)) => return NO_UPGRADE,
        Some(DialError::NoTurn(_) | DialError::Timeout(_)) => {
            (StatusCode::GATEWAY_TIMEOUT, "The backend cannot be reached in time.")
        }
        Some(DialError::Full(_) | DialError::Ports(_)) => {
            (StatusCode::SERVICE_UNAVAILABLE, "The backend has no connection to spare.")
        }
        Some(DialError::Tls(_) | DialError::Http(_)) => {
            (StatusCode::BAD_GATEWAY, "The backend cannot be reached.")
        }
        _ if !all_tried => (StatusCode::BAD_GATEWAY, "The backend cannot be reached."),
        _ => (StatusCode::SERVICE_UNAVAILABLE, "The backend is not available."),
    };
    Refusal::ours(status, words)
}

/// WebSockets begin in HTTP/1.1.
const NO_UPGRADE: Refusal = Refusal::new(
    StatusCode::NOT_IMPLEMENTED,
    HttpReject::Method,
    "The backend speaks HTTP/2 alone, where there is no upgrade to WebSocket.",
);
const SILENT: Refusal =
    Refusal::ours(StatusCode::GATEWAY_TIMEOUT, "The backend did not answer in time.");
const BAD_RESPONSE: Refusal =
    Refusal::ours(StatusCode::BAD_GATEWAY, "The backend gave an answer that cannot be forwarded.");
const BROKEN_OFF: Refusal =
    Refusal::ours(StatusCode::BAD_GATEWAY, "The backend closed the connection before it answered.");
const BROKEN_BODY: Refusal = Refusal::malformed("The body of the request is malformed.");
const LATE_BODY: Refusal = Refusal::new(
    StatusCode::REQUEST_TIMEOUT,
    HttpReject::Timeout,
    "The body of the request did not come in time.",
);

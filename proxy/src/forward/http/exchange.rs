//! One request and its response.
//!
//! Owns the order of the three parts of an exchange: `plan` decides what will be done, `send` does
//! it, and whatever goes wrong ends in an answer that says so, in words and with the id of the
//! request. Refuses to know how bytes get to the client. Read next: `plan`.

use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use http::header::CONNECTION;
use http::{HeaderValue, Request, Response};
use http_body::Body as _;

use super::download::Download;
use super::page::{page, request_id};
use super::plan::Plan;
use super::state::{Connection, InFlight};
use crate::backend::Interims;
use crate::body::Incoming;
use crate::forward::header::Refusal;
use crate::metrics::{CodeClass, HttpVersion};

/// Answers `request`, one way or the other.
///
/// Interim responses go into `interims`, whence whoever polls the exchange takes them in time.
/// What can be decided at once is decided before there is a future, which is thus smaller.
pub(super) fn exchange(
    connection: &Arc<Connection>,
    request: Request<Incoming>,
    interims: Option<Arc<Interims>>,
) -> impl Future<Output = Response<Download>> + Send + use<> {
    let mut in_flight = InFlight::new(Arc::clone(connection), interims);
    let id = request_id();
    let service = &connection.service;
    in_flight.record = service.access.begin(&request, |entry| {
        entry.listener = Arc::clone(&service.name);
        entry.client = Some(connection.client);
        entry.request_id = Some(id.clone());
    });
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
            Ok(plan) => {
                let backend = plan.backend.name();
                self.in_flight.record.note(|entry| entry.backend = Some(Arc::clone(backend)));
                plan.carry_out(&mut self.in_flight).await
            }
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
        let status = response.status().as_u16();
        response.body_mut().record().note(|entry| entry.answer(status));
        let class = CodeClass::of(status);
        connection.service.metrics.http_requests.of(connection.version, class).inc();
        response
    }
}

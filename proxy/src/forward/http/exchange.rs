//! One request and its response.
//!
//! Owns the order of the three parts of an exchange: `plan` decides what will be done, `send` does
//! it, and whatever goes wrong ends in an answer that says so, in words and with the id of the
//! request. Refuses to know how bytes get to the client. Read next: `plan`.

use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use http::header::CONNECTION;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body::Body as _;

use super::download::Download;
use super::page::Reply;
use super::plan::{Decision, Plan};
use super::spans::Spans;
use super::state::{Connection, InFlight};
use super::unread::Unread;
use crate::backend::Interims;
use crate::body::Incoming;
use crate::forward::header::{Refusal, edit};
use crate::metrics::{CodeClass, HttpVersion};
use crate::route::Route;
use crate::trace::{Begun, Standing};

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
    let service = &connection.service;
    let standing = match connection.sender.is_trusted() {
        true => Standing::Trusted,
        false => Standing::Stranger,
    };
    let Begun { told, recording } = service.tracer.begin(request.headers(), standing);
    let witness = recording.map(|recording| Spans::witness(recording, connection, &request));
    in_flight.record = service.access.begin(&request, witness, |entry| {
        entry.listener = Arc::clone(&service.name);
        entry.ja4.clone_from(&connection.ja4);
    });
    let has_body = !request.body().is_end_stream();
    let wants_body = *request.method() != Method::HEAD;
    let Decision { plan, route, unread, id, client } = Decision::new(connection, request, told);
    in_flight.record.note(|entry| {
        entry.client = Some(client);
        entry.request_id = Some(id.clone());
    });
    // Rare, and larger than all the rest.
    let unread = unread.map(Box::new);
    Exchange { in_flight, id, route, unread, has_body, wants_body }.answer(plan)
}

/// A request that is being answered.
struct Exchange {
    in_flight: InFlight,
    id: HeaderValue,
    route: Option<Arc<Route>>,
    /// What is left of the request if it is answered here.
    unread: Option<Box<Unread>>,
    /// Whether something follows the head of the request.
    has_body: bool,
    /// Whether something may follow the head of the response.
    wants_body: bool,
}

impl Exchange {
    async fn answer(mut self, plan: Plan) -> Response<Download> {
        let result = match plan {
            Plan::Forward(mut forwarding) => {
                let backend = forwarding.backend.name();
                self.in_flight.record.note(|entry| entry.backend = Some(Arc::clone(backend)));
                forwarding.carry_out(&mut self.in_flight).await.map_err(Reply::Refusal)
            }
            Plan::Challenge(challenge) => Err(challenge.answer().await),
            Plan::Reply(reply) => Err(reply),
        };
        let connection = Arc::clone(self.in_flight.connection());
        let mut response = match result {
            Ok((head, Some(relay))) => {
                Response::from_parts(head, Download::relay(relay, self.in_flight))
            }
            Ok((head, None)) => {
                Response::from_parts(head, Download::text(Bytes::new(), self.in_flight))
            }
            Err(reply) => {
                if let Reply::Refusal(Refusal { reason: Some(reason), .. }) = reply {
                    connection.service.metrics.http_rejects.of(reason).inc();
                }
                let is_read = match self.unread {
                    Some(unread) => Box::pin(unread.discard(&mut self.in_flight.alarm)).await,
                    None => !self.has_body,
                };
                if !is_read {
                    connection.leave_unread();
                }
                let wants_body = self.wants_body;
                reply.response(self.id).map(|text| {
                    let text = if wants_body { text } else { Bytes::new() };
                    Download::text(text, self.in_flight)
                })
            }
        };
        // The one place where a route speaks to clients: in answers of backends and of ours.
        if let Some(route) = &self.route {
            edit(response.headers_mut(), &route.response_fields);
        }
        match connection.version {
            // A response that ends the protocol ends the requests as well, and says so there.
            HttpVersion::H1 if response.status() == StatusCode::SWITCHING_PROTOCOLS => {}
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

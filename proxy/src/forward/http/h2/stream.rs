//! One exchange on a stream of HTTP/2.
//!
//! Owns the way of a request into its exchange, and of what comes before the content of the answer
//! into the stream. A stream that the client resets takes its exchange along at once. Refuses to
//! know what the answer is. Read next: `outflow`, for its content; `exchange`.
//!
//! A path that comes with a fragment, which HTTP/1.1 refuses, comes without it from the `http`
//! crate, by which h2 reads it, and is served as if it had none: it never reaches a backend, and
//! nothing here can see that it was there.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use h2::RecvStream;
use h2::ext::Protocol;
use h2::server::SendResponse;
use http::header::{CONTENT_LENGTH, DATE, EXPECT};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body::Body as _;

use super::backlog::Part;
use super::link::Link;
use super::outflow::{Ended, Outflow};
use super::tunnel::Tunnel;
use crate::backend::{Interims, random};
use crate::body::{Http2Body, Incoming, Leave};
use crate::forward::header::{WebSocketKey, agree_to_websocket, ask_for_websocket, clean_interim};
use crate::forward::http::date;
use crate::forward::http::download::Download;
use crate::forward::http::exchange::exchange;
use crate::forward::http::state::Connection;
use crate::forward::upgrade;

/// Answers `request` on its stream.
///
/// What can be decided at once is decided before there is a future, which is thus smaller.
pub(super) fn answer(
    connection: &Arc<Connection>,
    link: &Arc<Link>,
    request: Request<RecvStream>,
    respond: SendResponse<Part>,
) -> impl Future<Output = Ended> + Send + use<> {
    let (mut head, from_client) = request.into_parts();
    let mut call = None;
    let mut leave = None;
    let body = if is_websocket(&head) {
        let nonce = (u128::from(random()) << 64) | u128::from(random());
        let key = WebSocketKey::new(nonce);
        ask_for_websocket(&mut head, &key);
        call = Some(Box::new(Call { key, from_client, connection: Arc::clone(connection) }));
        Incoming::Empty
    } else {
        let body = Http2Body::new(from_client, content_length(&head.headers));
        Incoming::Http2(if awaits_leave(&head.headers) {
            let wanted = Arc::new(Leave::default());
            leave = Some(Arc::clone(&wanted));
            body.awaiting(wanted)
        } else {
            body
        })
    };
    let interims = Arc::new(Interims::default());
    let request = Request::from_parts(head, body);
    let exchange = exchange(connection, request, Some(Arc::clone(&interims)));
    let write_timeout = connection.service.limits.http.write_timeout;
    let early = Early { interims, leave };
    carry(exchange, early, call, respond, Arc::clone(link), write_timeout)
}

async fn carry(
    exchange: impl Future<Output = Response<Download>>,
    mut early: Early,
    call: Option<Box<Call>>,
    mut respond: SendResponse<Part>,
    link: Arc<Link>,
    write_timeout: Duration,
) -> Ended {
    let response = {
        let mut exchange = pin!(exchange);
        poll_fn(|cx| {
            let polled = exchange.as_mut().poll(cx);
            early.say(&mut respond);
            if let Poll::Ready(response) = polled {
                return Poll::Ready(Some(response));
            }
            early.poll_leave(cx, &mut respond);
            respond.poll_reset(cx).map(|_| None)
        })
        .await
    };
    let Some(mut response) = response else { return Ended::Abandoned };
    response.headers_mut().entry(DATE).or_insert_with(date::now);
    if let Some(call) = call
        && response.status() == StatusCode::SWITCHING_PROTOCOLS
    {
        return Box::pin(call.join(response, respond, link)).await;
    }
    let (head, body) = response.into_parts();
    let is_complete = body.is_end_stream();
    let Ok(stream) = respond.send_response(Response::from_parts(head, ()), is_complete) else {
        return Ended::Abandoned;
    };
    if is_complete {
        return Ended::Answered;
    }
    let mut outflow = Outflow::new(body, stream, link, write_timeout);
    poll_fn(|cx| outflow.poll(cx)).await
}

/// Whether `head` asks for a WebSocket (RFC 8441 §5). h2 lets that through only where it was said
/// that we know it.
fn is_websocket(head: &Parts) -> bool {
    let protocol = head.extensions.get::<Protocol>();
    head.method == Method::CONNECT && protocol.is_some_and(|name| name.as_str() == "websocket")
}

/// A WebSocket that a client asks for.
struct Call {
    key: WebSocketKey,
    from_client: RecvStream,
    connection: Arc<Connection>,
}

impl Call {
    /// Joins the stream with the backend that has agreed in `response`.
    async fn join(
        self: Box<Self>,
        response: Response<Download>,
        mut respond: SendResponse<Part>,
        link: Arc<Link>,
    ) -> Ended {
        let Self { key, from_client, connection } = *self;
        // Nothing waits between the agreement and here: it is that of this exchange.
        let backend = connection.take_tunnel();
        // Its exchange goes on for as long as the tunnel does.
        let (mut head, _exchange) = response.into_parts();
        let (true, Some(backend)) = (agree_to_websocket(&mut head, &key), backend) else {
            tracing::debug!("the backend does not speak WebSocket, though it says so");
            head.status = StatusCode::BAD_GATEWAY;
            head.headers.clear();
            let _ = respond.send_response(Response::from_parts(head, ()), true);
            return Ended::Cut;
        };
        let Ok(to_client) = respond.send_response(Response::from_parts(head, ()), false) else {
            return Ended::Abandoned;
        };
        let stream = Tunnel::new(from_client, to_client, link);
        upgrade::join(stream, Bytes::new(), backend, &connection.service.limits).await;
        Ended::Answered
    }
}

/// What comes before the final response.
struct Early {
    /// From the backend.
    interims: Arc<Interims>,
    /// From us, if the client waits for it.
    leave: Option<Arc<Leave>>,
}

impl Early {
    /// Passes on what the backend says.
    fn say(&self, respond: &mut SendResponse<Part>) {
        if !self.interims.is_waiting() {
            return;
        }
        for mut interim in self.interims.take() {
            clean_interim(interim.headers_mut());
            // A stream that is gone is noticed by what follows.
            let _ = respond.send_informational(interim);
        }
    }

    /// Has the client send its content once that is wanted.
    fn poll_leave(&mut self, cx: &Context<'_>, respond: &mut SendResponse<Part>) {
        if self.leave.as_ref().is_some_and(|leave| leave.poll_wanted(cx).is_ready()) {
            self.leave = None;
            let mut interim = Response::new(());
            *interim.status_mut() = StatusCode::CONTINUE;
            let _ = respond.send_informational(interim);
        }
    }
}

/// Whether a client sends the content only when it is told to (RFC 9110 §10.1.1).
fn awaits_leave(headers: &HeaderMap) -> bool {
    headers
        .get(EXPECT)
        .is_some_and(|expected| expected.as_bytes().eq_ignore_ascii_case(b"100-continue"))
}

/// Whether the fields of a request make it none, in a way that h2 does not see: a value with spaces
/// around it (RFC 9113 §8.2.1), a length that is no number or is said more than once.
pub(super) fn is_malformed(headers: &HeaderMap) -> bool {
    let is_space = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    let has_space = |value: &HeaderValue| {
        is_space(value.as_bytes().first()) || is_space(value.as_bytes().last())
    };
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    let is_length = |value: &HeaderValue| {
        let digits = value.as_bytes();
        (1..=LENGTH_DIGITS_MAX).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit)
    };
    let has_no_length = lengths.next().is_some_and(|length| !is_length(length));
    has_no_length || lengths.next().is_some() || headers.values().any(has_space)
}

/// The length of a body that h2 has found to be well-formed.
fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// As many as every number of 64 bits has room for.
const LENGTH_DIGITS_MAX: usize = 19;

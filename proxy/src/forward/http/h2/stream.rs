//! One exchange on a stream of HTTP/2.
//!
//! Owns the way of an answer into its stream: the head, then as much of the body as the client has
//! room for, then the trailers. A stream that the client resets takes its exchange along at once; a
//! stream whose client makes no room, or less than a trickle of it, is reset. Refuses to know what
//! the answer is. Read next: `exchange`.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use h2::ext::Protocol;
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::header::{CONTENT_LENGTH, DATE};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body::{Body as _, Frame};
use tokio::time::Instant;

use super::link::Link;
use super::tunnel::Tunnel;
use crate::backend::{Alarm, Interims, random};
use crate::body::{Http2Body, Incoming};
use crate::forward::header::{WebSocketKey, agree_to_websocket, ask_for_websocket, clean_interim};
use crate::forward::http::date;
use crate::forward::http::download::Download;
use crate::forward::http::exchange::exchange;
use crate::forward::http::state::Connection;
use crate::forward::upgrade;

/// How the exchange of a stream ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Ended {
    /// The client has no more use for it.
    Abandoned,
    /// By the book.
    Answered,
    /// The answer broke off.
    Cut,
    /// The client took nothing, or next to nothing.
    Stalled,
}

/// Answers `request` on its stream.
///
/// What can be decided at once is decided before there is a future, which is thus smaller.
pub(super) fn answer(
    connection: &Arc<Connection>,
    link: &Arc<Link>,
    request: Request<RecvStream>,
    respond: SendResponse<Bytes>,
) -> impl Future<Output = Ended> + Send + use<> {
    let (mut head, from_client) = request.into_parts();
    let mut call = None;
    let body = if is_websocket(&head) {
        let nonce = (u128::from(random()) << 64) | u128::from(random());
        let key = WebSocketKey::new(nonce);
        ask_for_websocket(&mut head, &key);
        call = Some(Box::new(Call { key, from_client, connection: Arc::clone(connection) }));
        Incoming::Empty
    } else {
        Incoming::Http2(Http2Body::new(from_client, content_length(&head.headers)))
    };
    let interims = Arc::new(Interims::default());
    let request = Request::from_parts(head, body);
    let exchange = exchange(connection, request, Some(Arc::clone(&interims)));
    let write_timeout = connection.service.limits.http.write_timeout;
    carry(exchange, interims, call, respond, Arc::clone(link), write_timeout)
}

async fn carry(
    exchange: impl Future<Output = Response<Download>>,
    interims: Arc<Interims>,
    call: Option<Box<Call>>,
    mut respond: SendResponse<Bytes>,
    link: Arc<Link>,
    write_timeout: Duration,
) -> Ended {
    let response = {
        let mut exchange = pin!(exchange);
        poll_fn(|cx| {
            let polled = exchange.as_mut().poll(cx);
            hint(&mut respond, &interims);
            if let Poll::Ready(response) = polled {
                return Poll::Ready(Some(response));
            }
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
        mut respond: SendResponse<Bytes>,
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

/// Passes on what comes before the final response.
fn hint(respond: &mut SendResponse<Bytes>, interims: &Interims) {
    if !interims.is_waiting() {
        return;
    }
    for mut interim in interims.take() {
        clean_interim(interim.headers_mut());
        // A stream that is gone is noticed by what follows.
        let _ = respond.send_informational(interim);
    }
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

/// A body on its way into its stream.
struct Outflow {
    body: Download,
    stream: SendStream<Bytes>,
    link: Arc<Link>,
    write_timeout: Duration,
    /// What the client has no room for yet.
    rest: Bytes,
    /// Whether the body has said that there is no more of it.
    is_over: bool,
    /// What went into the stream so far.
    bytes: u64,
    /// How long the client was waited for.
    waited: Duration,
    waiting_since: Option<Instant>,
    alarm: Alarm,
    /// The turn of the connection in which the last of a body that is cut went into the stream.
    cut_in: Option<u64>,
}

impl Outflow {
    fn new(
        body: Download,
        stream: SendStream<Bytes>,
        link: Arc<Link>,
        write_timeout: Duration,
    ) -> Self {
        Self {
            body,
            stream,
            link,
            write_timeout,
            rest: Bytes::new(),
            is_over: false,
            bytes: 0,
            waited: Duration::ZERO,
            waiting_since: None,
            alarm: Alarm::default(),
            cut_in: None,
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Ended> {
        loop {
            if let Some(turn) = self.cut_in {
                return self.poll_cut(cx, turn);
            }
            if let Err(ended) = ready!(self.poll_room(cx)) {
                return Poll::Ready(ended);
            }
            if !self.rest.is_empty() {
                if let Some(ended) = self.send() {
                    return Poll::Ready(ended);
                }
                continue;
            }
            let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) else {
                return self.stream.poll_reset(cx).map(|_| Ended::Abandoned);
            };
            match frame.transpose() {
                Ok(frame) => {
                    if let Some(ended) = self.pass(frame) {
                        return Poll::Ready(ended);
                    }
                }
                Err(_) => self.cut_in = Some(self.link.turn()),
            }
        }
    }

    /// Ready when the stream takes at least one byte.
    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Ended>> {
        if self.rest.is_empty() {
            self.stream.reserve_capacity(1);
        }
        while self.stream.capacity() == 0 {
            match self.stream.poll_capacity(cx) {
                Poll::Pending => return self.poll_stalled(cx).map(Err),
                Poll::Ready(Some(Ok(_))) => {}
                Poll::Ready(Some(Err(_)) | None) => return Poll::Ready(Err(Ended::Abandoned)),
            }
        }
        let Some(since) = self.waiting_since.take() else { return Poll::Ready(Ok(())) };
        self.waited += since.elapsed();
        let least = TRICKLE.saturating_mul(self.waited.as_secs());
        let is_trickle = self.waited > TRICKLE_GRACE && self.bytes < least;
        Poll::Ready(if is_trickle && !self.link.is_stuck() { Err(self.give_up()) } else { Ok(()) })
    }

    /// Ready when the client has made no room for too long. Where it is the connection that takes
    /// nothing, the deadline of the connection counts.
    fn poll_stalled(&mut self, cx: &mut Context<'_>) -> Poll<Ended> {
        loop {
            let since = *self.waiting_since.get_or_insert_with(Instant::now);
            ready!(self.alarm.poll_at(cx, since + self.write_timeout));
            if !self.link.is_stuck() {
                return Poll::Ready(self.give_up());
            }
            self.waiting_since = None;
        }
    }

    fn give_up(&mut self) -> Ended {
        tracing::debug!("a stream whose client takes nothing is reset");
        self.stream.send_reset(Reason::CANCEL);
        Ended::Stalled
    }

    /// Puts a frame into the stream; without one it ends.
    fn pass(&mut self, frame: Option<Frame<Bytes>>) -> Option<Ended> {
        match frame.map(Frame::into_data) {
            Some(Ok(data)) if data.is_empty() && !self.body.is_end_stream() => None,
            Some(Ok(data)) => {
                self.rest = data;
                self.send()
            }
            Some(Err(frame)) => {
                let trailers = frame.into_trailers().ok()?;
                let sent = self.stream.send_trailers(trailers);
                Some(sent.map_or(Ended::Abandoned, |()| Ended::Answered))
            }
            None => {
                self.is_over = true;
                self.send()
            }
        }
    }

    /// Puts as much of the rest into the stream as there is room for, so that nothing waits where
    /// it has no deadline.
    fn send(&mut self) -> Option<Ended> {
        if self.stream.capacity() < self.rest.len() {
            self.stream.reserve_capacity(self.rest.len());
        }
        let room = self.stream.capacity().min(self.rest.len());
        let data = self.rest.split_to(room);
        self.bytes += data.len() as u64;
        if self.rest.is_empty() {
            self.link.credit().note_part(room);
        } else {
            self.link.credit().note_piece(room);
        }
        let is_last = self.rest.is_empty() && (self.is_over || self.body.is_end_stream());
        match self.stream.send_data(data, is_last) {
            Err(_) => Some(Ended::Abandoned),
            Ok(()) if is_last => Some(Ended::Answered),
            Ok(()) => None,
        }
    }

    /// Resets the stream, but not before the connection had the chance to send what came so far.
    fn poll_cut(&mut self, cx: &mut Context<'_>, turn: u64) -> Poll<Ended> {
        if self.link.turn() == turn {
            self.link.want_turn();
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.stream.send_reset(Reason::INTERNAL_ERROR);
        Poll::Ready(Ended::Cut)
    }
}

/// As many as every number of 64 bits has room for.
const LENGTH_DIGITS_MAX: usize = 19;
/// What a client must take in a second, once it has been waited for for a while.
const TRICKLE: u64 = 100;
const TRICKLE_GRACE: Duration = Duration::from_secs(10);

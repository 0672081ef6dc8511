//! HTTP/2 on one connection: the state machine of the `h2` crate, and everything around it.
//!
//! Owns the task of a connection: exchanges run in it, side by side, and not in tasks of their own,
//! so that a request costs no visit of the runtime and is gone the moment that its client resets
//! it. What is said to the client is said when nobody has anything to add. Refuses to know what an
//! exchange does. Read next: `stream`, then `wire`, the bytes, and `clock`, the deadlines.

mod backlog;
mod bell;
mod clock;
mod credit;
mod guard;
mod link;
mod outflow;
mod slots;
mod stream;
mod tunnel;
mod wire;

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use h2::server::{self, SendResponse};
use h2::{PingPong, Reason, RecvStream};
use http::Request;
use hyper::rt::{Read, Write};

use super::state::Connection;
use crate::drain::{DrainWatch, Ear, Notice};
use crate::metrics::Http2Defence;
use crate::net::Progress;
use crate::outcome::CloseReason;
use backlog::Part;
use bell::{Bell, Hall};
use clock::{Clock, Doings, Due};
use guard::Flood;
use link::Link;
use outflow::Ended;
use slots::Slots;
use wire::Wire;

/// Serves streams until there are no more.
pub(super) async fn serve<I>(io: I, connection: Arc<Connection>, watch: DrainWatch) -> CloseReason
where
    I: Read + Write + Progress + Unpin + Send + 'static,
{
    let link = Arc::new(Link::default());
    let mut clock = Clock::new();
    let wire = Wire::new(io, Arc::clone(&connection), Arc::clone(&link));
    let http2 = match shake_hands(wire, &connection, &link, &mut clock).await {
        Ok(http2) => http2,
        Err(reason) => return reason,
    };
    let answer = |request, respond| stream::answer(&connection, &link, request, respond);
    let mut server = Server::new(http2, &connection, &link, clock, answer);
    let mut ear = pin!(watch.ear());
    drop(watch);
    poll_fn(|cx| server.poll(cx, ear.as_mut())).await
}

/// Exchanges settings, within the time that a first request may take.
async fn shake_hands<I>(
    wire: Wire<I>,
    connection: &Connection,
    link: &Link,
    clock: &mut Clock,
) -> Result<server::Connection<Wire<I>, Part>, CloseReason>
where
    I: Read + Write + Progress + Unpin,
{
    let limits = &connection.service.limits.http;
    link.let_flush(true);
    let mut handshake = pin!(builder(connection).handshake(wire));
    let shaken = poll_fn(|cx| {
        if let Poll::Ready(result) = handshake.as_mut().poll(cx) {
            return Poll::Ready(result.map_err(|error| reason(connection, &error)));
        }
        let doings = Doings { streams: 0, requests: 0, reads: 0 };
        clock.poll(cx, doings, limits).map(|_| Err(CloseReason::Idle))
    })
    .await;
    link.let_flush(false);
    shaken
}

fn builder(connection: &Connection) -> server::Builder {
    let limits = &connection.service.limits.http;
    let mut builder = server::Builder::new();
    builder
        .max_concurrent_streams(limits.h2_streams_max)
        .initial_window_size(limits.h2_stream_window)
        .initial_connection_window_size(limits.h2_connection_window)
        .max_send_buffer_size(limits.h2_send_buffer)
        .max_header_list_size(u32::try_from(limits.header_bytes_max).unwrap_or(u32::MAX))
        .max_local_error_reset_streams(Some(LOCAL_RESETS_MAX));
    if connection.service.listener.extended_connect {
        builder.enable_connect_protocol();
    }
    builder
}

/// Whose doing an error of h2's is.
fn reason(connection: &Connection, error: &h2::Error) -> CloseReason {
    connection.fault().unwrap_or(if error.is_io() {
        CloseReason::ClientReset
    } else {
        CloseReason::ClientError
    })
}

/// A connection at work.
struct Server<'a, I, A, S> {
    http2: server::Connection<Wire<I>, Part>,
    /// Makes an exchange of a request.
    answer: A,
    exchanges: Slots<S>,
    hall: Arc<Hall>,
    at_http2: (Arc<Bell>, Waker),
    at_exchanges: Arc<Bell>,
    connection: &'a Connection,
    link: &'a Link,
    clock: Clock,
    ping: Option<PingPong>,
    requests: u64,
    /// Requests that the client had no more use for.
    abandoned: u64,
    /// Whether the client was told to calm down.
    is_calmed: bool,
    /// Why the connection ends, once that is decided.
    end: Option<CloseReason>,
}

impl<'a, I, A, S> Server<'a, I, A, S>
where
    I: Read + Write + Progress + Unpin,
    A: Fn(Request<RecvStream>, SendResponse<Part>) -> S,
    S: Future<Output = Ended>,
{
    fn new(
        mut http2: server::Connection<Wire<I>, Part>,
        connection: &'a Connection,
        link: &'a Link,
        clock: Clock,
        answer: A,
    ) -> Self {
        let hall = Arc::new(Hall::default());
        let at_http2 = Bell::new(&hall);
        let at_exchanges = Bell::new(&hall);
        Self {
            answer,
            exchanges: Slots::new(&at_exchanges),
            at_http2: (Arc::clone(&at_http2), Waker::from(at_http2)),
            at_exchanges,
            hall,
            connection,
            link,
            clock,
            ping: http2.ping_pong(),
            http2,
            requests: 0,
            abandoned: 0,
            is_calmed: false,
            end: None,
        }
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        mut ear: Pin<&mut Ear<impl Future<Output = ()>>>,
    ) -> Poll<CloseReason> {
        self.hall.enter(cx.waker());
        for _ in 0..TURNS_MAX {
            if !self.clock.has_said_farewell() && ear.as_mut().poll(cx, self.last_notice()) {
                self.say_farewell();
            }
            if self.at_http2.0.answer()
                && let Poll::Ready(end) = self.poll_http2()
            {
                return Poll::Ready(end);
            }
            self.defend();
            if self.at_exchanges.answer() {
                self.poll_exchanges();
            }
            if self.has_more() {
                continue;
            }
            if self.link.is_unflushed()
                && let Poll::Ready(end) = self.poll_flush()
            {
                return Poll::Ready(end);
            }
            if let Poll::Ready(due) = self.poll_clock(cx) {
                if let Some(end) = self.meet(due) {
                    return Poll::Ready(end);
                }
                continue;
            }
            let waiting = self.link.backlog().waiting();
            self.connection.hold(waiting + self.exchanges.len() * STREAM_BYTES);
            self.hall.leave();
            if !self.has_more() {
                return Poll::Pending;
            }
            self.hall.enter(cx.waker());
        }
        // Other connections want their turn.
        self.hall.leave();
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// The notice that is a reason to take leave: a client that waits for something is told at
    /// once, one that does not with its next request.
    fn last_notice(&self) -> Notice {
        if self.exchanges.len() > 0 { Notice::Leaving } else { Notice::Finish }
    }

    fn has_more(&self) -> bool {
        self.at_http2.0.has_rung() || self.at_exchanges.has_rung()
    }

    /// Moves what can be moved, and begins the exchanges of what has come.
    fn poll_http2(&mut self) -> Poll<CloseReason> {
        self.link.note_turn();
        let waker = self.at_http2.1.clone();
        let mut cx = Context::from_waker(&waker);
        loop {
            match self.http2.poll_accept(&mut cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Some(Ok((request, respond)))) => self.begin(request, respond),
                Poll::Ready(Some(Err(error))) => {
                    if error.is_library() && error.reason() == Some(Reason::ENHANCE_YOUR_CALM) {
                        let defences = &self.connection.service.metrics.http2_defences;
                        defences.of(Http2Defence::Errors).inc();
                    }
                    return Poll::Ready(
                        self.end.unwrap_or_else(|| reason(self.connection, &error)),
                    );
                }
                Poll::Ready(None) => {
                    let done = self.connection.fault().unwrap_or(CloseReason::Done);
                    return Poll::Ready(self.end.unwrap_or(done));
                }
            }
        }
    }

    fn begin(&mut self, request: Request<RecvStream>, mut respond: SendResponse<Part>) {
        self.requests += 1;
        if stream::is_malformed(request.headers()) {
            respond.send_reset(Reason::PROTOCOL_ERROR);
            return;
        }
        if self.clock.is_past_farewell() {
            // The client has not heard it, or does not want to; it may ask elsewhere.
            respond.send_reset(Reason::REFUSED_STREAM);
            return;
        }
        self.exchanges.push((self.answer)(request, respond));
        let service = &self.connection.service;
        if self.requests >= service.limits.http.h2_requests_max || service.memory.is_short() {
            self.say_farewell();
        }
    }

    fn poll_exchanges(&mut self) {
        self.exchanges.look();
        while let Some(ended) = self.exchanges.poll() {
            match ended {
                Ended::Abandoned => self.abandoned += 1,
                Ended::Stalled => {
                    self.connection.service.metrics.http2_defences.of(Http2Defence::Stall).inc();
                }
                Ended::Answered | Ended::Cut => {}
            }
        }
        if self.link.take_turn_wanted() {
            self.at_http2.0.ring();
        }
    }

    /// Ends a connection that costs more than it is for.
    fn defend(&mut self) {
        if self.is_calmed {
            return;
        }
        let is_fickle = self.requests >= FICKLE_AFTER && self.abandoned * 2 > self.requests;
        let flood = self.link.flood().or(is_fickle.then_some(Flood::Resets));
        let Some(flood) = flood else { return };
        tracing::debug!(?flood, "a connection of HTTP/2 is ended");
        let (defence, words) = match flood {
            Flood::Control => (Http2Defence::ControlFrames, Reason::ENHANCE_YOUR_CALM),
            Flood::NoSettings => (Http2Defence::Errors, Reason::PROTOCOL_ERROR),
            Flood::Resets => (Http2Defence::Resets, Reason::ENHANCE_YOUR_CALM),
            Flood::Size => (Http2Defence::Errors, Reason::FRAME_SIZE_ERROR),
        };
        self.connection.service.metrics.http2_defences.of(defence).inc();
        self.is_calmed = true;
        self.end = Some(CloseReason::ClientError);
        self.exchanges.clear();
        self.clock.note_farewell();
        self.http2.abrupt_shutdown(words);
        self.at_http2.0.ring();
    }

    fn poll_flush(&mut self) -> Poll<CloseReason> {
        self.link.let_flush(true);
        let polled = self.poll_http2();
        self.link.let_flush(false);
        polled
    }

    fn poll_clock(&mut self, cx: &mut Context<'_>) -> Poll<Due> {
        let doings = Doings {
            streams: self.exchanges.len(),
            requests: self.requests,
            reads: self.link.reads(),
        };
        self.clock.poll(cx, doings, &self.connection.service.limits.http)
    }

    /// Does what is due; the end, if that is what it is.
    fn meet(&mut self, due: Due) -> Option<CloseReason> {
        match due {
            Due::Age => self.say_farewell(),
            Due::Idle => {
                self.end = Some(CloseReason::Idle);
                self.say_farewell();
            }
            Due::Ping => {
                if let Some(ping) = &mut self.ping {
                    // The answer to an earlier one was heard when it came.
                    let _ = ping.poll_pong(&mut Context::from_waker(Waker::noop()));
                    // One that is still on its way asks the same.
                    let _ = ping.send_ping(h2::Ping::opaque());
                }
            }
            Due::Rest => self.exchanges.shrink(),
            Due::Dead => return Some(CloseReason::Timeout),
            Due::Unheard => return Some(self.end.unwrap_or(CloseReason::Done)),
        }
        None
    }

    /// Tells the client that there will be no more requests, and lets those that it has sent by the
    /// time that it hears of it come (RFC 9113 §6.8).
    fn say_farewell(&mut self) {
        self.clock.note_farewell();
        self.http2.graceful_shutdown();
        self.at_http2.0.ring();
    }
}

/// Streams that we had to reset for errors of the client, before the connection goes.
const LOCAL_RESETS_MAX: usize = 128;
/// Requests before it is looked at how many of them were abandoned.
const FICKLE_AFTER: u64 = 100;
/// What a stream holds beside what waits for the client: its exchange, and a piece of a body.
const STREAM_BYTES: usize = 16 * 1024;
/// Turns of the parts of a connection before its task yields.
const TURNS_MAX: usize = 32;

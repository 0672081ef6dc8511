//! HTTP/2 on one connection: hyper's state machine, and our deadline for silence.
//!
//! Owns the settings and the end of a connection without streams. Each stream is a task, since
//! hyper wants it so; it becomes the same exchange as a request of HTTP/1.1. Read next: `exchange`.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::Request;
use hyper::body::Incoming;
use hyper::rt::{Executor, Read, Write};
use hyper::server::conn::http2;
use hyper::service::service_fn;
use tokio::time::Instant;

use super::batch::{Batched, PutOff};
use super::exchange::exchange;
use super::io::ClientIo;
use super::stall::{Asked, Stream};
use super::state::Connection;
use crate::backend::Alarm;
use crate::config::HttpLimits;
use crate::drain::DrainWatch;
use crate::net::Progress;
use crate::outcome::CloseReason;

/// Serves streams until there are no more.
pub(super) async fn serve<I>(
    io: I,
    connection: Arc<Connection>,
    mut watch: DrainWatch,
) -> CloseReason
where
    I: Read + Write + Progress + Unpin + Send + 'static,
{
    let limits = &connection.service.limits.http;
    let put_off = PutOff::default();
    let io = Batched::new(ClientIo::new(io, Arc::clone(&connection)), put_off.clone());
    let of_exchanges = Arc::clone(&connection);
    let exchanges = service_fn(move |request: Request<Incoming>| {
        let exchange = exchange(&of_exchanges, request.map(crate::body::Incoming::Http1), None);
        // Boxed, since hyper and the runtime move it several times.
        Box::pin(Asked::new(async move { Ok::<_, Infallible>(exchange.await) }))
    });
    let builder = builder(limits, Streams(watch.clone(), Arc::clone(&connection)));
    let mut hyper = pin!(builder.serve_connection(io, exchanges));
    let mut finish = pin!(watch.finish());
    let mut silence = Silence::new();
    let mut finishing = false;
    poll_fn(|cx| {
        if !finishing && (finish.as_mut().poll(cx).is_ready() || connection.is_worn_out()) {
            finishing = true;
            hyper.as_mut().graceful_shutdown();
        }
        let mut polled = hyper.as_mut().poll(cx);
        if polled.is_pending() && put_off.is_set() {
            // Now that all has been written that there is, to be read in vain and so be flushed.
            polled = hyper.as_mut().poll(cx);
        }
        if let Poll::Ready(result) = polled {
            let reason = reason(&connection, result);
            return Poll::Ready(if silence.has_warned { CloseReason::Idle } else { reason });
        }
        match silence.poll(cx, &connection) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Silent::Long) => {
                finishing = true;
                hyper.as_mut().graceful_shutdown();
                // To have the farewell sent, and to have the second deadline set.
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Poll::Ready(Silent::TooLong) => Poll::Ready(CloseReason::Idle),
        }
    })
    .await
}

fn builder(limits: &HttpLimits, streams: Streams) -> http2::Builder<Streams> {
    let mut builder = http2::Builder::new(streams);
    builder
        .max_concurrent_streams(limits.h2_streams_max)
        .initial_stream_window_size(limits.h2_stream_window)
        .initial_connection_window_size(limits.h2_connection_window)
        .max_send_buf_size(limits.h2_send_buffer)
        .max_header_list_size(u32::try_from(limits.header_bytes_max).unwrap_or(u32::MAX))
        .max_local_error_reset_streams(LOCAL_RESETS_MAX);
    builder
}

fn reason(connection: &Connection, result: hyper::Result<()>) -> CloseReason {
    match result {
        Ok(()) => connection.fault().unwrap_or(CloseReason::Done),
        Err(error) => connection.fault().unwrap_or(if has_io_cause(&error) {
            CloseReason::ClientReset
        } else {
            CloseReason::ClientError
        }),
    }
}

fn has_io_cause(error: &dyn std::error::Error) -> bool {
    let mut causes = std::iter::successors(error.source(), |error| error.source());
    causes.any(|cause| cause.is::<std::io::Error>())
}

/// Runs the streams of a connection, under the same drain as the connection.
#[derive(Clone)]
struct Streams(DrainWatch, Arc<Connection>);

impl<F> Executor<F> for Streams
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, stream: F) {
        self.0.spawn(Stream::new(stream, Arc::clone(&self.1)));
    }
}

/// How long a connection has been without streams.
struct Silence {
    alarm: Alarm,
    since: Instant,
    requests: u64,
    has_warned: bool,
}

enum Silent {
    /// Time to say farewell.
    Long,
    /// The farewell was not heard.
    TooLong,
}

impl Silence {
    fn new() -> Self {
        Self { alarm: Alarm::default(), since: Instant::now(), requests: 0, has_warned: false }
    }

    fn poll(&mut self, cx: &mut Context<'_>, connection: &Connection) -> Poll<Silent> {
        let limits = &connection.service.limits.http;
        loop {
            let limit = match connection.requests() {
                _ if self.has_warned => FAREWELL_TIMEOUT,
                0 => limits.request_head_timeout,
                _ => limits.keepalive_timeout,
            };
            if connection.active() > 0 || connection.requests() != self.requests {
                self.requests = connection.requests();
                self.since = Instant::now();
            }
            ready!(self.alarm.poll_at(cx, self.since + limit));
            if connection.active() > 0 {
                continue;
            }
            self.since = Instant::now();
            return Poll::Ready(if std::mem::replace(&mut self.has_warned, true) {
                Silent::TooLong
            } else {
                Silent::Long
            });
        }
    }
}

/// Streams that we had to reset for errors of the client, before the connection goes.
const LOCAL_RESETS_MAX: usize = 128;
const FAREWELL_TIMEOUT: Duration = Duration::from_secs(5);

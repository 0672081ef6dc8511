//! HTTP/1.1 on one connection: hyper's state machine, our deadlines, and the end.
//!
//! Owns the time between requests: a request must be complete soon after it began, and a silent
//! connection is closed without a word. hyper has one timer for both and no answer for either, so
//! its timer is off. A connection that waits for longer is put to rest without hyper. When hyper is
//! done the stream is taken back: to say what was wrong, to become a tunnel, or to be closed so
//! that the last answer arrives. Read next: `exchange`.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::mem::MaybeUninit;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode, Version};
use hyper::body::Incoming;
use hyper::rt::{Read, ReadBuf, Write};
use hyper::server::conn::http1::{self, Parts};
use hyper::service::Service;
use tokio::time::{Instant, timeout};

use super::download::Download;
use super::exchange::exchange;
use super::io::ClientIo;
use super::page::raw_page;
use super::state::{Connection, Phase};
use crate::backend::Alarm;
use crate::config::HttpLimits;
use crate::drain::DrainWatch;
use crate::forward::upgrade;
use crate::net::Progress;
use crate::outcome::CloseReason;

/// Serves requests until there are no more.
pub(super) async fn serve<I>(
    io: I,
    connection: Arc<Connection>,
    mut watch: DrainWatch,
) -> CloseReason
where
    I: Read + Write + Progress + Unpin + Send + 'static,
{
    let mut io = ClientIo::new(io, Arc::clone(&connection));
    let mut patience = Patience::new();
    let mut finish = pin!(watch.finish());
    let (read, end) = loop {
        if let Some(end) = rest(&mut io, &mut patience, finish.as_mut(), &connection).await {
            break (Bytes::new(), end);
        }
        let (parts, end) = work(io, &mut patience, finish.as_mut(), &connection).await;
        io = parts.io;
        let read = io.leftovers(parts.read_buf);
        match end {
            End::Rest => io.unread(read),
            end => break (read, end),
        }
    };
    let ClientIo { stream, refused, .. } = io;
    // The end needs more space than the life of a connection, which is longer.
    Box::pin(close(stream, read, refused, end, &connection)).await
}

/// Waits for a request without anything but the stream: hyper's buffers are larger than all the
/// rest of a connection, and most connections wait most of the time. `None` if something came.
async fn rest<I: Read + Unpin>(
    io: &mut ClientIo<I>,
    patience: &mut Patience,
    mut finish: Pin<&mut impl Future<Output = ()>>,
    connection: &Connection,
) -> Option<End> {
    if io.has_unread() {
        return None;
    }
    poll_fn(|cx| {
        let mut scratch = [MaybeUninit::uninit(); FIRST_BYTES_MAX];
        let mut buf = ReadBuf::uninit(&mut scratch);
        match Pin::new(&mut *io).poll_read(cx, buf.unfilled()) {
            Poll::Ready(Ok(())) if buf.filled().is_empty() => return Poll::Ready(Some(End::Done)),
            Poll::Ready(Ok(())) => {
                io.unread(Bytes::copy_from_slice(buf.filled()));
                return Poll::Ready(None);
            }
            Poll::Ready(Err(_)) => return Poll::Ready(Some(End::Broken)),
            Poll::Pending => {}
        }
        if finish.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Some(End::Done));
        }
        patience.poll(cx, connection).map(Some)
    })
    .await
}

/// Serves requests until there is none for a while, or never will be.
async fn work<I>(
    io: ClientIo<I>,
    patience: &mut Patience,
    mut finish: Pin<&mut impl Future<Output = ()>>,
    connection: &Arc<Connection>,
) -> (Parts<ClientIo<I>, Exchanges>, End)
where
    I: Read + Write + Progress + Unpin + Send + 'static,
{
    let exchanges = Exchanges(Arc::clone(connection));
    let builder = builder(&connection.service.limits.http);
    let mut hyper = Box::new(builder.serve_connection(io, exchanges));
    let mut finishing = false;
    let end = poll_fn(|cx| {
        let mut polled = hyper.poll_without_shutdown(cx);
        if polled.is_pending() && connection.interims.is_waiting() {
            // hyper does not always flush behind an exchange that has nothing to say yet.
            polled = hyper.poll_without_shutdown(cx);
        }
        if let Poll::Ready(result) = polled {
            return Poll::Ready(End::from(result));
        }
        if finishing {
            return patience.poll(cx, connection);
        }
        // Only now, so that a request that has come already is answered.
        if finish.as_mut().poll(cx).is_ready() {
            finishing = true;
            Pin::new(&mut *hyper).graceful_shutdown();
            return hyper.poll_without_shutdown(cx).map(End::from);
        }
        patience.poll_rest(cx, connection)
    })
    .await;
    (hyper.into_parts(), end)
}

fn builder(limits: &HttpLimits) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .header_read_timeout(None)
        .max_headers(limits.header_fields_max)
        .max_header_size(limits.header_bytes_max)
        .max_buf_size(BUFFER_BYTES_MAX.max(limits.header_bytes_max));
    builder
}

/// Each request of a connection becomes an exchange.
struct Exchanges(Arc<Connection>);

impl Service<Request<Incoming>> for Exchanges {
    type Response = Response<Download>;
    type Error = Infallible;
    /// Boxed, so that a connection without a request does not hold the space for one.
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        // RFC 9110 §15.2: a client of HTTP/1.0 has never heard of interim responses.
        let understands = request.version() > Version::HTTP_10;
        let interims = understands.then(|| Arc::clone(&self.0.interims));
        let exchange = exchange(&self.0, request.map(crate::body::Incoming::Http1), interims);
        Box::pin(async move { Ok(exchange.await) })
    }
}

/// How a part of a connection ended.
enum End {
    /// The stream is of no more use.
    Broken,
    /// Everything was said.
    Done,
    /// hyper could not go on.
    Failed(hyper::Error),
    /// Nothing of a next request came.
    Idle,
    /// Nothing of the first request came, or not all of a request.
    Late,
    /// Nothing of a next request came for a while; it still may.
    Rest,
}

impl From<hyper::Result<()>> for End {
    fn from(result: hyper::Result<()>) -> Self {
        result.map_or_else(Self::Failed, |()| Self::Done)
    }
}

/// The deadlines between requests.
struct Patience {
    alarm: Alarm,
    phase: Phase,
    requests: u64,
    since: Instant,
}

impl Patience {
    fn new() -> Self {
        Self { alarm: Alarm::default(), phase: Phase::Idle, requests: 0, since: Instant::now() }
    }

    fn poll(&mut self, cx: &mut Context<'_>, connection: &Connection) -> Poll<End> {
        self.note(connection);
        let limits = &connection.service.limits.http;
        let (limit, end) = match self.phase {
            // Exchanges have deadlines of their own, and so has writing.
            Phase::Busy | Phase::Tail => return Poll::Pending,
            Phase::Head => (limits.request_head_timeout, End::Late),
            Phase::Idle if connection.requests() == 0 => (limits.request_head_timeout, End::Late),
            Phase::Idle => (limits.keepalive_timeout, End::Idle),
        };
        self.alarm.poll_at(cx, self.since + limit).map(|()| end)
    }

    /// The same for a connection that may rest first.
    fn poll_rest(&mut self, cx: &mut Context<'_>, connection: &Connection) -> Poll<End> {
        self.note(connection);
        match self.phase {
            Phase::Idle => self.alarm.poll_at(cx, self.since + REST_AFTER).map(|()| End::Rest),
            Phase::Busy | Phase::Head | Phase::Tail => self.poll(cx, connection),
        }
    }

    fn note(&mut self, connection: &Connection) {
        let (phase, requests) = (connection.phase(), connection.requests());
        // A request may begin and end between two looks.
        if self.phase != phase || self.requests != requests {
            self.phase = phase;
            self.requests = requests;
            self.since = Instant::now();
        }
    }
}

/// Ends the connection in the way that its end asks for.
async fn close<I>(
    mut stream: I,
    read: Bytes,
    refused: Option<StatusCode>,
    end: End,
    connection: &Connection,
) -> CloseReason
where
    I: Read + Write + Progress + Unpin + Send + 'static,
{
    let (reason, last_words) = match end {
        End::Idle => (CloseReason::Idle, None),
        // A connection that never said anything is not answered.
        End::Late if read.is_empty() => (CloseReason::Timeout, None),
        End::Late => (CloseReason::Timeout, Some(StatusCode::REQUEST_TIMEOUT)),
        End::Done | End::Rest => {
            if let Some(tunnel) = connection.take_tunnel() {
                return upgrade::join(stream, read, tunnel, &connection.service.limits).await;
            }
            (connection.fault().unwrap_or(CloseReason::Done), None)
        }
        End::Broken | End::Failed(_) if refused.is_some() => (CloseReason::ClientError, refused),
        // The stream is dropped as it is: a response that was cut must not look complete.
        End::Failed(error) => return connection.fault().unwrap_or_else(|| blame(&error)),
        End::Broken => return connection.fault().unwrap_or(CloseReason::ClientReset),
    };
    let _ = timeout(CLOSE_TIMEOUT, async {
        if let Some(status) = last_words {
            count(connection, status);
            write_all(&mut stream, &raw_page(status)).await?;
        }
        poll_fn(|cx| Pin::new(&mut stream).poll_shutdown(cx)).await?;
        if last_words.is_some() || connection.has_unread() {
            linger(&mut stream).await?;
        }
        Ok::<_, std::io::Error>(())
    })
    .await;
    reason
}

fn count(connection: &Connection, status: StatusCode) {
    let class = crate::metrics::CodeClass::of(status.as_u16());
    connection.service.metrics.http_requests.of(connection.version, class).inc();
}

/// Whose doing an error of hyper's is.
fn blame(error: &hyper::Error) -> CloseReason {
    if error.is_parse() { CloseReason::ClientError } else { CloseReason::ClientReset }
}

async fn write_all<I: Write + Unpin>(stream: &mut I, mut bytes: &[u8]) -> std::io::Result<()> {
    poll_fn(|cx| {
        while !bytes.is_empty() {
            let written = ready!(Pin::new(&mut *stream).poll_write(cx, bytes))?;
            if written == 0 {
                return Poll::Ready(Err(std::io::ErrorKind::WriteZero.into()));
            }
            bytes = bytes.get(written..).unwrap_or_default();
        }
        Pin::new(&mut *stream).poll_flush(cx)
    })
    .await
}

/// Reads what the client still sends, up to a limit, so that the kernel does not answer it with a
/// reset that destroys our last words on their way.
async fn linger<I: Read + Unpin>(stream: &mut I) -> std::io::Result<()> {
    let mut rest = LINGER_BYTES_MAX;
    poll_fn(|cx| {
        let mut scratch = [MaybeUninit::uninit(); FIRST_BYTES_MAX];
        while rest > 0 {
            let mut buf = ReadBuf::uninit(&mut scratch);
            ready!(Pin::new(&mut *stream).poll_read(cx, buf.unfilled()))?;
            match buf.filled().len() {
                0 => break,
                read => rest = rest.saturating_sub(read),
            }
        }
        Poll::Ready(Ok(()))
    })
    .await
}

/// How long hyper's buffers are kept for the next request.
const REST_AFTER: Duration = Duration::from_secs(1);
/// What is read at once when a connection at rest wakes up; hyper reads what is left.
const FIRST_BYTES_MAX: usize = 2048;
/// What is read ahead of a backend, and written ahead of a client.
const BUFFER_BYTES_MAX: usize = 64 * 1024;
/// For the last words and the farewell of the client.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);
const LINGER_BYTES_MAX: usize = 64 * 1024;

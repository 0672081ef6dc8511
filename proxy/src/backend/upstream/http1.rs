//! One HTTP/1.1 connection to an endpoint, driven by the exchange that uses it.
//!
//! Owns [`Http1`], the two halves of a connection as hyper has them. There is no task behind it:
//! whoever waits for its response polls it. Only an exchange that went by the book in every
//! respect leaves it at rest. Refuses to know headers and status codes. Read next: `upload`, the
//! body that goes out.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body as _;
use hyper::client::conn::http1::{Builder, Connection, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use super::{SendError, SendFault, replay};
use crate::backend::connections::Seat;
use crate::backend::link::Link;
use crate::backend::upload::Upload;
use crate::body::Incoming;

/// One HTTP/1.1 connection to an endpoint.
pub(in crate::backend) struct Http1 {
    sender: SendRequest<Upload>,
    connection: Option<Connection<TokioIo<Metered>, Upload>>,
    pulse: Arc<Pulse>,
    since: Instant,
    use_before: Use,
    seat: Seat,
}

/// Whether a connection has served an exchange already.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Use {
    None,
    Some,
}

impl Http1 {
    pub(in crate::backend) async fn open(link: Link, seat: Seat) -> Result<Box<Self>, SendFault> {
        let pulse = Arc::new(Pulse::default());
        let io = Metered { link, pulse: Arc::clone(&pulse) };
        let (sender, connection) = Builder::new()
            .max_buf_size(BUFFER_BYTES_MAX)
            .max_header_size(HEAD_BYTES_MAX)
            .handshake(TokioIo::new(io))
            .await
            .map_err(SendFault::Http1)?;
        let connection = Some(connection);
        let since = Instant::now();
        Ok(Box::new(Self { sender, connection, pulse, since, use_before: Use::None, seat }))
    }

    /// How long it has been open.
    pub(in crate::backend) fn age(&self, now: Instant) -> Duration {
        now.duration_since(self.since)
    }

    /// Whether the connection is still good for a request: open, and silent.
    pub(in crate::backend) async fn is_usable(&mut self) -> bool {
        poll_fn(|cx| Poll::Ready(self.poll_driven(cx).is_pending())).await && self.sender.is_ready()
    }

    /// Sends `request` and waits for the head of the response.
    pub(super) fn send(
        &mut self,
        request: Request<Upload>,
    ) -> impl Future<Output = Result<Response<Incoming>, SendError>> {
        self.pulse.head_budget.store(RESPONSE_BYTES_MAX, Ordering::Relaxed);
        // The endpoint may just have closed a connection that waited, which is nobody's fault: what
        // does no harm twice (RFC 9110 §9.2.2) and has no body is sent again.
        let used = std::mem::replace(&mut self.use_before, Use::Some);
        let is_harmless = request.method().is_idempotent() && request.body().is_end_stream();
        if used == Use::Some && is_harmless {
            self.pulse.keep();
        }
        let response = self.sender.try_send_request(request);
        async move {
            let mut response = pin!(response);
            let answer = poll_fn(|cx| {
                let ended = self.poll_driven(cx).is_ready();
                let answer = response.as_mut().poll(cx);
                if ended && answer.is_pending() {
                    // With the connection goes the request that waits in its queue: it comes back.
                    self.connection = None;
                    return response.as_mut().poll(cx);
                }
                answer
            });
            let result = answer.await;
            let rest = self.pulse.head_budget.swap(NO_BUDGET, Ordering::Relaxed);
            let kept = self.pulse.keeps.swap(false, Ordering::Relaxed);
            let bytes = if kept { std::mem::take(&mut *self.pulse.kept()) } else { Vec::new() };
            match result {
                Ok(response) => Ok(response.map(Incoming::Http1)),
                Err(mut error) => {
                    let unsent = error.take_message().or_else(|| match rest {
                        RESPONSE_BYTES_MAX => replay::read_back(&bytes),
                        _ => None,
                    });
                    let cause = SendFault::Http1(error.into_error());
                    Err(SendError { unsent: unsent.map(Box::new), cause })
                }
            }
        }
    }

    /// Whether all that was handed over has reached the system.
    pub(super) fn is_flushed(&self) -> bool {
        !self.pulse.is_blocked.load(Ordering::Relaxed)
    }

    /// Moves what can be moved.
    pub(super) fn drive(&mut self, cx: &mut Context<'_>) {
        if self.poll_driven(cx).is_ready() {
            self.connection = None;
        }
    }

    /// Whether the exchange is over and has left nothing behind.
    pub(super) fn is_at_rest(&mut self) -> bool {
        if !self.sender.is_ready() {
            // It is waited for no more: what moves now is only hyper's state.
            self.drive(&mut Context::from_waker(Waker::noop()));
        }
        self.connection.is_some() && self.is_flushed() && self.sender.is_ready()
    }

    /// The link, and what was read behind the response.
    pub(super) async fn into_parts(mut self: Box<Self>) -> Option<(Link, Bytes, Seat)> {
        poll_fn(|cx| self.poll_driven(cx)).await;
        let parts = self.connection.take()?.into_parts();
        Some((parts.io.into_inner().link, parts.read_buf, self.seat))
    }

    /// Moves what can be moved; ready when the connection has ended.
    fn poll_driven(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(connection) = &mut self.connection else { return Poll::Ready(()) };
        // What went wrong is told through the promise of the response, or through its body.
        connection.poll_without_shutdown(cx).map(|_| ())
    }
}

impl std::fmt::Debug for Http1 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Http1").finish_non_exhaustive()
    }
}

/// A link that reads only so much before the head of a response is complete, however many
/// interim responses come before it.
struct Metered {
    link: Link,
    pulse: Arc<Pulse>,
}

/// What a connection tells of its socket, which hyper holds.
#[derive(Debug)]
struct Pulse {
    /// Bytes that may still be read before the head of the response is complete.
    head_budget: AtomicUsize,
    /// Whether something that was to be written still waits.
    is_blocked: AtomicBool,
    /// Whether what is written is kept.
    keeps: AtomicBool,
    kept: Mutex<Vec<u8>>,
}

impl Default for Pulse {
    fn default() -> Self {
        Self {
            head_budget: AtomicUsize::new(NO_BUDGET),
            is_blocked: AtomicBool::new(false),
            keeps: AtomicBool::new(false),
            kept: Mutex::default(),
        }
    }
}

impl Pulse {
    /// Keeps what is written from now on.
    fn keep(&self) {
        self.keeps.store(true, Ordering::Relaxed);
    }

    fn kept(&self) -> MutexGuard<'_, Vec<u8>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes note of what was taken of `bufs`.
    fn note_taken(&self, result: &Poll<io::Result<usize>>, bufs: &[io::IoSlice<'_>]) {
        let Poll::Ready(Ok(mut taken)) = *result else { return };
        if self.keeps.load(Ordering::Relaxed) {
            for buf in bufs {
                let part = buf.get(..taken.min(buf.len())).unwrap_or_default();
                self.kept().extend_from_slice(part);
                taken -= part.len();
            }
        }
    }

    fn note_write<T>(&self, result: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        self.is_blocked.store(result.is_pending(), Ordering::Relaxed);
        result
    }
}

impl AsyncRead for Metered {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let result = Pin::new(&mut self.link).poll_read(cx, buf);
        let budget = self.pulse.head_budget.load(Ordering::Relaxed);
        if budget != NO_BUDGET {
            let read = buf.filled().len() - before;
            let Some(rest) = budget.checked_sub(read) else {
                return Poll::Ready(Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    "the response does not get to the end of its head",
                )));
            };
            self.pulse.head_budget.store(rest, Ordering::Relaxed);
        }
        result
    }
}

impl AsyncWrite for Metered {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.link).poll_write(cx, buf);
        self.pulse.note_taken(&result, &[io::IoSlice::new(buf)]);
        self.pulse.note_write(result)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Under TLS, bytes may wait although all writes were taken.
        let result = Pin::new(&mut self.link).poll_flush(cx);
        self.pulse.note_write(result)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.link).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.link).poll_write_vectored(cx, bufs);
        self.pulse.note_taken(&result, bufs);
        self.pulse.note_write(result)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }
}

/// What is read ahead of the client, and written ahead of the endpoint.
const BUFFER_BYTES_MAX: usize = 64 * 1024;
const HEAD_BYTES_MAX: usize = 64 * 1024;
/// All interim responses and the final head together, with what follows in the same read.
const RESPONSE_BYTES_MAX: usize = 256 * 1024;
const NO_BUDGET: usize = usize::MAX;

#[cfg(test)]
mod tests {
    use prometheus::IntGauge;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;
    use crate::backend::connections::Connections;
    use crate::config::{HttpLimits, PoolBounds};
    use crate::net::Socket;

    #[tokio::test]
    async fn a_connection_that_waits_keeps_nothing_of_its_last_request() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let socket = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut endpoint, _) = listener.accept().await.unwrap();
        let bounds = PoolBounds { connections_max: 1, age_max: Duration::MAX, streams_max: 1 };
        let connections = Connections::new(&HttpLimits::default(), bounds);
        let active = IntGauge::new("active", "connections").unwrap();
        let seat = connections.seat(&active, Instant::now()).await.unwrap();
        let mut connection = Http1::open(Link::Clear(Socket::Tcp(socket)), seat).await.unwrap();
        for _ in 0..2 {
            let request = Request::get("/").header("host", "app.example").header("cookie", "a=1");
            let sent = connection.send(request.body(Upload::none()).unwrap());
            let answer = async {
                let mut heard = Vec::new();
                while !heard.ends_with(b"\r\n\r\n") {
                    assert_ne!(endpoint.read_buf(&mut heard).await.unwrap(), 0, "the end");
                }
                endpoint.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
            };
            let (response, ()) = tokio::join!(sent, answer);
            assert_eq!(response.unwrap().status(), 204);
            assert!(connection.is_at_rest());
        }
        assert_eq!(connection.pulse.kept().capacity(), 0);
    }
}

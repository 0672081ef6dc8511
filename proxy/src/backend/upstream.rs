//! One HTTP/1.1 connection to an endpoint, driven by the exchange that uses it.
//!
//! Owns [`Upstream`], the two halves of a connection as hyper has them, and [`Lease`], the right to
//! use one for a single exchange. There is no task behind an upstream connection: whoever waits for
//! its response polls it. A lease that is dropped closes the connection; only an exchange that went
//! by the book in every respect gives it back. Refuses to know headers and status codes. Read next:
//! `upload`, the body that goes out.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::{Request, Response};
use hyper::client::conn::TrySendError;
use hyper::client::conn::http1::{Builder, Connection, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use super::endpoint::Load;
use super::upload::Upload;
use crate::body::Incoming;
use crate::metrics::Active;
use crate::net::{EndpointAddr, Socket};

/// One HTTP/1.1 connection to an endpoint.
pub(super) struct Upstream {
    sender: SendRequest<Upload>,
    connection: Option<Connection<TokioIo<Metered>, Upload>>,
    pulse: Arc<Pulse>,
    _active: Active,
}

impl Upstream {
    pub(super) async fn open(socket: Socket, active: Active) -> hyper::Result<Box<Self>> {
        let pulse = Arc::new(Pulse::default());
        let io = Metered { socket, pulse: Arc::clone(&pulse) };
        let (sender, connection) = Builder::new()
            .max_buf_size(BUFFER_BYTES_MAX)
            .max_header_size(HEAD_BYTES_MAX)
            .handshake(TokioIo::new(io))
            .await?;
        Ok(Box::new(Self { sender, connection: Some(connection), pulse, _active: active }))
    }

    /// Whether the connection is still good for a request: open, and silent.
    pub(super) async fn is_usable(&mut self) -> bool {
        poll_fn(|cx| Poll::Ready(self.poll_driven(cx).is_pending())).await && self.sender.is_ready()
    }

    /// Moves what can be moved; ready when the connection has ended.
    fn poll_driven(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(connection) = &mut self.connection else { return Poll::Ready(()) };
        // What went wrong is told through the promise of the response, or through its body.
        connection.poll_without_shutdown(cx).map(|_| ())
    }
}

impl std::fmt::Debug for Upstream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Upstream").finish_non_exhaustive()
    }
}

/// The right to use a connection for one exchange.
#[derive(Debug)]
pub struct Lease {
    upstream: Box<Upstream>,
    load: Load,
}

impl Lease {
    pub(super) fn new(upstream: Box<Upstream>, load: Load) -> Self {
        Self { upstream, load }
    }

    /// Sends `request` and waits for the head of the response. If the request is in the error then
    /// nothing of it was sent.
    ///
    /// Not an `async fn`, whose future would keep room for the request that is long gone.
    pub fn send(
        &mut self,
        request: Request<Upload>,
    ) -> impl Future<Output = Result<Response<Incoming>, TrySendError<Request<Upload>>>> {
        let upstream = &mut *self.upstream;
        upstream.pulse.head_budget.store(RESPONSE_BYTES_MAX, Ordering::Relaxed);
        let response = upstream.sender.try_send_request(request);
        async move {
            let mut response = pin!(response);
            let answer = poll_fn(|cx| {
                let ended = upstream.poll_driven(cx).is_ready();
                let answer = response.as_mut().poll(cx);
                if ended && answer.is_pending() {
                    // With the connection goes the request that waits in its queue: it comes back.
                    upstream.connection = None;
                    return response.as_mut().poll(cx);
                }
                answer
            });
            let result = answer.await;
            upstream.pulse.head_budget.store(NO_BUDGET, Ordering::Relaxed);
            result.map(|response| response.map(Incoming::Http1))
        }
    }

    /// Where the connection leads.
    pub fn endpoint(&self) -> &EndpointAddr {
        &self.load.endpoint().addr
    }

    /// Whether all that was handed over has reached the system.
    pub fn is_flushed(&self) -> bool {
        !self.upstream.pulse.is_blocked.load(Ordering::Relaxed)
    }

    /// Moves what can be moved while the body of the response is waited for.
    pub fn drive(&mut self, cx: &mut Context<'_>) {
        if self.upstream.poll_driven(cx).is_ready() {
            self.upstream.connection = None;
        }
    }

    /// Gives the connection back for the next exchange, if it is at rest; else closes it. To be
    /// called only when the response was received completely.
    pub fn give_back(mut self) {
        if !self.upstream.sender.is_ready() {
            // Nobody waits for it any more: what moves now is only hyper's state.
            self.drive(&mut Context::from_waker(Waker::noop()));
        }
        let is_open = self.upstream.connection.is_some();
        if is_open && self.is_flushed() && self.upstream.sender.is_ready() {
            self.load.endpoint().pool.put(self.upstream, Instant::now());
        }
    }

    /// Takes the connection apart after a response that changes the protocol: the socket, and what
    /// was read behind the response.
    pub async fn into_tunnel(mut self) -> Option<Tunnel> {
        poll_fn(|cx| self.upstream.poll_driven(cx)).await;
        let parts = self.upstream.connection.take()?.into_parts();
        let Upstream { _active: active, .. } = *self.upstream;
        Some(Tunnel {
            socket: parts.io.into_inner().socket,
            early: parts.read_buf,
            guards: Guards { _active: active, _load: self.load },
        })
    }
}

/// A connection to an endpoint that speaks another protocol from now on.
#[derive(Debug)]
pub struct Tunnel {
    /// The connection.
    pub socket: Socket,
    /// What the endpoint has sent already.
    pub early: Bytes,
    /// What is counted is counted as long as this lives.
    pub guards: Guards,
}

/// What a tunnel counts for.
#[derive(Debug)]
pub struct Guards {
    _active: Active,
    _load: Load,
}

/// A socket that reads only so much before the head of a response is complete, however many
/// interim responses come before it.
struct Metered {
    socket: Socket,
    pulse: Arc<Pulse>,
}

/// What a connection tells of its socket, which hyper holds.
#[derive(Debug)]
struct Pulse {
    /// Bytes that may still be read before the head of the response is complete.
    head_budget: AtomicUsize,
    /// Whether something that was to be written still waits.
    is_blocked: AtomicBool,
}

impl Default for Pulse {
    fn default() -> Self {
        Self { head_budget: AtomicUsize::new(NO_BUDGET), is_blocked: AtomicBool::new(false) }
    }
}

impl Pulse {
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
        let result = Pin::new(&mut self.socket).poll_read(cx, buf);
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
        let result = Pin::new(&mut self.socket).poll_write(cx, buf);
        self.pulse.note_write(result)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.socket).poll_write_vectored(cx, bufs);
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

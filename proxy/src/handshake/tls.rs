//! The TLS stream: rustls' connection state over our socket, with no buffer while it is idle.
//!
//! Owns when the socket is read and written. Ciphertext is read into a chunk that the thread
//! lends, and the chunk stays with the connection only while the reader of the clear text is slower
//! than the client. What rustls has to send is flushed before the stream waits, so that a session
//! ticket travels with the first answer. Refuses to know what the clear text means. Read next:
//! `forward`.

use std::future::poll_fn;
use std::io::{self, BufRead, IoSlice, Write};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use portunus_certs::client_auth::ClientIdentity;
use portunus_certs::name::HostName;
use rustls::{HandshakeKind, ServerConnection};
use tokio::io::AsyncWrite;

use crate::metrics::{Direction, Meter};
use crate::net::{Chunk, Progress, SCRATCH_BYTES, Socket};
use crate::outcome::HandshakeFailure;

use super::client::{self, Authentication, Unidentified};
use super::facts::{Facts, OwnCertificate};
use super::reason::{self, Broken};
use super::resume::Attempt;
use super::sites::SiteId;

/// An encrypted connection, read and written in clear text.
#[derive(Debug)]
pub struct TlsStream {
    socket: Socket,
    /// Large, and moved from stage to stage.
    tls: Box<ServerConnection>,
    /// Ciphertext that was read and not yet taken by rustls.
    chunk: Option<Chunk>,
    /// Bytes of clear text that rustls holds.
    clear: usize,
    input: Input,
    output: Output,
    /// Bytes of ciphertext that the kernel took.
    sent: u64,
    /// Why it takes no more. The system tells that once, and then shows an orderly end.
    send_error: Option<io::ErrorKind>,
    meter: Arc<Meter>,
}

/// What is known of the client's direction.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Input {
    Open,
    /// Ended by `close_notify` (RFC 8446 §6.1).
    Ended,
    /// Ended by TCP alone, which an attacker can do as well.
    Truncated,
}

/// What is known of our direction.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Output {
    Open,
    /// `close_notify` is queued or sent.
    Ended,
}

impl TlsStream {
    pub(super) fn new(socket: Socket, mut tls: ServerConnection, meter: Arc<Meter>) -> Self {
        // The answer to a KeyUpdate (RFC 8446 §4.6.3) is put in front of the next clear text and
        // counts for the limit: a full scratch buffer must fit behind it.
        tls.set_buffer_limit(Some(SCRATCH_BYTES + CONTROL_BYTES_MAX));
        let (input, output, tls) = (Input::Open, Output::Open, Box::new(tls));
        Self { socket, tls, chunk: None, clear: 0, input, output, sent: 0, send_error: None, meter }
    }

    /// Runs the handshake to its end. What is then still to be sent goes with the first answer, or
    /// before the first wait.
    pub(super) async fn handshake(&mut self) -> Result<(), TlsError> {
        poll_fn(|cx| {
            while self.tls.is_handshaking() {
                if self.input != Input::Open {
                    return Poll::Ready(Err(TlsError::Closed));
                }
                ready!(self.poll_input(cx))?;
            }
            Poll::Ready(Ok(()))
        })
        .await
    }

    /// Whether the client was asked for another ClientHello, which is not complete yet.
    pub(super) fn awaits_another_hello(&self) -> bool {
        self.tls.handshake_kind() == Some(HandshakeKind::FullWithHelloRetryRequest)
            && self.tls.negotiated_key_exchange_group().is_none()
    }

    /// Waits until the client has said more of its handshake, which [`TlsStream::take_heard`]
    /// takes.
    pub(super) async fn hear(&mut self) -> Result<(), TlsError> {
        poll_fn(|cx| self.poll_chunk(cx)).await?;
        if self.chunk.is_some() { Ok(()) } else { Err(TlsError::Closed) }
    }

    /// Takes what was heard, without waiting.
    pub(super) fn take_heard(&mut self) -> Result<(), TlsError> {
        self.decrypt_some()
    }

    /// The socket, and the bytes of an alert that rustls still wants to send.
    pub(super) fn into_last_words(mut self) -> (Socket, Vec<u8>) {
        let mut words = Vec::new();
        // Writing to a Vec cannot fail; rustls returns 0 when it has nothing left.
        while self.tls.wants_write() && self.tls.write_tls(&mut words).is_ok_and(|n| n > 0) {}
        (self.socket, words)
    }

    /// Who the client is, after the handshake.
    pub(super) fn identify(
        &self,
        authentication: Option<&Authentication>,
    ) -> Result<Option<Arc<ClientIdentity>>, TlsError> {
        client::identify(authentication, &self.tls).map_err(TlsError::Client)
    }

    /// What the finished handshake made known.
    pub(super) fn facts(
        &self,
        server_name: Option<HostName>,
        site: SiteId,
        client: Option<Arc<ClientIdentity>>,
        attempt: &Attempt,
        certificate: OwnCertificate,
    ) -> Facts {
        Facts::new(&self.tls, attempt, server_name, site, client, certificate)
    }

    /// Waits until [`TlsStream::clear_text`] has something to show, or never will again.
    pub fn poll_clear_text(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), TlsError>> {
        while self.clear == 0 && self.input == Input::Open {
            ready!(self.poll_input(cx))?;
        }
        Poll::Ready(Ok(()))
    }

    /// The next clear text of the client, empty at its end; [`TlsStream::consume`] takes it away.
    pub fn clear_text(&mut self) -> &[u8] {
        // What rustls has nothing to show of, it reports as an error.
        self.tls.reader().into_first_chunk().unwrap_or_default()
    }

    /// Whether more of the client's bytes are here already.
    pub fn has_more(&self) -> bool {
        self.chunk.is_some()
    }

    /// Whether the client's direction was ended by TCP alone, without `close_notify`.
    pub fn is_truncated(&self) -> bool {
        self.input == Input::Truncated
    }

    /// The socket, to set options.
    pub fn socket(&self) -> &Socket {
        &self.socket
    }

    /// Takes away the first `count` bytes of what [`TlsStream::clear_text`] showed.
    pub fn consume(&mut self, count: usize) {
        self.tls.reader().consume(count);
        self.clear -= count;
        self.meter.add(Direction::Upstream, count);
    }

    /// Encrypts as much of `clear` as fits below the limit of unsent bytes.
    pub fn encrypt(&mut self, clear: &[u8]) -> Result<usize, TlsError> {
        let count = self.tls.writer().write(clear).map_err(TlsError::Io)?;
        self.meter.add(Direction::Downstream, count);
        Ok(count)
    }

    /// Sends all that is encrypted.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), TlsError>> {
        while self.tls.wants_write() {
            let mut outlet = Outlet { socket: &mut self.socket, cx, output: self.output };
            match self.tls.write_tls(&mut outlet) {
                Ok(count) => self.sent += count as u64,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Poll::Pending,
                Err(error) => {
                    self.send_error = Some(error.kind());
                    return Poll::Ready(Err(TlsError::Io(error)));
                }
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Ends our direction: `close_notify`, then the end of the TCP stream.
    pub fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), TlsError>> {
        if self.output == Output::Open {
            self.output = Output::Ended;
            self.tls.send_close_notify();
        }
        ready!(self.poll_flush(cx))?;
        AsyncWrite::poll_shutdown(Pin::new(&mut self.socket), cx).map_err(TlsError::Io)
    }

    /// Waits for bytes of the client if there are none; there are none at the end of its direction.
    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), TlsError>> {
        if self.chunk.is_none() && self.input == Input::Open {
            let mut chunk = Chunk::lend();
            match chunk.poll_fill(cx, &mut self.socket) {
                Poll::Ready(Ok(0)) => {
                    self.input = Input::Truncated;
                    let broken = self.send_error.map(|kind| TlsError::Io(kind.into()));
                    return Poll::Ready(broken.map_or(Ok(()), Err));
                }
                Poll::Ready(Ok(_)) => self.chunk = Some(chunk),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(TlsError::Io(error))),
                Poll::Pending => {
                    // A client that no longer listens may still have something to say: an error
                    // of the flush shows again when something is to be answered.
                    let _ = self.poll_flush(cx);
                    return Poll::Pending;
                }
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Takes one step with the client's bytes, waiting for them if there are none.
    fn poll_input(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), TlsError>> {
        ready!(self.poll_chunk(cx))?;
        let taken = self.decrypt_some();
        if taken.is_err() && !self.tls.is_handshaking() {
            // The alert that says why. Within the handshake it is among the last words.
            let _ = self.poll_flush(cx);
        }
        Poll::Ready(taken)
    }

    /// Gives rustls as much of the chunk as it takes at once.
    fn decrypt_some(&mut self) -> Result<(), TlsError> {
        let Some(chunk) = &mut self.chunk else { return Ok(()) };
        let mut rest = chunk.rest();
        let taken = self.tls.read_tls(&mut rest).map_err(TlsError::Io)?;
        if chunk.advance(taken) == 0 {
            self.chunk = None;
        }
        let state = self.tls.process_new_packets().map_err(|error| TlsError::Tls(Broken(error)))?;
        self.clear = state.plaintext_bytes_to_read();
        if state.peer_has_closed() {
            self.input = Input::Ended;
            self.chunk = None;
        }
        Ok(())
    }
}

impl Progress for TlsStream {
    fn bytes_sent(&self) -> u64 {
        self.sent
    }
}

impl hyper::rt::Read for TlsStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut buf: hyper::rt::ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let stream = self.get_mut();
        loop {
            ready!(stream.poll_clear_text(cx))?;
            let clear = stream.clear_text();
            let count = clear.len().min(buf.remaining());
            if count == 0 {
                return Poll::Ready(Ok(()));
            }
            buf.put_slice(clear.get(..count).unwrap_or_default());
            stream.consume(count);
            if stream.clear == 0 {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl hyper::rt::Write for TlsStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(buf)])
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(ready!(Self::poll_flush(self.get_mut(), cx))?))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(ready!(self.get_mut().poll_end(cx))?))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let stream = self.get_mut();
        let empty = bufs.iter().all(|buf| buf.is_empty());
        loop {
            let count = stream.tls.writer().write_vectored(bufs)?;
            if count > 0 || empty {
                stream.meter.add(Direction::Downstream, count);
                return Poll::Ready(Ok(count));
            }
            ready!(stream.poll_flush(cx))?;
        }
    }
}

/// Why a TLS stream broke.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The handshake is finished, and the client is not who it has to be.
    #[error("the client is not authenticated")]
    Client(#[source] Unidentified),
    /// The client went away before the handshake was finished.
    #[error("the client closed the connection")]
    Closed,
    /// The socket failed.
    #[error("the connection broke")]
    Io(#[source] io::Error),
    /// The client broke the rules, or could not agree with us.
    #[error("TLS failed")]
    Tls(#[source] Broken),
}

impl TlsError {
    /// The reason as metrics and logs have it, if the handshake was not finished.
    pub fn failure(&self) -> HandshakeFailure {
        match self {
            Self::Client(error) => error.failure(),
            Self::Io(error) if crate::net::is_reset(error) => HandshakeFailure::ClientReset,
            Self::Closed | Self::Io(_) => HandshakeFailure::ClientClosed,
            Self::Tls(Broken(error)) => reason::of(error),
        }
    }

    /// Whether the client reset the connection, which is routine.
    pub fn is_reset(&self) -> bool {
        matches!(self, Self::Io(error) if crate::net::is_reset(error))
    }
}

impl From<TlsError> for io::Error {
    fn from(error: TlsError) -> Self {
        match error {
            TlsError::Io(error) => error,
            error => Self::new(io::ErrorKind::InvalidData, error),
        }
    }
}

/// The socket as rustls writes to it: at once or, with the task to be woken, not at all.
struct Outlet<'a, 'b> {
    socket: &'a mut Socket,
    cx: &'a mut Context<'b>,
    output: Output,
}

impl Write for Outlet<'_, '_> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(buf)])
    }

    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        let written = match self.output {
            Output::Open => Pin::new(&mut *self.socket).poll_write_vectored(self.cx, bufs),
            Output::Ended => self.socket.poll_write_ahead(self.cx, bufs),
        };
        match written {
            Poll::Ready(result) => result,
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// More than all records that rustls sends by itself between two writes of ours.
const CONTROL_BYTES_MAX: usize = 1024;

//! The bytes between us and an endpoint: a socket, in the clear or under TLS.
//!
//! Owns [`Link`], which is what every connection to an endpoint is made of, whatever is spoken on
//! it. Refuses to know how TLS came about, which is `tls`, and who reads and writes.

use std::io;
use std::io::IoSlice;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::client::TlsStream;

use super::tls::{self, Alpn, speaks_http2};
use crate::metrics::BackendHandshake;
use crate::net::Socket;

/// A connection to an endpoint.
#[derive(Debug)]
pub enum Link {
    /// Without TLS.
    Clear(Socket),
    /// Under TLS, which is established.
    Tls(Box<TlsStream<Socket>>),
}

impl Link {
    /// The socket, to set options.
    pub fn socket(&self) -> &Socket {
        match self {
            Self::Clear(socket) => socket,
            Self::Tls(stream) => stream.get_ref().0,
        }
    }

    /// Whether HTTP/2 is to be spoken, after `offer`: what was agreed on under TLS, or what both
    /// sides know without it.
    pub(super) fn speaks_http2(&self, offer: Alpn) -> bool {
        match self {
            Self::Clear(_) => offer == Alpn::Http2,
            Self::Tls(stream) => speaks_http2(stream),
        }
    }

    /// How its handshake came to its keys, if it had one.
    pub(super) fn handshake(&self) -> Option<BackendHandshake> {
        match self {
            Self::Clear(_) => None,
            Self::Tls(stream) => Some(tls::kind(stream)),
        }
    }

    /// Makes the coming close an abortive one: the other end gets a reset, not an end of stream.
    pub fn reset_on_close(&self) {
        self.socket().reset_on_close();
    }

    /// Reads what is there.
    pub fn poll_fill(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        match self {
            Self::Clear(socket) => socket.poll_fill(cx, buf),
            Self::Tls(stream) => {
                let mut buf = ReadBuf::new(buf);
                ready!(Pin::new(stream).poll_read(cx, &mut buf))?;
                Poll::Ready(Ok(buf.filled().len()))
            }
        }
    }

    /// Writes bytes that need not travel yet, since more follow at once; [`Link::poll_push`] sends
    /// them if nothing followed after all.
    pub fn poll_write_ahead(
        &mut self,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self {
            Self::Clear(socket) => socket.poll_write_ahead(cx, bufs),
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
        }
    }

    /// Sends what was written ahead, and what TLS has gathered.
    pub fn poll_push(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Clear(socket) => {
                socket.push();
                Poll::Ready(Ok(()))
            }
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }
}

impl AsyncRead for Link {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Clear(socket) => Pin::new(socket).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Link {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Clear(socket) => Pin::new(socket).poll_write(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Clear(socket) => Pin::new(socket).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Clear(socket) => Pin::new(socket).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Clear(socket) => Pin::new(socket).poll_write_vectored(cx, bufs),
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }
}

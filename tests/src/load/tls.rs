//! A TLS client over a tokio socket: rustls, cut down to the one cipher and group that is compared.
//!
//! Owns [`TlsStream`] and the checks that the server agreed to what the leg is about. It reads
//! from the socket in large pieces, because rustls alone takes 4 KiB a call and the client would
//! then slow the server down. Refuses to know what is said over the connection.

use std::future::poll_fn;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustls::client::{Resumption, Tls12Resumption};
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::{cipher_suite, default_provider, kx_group};
use rustls::{ClientConfig, ClientConnection, HandshakeKind, NamedGroup};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::LoadError;
use super::pinned::Pinned;

/// The TLS version of a leg.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Version {
    /// TLS 1.2 with ECDHE-ECDSA-AES128-GCM-SHA256; sessions are kept by id, never as tickets.
    Tls12,
    /// TLS 1.3 with TLS_AES_128_GCM_SHA256.
    Tls13,
}

/// What a client offers: the version, X25519, one cipher suite, and these application protocols.
///
/// Every config has a session store of its own, so that who resumes takes back its own ticket.
pub(crate) fn config(
    version: Version,
    certificate: &Path,
    resumption: bool,
    protocols: &[&str],
) -> Result<Arc<ClientConfig>, LoadError> {
    let certificate = CertificateDer::from_pem_file(certificate)
        .map_err(|error| LoadError::io("read the certificate", io::Error::other(error)))?;
    let (suite, protocol_version, groups) = match version {
        Version::Tls12 => (
            cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
            &rustls::version::TLS12,
            // In TLS 1.2 the curve of the certificate has to be among the groups (RFC 8422, 5.1).
            vec![kx_group::X25519, kx_group::SECP256R1],
        ),
        Version::Tls13 => (
            cipher_suite::TLS13_AES_128_GCM_SHA256,
            &rustls::version::TLS13,
            vec![kx_group::X25519],
        ),
    };
    let provider =
        CryptoProvider { cipher_suites: vec![suite], kx_groups: groups, ..default_provider() };
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[protocol_version])
        .map_err(|error| LoadError::io("choose the version", tls_error(error)))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Pinned::new(certificate)))
        .with_no_client_auth();
    config.resumption = if resumption {
        Resumption::in_memory_sessions(8).tls12_resumption(Tls12Resumption::SessionIdOnly)
    } else {
        Resumption::disabled()
    };
    // Not every server that is compared compresses certificates.
    config.cert_decompressors.clear();
    config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    Ok(Arc::new(config))
}

/// A connection whose handshake is done.
#[derive(Debug)]
pub(crate) struct TlsStream {
    socket: TcpStream,
    tls: ClientConnection,
    /// Read from the socket, not yet taken by rustls.
    received: Received,
}

impl TlsStream {
    /// Connects and shakes hands; the group must be the one that was offered.
    pub(crate) async fn connect(
        address: SocketAddr,
        config: &Arc<ClientConfig>,
        read_size: usize,
    ) -> Result<Self, LoadError> {
        let name = ServerName::try_from(SERVER_NAME)
            .map_err(|error| LoadError::io("name the server", io::Error::other(error)))?;
        let tls = ClientConnection::new(Arc::clone(config), name)
            .map_err(|error| LoadError::io("start TLS", tls_error(error)))?;
        let socket = TcpStream::connect(address)
            .await
            .and_then(|socket| socket.set_nodelay(true).map(|()| socket))
            .map_err(|source| LoadError::io("connect", source))?;
        let mut stream = Self { socket, tls, received: Received::new(read_size) };
        let handshake = poll_fn(|cx| stream.poll_handshake(cx));
        timeout(STEP_TIME_MAX, handshake)
            .await
            .map_err(io::Error::from)
            .flatten()
            .map_err(|source| LoadError::io("shake hands", source))?;
        Ok(stream)
    }

    /// Whether the handshake was full or resumed; no group but X25519 can have been used.
    pub(crate) fn kind(&self) -> Result<HandshakeKind, LoadError> {
        let group = self.tls.negotiated_key_exchange_group().map(|group| group.name());
        match (self.tls.handshake_kind(), group) {
            // A TLS 1.2 resumption has no key exchange.
            (Some(kind), Some(NamedGroup::X25519) | None) => Ok(kind),
            (kind, group) => Err(LoadError::Unexpected(format!("{kind:?} with {group:?}"))),
        }
    }

    /// The application protocol that was agreed on.
    pub(crate) fn protocol(&self) -> Option<&[u8]> {
        self.tls.alpn_protocol()
    }

    /// Waits for the first NewSessionTicket of TLS 1.3.
    pub(crate) async fn ticket(&mut self) -> Result<(), LoadError> {
        let arrival = poll_fn(|cx| {
            while self.tls.tls13_tickets_received() == 0 {
                if ready!(self.poll_feed(cx))? == 0 {
                    return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
                }
            }
            Poll::Ready(Ok(()))
        });
        timeout(STEP_TIME_MAX, arrival)
            .await
            .map_err(io::Error::from)
            .flatten()
            .map_err(|source| LoadError::io("wait for a session ticket", source))
    }

    /// Ends the connection with close_notify and waits for the server to end it as well, so that
    /// all its work on it is done. How the server ends it is its own affair.
    pub(crate) async fn close(mut self) {
        let mut rest = [0; 256];
        let farewell = async {
            self.shutdown().await?;
            while self.read(&mut rest).await? > 0 {}
            Ok::<(), io::Error>(())
        };
        let _ = timeout(STEP_TIME_MAX, farewell).await;
    }

    /// Whether the server has kept the connection open. It may take a byte, so it is the last
    /// thing that is asked.
    pub(crate) fn is_open(&self) -> bool {
        match self.socket.try_read(&mut [0; 1]) {
            Ok(length) => length > 0,
            Err(error) => would_block(&error),
        }
    }

    fn poll_handshake(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.tls.is_handshaking() {
            ready!(self.poll_drain(cx))?;
            if self.tls.is_handshaking() && ready!(self.poll_feed(cx))? == 0 {
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
        }
        self.poll_drain(cx)
    }

    /// Gives rustls what the socket has: how many bytes, zero at the end of the stream.
    fn poll_feed(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        ready!(self.received.poll_fill(&mut self.socket, cx))?;
        let taken = self.tls.read_tls(&mut self.received)?;
        self.tls.process_new_packets().map_err(tls_error)?;
        Poll::Ready(Ok(taken))
    }

    /// Sends all that rustls has for the socket.
    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.tls.wants_write() {
            ready!(self.socket.poll_write_ready(cx))?;
            match self.tls.write_tls(&mut Sending(&self.socket)) {
                Ok(_) => {}
                Err(error) if would_block(&error) => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for TlsStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            match self.tls.reader().read(buffer.initialize_unfilled()) {
                Ok(length) => {
                    buffer.advance(length);
                    return Poll::Ready(Ok(()));
                }
                Err(error) if would_block(&error) => {}
                // An end without close_notify is an end all the same: byte counts are checked.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    return Poll::Ready(Ok(()));
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
            ready!(self.poll_feed(cx))?;
        }
    }
}

impl AsyncWrite for TlsStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        loop {
            let length = self.tls.writer().write(bytes)?;
            let drained = self.poll_drain(cx)?;
            if length > 0 || bytes.is_empty() {
                return Poll::Ready(Ok(length));
            }
            ready!(drained);
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_drain(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.tls.send_close_notify();
        ready!(self.poll_drain(cx))?;
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

/// Bytes on their way from the socket to rustls.
#[derive(Debug)]
struct Received {
    bytes: Box<[u8]>,
    taken: usize,
    filled: usize,
}

impl Received {
    fn new(size: usize) -> Self {
        Self { bytes: vec![0; size].into_boxed_slice(), taken: 0, filled: 0 }
    }

    /// Reads from the socket if nothing is left from the last time.
    fn poll_fill(&mut self, socket: &mut TcpStream, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.taken == self.filled {
            let mut buffer = ReadBuf::new(&mut self.bytes);
            ready!(Pin::new(socket).poll_read(cx, &mut buffer))?;
            self.filled = buffer.filled().len();
            self.taken = 0;
        }
        Poll::Ready(Ok(()))
    }
}

impl Read for Received {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let mut rest = self.bytes.get(self.taken..self.filled).unwrap_or_default();
        let length = Read::read(&mut rest, into)?;
        self.taken += length;
        Ok(length)
    }
}

/// The socket as rustls writes to it.
struct Sending<'a>(&'a TcpStream);

impl Write for Sending<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn would_block(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock
}

fn tls_error(error: rustls::Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

/// The name in the certificate that `tests/bench/compare` makes.
const SERVER_NAME: &str = "bench.test";

/// How long connecting, shaking hands, waiting for a ticket or closing may take.
const STEP_TIME_MAX: Duration = Duration::from_secs(10);

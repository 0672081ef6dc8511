//! The way of one client: where it connects, as whom, and with what of TLS.
//!
//! Owns the connection, from the first packet to the end of the handshake. Refuses to know what is
//! said over it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::HandshakeKind;
use rustls::client::Resumption;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::fault::at;
use super::tally::Record;
use super::{Fault, Reason, Road};
use crate::client::Client;

/// A way that can be gone again and again.
#[derive(Clone, Debug)]
pub(super) struct Way {
    client: Client,
    road: Road,
    record: Arc<Record>,
    place: usize,
}

/// A connection whose handshake is done.
#[derive(Debug)]
pub(super) struct Link {
    /// The connection.
    pub(super) stream: TlsStream<TcpStream>,
    /// The client's own port.
    pub(super) port: u16,
}

impl Way {
    /// The way of the client at `place`, to the listener for HTTP, without sessions.
    pub(super) fn new(road: Road, record: &Arc<Record>, place: usize) -> Self {
        let client = Client::new(road.https, road.name).resumption(Resumption::disabled());
        Self { client, road, record: Arc::clone(record), place }
    }

    /// The way to the listener for bytes.
    pub(super) fn for_bytes(mut self) -> Self {
        self.client = self.client.at(self.road.tls);
        self
    }

    /// In TLS 1.2.
    pub(super) fn tls12(mut self) -> Self {
        self.client = self.client.tls12().resumption(Resumption::disabled());
        self
    }

    /// With the session of the last time; those of before are forgotten.
    pub(super) fn with_sessions(mut self) -> Self {
        self.client = self.client.resumption(Resumption::in_memory_sessions(16));
        self
    }

    /// Over this protocol.
    pub(super) fn alpn(mut self, protocol: &str) -> Self {
        self.client = self.client.alpn(&[protocol]);
        self
    }

    /// How the listener is called by clients.
    pub(super) fn name(&self) -> &'static str {
        self.road.name
    }

    /// How long a tunnel lives.
    pub(super) fn lasting(&self) -> Option<Duration> {
        self.road.lasting
    }

    /// Connects and shakes hands.
    pub(super) async fn connect(&self) -> Result<Link, Fault> {
        let (address, name, config) = self.client.parts();
        let server = ServerName::try_from(name.to_owned()).expect("the test names a name");
        let tcp = TcpStream::connect(address).await.map_err(at("connect"))?;
        let port = tcp.local_addr().as_ref().map_or(0, SocketAddr::port);
        let shaken = async {
            tcp.set_nodelay(true).map_err(at("connect"))?;
            let connector = TlsConnector::from(config);
            Box::pin(connector.connect(server, tcp)).await.map_err(at("shake hands"))
        };
        let stream = shaken.await.map_err(|fault| fault.of_port(port))?;
        self.record.connected(self.place);
        Ok(Link { stream, port })
    }
}

impl Link {
    /// Whether the handshake was an abbreviated one.
    pub(super) fn resumed(&self) -> bool {
        self.stream.get_ref().1.handshake_kind() == Some(HandshakeKind::Resumed)
    }

    /// Sends all of `bytes`.
    pub(super) async fn send(&mut self, step: &'static str, bytes: &[u8]) -> Result<(), Fault> {
        let sent = async {
            self.stream.write_all(bytes).await?;
            self.stream.flush().await
        };
        let port = self.port;
        sent.await.map_err(at(step)).map_err(|fault| fault.of_port(port))
    }

    /// Receives exactly as many bytes as there is room for.
    pub(super) async fn fill(&mut self, step: &'static str, room: &mut [u8]) -> Result<(), Fault> {
        let filled = self.stream.read_exact(room).await;
        filled.map(drop).map_err(at(step)).map_err(|fault| fault.of_port(self.port))
    }

    /// Receives the head of a response, up to its empty line and not a byte further.
    pub(super) async fn head(&mut self, step: &'static str) -> Result<String, Fault> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut one = [0];
            self.fill(step, &mut one).await?;
            head.extend(one);
        }
        Ok(String::from_utf8_lossy(&head).into_owned())
    }

    /// Says close_notify and waits for that of the other side, before which nothing may come.
    pub(super) async fn close(mut self, step: &'static str) -> Result<(), Fault> {
        let mut rest = Vec::new();
        let closed = async {
            self.stream.shutdown().await?;
            (&mut self.stream).take(64).read_to_end(&mut rest).await
        };
        let closed = closed.await.map_err(at(step));
        let outcome = match closed {
            Ok(0) => Ok(()),
            Ok(_) => Err(Fault::new(step, Reason::Wrong(format!("{rest:?} at the end")))),
            Err(fault) => Err(fault),
        };
        outcome.map_err(|fault| fault.of_port(self.port))
    }
}

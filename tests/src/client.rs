//! A TLS client that a test can stop, split and break at any byte.
//!
//! Owns the driving of rustls over a socket by hand, since a finished stream hides what tests are
//! about: how much is written at a time, whether close_notify was sent. What bytes mean it ignores.

use std::io::{self, Read as _, Write as _};
use std::net::SocketAddr;
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::compress::CertDecompressor;
use rustls::crypto::{CryptoProvider, SupportedKxGroup, aws_lc_rs};
use rustls::pki_types::ServerName;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ClientConnection, SupportedProtocolVersion};
use socket2::SockRef;
use tokio::io::{AsyncWriteExt as _, Interest};
use tokio::net::TcpStream;

use crate::authority::{Credential, as_asked_for, authority};
use crate::socket::{Pieces, blocked_is_fine};
use crate::wait::within;

/// Who asks for which name at which address, and with what of TLS.
#[derive(Clone, Debug)]
pub struct Client {
    address: SocketAddr,
    name: String,
    config: Arc<ClientConfig>,
    write_max: usize,
}

/// A connection with TLS on it.
#[derive(Debug)]
pub struct Tls {
    tcp: TcpStream,
    tls: ClientConnection,
    write_max: usize,
    ended: bool,
}

impl Client {
    /// A client of `address` that asks for `name`, keeps sessions and trusts the authority.
    pub fn new(address: SocketAddr, name: &str) -> Self {
        let config = Arc::new(config(aws_lc_rs::default_provider(), &[&TLS13, &TLS12]));
        Self { address, name: name.to_owned(), config, write_max: usize::MAX }
    }

    /// Speaks TLS 1.2 and nothing else.
    #[must_use]
    pub fn tls12(self) -> Self {
        self.with(config(aws_lc_rs::default_provider(), &[&TLS12]))
    }

    /// Offers only the key exchange `group`.
    #[must_use]
    pub fn group(self, group: &'static dyn SupportedKxGroup) -> Self {
        let provider = CryptoProvider { kx_groups: vec![group], ..aws_lc_rs::default_provider() };
        self.with(config(provider, &[&TLS13]))
    }

    /// Offers these protocols.
    #[must_use]
    pub fn alpn(mut self, protocols: &[&str]) -> Self {
        let protocols = protocols.iter().map(|one| one.as_bytes().to_vec());
        Arc::make_mut(&mut self.config).alpn_protocols = protocols.collect();
        self
    }

    /// Offers sessions from `sessions`, and keeps them there.
    #[must_use]
    pub fn resumption(mut self, sessions: Resumption) -> Self {
        Arc::make_mut(&mut self.config).resumption = sessions;
        self
    }

    /// Offers these ways of compressing certificates, in TLS 1.3.
    #[must_use]
    pub fn decompressing(mut self, with: &[&'static dyn CertDecompressor]) -> Self {
        Arc::make_mut(&mut self.config).cert_decompressors = with.to_vec();
        self
    }

    /// Does not say which name it asks for.
    #[must_use]
    pub fn without_sni(mut self) -> Self {
        Arc::make_mut(&mut self.config).enable_sni = false;
        self
    }

    /// Shows `credential` if it is asked who it is.
    #[must_use]
    pub fn certificate(mut self, credential: &Credential) -> Self {
        Arc::make_mut(&mut self.config).client_auth_cert_resolver = credential.resolver();
        self
    }

    /// Shows that one of `credentials` that was issued by whom the server names.
    #[must_use]
    pub fn certificates(mut self, credentials: &[&Credential]) -> Self {
        Arc::make_mut(&mut self.config).client_auth_cert_resolver = as_asked_for(credentials);
        self
    }

    /// Asks at another address.
    #[must_use]
    pub fn at(mut self, address: SocketAddr) -> Self {
        self.address = address;
        self
    }

    /// Asks for another name, with the same sessions.
    #[must_use]
    pub fn asking_for(mut self, name: &str) -> Self {
        name.clone_into(&mut self.name);
        self
    }

    /// Writes no more than `bytes` at a time.
    #[must_use]
    pub fn writing_at_most(mut self, bytes: usize) -> Self {
        self.write_max = bytes;
        self
    }

    /// The socket, the name and the configuration of TLS, for who drives them by other means.
    pub(crate) fn parts(&self) -> (SocketAddr, &str, Arc<ClientConfig>) {
        (self.address, &self.name, Arc::clone(&self.config))
    }

    fn with(mut self, config: ClientConfig) -> Self {
        self.config = Arc::new(config);
        self
    }

    /// TLS that has not sent anything.
    pub fn tls(&self) -> ClientConnection {
        let name = ServerName::try_from(self.name.clone()).expect("the test names a name");
        ClientConnection::new(Arc::clone(&self.config), name).expect("the configuration is sound")
    }

    /// The bytes of the first flight: one TLS record with a ClientHello.
    pub fn hello(&self) -> Vec<u8> {
        let mut hello = Vec::new();
        self.tls().write_tls(&mut hello).expect("memory takes everything");
        hello
    }

    /// A TCP connection on which nothing was said.
    pub async fn tcp(&self) -> TcpStream {
        self.try_tcp().await.expect("the listener accepts")
    }

    async fn try_tcp(&self) -> io::Result<TcpStream> {
        let tcp = within("a TCP connection", TcpStream::connect(self.address)).await?;
        tcp.set_nodelay(true)?;
        Ok(tcp)
    }

    /// A connection whose handshake is not done.
    pub async fn open(&self) -> Tls {
        Tls::new(self.tcp().await, self.tls(), self.write_max)
    }

    /// A connection whose handshake was tried.
    pub async fn try_connect(&self) -> io::Result<Tls> {
        let mut tls = Tls::new(self.try_tcp().await?, self.tls(), self.write_max);
        tls.handshake().await?;
        Ok(tls)
    }

    /// A connection whose handshake is done.
    pub async fn connect(&self) -> Tls {
        self.try_connect().await.expect("the handshake succeeds")
    }
}

fn config(
    provider: CryptoProvider,
    versions: &[&'static SupportedProtocolVersion],
) -> ClientConfig {
    ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(versions)
        .expect("the provider has suites for the versions")
        .with_root_certificates(authority().roots())
        .with_no_client_auth()
}

impl Tls {
    /// TLS over `tcp`, of which no more than `write_max` bytes are written at a time.
    pub fn new(tcp: TcpStream, tls: ClientConnection, write_max: usize) -> Self {
        Self { tcp, tls, write_max, ended: false }
    }

    /// What TLS knows.
    pub fn tls(&self) -> &ClientConnection {
        &self.tls
    }

    /// The protocol that was chosen by ALPN.
    pub fn protocol(&self) -> Option<String> {
        self.tls.alpn_protocol().map(|name| String::from_utf8_lossy(name).into_owned())
    }

    /// Whether the handshake was an abbreviated one.
    pub fn resumed(&self) -> bool {
        self.tls.handshake_kind() == Some(rustls::HandshakeKind::Resumed)
    }

    /// The leaf certificate that was shown.
    pub fn leaf(&self) -> Vec<u8> {
        let chain = self.tls.peer_certificates().expect("the handshake is done");
        chain[0].to_vec()
    }

    /// Goes through the handshake.
    pub async fn handshake(&mut self) -> io::Result<()> {
        let what = "the end of a handshake";
        within(what, async {
            while self.tls.is_handshaking() || self.tls.wants_write() {
                self.turn(true).await?;
                if self.ended && self.tls.is_handshaking() {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
            }
            Ok(())
        })
        .await
    }

    /// Waits for a ticket of TLS 1.3, which comes behind the handshake; before TLS 1.3 there is
    /// nothing to wait for.
    pub async fn ticket(&mut self) {
        let is_awaited = self.tls.protocol_version() == Some(rustls::ProtocolVersion::TLSv1_3);
        while is_awaited && self.tls.tls13_tickets_received() == 0 {
            within("a ticket", self.turn(true)).await.expect("the connection holds");
        }
    }

    /// Sends all of `bytes`.
    pub async fn send(&mut self, bytes: &[u8]) {
        self.try_send(bytes).await.expect("the connection takes bytes");
    }

    /// Sends all of `bytes`, if the other side lets it.
    pub async fn try_send(&mut self, bytes: &[u8]) -> io::Result<()> {
        within("room for bytes", async {
            let mut rest = bytes;
            while !rest.is_empty() || self.tls.wants_write() {
                let taken = self.tls.writer().write(rest)?;
                rest = &rest[taken..];
                if self.tls.wants_write() {
                    self.turn(false).await?;
                }
            }
            Ok(())
        })
        .await
    }

    /// Asks the other side for new keys, and takes new ones itself (RFC 8446 §4.6.3).
    pub async fn rekey(&mut self) {
        self.tls.refresh_traffic_keys().expect("the handshake is finished");
        self.send(b"").await;
    }

    /// Sends bytes that are not what TLS made of anything.
    pub async fn send_raw(&mut self, bytes: &[u8]) {
        within("room for bytes", self.tcp.write_all(bytes)).await.expect("they are taken");
    }

    /// Sends each of `pieces` as a record of its own, and all of them in one segment.
    pub async fn send_as_one_segment(&mut self, pieces: &[&[u8]]) {
        let mut segment = Vec::new();
        for piece in pieces {
            self.tls.writer().write_all(piece).expect("a piece fits");
            while self.tls.wants_write() {
                self.tls.write_tls(&mut segment).expect("memory takes everything");
            }
        }
        within("room for a segment", self.tcp.write_all(&segment)).await.expect("it is taken");
    }

    /// Receives exactly as many bytes as `expected` has, and compares.
    pub async fn expect(&mut self, expected: &[u8]) {
        let mut received = Vec::new();
        while received.len() < expected.len() {
            let more = self.receive().await.expect("the connection gives bytes");
            assert!(!more.is_empty(), "ended after {received:?}, expected {expected:?}");
            received.extend(more);
        }
        assert_eq!(String::from_utf8_lossy(&received), String::from_utf8_lossy(expected));
    }

    /// Receives some bytes; none means that close_notify came. A connection that ends without it
    /// is an error.
    pub async fn receive(&mut self) -> io::Result<Vec<u8>> {
        within("bytes or the end", async {
            let mut buffer = vec![0; 64 * 1024];
            loop {
                match self.tls.reader().read(&mut buffer) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    outcome => {
                        buffer.truncate(outcome?);
                        return Ok(buffer);
                    }
                }
                self.turn(true).await?;
            }
        })
        .await
    }

    /// Receives everything up to close_notify.
    pub async fn receive_all(&mut self) -> io::Result<Vec<u8>> {
        let mut all = Vec::new();
        loop {
            let more = self.receive().await?;
            if more.is_empty() {
                return Ok(all);
            }
            all.extend(more);
        }
    }

    /// Sends `bytes` in pieces of `piece` and receives as many as `expected`, both at once.
    pub async fn exchange(&mut self, bytes: &[u8], piece: usize, expected: usize) -> Vec<u8> {
        let mut received = Vec::with_capacity(expected);
        let mut pieces = bytes.chunks(piece).collect::<std::collections::VecDeque<_>>();
        let both = async {
            while received.len() < expected || !pieces.is_empty() || self.tls.wants_write() {
                if !self.tls.wants_write()
                    && let Some(piece) = pieces.pop_front()
                {
                    self.tls.writer().write_all(piece).expect("a piece fits");
                }
                self.turn(true).await.expect("the connection holds");
                let mut buffer = [0; 16 * 1024];
                while let Ok(count) = self.tls.reader().read(&mut buffer) {
                    assert!(count > 0, "ended after {} bytes", received.len());
                    received.extend(&buffer[..count]);
                }
            }
        };
        within("the exchange", both).await;
        received
    }

    /// Says close_notify: nothing more will be sent.
    pub async fn close_notify(&mut self) {
        self.tls.send_close_notify();
        self.try_send(&[]).await.expect("the connection takes close_notify");
    }

    /// Ends the TCP connection's own direction, without a word of TLS.
    pub fn shut_down(&self) {
        SockRef::from(&self.tcp).shutdown(std::net::Shutdown::Write).expect("the socket is open");
    }

    /// Resets the TCP connection.
    pub fn reset(self) {
        SockRef::from(&self.tcp).set_linger(Some(std::time::Duration::ZERO)).expect("open");
    }

    /// Waits until the socket allows something, and does it: writes what TLS has for the other
    /// side, or, if `reading`, reads what there is.
    async fn turn(&mut self, reading: bool) -> io::Result<()> {
        let writing = self.tls.wants_write();
        let reading = reading && !self.ended;
        let interest = match (reading, writing) {
            (true, true) => Interest::READABLE | Interest::WRITABLE,
            (true, false) => Interest::READABLE,
            (false, true) => Interest::WRITABLE,
            (false, false) => return Err(io::ErrorKind::UnexpectedEof.into()),
        };
        let ready = self.tcp.ready(interest).await?;
        let mut socket = Pieces::new(&self.tcp, self.write_max);
        if writing && ready.is_writable() {
            blocked_is_fine(self.tls.write_tls(&mut socket))?;
        }
        if reading && ready.is_readable() {
            let read = blocked_is_fine(self.tls.read_tls(&mut socket))?;
            self.ended = read == Some(0);
            if let Err(error) = self.tls.process_new_packets() {
                // The alert is worth a try; the error matters more.
                let _ = self.tls.write_tls(&mut socket);
                return Err(io::Error::new(io::ErrorKind::InvalidData, error));
            }
        }
        Ok(())
    }
}

//! The ClientHello, read into bounds before anything is decided.
//!
//! Owns the reading: any fragmentation over records and segments, a cap on bytes, and the
//! recognition of plain HTTP. The parser is rustls' own, so there is no second one that could
//! disagree with it about what is decided; what might be resumed is read beforehand by [`offer`],
//! from the same bytes, and what is told of the client afterwards by [`profile`], if it is to be
//! told of at all. Time is the caller's. Refuses to know sites and certificates. Read next:
//! `offer`, then `policy`.

mod ja4;
pub mod offer;
pub mod profile;
mod wire;

use std::fmt;
use std::io;
use std::sync::Arc;

use portunus_certs::name::HostName;
use rustls::server::{Accepted, AcceptedAlert, Acceptor, ClientHello};
use rustls::{ServerConfig, ServerConnection};

use crate::net::{Socket, is_reset};
use crate::outcome::HandshakeFailure;

use super::reason;
use super::refusal::{alert_bytes, fatal_alert};
use offer::{OfferKind, ResumptionOffer};

/// A complete ClientHello, with whatever the client sent behind it.
pub struct Hello {
    accepted: Accepted,
    offer: ResumptionOffer,
    /// All that was read, as it came.
    bytes: Vec<u8>,
}

impl Hello {
    /// The server name (RFC 6066 §3), normalised; `None` if there is none or it is no host name.
    pub fn server_name(&self) -> Option<HostName> {
        HostName::parse(self.accepted.client_hello().server_name()?).ok()
    }

    /// Whether the client names a server at all.
    pub fn has_server_name(&self) -> bool {
        self.accepted.client_hello().server_name().is_some()
    }

    /// What the client offers.
    pub fn client(&self) -> ClientHello<'_> {
        self.accepted.client_hello()
    }

    /// Whether the client offers `protocol` by ALPN (RFC 7301 §3.1).
    pub fn offers_protocol(&self, protocol: &[u8]) -> bool {
        self.accepted
            .client_hello()
            .alpn()
            .is_some_and(|mut offered| offered.any(|offered| offered == protocol))
    }

    /// What the client offers to resume.
    pub fn offer(&self) -> &ResumptionOffer {
        &self.offer
    }

    /// What of it may be tickets of ours.
    pub fn tickets(&self) -> Vec<Box<[u8]>> {
        match self.offer.kind {
            OfferKind::Psk | OfferKind::Ticket => offer::tickets(&self.bytes),
            OfferKind::None | OfferKind::SessionId => Vec::new(),
        }
    }

    /// All that the client has sent, as it came: for whoever is to hear it in our place, or to tell
    /// of the client if its handshake fails. It is there once.
    pub fn take_bytes(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.bytes)
    }

    /// Begins the handshake with the configuration that was chosen for it.
    pub fn into_connection(
        self,
        config: Arc<ServerConfig>,
    ) -> Result<ServerConnection, (rustls::Error, AcceptedAlert)> {
        self.accepted.into_connection(config)
    }
}

impl fmt::Debug for Hello {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hello").field("server_name", &self.server_name()).finish_non_exhaustive()
    }
}

/// Reads until `hello`, of which `early` was read before, is complete or has more bytes than
/// `bytes_max`.
pub(super) async fn read(
    hello: &mut Incomplete,
    socket: &mut Socket,
    early: &[u8],
    bytes_max: usize,
) -> Result<Hello, HelloError> {
    if !early.is_empty()
        && let Some(hello) = hello.feed(early)?
    {
        return Ok(hello);
    }
    loop {
        let step = socket.hear(READ_BYTES, |bytes| hello.feed(bytes));
        let step = step.await;
        let broken = |source| HelloError::Read { after: hello.bytes.len(), source };
        if let Some(hello) = step.map_err(broken)?? {
            return Ok(hello);
        }
        if hello.bytes.len() >= bytes_max {
            return Err(HelloError::TooLarge { bytes_max });
        }
    }
}

/// A ClientHello on its way.
#[derive(Default)]
pub(super) struct Incomplete {
    acceptor: Acceptor,
    /// What was read so far.
    bytes: Vec<u8>,
}

impl Incomplete {
    /// What was read of it.
    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// Gives all of `bytes` to rustls, then asks whether the ClientHello is complete. No bytes are
    /// the end of the connection.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> Result<Option<Hello>, HelloError> {
        if bytes.is_empty() {
            return Err(HelloError::Closed { after: self.bytes.len() });
        }
        if self.bytes.is_empty() && is_http(bytes) {
            return Err(HelloError::PlaintextHttp);
        }
        self.bytes.extend_from_slice(bytes);
        let mut unread = bytes;
        while !unread.is_empty() {
            let broken = |source| HelloError::Read { after: self.bytes.len(), source };
            self.acceptor.read_tls(&mut unread).map_err(broken)?;
        }
        let accepted = match self.acceptor.accept() {
            Ok(accepted) => accepted,
            Err((error, _)) if is_of_old_version(&error) => {
                return Err(HelloError::OldVersion(OldVersion::of(&self.bytes)));
            }
            Err((error, alert)) => return Err(HelloError::Invalid(error, AlertBytes::new(alert))),
        };
        Ok(accepted.map(|accepted| {
            let bytes = std::mem::take(&mut self.bytes);
            Hello { accepted, offer: ResumptionOffer::parse(&bytes), bytes }
        }))
    }
}

/// Whether the first bytes are those of an HTTP request rather than of a TLS record. The two
/// cannot be confused: a record begins with its type, 22 (RFC 8446 §5.1).
fn is_http(bytes: &[u8]) -> bool {
    HTTP_METHODS.iter().any(|method| {
        let length = method.len().min(bytes.len());
        bytes.get(..length) == method.as_bytes().get(..length)
    })
}

/// Why there is no ClientHello.
#[derive(Debug, thiserror::Error)]
pub enum HelloError {
    /// The client went away.
    #[error("the client closed the connection after {after} bytes")]
    Closed {
        /// Bytes read until then.
        after: usize,
    },
    /// The client sent something that is not a ClientHello, or not TLS.
    #[error("not a ClientHello")]
    Invalid(#[source] rustls::Error, AlertBytes),
    /// The client cannot do with any version that is spoken here.
    #[error("the client offers {0}, and TLS 1.2 is the least that is spoken here")]
    OldVersion(OldVersion),
    /// The client speaks HTTP without TLS.
    #[error("a plain HTTP request on a TLS port")]
    PlaintextHttp,
    /// The connection broke.
    #[error("the connection broke after {after} bytes")]
    Read {
        /// Bytes read until then.
        after: usize,
        /// What the system says.
        source: io::Error,
    },
    /// The ClientHello goes on beyond the limit.
    #[error("no complete ClientHello in {bytes_max} bytes")]
    TooLarge {
        /// The limit.
        bytes_max: usize,
    },
}

/// The highest version that a ClientHello offers which lacks what TLS 1.2 asks of it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct OldVersion(Option<[u8; 2]>);

impl OldVersion {
    /// Reads the version behind the head of the record and that of the message (RFC 5246 §7.4.1.2);
    /// nobody knows it where a record ends before it.
    fn of(bytes: &[u8]) -> Self {
        Self(bytes.get(9..).and_then(|rest| rest.first_chunk()).copied())
    }
}

impl fmt::Display for OldVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Some([3, 0]) => "SSL 3.0 at most",
            Some([3, 1]) => "TLS 1.0 at most",
            Some([3, 2]) => "TLS 1.1 at most",
            _ => "no signature schemes, as before TLS 1.2",
        })
    }
}

/// An alert that is still to be sent.
#[derive(Debug)]
pub struct AlertBytes(Vec<u8>);

impl AlertBytes {
    fn new(mut alert: AcceptedAlert) -> Self {
        Self(alert_bytes(&mut alert))
    }
}

impl HelloError {
    /// The reason as metrics and logs have it.
    pub fn failure(&self) -> HandshakeFailure {
        match self {
            Self::Closed { after: 0 } => HandshakeFailure::ClientSilent,
            Self::Closed { .. } => HandshakeFailure::ClientClosed,
            Self::Read { after: 0, source } if is_reset(source) => HandshakeFailure::ClientSilent,
            Self::Read { source, .. } if is_reset(source) => HandshakeFailure::ClientReset,
            Self::Read { .. } => HandshakeFailure::ClientClosed,
            Self::Invalid(rustls::Error::InvalidMessage(message), _) => match message {
                rustls::InvalidMessage::InvalidContentType
                | rustls::InvalidMessage::UnknownProtocolVersion => HandshakeFailure::NotTls,
                _ => HandshakeFailure::ClientProtocol,
            },
            Self::Invalid(error, _) => reason::of(error),
            Self::OldVersion(_) => HandshakeFailure::NoVersion,
            Self::PlaintextHttp => HandshakeFailure::PlaintextHttp,
            Self::TooLarge { .. } => HandshakeFailure::HelloTooLarge,
        }
    }

    /// What the client is told, and the error.
    pub(super) fn into_parts(mut self) -> (Vec<u8>, Self) {
        let words = match &mut self {
            Self::Closed { .. } | Self::Read { .. } => Vec::new(),
            Self::Invalid(_, alert) => std::mem::take(&mut alert.0),
            Self::OldVersion(_) => fatal_alert(PROTOCOL_VERSION).to_vec(),
            Self::PlaintextHttp => HTTP_ANSWER.as_bytes().to_vec(),
            Self::TooLarge { .. } => fatal_alert(DECODE_ERROR).to_vec(),
        };
        (words, self)
    }
}

/// Whether the ClientHello lacks what every client of TLS 1.2 sends and none of TLS 1.1 does: the
/// schemes of signatures (RFC 5246 §7.4.1.4.1). rustls notices that before it looks at the version.
fn is_of_old_version(error: &rustls::Error) -> bool {
    let lack = rustls::PeerIncompatible::SignatureAlgorithmsExtensionRequired;
    *error == rustls::Error::PeerIncompatible(lack)
}

/// The alert for a message that is too large (RFC 8446 §6.2).
const DECODE_ERROR: u8 = 50;

/// The alert for a version that is not spoken here (RFC 8446 §6.2).
const PROTOCOL_VERSION: u8 = 70;

/// Bytes asked of the socket at once; a ClientHello with a post-quantum key share fits.
const READ_BYTES: usize = 4096;

/// The methods that people and probes use on the wrong port.
const HTTP_METHODS: [&str; 9] =
    ["GET ", "HEAD ", "POST ", "PUT ", "DELETE ", "OPTIONS ", "PATCH ", "CONNECT ", "PRI * HTTP/2"];

/// The answer to plain HTTP: nothing of the request is read, so nothing of it can be forwarded.
const HTTP_ANSWER: &str = "HTTP/1.1 400 Bad Request\r\n\
    content-type: text/plain; charset=utf-8\r\n\
    content-length: 71\r\n\
    connection: close\r\n\
    \r\n\
    This port speaks TLS: use https:// in place of http:// in the address.\n";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn http_is_recognised_from_its_first_byte_and_tls_is_not_http() {
        for http in ["G", "GET / HTTP/1.1\r\n", "PRI * HTTP/2.0\r\n", "OPTIONS * HTTP/1.1"] {
            assert!(is_http(http.as_bytes()), "{http}");
        }
        for other in [&[22, 3, 1, 2, 0][..], b"\x80\x2e\x01", b"EHLO there", b"GETTING"] {
            assert!(!is_http(other), "{other:?}");
        }
    }

    #[test]
    fn a_client_that_is_too_old_is_told_of_by_its_version() {
        for (version, words) in
            [([3, 1], "the client offers TLS 1.0 at most"), ([3, 2], "the client offers TLS 1.1")]
        {
            // One suite, no compression, no extensions.
            let hello = [&version[..], &[7; 32], &[0, 0, 2, 0xc0, 0x13, 1, 0]].concat();
            let message = [&[1, 0, 0, 41][..], &hello].concat();
            let bytes = [&[22, 3, 1, 0, 45][..], &message].concat();
            let error = Incomplete::default().feed(&bytes).unwrap_err();
            assert!(error.to_string().starts_with(words), "{error}");
            assert_eq!(error.failure(), HandshakeFailure::NoVersion);
            let (told, _) = error.into_parts();
            assert_eq!(told, fatal_alert(PROTOCOL_VERSION));
        }
    }

    #[test]
    fn the_answer_to_http_says_its_own_length() {
        let (head, body) = HTTP_ANSWER.split_once("\r\n\r\n").expect("a head and a body");
        assert!(head.contains(&format!("content-length: {}\r\n", body.len())), "{}", body.len());
    }
}

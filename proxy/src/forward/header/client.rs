//! Who the client of a request is: the one answer that logs, balancing and backends go by.
//!
//! Owns [`Sender`], who stands at the other end of the connection, and [`Client`], on whose behalf
//! it asks. A PROXY header has the first word, since it speaks of the connection itself: whom it
//! tells of is the sender, and without one the sender is the peer. A sender that the configuration
//! trusts is believed about whom it speaks for, and so is that one if it is trusted too: from the
//! end of the list, where the nearest proxy has written, up to the first address that is not
//! trusted, or that is none. What stands before was written by somebody whom nobody vouches for,
//! and goes no further. Refuses to know how fields are written. Read next: `forwarded`.

use std::net::{IpAddr, SocketAddr};

use http::{HeaderMap, HeaderValue};
use ipnet::IpNet;

use super::forwarded::{Hop, hops};
use super::request::{X_FORWARDED_PORT, X_FORWARDED_PROTO, X_REQUEST_ID};
use crate::config::{ForwardedFields, HttpListener};
use crate::net::{ClientAddr, PeerAddr};

/// Who stands at the other end of a connection.
#[derive(Clone, Debug)]
pub struct Sender {
    /// After a PROXY header, if there was one.
    addr: ClientAddr,
    /// The IP address in words.
    value: Option<HeaderValue>,
    is_trusted: bool,
}

/// On whose behalf a request came, as far as it can be believed.
#[derive(Clone, Debug)]
pub struct Client {
    /// Who asked.
    pub addr: ClientAddr,
    /// What trusted peers said of each other, the client first and the sender not among them.
    pub(super) chain: Vec<Hop>,
    /// What the client spoke with the first of them.
    pub(super) proto: Option<HeaderValue>,
    /// The port that it connected to there.
    pub(super) port: Option<HeaderValue>,
}

impl Sender {
    /// The one who is `client` after the PROXY header, where there is one, and who is believed if
    /// it is among `trusted`. Who has told of it does not matter: to be believed about connections
    /// is not to be believed about what they carry.
    pub fn new(client: ClientAddr, trusted: &[IpNet]) -> Self {
        Self {
            addr: client,
            value: client.ip().and_then(|ip| ip.to_string().try_into().ok()),
            is_trusted: client.ip().is_some_and(|ip| is_among(trusted, ip)),
        }
    }

    /// The IP address in words, if there is one.
    pub(super) fn value(&self) -> Option<&HeaderValue> {
        self.value.as_ref()
    }

    /// Its address.
    pub(in crate::forward) fn addr(&self) -> ClientAddr {
        self.addr
    }

    /// Whether it is believed about others.
    pub(in crate::forward) fn is_trusted(&self) -> bool {
        self.is_trusted
    }

    /// On whose behalf a request with `headers` came.
    pub fn identify(&self, headers: &HeaderMap, listener: &HttpListener) -> Client {
        let mut client = Client { addr: self.addr, chain: Vec::new(), proto: None, port: None };
        if !self.is_trusted {
            return client;
        }
        for hop in hops(headers, listener.forwarded).take(HOPS_MAX) {
            client.addr = PeerAddr::new(hop.addr).into();
            let is_trusted = is_among(&listener.trusted_peers, hop.addr.ip());
            client.chain.push(hop);
            if !is_trusted {
                break;
            }
        }
        client.chain.reverse();
        if listener.forwarded == ForwardedFields::XForwarded {
            let is_scheme = |value: &&HeaderValue| matches!(value.as_bytes(), b"http" | b"https");
            client.proto = only(headers, &X_FORWARDED_PROTO).filter(is_scheme).cloned();
            client.port = only(headers, &X_FORWARDED_PORT).filter(|port| is_port(port)).cloned();
        }
        client
    }

    /// The id that a trusted peer has given a request with `headers`.
    pub fn request_id(&self, headers: &HeaderMap) -> Option<HeaderValue> {
        if !self.is_trusted {
            return None;
        }
        only(headers, &X_REQUEST_ID).filter(|id| is_id(id.as_bytes())).cloned()
    }
}

fn is_among(trusted: &[IpNet], ip: IpAddr) -> bool {
    let ip = ip.to_canonical();
    trusted.iter().any(|block| block.contains(&ip))
}

/// The value of a field that stands there once.
fn only<'a>(headers: &'a HeaderMap, name: &http::HeaderName) -> Option<&'a HeaderValue> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?;
    values.next().is_none().then_some(value)
}

fn is_port(value: &HeaderValue) -> bool {
    let text = value.to_str().unwrap_or_default();
    text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u16>().is_ok_and(|port| port > 0)
}

/// Whether a request may be called that in logs: UUIDs, numbers, trace ids, and nothing that could
/// be taken for anything else.
fn is_id(bytes: &[u8]) -> bool {
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:/+=@~".contains(byte);
    (1..=ID_BYTES_MAX).contains(&bytes.len()) && bytes.iter().all(is_plain)
}

/// An address as a list of them has it: with or without a port, IPv6 with brackets or without.
pub(super) fn address(text: &str) -> Option<SocketAddr> {
    if let Ok(addr) = text.parse::<SocketAddr>() {
        return Some(SocketAddr::new(addr.ip().to_canonical(), addr.port()));
    }
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let ip = bare.parse::<IpAddr>().ok()?;
    // Brackets are for IPv6 alone.
    let is_sound = bare.len() == text.len() || ip.is_ipv6();
    is_sound.then(|| SocketAddr::new(ip.to_canonical(), 0))
}

/// What is looked at of a list of addresses.
const HOPS_MAX: usize = 32;
/// Longer than any id in use.
const ID_BYTES_MAX: usize = 128;

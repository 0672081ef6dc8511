//! The fields that tell of whoever stands before us: `X-Forwarded-*`, or `Forwarded` (RFC 7239).
//!
//! Owns how they are read and written. Read is only the family that the configuration names, and
//! only what a trusted peer sent; written is only what was understood, anew and in one spelling.
//! Refuses to know who is trusted. Read next: `client`.

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};

use http::header::FORWARDED;
use http::{HeaderMap, HeaderValue};

use super::client::{Client, Sender, address};
use super::host::Host;
use super::request::{X_FORWARDED_FOR, X_FORWARDED_HOST, X_FORWARDED_PORT, X_FORWARDED_PROTO};
use crate::config::ForwardedFields;

/// What a proxy said of the one before it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Hop {
    /// Where that one is; the port is 0 if it was not said.
    pub(super) addr: SocketAddr,
    /// Whom it asked for.
    host: Option<Host>,
    /// What it spoke.
    proto: Option<Proto>,
}

/// What a client speaks.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Proto {
    /// HTTP in the clear.
    Http,
    /// HTTP under TLS.
    Https,
}

/// What proxies said of those before them, the nearest first, up to the first that makes no sense.
pub(super) fn hops(headers: &HeaderMap, family: ForwardedFields) -> impl Iterator<Item = Hop> + '_ {
    let name = match family {
        ForwardedFields::XForwarded => X_FORWARDED_FOR,
        ForwardedFields::Forwarded => FORWARDED,
    };
    let lines = headers.get_all(name).into_iter().rev();
    let hops = lines.flat_map(move |line| match (line.to_str(), family) {
        (Ok(text), ForwardedFields::XForwarded) => read_addresses(text),
        (Ok(text), ForwardedFields::Forwarded) => read_elements(text),
        (Err(_), _) => vec![None],
    });
    hops.map_while(|hop| hop)
}

/// The members of a list of addresses, the last first.
fn read_addresses(text: &str) -> Vec<Option<Hop>> {
    let members = text.rsplit(',').map(str::trim).filter(|member| !member.is_empty());
    members.map(|member| Some(Hop { addr: address(member)?, host: None, proto: None })).collect()
}

/// The elements of a value of `Forwarded`, the last first. If a quote is left open somewhere, none
/// of them is what it seems.
fn read_elements(text: &str) -> Vec<Option<Hop>> {
    let Some(elements) = split(text, b',') else { return vec![None] };
    let elements = elements.into_iter().rev().map(str::trim).filter(|text| !text.is_empty());
    elements.map(element).collect()
}

fn element(text: &str) -> Option<Hop> {
    let (mut addr, mut host, mut proto) = (None, None, None);
    for pair in split(text, b';')? {
        let pair = pair.trim();
        if pair.is_empty() {
            continue;
        }
        let (name, value) = pair.split_once('=')?;
        let value = plain(value)?;
        let is_new = match name.to_ascii_lowercase().as_str() {
            "for" => addr.replace(address(&value)?).is_none(),
            "host" => {
                let value = HeaderValue::try_from(value).ok()?;
                host.replace(Host::new(value).ok()?).is_none()
            }
            "proto" => proto.replace(Proto::of(&value)?).is_none(),
            _ => true,
        };
        // RFC 7239 §4: each parameter at most once.
        if !is_new {
            return None;
        }
    }
    Some(Hop { addr: addr?, host, proto })
}

/// The parts between `separator`, unless it is quoted; `None` if a quote is left open.
fn split(text: &str, separator: u8) -> Option<Vec<&str>> {
    let mut parts = Vec::new();
    let (mut start, mut is_quoted, mut is_escaped) = (0, false, false);
    for (place, byte) in text.bytes().enumerate() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if is_quoted => is_escaped = true,
            b'"' => is_quoted = !is_quoted,
            byte if byte == separator && !is_quoted => {
                parts.push(text.get(start..place)?);
                start = place + 1;
            }
            _ => {}
        }
    }
    parts.push(text.get(start..)?);
    (!is_quoted).then_some(parts)
}

/// A value without its quotes (RFC 9110 §5.6.4); a token as it is.
fn plain(value: &str) -> Option<String> {
    let Some(inner) = value.strip_prefix('"') else {
        let is_token = !value.is_empty() && value.bytes().all(is_token);
        return is_token.then(|| value.to_owned());
    };
    let mut text = String::new();
    let mut characters = inner.strip_suffix('"')?.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => text.push(characters.next()?),
            '"' => return None,
            character => text.push(character),
        }
    }
    Some(text)
}

/// RFC 9110 §5.6.2; and an address of IPv4 with its port, which many write without quotes.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~:".contains(&byte)
}

impl Proto {
    fn of(text: &str) -> Option<Self> {
        match text.to_ascii_lowercase().as_str() {
            "http" => Some(Self::Http),
            "https" => Some(Self::Https),
            _ => None,
        }
    }

    fn text(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

/// Tells of `client`, on whose behalf `sender` has asked for `host` by `proto` at `port`.
pub(super) fn tell(
    headers: &mut HeaderMap,
    family: ForwardedFields,
    sender: &Sender,
    client: &Client,
    host: &Host,
    (proto, port): (Proto, Option<&HeaderValue>),
) {
    if family == ForwardedFields::Forwarded {
        // What is written consists of addresses, hosts and words of ours.
        if let Ok(value) = HeaderValue::try_from(elements(sender, client, host, proto)) {
            headers.insert(FORWARDED, value);
        }
        return;
    }
    if let Some(addresses) = addresses(sender, client) {
        headers.insert(X_FORWARDED_FOR, addresses);
    }
    // Our own port says nothing about a client that connected elsewhere.
    let own_port = if client.proto.is_none() { port } else { None };
    if let Some(port) = client.port.as_ref().or(own_port) {
        headers.insert(X_FORWARDED_PORT, port.clone());
    }
    headers.insert(X_FORWARDED_HOST, host.value().clone());
    let own_proto = || HeaderValue::from_static(proto.text());
    headers.insert(X_FORWARDED_PROTO, client.proto.clone().unwrap_or_else(own_proto));
}

fn addresses(sender: &Sender, client: &Client) -> Option<HeaderValue> {
    let own = sender.value()?;
    if client.chain.is_empty() {
        return Some(own.clone());
    }
    let mut text = String::new();
    for hop in &client.chain {
        // Writing to a text cannot fail.
        let _ = write!(text, "{}, ", hop.addr.ip());
    }
    text.push_str(own.to_str().unwrap_or_default());
    HeaderValue::try_from(text).ok()
}

fn elements(sender: &Sender, client: &Client, host: &Host, proto: Proto) -> String {
    let mut text = String::new();
    for hop in &client.chain {
        write_node(&mut text, Some(hop.addr.ip()));
        if let Some(host) = &hop.host {
            write_host(&mut text, host);
        }
        if let Some(proto) = hop.proto {
            text.push_str(";proto=");
            text.push_str(proto.text());
        }
        text.push_str(", ");
    }
    write_node(&mut text, sender.addr().ip());
    write_host(&mut text, host);
    text.push_str(";proto=");
    text.push_str(proto.text());
    text
}

/// RFC 7239 §6: an IPv6 address has brackets, and what has a colon has quotes.
fn write_node(text: &mut String, ip: Option<IpAddr>) {
    let _ = match ip {
        Some(IpAddr::V4(ip)) => write!(text, "for={ip}"),
        Some(IpAddr::V6(ip)) => write!(text, "for=\"[{ip}]\""),
        None => write!(text, "for=unknown"),
    };
}

fn write_host(text: &mut String, host: &Host) {
    let value = host.value().to_str().unwrap_or_default();
    let is_plain = value.bytes().all(|byte| byte != b':' && is_token(byte));
    let _ = if is_plain {
        write!(text, ";host={value}")
    } else {
        // A host has neither quotes nor backslashes.
        write!(text, ";host=\"{value}\"")
    };
}

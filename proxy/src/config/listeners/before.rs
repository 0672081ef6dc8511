//! What happens on a connection before its TLS, and whether there is any.
//!
//! Owns who may announce clients, which protocol asks for TLS, and the names of ALPN. Refuses to
//! know sites. Read next: `listener` of the parent, the result.

use std::sync::Arc;

use portunus_certs::name::NamePattern;

use super::super::error::{BytesProblem, Problem};
use super::super::list::Entry;
use super::super::schema::{ListenerSection, ProxyProtocolSection};
use super::super::section::Reader;
use super::super::text::Written;
use super::super::value::Located;
use super::super::{
    Entrance, ProxyProtocol, Sites, Starttls, StarttlsProtocol, UnixPeers, WithoutTls,
};
use super::address::networks;
use crate::net::{ListenAddr, host_name};

/// How connections come in.
pub(super) fn entrance(section: &ListenerSection) -> Entrance {
    match section.clear.value {
        true => Entrance::Clear,
        false => Entrance::Tls,
    }
}

/// Who says who the client is.
pub(super) fn proxy_protocol(
    entry: &Entry<ProxyProtocolSection>,
    listener: &ListenerSection,
    reader: &mut Reader<'_>,
) -> ProxyProtocol {
    let written = entry.section.from.as_deref().unwrap_or_default();
    let (unix, blocks): (Vec<_>, Vec<_>) =
        written.iter().cloned().partition(|written| written.text == UNIX);
    if !written.is_empty() {
        check_peers(unix.first(), blocks.first(), listener, reader);
    }
    ProxyProtocol {
        from: networks(&blocks, reader),
        from_unix: if unix.is_empty() { UnixPeers::Refused } else { UnixPeers::Believed },
    }
}

/// Reports addresses at which nobody is let in, and peers who cannot be there.
fn check_peers(
    unix: Option<&Written>,
    block: Option<&Written>,
    listener: &ListenerSection,
    reader: &mut Reader<'_>,
) {
    let redirect = listener.redirect_http.as_ref().and_then(|entry| entry.section.listen.as_ref());
    let addresses = || listener.listen.iter().chain(redirect).flatten();
    let is_unix = |written: &Written| matches!(written.text.parse(), Ok(ListenAddr::Unix(_)));
    let is_tcp = |written: &Written| matches!(written.text.parse(), Ok(ListenAddr::Tcp(_)));
    if let (Some(written), None) = (unix, addresses().find(|written| is_unix(written))) {
        let hint = || Some("leave it out".to_owned());
        reader.errors.report(&written.place, BytesProblem::UnixUnheard, hint);
    }
    for written in addresses() {
        let (lacking, hint) = match (unix, block) {
            (None, _) if is_unix(written) => ("`unix`", "add `\"unix\"`"),
            (_, None) if is_tcp(written) => ("address block", "add one, as `10.0.0.0/8`"),
            _ => continue,
        };
        let problem = BytesProblem::NobodyFrom(lacking);
        reader.errors.report(&written.place, problem, || Some(hint.to_owned()));
    }
}

/// What is spoken before TLS.
pub(super) fn starttls(section: &ListenerSection, sites: &Sites) -> Option<Starttls> {
    let protocol = section.starttls.as_ref()?.value;
    let without_tls = match section.require_tls.value {
        true => WithoutTls::Refused,
        false => WithoutTls::Allowed,
    };
    Some(Starttls { protocol, without_tls, greeting_name: greeting_name(section, sites) })
}

fn greeting_name(section: &ListenerSection, sites: &Sites) -> Arc<str> {
    if let Some(written) = &section.greeting_name {
        return written.text.as_str().into();
    }
    let named: &[_] = match sites {
        Sites::Any(_) => &[],
        Sites::Named(sites) => sites,
    };
    let mut hosts = named.iter().flat_map(|site| &site.hosts);
    let exact = hosts.find_map(|host| match host {
        NamePattern::Exact(name) => Some(name.as_str().into()),
        NamePattern::Wildcard(_) => None,
    });
    exact.unwrap_or_else(|| host_name().into())
}

/// The protocols that a listener agrees on by ALPN. What speaks a protocol before TLS speaks the
/// same in it, so that a client which offers others is lost (RFC 7301 §3.2).
pub(super) fn listener_alpn(section: &ListenerSection, reader: &mut Reader<'_>) -> Vec<Arc<[u8]>> {
    let spoken = section.starttls.as_ref().map(|written| written.value);
    match (&section.tls.alpn, spoken) {
        (Some(written), _) => alpn(written, reader),
        (None, Some(protocol)) => names(protocol).iter().map(|name| Arc::from(*name)).collect(),
        (None, None) => Vec::new(),
    }
}

/// Names of protocols (RFC 7301 §3.1).
pub(in crate::config) fn alpn(
    written: &Located<Vec<Written>>,
    reader: &mut Reader<'_>,
) -> Vec<Arc<[u8]>> {
    let mut names: Vec<Arc<[u8]>> = Vec::new();
    for written in &written.value {
        let name: Arc<[u8]> = written.text.as_bytes().into();
        let problem = if !(1..=ALPN_BYTES_MAX).contains(&name.len()) {
            BytesProblem::Alpn.into()
        } else if names.contains(&name) {
            Problem::Duplicate(written.quote())
        } else {
            names.push(name);
            continue;
        };
        reader.errors.report(&written.place, problem, || None);
    }
    names
}

/// What a protocol is called in ALPN: what is registered, or else its own name.
fn names(protocol: StarttlsProtocol) -> &'static [&'static [u8]] {
    match protocol {
        StarttlsProtocol::Imap => &[b"imap"],
        StarttlsProtocol::Ldap => &[b"ldap"],
        StarttlsProtocol::Mysql => &[b"mysql"],
        StarttlsProtocol::Pop3 => &[b"pop3"],
        StarttlsProtocol::Postgresql => &[b"postgresql"],
        StarttlsProtocol::Smtp => &[b"smtp"],
        StarttlsProtocol::Xmpp => &[b"xmpp-client", b"xmpp-server"],
    }
}

/// What stands for the peers of unix sockets among address blocks.
const UNIX: &str = "unix";
/// The length of a name has one byte (RFC 7301 §3.1).
const ALPN_BYTES_MAX: usize = 255;

//! Backends: what their keys mean together.
//!
//! Owns the rules within a backend, and those between backends and the listeners that forward
//! bytes to them. Refuses to know where values come from. Read next: `backend`, the result.

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::Arc;

use http::HeaderName;
use http::uri::{Authority, PathAndQuery};
use rustls::pki_types::ServerName;

use super::error::{BackendProblem, Problem};
use super::list::Entry;
use super::listeners::{alpn, networks, report_address, socket_path};
use super::mixed::{Switch, TextOr};
use super::schema::{
    BackendSection, BackendTlsSection, EjectionSection, EndpointSection, HealthSection,
};
use super::section::{Reader, one_of};
use super::text::Written;
use super::{
    Action, Backend, BackendProtocol, BackendTls, Balance, Behind, Ejection, Endpoint, Health,
    HealthCheck, Listener, Mode, PoolBounds, ProxyTlv, ProxyVersion, Resolve, SendProxy, Sites,
    suggest,
};
use crate::net::EndpointName;

/// A backend; wrong endpoints are stepped over.
pub(super) fn backend(entry: &Entry<BackendSection>, reader: &mut Reader<'_>) -> Backend {
    let section = &entry.section;
    let endpoints = endpoints(entry, reader);
    if let (BackendProtocol::Auto, None, Some(place)) =
        (section.protocol.value, &section.tls, &section.protocol.place)
        && !reader.errors.is_blamed(&entry.place.below("tls", None).key)
    {
        let hint = || Some("add `tls = {}`, or say which one is spoken".to_owned());
        reader.errors.report(place, BackendProblem::AutoInTheClear, hint);
    }
    Backend {
        name: entry.name.as_str().into(),
        protocol: section.protocol.value,
        tls: section.tls.as_ref().map(|entry| tls(entry, &endpoints, reader)),
        send_proxy: send_proxy(section, reader),
        balance: balance(&section.balance, reader),
        health: section.health.as_ref().map(|entry| health(&entry.section, reader)),
        ejection: match &section.ejection {
            Switch::Off => None,
            Switch::On(section) => Some(ejection(section, reader)),
        },
        slow_start: section.slow_start,
        pool: PoolBounds {
            connections_max: section.max_connections,
            age_max: section.connection_age,
            streams_max: section.streams,
        },
        resolve: Resolve {
            interval: section.resolve_interval,
            stale_max: section.stale_max,
            allow: networks(section.allow.as_deref().unwrap_or_default(), reader),
        },
        endpoints,
    }
}

fn endpoints(entry: &Entry<BackendSection>, reader: &mut Reader<'_>) -> Vec<Endpoint> {
    let mut endpoints: Vec<Endpoint> = Vec::new();
    let mut seen = HashSet::new();
    for written in entry.section.endpoints.iter().flatten() {
        let (address, weight, is_backup) = match written {
            TextOr::Text(address) => (address, 1, false),
            TextOr::Section(Entry {
                section: EndpointSection { address: Some(address), weight, backup },
                ..
            }) => (address, *weight, *backup),
            TextOr::Section(_) => continue,
        };
        let Some(name) = endpoint(address, reader) else { continue };
        if seen.insert(identity(&name)) {
            endpoints.push(Endpoint { name, weight, is_backup });
        } else {
            let problem = Problem::Duplicate(address.quote());
            reader.errors.report(&address.place, problem, || None);
        }
    }
    let place = entry.place.below("endpoints", None);
    if !endpoints.is_empty()
        && endpoints.iter().all(|endpoint| endpoint.is_backup)
        && !reader.errors.is_blamed(&place.key)
    {
        reader.errors.report(&place, BackendProblem::BackupsOnly, || None);
    }
    endpoints
}

/// The same for names that can only mean the same.
fn identity(name: &EndpointName) -> EndpointName {
    match name {
        EndpointName::Host { host, port } => {
            let host = match host.parse::<IpAddr>() {
                Ok(ip) => ip.to_canonical().to_string(),
                Err(_) => host.to_ascii_lowercase(),
            };
            EndpointName::Host { host: host.into(), port: *port }
        }
        EndpointName::Service(name) => EndpointName::Service(name.to_ascii_lowercase().into()),
        EndpointName::Unix(_) => name.clone(),
    }
}

fn endpoint(written: &Written, reader: &mut Reader<'_>) -> Option<EndpointName> {
    match written.text.parse() {
        Ok(EndpointName::Unix(path)) => {
            let path = socket_path(&path, written, reader)?;
            Some(EndpointName::Unix(path.into()))
        }
        Ok(EndpointName::Host { port: 0, .. }) => {
            reader.errors.report(&written.place, Problem::PortZero(written.quote()), || None);
            None
        }
        Ok(endpoint) => Some(endpoint),
        Err(reason) => {
            report_address(written, reason, reader);
            None
        }
    }
}

fn tls(
    entry: &Entry<BackendTlsSection>,
    endpoints: &[Endpoint],
    reader: &mut Reader<'_>,
) -> BackendTls {
    let section = &entry.section;
    let server_name = section.server_name.as_ref().and_then(|written| {
        let name = ServerName::try_from(written.text.clone()).ok();
        if name.is_none() {
            let problem = BackendProblem::ServerName(written.quote());
            reader.errors.report(&written.place, problem, || None);
        }
        name
    });
    let tls = BackendTls {
        ca: section.ca.as_ref().and_then(|written| written.path(reader)),
        server_name,
        credential: section.credential.as_ref().and_then(|written| written.path(reader)),
        crls: section.crl.iter().flatten().filter_map(|written| written.path(reader)).collect(),
        alpn: section.alpn.as_ref().map(|written| alpn(written, reader)).unwrap_or_default(),
        starttls: section.starttls.as_ref().map(|written| written.value),
    };
    if section.server_name.is_none() {
        let mut names = endpoints.iter().map(|endpoint| &endpoint.name);
        if let Some(name) = names.find(|name| tls.name_of(name).is_none()) {
            let problem = match name {
                EndpointName::Unix(_) => BackendProblem::UnnamedUnix,
                name => BackendProblem::Unnamed(name.to_string()),
            };
            let hint = || Some("add `server_name = \"NAME\"`".to_owned());
            reader.errors.report(&entry.place, problem, hint);
        }
    }
    tls
}

fn send_proxy(section: &BackendSection, reader: &mut Reader<'_>) -> Option<SendProxy> {
    let mut tlvs: Vec<ProxyTlv> = Vec::new();
    for written in section.proxy_tlvs.iter().flat_map(|written| &written.value) {
        match TLVS.iter().find(|(word, _)| *word == written.text) {
            Some((_, tlv)) if tlvs.contains(tlv) => {
                let problem = Problem::Duplicate(written.quote());
                reader.errors.report(&written.place, problem, || None);
            }
            Some((_, tlv)) => tlvs.push(*tlv),
            None => {
                let words = || TLVS.iter().map(|(word, _)| *word);
                let hint = || {
                    let meant = suggest::nearest(&written.text, words());
                    meant.map(|meant| format!("did you mean `{meant}`?"))
                };
                let problem =
                    Problem::Choice { written: written.quote(), options: one_of(words()) };
                reader.errors.report(&written.place, problem, hint);
            }
        }
    }
    let version = section.send_proxy?;
    if section.proxy_tlvs.is_none() && version == ProxyVersion::V2 {
        tlvs = vec![ProxyTlv::Alpn, ProxyTlv::Authority, ProxyTlv::Ssl];
    }
    Some(SendProxy { version, tlvs })
}

fn balance(written: &Written, reader: &mut Reader<'_>) -> Balance {
    let text = written.text.as_str();
    let field = |name: &str| HeaderName::from_bytes(name.as_bytes()).ok();
    let found = match text.split_once(':') {
        None => WAYS.iter().find(|(word, _)| *word == text).map(|(_, way)| way.clone()),
        Some(("hash-header", name)) => field(name).map(Balance::HashHeader),
        // A cookie has a name of the same characters (RFC 6265 §4.1.1), in which case counts.
        Some(("hash-cookie", name)) => field(name).map(|_| Balance::HashCookie(Arc::from(name))),
        Some(_) => None,
    };
    found.unwrap_or_else(|| {
        let hint = || {
            let words = WAYS.iter().map(|(word, _)| *word);
            suggest::nearest(text, words).map(|meant| format!("did you mean `{meant}`?"))
        };
        let problem = BackendProblem::Balance(written.quote(), WAYS_SHOWN);
        reader.errors.report(&written.place, problem, hint);
        Balance::P2c
    })
}

fn health(section: &HealthSection, reader: &mut Reader<'_>) -> Health {
    let check = match &section.path {
        Some(path) => http_check(path, section, reader),
        None => {
            let host = section.host.as_ref().map(|written| &written.place);
            for place in [host, section.expect.place.as_ref()].into_iter().flatten() {
                let hint = || Some("add `path = \"/…\"`, or leave it out".to_owned());
                reader.errors.report(place, BackendProblem::HttpCheckOnly, hint);
            }
            HealthCheck::Tcp
        }
    };
    Health {
        check,
        interval: section.interval,
        timeout: section.timeout,
        rise: section.rise,
        fall: section.fall,
    }
}

fn http_check(path: &Written, section: &HealthSection, reader: &mut Reader<'_>) -> HealthCheck {
    let is_plain = path.text.starts_with('/')
        && path.text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#');
    let target = PathAndQuery::try_from(path.text.as_str()).ok().filter(|_| is_plain);
    if target.is_none() {
        let problem = BackendProblem::Path(path.quote());
        reader.errors.report(&path.place, problem, || None);
    }
    let host = section.host.as_ref().and_then(|written| {
        let is_host = !written.text.contains('@') && written.text.parse::<Authority>().is_ok();
        if !is_host {
            let problem = BackendProblem::Host(written.quote());
            reader.errors.report(&written.place, problem, || None);
        }
        is_host.then(|| Arc::from(written.text.as_str()))
    });
    if let Some(place) = &section.expect.place
        && section.expect.value.iter().any(|range| *range.end() < FINAL_MIN)
    {
        reader.errors.report(place, BackendProblem::Interim, || None);
    }
    HealthCheck::Http {
        path: target.unwrap_or_else(|| PathAndQuery::from_static("/")),
        host,
        expect: section.expect.value.clone(),
    }
}

fn ejection(section: &EjectionSection, reader: &mut Reader<'_>) -> Ejection {
    let (base, longest) = (&section.base, &section.longest);
    if let (Some(place), true) =
        (base.place.as_ref().or(longest.place.as_ref()), base.value > longest.value)
    {
        reader.errors.report(place, BackendProblem::EjectionTimes, || None);
    }
    Ejection {
        failures: section.failures,
        base: base.value,
        longest: longest.value,
        share_max: section.share,
        statuses: section.statuses.clone(),
    }
}

/// What backends cannot do for listeners that forward bytes to them.
pub(super) fn check_tunnels(
    listeners: &[Listener],
    backends: &[Backend],
    written: &[Entry<BackendSection>],
    reader: &mut Reader<'_>,
) {
    let mut seen = HashSet::new();
    for listener in listeners.iter().filter(|listener| listener.mode == Mode::Tcp) {
        for index in backends_of(&listener.sites) {
            let found = backends.get(index).zip(written.get(index));
            let Some((backend, entry)) = found.filter(|_| seen.insert(index)) else { continue };
            if matches!(backend.balance, Balance::HashHeader(_) | Balance::HashCookie(_)) {
                let hint = || Some("as `hash-client`".to_owned());
                let problem = BackendProblem::TunnelBalance(listener.name.to_string());
                reader.errors.report(&entry.section.balance.place, problem, hint);
            }
        }
    }
}

fn backends_of(sites: &Sites) -> Vec<usize> {
    let index = |behind: &Behind| {
        let actions = behind.routes.iter().map(|route| &route.action);
        let indices = actions.filter_map(|action| match action {
            Action::Forward { backend, .. } => Some(*backend),
            Action::Redirect { .. } | Action::Respond { .. } => None,
        });
        indices.collect::<Vec<_>>()
    };
    match sites {
        Sites::Any(behind) => index(behind),
        Sites::Named(sites) => sites.iter().flat_map(|site| index(&site.behind)).collect(),
    }
}

/// What comes before is no answer yet (RFC 9110 §15.2).
const FINAL_MIN: u16 = 200;

/// What a PROXY header can say, as the configuration has it.
const TLVS: [(&str, ProxyTlv); 5] = [
    ("alpn", ProxyTlv::Alpn),
    ("authority", ProxyTlv::Authority),
    ("client-cert", ProxyTlv::ClientCert),
    ("ssl", ProxyTlv::Ssl),
    ("unique-id", ProxyTlv::UniqueId),
];

/// The ways that need no name.
const WAYS: [(&str, Balance); 4] = [
    ("p2c", Balance::P2c),
    ("round-robin", Balance::RoundRobin),
    ("least", Balance::Least),
    ("hash-client", Balance::HashClient),
];
const WAYS_SHOWN: &str = "`p2c`, `round-robin`, `least`, `hash-client`, `hash-header:NAME` or \
                          `hash-cookie:NAME`";

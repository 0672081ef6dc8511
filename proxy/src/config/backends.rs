//! Backends: what their keys mean together.
//!
//! Owns the rules within a backend; those between backends and listeners are in `between`. Refuses
//! to know where values come from. Read next: `backend`, the result.

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::Arc;

use http::HeaderName;
use http::uri::{Authority, PathAndQuery};
use rustls::pki_types::ServerName;

use super::client_auth::files;
use super::error::{BackendProblem, BytesProblem, Problem};
use super::list::Entry;
use super::listeners::{alpn, networks, report_address, socket_path};
use super::mixed::{Switch, TextOr};
use super::schema::{
    BackendSection, BackendTlsSection, EjectionSection, EndpointSection, HealthSection,
};
use super::section::Reader;
use super::text::Written;
use super::{
    Backend, BackendProtocol, BackendTls, Balance, Ejection, Endpoint, Health, HealthCheck,
    PoolBounds, ProxyTlv, ProxyVersion, Resolve, SendProxy, suggest,
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
        health: section.health.as_ref().map(|entry| {
            check_health(section, &entry.section, reader);
            health(&entry.section, reader)
        }),
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
        crls: files(section.crl.as_deref().unwrap_or_default(), reader),
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
    let version = section.send_proxy.as_ref().map(|written| written.value);
    let Some(tlvs) = &section.proxy_tlvs else {
        let version = version?;
        let tlvs = match version {
            ProxyVersion::V1 => Vec::new(),
            ProxyVersion::V2 => TLVS_DEFAULT.to_vec(),
        };
        return Some(SendProxy { version, tlvs });
    };
    if let (Some(place), None | Some(ProxyVersion::V1)) = (&tlvs.place, version) {
        let hint = || Some("set `send_proxy = \"v2\"`, or leave it out".to_owned());
        reader.errors.report(place, BytesProblem::TlvsUnheard, hint);
    }
    let find = |tlv| tlvs.value.iter().find(|word| word.value == tlv);
    let certificate = find(ProxyTlv::ClientCert).and_then(|word| word.place.as_ref());
    if let (Some(place), None) = (certificate, find(ProxyTlv::Ssl)) {
        let hint = || Some("add `\"ssl\"`".to_owned());
        reader.errors.report(place, BytesProblem::TlvCertificate, hint);
    }
    let tlvs = tlvs.value.iter().map(|word| word.value).collect();
    Some(SendProxy { version: version?, tlvs })
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

/// A request makes no sense to those who speak something else before TLS.
fn check_health(section: &BackendSection, health: &HealthSection, reader: &mut Reader<'_>) {
    let tls = section.tls.as_ref().map(|entry| &entry.section);
    let spoken = tls.and_then(|tls| tls.starttls.as_ref());
    if let (Some(spoken), Some(path)) = (spoken, &health.path) {
        let hint = || Some("leave it out: they only have to accept a connection".to_owned());
        let problem = BytesProblem::HealthOfStarttls(spoken.value.name());
        reader.errors.report(&path.place, problem, hint);
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

/// What comes before is no answer yet (RFC 9110 §15.2).
const FINAL_MIN: u16 = 200;

/// What a PROXY header of version 2 says unless the operator says otherwise.
const TLVS_DEFAULT: [ProxyTlv; 3] = [ProxyTlv::Alpn, ProxyTlv::Authority, ProxyTlv::Ssl];

/// The ways that need no name.
const WAYS: [(&str, Balance); 4] = [
    ("p2c", Balance::P2c),
    ("round-robin", Balance::RoundRobin),
    ("least", Balance::Least),
    ("hash-client", Balance::HashClient),
];
const WAYS_SHOWN: &str = "`p2c`, `round-robin`, `least`, `hash-client`, `hash-header:NAME` or \
                          `hash-cookie:NAME`";

//! Listeners, their sites, and backends: what refers to what.
//!
//! Owns the rules between them: backends that exist, addresses, hosts and endpoints that stand
//! there once, a listener that leads somewhere. Refuses to know where values come from. Read
//! next: `config`, the result.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use portunus_certs::name::NamePattern;

use super::client_auth::{Surrounding, client_auth};
use super::error::Problem;
use super::list::Entry;
use super::schema::{BackendSection, ListenerSection, Profile, SiteSection, TlsSection, Way};
use super::section::Reader;
use super::text::Written;
use super::{
    Backend, BackendProtocol, Balance, Behind, ClientAuth, Ejection, Endpoint, ForwardedFields,
    HttpListener, Listener, PoolBounds, Resolve, ResumptionMode, Site, Sites, TlsVersion,
    UnknownHost, suggest,
};
use crate::net::{AddressError, EndpointName, ListenAddr};

/// What listeners share, or may not share.
pub(super) struct Shared<'a> {
    /// What clients can resume with, where a listener does not say it.
    pub(super) resumption: ResumptionMode,
    /// The indices of the backends by name.
    pub(super) backends: HashMap<&'a str, usize>,
    /// The addresses that are bound so far, with the key that each stands at.
    pub(super) taken: Taken,
    /// What is asked of clients so far.
    pub(super) client_auths: Vec<ClientAuth>,
}

type Taken = Vec<(ListenAddr, String)>;

/// A listener; none if it leads nowhere.
pub(super) fn listener(
    entry: &Entry<ListenerSection>,
    shared: &mut Shared<'_>,
    reader: &mut Reader<'_>,
) -> Option<Listener> {
    let section = &entry.section;
    let written = section.listen.iter().flatten();
    let addresses =
        written.filter_map(|text| listen_addr(text, &mut shared.taken, reader)).collect();
    if let (Some(auth), false) = (&section.client_auth, section.site.is_empty()) {
        let hint = || Some("give it to each site that needs it".to_owned());
        reader.errors.report(&auth.place, Problem::ClientAuthAndSites, hint);
    }
    let auth = section.client_auth.as_ref();
    let resumption = section.resumption.unwrap_or(shared.resumption);
    let surrounding = Surrounding { mode: section.mode, resumption };
    Some(Listener {
        name: entry.name.as_str().into(),
        addresses,
        mode: section.mode,
        tls_version_min: tls_version_min(&section.tls, reader),
        certificate_compression: section.tls.certificate_compression,
        no_sni: section.no_sni,
        resumption,
        client_auth: client_auth(auth, surrounding, &mut shared.client_auths, reader),
        sites: sites(entry, surrounding, shared, reader)?,
        http: HttpListener {
            trusted_peers: Vec::new(),
            forwarded: ForwardedFields::XForwarded,
            tls_fields: false,
            unknown_host: UnknownHost::Misdirected,
            reject_underscores: false,
            extended_connect: false,
            redirect: None,
        },
    })
}

/// An address to bind. Port 0 is a different port each time, every other address stands once.
pub(super) fn listen_addr(
    written: &Written,
    taken: &mut Taken,
    reader: &mut Reader<'_>,
) -> Option<ListenAddr> {
    let addr = match written.text.parse() {
        Ok(ListenAddr::Unix(path)) => ListenAddr::Unix(socket_path(&path, written, reader)?),
        Ok(addr) => addr,
        Err(reason) => {
            report_address(written, reason, reader);
            return None;
        }
    };
    if matches!(&addr, ListenAddr::Tcp(tcp) if tcp.port() == 0) {
        return Some(addr);
    }
    if let Some((other, taken_by)) = taken.iter().find(|(other, _)| overlap(&addr, other)) {
        let problem =
            Problem::AddressTaken { address: written.quote(), taken_by: taken_by.clone() };
        let is_wider = |addr: &ListenAddr| matches!(addr, ListenAddr::Tcp(tcp) if is_any(tcp.ip()));
        let hint = || (other != &addr && (is_wider(other) || is_wider(&addr))).then(wide);
        reader.errors.report(&written.place, problem, hint);
        return None;
    }
    taken.push((addr.clone(), written.place.key.clone()));
    Some(addr)
}

fn wide() -> String {
    "`[::]` is every address of IPv4 too, and `0.0.0.0` every one of those".to_owned()
}

/// Whether two addresses cannot be bound together.
fn overlap(one: &ListenAddr, other: &ListenAddr) -> bool {
    let (ListenAddr::Tcp(one), ListenAddr::Tcp(other)) = (one, other) else { return one == other };
    let (a, b) = (one.ip().to_canonical(), other.ip().to_canonical());
    let covers = |wide: IpAddr, narrow: IpAddr| match wide {
        IpAddr::V4(wide) => wide.is_unspecified() && narrow.is_ipv4(),
        IpAddr::V6(wide) => wide.is_unspecified(),
    };
    one.port() == other.port() && (a == b || covers(a, b) || covers(b, a))
}

fn is_any(ip: IpAddr) -> bool {
    ip.to_canonical().is_unspecified()
}

/// The path of a unix socket, from the folder of the configuration.
fn socket_path(path: &Path, written: &Written, reader: &mut Reader<'_>) -> Option<PathBuf> {
    let path = reader.surroundings.folder.join(path);
    let bytes = path.as_os_str().as_encoded_bytes();
    let good = bytes.len() <= SOCKET_PATH_BYTES_MAX && !bytes.contains(&0);
    if !good {
        reader.errors.report(&written.place, Problem::BadPath, || None);
    }
    good.then_some(path)
}

fn report_address(written: &Written, reason: AddressError, reader: &mut Reader<'_>) {
    let problem = Problem::Address { written: written.quote(), reason };
    reader.errors.report(&written.place, problem, || None);
}

fn tls_version_min(section: &TlsSection, reader: &mut Reader<'_>) -> TlsVersion {
    let written = &section.min_version;
    match (section.profile, written.value, &written.place) {
        (Profile::Default, version, _) => version,
        (Profile::Modern, TlsVersion::V1_2, Some(place)) => {
            let hint = || Some("leave one of them out".to_owned());
            reader.errors.report(place, Problem::Profile, hint);
            TlsVersion::V1_3
        }
        (Profile::Modern, _, _) => TlsVersion::V1_3,
    }
}

fn sites(
    entry: &Entry<ListenerSection>,
    surrounding: Surrounding,
    shared: &mut Shared<'_>,
    reader: &mut Reader<'_>,
) -> Option<Sites> {
    let section = &entry.section;
    match (&section.backend, section.site.as_slice()) {
        (Some(name), []) => backend_index(name, shared, reader)
            .map(|backend| Sites::Any(Behind::forwarding(backend))),
        (None, []) => {
            let blamed = |key| reader.errors.is_blamed(&entry.place.below(key, None).key);
            if !blamed("backend") && !blamed("site") {
                let hint = || Some("add `backend = \"NAME\"`".to_owned());
                reader.errors.report(&entry.place, Problem::NoBackend, hint);
            }
            None
        }
        (Some(name), _) => {
            let hint = || Some("give the backend to each site".to_owned());
            reader.errors.report(&name.place, Problem::BackendAndSites, hint);
            None
        }
        (None, written) => {
            let mut seen = HashSet::new();
            let sites = written
                .iter()
                .filter_map(|entry| site(&entry.section, surrounding, &mut seen, shared, reader));
            Some(Sites::Named(sites.collect()))
        }
    }
}

fn site(
    section: &SiteSection,
    surrounding: Surrounding,
    seen: &mut HashSet<String>,
    shared: &mut Shared<'_>,
    reader: &mut Reader<'_>,
) -> Option<Site> {
    let mut hosts = Vec::new();
    for written in section.hosts.iter().flatten() {
        match NamePattern::parse(&written.text) {
            // Two spellings of one name are one name.
            Ok(host) if seen.insert(host.to_string()) => hosts.push(host),
            Ok(_) => {
                let problem = Problem::Duplicate(written.quote());
                let hint = || Some("a listener serves each host from one site".to_owned());
                reader.errors.report(&written.place, problem, hint);
            }
            Err(reason) => {
                let problem = Problem::Host { written: written.quote(), reason };
                reader.errors.report(&written.place, problem, || None);
            }
        }
    }
    let auth = section.client_auth.as_ref();
    let client_auth = client_auth(auth, surrounding, &mut shared.client_auths, reader);
    let backend = backend_index(section.backend.as_ref()?, shared, reader)?;
    Some(Site { hosts, behind: Behind::forwarding(backend), client_auth })
}

fn backend_index(name: &Written, shared: &Shared<'_>, reader: &mut Reader<'_>) -> Option<usize> {
    let backends = &shared.backends;
    let found = backends.get(name.text.as_str()).copied();
    // If there is no backend at all, that has been said.
    if found.is_none() && !backends.is_empty() {
        let hint = || {
            let meant = suggest::nearest(&name.text, backends.keys().copied());
            meant.map(|meant| format!("did you mean `{meant}`?"))
        };
        reader.errors.report(&name.place, Problem::UnknownBackend(name.quote()), hint);
    }
    found
}

/// A backend; wrong endpoints are stepped over.
pub(super) fn backend(entry: &Entry<BackendSection>, reader: &mut Reader<'_>) -> Backend {
    let section = &entry.section;
    let mut endpoints: Vec<EndpointName> = Vec::new();
    let mut seen = HashSet::new();
    for written in section.endpoints.iter().flatten() {
        let Some(endpoint) = endpoint(written, reader) else { continue };
        if seen.insert(endpoint.clone()) {
            endpoints.push(endpoint);
        } else {
            let problem = Problem::Duplicate(written.quote());
            reader.errors.report(&written.place, problem, || None);
        }
    }
    Backend {
        name: entry.name.as_str().into(),
        endpoints: endpoints
            .into_iter()
            .map(|name| Endpoint { name, weight: 1, is_backup: false })
            .collect(),
        protocol: BackendProtocol::Http1,
        tls: None,
        balance: match section.balance {
            Way::P2c => Balance::P2c,
            Way::RoundRobin => Balance::RoundRobin,
        },
        health: None,
        ejection: Some(Ejection {
            failures: 5,
            base: Duration::from_secs(10),
            longest: Duration::from_secs(300),
            share_max: 50,
        }),
        slow_start: Duration::ZERO,
        pool: PoolBounds {
            connections_max: 65_536,
            age_max: Duration::from_secs(3_600),
            streams_max: 100,
        },
        resolve: Resolve {
            interval: section.resolve_interval,
            stale_max: Duration::from_secs(86_400),
            allow: Vec::new(),
        },
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

/// `sun_path` of Linux, with its NUL.
const SOCKET_PATH_BYTES_MAX: usize = 107;

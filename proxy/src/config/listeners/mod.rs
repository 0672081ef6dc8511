//! Listeners and their sites: what refers to what.
//!
//! Owns the rules between them: backends that exist, hosts that stand there once, a listener that
//! leads somewhere. Refuses to know where values come from. Read next: `address` for what is
//! bound, `before` for what comes before TLS, `http` and `bytes` for what only one mode has,
//! `routes` and `fields` for what is behind a site; `config` is the result.

mod address;
mod before;
mod bytes;
mod fields;
mod http;
mod routes;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use portunus_certs::name::NamePattern;

use self::address::listen_addr;
pub(super) use self::address::{Taken, admin_addr, networks, report_address, socket_path};
pub(super) use self::before::alpn;
use self::routes::{Beyond, behind};
use super::client_auth::{Surrounding, client_auth};
use super::error::{BytesProblem, Problem};
use super::list::Entry;
use super::schema::{ListenerSection, Profile, SiteSection, TlsSection};
use super::section::Reader;
use super::text::Written;
use super::{
    ClientAuth, Listener, Mode, ResumptionMode, Site, Sites, Termination, TlsVersion, suggest,
};

/// What listeners share, or may not share.
pub(super) struct Shared<'a> {
    /// What clients can resume with, where a listener does not say it.
    pub(super) resumption: ResumptionMode,
    /// The indices of the backends by name.
    pub(super) backends: HashMap<&'a str, usize>,
    /// The addresses that are bound so far, with the key that each stands at.
    pub(super) taken: Taken,
    /// `log.ja4`.
    pub(super) ja4: bool,
    /// What is asked of clients so far.
    pub(super) client_auths: Vec<ClientAuth>,
}

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
    bytes::check(entry, reader);
    let auth = section.client_auth.as_ref();
    let resumption = section.resumption.as_ref().map(|written| written.value);
    let resumption = resumption.unwrap_or(shared.resumption);
    let surrounding = Surrounding { mode: section.mode, resumption };
    let sites = sites(entry, surrounding, shared, reader)?;
    Some(Listener {
        name: entry.name.as_str().into(),
        addresses,
        mode: section.mode,
        tls_version_min: tls_version_min(&section.tls, reader),
        certificate_compression: section.tls.certificate_compression.value,
        ja4: shared.ja4,
        no_sni: section.no_sni.value,
        resumption,
        client_auth: client_auth(auth, surrounding, &mut shared.client_auths, reader),
        entrance: before::entrance(section),
        proxy_protocol: section
            .proxy_protocol
            .as_ref()
            .map(|entry| before::proxy_protocol(entry, section, reader)),
        starttls: before::starttls(section, &sites),
        alpn: before::listener_alpn(section, reader),
        on_truncation: section.on_truncation.value,
        sites,
        http: http::http(section, &mut shared.taken, reader),
    })
}

fn tls_version_min(section: &TlsSection, reader: &mut Reader<'_>) -> TlsVersion {
    let written = &section.min_version;
    match (section.profile.value, written.value, &written.place) {
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
    let written = Beyond {
        mode: section.mode,
        backend: section.backend.as_ref(),
        routes: &section.routes,
        hsts: section.hsts.as_ref(),
    };
    if section.site.is_empty() {
        let is_blamed = ["backend", "routes", "site"].iter().any(|key| {
            let key = entry.place.below(key, None).key;
            reader.errors.is_blamed(&key)
        });
        if written.is_nothing() && !is_blamed {
            let hint = || Some("add `backend = \"NAME\"`".to_owned());
            reader.errors.report(&entry.place, Problem::NoBackend, hint);
        }
        return behind(&written, &shared.backends, reader).map(Sites::Any);
    }
    if let Some(name) = &section.backend {
        let hint = || Some("give the backend to each site".to_owned());
        reader.errors.report(&name.place, Problem::BackendAndSites, hint);
    }
    let routes = section.routes.first().map(|entry| ("routes", &entry.place));
    let hsts = section.hsts.as_ref().map(|written| ("hsts", &written.place));
    for (key, place) in [routes, hsts].into_iter().flatten() {
        let hint = || Some("give it to each site that needs it".to_owned());
        reader.errors.report(place, Problem::BesideSites(key), hint);
    }
    let mut seen = HashSet::new();
    let sites = section.site.iter();
    let sites = sites.filter_map(|entry| site(entry, surrounding, &mut seen, shared, reader));
    Some(Sites::Named(sites.collect()))
}

fn site(
    entry: &Entry<SiteSection>,
    surrounding: Surrounding,
    seen: &mut Seen,
    shared: &mut Shared<'_>,
    reader: &mut Reader<'_>,
) -> Option<Site> {
    let section = &entry.section;
    let alpn = section.alpn.as_ref().map(|written| alpn(written, reader)).unwrap_or_default();
    let hosts = hosts(section, surrounding.mode, &alpn, seen, reader);
    let auth = section.client_auth.as_ref();
    let client_auth = client_auth(auth, surrounding, &mut shared.client_auths, reader);
    let written = Beyond {
        mode: surrounding.mode,
        backend: section.backend.as_ref(),
        routes: &section.routes,
        hsts: section.hsts.as_ref(),
    };
    let place = entry.place.below("backend", None);
    let routes = entry.place.below("routes", None);
    if written.is_nothing()
        && !reader.errors.is_blamed(&place.key)
        && !reader.errors.is_blamed(&routes.key)
    {
        reader.errors.report(&place, Problem::Missing, || None);
    }
    Some(Site {
        hosts,
        alpn,
        termination: match section.passthrough.value {
            true => Termination::Endpoint,
            false => Termination::Here,
        },
        behind: behind(&written, &shared.backends, reader)?,
        client_auth,
    })
}

/// Hosts with the protocol of each, or none for all others, that have a site.
type Seen = HashSet<(String, Option<Arc<[u8]>>)>;

fn hosts(
    section: &SiteSection,
    mode: Mode,
    alpn: &[Arc<[u8]>],
    seen: &mut Seen,
    reader: &mut Reader<'_>,
) -> Vec<NamePattern> {
    let mut hosts = Vec::new();
    for written in section.hosts.iter().flatten() {
        let host = match NamePattern::parse(&written.text) {
            Ok(host) => host,
            Err(reason) => {
                let problem = Problem::Host { written: written.quote(), reason };
                reader.errors.report(&written.place, problem, || None);
                continue;
            }
        };
        // Two spellings of one name are one name.
        let name = host.to_string();
        let protocols = alpn.iter().map(|protocol| Some(Arc::clone(protocol)));
        let (problem, hint): (Problem, _) = if mode == Mode::Tcp && !alpn.is_empty() {
            // All of them: a later site is compared with each.
            let taken = protocols.filter(|one| !seen.insert((name.clone(), one.clone()))).count();
            if taken == 0 {
                hosts.push(host);
                continue;
            }
            (BytesProblem::AlpnTaken(written.quote()).into(), EACH_PROTOCOL)
        } else if seen.insert((name, None)) {
            hosts.push(host);
            continue;
        } else if mode == Mode::Tcp {
            (Problem::Duplicate(written.quote()), EACH_HOST_OR_PROTOCOL)
        } else {
            (Problem::Duplicate(written.quote()), EACH_HOST)
        };
        reader.errors.report(&written.place, problem, || Some(hint.to_owned()));
    }
    hosts
}

/// The index of the backend with this name.
fn backend_index(
    name: &Written,
    backends: &HashMap<&str, usize>,
    reader: &mut Reader<'_>,
) -> Option<usize> {
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

const EACH_HOST: &str = "a listener serves each host from one site";
const EACH_HOST_OR_PROTOCOL: &str =
    "a listener serves each host from one site, or from several that differ in `alpn`";
const EACH_PROTOCOL: &str = "a listener serves each protocol of a host from one site";

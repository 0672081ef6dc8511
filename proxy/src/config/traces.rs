//! Traces: which are recorded, and where their spans go.
//!
//! Owns the settings and the step from a URL to a collector that can be connected to. A URL and a
//! field may hold a password, so nothing of them is ever shown. Refuses to know what a span is.
//! Read next: `config`, the result.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::header::CONTENT_TYPE;
use http::uri::{PathAndQuery, Scheme};
use http::{HeaderName, HeaderValue, Uri};
use serde_json::Value as Json;
use toml::de::DeValue;

use super::error::{FieldProblem, Place, Problem, printable};
use super::mixed::TextMap;
use super::schema::TracesSection;
use super::section::Reader;
use super::settings::{Setting, Settings};
use super::text::Hidden;
use super::value::Kind;
use super::{
    Backend, BackendProtocol, BackendTls, Balance, Endpoint, PoolBounds, Resolve, Secret, load,
};
use crate::field::{self, Fate};
use crate::net::EndpointName;

/// Which traces are recorded, and where their spans go.
#[derive(Clone, Debug, PartialEq)]
pub struct Traces {
    /// How the collector is reached.
    pub collector: Backend,
    /// What it is asked for.
    pub path: PathAndQuery,
    /// What it is called.
    pub host: HeaderValue,
    /// Fields of each request to it.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// How long it may take to answer.
    pub timeout: Duration,
    /// Of traces that begin here, the share that is recorded, from 0 to 1.
    pub share: f64,
    /// Whose traces are continued.
    pub parents: TraceParents,
    /// What spans say of who made them.
    pub service: Arc<str>,
}

/// Whose traces are continued.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum TraceParents {
    /// Those of everybody.
    Accept,
    /// Nobody's.
    Ignore,
    /// Those of trusted peers.
    Trusted,
}

/// What was written in `[traces]`; none if traces are off, or something is wrong and reported.
pub(super) fn traces(section: &TracesSection, reader: &mut Reader<'_>) -> Option<Traces> {
    let headers = headers(section.headers.as_deref().unwrap_or_default(), reader);
    let ca = section.ca.as_ref().map(|written| (written.path(reader), &written.place));
    let written = section.endpoint.as_ref()?;
    let Some(url) = Url::read(written.text.expose()) else {
        let hint = || Some("expected `http://HOST:PORT/v1/traces`, or `https://…`".to_owned());
        reader.errors.report(&written.place, Problem::Collector, hint);
        return None;
    };
    if let (Some((_, place)), false) = (&ca, url.is_secure) {
        let hint = || Some("leave it out".to_owned());
        reader.errors.report(place, Problem::CollectorInTheClear, hint);
    }
    let ca = ca.and_then(|(path, _)| path);
    Some(Traces {
        collector: collector(url.name, url.is_secure.then_some(ca)),
        path: url.path,
        host: url.host,
        headers,
        timeout: section.timeout,
        share: section.sample,
        parents: section.parent,
        service: section.service_name.text.as_str().into(),
    })
}

/// The parts of a URL that a request needs.
struct Url {
    is_secure: bool,
    name: EndpointName,
    host: HeaderValue,
    path: PathAndQuery,
}

impl Url {
    fn read(text: &str) -> Option<Self> {
        let parts = text.parse::<Uri>().ok()?.into_parts();
        let is_secure = match parts.scheme? {
            scheme if scheme == Scheme::HTTP => false,
            scheme if scheme == Scheme::HTTPS => true,
            _ => return None,
        };
        let authority = parts.authority.filter(|authority| !authority.as_str().contains('@'))?;
        let port = authority.port_u16().unwrap_or(if is_secure { 443 } else { 80 });
        let name = format!("{}:{port}", authority.host()).parse().ok()?;
        let path = parts.path_and_query.filter(|path| path != "/");
        Some(Self {
            is_secure,
            name,
            host: HeaderValue::from_str(authority.as_str()).ok().filter(|_| port != 0)?,
            path: path.unwrap_or(PathAndQuery::from_static(PATH)),
        })
    }
}

/// How a collector of this name is reached; `tls` has the authorities, if it is not to be those of
/// the system.
fn collector(name: EndpointName, tls: Option<Option<PathBuf>>) -> Backend {
    let tls = tls.map(|ca| BackendTls {
        ca,
        alpn: vec![Arc::from(&b"http/1.1"[..])],
        ..BackendTls::default()
    });
    Backend {
        name: "traces".into(),
        endpoints: vec![Endpoint { name, weight: 1, is_backup: false }],
        protocol: BackendProtocol::Http1,
        tls,
        send_proxy: None,
        balance: Balance::P2c,
        health: None,
        ejection: None,
        slow_start: Duration::ZERO,
        pool: PoolBounds { connections_max: CONNECTIONS_MAX, age_max: HOUR, streams_max: 1 },
        resolve: Resolve { interval: MINUTE, stale_max: HOUR, allow: Vec::new() },
    }
}

/// Fields that do not break the framing of our requests.
fn headers(
    written: &[(String, Hidden)],
    reader: &mut Reader<'_>,
) -> Vec<(HeaderName, HeaderValue)> {
    let mut fields = Vec::new();
    for (text, hidden) in written {
        let Ok(name) = HeaderName::from_bytes(text.as_bytes()) else {
            reader.errors.report(&hidden.place, FieldProblem::Name(printable(text)), || None);
            continue;
        };
        let is_fixed = name == CONTENT_TYPE || field::is_fixed(&name);
        if is_fixed && field::fate(name.as_str()) != Fate::Reserved {
            let problem = FieldProblem::Framing(name.to_string());
            reader.errors.report(&hidden.place, problem, || None);
            continue;
        }
        match HeaderValue::from_str(hidden.text.expose()) {
            Ok(mut value) => {
                value.set_sensitive(true);
                fields.push((name, value));
            }
            Err(_) => reader.errors.report(&hidden.place, FieldProblem::Value, || None),
        }
    }
    fields
}

/// Texts with names that the operator gives, which are never shown; what is `file:PATH` stands in
/// that file.
pub(super) struct HiddenMap(pub(super) usize);

impl Kind for HiddenMap {
    type Value = Vec<(String, Hidden)>;

    fn parse(
        &self,
        place: &Place,
        value: &DeValue<'_>,
        reader: &mut Reader<'_>,
    ) -> Option<Self::Value> {
        let written = TextMap(self.0).parse(place, value, reader)?;
        let mut hidden = Vec::new();
        for (name, written) in written {
            let text = match written.text.strip_prefix("file:") {
                None => Some(written.text),
                Some(path) => {
                    let path = reader.surroundings.folder.join(path);
                    reader.files.push(path.clone());
                    let text = load::read_text(&path, SECRET_FILE_BYTES_MAX);
                    let text = text.map_err(|error| {
                        let problem = Problem::SecretFile(error);
                        reader.errors.report(&written.place, problem, || None);
                    });
                    text.ok()
                }
            };
            hidden.extend(text.map(|text| {
                let text = Secret::new(text.trim_end_matches(['\r', '\n']));
                (name, Hidden { text, place: written.place })
            }));
        }
        Some(hidden)
    }

    fn json(&self) -> Json {
        TextMap(self.0).json()
    }

    fn written(&self, _: &Self::Value) -> Json {
        Json::Null
    }

    fn setting(&self, value: &Self::Value) -> Setting {
        let mut settings = Settings::default();
        for (name, hidden) in value {
            settings.add(name.clone(), Some(Setting::Secret(hidden.text.clone())));
        }
        Setting::Keys(settings)
    }
}

/// Where collectors take spans unless they say otherwise.
const PATH: &str = "/v1/traces";
/// One is used, and another may still be closing.
const CONNECTIONS_MAX: usize = 4;
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);
/// A file that is meant to hold one value.
const SECRET_FILE_BYTES_MAX: u64 = 64 << 10;

//! Sessions: where they are kept, who carries them, and what processes share.
//!
//! Owns the settings of resumption and the rules between them: which settings fit which kind of
//! store, and that what is to be shared has something to be shared through. An address of a store
//! may hold a password, so nothing of it is ever shown. Refuses to know what is in the files of
//! keys, and whether a store is there. Read next: `config`, the result.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value as Json, json};
use toml::de::DeValue;

use super::Secret;
use super::error::{Place, Problem};
use super::list::is_name;
use super::schema::{ResumptionSection, SharedSection};
use super::section::Reader;
use super::text::{KEY_FILE, file_path, text};
use super::value::Kind;

/// Sessions kept for resumption.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Resumption {
    /// What clients can resume with, where a listener does not say it.
    pub mode: ResumptionMode,
    /// Bytes of memory for all sessions of the process.
    pub memory: usize,
    /// How long a session can be resumed.
    pub lifetime: Duration,
    /// The largest session that is kept, in bytes.
    pub session_bytes_max: usize,
    /// The keys of tickets.
    pub tickets: Tickets,
    /// The store that processes and machines share, if there is one.
    pub shared: Option<SharedTier>,
}

/// What clients can resume with.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ResumptionMode {
    /// TLS 1.2 session ids on our side, TLS 1.3 tickets that clients carry.
    Both,
    /// Nothing: every handshake is a full one.
    Off,
    /// Sessions on our side: TLS 1.2 session ids, TLS 1.3 single-use tickets.
    Stateful,
    /// Sessions that clients carry, sealed.
    Tickets,
}

/// The keys of tickets.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Tickets {
    /// How long a key seals; a ticket lives for the lifetime of
    /// sessions, or for twice this if that is less.
    pub rotation: Duration,
    /// Where they come from.
    pub keys: TicketKeySource,
}

/// Where ticket keys come from.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum TicketKeySource {
    /// A file, which others write anew.
    File(PathBuf),
    /// Random in this process: nobody else opens its tickets.
    Generated,
    /// Agreed on through the shared store.
    Shared,
}

/// The store that processes and machines share.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SharedTier {
    /// What the store is.
    pub engine: SharedEngine,
    /// The file of the keys that everything in the store is sealed with.
    pub sealing_key: PathBuf,
    /// How long a handshake waits for the store.
    pub timeout: Duration,
    /// Sessions that wait to be stored.
    pub queue_max: usize,
    /// Handshakes that wait for the store at once.
    pub in_flight_max: usize,
}

/// What a shared store is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum SharedEngine {
    /// A folder that the processes of one machine share.
    Local {
        /// The folder.
        path: PathBuf,
        /// How large it may grow.
        bytes_max: usize,
    },
    /// Redis or Valkey.
    Redis {
        /// Where it is, and perhaps with which password; its scheme is one of ours.
        url: Secret,
        /// PEM bundle of its authorities, if TLS is spoken to it; else those of the system.
        ca: Option<PathBuf>,
        /// What the names of all entries begin with.
        prefix: String,
    },
}

impl TicketKeySource {
    /// Whether they come from the same kind of place.
    pub fn is_like(&self, other: &Self) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
    }
}

impl SharedEngine {
    /// Whether both lie in the same folder, or are the same in all.
    pub fn is_in_one_place_with(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Local { path, .. }, Self::Local { path: other, .. }) => path == other,
            _ => self == other,
        }
    }
}

/// What was written in `[resumption]`.
pub(super) fn resumption(section: &ResumptionSection, reader: &mut Reader<'_>) -> Resumption {
    let shared = section.shared.as_ref();
    let keys = match &section.ticket_keys {
        None => TicketKeySource::Generated,
        Some(keys) => {
            if let (Some(place), TicketKeySource::Shared, None) = (&keys.place, &keys.value, shared)
                && !reader.errors.is_blamed("resumption.shared")
            {
                let hint = || Some("add `[resumption.shared]`, or name a file: `file:PATH`".into());
                reader.errors.report(place, Problem::NoSharedStore, hint);
            }
            keys.value.clone()
        }
    };
    Resumption {
        mode: section.mode,
        memory: section.memory,
        lifetime: section.lifetime,
        session_bytes_max: section.max_session,
        tickets: Tickets { rotation: section.ticket_rotation, keys },
        shared: shared.and_then(|entry| shared_tier(&entry.section, reader)),
    }
}

/// None if something is wrong, which is reported.
fn shared_tier(section: &SharedSection, reader: &mut Reader<'_>) -> Option<SharedTier> {
    let engine = engine(section, reader);
    Some(SharedTier {
        engine: engine?,
        sealing_key: section.sealing_key.clone()?,
        timeout: section.timeout,
        queue_max: section.queue,
        in_flight_max: section.in_flight,
    })
}

fn engine(section: &SharedSection, reader: &mut Reader<'_>) -> Option<SharedEngine> {
    let url = section.url.as_ref()?;
    let written = |place: &Place| place.at.is_some().then(|| place.clone());
    let prefix = written(&section.prefix.place);
    let ca = section.ca.as_ref();
    let is_foreign = |place: Option<&Place>, of: &'static str, reader: &mut Reader<'_>| {
        if let Some(place) = place {
            reader.errors.report(place, Problem::EngineKey(of), || Some("leave it out".to_owned()));
        }
    };
    if let Some(path) = url.text.expose().strip_prefix("file:") {
        is_foreign(prefix.as_ref(), REDIS, reader);
        is_foreign(ca.map(|ca| &ca.place), REDIS_OVER_TLS, reader);
        let path = file_path(path, &url.place, reader)?;
        return Some(SharedEngine::Local { path, bytes_max: section.size.value });
    }
    let Some(is_tls) = scheme(url.text.expose()) else {
        let hint = || Some(format!("expected {REDIS}, {REDIS_KIN} or {LOCAL}"));
        reader.errors.report(&url.place, Problem::StoreUrl, hint);
        return None;
    };
    is_foreign(section.size.place.as_ref(), LOCAL, reader);
    if !is_tls {
        is_foreign(ca.map(|ca| &ca.place), REDIS_OVER_TLS, reader);
    }
    if !is_name(&section.prefix.text) {
        let hint = || Some("as in `prefix = \"portunus\"`".to_owned());
        reader.errors.report(&section.prefix.place, Problem::BadName, hint);
    }
    let ca = match ca {
        Some(ca) => Some(ca.path(reader)?),
        None => None,
    };
    let prefix = section.prefix.text.clone();
    Some(SharedEngine::Redis { url: url.text.clone(), ca, prefix })
}

/// Whether TLS is spoken to the store at `url`; none if it is no address of one.
fn scheme(url: &str) -> Option<bool> {
    let (scheme, rest) = url.split_once("://")?;
    let scheme = scheme.to_ascii_lowercase().replace("valkey", "redis");
    let known = REDIS_SCHEMES.iter().find(|(known, _)| *known == scheme);
    known.filter(|_| !rest.is_empty()).map(|(_, is_tls)| *is_tls)
}

/// `file:PATH` or `shared`; anything else may be a key, and is not shown.
pub(super) struct TicketKeysText;

impl Kind for TicketKeysText {
    type Value = TicketKeySource;

    fn parse(
        &self,
        place: &Place,
        value: &DeValue<'_>,
        reader: &mut Reader<'_>,
    ) -> Option<TicketKeySource> {
        let written = text(place, value, KEY_FILE, reader)?;
        match (written.text.as_str(), written.text.strip_prefix("file:")) {
            ("shared", _) => Some(TicketKeySource::Shared),
            (_, Some(path)) => file_path(path, place, reader).map(TicketKeySource::File),
            _ => {
                let hint = || Some("expected `file:PATH` or `shared`; or leave it out".to_owned());
                reader.errors.report(place, Problem::KeyReference, hint);
                None
            }
        }
    }

    fn json(&self) -> Json {
        json!({ "type": "string", "pattern": r"^file:.|^shared$|\$\{" })
    }

    fn written(&self, value: &TicketKeySource) -> Json {
        match value {
            TicketKeySource::File(path) => format!("file:{}", path.display()).into(),
            TicketKeySource::Generated => Json::Null,
            TicketKeySource::Shared => "shared".into(),
        }
    }
}

/// Schemes of Redis, as those of Valkey are called as well, and whether TLS is spoken.
const REDIS_SCHEMES: [(&str, bool); 7] = [
    ("redis", false),
    ("rediss", true),
    ("redis+unix", false),
    ("redis+sentinel", false),
    ("rediss+sentinel", true),
    ("redis+cluster", false),
    ("rediss+cluster", true),
];

const LOCAL: &str = "`file:PATH`";
const REDIS: &str = "`redis://…`";
const REDIS_OVER_TLS: &str = "`rediss://…`";
const REDIS_KIN: &str = "`rediss://…`, `redis+unix://…`, `redis+sentinel://…`, `redis+cluster://…`";

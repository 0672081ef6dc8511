//! From what was written to what it means: references resolved, contradictions found.
//!
//! Owns the rules that join several keys, and the values that are worked out at start. A wrong
//! value has been reported where it was read, and is stepped over here, so that one fault makes
//! one error. Nothing in here panics, whatever the text. Listeners and backends have their rules
//! in `listeners`. Read next: `config`, the result.

use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroU64, NonZeroUsize};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use portunus_certs::client_auth::ChainBounds;
use toml::de::DeTable;

use super::admin::admin;
use super::backends::backend;
use super::error::{Collector, ConfigErrors, Place, Problem};
use super::listeners::{Shared, listener};
use super::reference::Surroundings;
use super::resumption::resumption;
use super::schema::{
    CertificatesSection, HttpSection, LimitsSection, LogSection, ResolverSection, Root,
    ServerSection,
};
use super::section::{Properties, Reader, Section, Table, one_of};
use super::traces::traces;
use super::{
    AccessLog, Certificates, Config, HttpLimits, Limits, Listener, Log, Server, between, suggest,
};
use crate::net::Keepalive;

impl Config {
    /// Understands `text`, which stands in `file` (the name that errors show). Relative paths
    /// become relative to `folder`. Reads the environment where the text refers to it, and files
    /// where it names them as secrets; nothing else.
    pub fn parse(text: &str, file: &str, folder: &Path) -> Result<Self, ConfigErrors> {
        Self::parse_in(text, file, &Surroundings::of_process(folder))
    }

    pub(super) fn parse_in(
        text: &str,
        file: &str,
        surroundings: &Surroundings<'_>,
    ) -> Result<Self, ConfigErrors> {
        let mut reader =
            Reader { errors: Collector::new(file, text), surroundings, files: Vec::new() };
        let (table, faults) = DeTable::parse_recoverable(text);
        for fault in faults {
            // Only the message: the rest of the error shows the line, where a secret may stand.
            let at = fault.span().map(|span| span.start);
            reader.errors.report_syntax(at, fault.message());
        }
        if !reader.errors.is_empty() {
            return Err(reader.errors.finish(Vec::new()));
        }
        let root = Table::present(Place::default(), table.get_ref()).read(&mut reader);
        let config = resolve(&root, &mut reader);
        if reader.errors.is_empty() { Ok(config) } else { Err(reader.errors.finish(config.files)) }
    }
}

/// The JSON schema of the file, for editors.
pub fn json_schema() -> serde_json::Value {
    let mut schema = Properties::of::<Root>();
    if let Some(schema) = schema.as_object_mut() {
        schema.insert("$schema".to_owned(), "http://json-schema.org/draft-07/schema#".into());
        schema.insert("title".to_owned(), "Portunus configuration".into());
    }
    schema
}

/// A section of which no key was written.
pub(super) fn defaults<S: Section>(key: &str) -> S {
    let surroundings = Surroundings::of_process(Path::new(""));
    let errors = Collector::new("", "");
    let mut reader = Reader { errors, surroundings: &surroundings, files: Vec::new() };
    Table::absent(key).read(&mut reader)
}

fn resolve(root: &Root, reader: &mut Reader<'_>) -> Config {
    let settings = Arc::new(root.settings());
    let server = server(&root.server, reader.surroundings);
    let limits = limits(&root.limits, server.workers);
    let names = root.backend.iter().enumerate().map(|(at, entry)| (entry.name.as_str(), at));
    let mut shared = Shared {
        resumption: root.resumption.mode,
        backends: names.collect(),
        taken: Vec::new(),
        ja4: root.log.ja4,
        client_auths: Vec::new(),
    };
    let admin = admin(&root.admin, &mut shared.taken, reader);
    let listeners = root.listener.iter();
    let listeners: Vec<_> =
        listeners.filter_map(|entry| listener(entry, &mut shared, reader)).collect();
    let backends: Vec<_> = root.backend.iter().map(|entry| backend(entry, reader)).collect();
    between::check(&listeners, &backends, &root.backend, reader);
    Config {
        server,
        log: log(&root.log, reader),
        admin,
        traces: traces(&root.traces, reader),
        certificates: certificates(&root.certificates, &listeners, reader),
        resumption: resumption(&root.resumption, reader),
        limits: Arc::new(limits),
        client_auths: shared.client_auths,
        listeners,
        backends,
        nameservers: nameservers(&root.resolver, reader),
        path: None,
        files: std::mem::take(&mut reader.files),
        settings,
    }
}

fn server(section: &ServerSection, surroundings: &Surroundings<'_>) -> Server {
    Server {
        workers: NonZeroUsize::new(section.workers).unwrap_or(surroundings.processors),
        connections_max: match section.max_connections {
            0 => connections_max(surroundings.open_files),
            number => number,
        },
        drain_delay: section.drain_delay,
        drain_timeout: section.drain_timeout,
        user: section.user.as_ref().map(|user| user.text.clone()),
        sandbox: section.sandbox,
        memory_max: NonZeroU64::new(section.memory_max),
        watchdog: Some(section.watchdog).filter(|time| !time.is_zero()),
    }
}

/// Two files for each connection and a tenth of one to spare, besides those of the process itself.
fn connections_max(open_files: u64) -> usize {
    let fitting = open_files.saturating_sub(256).saturating_mul(5) / 11;
    usize::try_from(fitting).unwrap_or(usize::MAX).clamp(CONNECTIONS_MIN, CONNECTIONS_DEFAULT)
}

pub(super) fn limits(section: &LimitsSection, workers: NonZeroUsize) -> Limits {
    Limits {
        // The handshake's deadline counts from the same moment and would win anyway.
        client_hello_timeout: section.client_hello_timeout.min(section.handshake_timeout),
        client_hello_bytes_max: section.client_hello_size,
        proxy_header_timeout: section.proxy_header_timeout,
        starttls_timeout: section.starttls_timeout,
        handshake_timeout: section.handshake_timeout,
        client_chain: ChainBounds {
            certificates_max: section.client_chain_certificates,
            bytes_max: section.client_chain_size,
        },
        handshakes_max: match section.handshakes {
            0 => workers.get().saturating_mul(HANDSHAKES_PER_WORKER),
            number => number,
        },
        handshakes_per_source_max: section.handshakes_per_source,
        handshake_rate_per_source_max: NonZeroU32::new(section.handshake_rate_per_source),
        connect_timeout: section.connect_timeout,
        connect_attempts_max: section.connect_attempts,
        connects_max: section.connects,
        tunnel_idle_timeout: section.tunnel_idle_timeout,
        half_close_timeout: section.half_close_timeout,
        keepalive: Keepalive {
            idle: section.tcp_keepalive_idle,
            interval: section.tcp_keepalive_interval,
            probes: section.tcp_keepalive_probes,
            user_timeout: section.tcp_user_timeout,
        },
        http: http_limits(&section.http),
    }
}

pub(super) fn http_limits(section: &HttpSection) -> HttpLimits {
    HttpLimits {
        request_head_timeout: section.request_head_timeout,
        keepalive_timeout: section.keepalive_timeout,
        requests_max: section.requests,
        connection_age_max: section.connection_age,
        header_fields_max: section.header_fields,
        header_bytes_max: section.header_size,
        uri_bytes_max: section.uri_size,
        request_body_timeout: section.request_body_timeout,
        request_body_rate_min: section.request_body_rate,
        response_head_timeout: section.response_head_timeout,
        response_body_timeout: section.response_body_timeout,
        write_timeout: section.write_timeout,
        pool_idle_timeout: section.pool_idle_timeout,
        pool_idle_max: section.pool_idle,
        h2_streams_max: section.h2_streams,
        h2_stream_window: section.h2_stream_window,
        h2_connection_window: section.h2_connection_window,
        h2_send_buffer: section.h2_send_buffer,
        h2_requests_max: section.h2_requests,
        h2_resets_max: section.h2_resets,
        h2_control_frames_max: section.h2_control_frames,
        h2_ping_interval: section.h2_ping_interval,
        h2_ping_timeout: section.h2_ping_timeout,
    }
}

fn log(section: &LogSection, reader: &mut Reader<'_>) -> Log {
    let known = |level: &str| LEVELS.iter().any(|known| known.eq_ignore_ascii_case(level));
    let letter = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b':' | b'-');
    let good = |directive: &str| match directive.split_once('=') {
        Some((target, level)) => !target.is_empty() && target.bytes().all(letter) && known(level),
        None => known(directive),
    };
    let directives: Vec<&str> = section.level.text.split(',').map(str::trim).collect();
    if !directives.iter().all(|directive| good(directive)) {
        let hint = || match suggest::nearest(&section.level.quote(), LEVELS) {
            Some(meant) => Some(format!("did you mean `{meant}`?")),
            None => Some(format!("expected {}", one_of(LEVELS.into_iter()))),
        };
        let problem = Problem::LogLevel(section.level.quote());
        reader.errors.report(&section.level.place, problem, hint);
    }
    Log { level: directives.join(","), format: section.format, access: access(section, reader) }
}

fn access(section: &LogSection, reader: &mut Reader<'_>) -> AccessLog {
    match section.access.text.as_str() {
        "off" => AccessLog::Off,
        "stdout" => AccessLog::Stdout,
        _ => section.access.path(reader).map_or(AccessLog::Off, AccessLog::File),
    }
}

/// Addresses of DNS servers, at their own port unless another is named.
fn nameservers(section: &ResolverSection, reader: &mut Reader<'_>) -> Vec<SocketAddr> {
    let mut servers = Vec::new();
    for written in section.nameservers.iter().flatten() {
        let text = written.text.as_str();
        let server = text.parse::<SocketAddr>().ok().filter(|server| server.port() != 0);
        let server = server.or_else(|| Some(SocketAddr::new(text.parse().ok()?, DNS_PORT)));
        if server.is_some_and(|server| servers.contains(&server)) {
            let problem = Problem::Duplicate(written.quote());
            reader.errors.report(&written.place, problem, || None);
        } else if server.is_none() {
            let problem = Problem::Nameserver(written.quote());
            reader.errors.report(&written.place, problem, || None);
        }
        servers.extend(server);
    }
    servers
}

/// Where none are needed, none are read.
fn certificates(
    section: &CertificatesSection,
    listeners: &[Listener],
    reader: &mut Reader<'_>,
) -> Certificates {
    let mut paths: Vec<PathBuf> = Vec::new();
    for written in &section.paths {
        let Some(path) = written.path(reader) else { continue };
        if paths.contains(&path) {
            let problem = Problem::Duplicate(written.quote());
            reader.errors.report(&written.place, problem, || None);
        }
        paths.push(path);
    }
    if !listeners.iter().any(Listener::terminates) {
        paths.clear();
    }
    Certificates {
        paths,
        poll_interval: section.poll_interval,
        settle: section.settle,
        strict_permissions: section.strict_permissions,
    }
}

/// The levels of `tracing`, and none of them.
const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// RFC 1035 §4.2.
const DNS_PORT: u16 = 53;

/// About half a second of one core's work on RSA handshakes.
const HANDSHAKES_PER_WORKER: usize = 1_024;

/// Where the open files do not allow more, and nobody said another number.
const CONNECTIONS_MIN: usize = 16;

/// The most that are held unless the operator asks for more.
const CONNECTIONS_DEFAULT: usize = 50_000;

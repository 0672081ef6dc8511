//! What a whole configuration becomes; the errors are in `faults`, the reference in `root_file`.

mod backends;
mod between;
mod bytes;
mod client_auth;
mod diff;
mod faults;
mod garbage;
mod http;
mod resumption;
mod root_file;
mod routes;
mod traces;
mod whole;

use std::num::NonZeroUsize;
use std::path::Path;
use std::time::Duration;

use super::reference::Surroundings;
use super::*;

/// What a listener and a backend need to be there.
const LEAST: &str = "[listener.https]\nlisten = ['[::]:8443']\nbackend = 'app'\n\
                     [backend.app]\nendpoints = ['127.0.0.1:3000']\n";

fn parse(text: &str) -> Result<Config, ConfigErrors> {
    let surroundings = Surroundings {
        folder: Path::new("/etc/portunus"),
        variable: &|name| match name {
            "APP_PORT" => Some("3000".to_owned()),
            "ADMIN_TOKEN" => Some("0123456789-secret-of-env".to_owned()),
            _ => None,
        },
        processors: NonZeroUsize::new(4).unwrap(),
        open_files: 1_000_000,
    };
    Config::parse_in(text, "config.toml", &surroundings)
}

#[test]
fn a_listener_and_a_backend_are_enough() {
    let config = parse(LEAST).unwrap();
    assert_eq!(config.server.workers.get(), 4);
    assert_eq!(config.server.connections_max, 50_000);
    assert_eq!(config.server.drain_delay, Duration::from_secs(5));
    assert_eq!(config.admin.unwrap().listen.to_string(), "127.0.0.1:9090");
    assert_eq!(config.certificates.paths, [Path::new("/etc/portunus/certs.d")]);
    assert_eq!(config.resumption.memory, 64 << 20);
    assert_eq!(config.limits.handshakes_max, 4_096);
    assert_eq!(config.limits.http, HttpLimits::default());
    let listener = &config.listeners[0];
    assert_eq!(&*listener.name, "https");
    assert_eq!(listener.mode, Mode::Http);
    assert_eq!(listener.tls_version_min, TlsVersion::V1_2);
    assert!(listener.certificate_compression);
    assert_eq!(listener.no_sni, NoSni::Default);
    assert!(matches!(&listener.sites, Sites::Any(behind) if backend_of(behind) == 0));
    assert_eq!(config.backends[0].balance, Balance::P2c);
}

#[test]
fn listeners_and_backends_keep_the_order_of_the_file_and_refer_to_each_other() {
    let config = parse(
        "[backend.zebra]\nendpoints = ['z.internal:80', 'unix:/run/z.sock', '[::1]:80']\n\
         [listener.web]\nlisten = ['0.0.0.0:443', '[::1]:443']\n\
         tls = { profile = 'modern', certificate_compression = false }\nno_sni = 'reject'\n\
         [[listener.web.site]]\nhosts = ['a.example', '*.a.example']\nbackend = 'ape'\n\
         [[listener.web.site]]\nhosts = ['b.example']\nbackend = 'zebra'\n\
         [listener.mail]\nlisten = ['unix:/run/mail.sock']\nmode = 'tcp'\nbackend = 'ape'\n\
         [backend.ape]\nendpoints = ['127.0.0.1:1']\nbalance = 'round-robin'\n",
    )
    .unwrap();
    let names: Vec<&str> = config.backends.iter().map(|backend| &*backend.name).collect();
    assert_eq!(names, ["zebra", "ape"]);
    let names: Vec<&str> = config.listeners.iter().map(|listener| &*listener.name).collect();
    assert_eq!(names, ["web", "mail"]);
    assert_eq!(config.listeners[0].tls_version_min, TlsVersion::V1_3);
    assert!(!config.listeners[0].certificate_compression);
    assert_eq!(config.listeners[0].no_sni, NoSni::Reject);
    let sites = match &config.listeners[0].sites {
        Sites::Named(sites) => sites.as_slice(),
        Sites::Any(_) => &[],
    };
    let backends: Vec<usize> = sites.iter().map(|site| backend_of(&site.behind)).collect();
    assert_eq!(backends, [1, 0]);
    assert_eq!(sites[0].hosts[1].to_string(), "*.a.example");
    assert!(matches!(&config.listeners[1].sites, Sites::Any(behind) if backend_of(behind) == 1));
    assert_eq!(config.backends[0].endpoints[1].name.to_string(), "unix:/run/z.sock");
}

#[test]
fn variables_are_expanded_in_every_text() {
    let text = LEAST.replace(":3000", ":${APP_PORT}").replace("8443", "${TLS_PORT:-443}");
    let config = parse(&text).unwrap();
    assert_eq!(config.backends[0].endpoints[0].name.to_string(), "127.0.0.1:3000");
    assert_eq!(config.listeners[0].addresses[0].to_string(), "[::]:443");
}

#[test]
fn the_admin_listener_can_be_switched_off_or_opened_with_a_token() {
    assert!(parse(&format!("admin.listen = 'off'\n{LEAST}")).unwrap().admin.is_none());
    let open = format!("admin = {{ listen = '[::]:9090', token = '${{ADMIN_TOKEN}}' }}\n{LEAST}");
    let admin = parse(&open).unwrap().admin.unwrap();
    assert_eq!(admin.token.unwrap().expose(), "0123456789-secret-of-env");
    let unix = format!("admin.listen = 'unix:admin.sock'\n{LEAST}");
    let admin = parse(&unix).unwrap().admin.unwrap();
    assert_eq!(admin.listen.to_string(), "unix:/etc/portunus/admin.sock");
}

#[test]
fn a_secret_from_a_file_is_read_without_its_line_end() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("token"), "abcdefghijklmnopqrstuvwxyz\n").unwrap();
    let text = format!("admin.token = 'file:token'\n{LEAST}");
    let config = Config::parse(&text, "config.toml", folder.path()).unwrap();
    let token = config.admin.unwrap().token.unwrap();
    assert_eq!(token.expose(), "abcdefghijklmnopqrstuvwxyz");
}

#[test]
fn connections_fit_into_the_open_files() {
    let connections = |open_files| {
        let surroundings = Surroundings {
            folder: Path::new(""),
            variable: &|_| None,
            processors: NonZeroUsize::MIN,
            open_files,
        };
        Config::parse_in(LEAST, "c", &surroundings).unwrap().server.connections_max
    };
    assert_eq!(connections(1_024), 349);
    assert_eq!(connections(20_000), 8_974);
    assert_eq!(connections(u64::MAX), 50_000);
    assert_eq!(connections(0), 16);
}

#[test]
fn the_deadline_of_the_handshake_is_that_of_the_client_hello_too() {
    let text = format!("limits.handshake_timeout = '2s'\n{LEAST}");
    let limits = parse(&text).unwrap().limits;
    assert_eq!(limits.client_hello_timeout, Duration::from_secs(2));
}

#[test]
fn the_defaults_are_those_that_the_documents_promise() {
    let limits = Limits::default();
    let secs = Duration::from_secs;
    assert_eq!(limits.client_hello_timeout, secs(5));
    assert_eq!(limits.client_hello_bytes_max, 16 << 10);
    assert_eq!(limits.handshake_timeout, secs(10));
    assert_eq!(limits.handshakes_max, 1_024);
    assert_eq!(limits.handshakes_per_source_max, 64);
    assert_eq!((limits.connect_timeout, limits.connect_attempts_max), (secs(3), 2));
    assert_eq!((limits.tunnel_idle_timeout, limits.half_close_timeout), (secs(3_600), secs(60)));
    let keepalive = limits.keepalive;
    assert_eq!((keepalive.idle, keepalive.interval, keepalive.probes), (secs(60), secs(10), 6));
    assert_eq!(keepalive.user_timeout, secs(30));
    let http = limits.http;
    assert_eq!((http.request_head_timeout, http.keepalive_timeout), (secs(10), secs(75)));
    assert_eq!((http.requests_max, http.header_fields_max), (1_000, 100));
    assert_eq!((http.header_bytes_max, http.uri_bytes_max), (32 << 10, 8 << 10));
    assert_eq!((http.request_body_timeout, http.request_body_rate_min), (secs(30), 500));
    assert_eq!((http.response_head_timeout, http.response_body_timeout), (secs(60), secs(300)));
    assert_eq!((http.write_timeout, http.pool_idle_timeout), (secs(30), secs(50)));
    assert_eq!((http.pool_idle_max, http.h2_streams_max), (64, 100));
    assert_eq!((http.h2_stream_window, http.h2_connection_window), (64 << 10, 1 << 20));
    assert_eq!(http.h2_send_buffer, 64 << 10);
}

/// Where the only route of a site leads.
fn backend_of(behind: &Behind) -> usize {
    match behind.routes.as_slice() {
        [Route { action: Action::Forward { backend, .. }, .. }] => *backend,
        routes => unreachable!("one route that forwards, not {routes:?}"),
    }
}

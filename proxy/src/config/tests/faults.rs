//! What is said about each fault: the whole line, since that is what a person reads.

use super::*;

/// The lines about `text`.
fn faults(text: &str) -> Vec<String> {
    parse(text).unwrap_err().iter().map(ToString::to_string).collect()
}

/// Checks the one line that comes of each text put before the least configuration.
fn check(cases: &[(&str, &str)]) {
    for (text, expected) in cases {
        assert_eq!(faults(&format!("{text}\n{LEAST}")), [format!("config.toml:{expected}")]);
    }
}

#[test]
fn unknown_keys_are_named_with_what_was_meant() {
    check(&[
        ("[serverr]", "1: serverr: unknown key; did you mean `server`?"),
        ("\n[server]\nworker = 1", "3: server.worker: unknown key; did you mean `workers`?"),
        ("log.levle = 'info'", "1: log.levle: unknown key; did you mean `level`?"),
        (
            "[limits.http]\nheader_feilds = 3",
            "2: limits.http.header_feilds: unknown key; did you mean `header_fields`?",
        ),
        (
            "[log]\nxyz = 1",
            "2: log.xyz: unknown key; expected `level`, `format`, `access` or `ja4`",
        ),
        ("[limits]\nxyz = 1", "2: limits.xyz: unknown key"),
        (
            r#""a\nb" = 1"#,
            "1: a\\nb: unknown key; expected `server`, `log`, `admin`, `traces`, \
             `certificates`, `resumption`, `limits`, `resolver`, `listener` or `backend`",
        ),
    ]);
}

#[test]
fn wrong_types_say_what_is_expected() {
    check(&[
        ("server.workers = '4'", "1: server.workers: expected a whole number, found a text"),
        (
            "server.workers = 1.5",
            "1: server.workers: expected a whole number, found a number with a point",
        ),
        (
            "server.drain_delay = 5",
            "1: server.drain_delay: expected a duration in quotes, as `\"10s\"`, found a number; \
             write it with its unit: `\"5s\"`",
        ),
        (
            "resumption.memory = 65536",
            "1: resumption.memory: expected a size in quotes, as `\"64 KiB\"`, found a number; \
             write it with its unit: `\"65536 B\"`",
        ),
        (
            "certificates.paths = 'certs.d'",
            "1: certificates.paths: expected a list, found a text; put it in brackets: `[\"…\"]`",
        ),
        (
            "certificates.paths = [\n 'a',\n 1]",
            "3: certificates.paths[1]: expected a text in quotes, found a number",
        ),
        (
            "certificates.strict_permissions = 'no'",
            "1: certificates.strict_permissions: expected true or false, found a text",
        ),
        ("log = 'info'", "1: log: expected a section, found a text"),
        ("log.format = 2020-01-01", "1: log.format: expected a text in quotes, found a date"),
        ("backend.x = 1", "1: backend.x: expected a section, found a number"),
    ]);
}

#[test]
fn values_out_of_bounds_say_the_bounds() {
    check(&[
        ("server.workers = -1", "1: server.workers: out of range: expected 0 to 1024"),
        (
            "limits.connect_attempts = 0",
            "1: limits.connect_attempts: out of range: expected 1 to 64",
        ),
        (
            "limits.handshake_timeout = '0s'",
            "1: limits.handshake_timeout: out of range: expected 1ms to 1h",
        ),
        ("resumption.lifetime = '8d'", "1: resumption.lifetime: out of range: expected 1s to 7d"),
        (
            "limits.http.header_size = '4 KiB'",
            "1: limits.http.header_size: out of range: expected 8 KiB to 1 MiB",
        ),
        (
            "limits.http.h2_stream_window = '2 GiB'",
            "1: limits.http.h2_stream_window: out of range: expected 16 KiB to 2147483647 B",
        ),
        (
            "limits.http.h2_streams = 99999999999999999999999999999999999999999999",
            "1: limits.http.h2_streams: out of range: expected 1 to 65536",
        ),
        (
            "server.drain_delay = '5 sec'",
            "1: server.drain_delay: not a duration: expected numbers with the units d, h, m, s, \
             ms, the largest first",
        ),
        (
            "resumption.memory = '64 MB'",
            "1: resumption.memory: not a size: expected a number with one of the units B, KiB, \
             MiB, GiB; as `64 KiB`",
        ),
        (
            "resumption.mode = 'ticket'",
            "1: resumption.mode: `ticket` is none of `stateful`, `tickets`, `both` or `off`",
        ),
        ("certificates.paths = []", "1: certificates.paths: at least one is needed"),
        ("certificates.paths = ['a', 'a']", "1: certificates.paths[1]: `a` stands here twice"),
        (
            "log.level = 'inof'",
            "1: log.level: `inof` is not a log level or `target=level`; did you mean `info`?",
        ),
    ]);
}

#[test]
fn log_levels_can_be_lists_and_the_subscriber_takes_them() {
    for (level, meant) in [
        ("warn", "warn"),
        ("INFO", "INFO"),
        ("info,portunus::handshake=debug", "info,portunus::handshake=debug"),
        ("off, hyper=trace", "off,hyper=trace"),
    ] {
        let level = parse(&format!("log.level = '{level}'\n{LEAST}")).unwrap().log.level;
        assert_eq!(level, meant);
        tracing_subscriber::EnvFilter::builder().parse(&level).unwrap();
    }
    for level in ["", "info,", "=info", "hyper=", "[span]=info", "loud"] {
        assert_eq!(faults(&format!("log.level = '{level}'\n{LEAST}")).len(), 1, "{level}");
    }
}

/// Checks the one line that comes of each text put before a backend with the name `mail`.
fn check_listeners(cases: &[(&str, &str)]) {
    for (text, expected) in cases {
        let text = format!("{text}\n[backend.mail]\nendpoints = ['h:1']\n");
        assert_eq!(faults(&text), [format!("config.toml:{expected}")]);
    }
}

#[test]
fn listeners_are_bound_once_and_lead_somewhere() {
    check_listeners(&[
        (
            "[listener.imap]\nlisten = ['[::]:993']\nmode = 'tcp'\nbackend = 'mial'",
            "4: listener.imap.backend: unknown backend `mial`; did you mean `mail`?",
        ),
        (
            "[listener.imap]\nlisten = ['[::]:993']",
            "1: listener.imap: a listener needs a `backend`, `routes`, or sites that have one; \
             add `backend = \"NAME\"`",
        ),
        (
            "[listener.imap]\nlisten = ['[::]:993']\nbackend = 1",
            "3: listener.imap.backend: expected a text in quotes, found a number",
        ),
        ("[listener.imap]\nbackend = 'mail'", "1: listener.imap.listen: missing"),
        (
            "[listener.a]\nlisten = ['[::]:1', '[::]:1']\nbackend = 'mail'",
            "2: listener.a.listen[1]: `[::]:1` is the address of `listener.a.listen[0]` already",
        ),
        (
            "[listener.a]\nlisten = ['[::]:1']\nbackend = 'mail'\n\
             [listener.b]\nlisten = ['0.0.0.0:1']\nbackend = 'mail'",
            "5: listener.b.listen[0]: `0.0.0.0:1` is the address of `listener.a.listen[0]` \
             already; `[::]` is every address of IPv4 too, and `0.0.0.0` every one of those",
        ),
        (
            "[listener.a]\nlisten = ['127.0.0.1:1', '[::]:1']\nbackend = 'mail'",
            "2: listener.a.listen[1]: `[::]:1` is the address of `listener.a.listen[0]` \
             already; `[::]` is every address of IPv4 too, and `0.0.0.0` every one of those",
        ),
        (
            "[listener.a]\nlisten = ['0.0.0.0:1', '127.0.0.1:1']\nbackend = 'mail'",
            "2: listener.a.listen[1]: `127.0.0.1:1` is the address of `listener.a.listen[0]` \
             already; `[::]` is every address of IPv4 too, and `0.0.0.0` every one of those",
        ),
        (
            "[listener.a]\nlisten = ['127.0.0.1:9090']\nbackend = 'mail'",
            "2: listener.a.listen[0]: `127.0.0.1:9090` is the address of `admin.listen` already",
        ),
        (
            "[listener.a]\nlisten = ['localhost:1']\nbackend = 'mail'",
            "2: listener.a.listen[0]: `localhost:1` is not an address: expected an IP address \
             with a port (`127.0.0.1:8443`, `[::]:8443`) or `unix:/path`",
        ),
        (
            "[listener.Web]\nlisten = ['[::]:1']\nbackend = 'mail'",
            "1: listener.Web: not a name: expected 1 to 64 of the characters a-z, 0-9, `-` and \
             `_`; as in `[listener.https]`",
        ),
    ]);
}

#[test]
fn sites_stand_for_themselves_and_the_policy_does_not_contradict_itself() {
    check_listeners(&[
        (
            "[listener.a]\nlisten = ['[::]:1']\nbackend = 'mail'\n\
             tls = { min_version = '1.2', profile = 'modern' }",
            "4: listener.a.tls.min_version: `modern` is TLS 1.3 only, but `min_version` is \
             older; leave one of them out",
        ),
        (
            "[listener.a]\nlisten = ['[::]:1']\nbackend = 'mail'\n\
             [[listener.a.site]]\nhosts = ['a.example']\nbackend = 'mail'",
            "3: listener.a.backend: a listener has a `backend` or sites, not both; \
             give the backend to each site",
        ),
        (
            "[listener.a]\nlisten = ['[::]:1']\n[[listener.a.site]]\nhosts = ['a.example']",
            "3: listener.a.site[0].backend: missing",
        ),
        (
            "[listener.a]\nlisten = ['[::]:1']\n\
             [[listener.a.site]]\nhosts = ['10.0.0.1', 'a.example']\nbackend = 'mail'",
            "4: listener.a.site[0].hosts[0]: `10.0.0.1` is an address, not a host name",
        ),
        (
            "[listener.a]\nlisten = ['[::]:1']\n\
             [[listener.a.site]]\nhosts = ['a.example']\nbackend = 'mail'\n\
             [[listener.a.site]]\nhosts = [\n'b.example',\n'A.example']\nbackend = 'mail'",
            "9: listener.a.site[1].hosts[1]: `A.example` stands here twice; \
             a listener serves each host from one site",
        ),
    ]);
}

#[test]
fn backends_have_endpoints_that_can_be_dialled() {
    let long = format!("backend.x.endpoints = ['unix:/{}']", "x".repeat(200));
    check(&[
        ("backend.x.balance = 'p2c'", "1: backend.x.endpoints: missing"),
        ("backend.x.endpoints = []", "1: backend.x.endpoints: at least one is needed"),
        (
            "backend.x.endpoints = ['h']",
            "1: backend.x.endpoints[0]: `h` is not an address: expected `host:port`, \
             `srv:_http._tcp.name` or `unix:/path`",
        ),
        (
            "backend.x.endpoints = ['srv:_http._tcp.a b']",
            "1: backend.x.endpoints[0]: `srv:_http._tcp.a b` is not an address: the host is not a \
             name or an IP address",
        ),
        (
            "backend.x.endpoints = ['http://127.0.0.1:23003']",
            "1: backend.x.endpoints[0]: `http://127.0.0.1:23003` is not an address: leave \
             `http://` or `https://` out: it is `host:port`, and `tls` of the backend says that it \
             is spoken to over TLS",
        ),
        (
            "backend.x.endpoints = ['h:0']",
            "1: backend.x.endpoints[0]: `h:0` has port 0, which cannot be dialled",
        ),
        (
            "backend.x.endpoints = ['h:1', 'h:1']",
            "1: backend.x.endpoints[1]: `h:1` stands here twice",
        ),
        (
            &long,
            "1: backend.x.endpoints[0]: not a path: it is empty, has a NUL, or is too long for a \
             socket (107 bytes)",
        ),
    ]);
}

#[test]
fn what_is_not_there_at_all_has_no_line() {
    assert_eq!(
        faults(""),
        [
            "config.toml: listener: at least one is needed; add one: `[listener.https]`",
            "config.toml: backend: at least one is needed; add one: `[backend.app]`",
        ]
    );
    // One fault, one error: the reference to a backend is not blamed as well.
    assert_eq!(
        faults("[listener.a]\nlisten = ['[::]:1']\nbackend = 'b'\n"),
        ["config.toml: backend: at least one is needed; add one: `[backend.app]`"]
    );
}

#[test]
fn every_fault_is_found_in_one_run_in_the_order_of_the_file() {
    let lines = faults(
        "[server]\nworkers = 'many'\nmax_conections = 3\n\
         [limits]\nhandshake_timeout = '0s'\nconnect_timeout = 3\n\
         [listener.imap]\nlisten = ['[::]:993', 'nowhere']\nbackend = 'mial'\nmode = 'imap'\n\
         [backend.mail]\nendpoints = ['127.0.0.1:143', '127.0.0.1']\ncolour = 'blue'\n\
         [colour]\n",
    );
    let starts = [
        "config.toml:2: server.workers: ",
        "config.toml:3: server.max_conections: ",
        "config.toml:5: limits.handshake_timeout: ",
        "config.toml:6: limits.connect_timeout: ",
        "config.toml:8: listener.imap.listen[1]: ",
        "config.toml:9: listener.imap.backend: ",
        "config.toml:10: listener.imap.mode: ",
        "config.toml:12: backend.mail.endpoints[1]: ",
        "config.toml:13: backend.mail.colour: ",
        "config.toml:14: colour: ",
    ];
    assert_eq!(lines.len(), starts.len(), "{lines:#?}");
    for (line, start) in lines.iter().zip(starts) {
        assert!(line.starts_with(start), "{line} does not start with {start}");
    }
}

#[test]
fn faults_of_syntax_have_their_line_and_nothing_else_is_said() {
    for (text, line) in [
        ("a = \n", 1),
        ("[server]\nworkers = 1\nworkers = 2\n", 3),
        ("[server\n", 1),
        ("x = 'open\n", 1),
        ("[log]\n\n[log]\n", 3),
        ("[admin]\ntoken = 0123456789-secret-unquoted\n", 2),
    ] {
        let errors = parse(text).unwrap_err();
        for error in &errors {
            assert!(matches!(error.problem(), Problem::Syntax(_)), "{text:?} made {error}");
            assert_eq!(error.line(), Some(line), "{text:?} made {error}");
            assert!(!error.to_string().contains("secret"), "{error}");
        }
    }
}

#[test]
fn references_that_lead_nowhere_are_faults() {
    let hint = "a default is written `${NAME:-default}`";
    check(&[
        (
            "log.level = '${NO_SUCH}'",
            &format!("1: log.level: the environment variable `NO_SUCH` is not set; {hint}"),
        ),
        ("log.level = '${APP_PORT'", &format!("1: log.level: `${{` without `}}`; {hint}")),
        (
            "admin.token = 'file:/nowhere/token'",
            "1: admin.token: cannot read `/nowhere/token`: No such file or directory (os error 2)",
        ),
        (
            "admin.listen = '0.0.0.0:9090'",
            "1: admin.listen: an admin listener that other machines can reach needs \
             `admin.token`; listen on 127.0.0.1 or unix:PATH, or set a token",
        ),
        (
            "admin.listen = 'of'",
            "1: admin.listen: `of` is not an address: expected an IP address with a port \
             (`127.0.0.1:8443`, `[::]:8443`) or `unix:/path`",
        ),
    ]);
}

#[test]
fn secrets_are_in_no_error_and_in_no_debug_output() {
    let shown = |text: &str| match parse(&format!("{text}\n{LEAST}")) {
        Ok(config) => format!("{config:?}"),
        Err(errors) => format!("{errors} {errors:?}"),
    };
    for text in [
        "admin.token = 'a-very-good-secret'",
        "admin.token = '${ADMIN_TOKEN}'",
        "admin.token = 'short-secret'",
        "admin.token = 'a secret with a space in it'",
        "admin.token = ['a-very-good-secret']",
        "admin.listen = '${ADMIN_TOKEN}'",
        "log.level = '${ADMIN_TOKEN}'",
        "log.format = '${ADMIN_TOKEN}'",
        "server.drain_delay = '${ADMIN_TOKEN}'",
        "resumption.memory = '${ADMIN_TOKEN}'",
        "backend.x.endpoints = ['${ADMIN_TOKEN}']",
        "listener.x = { listen = ['${ADMIN_TOKEN}'], backend = '${ADMIN_TOKEN}' }",
    ] {
        assert!(!shown(text).contains("secret"), "{text}: {}", shown(text));
    }
}

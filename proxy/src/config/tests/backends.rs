//! Backends: what each key becomes, and what is said about those that contradict each other.

use std::sync::Arc;

use rustls::pki_types::ServerName;

use super::*;

/// The only backend of `LEAST` with `keys` added.
fn backend(keys: &str) -> Backend {
    parse(&format!("{LEAST}{keys}\n")).unwrap().backends.remove(0)
}

/// Checks the one line that comes of each text put before the least configuration.
fn check(cases: &[(&str, &str)]) {
    for (text, expected) in cases {
        let errors = parse(&format!("{text}\n{LEAST}")).unwrap_err();
        let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
        assert_eq!(lines, [format!("config.toml:{expected}")]);
    }
}

/// As `check`, for keys of a backend with one endpoint.
fn check_keys(cases: &[(&str, &str)]) {
    for (keys, expected) in cases {
        let text = format!("[backend.x]\nendpoints = ['h:1']\n{keys}");
        check(&[(&text, &format!("3: backend.x.{expected}"))]);
    }
}

#[test]
fn a_backend_of_one_line_has_the_defaults_that_the_documents_promise() {
    let backend = backend("");
    assert_eq!(backend.protocol, BackendProtocol::Http1);
    assert_eq!((backend.tls, backend.health), (None, None));
    assert_eq!((backend.balance, backend.slow_start), (Balance::P2c, Duration::ZERO));
    let secs = Duration::from_secs;
    let ejection = Ejection {
        failures: 5,
        base: secs(10),
        longest: secs(300),
        share_max: 50,
        statuses: vec![502..=502, 504..=504],
    };
    assert_eq!(backend.ejection, Some(ejection));
    let pool = PoolBounds { connections_max: 65_536, age_max: secs(3_600), streams_max: 100 };
    assert_eq!(backend.pool, pool);
    let resolve = Resolve { interval: secs(30), stale_max: secs(86_400), allow: Vec::new() };
    assert_eq!(backend.resolve, resolve);
}

#[test]
fn endpoints_are_texts_or_say_more() {
    let text = "[listener.a]\nlisten = ['[::]:1']\nbackend = 'b'\n[backend.b]\nendpoints = [\n\
                'a:1', { address = 'b:2', weight = 7 },\n\
                { address = 'unix:b.sock', backup = true }, 'srv:_http._tcp.c.example']";
    let endpoints = parse(text).unwrap().backends.remove(0).endpoints;
    let shown =
        |endpoint: &Endpoint| (endpoint.name.to_string(), endpoint.weight, endpoint.is_backup);
    let shown: Vec<_> = endpoints.iter().map(shown).collect();
    let unix = "unix:/etc/portunus/b.sock".to_owned();
    let expected = [
        ("a:1".into(), 1, false),
        ("b:2".into(), 7, false),
        (unix, 1, true),
        ("srv:_http._tcp.c.example".into(), 1, false),
    ];
    assert_eq!(shown, expected);
}

#[test]
fn endpoints_with_faults_are_named_in_either_form() {
    check(&[
        ("backend.x.endpoints = [{ weight = 1 }]", "1: backend.x.endpoints[0].address: missing"),
        (
            "backend.x.endpoints = ['h:1',\n{ address = 'h:1' }]",
            "2: backend.x.endpoints[1].address: `h:1` stands here twice",
        ),
        (
            "backend.x.endpoints = ['10.0.0.1:80', '[::ffff:10.0.0.1]:80']",
            "1: backend.x.endpoints[1]: `[::ffff:10.0.0.1]:80` stands here twice",
        ),
        (
            "backend.x.endpoints = ['h.example:1', 'H.example:1']",
            "1: backend.x.endpoints[1]: `H.example:1` stands here twice",
        ),
        (
            "backend.x.endpoints = [{ address = 'h:1', weight = 0 }]",
            "1: backend.x.endpoints[0].weight: out of range: expected 1 to 256",
        ),
        (
            "backend.x.endpoints = [{ address = 'h:1', wieght = 2 }]",
            "1: backend.x.endpoints[0].wieght: unknown key; did you mean `weight`?",
        ),
        (
            "backend.x.endpoints = [1]",
            "1: backend.x.endpoints[0]: expected a text in quotes, found a number",
        ),
        (
            "backend.x.endpoints = [{ address = 'h:1', backup = true }]",
            "1: backend.x.endpoints: there is no endpoint without `backup`",
        ),
    ]);
}

#[test]
fn every_way_to_choose_has_its_name() {
    for (text, meant) in [
        ("p2c", Balance::P2c),
        ("round-robin", Balance::RoundRobin),
        ("least", Balance::Least),
        ("hash-client", Balance::HashClient),
        ("hash-header:X-User", Balance::HashHeader("x-user".parse().unwrap())),
        ("hash-cookie:Sid", Balance::HashCookie(Arc::from("Sid"))),
    ] {
        assert_eq!(backend(&format!("balance = '{text}'")).balance, meant);
    }
    let options = "`p2c`, `round-robin`, `least`, `hash-client`, `hash-header:NAME` or \
                   `hash-cookie:NAME`";
    check_keys(&[
        (
            "balance = 'leest'",
            &format!("balance: `leest` is none of {options}; did you mean `least`?"),
        ),
        ("balance = 'hash-header:'", &format!("balance: `hash-header:` is none of {options}")),
        (
            "balance = 'hash-cookie:a b'",
            &format!("balance: `hash-cookie:a b` is none of {options}"),
        ),
        ("balance = 'hash:x'", &format!("balance: `hash:x` is none of {options}")),
    ]);
}

#[test]
fn protocols_have_their_names_and_auto_needs_tls() {
    for (text, meant) in [
        ("protocol = 'http1'", BackendProtocol::Http1),
        ("protocol = 'http2'", BackendProtocol::Http2),
        ("protocol = 'h2c'", BackendProtocol::Http2),
        ("protocol = 'auto'\ntls = {}", BackendProtocol::Auto),
    ] {
        assert_eq!(backend(text).protocol, meant, "{text}");
    }
    check_keys(&[
        (
            "protocol = 'auto'",
            "protocol: `auto` is what TLS agrees on, and there is no `tls`; add `tls = {}`, or say \
             which one is spoken",
        ),
        ("protocol = 'http3'", "protocol: `http3` is none of `http1`, `http2`, `h2c` or `auto`"),
    ]);
}

#[test]
fn tls_names_files_and_who_is_behind_it() {
    let plain = backend("tls = {}").tls.unwrap();
    assert_eq!(plain, BackendTls::default());
    let tls = backend("tls = { ca = 'ca.pem', server_name = 'a.example', credential = '/c' }").tls;
    let expected = BackendTls {
        ca: Some("/etc/portunus/ca.pem".into()),
        server_name: Some(ServerName::try_from("a.example").unwrap()),
        credential: Some("/c".into()),
        ..BackendTls::default()
    };
    assert_eq!(tls, Some(expected));
    check_keys(&[
        (
            "tls.server_name = 'not a name'",
            "tls.server_name: `not a name` is not a host name or an IP address",
        ),
        (
            "tls.ca = ''",
            "tls.ca: not a path: it is empty, has a NUL, or is too long for a socket (107 bytes)",
        ),
        (
            "tls.verify = false",
            "tls.verify: unknown key; expected `ca`, `server_name`, `credential`, `crl`, `alpn` or \
             `starttls`",
        ),
    ]);
    let hint = "add `server_name = \"NAME\"`";
    let odd =
        |name| format!("1: backend.x.tls: no certificate is for a name like that of `{name}`");
    check(&[
        (
            "backend.x = { endpoints = ['unix:/s'], tls = {} }",
            &format!(
                "1: backend.x.tls: the certificate of a unix socket bears a name that is not \
                 known; {hint}"
            ),
        ),
        (
            "backend.x = { endpoints = ['h:1', 'a..b:443'], tls = {} }",
            &format!("{}; {hint}", odd("a..b:443")),
        ),
        (
            "backend.x = { endpoints = ['srv:_http._tcp'], tls = {} }",
            &format!("{}; {hint}", odd("srv:_http._tcp")),
        ),
    ]);
    assert!(parse(&format!("{LEAST}tls = {{ server_name = 'a.example' }}\n")).is_ok());
}

#[test]
fn health_is_a_connection_or_a_request() {
    assert_eq!(backend("health = {}").health.unwrap().check, HealthCheck::Tcp);
    let health = backend("health = { path = '/up?x=1', host = 'a:1', expect = [204, '300-399'] }");
    let expected = HealthCheck::Http {
        path: "/up?x=1".parse().unwrap(),
        host: Some("a:1".into()),
        expect: vec![204..=204, 300..=399],
    };
    assert_eq!(health.health.unwrap().check, expected);
    let codes = "not a status code or a range of them: expected 200 or \"200-299\"";
    check_keys(&[
        (
            "health.expect = [200]",
            "health.expect: only a check with a `path` has it; add `path = \"/…\"`, or leave it \
             out",
        ),
        (
            "health.host = 'a'",
            "health.host: only a check with a `path` has it; add `path = \"/…\"`, or leave it \
             out",
        ),
        ("health = { path = '/', expect = [99] }", &format!("health.expect[0]: {codes}")),
        ("health = { path = '/', expect = ['299-200'] }", &format!("health.expect[0]: {codes}")),
        ("health = { path = '/', expect = ['2xx'] }", &format!("health.expect[0]: {codes}")),
        (
            "health = { path = '/', expect = [101] }",
            "health.expect: a response with a status below 200 is followed by another, which \
             counts",
        ),
        ("health = { path = '/', expect = [] }", "health.expect: at least one is needed"),
        (
            "health.path = 'up'",
            "health.path: `up` is not a path: expected `/`, then visible ASCII without `#`",
        ),
        (
            "health = { path = '/', host = 'a b' }",
            "health.host: `a b` is not a host name or an IP address, with or without a port",
        ),
        ("health.interval = '1ms'", "health.interval: out of range: expected 100ms to 1h"),
        ("health.fall = 0", "health.fall: out of range: expected 1 to 100"),
    ]);
}

#[test]
fn ejection_is_bounded_and_can_be_switched_off() {
    assert_eq!(backend("ejection = 'off'").ejection, None);
    let ejection = backend("ejection = { failures = 3, base = '1s' }").ejection.unwrap();
    assert_eq!((ejection.failures, ejection.share_max), (3, 50));
    let statuses = |written| backend(&format!("ejection.statuses = {written}")).ejection.unwrap();
    assert_eq!(statuses("['500-504', 429]").statuses, [500..=504, 429..=429]);
    assert_eq!(statuses("[]").statuses, []);
    check_keys(&[
        (
            "ejection.statuses = [600]",
            "ejection.statuses[0]: not a status code or a range of them: expected 200 or \
             \"200-299\"",
        ),
        ("ejection = 'on'", "ejection: `on` is none of `off` or a section"),
        ("ejection = false", "ejection: expected a section, or `\"off\"`, found true or false"),
        ("ejection.base = '10m'", "ejection.base: `base` is longer than `longest`"),
        ("ejection.longest = '1s'", "ejection.longest: `base` is longer than `longest`"),
        ("ejection.share = 101", "ejection.share: out of range: expected 1 to 100"),
        ("ejection.share = 300", "ejection.share: out of range: expected 1 to 100"),
    ]);
}

#[test]
fn address_blocks_and_nameservers_are_read_as_people_write_them() {
    let allow = backend("allow = ['10.0.0.0/8', '::1', '127.0.0.1']").resolve.allow;
    let shown: Vec<String> = allow.iter().map(ToString::to_string).collect();
    assert_eq!(shown, ["10.0.0.0/8", "::1/128", "127.0.0.1/32"]);
    check_keys(&[
        (
            "allow = ['10.0.0.1/8']",
            "allow[0]: `10.0.0.1/8` has bits behind the length of its prefix; did you mean \
             `10.0.0.0/8`?",
        ),
        (
            "allow = ['10/8']",
            "allow[0]: `10/8` is not an address block: expected `10.0.0.0/8` or an address",
        ),
    ]);
    let servers = parse(&format!("resolver.nameservers = ['::1', '127.0.0.1:54']\n{LEAST}"));
    let servers = servers.unwrap().nameservers;
    assert_eq!(servers, ["[::1]:53".parse().unwrap(), "127.0.0.1:54".parse().unwrap()]);
    check(&[
        (
            "resolver.nameservers = ['ns1']",
            "1: resolver.nameservers[0]: `ns1` is not an IP address, with or without a port",
        ),
        (
            "resolver.nameservers = ['::1', '[::1]:53']",
            "1: resolver.nameservers[1]: `[::1]:53` stands here twice",
        ),
    ]);
}

#[test]
fn bytes_are_encrypted_but_not_chosen_by_a_field() {
    let tcp = |keys: &str| {
        let text = format!(
            "[listener.t]\nlisten = ['[::]:1']\nmode = 'tcp'\nbackend = 'x'\n\
             [backend.x]\nendpoints = ['h:1']\n{keys}"
        );
        parse(&text)
    };
    assert!(tcp("tls = {}").unwrap().backends[0].tls.is_some());
    assert_eq!(
        tcp("balance = 'hash-cookie:a'").unwrap_err().to_string(),
        "config.toml:7: backend.x.balance: listener `t` forwards bytes here, which have no fields \
         and no cookies; as `hash-client`"
    );
}

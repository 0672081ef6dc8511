//! What is said of two configurations that differ, and that nothing is said of those that do not.

use proptest::prelude::*;
use proptest::sample::subsequence;

use super::*;

/// The lines about the step from `old` to `new`.
fn lines(old: &str, new: &str) -> Vec<String> {
    changes(&parse(old).unwrap(), &parse(new).unwrap()).lines()
}

/// The lines if `from` becomes `to` in `text`.
fn step(text: &str, from: &str, to: &str) -> Vec<String> {
    assert!(text.contains(from), "{from}");
    lines(text, &text.replacen(from, to, 1))
}

/// The lines if `keys` are added to the listener of the least configuration.
fn listener(keys: &str) -> Vec<String> {
    step(LEAST, "[backend", &format!("{keys}\n[backend"))
}

/// The lines if `keys` are added to its backend.
fn backend(keys: &str) -> Vec<String> {
    lines(LEAST, &format!("{LEAST}{keys}\n"))
}

#[test]
fn what_was_only_written_otherwise_is_no_change() {
    let nothing: [&str; 0] = [];
    let reference = include_str!("../../../../config.toml");
    assert_eq!(lines(LEAST, LEAST), nothing);
    assert_eq!(lines(LEAST, reference), nothing);
    assert_eq!(backend("slow_start = '0s'\nhealth = {}").len(), 1);
    assert_eq!(backend("slow_start = '0ms'"), nothing);
    assert_eq!(step(LEAST, ":3000", ":${APP_PORT}"), nothing);
    assert_eq!(step(LEAST, "['127.0.0.1:3000']", "[{ address = '127.0.0.1:3000' }]"), nothing);
    let limits = format!("limits = {{ connects = 0x100, connect_timeout = '3000ms' }}\n{LEAST}");
    assert_eq!(lines(LEAST, &limits), nothing);
    let turned = "[backend.app]\nendpoints = ['127.0.0.1:3000']\n\
                  [listener.https]\nbackend = 'app'\nlisten = ['[::]:8443']\n";
    assert_eq!(lines(LEAST, turned), nothing);
}

#[test]
fn a_value_is_shown_before_and_after() {
    let change = listener("tls.min_version = '1.3'");
    assert_eq!(change, ["listener https: tls.min_version: \"1.2\" → \"1.3\""]);
    let change = step(&format!("server.workers = 4\n{LEAST}"), "server.workers = 4\n", "");
    assert_eq!(change, ["server.workers: 4 → 0"]);
    assert_eq!(
        lines(LEAST, &format!("limits.http.header_size = '64 KiB'\nlog.level = 'debug'\n{LEAST}")),
        ["log.level: \"info\" → \"debug\"", "limits.http.header_size: \"32 KiB\" → \"64 KiB\""]
    );
    assert_eq!(listener("hsts = 'max-age=1'"), ["listener https: hsts: not set → \"max-age=1\""]);
    assert_eq!(listener("tls_headers = true"), ["listener https: tls_headers: false → true"]);
    assert_eq!(
        backend("health = { path = '/', expect = [204, '300-399'] }\nejection.share = 10"),
        ["backend app: ejection.share: 50 → 10", "backend app: health: added"]
    );
    assert_eq!(
        step(&format!("{LEAST}health = {{ path = '/' }}"), "{ path = '/' }", "{ rise = 3 }"),
        ["backend app: health.path: \"/\" → not set", "backend app: health.rise: 2 → 3"]
    );
}

#[test]
fn what_comes_and_goes_is_named() {
    let mail = "[listener.mail]\nlisten = ['[::]:993']\nmode = 'tcp'\nbackend = 'mail'\n\
                [backend.mail]\nendpoints = ['m:143']\n";
    let both = format!("{LEAST}{mail}");
    assert_eq!(lines(LEAST, &both), ["listener mail: added", "backend mail: added"]);
    assert_eq!(lines(&both, LEAST), ["listener mail: removed", "backend mail: removed"]);
    assert_eq!(backend("ejection = 'off'"), ["backend app: ejection: switched off"]);
    let off = format!("{LEAST}ejection = 'off'\n");
    assert_eq!(lines(&off, LEAST), ["backend app: ejection: switched on"]);
}

#[test]
fn lists_are_told_by_what_joined_and_left() {
    let some = LEAST.replace("['127.0.0.1:3000']", "['a:1', 'b:1', 'c:1']");
    let change = |to: &str| step(&some, "['a:1', 'b:1', 'c:1']", to);
    assert_eq!(change("['a:1', 'd:1', 'c:1']"), ["backend app: endpoints: + d:1, - b:1"]);
    assert_eq!(change("['c:1', 'a:1', 'b:1']"), ["backend app: endpoints: in another order"]);
    assert_eq!(
        change("['a:1', { address = 'b:1', weight = 3 }, 'c:1']"),
        ["backend app: endpoints b:1: weight: 1 → 3"]
    );
    assert_eq!(
        listener("trusted_peers = ['10.0.0.0/8']"),
        ["listener https: trusted_peers: + 10.0.0.0/8"]
    );
    let paths = format!("certificates.paths = ['other.d']\n{LEAST}");
    assert_eq!(lines(LEAST, &paths), ["certificates.paths: + other.d, - certs.d"]);
    let many: Vec<String> = (0..40).map(|number| format!("'h{number}:1'")).collect();
    let lines = step(LEAST, "['127.0.0.1:3000']", &format!("[{}]", many.join(", ")));
    assert!(lines[0].ends_with("+ h15:1, + 24 more, - 127.0.0.1:3000"), "{lines:?}");
}

#[test]
fn sites_and_routes_are_known_by_what_they_are_for() {
    let sites = "[listener.web]\nlisten = ['[::]:1']\n\
                 [[listener.web.site]]\nhosts = ['a.example', 'b.example']\nbackend = 'x'\n\
                 routes = [{ path = '/api/', backend = 'x' }, { path = '/old', backend = 'x' }]\n\
                 [[listener.web.site]]\nhosts = ['c.example']\nbackend = 'x'\n\
                 [backend.x]\nendpoints = ['h:1']\n[backend.y]\nendpoints = ['h:2']\n";
    let change = |from: &str, to: &str| step(sites, from, to);
    assert_eq!(
        change("['a.example', 'b.example']", "['b.example']"),
        ["listener web: site b.example: hosts: - a.example"]
    );
    assert_eq!(
        change("hosts = ['c.example']\nbackend = 'x'", "hosts = ['c.example']\nbackend = 'y'"),
        ["listener web: site c.example: backend: \"x\" → \"y\""]
    );
    assert_eq!(
        change("'/api/', backend = 'x'", "'/api/', backend = 'y', max_body = '1 MiB'"),
        [
            "listener web: site a.example: routes /api/: backend: \"x\" → \"y\"",
            "listener web: site a.example: routes /api/: max_body: not set → \"1 MiB\"",
        ]
    );
    assert_eq!(
        change("{ path = '/old', backend = 'x' }", "{ path = '/new', backend = 'x' }"),
        ["listener web: site a.example: routes: + /new, - /old"]
    );
    assert_eq!(
        change("hosts = ['c.example']", "hosts = ['d.example']"),
        ["listener web: site: + d.example, - c.example"]
    );
}

#[test]
fn no_secret_is_shown() {
    let token = |token: &str| format!("admin.token = '{token}'\n{LEAST}");
    let (old, new) = (token("0123456789-secret-old"), token("0123456789-secret-new"));
    assert_eq!(lines(&old, &new), ["admin.token: changed"]);
    assert_eq!(lines(LEAST, &new), ["admin.token: added"]);
    let shared = |url: &str| {
        format!("resumption.shared = {{ url = '{url}', sealing_key = 'file:k' }}\n{LEAST}")
    };
    let change = lines(&shared("redis://:secret@a"), &shared("redis://:secret@b"));
    assert_eq!(change, ["resumption.shared.url: changed"]);
    let route = |value: &str| {
        let set = format!("request_headers.set = {{ authorization = '{value}' }}");
        let route = format!("routes = [{{ path = '/', backend = 'app', {set} }}]\n[backend");
        LEAST.replace("backend = 'app'\n[backend", &route)
    };
    assert_eq!(
        lines(&route("Basic secret"), &route("Basic other")),
        ["listener https: routes /: request_headers.set.authorization: changed"]
    );
    let config = parse(&new).unwrap();
    assert!(!format!("{config:?} {:?}", changes(&parse(&old).unwrap(), &config)).contains("0123"));
}

#[test]
fn what_a_variable_holds_is_compared_and_not_shown() {
    let with = |value: &'static str| {
        let surroundings = Surroundings {
            folder: Path::new(""),
            variable: &|_| Some(value.to_owned()),
            processors: NonZeroUsize::MIN,
            open_files: 1_000,
        };
        let text = LEAST.replace("127.0.0.1:3000", "${HOST}:3000");
        let text = text.replace("[backend", "hsts = 'max-age=1${TAIL}'\n[backend");
        let text = text.replace("['[::]:8443']", "['unix:/${HOST}']");
        Config::parse_in(&text, "c", &surroundings).unwrap()
    };
    let lines = changes(&with("1"), &with("2")).lines();
    assert_eq!(
        lines,
        [
            "listener https: listen: unix:/${HOST}: a variable has another value",
            "listener https: hsts: a variable has another value",
            "backend app: endpoints ${HOST}:3000: address: a variable has another value",
        ]
    );
}

#[test]
fn a_line_is_one_whatever_stands_in_the_file() {
    let body = |body: &str| {
        let route = format!("routes = [{{ path = '/a', respond.body = \"{body}\" }}]\n[backend");
        LEAST.replace("[backend", &route)
    };
    let lines = lines(&body("a"), &body(&format!("\\n\\u001b[2J{}", "x".repeat(1_000))));
    assert_eq!(lines.len(), 1);
    assert!(lines[0].contains("body: \"a\" → \"\\n\\u{1b}[2J"), "{lines:?}");
    assert!(lines[0].len() < 300);
}

#[test]
fn there_are_only_so_many_lines() {
    let many: String =
        (0..700).map(|number| format!("[backend.b{number}]\nendpoints = ['h:1']\n")).collect();
    let changes = changes(&parse(LEAST).unwrap(), &parse(&format!("{LEAST}{many}")).unwrap());
    assert_eq!(changes.count(), 700);
    assert_eq!(changes.lines().len(), 501);
    assert_eq!(changes.lines()[500], "and 200 more");
}

#[test]
fn a_change_knows_what_it_is_of() {
    let old = parse(LEAST).unwrap();
    let new = parse(&format!("server.workers = 2\n{LEAST}slow_start = '1s'\n")).unwrap();
    let changes = changes(&old, &new);
    let keys: Vec<_> =
        changes.iter().map(|change| (change.subject().clone(), change.key())).collect();
    assert_eq!(
        keys,
        [(Subject::Process, "server.workers"), (Subject::Backend("app".to_owned()), "slow_start"),]
    );
}

/// Texts that are read, of which some mean the same.
fn some_text() -> impl Strategy<Value = String> {
    let some = |of: &[&'static str]| subsequence(of.to_vec(), 0..=of.len());
    let listener = some(&[
        "hsts = 'max-age=1'",
        "tls.min_version = '1.2'",
        "tls_headers = true",
        "no_sni = 'reject'",
        "trusted_peers = ['10.0.0.0/8']",
        "routes = [{ path = '/a', backend = 'app' }, { path = '/b', respond = {} }]",
    ]);
    let backend = some(&[
        "slow_start = '0ms'",
        "ejection = 'off'",
        "health = { path = '/', interval = '5000ms' }",
        "health.rise = 2",
        "allow = ['10.0.0.0/8', '192.168.0.0/16']",
        "tls = {}",
    ]);
    let rest = some(&[
        "server.drain_delay = '5s'",
        "log.level = 'debug'",
        "limits.http.h2_streams = 7",
        "resolver.nameservers = ['10.0.0.2']",
        "resumption.ticket_keys = 'file:keys'",
        "certificates.paths = ['certs.d']",
        "admin.listen = 'off'",
    ]);
    (rest, listener, backend).prop_map(|(rest, listener, backend)| {
        let listener = format!("{}\n[backend", listener.join("\n"));
        let least = LEAST.replace("[backend", &listener);
        format!("{}\n{least}{}\n", rest.join("\n"), backend.join("\n"))
    })
}

proptest! {
    #[test]
    fn nothing_is_said_if_and_only_if_nothing_differs(old in some_text(), new in some_text()) {
        if let (Ok(old), Ok(new)) = (parse(&old), parse(&new)) {
            let is_same = format!("{old:?}") == format!("{new:?}");
            let lines = changes(&old, &new).lines();
            prop_assert_eq!(lines.is_empty(), is_same, "{:?}", lines);
        }
    }
}

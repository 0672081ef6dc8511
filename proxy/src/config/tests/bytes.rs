//! Listeners of bytes: what each key becomes, and which do not go together.

use super::between::{HTTP, backend, faults};
use super::*;

/// A listener `a` of bytes with `keys`, and the backends `mail` and `tls`.
fn listener(keys: &str) -> String {
    let ways = if keys.contains("site") { "" } else { "backend = 'mail'\n" };
    format!(
        "[backend.mail]\nendpoints = ['h:1']\n[backend.tls]\nendpoints = ['h:1']\ntls = {{}}\n\
         [listener.a]\nlisten = ['[::]:1', 'unix:a.sock']\nmode = 'tcp'\n{ways}{keys}\n"
    )
}

/// A site of that listener.
fn site(hosts: &str, backend: &str, keys: &str) -> String {
    format!("[[listener.a.site]]\nhosts = ['{hosts}']\nbackend = '{backend}'\n{keys}\n")
}

fn parsed(keys: &str) -> Listener {
    parse(&listener(keys)).unwrap().listeners.remove(0)
}

/// Checks the one line that comes of each listener; its key is below the listener's.
#[track_caller]
fn check(cases: &[(&str, &str)]) {
    for (keys, expected) in cases {
        let lines = faults(&listener(keys));
        let [line] = lines.as_slice() else { panic!("{keys}: {lines:#?}") };
        let (_, said) = line.split_once(": ").unwrap();
        assert_eq!(said, format!("listener.a.{expected}"), "{keys}");
    }
}

#[test]
fn a_listener_of_bytes_has_the_defaults_that_the_documents_promise() {
    let plain = parsed("");
    assert_eq!((plain.entrance, plain.on_truncation), (Entrance::Tls, Truncation::End));
    assert_eq!((plain.starttls, plain.proxy_protocol), (None, None));
    assert!(plain.alpn.is_empty());
    let limits = Limits::default();
    let secs = Duration::from_secs;
    assert_eq!((limits.proxy_header_timeout, limits.starttls_timeout), (secs(3), secs(30)));
}

#[test]
fn every_protocol_has_its_name_and_its_alpn() {
    for (word, protocol, alpn) in [
        ("smtp", StarttlsProtocol::Smtp, &["smtp"][..]),
        ("imap", StarttlsProtocol::Imap, &["imap"]),
        ("pop3", StarttlsProtocol::Pop3, &["pop3"]),
        ("postgresql", StarttlsProtocol::Postgresql, &["postgresql"]),
        ("mysql", StarttlsProtocol::Mysql, &["mysql"]),
        ("ldap", StarttlsProtocol::Ldap, &["ldap"]),
        ("xmpp", StarttlsProtocol::Xmpp, &["xmpp-client", "xmpp-server"]),
    ] {
        let listener = parsed(&format!("starttls = '{word}'"));
        let starttls = listener.starttls.unwrap();
        assert_eq!((starttls.protocol, starttls.without_tls), (protocol, WithoutTls::Refused));
        let shown: Vec<_> =
            listener.alpn.iter().map(|name| str::from_utf8(name).unwrap()).collect();
        assert_eq!(shown, alpn, "{word}");
        assert_eq!(protocol.name(), word);
    }
    let own = parsed("starttls = 'imap'\ntls.alpn = ['x', 'imap']");
    assert_eq!(own.alpn, [Arc::from(*b"x"), Arc::<[u8]>::from(*b"imap")]);
}

#[test]
fn the_greeting_names_who_is_meant() {
    let named = |keys: &str| parsed(keys).starttls.unwrap().greeting_name;
    assert_eq!(&*named("starttls = 'smtp'\ngreeting_name = 'mx.example'"), "mx.example");
    let sites = format!(
        "starttls = 'smtp'\n{}{}",
        site("*.example", "mail", ""),
        site("mx.example", "mail", "")
    );
    assert_eq!(&*named(&sites), "mx.example");
    assert!(!named("starttls = 'smtp'").is_empty());
    check(&[
        (
            "starttls = 'imap'\ngreeting_name = 'a.example'",
            "greeting_name: `imap` has no greeting with a name; leave it out; it is for `smtp` and \
             `xmpp`",
        ),
        (
            "starttls = 'smtp'\ngreeting_name = '10.0.0.1'",
            "greeting_name: `10.0.0.1` is an address, not a host name",
        ),
    ]);
}

#[test]
fn what_only_bytes_have_is_refused_for_http() {
    for (keys, key) in [
        ("starttls = 'smtp'\nrequire_tls = false\ngreeting_name = 'a.example'", "starttls"),
        ("require_tls = false", "require_tls"),
        ("greeting_name = 'a.example'", "greeting_name"),
        ("on_truncation = 'reset'", "on_truncation"),
        ("tls.alpn = ['h2']", "tls.alpn"),
        (&site("a.example", "mail", "alpn = ['h2']"), "site[0].alpn"),
        (&site("a.example", "mail", "passthrough = true"), "site[0].passthrough"),
    ] {
        let lines = faults(&listener(keys).replace("mode = 'tcp'\n", ""));
        let [line] = lines.as_slice() else { panic!("{keys}: {lines:#?}") };
        let expected = format!(
            "listener.a.{key}: only a listener with `mode = \"tcp\"` has it; leave it out, or set \
             `mode = \"tcp\"` for the listener"
        );
        assert!(line.ends_with(&expected), "{line}");
    }
    let defaults = "require_tls = true\non_truncation = 'end'\nclear = false";
    let http = listener(defaults).replace("mode = 'tcp'\n", "");
    assert_eq!(faults(&http), Vec::<String>::new(), "what is so anyway may be said");
}

#[test]
fn starttls_says_what_it_cannot_do_and_why() {
    let optional = "leave it out; `smtp`, `postgresql`, `mysql` and `ldap` can have it";
    let bypass = "require_tls: without TLS a client could do without the certificate that \
                  `client_auth` requires; leave it out, or set `client_auth.mode = \"request\"`";
    let guarded = site("a.example", "mail", "client_auth.ca = 'ca.pem'");
    check(&[
        (
            "starttls = 'ftp'",
            "starttls: FTP is not spoken: its data go over connections of their own, past this \
             listener, so that the password would be protected and the files would not; use SFTP, \
             or let the FTP server speak TLS itself",
        ),
        (
            "starttls = 'postgres'",
            "starttls: `postgres` is none of `smtp`, `imap`, `pop3`, `postgresql`, `mysql`, `ldap` \
             or `xmpp`",
        ),
        (
            "require_tls = false",
            "require_tls: only a listener with `starttls` has it; leave it out, or add `starttls = \
             \"…\"`",
        ),
        (
            "greeting_name = 'a.example'",
            "greeting_name: only a listener with `starttls` has it; leave it out, or add `starttls \
             = \"…\"`",
        ),
        (
            "starttls = 'imap'\nrequire_tls = false",
            &format!(
                "require_tls: `imap` is not spoken without TLS, which all of its clients know; \
                 {optional}"
            ),
        ),
        ("starttls = 'ldap'\nrequire_tls = false\nclient_auth.ca = 'ca.pem'", bypass),
        (&format!("starttls = 'smtp'\nrequire_tls = false\n{guarded}"), bypass),
        (
            &format!("starttls = 'mysql'\n{}", site("a.example", "mail", "")),
            "site[0]: in MySQL the endpoint speaks first, before a client can name a host; give \
             the listener a `backend` instead",
        ),
    ]);
    for protocol in ["pop3", "xmpp"] {
        let lines = faults(&listener(&format!("starttls = '{protocol}'\nrequire_tls = false")));
        assert!(lines[0].contains(&format!("`{protocol}` is not spoken without TLS")), "{lines:?}");
    }
    for protocol in ["smtp", "postgresql", "mysql", "ldap"] {
        let auth = "client_auth = { mode = 'request', ca = 'ca.pem' }";
        let keys = format!("starttls = '{protocol}'\nrequire_tls = false\n{auth}");
        assert_eq!(parsed(&keys).starttls.unwrap().without_tls, WithoutTls::Allowed);
    }
    let first = site("b.example", "mail", "");
    let behind = format!("starttls = 'smtp'\nrequire_tls = false\n{first}{guarded}");
    assert_eq!(
        faults(&listener(&behind)),
        Vec::<String>::new(),
        "without TLS only the first site is reached"
    );
}

#[test]
fn connections_without_tls_have_nothing_that_belongs_to_it() {
    let clear = |keys: &str| listener(&format!("clear = true\n{keys}")).replace("'mail'", "'tls'");
    assert_eq!(parse(&clear("")).unwrap().listeners[0].entrance, Entrance::Clear);
    assert_eq!(faults(&clear("on_truncation = 'reset'")), [""; 0], "an endpoint can be cut off");
    let nothing = "`clear` is for connections without TLS, in which this means nothing; leave it \
                   out";
    for (keys, expected) in [
        (
            "starttls = 'smtp'",
            "clear: `clear` is for connections without TLS, and `starttls` begins it; leave one of \
             them out",
        ),
        (
            "[[listener.a.site]]\nhosts = ['a.example']\nbackend = 'tls'",
            "site[0]: without TLS a client names no host, so there is no site to choose; give the \
             listener a `backend` instead",
        ),
        ("tls.min_version = '1.3'", &format!("tls.min_version: {nothing}")),
        ("tls.profile = 'modern'", &format!("tls.profile: {nothing}")),
        ("tls.certificate_compression = false", &format!("tls.certificate_compression: {nothing}")),
        ("tls.alpn = ['x']", &format!("tls.alpn: {nothing}")),
        ("no_sni = 'reject'", &format!("no_sni: {nothing}")),
        ("resumption = 'off'", &format!("resumption: {nothing}")),
        ("client_auth.ca = 'ca.pem'", &format!("client_auth: {nothing}")),
    ] {
        let lines = faults(&clear(keys));
        let [line] = lines.as_slice() else { panic!("{keys}: {lines:#?}") };
        assert!(line.ends_with(&format!(": listener.a.{expected}")), "{line}");
    }
    let http = |keys: &str| clear(keys).replace("mode = 'tcp'\n", "");
    assert_eq!(
        faults(&http(&site("a.example", "tls", ""))),
        Vec::<String>::new(),
        "a request names its host"
    );
    let site = |keys: &str| site("a.example", "tls", keys);
    for (keys, key) in [
        (&*site("client_auth.ca = 'ca.pem'"), "site[0].client_auth"),
        (&site("hsts = 'max-age=1'"), "site[0].hsts"),
        ("hsts = 'max-age=1'", "hsts"),
        ("tls_headers = true", "tls_headers"),
        ("extended_connect = true", "extended_connect"),
        ("redirect_http.listen = ['[::]:80']", "redirect_http"),
    ] {
        let lines = faults(&http(keys));
        let expected = format!("listener.a.{key}: {nothing}");
        assert!(matches!(lines.as_slice(), [line] if line.ends_with(&expected)), "{lines:#?}");
    }
}

#[test]
fn a_host_has_several_sites_only_if_they_differ_in_alpn() {
    let two = |one: &str, other: &str| {
        listener(&format!("{}{}", site("a.example", "mail", one), site("A.example", "mail", other)))
    };
    for (one, other) in [
        ("", "alpn = ['imap']"),
        ("alpn = ['imap']", ""),
        ("alpn = ['imap', 'x']", "alpn = ['pop3', 'y']"),
    ] {
        assert_eq!(faults(&two(one, other)), Vec::<String>::new());
    }
    for (one, other, expected) in [
        (
            "",
            "",
            "`A.example` stands here twice; a listener serves each host from one site, or from \
             several that differ in `alpn`",
        ),
        (
            "alpn = ['imap', 'pop3']",
            "alpn = ['x', 'pop3']",
            "`A.example` stands here twice with the same protocol in `alpn`; a listener serves \
             each protocol of a host from one site",
        ),
    ] {
        let lines = faults(&two(one, other));
        let [line] = lines.as_slice() else { panic!("{lines:#?}") };
        assert!(line.ends_with(&format!("listener.a.site[1].hosts[0]: {expected}")), "{line}");
    }
    let long = format!("tls.alpn = ['{}']", "x".repeat(256));
    let alpn = "not a protocol of ALPN: expected 1 to 255 bytes";
    check(&[
        ("tls.alpn = ['']", &format!("tls.alpn[0]: {alpn}")),
        (&long, &format!("tls.alpn[0]: {alpn}")),
        ("tls.alpn = ['a', 'a']", "tls.alpn[1]: `a` stands here twice"),
        ("tls.alpn = []", "tls.alpn: at least one is needed"),
    ]);
}

#[test]
fn what_passes_through_is_not_looked_into() {
    let through = |keys: &str| site("a.example", "mail", &format!("passthrough = true\n{keys}"));
    let sites = parsed(&format!("{}{}", through(""), site("b.example", "mail", ""))).sites;
    let Sites::Named(sites) = sites else { unreachable!() };
    let ends: Vec<_> = sites.iter().map(|site| site.termination).collect();
    assert_eq!(ends, [Termination::Endpoint, Termination::Here]);
    check(&[
        (
            &through("client_auth.ca = 'ca.pem'"),
            "site[0].client_auth: TLS of a site with `passthrough` ends at its backend, and \
             nothing is verified here; leave it out, and let the backend ask for certificates",
        ),
        (
            &format!("starttls = 'postgresql'\n{}", through("")),
            "site[0].passthrough: the backend would get TLS without the dialogue before it; leave \
             it out: TLS behind `starttls` ends here",
        ),
    ]);
    let way = "mode = 'tcp'\n[[listener.a.site]]\nhosts = ['b.example']\nbackend = 'x'\n\
               [[listener.a.site]]\nhosts = ['a.example']\nbackend = 'x'\npassthrough = true";
    assert_eq!(
        backend(way, "tls = {}"),
        ["backend.x.tls: listener `a` passes TLS through to here, and this would wrap it once \
          more; leave it out, or use another backend"]
    );
    assert_eq!(backend(way, "send_proxy = 'v2'"), Vec::<String>::new());
}

#[test]
fn a_listener_needs_certificates_only_for_tls_that_ends_there() {
    let through = site("a.example", "mail", "passthrough = true");
    assert!(parsed("").terminates());
    assert!(!parsed(&through).terminates());
    assert!(parsed(&format!("{through}{}", site("b.example", "mail", ""))).terminates());
    let clear = listener("clear = true").replace("'mail'", "'tls'");
    assert!(!parse(&clear).unwrap().listeners[0].terminates());
    let paths = |text: &str| parse(text).unwrap().certificates.paths;
    assert!(paths(&clear).is_empty());
    assert!(paths(&format!("certificates.paths = ['x']\n{clear}")).is_empty());
    assert_eq!(paths(&listener("")).len(), 1);
}

#[test]
fn those_who_announce_clients_are_named_for_every_address() {
    let rule = parsed("proxy_protocol.from = ['10.0.0.0/8', 'unix', '::1']").proxy_protocol;
    let rule = rule.unwrap();
    assert_eq!((rule.from.len(), rule.from_unix), (2, UnixPeers::Believed));
    check(&[
        ("proxy_protocol = {}", "proxy_protocol.from: missing"),
        ("proxy_protocol.from = []", "proxy_protocol.from: at least one is needed"),
        (
            "proxy_protocol.from = ['unix', 'lb1']",
            "proxy_protocol.from[1]: `lb1` is not an address block: expected `10.0.0.0/8` or an \
             address",
        ),
        (
            "proxy_protocol.from = ['10.0.0.0/8']",
            "listen[1]: nobody is let in here: `proxy_protocol.from` has no `unix`; add `\"unix\"`",
        ),
        (
            "proxy_protocol.from = ['unix']",
            "listen[0]: nobody is let in here: `proxy_protocol.from` has no address block; add \
             one, as `10.0.0.0/8`",
        ),
    ]);
    let redirect = "redirect_http.listen = ['unix:r.sock', '[::]:80']";
    assert_eq!(
        backend(&format!("{HTTP}\nproxy_protocol.from = ['::1']\n{redirect}"), ""),
        ["listener.a.redirect_http.listen[0]: nobody is let in here: `proxy_protocol.from` has \
          no `unix`; add `\"unix\"`"]
    );
    assert_eq!(
        backend(&format!("{HTTP}\nproxy_protocol.from = ['unix', '::1']"), ""),
        ["listener.a.proxy_protocol.from[0]: no address of this listener is a unix socket; leave \
          it out"]
    );
    assert_eq!(
        backend(&format!("{HTTP}\nproxy_protocol.from = ['::1']"), ""),
        Vec::<String>::new()
    );
}

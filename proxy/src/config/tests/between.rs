//! Listeners and the backends behind them: what each key becomes, and what contradicts.

use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::*;

/// The lines about `text`.
pub(super) fn faults(text: &str) -> Vec<String> {
    match parse(text) {
        Ok(_) => Vec::new(),
        Err(errors) => errors.iter().map(ToString::to_string).collect(),
    }
}

/// The line that comes of `keys` in the backend `x`, to which a listener `a` with `way` leads.
pub(super) fn backend(way: &str, keys: &str) -> Vec<String> {
    let lines = faults(&format!(
        "[listener.a]\nlisten = ['[::]:1']\n{way}\n[backend.x]\nendpoints = ['h:1']\n{keys}\n"
    ));
    let said = |line: &String| line.split_once(": ").unwrap().1.to_owned();
    lines.iter().map(said).collect()
}

pub(super) const TCP: &str = "mode = 'tcp'\nbackend = 'x'";
pub(super) const HTTP: &str = "backend = 'x'";

#[test]
fn what_comes_in_without_tls_leaves_with_it() {
    let expected = "backend.x.tls: listener `a` takes connections without TLS, and there is no \
                    `tls` here either; add `tls = {}`, or leave `clear` out";
    for way in [TCP, HTTP] {
        let way = format!("{way}\nclear = true");
        assert_eq!(backend(&way, ""), [expected]);
        assert_eq!(backend(&way, "tls = {}"), [""; 0]);
    }
}

#[test]
fn endpoints_are_told_of_the_client_of_a_connection_and_not_of_a_request() {
    let sent = |keys: &str| {
        let text = format!("{LEAST}{keys}\n").replace("listen =", "mode = 'tcp'\nlisten =");
        parse(&text).unwrap().backends.remove(0).send_proxy
    };
    let sends = |version, tlvs: &[ProxyTlv]| Some(SendProxy { version, tlvs: tlvs.to_vec() });
    use ProxyTlv::{Alpn, Authority, ClientCert, Ssl, UniqueId};
    assert_eq!(sent(""), None);
    assert_eq!(sent("send_proxy = 'v1'"), sends(ProxyVersion::V1, &[]));
    assert_eq!(sent("send_proxy = 'v2'"), sends(ProxyVersion::V2, &[Alpn, Authority, Ssl]));
    let none = sent("send_proxy = 'v2'\nproxy_tlvs = []");
    assert_eq!(none, sends(ProxyVersion::V2, &[]));
    let some = sent("send_proxy = 'v2'\nproxy_tlvs = ['unique-id', 'ssl', 'client-cert']");
    assert_eq!(some, sends(ProxyVersion::V2, &[UniqueId, Ssl, ClientCert]));
    let unheard = "backend.x.proxy_tlvs: only a PROXY header of version 2 has room for it; set \
                   `send_proxy = \"v2\"`, or leave it out";
    for (way, keys, expected) in [
        (TCP, "proxy_tlvs = ['ssl']", unheard),
        (TCP, "send_proxy = 'v1'\nproxy_tlvs = ['ssl']", unheard),
        (
            TCP,
            "send_proxy = 'v2'\nproxy_tlvs = ['client-cert']",
            "backend.x.proxy_tlvs[0]: the certificate stands within `ssl`, which is not here; add \
             `\"ssl\"`",
        ),
        (
            TCP,
            "send_proxy = 'v2'\nproxy_tlvs = ['ssl', 'ssl']",
            "backend.x.proxy_tlvs[1]: `ssl` stands here twice",
        ),
        (
            TCP,
            "send_proxy = 'v2'\nproxy_tlvs = ['sni']",
            "backend.x.proxy_tlvs[0]: `sni` is none of `alpn`, `authority`, `unique-id`, `ssl` or \
             `client-cert`",
        ),
        (
            HTTP,
            "send_proxy = 'v2'",
            "backend.x.send_proxy: listener `a` forwards requests here, those of many clients on \
             one connection; leave it out: `forwarded` of the listener tells of each",
        ),
    ] {
        assert_eq!(backend(way, keys), [expected], "{keys}");
    }
}

#[test]
fn tls_of_a_backend_says_what_is_spoken_before_and_in_it() {
    let tls = |keys: &str| {
        let text = format!("{LEAST}{keys}\n").replace("listen =", "mode = 'tcp'\nlisten =");
        parse(&text).unwrap().backends.remove(0).tls.unwrap()
    };
    let whole = tls("tls = { crl = ['a.crl', '/b.crl'], alpn = ['imap'], starttls = 'imap' }");
    let expected = BackendTls {
        crls: vec!["/etc/portunus/a.crl".into(), "/b.crl".into()],
        alpn: vec![Arc::from(*b"imap")],
        starttls: Some(StarttlsProtocol::Imap),
        ..BackendTls::default()
    };
    assert_eq!(whole, expected);
    let tcp = |starttls: &str| format!("{TCP}\nstarttls = '{starttls}'");
    for protocol in ["smtp", "imap", "pop3", "postgresql", "ldap"] {
        let keys = format!("tls.starttls = '{protocol}'");
        assert_eq!(backend(&tcp(protocol), &keys), [""; 0]);
        assert_eq!(backend(&format!("{TCP}\nclear = true"), &keys), [""; 0]);
        assert_eq!(backend(TCP, &keys), [""; 0]);
    }
    for (way, keys, expected) in [
        (
            TCP,
            "tls.starttls = 'mysql'",
            "tls.starttls: `mysql` is none of `smtp`, `imap`, `pop3`, `postgresql` or `ldap`",
        ),
        (TCP, "tls.crl = ['a', 'a']", "tls.crl[1]: `a` stands here twice"),
        (TCP, "tls.alpn = ['']", "tls.alpn[0]: not a protocol of ALPN: expected 1 to 255 bytes"),
        (
            &tcp("imap"),
            "tls.starttls = 'smtp'",
            "tls.starttls: listener `a` speaks `imap` to its clients; leave it out, or say the \
             same in both",
        ),
        (
            HTTP,
            "tls.starttls = 'smtp'",
            "tls.starttls: listener `a` forwards requests here, and HTTP begins with TLS; leave it \
             out",
        ),
        (
            HTTP,
            "tls.alpn = ['h2']",
            "tls.alpn: listener `a` forwards requests here, and `protocol` says what is agreed on; \
             leave it out",
        ),
        (
            TCP,
            "tls.starttls = 'ldap'\nhealth.path = '/'",
            "health.path: who speaks `ldap` answers no GET; leave it out: they only have to accept \
             a connection",
        ),
    ] {
        assert_eq!(backend(way, keys), [format!("backend.x.{expected}")], "{keys}");
    }
}

#[test]
fn a_fault_of_a_backend_is_told_of_once_however_many_listeners_lead_to_it() {
    let listeners: String = (0..50)
        .map(|n| format!("[listener.l{n}]\nlisten = ['[::]:{}']\nbackend = 'x'\n", n + 1))
        .collect();
    let lines = faults(&format!(
        "{listeners}[backend.x]\nendpoints = ['h:1']\nsend_proxy = 'v2'\ntls.alpn = ['a']\n"
    ));
    assert_eq!(lines.len(), 2, "{lines:#?}");
}

/// Keys of a listener, of a site and of a backend, of which any may stand together.
const LISTENER: &[&str] = &[
    "starttls = 'smtp'",
    "starttls = 'imap'",
    "starttls = 'mysql'",
    "require_tls = false",
    "clear = true",
    "on_truncation = 'reset'",
    "tls.alpn = ['x']",
    "proxy_protocol.from = ['::1']",
    "hsts = 'max-age=1'",
];
const SITE: &[&str] = &["passthrough = true", "alpn = ['y']", "client_auth.ca = 'ca.pem'"];
const BACKEND: &[&str] = &[
    "tls.starttls = 'smtp'",
    "tls.alpn = ['z']",
    "tls.ca = 'ca.pem'",
    "send_proxy = 'v2'",
    "proxy_tlvs = ['ssl']",
    "health.path = '/'",
];

/// What holds of every configuration that is accepted.
fn keeps_its_promises(config: &Config) {
    let (listener, backend) = (&config.listeners[0], &config.backends[0]);
    let bytes = listener.mode == Mode::Tcp;
    let sites: &[Site] = match &listener.sites {
        Sites::Any(_) => &[],
        Sites::Named(sites) => sites,
    };
    let tls = backend.tls.as_ref();
    let passes = sites.iter().any(|site| site.termination == Termination::Endpoint);
    let auths = sites.iter().filter(|site| site.client_auth.is_some());
    assert!(bytes || listener.starttls.is_none() && backend.send_proxy.is_none());
    assert!(bytes || tls.is_none_or(|tls| tls.starttls.is_none() && tls.alpn.is_empty()));
    if listener.entrance == Entrance::Clear {
        assert!(tls.is_some() && listener.starttls.is_none() && auths.clone().count() == 0);
        assert!(sites.is_empty() || !bytes);
    }
    if passes {
        assert!(bytes && tls.is_none() && listener.starttls.is_none());
        assert!(auths.clone().all(|site| site.termination == Termination::Here));
    }
    if let Some(starttls) = &listener.starttls {
        assert!(starttls.protocol != StarttlsProtocol::Mysql || sites.is_empty());
        if starttls.without_tls == WithoutTls::Allowed {
            assert!(starttls.protocol != StarttlsProtocol::Imap);
            assert!(sites.first().is_none_or(|site| site.client_auth.is_none()));
        }
        let asked = tls.and_then(|tls| tls.starttls);
        assert!(asked.is_none_or(|asked| asked == starttls.protocol));
    }
    if let Some(sent) = &backend.send_proxy {
        assert!(sent.version == ProxyVersion::V2 || sent.tlvs.is_empty());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3_000, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_accepted_keeps_its_promises(
        mode in select(vec!["mode = 'tcp'", "mode = 'http'"]),
        keys in subsequence(LISTENER, 0..4),
        site in proptest::option::of(subsequence(SITE, 0..3)),
        ours in subsequence(BACKEND, 0..4),
    ) {
        let keys = keys.join("\n");
        let way = match site {
            Some(site) => format!(
                "[[listener.a.site]]\nhosts = ['a.example']\nbackend = 'x'\n{}",
                site.join("\n")
            ),
            None => "backend = 'x'".to_owned(),
        };
        let text = format!(
            "[listener.a]\nlisten = ['[::]:1']\n{mode}\n{keys}\n{way}\n[backend.x]\n\
             endpoints = ['h:1']\n{}\n",
            ours.join("\n")
        );
        if let Ok(config) = parse(&text) {
            keeps_its_promises(&config);
        }
    }
}

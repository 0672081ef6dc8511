//! What is asked of clients: which settings are one, and what is said about each fault.

use portunus_certs::client_auth::{ChainBounds, CrlDepth, Demand};

use super::*;

/// A listener `a` with what comes behind it, and the backend `mail`.
fn listener(text: &str) -> String {
    format!("[listener.a]\nlisten = ['[::]:1']\n{text}\n[backend.mail]\nendpoints = ['h:1']\n")
}

/// A site with `host` and what is asked of its clients.
fn site(host: &str, auth: &str) -> String {
    let auth = if auth.is_empty() { String::new() } else { format!("client_auth = {auth}\n") };
    format!("[[listener.a.site]]\nhosts = ['{host}']\nbackend = 'mail'\n{auth}")
}

fn sites(config: &Config) -> &[Site] {
    match &config.listeners[0].sites {
        Sites::Named(sites) => sites,
        Sites::Any(_) => &[],
    }
}

#[test]
fn an_authority_is_enough_and_paths_are_relative_to_the_folder_of_the_file() {
    let config = parse(&listener("backend = 'mail'\nclient_auth.ca = 'ca.pem'")).unwrap();
    let expected = ClientAuth {
        demand: Demand::Require,
        ca: "/etc/portunus/ca.pem".into(),
        crls: Vec::new(),
        crl_depth: CrlDepth::Chain,
        forward: ClientCertForward::None,
        resumption: ClientResumption::Off,
    };
    assert_eq!(config.client_auths, [expected]);
    assert_eq!(config.listeners[0].client_auth, Some(0));
}

#[test]
fn every_key_has_its_meaning() {
    let auth = "{ mode = 'request', ca = '/ca.pem', crl = ['a.crl', '/b.crl'], \
                crl_depth = 'leaf', forward = 'chain', resumption = 'revalidate' }";
    let config = parse(&listener(&site("a.example", auth))).unwrap();
    let expected = ClientAuth {
        demand: Demand::Request,
        ca: "/ca.pem".into(),
        crls: vec!["/etc/portunus/a.crl".into(), "/b.crl".into()],
        crl_depth: CrlDepth::Leaf,
        forward: ClientCertForward::Chain,
        resumption: ClientResumption::Revalidate,
    };
    assert_eq!(config.client_auths, [expected]);
    assert_eq!(sites(&config)[0].client_auth, Some(0));
    assert_eq!(config.listeners[0].client_auth, None);
}

#[test]
fn equal_settings_are_one_however_they_are_spelled_and_different_ones_are_not() {
    let config = parse(&listener(&format!(
        "{}{}{}{}{}",
        site("a.example", "{ ca = 'ca.pem' }"),
        site("b.example", ""),
        site("c.example", "{ ca = '/etc/portunus/ca.pem', mode = 'require', forward = 'none' }"),
        site("d.example", "{ ca = 'ca.pem', mode = 'request' }"),
        site("e.example", "{ ca = 'ca.pem', crl = ['ca.crl'] }"),
    )))
    .unwrap();
    let indices: Vec<_> = sites(&config).iter().map(|site| site.client_auth).collect();
    assert_eq!(indices, [Some(0), None, Some(0), Some(1), Some(2)]);
    assert_eq!(config.client_auths.len(), 3);
}

#[test]
fn what_a_client_may_show_is_bounded() {
    let limits = parse(LEAST).unwrap().limits;
    let expected = ChainBounds { certificates_max: 8, bytes_max: 32 << 10 };
    assert_eq!(limits.client_chain, expected);
    for (limit, range) in [
        ("client_chain_certificates = 0", "1 to 16"),
        ("client_chain_certificates = 17", "1 to 16"),
        ("client_chain_size = '1023 B'", "1 KiB to 64 KiB"),
        ("client_chain_size = '65 KiB'", "1 KiB to 64 KiB"),
    ] {
        let error = parse(&format!("limits.{limit}\n{LEAST}")).unwrap_err().to_string();
        assert!(error.ends_with(&format!("out of range: expected {range}")), "{error}");
    }
}

/// Checks the one line that comes of each setting of a site.
#[track_caller]
fn check(cases: &[(&str, &str)]) {
    for (auth, expected) in cases {
        let error = parse(&listener(&site("a.example", auth))).unwrap_err().to_string();
        assert_eq!(error, format!("config.toml:6: listener.a.site[0].client_auth{expected}"));
    }
}

#[test]
fn each_fault_of_a_site_is_one_line() {
    check(&[
        ("{ mode = 'require' }", ".ca: missing"),
        ("{}", ".ca: missing"),
        ("'ca.pem'", ": expected a section, found a text"),
        (
            "{ ca = '' }",
            ".ca: not a path: it is empty, has a NUL, or is too long for a socket \
                         (107 bytes)",
        ),
        ("{ ca = ['ca.pem'] }", ".ca: expected a text in quotes, found a list"),
        (
            "{ ca = 'ca.pem', mode = 'optional' }",
            ".mode: `optional` is none of `require` or `request`",
        ),
        ("{ ca = 'ca.pem', crls = ['x'] }", ".crls: unknown key; did you mean `crl`?"),
        (
            "{ ca = 'ca.pem', verify = 'x' }",
            ".verify: unknown key; expected `mode`, `ca`, `crl`, `crl_depth`, `forward` or \
             `resumption`",
        ),
        (
            "{ ca = 'ca.pem', crl = 'x' }",
            ".crl: expected a list, found a text; put it in brackets: `[\"…\"]`",
        ),
        ("{ ca = 'ca.pem', crl = [] }", ".crl: at least one is needed"),
        (
            "{ ca = 'ca.pem', crl = ['x', '/etc/portunus/x'] }",
            ".crl[1]: `/etc/portunus/x` stands here twice",
        ),
        (
            "{ ca = 'ca.pem', crl = ['x', ''] }",
            ".crl[1]: not a path: it is empty, has a NUL, or is too long for a socket (107 bytes)",
        ),
        (
            "{ ca = 'ca.pem', crl_depth = 'leaf' }",
            ".crl_depth: no revocation is checked without `crl`; add `crl = [\"FILE\"]`, or leave \
          it out",
        ),
        ("{ ca = 'ca.pem', crl = 1, crl_depth = 'leaf' }", ".crl: expected a list, found a number"),
        (
            "{ ca = 'ca.pem', forward = 'header' }",
            ".forward: `header` is none of `none`, `leaf` or `chain`",
        ),
        (
            "{ ca = 'ca.pem', resumption = 'on' }",
            ".resumption: `on` is none of `off` or `revalidate`",
        ),
    ]);
}

#[test]
fn bytes_carry_no_certificate_and_sites_speak_for_themselves() {
    for forward in ["leaf", "chain"] {
        let auth = format!("client_auth = {{ ca = 'ca.pem', forward = '{forward}' }}");
        let text = listener(&format!("mode = 'tcp'\nbackend = 'mail'\n{auth}"));
        assert_eq!(
            parse(&text).unwrap_err().to_string(),
            "config.toml:5: listener.a.client_auth.forward: bytes have no header fields to put a \
             certificate in; leave it out; `proxy_tlvs` of a backend can tell of it"
        );
    }
    let none = "mode = 'tcp'\nbackend = 'mail'\nclient_auth = { ca = 'ca.pem', forward = 'none' }";
    assert_eq!(parse(&listener(none)).unwrap().listeners[0].client_auth, Some(0));
    let both = format!("client_auth.ca = 'ca.pem'\n{}", site("a.example", ""));
    assert_eq!(
        parse(&listener(&both)).unwrap_err().to_string(),
        "config.toml:3: listener.a.client_auth: a listener with sites has no `client_auth` of its \
         own; give it to each site that needs it"
    );
}

#[test]
fn every_fault_of_every_site_is_found_in_one_run() {
    let text = listener(&format!(
        "mode = 'tcp'\n{}{}",
        site("a.example", "{ forward = 'leaf', crl_depth = 'leaf', colour = 'blue' }"),
        site("b.example", "{ ca = 'ca.pem', mode = 'maybe' }"),
    ));
    let errors = parse(&text).unwrap_err();
    let keys: Vec<_> = errors.iter().map(|error| (error.line().unwrap(), error.key())).collect();
    assert_eq!(keys.len(), 5, "{errors}");
    for key in ["ca", "forward", "crl_depth", "colour"] {
        assert!(keys.contains(&(7, &format!("listener.a.site[0].client_auth.{key}"))), "{keys:?}");
    }
    assert!(keys.contains(&(11, "listener.a.site[1].client_auth.mode")), "{keys:?}");
}

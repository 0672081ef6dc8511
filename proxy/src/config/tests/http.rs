//! What only HTTP listeners have: what each key becomes, and that listeners of bytes have none.

use super::routes::{behind, check, faults};
use super::*;

#[test]
fn strict_transport_security_is_a_policy() {
    for good in ["max-age=0", "max-age=31536000; includeSubDomains", "max-age=1;preload"] {
        assert_eq!(behind(&format!("hsts = '{good}'")).hsts.unwrap(), good);
    }
    for bad in ["", "31536000", "includeSubDomains", "max-age=", "max-age=1; x", "max-age=1; ;"] {
        let expected = "hsts: not a policy: expected `max-age=SECONDS`, then `includeSubDomains` \
                        and `preload`; as `max-age=31536000; includeSubDomains`";
        check(&[(&format!("hsts = '{bad}'"), expected)]);
    }
}

#[test]
fn what_only_http_has_is_refused_for_bytes() {
    for (keys, key) in [
        ("routes = [{ path = '/a', backend = 'app' }]", "routes[0]"),
        ("hsts = 'max-age=1'", "hsts"),
        ("trusted_peers = ['::1']", "trusted_peers"),
        ("forwarded = 'forwarded'", "forwarded"),
        ("tls_headers = true", "tls_headers"),
        ("unknown_host = '404'", "unknown_host"),
        ("reject_underscores = true", "reject_underscores"),
        ("extended_connect = true", "extended_connect"),
        ("redirect_http.listen = ['[::]:80']", "redirect_http"),
    ] {
        let lines = faults(&format!("backend = 'app'\nmode = 'tcp'\n{keys}"));
        let expected = format!(
            "config.toml:5: listener.https.{key}: only a listener with `mode = \"http\"` has it; \
             leave it out, or set `mode = \"http\"` for the listener"
        );
        assert_eq!(lines, [expected]);
    }
}

#[test]
fn listeners_have_what_http_needs_besides() {
    let text = LEAST.replace(
        "[backend",
        "trusted_peers = ['10.0.0.0/8', '::1']\nforwarded = 'forwarded'\ntls_headers = true\n\
         unknown_host = '404'\nreject_underscores = true\nextended_connect = true\n\
         redirect_http = { listen = ['[::]:80', 'unix:r.sock'], port = 8443, challenges = 'c' }\n\
         [backend",
    );
    let http = parse(&text).unwrap().listeners.remove(0).http;
    assert_eq!(http.trusted_peers.len(), 2);
    assert_eq!(http.forwarded, ForwardedFields::Forwarded);
    assert_eq!(http.unknown_host, UnknownHost::NotFound);
    assert!(http.tls_fields && http.reject_underscores && http.extended_connect);
    let redirect = http.redirect.unwrap();
    let shown: Vec<String> = redirect.addresses.iter().map(ToString::to_string).collect();
    assert_eq!(shown, ["[::]:80", "unix:/etc/portunus/r.sock"]);
    assert_eq!(redirect.port, 8_443);
    assert_eq!(redirect.challenges.unwrap(), Path::new("/etc/portunus/c"));
    check(&[
        (
            "redirect_http.listen = ['[::]:8443']",
            "redirect_http.listen[0]: `[::]:8443` is the address of `listener.https.listen[0]` \
             already",
        ),
        ("redirect_http = {}", "redirect_http.listen: missing"),
        (
            "redirect_http = { listen = ['[::]:80'], port = 0 }",
            "redirect_http.port: out of range: expected 1 to 65535",
        ),
        ("unknown_host = 421", "unknown_host: expected a text in quotes, found a number"),
    ]);
}

#[test]
fn routes_and_policies_stand_with_the_sites_if_there_are_any() {
    let site = "[[listener.https.site]]\nhosts = ['a.example']\nbackend = 'app'";
    for (keys, key, name) in [
        ("routes = [{ path = '/a', backend = 'app' }]", "routes[0]", "routes"),
        ("hsts = 'max-age=1'", "hsts", "hsts"),
    ] {
        let expected = format!(
            "config.toml:3: listener.https.{key}: a listener with sites has no `{name}` of its \
             own; give it to each site that needs it"
        );
        assert_eq!(faults(&format!("{keys}\n{site}")), [expected]);
    }
}

#[test]
fn the_access_log_goes_where_it_is_told_to() {
    let access = |word: &str| parse(&format!("log.access = '{word}'\n{LEAST}")).unwrap().log.access;
    assert_eq!(parse(LEAST).unwrap().log.access, AccessLog::Off);
    assert_eq!(access("off"), AccessLog::Off);
    assert_eq!(access("stdout"), AccessLog::Stdout);
    assert_eq!(access("a.log"), AccessLog::File("/etc/portunus/a.log".into()));
}

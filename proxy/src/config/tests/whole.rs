//! A configuration that has nearly every key, damaged in every way.

use proptest::prelude::*;

use super::garbage::{damaged, moved};
use super::*;

const WHOLE: &str = r#"
[log]
access = "access.log"
[resolver]
nameservers = ["127.0.0.1", "[::1]:54"]
[listener.web]
listen = ["[::]:443"]
trusted_peers = ["10.0.0.0/8", "::1"]
forwarded = "forwarded"
tls_headers = true
unknown_host = "404"
reject_underscores = true
extended_connect = true
redirect_http = { listen = ["[::]:80"], port = 8443, challenges = "acme" }
[[listener.web.site]]
hosts = ["a.example", "*.a.example"]
backend = "app"
hsts = "max-age=31536000; includeSubDomains"
[[listener.web.site.routes]]
path = "/api/"
backend = "app"
replace = "/v1/"
max_body = "10 MiB"
response_head_timeout = "1s"
response_body_timeout = "2s"
request_body_timeout = "3s"
trailers = true
request_headers = { remove = ["X-A"], set = { X-B = "${APP_PORT}" }, add = { X-C = "c" } }
response_headers = { remove = ["Server"], set = { X-Frame-Options = "DENY" } }
[[listener.web.site.routes]]
path = "/old"
exact = true
redirect = { to = "https://{host}/new/{rest}?from={path}", status = 307 }
[[listener.web.site.routes]]
path = "/health"
respond = { status = 200, body = "ok", content_type = "text/plain" }
[listener.mx]
listen = ["[::]:25", "unix:mx.sock"]
mode = "tcp"
proxy_protocol = { from = ["10.0.0.0/8", "unix"] }
starttls = "smtp"
require_tls = false
greeting_name = "mx.example"
tls = { alpn = ["smtp", "x"] }
on_truncation = "reset"
backend = "mx"
[listener.relay]
listen = ["127.0.0.1:2525"]
mode = "tcp"
clear = true
backend = "relay"
[listener.mixed]
listen = ["[::]:8443"]
mode = "tcp"
[[listener.mixed.site]]
hosts = ["a.example"]
alpn = ["acme-tls/1"]
passthrough = true
backend = "mx"
[[listener.mixed.site]]
hosts = ["a.example"]
backend = "relay"
[backend.mx]
endpoints = ["unix:mx.sock"]
send_proxy = "v2"
proxy_tlvs = ["alpn", "authority", "unique-id", "ssl", "client-cert"]
[backend.relay]
endpoints = ["smtp.example:587"]
tls = { crl = ["relay.crl"], alpn = ["smtp"], starttls = "smtp" }
[backend.app]
endpoints = ["a:1", { address = "unix:/run/b.sock", weight = 7, backup = true }]
protocol = "auto"
tls = { ca = "ca.pem", server_name = "a.example", credential = "me.pem" }
balance = "hash-cookie:sid"
health = { path = "/up", host = "a", expect = [200, "300-399"], interval = "1s", rise = 1 }
ejection = { failures = 3, base = "1s", longest = "10s", share = 30, statuses = ["500-599"] }
slow_start = "30s"
max_connections = 100
connection_age = "10m"
streams = 50
resolve_interval = "10s"
stale_max = "1h"
allow = ["10.0.0.0/8"]
"#;

/// Every line of the answer is one, and there is a place for it.
fn answers(text: &str) {
    let Err(errors) = parse(text) else { return };
    let lines = text.matches('\n').count() + 1;
    for error in &errors {
        assert!(error.line().is_none_or(|line| (1..=lines).contains(&line)), "{error}");
        assert!(!error.to_string().contains('\n') && error.to_string().len() < 2_000, "{error}");
    }
}

#[test]
fn it_is_read_and_shows_no_fault() {
    parse(WHOLE).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn with_parts_cut_and_replaced_it_has_an_answer(
        cuts in proptest::collection::vec((any::<u16>(), 0_usize..30, ".{0,12}"), 1..6),
    ) {
        answers(&damaged(WHOLE, cuts));
    }

    #[test]
    fn with_values_at_other_keys_it_has_an_answer(
        moves in proptest::collection::vec(any::<(u8, u8)>(), 1..8),
    ) {
        answers(&moved(WHOLE, moves));
    }

    #[test]
    fn no_redirect_that_is_taken_leads_to_a_host_of_the_clients(
        parts in proptest::collection::vec(
            prop::sample::select(vec![
                "https://", "http://", "/", "//", "{host}", "{path}", "{rest}", "a.example", ":80",
                "?", "#", "@", ".", "x",
            ]),
            1..7,
        ),
    ) {
        let to: String = parts.concat();
        let text = LEAST.replace(
            "[backend",
            &format!("routes = [{{ path = '/api', redirect.to = '{to}' }}]\n[backend"),
        );
        if parse(&text).is_ok() {
            // What a client can put there: a path, and what follows the path of the route.
            for rest in ["", ".evil.example", "@evil.example", "/evil.example", ":1@evil.example"] {
                let path = format!("/api{rest}");
                let url = to.replace("{host}", "own.example").replace("{path}", &path);
                let url = url.replace("{rest}", rest);
                // A path may have a scheme in it, and is a path.
                let behind = url.strip_prefix("https://").or(url.strip_prefix("http://"));
                let authority = behind.map(|rest| rest.split(['/', '?', '#']).next().unwrap());
                let authority = authority.unwrap_or_default();
                prop_assert!(!authority.contains("evil"), "{to}: {url}");
                prop_assert!(!authority.contains('@'), "{to}: {url}");
                let is_elsewhere = behind.is_none() && url.starts_with("//");
                prop_assert!(!is_elsewhere, "{to}: {url}");
            }
        }
    }
}

//! Tables and properties of the rules for heads.

mod client;
mod wire;

use std::sync::Arc;

use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, Version};
use proptest::prelude::*;

use super::*;
use crate::config::{FieldEdit, ForwardedFields, HttpLimits, HttpListener, UnknownHost};
use crate::field::{Fate, fate, is_protected, is_reserved};
use crate::net::PeerAddr;

fn request(target: &str, fields: &[(&str, &str)]) -> Parts {
    let mut request = Request::builder().uri(target);
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap().into_parts().0
}

/// A listener that trusts the peers in `trusted`.
fn listener(trusted: &[&str], forwarded: ForwardedFields) -> HttpListener {
    HttpListener {
        trusted_peers: trusted.iter().map(|block| block.parse().unwrap()).collect(),
        forwarded,
        tls_fields: false,
        unknown_host: UnknownHost::Misdirected,
        reject_underscores: false,
        extended_connect: false,
        redirect: None,
    }
}

fn looked_at(parts: &Parts, fallback: Option<&str>) -> Result<Vetted, Refusal> {
    let listener = listener(&[], ForwardedFields::XForwarded);
    vet(parts, fallback, &HttpLimits::default(), &listener)
}

fn status(parts: &Parts) -> Option<StatusCode> {
    looked_at(parts, None).err().map(|refusal| refusal.status)
}

/// What the backend gets of a request.
fn forwarded(parts: Parts, has_body: bool) -> Parts {
    forwarded_by(parts, &listener(&[], ForwardedFields::XForwarded), &[], has_body)
}

/// What the backend gets of a request that `192.0.2.7` sent to port 443 of `listener`.
fn forwarded_by(
    mut parts: Parts,
    listener: &HttpListener,
    edits: &[FieldEdit],
    has_body: bool,
) -> Parts {
    let vetted = vet(&parts, None, &HttpLimits::default(), listener).unwrap();
    let peer = PeerAddr::new("192.0.2.7:50000".parse().unwrap());
    let sender = Sender::new(peer.into(), &listener.trusted_peers);
    let client = sender.identify(&parts.headers, listener);
    let id = sender.request_id(&parts.headers).unwrap_or(HeaderValue::from_static("id"));
    let ours = Ours {
        sender: &sender,
        client: &client,
        family: listener.forwarded,
        proto: Proto::Https,
        port: Some(&HeaderValue::from_static("443")),
        request_id: id,
        client_cert: &ClientCert::default(),
        tls: &TlsFields::default(),
        edits,
        request_trailers: Trailers::Pass,
        response_trailers: Trailers::Pass,
    };
    forward(&mut parts, &vetted, ours, has_body);
    parts
}

#[test]
fn hosts_are_names_or_addresses() {
    let good = [
        ("app.example", "app.example"),
        ("app.example:8443", "app.example"),
        ("app.example.", "app.example."),
        ("a_b.example", "a_b.example"),
        ("192.0.2.1:80", "192.0.2.1"),
        ("[2001:db8::1]", "[2001:db8::1]"),
        ("[::1]:8443", "[::1]"),
    ];
    for (value, name) in good {
        assert_eq!(Host::new(value.parse().unwrap()).unwrap().name(), name);
    }
    let bad = [
        "", ":80", "a:", "a:b", "a:+1", "a:99999", "a:1:2", "a,b", "a b", "u@a", "a/b", "a?b",
        "a#b", "a%2eb", "a\\b", "[::1", "[::1]x", "[a]", "[]", "::1", "a;b", "http://a", "*",
        "a\tb",
    ];
    for value in bad {
        assert_eq!(Host::new(value.parse().unwrap()), Err(HostError), "{value:?}");
    }
    assert_eq!(Host::new(HeaderValue::from_bytes(b"\xc3\xa4.example").unwrap()), Err(HostError));
    assert_eq!(Host::new("a".repeat(256).parse().unwrap()), Err(HostError));
}

#[test]
fn what_belongs_to_one_hop_stays_and_what_is_reserved_is_ours() {
    let fields = [
        ("host", "app.example"),
        ("connection", "close, X-Secret"),
        ("connection", "keep-alive , x-other"),
        ("x-secret", "1"),
        ("x-other", "2"),
        ("keep-alive", "timeout=5"),
        ("proxy-connection", "keep-alive"),
        ("proxy-authorization", "Basic eA=="),
        ("proxy", "evil"),
        ("http2-settings", "AAMAAABk"),
        ("upgrade", "h2c"),
        ("te", "gzip, deflate"),
        ("expect", "100-continue"),
        ("x-forwarded-for", "6.6.6.6"),
        ("x_forwarded_for", "6.6.6.6"),
        ("x-forwarded-for", "6.6.6.7"),
        ("forwarded", "for=6.6.6.6"),
        ("ssl_client_verify", "SUCCESS"),
        ("x-request-id", "mine"),
        ("accept", "*/*"),
        ("x-custom_name", "passes"),
    ];
    let parts = forwarded(request("/a?b", &fields), false);
    let mut names: Vec<_> = parts.headers.keys().map(HeaderName::as_str).collect();
    names.sort_unstable();
    let expected = [
        "accept",
        "host",
        "x-custom_name",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-port",
        "x-forwarded-proto",
        "x-request-id",
    ];
    assert_eq!(names, expected);
    assert_eq!(parts.headers.get_all("x-forwarded-for").iter().collect::<Vec<_>>(), ["192.0.2.7"]);
    assert_eq!(parts.headers["x-request-id"], "id");
}

#[test]
fn the_target_becomes_a_path() {
    for (target, path) in [
        ("/a%2f//b?c=d%20e", "/a%2f//b?c=d%20e"),
        ("https://app.example/a?b", "/a?b"),
        ("http://app.example", "/"),
    ] {
        let parts = forwarded(request(target, &[("host", "APP.example")]), false);
        assert_eq!(parts.uri.to_string(), path);
        assert!(parts.uri.authority().is_none());
    }
}

#[test]
fn a_target_has_no_characters_but_those_of_urls() {
    let target = |bytes: &[u8]| {
        let mut parts = request("/", &[("host", "app.example")]);
        parts.uri = http::Uri::try_from(bytes).ok()?;
        Some(parts)
    };
    for bytes in [&b"/\xc3\xa4"[..], b"/a?\xc3\xa4", b"/\x7f"] {
        // Some of it is refused where the target is parsed.
        let found = target(bytes).map(|parts| status(&parts));
        assert!(matches!(found, None | Some(Some(StatusCode::BAD_REQUEST))), "{bytes:?} {found:?}");
    }
    for bytes in [&b"/%c3%a4"[..], b"/..%2f//.?a=b&c;d", b"/~!$&'()*+,;=:@"] {
        assert_eq!(status(&target(bytes).unwrap()), None, "{bytes:?}");
    }
}

#[test]
fn underscores_pass_unless_they_are_refused() {
    let parts = request("/", &[("host", "app.example"), ("x_custom", "1")]);
    assert_eq!(status(&parts), None);
    let strict =
        HttpListener { reject_underscores: true, ..listener(&[], ForwardedFields::XForwarded) };
    let vetted = vet(&parts, None, &HttpLimits::default(), &strict);
    assert_eq!(vetted.unwrap_err().status, StatusCode::BAD_REQUEST);
    let parts = request("/a_b?c_d", &[("host", "a_b.example"), ("x-custom", "a_b")]);
    assert!(vet(&parts, None, &HttpLimits::default(), &strict).is_ok());
}

#[test]
fn what_the_operator_changes_is_changed_and_what_is_ours_stays() {
    let name = |name: &'static str| HeaderName::from_static(name);
    let value = HeaderValue::from_static;
    let edits = [
        FieldEdit::Remove(name("cookie")),
        FieldEdit::Set(name("x-env"), value("prod")),
        FieldEdit::Add(name("x-env"), value("blue")),
        FieldEdit::Add(name("x-own"), value("more")),
        // The configuration does not let these come so far.
        FieldEdit::Set(name("x-forwarded-for"), value("6.6.6.6")),
        FieldEdit::Set(name("host"), value("other.example")),
    ];
    let fields = [("host", "app.example"), ("cookie", "a=b"), ("x-env", "test"), ("x-own", "mine")];
    let listener = listener(&[], ForwardedFields::XForwarded);
    let parts = forwarded_by(request("/", &fields), &listener, &edits, false);
    let all = |name: &str| parts.headers.get_all(name).iter().cloned().collect::<Vec<_>>();
    assert_eq!(all("cookie"), Vec::<HeaderValue>::new());
    assert_eq!(all("x-env"), ["prod", "blue"]);
    assert_eq!(all("x-own"), ["mine", "more"]);
    assert_eq!(all("x-forwarded-for"), ["192.0.2.7"]);
    assert_eq!(all("host"), ["app.example"]);
}

#[test]
fn http_2_needs_no_host_field() {
    let mut parts = request("https://app.example/", &[]);
    assert_eq!(status(&parts), Some(StatusCode::BAD_REQUEST));
    parts.version = Version::HTTP_2;
    let parts = forwarded(parts, true);
    assert_eq!(parts.version, Version::HTTP_11);
    assert_eq!(parts.headers["host"], "app.example");
    assert_eq!(parts.headers["transfer-encoding"], "chunked");
}

#[test]
fn http_1_0_may_leave_the_host_to_the_server_name() {
    let mut parts = request("/", &[]);
    parts.version = Version::HTTP_10;
    assert_eq!(status(&parts), Some(StatusCode::BAD_REQUEST));
    let vetted = looked_at(&parts, Some("app.example")).unwrap();
    assert_eq!(vetted.host.name(), "app.example");
}

#[test]
fn responses_lose_what_belongs_to_one_hop() {
    let (mut parts, ()) = Response::builder()
        .header("connection", "keep-alive, x-hop, content-length")
        .header("keep-alive", "timeout=5")
        .header("x-hop", "1")
        .header("proxy-authenticate", "Basic")
        .header("upgrade", "h2")
        .header("content-length", "5")
        .header("x-forwarded-for", "what the backend says is its own business")
        .header("trailer", "x-sum")
        .body(())
        .unwrap()
        .into_parts();
    clean(&mut parts, Protocol::Http, Trailers::Pass).unwrap();
    let mut names: Vec<_> = parts.headers.keys().map(HeaderName::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["content-length", "trailer", "x-forwarded-for"]);
}

#[test]
fn a_length_that_is_passed_on_is_one_number_without_a_leading_zero() {
    let cases = [
        ("0", Some("0")),
        ("000", Some("0")),
        ("10", Some("10")),
        ("010", Some("10")),
        ("18446744073709551616", None),
        ("10, 10", None),
        ("+10", None),
        ("0x10", None),
        ("", None),
    ];
    for (length, expected) in cases {
        let response = Response::builder().header("content-length", length).body(());
        let (mut parts, ()) = response.unwrap().into_parts();
        let cleaned = clean(&mut parts, Protocol::Http, Trailers::Drop).ok();
        let found = cleaned.map(|()| parts.headers["content-length"].clone());
        assert_eq!(found.as_ref(), expected.map(HeaderValue::from_static).as_ref(), "{length}");
        let mut parts = request("/", &[("host", "app.example"), ("content-length", length)]);
        parts.version = Version::HTTP_2;
        let passes = status(&parts).is_none();
        let found = passes.then(|| forwarded(parts, true).headers["content-length"].clone());
        assert_eq!(found.as_ref(), expected.map(HeaderValue::from_static).as_ref(), "{length}");
    }
}

#[test]
fn a_change_of_protocol_must_have_been_asked_for() {
    let cases = [
        (Protocol::WebSocket, "websocket", Ok(())),
        (Protocol::WebSocket, "WebSocket", Ok(())),
        (Protocol::WebSocket, "h2c", Err(BadResponse::Unasked)),
        (Protocol::Http, "websocket", Err(BadResponse::Unasked)),
    ];
    for (asked, upgrade, expected) in cases {
        let response = Response::builder().status(101).header("upgrade", upgrade);
        let (mut parts, ()) = response.body(()).unwrap().into_parts();
        assert_eq!(clean(&mut parts, asked, Trailers::Drop), expected, "{asked:?} {upgrade}");
    }
}

/// The spellings that a backend might take for one and the same name.
fn spelling(name: &'static str) -> impl Strategy<Value = String> {
    let spell = |byte: u8, choice: u8| match (byte, choice % 4) {
        (b'-', 0) => '_',
        (b'-', 1) => '.',
        (byte, 2) => char::from(byte.to_ascii_uppercase()),
        (byte, _) => char::from(byte),
    };
    let choices = prop::collection::vec(any::<u8>(), name.len());
    choices.prop_map(move |choices| name.bytes().zip(choices).map(|(b, c)| spell(b, c)).collect())
}

fn reserved_name() -> impl Strategy<Value = String> {
    prop::sample::select(vec![
        "x-forwarded-for",
        "x-forwarded-proto",
        "x-forwarded-host",
        "x-forwarded-port",
        "x-real-ip",
        "forwarded",
        "via",
        "client-cert",
        "client-cert-chain",
        "x-client-cert-subject",
        "x-ssl-client-cert",
        "ssl-client-verify",
        "x-request-id",
    ])
    .prop_flat_map(spelling)
}

fn hop_name() -> impl Strategy<Value = String> {
    prop::sample::select(vec![
        "keep-alive",
        "proxy-connection",
        "proxy-authorization",
        "te",
        "upgrade",
        "http2-settings",
    ])
    .prop_map(str::to_owned)
}

fn any_name() -> impl Strategy<Value = String> {
    prop_oneof![reserved_name(), hop_name(), "[a-z][a-z0-9-]{0,12}"]
}

fn trailer_name() -> impl Strategy<Value = String> {
    let names = ["host", "content-length", "transfer-encoding", "authorization", "x-sum"];
    prop::sample::select(names.to_vec()).prop_map(str::to_owned)
}

proptest! {
    #[test]
    fn what_connection_names_is_gone_or_refused(name in "[a-zA-Z][a-zA-Z0-9_.-]{0,12}") {
        let connection = format!("close, {name}");
        let mut parts = request("/", &[("host", "app.example"), ("connection", &connection)]);
        let field = HeaderName::from_bytes(name.as_bytes()).unwrap();
        if field != "host" {
            parts.headers.append(&field, HeaderValue::from_static("evil"));
        }
        if is_protected(&name) {
            prop_assert_eq!(status(&parts), Some(StatusCode::BAD_REQUEST));
        } else if status(&parts).is_none() {
            prop_assert!(!forwarded(parts, false).headers.contains_key(&field));
        }
    }

    #[test]
    fn no_value_is_taken_for_a_host_that_is_not_one(value in "[ -~]{0,20}") {
        if let Ok(host) = Host::new(HeaderValue::from_str(&value).unwrap()) {
            prop_assert!(!value.contains([',', '@', '/', '?', '#', ' ', '%', '\\', ';']));
            prop_assert!(value.starts_with(host.name()) && !host.name().is_empty());
        }
    }

    #[test]
    fn trailers_are_never_what_heads_are_made_of(
        names in prop::collection::vec(prop_oneof![reserved_name(), trailer_name()], 0..9),
    ) {
        let mut trailers = HeaderMap::new();
        for name in &names {
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            trailers.append(name, HeaderValue::from_static("x"));
        }
        Trailers::Pass.sieve(&Arc::default()).clean(&mut trailers);
        prop_assert!(trailers.keys().all(|name| name == "x-sum"));
    }
}

//! What a backend reads off the wire: one message, one meaning, and nothing reserved from a client.
//!
//! Owns a strict reader of request heads, which knows RFC 9112 and nothing of our code.

use super::*;

/// The head as hyper writes it.
fn written(parts: &Parts) -> String {
    let mut text = format!("{} {} HTTP/1.1\r\n", parts.method, parts.uri);
    for (name, value) in &parts.headers {
        text.push_str(&format!("{name}: {}\r\n", value.to_str().unwrap()));
    }
    text + "\r\n"
}

type Head<'a> = (&'a str, &'a str, Vec<(&'a str, &'a str)>);

/// Method, target and fields, if `text` is exactly one head.
fn read(text: &str) -> Option<Head<'_>> {
    let is_token = |word: &str| {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
        !word.is_empty() && word.bytes().all(plain)
    };
    let lines = text.strip_suffix("\r\n\r\n")?;
    if lines.split("\r\n").any(|line| line.is_empty() || line.contains(['\r', '\n', '\0'])) {
        return None;
    }
    let mut lines = lines.split("\r\n");
    let words: Vec<&str> = lines.next()?.split(' ').collect();
    let [method, target, "HTTP/1.1"] = words[..] else { return None };
    if !is_token(method) || !target.bytes().all(|byte| byte.is_ascii_graphic()) {
        return None;
    }
    let fields = lines.map(|line| {
        let (name, value) = line.split_once(':')?;
        is_token(name).then(|| (name, value.trim_matches([' ', '\t'])))
    });
    Some((method, target, fields.collect::<Option<_>>()?))
}

/// Any field, with a stress on those that decide about something.
fn field() -> impl Strategy<Value = (String, String)> {
    let deciding = prop::sample::select(vec![
        ("connection", "close, x-a"),
        ("connection", "keep-alive"),
        ("connection", "upgrade"),
        ("upgrade", "websocket"),
        ("upgrade", "h2c"),
        ("http2-settings", "AAMAAABk"),
        ("te", "trailers, deflate"),
        ("trailer", "x-sum"),
        ("transfer-encoding", "chunked"),
        ("transfer_encoding", "chunked"),
        ("content-length", "3"),
        ("content_length", "4"),
        ("content.length", "5"),
        ("expect", "100-continue"),
        ("keep-alive", "timeout=5"),
        ("proxy-connection", "keep-alive"),
        ("cookie", "a=b"),
        ("cookie", "c=d"),
        ("authorization", "Basic eA=="),
    ]);
    prop_oneof![
        deciding.prop_map(|(name, value)| (name.to_owned(), value.to_owned())),
        (any_name(), "[ -~]{0,12}".prop_map(|value| value.trim().to_owned())),
    ]
}

proptest! {
    #[test]
    fn a_head_that_passes_means_one_thing_to_whoever_reads_it(
        fields in prop::collection::vec(field(), 0..12),
        target in "/[!-~]{0,12}",
        method in prop::sample::select(vec!["GET", "POST", "HEAD", "OPTIONS", "BREW"]),
        has_body in any::<bool>(),
        is_h2 in any::<bool>(),
    ) {
        let Ok(uri) = target.parse::<http::Uri>() else { return Ok(()) };
        let mut parts = request("/", &[("host", "app.example")]);
        parts.method = method.parse().unwrap();
        parts.uri = uri;
        if is_h2 {
            parts.version = Version::HTTP_2;
            parts.uri = format!("https://app.example{}", parts.uri).parse().unwrap();
        }
        for (name, value) in &fields {
            let value = HeaderValue::from_str(value).unwrap();
            parts.headers.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), value);
        }
        let Ok(vetted) = looked_at(&parts, None) else { return Ok(()) };
        // Two lengths are refused before a request comes so far.
        prop_assume!(parts.headers.get_all("content-length").iter().count() < 2);
        let path = parts.uri.path_and_query().unwrap().to_string();
        let parts = forwarded(parts, has_body);
        let text = written(&parts);
        let (read_method, read_target, lines) = read(&text).unwrap();
        prop_assert_eq!(read_method, method);
        prop_assert_eq!(read_target, path);
        prop_assert_eq!(lines.len(), parts.headers.len());
        let count = |name: &str| lines.iter().filter(|line| line.0 == name).count();
        prop_assert_eq!(count("host"), 1);
        prop_assert!(count("content-length") + count("transfer-encoding") <= 1, "{}", text);
        prop_assert!(count("connection") <= 1 && count("upgrade") <= 1 && count("te") <= 1);
        if vetted.protocol != Protocol::WebSocket {
            prop_assert_eq!(count("upgrade"), 0);
        }
        for (name, _) in &lines {
            let folded = name.replace(['_', '.'], "-");
            let is_other = folded != *name;
            prop_assert!(!is_other || !["content-length", "transfer-encoding", "keep-alive"]
                .contains(&folded.as_str()), "{}", name);
        }
    }

    #[test]
    fn no_reserved_name_of_a_client_survives(
        names in prop::collection::vec(any_name(), 0..30),
        is_trusted in any::<bool>(),
    ) {
        let mut parts = request("/", &[("host", "app.example")]);
        for name in &names {
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            let deciding = ["host", "connection", "expect", "transfer-encoding"];
            prop_assume!(!deciding.contains(&name.as_str()));
            parts.headers.append(name, HeaderValue::from_static("<evil>"));
        }
        // Not even a trusted peer can say what makes no sense.
        let trusted: &[&str] = if is_trusted { &["192.0.2.7/32"] } else { &[] };
        let listener = listener(trusted, ForwardedFields::XForwarded);
        let parts = forwarded_by(parts, &listener, &[], false);
        for (name, value) in &parts.headers {
            prop_assert!(fate(name.as_str()) != Fate::Hop, "{name}");
            prop_assert!(!is_reserved(name.as_str()) || value != "<evil>", "{name}");
        }
    }
}

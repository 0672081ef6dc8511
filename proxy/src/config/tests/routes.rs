//! Routes and header fields: what each key becomes, and what is said about those that contradict
//! each other. What else only HTTP has is in `http`.

use super::*;

/// What is behind the listener of `LEAST` with `keys` added to it.
pub(super) fn behind(keys: &str) -> Behind {
    let text = LEAST.replace("[backend", &format!("{keys}\n[backend"));
    match parse(&text).unwrap().listeners.remove(0).sites {
        Sites::Any(behind) => behind,
        Sites::Named(sites) => unreachable!("{sites:?}"),
    }
}

/// The route that `keys` make with the path `/api/`.
fn route(keys: &str) -> Route {
    behind(&format!("routes = [{{ path = '/api/', {keys} }}]")).routes.remove(1)
}

/// The lines about keys of a listener.
pub(super) fn faults(keys: &str) -> Vec<String> {
    let text = LEAST.replace("backend = 'app'\n", "");
    let text = text.replace("[backend", &format!("{keys}\n[backend"));
    parse(&text).unwrap_err().iter().map(ToString::to_string).collect()
}

/// Checks the one line that comes of each listener with `backend` and these keys.
pub(super) fn check(cases: &[(&str, &str)]) {
    for (keys, expected) in cases {
        let lines = faults(&format!("backend = 'app'\n{keys}"));
        assert_eq!(lines, [format!("config.toml:4: listener.https.{expected}")], "{keys}");
    }
}

/// The same for the keys of a route with the path `/a`.
fn check_route(cases: &[(&str, &str)]) {
    for (keys, expected) in cases {
        let keys = format!("routes = [{{ path = '/a', {keys} }}]");
        check(&[(&keys, &format!("routes[0]{expected}"))]);
    }
}

#[test]
fn the_backend_of_a_listener_is_the_route_of_every_path_that_no_other_is_for() {
    let behind = behind(
        "routes = [{ path = '/api/', backend = 'app' }, \
         { path = '/', exact = true, respond = {} }]",
    );
    let paths: Vec<_> = behind.routes.iter().map(|route| (&*route.path, route.matching)).collect();
    let (prefix, exact) = (PathMatch::Prefix, PathMatch::Exact);
    assert_eq!(paths, [("/", prefix), ("/api/", prefix), ("/", exact)]);
    let text = LEAST.replace("backend = 'app'", "routes = [{ path = '/a', backend = 'app' }]");
    match parse(&text).unwrap().listeners.remove(0).sites {
        Sites::Any(behind) => assert_eq!(behind.routes.len(), 1),
        Sites::Named(sites) => unreachable!("{sites:?}"),
    }
}

#[test]
fn sites_have_routes_of_their_own() {
    let text = "[listener.a]\nlisten = ['[::]:1']\n\
                [[listener.a.site]]\nhosts = ['a.example']\nhsts = 'max-age=1'\n\
                [[listener.a.site.routes]]\npath = '/'\nbackend = 'b'\n\
                [[listener.a.site.routes]]\npath = '/old'\nredirect.to = '/new'\n\
                [backend.b]\nendpoints = ['h:1']\n";
    let sites = match parse(text).unwrap().listeners.remove(0).sites {
        Sites::Named(sites) => sites,
        Sites::Any(behind) => unreachable!("{behind:?}"),
    };
    assert_eq!(sites[0].behind.hsts.as_ref().unwrap(), "max-age=1");
    assert_eq!(sites[0].behind.routes.len(), 2);
}

#[test]
fn a_route_says_what_happens() {
    let forward = |rewrite| format!("{:?}", Action::Forward { backend: 0, rewrite });
    let action = |keys: &str| format!("{:?}", route(keys).action);
    assert_eq!(action("backend = 'app'"), forward(Rewrite::Keep));
    assert_eq!(action("backend = 'app', strip = true"), forward(Rewrite::Replace("".into())));
    assert_eq!(
        action("backend = 'app', replace = '/v1/'"),
        forward(Rewrite::Replace("/v1/".into()))
    );
    let redirect = |status, to: &str| {
        let status = ::http::StatusCode::from_u16(status).unwrap();
        format!("{:?}", Action::Redirect { status, to: to.into() })
    };
    assert_eq!(action("redirect.to = '/b'"), redirect(308, "/b"));
    assert_eq!(action("redirect = { to = '/b', status = 302 }"), redirect(302, "/b"));
    match route("respond = { status = 503, body = 'later', content_type = 'a/b' }").action {
        Action::Respond { status, body, content_type } => {
            assert_eq!((status.as_u16(), &*body), (503, "later"));
            assert_eq!(content_type, "a/b");
        }
        other => unreachable!("{other:?}"),
    }
    let route = route(
        "backend = 'app', max_body = '10 MiB', response_head_timeout = '1s', trailers = true, \
         response_body_timeout = '2s', request_body_timeout = '3s'",
    );
    let secs = |secs| Some(Duration::from_secs(secs));
    assert_eq!((route.body_bytes_max, route.trailers), (Some(10 << 20), true));
    assert_eq!((route.response_head_timeout, route.response_body_timeout), (secs(1), secs(2)));
    assert_eq!(route.request_body_timeout, secs(3));
}

#[test]
fn each_path_stands_once_and_does_one_thing() {
    check(&[
        (
            "routes = [{ path = '/', backend = 'app' }]",
            "routes[0].path: another route has the path `/` already",
        ),
        (
            "routes = [{ path = '/a', respond = {} }, { path = '/a', backend = 'app' }]",
            "routes[1].path: another route has the path `/a` already",
        ),
        (
            "routes = [{ path = '/a' }]",
            "routes[0]: a route needs a `backend`, `redirect` or `respond`",
        ),
        (
            "routes = [{ path = '/a', backend = 'app', respond = {} }]",
            "routes[0]: a route has one of `backend`, `redirect` and `respond`",
        ),
        (
            "routes = [{ path = '/a', backend = 'ap' }]",
            "routes[0].backend: unknown backend `ap`; did you mean `app`?",
        ),
        ("routes = [{ backend = 'app' }]", "routes[0].path: missing"),
        ("routes = []", "routes: at least one is needed"),
    ]);
    let path = "is not a path: expected `/`, then visible ASCII without `?` and `#`";
    let hint = "write it percent-encoded, as clients send it";
    check(&[
        ("routes = [{ path = 'api', respond = {} }]", &format!("routes[0].path: `api` {path}")),
        ("routes = [{ path = '/a?b', respond = {} }]", &format!("routes[0].path: `/a?b` {path}")),
        (
            "routes = [{ path = '/ä', respond = {} }]",
            &format!("routes[0].path: `/ä` {path}; {hint}"),
        ),
    ]);
}

#[test]
fn rewrites_do_not_contradict_themselves() {
    check_route(&[
        (
            "backend = 'app', strip = true, replace = '/b'",
            ".strip: `strip` and `replace` exclude each other; `strip` alone is enough if nothing \
             takes its place",
        ),
        (
            "backend = 'app', strip = true, exact = true",
            ".strip: nothing remains of an exact path without it; say what takes its place: \
             `replace = \"/…\"`",
        ),
        (
            "backend = 'app', replace = 'b'",
            ".replace: `b` is not a path: expected `/`, then visible ASCII without `?` and `#`",
        ),
        ("respond = {}, strip = true", ".strip: only a route with a `backend` has it"),
        ("respond = {}, max_body = '1 B'", ".max_body: only a route with a `backend` has it"),
        ("redirect.to = '/', trailers = true", ".trailers: only a route with a `backend` has it"),
        (
            "redirect.to = '/', request_headers = {}",
            ".request_headers: only a route with a `backend` has it",
        ),
    ]);
}

#[test]
fn no_client_chooses_the_host_that_it_is_sent_to() {
    for to in [
        "https://{host}{path}",
        "https://{host}:8443{path}",
        "https://www.{host}/{rest}?from={host}",
        "http://a.example/x",
        "https://a.example{path}",
        "https://a.example/{rest}",
        "https://a.example?to={path}",
        "/x{rest}",
        "/x/{path}",
        "/",
    ] {
        route(&format!("redirect.to = '{to}'"));
    }
    for to in [
        "https://a.example{rest}",
        "https://{rest}",
        "https://{host}{rest}",
        "https://a.example:80{rest}/",
        "https://user@a.example/",
        "{path}",
        "{rest}",
        "//a.example/",
        "/{path}",
        "/{rest}",
    ] {
        let expected = format!(
            ".redirect.to: `{to}` leaves it to the client where it is sent; put a host before it, \
             as `https://{{host}}{{path}}`"
        );
        check_route(&[(&format!("redirect.to = '{to}'"), &expected)]);
    }
}

#[test]
fn redirects_and_fixed_responses_are_what_http_allows() {
    let place = "is not a URL or a path: expected `https://…`, `http://…` or `/…`; as \
                 `https://www.example.com{path}`";
    for to in ["", "a.example", "javascript:alert(1)", "https://", "https://{path}", "/a b", "/ä"]
    {
        let expected = format!(".redirect.to: `{to}` {place}");
        check_route(&[(&format!("redirect.to = '{to}'"), &expected)]);
    }
    for to in ["/{query}", "/{", "/}", "https://{host{path}}/"] {
        let lines = faults(&format!("routes = [{{ path = '/a', redirect.to = '{to}' }}]"));
        assert!(lines[0].contains("has braces around something else"), "{lines:?}");
    }
    check_route(&[
        (
            "redirect = { to = '/', status = 304 }",
            ".redirect.status: 304 does not send a client elsewhere: expected 301, 302, 303, 307 \
             or 308",
        ),
        (
            "redirect = { to = '/', status = 200 }",
            ".redirect.status: out of range: expected 300 to 399",
        ),
        ("redirect = {}", ".redirect.to: missing"),
        ("respond.status = 101", ".respond.status: out of range: expected 200 to 599"),
        (
            "respond = { status = 204, body = 'x' }",
            ".respond.body: a response with status 204 has no content",
        ),
        (
            "respond.content_type = \"a\\r\\nb\"",
            ".respond.content_type: not a value of a header field: expected visible ASCII and \
             spaces",
        ),
    ]);
}

#[test]
fn header_fields_are_removed_then_set_then_added() {
    let route = route(
        "backend = 'app', request_headers = { add = { X-B = '1', X-A = '2' }, set = { x-c = '3' }, \
         remove = ['Cookie', 'Authorization'] }, response_headers.remove = ['Server']",
    );
    let name = |name: &str| ::http::HeaderName::try_from(name).unwrap();
    let value = ::http::HeaderValue::from_static;
    let expected = [
        FieldEdit::Remove(name("cookie")),
        FieldEdit::Remove(name("authorization")),
        FieldEdit::Set(name("x-c"), value("3")),
        FieldEdit::Add(name("x-b"), value("1")),
        FieldEdit::Add(name("x-a"), value("2")),
    ];
    assert_eq!(route.request_fields, expected);
    assert_eq!(route.response_fields, [FieldEdit::Remove(name("server"))]);
}

#[test]
fn fields_that_are_not_the_operators_cannot_be_changed() {
    let framing = "is what messages are framed with";
    let hop = "is for one connection only and never passes";
    let ours = "tells backends who the client is, and is ours alone";
    for (name, words) in [
        ("Content-Length", framing),
        ("Transfer_Encoding", hop),
        ("Trailer", framing),
        ("Connection", hop),
        ("keep.alive", hop),
        ("TE", hop),
        ("Proxy-Authorization", hop),
        ("HTTP2-Settings", hop),
        ("Host", "says which site is meant, and passes as it is"),
        ("Forwarded", ours),
        ("X_Forwarded_For", ours),
        ("X-Real-IP", ours),
        ("x.request.id", ours),
        ("Client-Cert", ours),
        ("X-Tls-Version", ours),
        ("SSL_CLIENT_S_DN", ours),
    ] {
        let shown = name.to_lowercase();
        let expected = format!(".request_headers.remove[0]: `{shown}` {words}");
        check_route(&[(
            &format!("backend = 'app', request_headers.remove = ['{name}']"),
            &expected,
        )]);
        for way in ["set", "add"] {
            let keys = format!("backend = 'app', request_headers.{way} = {{ '{name}' = '1' }}");
            check_route(&[(&keys, &format!(".request_headers.{way}.{name}: `{shown}` {words}"))]);
        }
    }
    check_route(&[
        (
            "respond = {}, response_headers.set = { Strict-Transport-Security = 'max-age=1' }",
            ".response_headers.set.Strict-Transport-Security: `strict-transport-security` is set \
             by `hsts`",
        ),
        (
            "respond = {}, response_headers.remove = ['Content-Length']",
            ".response_headers.remove[0]: `content-length` is what messages are framed with",
        ),
        (
            "backend = 'app', request_headers.remove = ['a b']",
            ".request_headers.remove[0]: `a b` is not the name of a header field",
        ),
        (
            "backend = 'app', request_headers.set = { x = \"a\\nb\" }",
            ".request_headers.set.x: not a value of a header field: expected visible ASCII and \
             spaces",
        ),
        (
            "backend = 'app', request_headers = { remove = ['X'], set = { x = '1' } }",
            ".request_headers.set.x: `x` stands here twice",
        ),
        (
            "backend = 'app', request_headers.set = 'x'",
            ".request_headers.set: expected names with texts, as `{ name = \"…\" }`, found a \
             text",
        ),
    ]);
}

#[test]
fn a_value_out_of_a_variable_is_not_shown() {
    let keys = "backend = 'app', request_headers.set = { X-Key = '${ADMIN_TOKEN}' }";
    let route = route(keys);
    assert!(!format!("{route:?}").contains("secret"), "{route:?}");
    match &route.request_fields[..] {
        [FieldEdit::Set(_, value)] => assert_eq!(value, "0123456789-secret-of-env"),
        other => unreachable!("{other:?}"),
    }
}

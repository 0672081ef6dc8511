//! Which route a request takes, and what the route makes of it and of its answer.
//!
//! curl asks, in both versions of HTTP, and says for itself where a redirect would take it.

use portunus_tests::foreign::{Output, curl_for, url};
use portunus_tests::{Http, Proxy, http, https, raw, silent};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{NAME, ask, connect, get};

const VERSIONS: [&str; 2] = ["--http1.1", "--http2"];
const OTHER: &str = "other.example";

/// A proxy with these keys of the site [`NAME`], and the backends `app` and `api`.
async fn proxy(keys: &str, app: &Http, api: &Http) -> Proxy {
    let listener = https(OTHER).site_with(NAME, "app", keys);
    let builder = Proxy::builder().listener(listener).backend(app);
    builder.backend_named("api", api).start().await
}

/// The answer as curl has it, head and content; `None` where there is no curl.
async fn curl(proxy: &Proxy, options: &[&str], path: &str) -> Option<String> {
    Some(run(proxy, options, path).await?.expect_success().to_lowercase())
}

async fn run(proxy: &Proxy, options: &[&str], path: &str) -> Option<Output> {
    let curl = curl_for(proxy, NAME)?.args(["-sS", "-i", "--path-as-is"]).args(options);
    Some(curl.arg(url(proxy, NAME, path)).run().await)
}

#[track_caller]
fn assert_status(answer: &str, status: u16) {
    let line = answer.lines().next().unwrap_or_default();
    assert!(line.split(' ').nth(1) == Some(&status.to_string()), "not {status}: {answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_longest_path_wins_and_an_exact_one_before_it() {
    let (app, api) = (http(), http());
    let keys = "routes = [{ path = '/api/', backend = 'api' }, { path = '/api/app/', \
                backend = 'app' }, { path = '/api/app/', exact = true, backend = 'api' }]";
    let proxy = proxy(keys, &app, &api).await;
    for (path, is_api) in [
        ("/", false),
        ("/api", false),
        ("/api/", true),
        ("/api/x?y=z", true),
        ("/api/app/", true),
        ("/api/app/x", false),
        ("/API/", false),
        ("//api/", false),
        // Nothing is decoded or resolved: what is not spelled so is not meant.
        ("/%61pi/", false),
        ("/x/../api/", false),
        ("/api/../", true),
        ("/api/%2e%2e/", true),
    ] {
        for version in VERSIONS {
            let before = (app.seen().len(), api.seen().len());
            let Some(answer) = curl(&proxy, &[version], path).await else { return };
            assert_status(&answer, 200);
            let after = (app.seen().len() - before.0, api.seen().len() - before.1);
            assert_eq!(after, if is_api { (0, 1) } else { (1, 0) }, "{version} {path}");
            let seen = if is_api { api.last() } else { app.last() };
            assert_eq!(seen.target, path, "the target passes byte by byte");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_is_stripped_or_replaced_and_stays_a_path() {
    let (app, api) = (http(), http());
    let keys = "routes = [{ path = '/strip/', backend = 'api', strip = true }, { path = '/bare', \
                backend = 'api', strip = true }, { path = '/old/', backend = 'api', \
                replace = '/new' }, { path = '/one', exact = true, backend = 'api', \
                replace = '/two' }]";
    let proxy = proxy(keys, &app, &api).await;
    for (path, target) in [
        ("/strip/", "/"),
        ("/strip/a%2Fb//c?d=/strip/", "/a%2Fb//c?d=/strip/"),
        ("/strip/?q", "/?q"),
        ("/bare", "/"),
        ("/bare?q", "/?q"),
        ("/barefoot", "/foot"),
        ("/bare//evil.example/", "/evil.example/"),
        ("/strip//evil.example/", "/evil.example/"),
        ("/old/", "/new/"),
        ("/old/x?y", "/new/x?y"),
        ("/one?x=y", "/two?x=y"),
    ] {
        for version in VERSIONS {
            let Some(answer) = curl(&proxy, &[version], path).await else { return };
            assert_status(&answer, 200);
            assert_eq!(api.last().target, target, "{version} {path}");
        }
    }
    assert_eq!(app.seen().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_leads_where_the_operator_meant_and_nowhere_else() {
    let (app, api) = (http(), http());
    let keys = "routes = [{ path = '/all', redirect = { to = 'https://new.example{path}' } }, \
                { path = '/sub/', redirect = { to = 'https://new.example/deep/{rest}', \
                status = 302 } }, { path = '/host', redirect = { to = \
                'https://www.{host}{path}', status = 301 } }, { path = '/local', redirect = \
                { to = '/here{rest}', status = 307 } }]";
    let proxy = proxy(keys, &app, &api).await;
    let own = url(&proxy, NAME, "");
    for (path, status, location) in [
        ("/all/a?b=c", 308, "https://new.example/all/a?b=c"),
        ("/all@evil.example", 308, "https://new.example/all@evil.example"),
        ("/sub/a?b=c", 302, "https://new.example/deep/a?b=c"),
        ("/sub//evil.example", 302, "https://new.example/deep//evil.example"),
        ("/host/x", 301, "https://www.app.example/host/x"),
        ("/local/x", 307, &format!("{own}/here/x")),
        ("/local//evil.example", 307, &format!("{own}/here//evil.example")),
        ("/local.evil.example", 307, &format!("{own}/here/.evil.example")),
    ] {
        for version in VERSIONS {
            let Some(curl) = curl_for(&proxy, NAME) else { return };
            let curl = curl.args(["-sS", "--path-as-is", version, "-o", "/dev/null"]);
            let curl = curl.args(["-w", "%{http_code} %{redirect_url}", &url(&proxy, NAME, path)]);
            let told = curl.run().await.expect_success();
            assert_eq!(told, format!("{status} {location}"), "{version} {path}");
        }
    }
    assert_eq!(app.seen().len() + api.seen().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_of_the_configuration_is_a_whole_one() {
    let (app, api) = (http(), http());
    let keys = "routes = [{ path = '/robots.txt', exact = true, respond = { body = \
                'User-agent: *' } }, { path = '/gone', respond = { status = 410, body = \
                '{\"gone\": true}', content_type = 'application/json' } }, { path = '/empty', \
                respond = { status = 204 } }]";
    let proxy = proxy(keys, &app, &api).await;
    for version in VERSIONS {
        let Some(answer) = curl(&proxy, &[version], "/robots.txt").await else { return };
        assert_status(&answer, 200);
        assert!(answer.contains("\r\ncontent-length: 13\r\n"), "{answer}");
        assert!(answer.contains("\r\ncontent-type: text/plain; charset=utf-8\r\n"), "{answer}");
        assert!(answer.ends_with("\r\n\r\nuser-agent: *"), "{answer}");
        let head = curl(&proxy, &[version, "-I"], "/robots.txt").await.unwrap();
        assert_status(&head, 200);
        assert!(head.contains("\r\ncontent-length: 13\r\n"), "{head}");
        assert!(head.ends_with("\r\n\r\n"), "{head}");
        let gone = curl(&proxy, &[version], "/gone/and/away").await.unwrap();
        assert_status(&gone, 410);
        assert!(gone.contains("\r\ncontent-type: application/json\r\n"), "{gone}");
        assert!(gone.ends_with("\r\n\r\n{\"gone\": true}"), "{gone}");
        let empty = curl(&proxy, &[version], "/empty").await.unwrap();
        assert_status(&empty, 204);
        assert!(!empty.contains("content-length"), "{empty}");
        assert!(empty.ends_with("\r\n\r\n"), "{empty}");
        // What is sent along is taken, lest the client believe that the answer broke off.
        for _ in 0..5 {
            let gone = curl(&proxy, &[version, "-d", "a=b"], "/gone").await.unwrap();
            assert_status(&gone, 410);
        }
    }
    assert_eq!(app.seen().len() + api.seen().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_of_a_site_says_that_it_needs_tls() {
    let (app, api) = (http(), http());
    let keys = "hsts = 'max-age=31536000; includeSubDomains'\nroutes = [{ path = '/nobody', \
                backend = 'nobody' }, { path = '/moved', redirect = { to = \
                'https://new.example/' } }, { path = '/small', backend = 'api', max_body = '1 B' \
                }, { path = '/set', backend = 'api', response_headers = { set = { \
                X-Frame-Options = 'DENY' }, remove = ['X-Own'], add = { Vary = 'x' } } }]";
    let listener = https(OTHER).site_with(NAME, "app", keys);
    let builder = Proxy::builder().listener(listener).backend(&app).backend_named("api", &api);
    let nobody = portunus_tests::unreachable();
    let proxy = builder.backend_named("nobody", &nobody).start().await;
    for version in VERSIONS {
        for (options, path, status) in [
            (&[][..], "/", 200),
            (&[], "/nobody", 503),
            (&[], "/moved", 308),
            (&["-d", "too much"], "/small", 413),
            (&[], "/set", 200),
        ] {
            let options = [&[version], options].concat();
            let Some(answer) = curl(&proxy, &options, path).await else { return };
            assert_status(&answer, status);
            let line = "\r\nstrict-transport-security: max-age=31536000; includesubdomains\r\n";
            assert_eq!(answer.matches(line).count(), 1, "{version} {path}: {answer}");
            let is_set = answer.contains("\r\nx-frame-options: deny\r\n");
            assert_eq!(is_set && answer.contains("\r\nvary: x\r\n"), path == "/set", "{answer}");
        }
        // Another site has not said so.
        let Some(curl) = curl_for(&proxy, OTHER) else { return };
        let other = curl.args(["-sS", "-i", version, &url(&proxy, OTHER, "/")]);
        assert!(!other.run().await.expect_success().contains("trict-"), "{version}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_backend_gets_the_fields_that_the_operator_wants() {
    let (app, api) = (http(), http());
    let keys = "routes = [{ path = '/', exact = true, backend = 'api', request_headers = { \
                remove = ['Cookie', 'x-drop'], set = { X-Env = 'prod' }, add = { X-More = 'b' } \
                } }]";
    let proxy = proxy(keys, &app, &api).await;
    let fields = ["Cookie: a=b", "X-Drop: 1", "X-Env: evil", "X-More: a", "X-Keep: k"];
    for version in VERSIONS {
        let mut options = vec![version];
        for field in fields {
            options.extend(["-H", field]);
        }
        let Some(answer) = curl(&proxy, &options, "/").await else { return };
        assert_status(&answer, 200);
        let seen = api.last();
        for (name, value) in
            [("cookie", ""), ("x-drop", ""), ("x-env", "prod"), ("x-more", "a|b"), ("x-keep", "k")]
        {
            assert_eq!(seen.field(name), value, "{version} {name}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_beyond_the_limit_of_its_route_is_refused() {
    let (app, api) = (http(), http());
    let keys = "routes = [{ path = '/small', backend = 'api', max_body = '4 KiB' }]";
    let proxy = proxy(keys, &app, &api).await;
    let folder = tempfile::tempdir().unwrap();
    let file = |bytes: usize| {
        let path = folder.path().join(bytes.to_string());
        std::fs::write(&path, vec![b'x'; bytes]).unwrap();
        format!("@{}", path.display())
    };
    let (fits, beyond) = (file(4096), file(4097));
    for version in VERSIONS {
        for (body, coding, status) in [
            (&fits, "X-No: coding", 200),
            (&fits, "Transfer-Encoding: chunked", 200),
            (&beyond, "X-No: coding", 413),
            (&beyond, "Transfer-Encoding: chunked", 413),
        ] {
            let options = [version, "--data-binary", body, "-H", coding];
            // Over HTTP/2 a stream is reset whose body is cut, which curl says of it.
            let Some(output) = run(&proxy, &options, "/small").await else { return };
            assert_status(&output.text(), status);
        }
        // Elsewhere there is no limit.
        let options = [version, "--data-binary", &beyond];
        assert_status(&curl(&proxy, &options, "/").await.unwrap(), 200);
    }
    for seen in api.seen() {
        assert!(!seen.complete || seen.body.len() <= 4096, "{}", seen.body.len());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_is_as_patient_as_it_says() {
    let app = http();
    let keys = "routes = [{ path = '/mute', backend = 'mute', response_head_timeout = '300ms' }, \
                { path = '/half', backend = 'half', response_body_timeout = '300ms' }, { path = \
                '/late', backend = 'app', request_body_timeout = '300ms' }]";
    let half = raw(|mut stream, _| async move {
        let _ = stream.read(&mut [0; 4096]).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf").await;
        std::future::pending::<()>().await;
    });
    let listener = https(OTHER).site_with(NAME, "app", keys);
    let builder = Proxy::builder().listener(listener).backend(&app).backend_named("half", half);
    let proxy = builder.backend_named("mute", silent()).start().await;
    assert_eq!(ask(&proxy, get("/mute", "")).await.unwrap().status, 504);
    assert!(ask(&proxy, get("/half", "")).await.is_none(), "half an answer is none");
    let late = format!("POST /late HTTP/1.1\r\nHost: {NAME}\r\nContent-Length: 9\r\n\r\nhalf");
    assert_eq!(ask(&proxy, late).await.unwrap().status, 408);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_is_not_served_gets_no_backend_whatsoever() {
    for (keys, status) in [(None, 421), (Some("\"404\""), 404)] {
        let backend = http();
        let mut listener = https(NAME).site(OTHER, "app");
        if let Some(value) = keys {
            listener = listener.with("unknown_host", value);
        }
        let proxy = Proxy::builder().listener(listener).backend(&backend).start().await;
        for host in
            ["nobody.example", "x.app.example", "app.example.evil", "127.0.0.1", "[::1]:443"]
        {
            let field = format!("Host: {host}");
            for version in VERSIONS {
                let Some(answer) = curl(&proxy, &[version, "-H", &field], "/").await else {
                    return;
                };
                assert_status(&answer, status);
            }
        }
        assert_eq!(backend.seen().len(), 0);
        // A site of the same policy is served on the same connection.
        let field = format!("Host: {OTHER}:8443");
        assert_status(&curl(&proxy, &["-H", &field], "/").await.unwrap(), 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_backend_for_the_rest_there_is_nothing() {
    let api = http();
    let keys = "routes = [{ path = '/api/', backend = 'api' }]";
    let listener = https(OTHER).site_with(NAME, "", keys);
    let builder = Proxy::builder().listener(listener).backend(&api);
    let proxy = builder.backend_named("api", &api).start().await;
    for version in VERSIONS {
        let Some(answer) = curl(&proxy, &[version], "/").await else { return };
        assert_status(&answer, 404);
        assert_eq!(api.seen().len(), usize::from(version == "--http2"));
        assert_status(&curl(&proxy, &[version], "/api/").await.unwrap(), 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_routes_are_as_good_as_one() {
    let (app, api) = (http(), http());
    let route = |number| format!("{{ path = '/{number}/', backend = 'api', strip = true }}");
    let routes: Vec<String> = (0..10_000).map(route).collect();
    let proxy = proxy(&format!("routes = [{}]", routes.join(", ")), &app, &api).await;
    let mut client = connect(&proxy).await;
    let mut buffer = Vec::new();
    for number in (0..10_000).step_by(97) {
        client.send(get(&format!("/{number}/here/{number}"), "").as_bytes()).await;
        let answer = portunus_tests::read_response(&mut client, &mut buffer).await.unwrap();
        assert_eq!(answer.status, 200);
        assert_eq!(api.last().target, format!("/here/{number}"));
    }
    assert_eq!(ask(&proxy, get("/10000/", "")).await.unwrap().status, 200);
    assert_eq!(app.last().target, "/10000/");
}

/// A backend of gRPC says how it went behind its content, in any case.
#[tokio::test(flavor = "multi_thread")]
async fn trailer_fields_pass_where_they_are_wanted() {
    let backend = raw(|mut stream, _| async move {
        let mut head = [0; 4096];
        while let Ok(1..) = stream.read(&mut head).await {
            let answer =
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: Grpc-Status\r\n\
                           \r\n2\r\nok\r\n0\r\nGrpc-Status: 0\r\nSet-Cookie: a=b\r\n\r\n";
            let _ = stream.write_all(answer).await;
        }
    });
    let keys = "routes = [{ path = '/with', backend = 'app', trailers = true }]";
    let listener = https(OTHER).site_with(NAME, "app", keys);
    let proxy = Proxy::builder().listener(listener).backend(backend).start().await;
    let grpc = "Content-Type: application/grpc+proto";
    for (path, kind, passes) in [("/", "A: b", false), ("/with", "A: b", true), ("/", grpc, true)] {
        for version in VERSIONS {
            let options = [version, "-H", "TE: trailers", "-H", kind];
            let Some(answer) = curl(&proxy, &options, path).await else { return };
            assert_eq!(answer.contains("grpc-status: 0"), passes, "{version} {path}: {answer}");
            assert!(!answer.contains("set-cookie"), "{answer}");
        }
    }
}

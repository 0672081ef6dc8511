//! What a route does to a request and to its answer, whoever gives it.

use super::identity::page;
use super::*;
use crate::config::{Action, Behind, FieldEdit, Rewrite, UnknownHost};
use http::header::{COOKIE, SERVER};
use http::{HeaderName, HeaderValue, StatusCode};

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

const SITE: &[Place] =
    &[Place { host: "app.example", client_auth: None, forward: ClientCertForward::None }];

/// A client in front of a site with one route, which forwards to a backend that follows `script`.
pub(super) async fn client(script: Vec<Step>, tweak: impl FnOnce(&mut config::Route)) -> Client {
    let mut behind = Behind::forwarding(0);
    tweak(&mut behind.routes[0]);
    client_of(script, behind).await
}

async fn client_of(script: Vec<Step>, behind: Behind) -> Client {
    Client::at(vec![script], |addr| service_of(addr, |_| {}, SITE, &behind, |_| {}), facts()).await
}

/// One more route, which is answered by `action`.
fn also(behind: &mut Behind, path: &str, action: Action) {
    let route = Behind::forwarding(0).routes.remove(0);
    behind.routes.push(config::Route { path: path.into(), action, ..route });
}

fn respond(status: u16, body: &str) -> Action {
    Action::Respond {
        status: StatusCode::from_u16(status).unwrap(),
        body: body.into(),
        content_type: HeaderValue::from_static("text/plain"),
    }
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: app.example\r\n\r\n")
}

#[tokio::test]
async fn the_backend_gets_the_path_that_the_route_makes() {
    let mut client = client(vec![say(OK)], |route| {
        route.path = "/api/".into();
        let rewrite = Rewrite::Replace("/v2".into());
        route.action = Action::Forward { backend: 0, rewrite };
    })
    .await;
    client.send(&get("/api/a%2fb?c=/api/")).await;
    client.read_until("ok").await;
    assert!(client.backend_received().starts_with("GET /v2/a%2fb?c=/api/ HTTP/1.1\r\n"));
    client.send(&get("/other")).await;
    assert!(page(&mut client).await.starts_with("HTTP/1.1 404 Not Found\r\n"));
}

#[tokio::test]
async fn answers_of_the_configuration_need_no_backend() {
    let mut behind = Behind { routes: Vec::new(), hsts: None };
    also(&mut behind, "/robots.txt", respond(200, "none\n"));
    also(&mut behind, "/empty", respond(204, "none\n"));
    also(&mut behind, "/same", respond(304, "none\n"));
    also(&mut behind, "/reset", respond(205, "none\n"));
    let redirect =
        Action::Redirect { status: StatusCode::FOUND, to: "https://{host}/to{rest}".into() };
    also(&mut behind, "/old", redirect);
    let mut client = client_of(vec![], behind).await;
    // On one connection: each answer ends where it should.
    client.send(&get("/robots.txt")).await;
    let answer = client.read_until("none\n").await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert_lines(&answer, &["content-length: 5", "content-type: text/plain"]);
    for (method, path, status, length) in [
        ("HEAD", "/robots.txt", "200 OK", Some("content-length: 5")),
        ("GET", "/empty", "204 No Content", None),
        ("GET", "/same", "304 Not Modified", None),
        ("GET", "/reset", "205 Reset Content", Some("content-length: 0")),
        ("GET", "/old/a?b", "302 Found", Some("content-length: 0")),
        ("HEAD", "/old/a?b", "302 Found", Some("content-length: 0")),
    ] {
        client.send(&format!("{method} {path} HTTP/1.1\r\nHost: app.example\r\n\r\n")).await;
        let answer = client.read_until("\r\n\r\n").await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{answer}");
        let found = answer.split("\r\n").find(|line| line.starts_with("content-length"));
        assert_eq!(found, length, "{answer}");
        if path.starts_with("/old") {
            assert_lines(&answer, &["location: https://app.example/to/a?b"]);
        }
    }
    assert!(client.backend_connections().is_empty());
}

#[tokio::test]
async fn a_short_body_that_nobody_wants_does_not_end_the_connection() {
    let mut behind = Behind { routes: Vec::new(), hsts: None };
    also(&mut behind, "/fixed", respond(200, "fixed\n"));
    let mut client = client_of(vec![], behind).await;
    let post = "POST /fixed HTTP/1.1\r\nHost: app.example\r\nContent-Length: 4\r\n\r\n";
    for _ in 0..2 {
        client.send(post).await;
        // The rest of it comes a little later.
        tokio::task::yield_now().await;
        client.send("body").await;
        let answer = client.read_until("fixed\n").await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        assert!(!answer.contains("connection: close"), "{answer}");
    }
    // A body that waits for leave does not come, and one that is late is not waited for long.
    for request in [
        post.replace("\r\n\r\n", "\r\nExpect: 100-continue\r\n\r\n"),
        post.replace("Content-Length: 4", "Content-Length: 40000"),
    ] {
        let mut behind = Behind { routes: Vec::new(), hsts: None };
        also(&mut behind, "/fixed", respond(200, "fixed\n"));
        let mut client = client_of(vec![], behind).await;
        client.send(&request).await;
        let answer = client.read_until("fixed\n").await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_does_not_wait_long_for_a_short_body() {
    let mut behind = Behind { routes: Vec::new(), hsts: None };
    also(&mut behind, "/fixed", respond(200, "fixed\n"));
    let mut client = client_of(vec![], behind).await;
    let start = tokio::time::Instant::now();
    client.send("POST /fixed HTTP/1.1\r\nHost: app.example\r\nContent-Length: 4\r\n\r\nbod").await;
    client.read_until("fixed\n").await;
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
}

#[tokio::test]
async fn every_answer_of_a_route_has_its_fields() {
    let edits = |route: &mut config::Route| {
        let name = HeaderName::from_static("x-frame-options");
        route.response_fields =
            vec![FieldEdit::Set(name, HeaderValue::from_static("DENY")), FieldEdit::Remove(SERVER)];
    };
    let mut behind = Behind::forwarding(0);
    behind.hsts = Some(HeaderValue::from_static("max-age=31536000"));
    behind.routes[0].path = "/app".into();
    also(&mut behind, "/fixed", respond(200, ""));
    let moved = Action::Redirect { status: StatusCode::FOUND, to: "/app".into() };
    also(&mut behind, "/moved", moved);
    behind.routes.iter_mut().for_each(edits);
    behind.routes[0].body_bytes_max = Some(1);
    let served = "HTTP/1.1 200 OK\r\nserver: x\r\nx-frame-options: ALLOW\r\n\
                  strict-transport-security: max-age=0\r\ncontent-length: 0\r\n\r\n";
    let mut client = client_of(vec![say(served), say("nonsense\r\n\r\n")], behind).await;
    let ours = ["strict-transport-security: max-age=31536000"];
    for (path, status) in [
        ("/app", "200 OK"),
        ("/fixed", "200 OK"),
        ("/moved", "302 Found"),
        ("/nowhere", "404 Not Found"),
        ("/app", "502 Bad Gateway"),
    ] {
        client.send(&get(path)).await;
        let answer = match status {
            "404 Not Found" | "502 Bad Gateway" => page(&mut client).await,
            _ => client.read_until("\r\n\r\n").await,
        };
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{path}: {answer}");
        assert_lines(&answer, &ours);
        assert_eq!(answer.matches("strict-transport-security").count(), 1, "{answer}");
        if path != "/nowhere" {
            assert_lines(&answer, &["x-frame-options: DENY"]);
            assert!(!answer.contains("server: x") && !answer.contains("ALLOW"), "{answer}");
        }
    }
    let post = "POST /app HTTP/1.1\r\nHost: app.example\r\nContent-Length: 2\r\n\r\n";
    client.send(post).await;
    let answer = client.read_to_end().await;
    assert!(answer.starts_with("HTTP/1.1 413 Payload Too Large\r\n"), "{answer}");
    assert_lines(&answer, &ours);
    assert_lines(&answer, &["x-frame-options: DENY", "connection: close"]);
}

#[tokio::test]
async fn the_backend_gets_the_fields_that_the_operator_wants() {
    let mut client = client(vec![say(OK)], |route| {
        let name = HeaderName::from_static("x-env");
        let edits =
            [FieldEdit::Remove(COOKIE), FieldEdit::Set(name, HeaderValue::from_static("prod"))];
        route.request_fields = edits.into();
    })
    .await;
    let head = "GET / HTTP/1.1\r\nHost: app.example\r\nCookie: a\r\nX-Env: test\r\nX-Env: 2";
    client.send(&format!("{head}\r\n\r\n")).await;
    client.read_until("ok").await;
    let received = client.backend_received();
    assert_lines(&received, &["x-env: prod"]);
    assert_eq!(received.matches("x-env").count(), 1, "{received}");
    assert!(!received.contains("cookie"), "{received}");
}

#[tokio::test]
async fn a_body_that_says_that_it_is_too_large_is_refused_before_it_comes() {
    let mut client = client(vec![say(OK)], |route| route.body_bytes_max = Some(4)).await;
    let head = "PUT / HTTP/1.1\r\nHost: app.example\r\nExpect: 100-continue";
    client.send(&format!("{head}\r\nContent-Length: 5\r\n\r\n")).await;
    let answer = client.read_to_end().await;
    assert!(answer.starts_with("HTTP/1.1 413 Payload Too Large\r\n"), "{answer}");
    assert!(client.backend_connections().is_empty());
}

#[tokio::test]
async fn a_body_that_becomes_too_large_is_cut_and_the_backend_hears_no_end() {
    let never = say(OK).after("0\r\n\r\n");
    let mut client = client(vec![never], |route| route.body_bytes_max = Some(4)).await;
    let head = "PUT / HTTP/1.1\r\nHost: app.example\r\nTransfer-Encoding: chunked\r\n\r\n";
    client.send(&format!("{head}4\r\nfour\r\n")).await;
    client.send("1\r\n5\r\n0\r\n\r\n").await;
    let answer = client.read_to_end().await;
    assert!(answer.starts_with("HTTP/1.1 413 Payload Too Large\r\n"), "{answer}");
    for received in client.backend_connections() {
        assert!(!received.ends_with("0\r\n\r\n") && !received.contains("1\r\n5"), "{received}");
    }
}

#[tokio::test]
async fn a_body_at_the_limit_passes() {
    let script = vec![say(OK).after("four"), say(OK).after("4\r\nfour\r\n0\r\n\r\n")];
    let mut client = client(script, |route| route.body_bytes_max = Some(4)).await;
    let head = "PUT / HTTP/1.1\r\nHost: app.example";
    client.send(&format!("{head}\r\nContent-Length: 4\r\n\r\nfour")).await;
    client.read_until("ok").await;
    client
        .send(&format!("{head}\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nfour\r\n0\r\n\r\n"))
        .await;
    client.read_until("ok").await;
}

#[tokio::test(start_paused = true)]
async fn a_route_has_its_own_patience() {
    let second = Some(Duration::from_secs(1));
    let start = tokio::time::Instant::now();
    let silent = say("").after("never");
    let mut backend = client(vec![silent], |route| route.response_head_timeout = second).await;
    backend.send(&get("/")).await;
    let answer = page(&mut backend).await;
    assert!(answer.starts_with("HTTP/1.1 504 "), "{answer}");

    let half = say("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf");
    let backend = client(vec![half], |route| route.response_body_timeout = second).await;
    let (answer, reason) = backend.ask(&get("/")).await;
    assert!(answer.ends_with("half"), "{answer}");
    assert_eq!(reason, CloseReason::Timeout);

    let mut late = client(vec![say(OK).after("never")], |route| {
        route.request_body_timeout = second;
    })
    .await;
    let head = "PUT / HTTP/1.1\r\nHost: app.example\r\nContent-Length: 9\r\n\r\n";
    late.send(head).await;
    let answer = page(&mut late).await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
}

#[tokio::test]
async fn trailers_do_not_pass_unless_the_route_lets_them_or_grpc_needs_them() {
    let answer = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n\
                  2\r\nok\r\n0\r\nx-sum: 5\r\n\r\n";
    let request = "POST / HTTP/1.1\r\nHost: app.example\r\nTE: trailers\r\nTrailer: x-mine\r\n\
                   Transfer-Encoding: chunked\r\n";
    let body = "2\r\nhi\r\n0\r\nx-mine: 6\r\nx-forwarded-for: evil\r\n\r\n";
    // What a client calls gRPC is for backends of HTTP/2, as far as it sends trailers itself.
    for (kind, passes, may) in [
        ("text/plain", false, false),
        ("text/plain", true, true),
        ("application/grpc", false, true),
        ("Application/GRPC+proto", false, true),
        ("application/json", false, false),
    ] {
        let end = if passes { "x-mine: 6\r\n\r\n" } else { "0\r\n\r\n" };
        let mut client =
            client(vec![say(answer).after(end)], |route| route.trailers = passes).await;
        client.send(&format!("{request}Content-Type: {kind}\r\n\r\n{body}")).await;
        let end = if may { "0\r\nx-sum: 5\r\n\r\n" } else { "0\r\n\r\n" };
        let text = client.read_until(end).await;
        assert_eq!(text.contains("x-sum"), may, "{kind} {passes}: {text}");
        let received = client.backend_received();
        assert_eq!(received.contains("x-mine"), passes, "{kind} {passes}: {received}");
        assert_eq!(received.contains("te: trailers"), may, "{kind} {passes}: {received}");
        assert!(!received.contains("evil"), "{received}");
    }
}

#[tokio::test]
async fn what_the_operator_removes_does_not_come_back_in_trailers() {
    let answer = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\
                  x-sum: 5\r\nserver: old\r\n\r\n";
    let end = "0\r\nx-mine: 6\r\n\r\n";
    let mut client = client(vec![say(answer).after(end)], |route| {
        let [role, user] = ["x-role", "x-user"].map(HeaderName::from_static);
        let user = FieldEdit::Set(user, HeaderValue::from_static("nobody"));
        route.request_fields = vec![FieldEdit::Remove(role), user];
        route.response_fields = vec![FieldEdit::Remove(SERVER)];
        route.trailers = true;
    })
    .await;
    let fields = "TE: trailers\r\nTrailer: x-mine, x-role, x-user\r\nTransfer-Encoding: chunked";
    client.send(&format!("POST / HTTP/1.1\r\nHost: app.example\r\n{fields}\r\n\r\n")).await;
    client.send("0\r\nX-Role: root\r\nx-mine: 6\r\nx-user: root\r\n\r\n").await;
    client.read_until("0\r\nx-sum: 5\r\n\r\n").await;
    assert!(!client.backend_received().contains("root"), "{}", client.backend_received());
}

#[tokio::test]
async fn a_host_that_is_not_served_is_answered_as_the_listener_says() {
    for (answer, status) in [(UnknownHost::Misdirected, "421 "), (UnknownHost::NotFound, "404 ")] {
        let make = |addr: &str| {
            let behind = Behind::forwarding(0);
            service_of(addr, |_| {}, SITE, &behind, |listener| listener.unknown_host = answer)
        };
        let mut client = Client::at(vec![vec![say(OK)]], make, facts()).await;
        for host in ["other.example", "app.example.evil", "192.0.2.1", "[::1]:443"] {
            client.send(&format!("HEAD / HTTP/1.1\r\nHost: {host}\r\n\r\n")).await;
            let text = client.read_until("\r\n\r\n").await;
            assert!(text.starts_with(&format!("HTTP/1.1 {status}")), "{host}: {text}");
        }
        assert!(client.backend_connections().is_empty());
    }
}

#[tokio::test]
async fn a_trusted_peer_names_the_request_and_its_client() {
    let make = |addr: &str| {
        let behind = Behind::forwarding(0);
        service_of(
            addr,
            |_| {},
            SITE,
            &behind,
            |listener| {
                listener.trusted_peers = vec!["192.0.2.0/24".parse().unwrap()];
                listener.tls_fields = true;
            },
        )
    };
    let mut client = Client::at(vec![vec![say(OK)]], make, facts()).await;
    let fields = "X-Forwarded-For: 6.6.6.6, 198.51.100.1\r\nX-Request-Id: of-the-edge\r\n\
                  X-Tls-Version: forged\r\nx_tls_sni: forged";
    client.send(&format!("GET / HTTP/1.1\r\nHost: app.example\r\n{fields}\r\n\r\n")).await;
    client.read_until("ok").await;
    let received = client.backend_received();
    let expected = [
        "x-forwarded-for: 198.51.100.1, 192.0.2.7",
        "x-request-id: of-the-edge",
        "x-tls-version: TLSv1.3",
        "x-tls-cipher: TLS_AES_128_GCM_SHA256",
        "x-tls-sni: app.example",
        "x-tls-resumed: 0",
    ];
    assert_lines(&received, &expected);
    assert!(!received.contains("forged") && !received.contains("6.6.6.6"), "{received}");
    // An answer of ours has the same name.
    let page = "GET / HTTP/1.1\r\nHost: other.example\r\nX-Request-Id: again\r\n\r\n";
    client.send(page).await;
    assert_lines(&client.read_until("again\n").await, &["x-request-id: again"]);
}

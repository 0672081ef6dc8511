//! Requests in the clear: sent on to TLS, to hosts that are served and nowhere else; challenges of
//! certificate authorities are answered.

use std::fs;
use std::net::SocketAddr;

use portunus_tests::wait::within;
use portunus_tests::{Builder, Listener, Proxy, Response, http, https};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::NAME;

/// A proxy with an address in the clear, and that address.
async fn start(listener: Listener, keys: &str, builder: Builder) -> (Proxy, SocketAddr) {
    let redirect = format!("{{ listen = [\"127.0.0.1:0\"], {keys} }}");
    let listener = listener.with("redirect_http", &redirect);
    let proxy = builder.listener(listener).backend(http()).start().await;
    let addresses = proxy.addresses("https");
    assert_eq!(addresses.len(), 2, "{addresses:?}");
    (proxy, addresses[1].parse().unwrap())
}

/// What comes back for these bytes until the connection ends.
async fn send(address: SocketAddr, bytes: impl AsRef<[u8]>) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(bytes.as_ref()).await.unwrap();
    let mut answer = Vec::new();
    let _ = within("the end of the connection", stream.read_to_end(&mut answer)).await;
    answer
}

/// The answer to one request.
async fn ask(address: SocketAddr, line: &str, host: &str) -> Response {
    let request = format!("{line} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    let answer = send(address, request).await;
    Response::parse(&answer).unwrap_or_else(|| panic!("{}", String::from_utf8_lossy(&answer)))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_request_is_sent_to_the_same_path_of_the_same_host() {
    let listener = https(NAME).site("*.wild.example", "app");
    let (proxy, address) = start(listener, "port = 8443", Proxy::builder()).await;
    for (line, host, location) in [
        ("GET /", NAME, "https://app.example:8443/"),
        ("GET /a/b?c=d&e=/f", NAME, "https://app.example:8443/a/b?c=d&e=/f"),
        ("POST /form", "app.example:80", "https://app.example:8443/form"),
        ("GET http://app.example/absolute", NAME, "https://app.example:8443/absolute"),
        ("GET /%2e%2e//x", "a.wild.example", "https://a.wild.example:8443/%2e%2e//x"),
    ] {
        let answer = ask(address, line, host).await;
        assert_eq!((answer.status, answer.field("location")), (308, location), "{line} {host}");
        assert_eq!(answer.field("strict-transport-security"), "");
    }
    let counted = proxy.metric("portunus_http_requests_total", &[("listener", "https")]).await;
    assert_eq!(counted, 5.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_port_of_https_does_not_show() {
    let (_proxy, address) = start(https(NAME), "port = 443", Proxy::builder()).await;
    assert_eq!(ask(address, "GET /x", NAME).await.field("location"), "https://app.example/x");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_sent_to_a_host_that_is_not_served() {
    let (_proxy, address) = start(https(NAME), "port = 443", Proxy::builder()).await;
    let unknown = https(NAME).with("unknown_host", "\"404\"");
    let (_other, hidden) = start(unknown, "port = 443", Proxy::builder()).await;
    let any = https(NAME).without_sites();
    let builder = Proxy::builder();
    let certificate = portunus_tests::authority().issue(&[NAME]);
    let (_any, any) = start(any, "port = 443", builder.certificate("a", &certificate)).await;
    assert_eq!(ask(any, "GET /x", NAME).await.field("location"), "https://app.example/x");
    for host in
        ["evil.example", "app.example.evil.example", "127.0.0.1", "[::1]", "evil.example:80"]
    {
        for (address, status) in [(address, 421), (hidden, 404), (any, 421)] {
            let answer = ask(address, "GET /", host).await;
            assert_eq!((answer.status, answer.field("location")), (status, ""), "{host}");
        }
    }
    for host in ["", "evil.example/", "a@evil.example", "evil.example\\x"] {
        let answer = ask(address, "GET /", host).await;
        assert_eq!((answer.status, answer.field("location")), (400, ""), "{host}");
    }
    // What looks like a host in the path stays there.
    let answer = ask(address, "GET //evil.example/", NAME).await;
    assert!(answer.field("location").starts_with("https://app.example/"), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn challenges_of_authorities_are_answered_whatever_the_host() {
    let keys = "challenges = \"acme\"";
    let builder = Proxy::builder()
        .certificate("a", &portunus_tests::authority().issue(&[NAME]))
        .file("acme/token-1_A", "token-1_A.digest")
        .file("secret", "secret");
    let (proxy, address) = start(https(NAME), keys, builder).await;
    let path = "/.well-known/acme-challenge";
    for host in [NAME, "new.example"] {
        let answer = ask(address, &format!("GET {path}/token-1_A"), host).await;
        assert_eq!((answer.status, answer.text().as_str()), (200, "token-1_A.digest"));
        assert_eq!(answer.field("content-type"), "application/octet-stream");
    }
    fs::write(proxy.folder().join("acme/later"), "later.digest").unwrap();
    assert_eq!(ask(address, &format!("GET {path}/later"), NAME).await.text(), "later.digest");
    for bad in ["", "missing", "../secret", "%2e%2e/secret", "..%2fsecret", ".", "token-1_A/"] {
        let answer = ask(address, &format!("GET {path}/{bad}"), NAME).await;
        assert_eq!(answer.status, 404, "{bad}");
    }
    assert_eq!(ask(address, &format!("POST {path}/later"), NAME).await.status, 405);
    assert_eq!(ask(address, "GET /other", NAME).await.status, 308);
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_in_the_clear_have_the_deadlines_and_caps_of_all_others() {
    let builder = Proxy::builder()
        .set("limits.http.request_head_timeout", "\"300ms\"")
        .set("limits.http.keepalive_timeout", "\"300ms\"");
    let (_proxy, address) = start(https(NAME), "port = 443", builder).await;
    assert!(send(address, b"").await.is_empty(), "silence ends without a word");
    let status = async |bytes: &[u8]| {
        // What is said so late that it looks like silence is said again.
        for _ in 0..4 {
            if let Some(answer) = Response::parse(&send(address, bytes).await) {
                return Some(answer.status);
            }
        }
        None
    };
    assert_eq!(status(b"GET / HTTP/1.1\r\nHost: app").await, Some(408));
    let long = format!("GET /{} HTTP/1.1\r\nHost: {NAME}\r\n\r\n", "x".repeat(9_000));
    assert_eq!(status(long.as_bytes()).await, Some(414));
    let fields = "x: y\r\n".repeat(101);
    let many = format!("GET / HTTP/1.1\r\nHost: {NAME}\r\n{fields}\r\n");
    assert_eq!(status(many.as_bytes()).await, Some(431));
    assert_eq!(status(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n").await, Some(400));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_drain_ends_connections_in_the_clear() {
    let (proxy, address) = start(https(NAME), "port = 443", Proxy::builder()).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET / HTTP/1.1\r\nHost: {NAME}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut byte = [0];
    stream.read_exact(&mut byte).await.unwrap();
    assert_eq!(proxy.drain().await.code, Some(0));
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await.unwrap();
    assert!(rest.starts_with(b"TTP/1.1 308"));
}

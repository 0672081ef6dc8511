//! What is taken out of a message and put into it, so that a backend can believe what it reads.

use portunus_tests::foreign::{curl_for, url};
use portunus_tests::{Proxy, http, https, raw};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{NAME, ask, connect, get};

#[tokio::test(flavor = "multi_thread")]
async fn the_backend_is_told_who_asked_for_what() {
    let backend = http();
    let proxy = Proxy::builder().listener(https(NAME)).backend(&backend).start().await;
    let port = proxy.first_address().port().to_string();
    for option in ["--http1.1", "--http2"] {
        let Some(curl) = curl_for(&proxy, NAME) else { return };
        curl.args([option, &url(&proxy, NAME, "/")]).run().await.expect_success();
        let seen = backend.last();
        assert_eq!(seen.field("x-forwarded-for"), "127.0.0.1");
        assert_eq!(seen.field("x-forwarded-proto"), "https");
        assert_eq!(seen.field("x-forwarded-port"), port);
        assert_eq!(seen.field("host"), format!("{NAME}:{port}"));
        assert!(seen.field("x-forwarded-host").starts_with(NAME), "{seen:?}");
        assert!(!seen.field("x-request-id").is_empty(), "{seen:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_is_reserved_comes_from_the_client() {
    let backend = http();
    let proxy = Proxy::builder().listener(https(NAME)).backend(&backend).start().await;
    let forged = [
        "X-Forwarded-For",
        "x-forwarded-proto",
        "X-Forwarded-Host",
        "X-Forwarded-Port",
        "X-Forwarded-Client-Cert",
        "X_Forwarded_For",
        "X-Real-IP",
        "Forwarded",
        "Client-Cert",
        "Client-Cert-Chain",
        "CLIENT_CERT",
        "X-Client-Cert-Subject",
        "X-SSL-Client-Verify",
        "SSL_CLIENT_S_DN",
        "Proxy",
    ];
    for option in ["--http1.1", "--http2"] {
        for name in forged {
            let Some(curl) = curl_for(&proxy, NAME) else { return };
            let field = format!("{name}: forged");
            let url = url(&proxy, NAME, "/");
            curl.args([option, "-H", &field, &url]).run().await.expect_success();
            let seen = backend.last();
            let any = seen.headers.values().any(|value| value.as_bytes() == b"forged");
            assert!(!any, "{option} {name}: {:?}", seen.headers);
        }
        let Some(curl) = curl_for(&proxy, NAME) else { return };
        let url = url(&proxy, NAME, "/");
        curl.args([option, "-H", "X-Mine: kept", &url]).run().await.expect_success();
        assert_eq!(backend.last().field("x-mine"), "kept");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_for_one_hop_stays_there() {
    let backend = http();
    let proxy = Proxy::builder().listener(https(NAME)).backend(&backend).start().await;
    let fields = "Connection: close, X-Secret\r\nX-Secret: 1\r\nKeep-Alive: timeout=5\r\n\
                  Proxy-Connection: keep-alive\r\nTE: gzip\r\nProxy-Authorization: Basic x\r\n\
                  Upgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n";
    assert_eq!(ask(&proxy, get("/", fields)).await.unwrap().status, 200);
    let seen = backend.last();
    let hop = [
        "x-secret",
        "keep-alive",
        "proxy-connection",
        "te",
        "proxy-authorization",
        "upgrade",
        "http2-settings",
    ];
    for name in hop {
        assert_eq!(seen.field(name), "", "{name}: {:?}", seen.headers);
    }
    assert!(!seen.field("connection").to_lowercase().contains("secret"));
}

#[tokio::test(flavor = "multi_thread")]
async fn connection_cannot_name_what_is_reserved() {
    let backend = http();
    let proxy = Proxy::builder().listener(https(NAME)).backend(&backend).start().await;
    for name in ["X-Forwarded-For", "x-forwarded-proto", "Client-Cert", "Host"] {
        let answer = ask(&proxy, get("/", &format!("Connection: close, {name}\r\n"))).await;
        assert_eq!(answer.unwrap().status, 400, "{name}");
    }
    assert_eq!(backend.seen().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_that_are_not_one_good_host_are_refused() {
    let backend = http();
    let proxy = Proxy::builder().listener(https(NAME)).backend(&backend).start().await;
    let heads = [
        "GET / HTTP/1.1\r\n",
        "GET / HTTP/1.1\r\nHost: app.example\r\nHost: app.example\r\n",
        "GET / HTTP/1.1\r\nHost: app.example\r\nHost: evil.example\r\n",
        "GET / HTTP/1.1\r\nHost:\r\n",
        "GET / HTTP/1.1\r\nHost: app.example, evil.example\r\n",
        "GET / HTTP/1.1\r\nHost: app.example/evil\r\n",
        "GET / HTTP/1.1\r\nHost: user@app.example\r\n",
        "GET http://evil.example/ HTTP/1.1\r\nHost: app.example\r\n",
        "GET app.example HTTP/1.1\r\nHost: app.example\r\n",
    ];
    for head in heads {
        let status = ask(&proxy, format!("{head}\r\n")).await.unwrap().status;
        assert_eq!(status, 400, "{head:?}");
    }
    assert_eq!(backend.seen().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_the_listener_does_not_serve_is_misdirected() {
    let (ours, others) = (http(), http());
    let proxy = Proxy::builder()
        .listener(https(NAME).site("other.example", "other").site("*.wild.example", "other"))
        .backend(&ours)
        .backend_named("other", &others)
        .start()
        .await;
    let status = async |host| {
        let request = format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
        ask(&proxy, request).await.unwrap().status
    };
    for host in ["nobody.example", "127.0.0.1", "wild.example", "a.b.wild.example"] {
        assert_eq!(status(host).await, 421, "{host}");
    }
    assert_eq!((ours.seen().len(), others.seen().len()), (0, 0));
    for host in ["app.example", "APP.example", "app.example:8443", "app.example."] {
        assert_eq!(status(host).await, 200, "{host}");
    }
    assert_eq!((ours.seen().len(), others.seen().len()), (4, 0));
    // The sites of a listener have one policy, so their connections may serve each other.
    for host in ["other.example", "a.wild.example", "OTHER.example."] {
        assert_eq!(status(host).await, 200, "{host}");
    }
    assert_eq!((ours.seen().len(), others.seen().len()), (4, 3));

    let Some(curl) = curl_for(&proxy, NAME) else { return };
    let curl = curl.args(["--http2", "-o", "/dev/null", "-w", "%{http_code}"]);
    let output = curl.args(["-H", "Host: nobody.example", &url(&proxy, NAME, "/")]).run().await;
    assert_eq!(output.expect_success(), "421");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_hop_fields_of_the_backend_stay_there_too() {
    let backend = raw(|mut stream, _| async move {
        let mut buffer = [0; 4096];
        while let Ok(1..) = stream.read(&mut buffer).await {
            let answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: X-Inside\r\n\
                          X-Inside: 1\r\nKeep-Alive: timeout=5\r\nX-Outside: 1\r\n\r\nok";
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    let proxy = Proxy::builder().listener(https(NAME)).backend(backend).start().await;
    let answer = ask(&proxy, get("/", "")).await.unwrap();
    assert_eq!((answer.status, answer.text().as_str()), (200, "ok"));
    assert_eq!((answer.field("x-inside"), answer.field("keep-alive")), ("", ""));
    assert_eq!((answer.field("x-outside"), answer.field("server")), ("1", ""));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_passes_byte_for_byte() {
    let backend = http();
    let proxy = Proxy::builder().listener(https(NAME)).backend(&backend).start().await;
    for path in ["//a//../b", "/%2e%2e/%2F?x=%00&y=a+b", "/a;b=c/@:!$&'()*,", "/?"] {
        assert_eq!(ask(&proxy, get(path, "")).await.unwrap().status, 200, "{path}");
        assert_eq!(backend.last().target, path);
    }
    let mut client = connect(&proxy).await;
    client.send(b"OPTIONS * HTTP/1.1\r\nHost: app.example\r\n\r\n").await;
    let answer = portunus_tests::read_response(&mut client, &mut Vec::new()).await.unwrap();
    assert_eq!((answer.status, backend.last().target.as_str()), (200, "*"));
}

//! Backends that fail: the client is told, at once and in words, and never hangs.

use portunus_tests::foreign::{curl_for, url};
use portunus_tests::{Backend, Proxy, echo, http, https, raw, silent, unreachable};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{NAME, ask, get};

async fn behind(backend: &Backend) -> Proxy {
    Proxy::builder().listener(https(NAME)).backend(backend).start().await
}

/// The same with little patience for this part of a response.
async fn impatient(backend: &Backend, part: &str) -> Proxy {
    let key = format!("limits.http.response_{part}_timeout");
    Proxy::builder().listener(https(NAME)).backend(backend).set(&key, "\"500ms\"").start().await
}

/// Reads a request and answers it by `answer`, and ends the connection.
fn answering(answer: &'static str) -> Backend {
    raw(move |mut stream, _| async move {
        let mut buffer = [0; 4096];
        let _ = stream.read(&mut buffer).await;
        let _ = stream.write_all(answer.as_bytes()).await;
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn each_failure_has_its_status_and_names_the_request() {
    let cases = [
        (unreachable(), 503, "connect_refused"),
        (silent(), 504, "timeout"),
        (answering(""), 502, "broken"),
        (answering("HTTP/1.1 200 OK\r\nContent-Le"), 502, ""),
        (answering("SSH-2.0-OpenSSH_9.6\r\n"), 502, "bad_response"),
        (echo(), 502, "bad_response"),
    ];
    for (backend, status, reason) in cases {
        let proxy = match status {
            504 => impatient(&backend, "head").await,
            _ => behind(&backend).await,
        };
        let answer = ask(&proxy, get("/", "")).await.expect("an answer");
        assert_eq!(answer.status, status, "{reason}");
        let id = answer.field("x-request-id");
        assert!(id.len() >= 16 && answer.text().contains(id), "{}", answer.text());
        assert_eq!(answer.field("retry-after").is_empty(), status != 503);
        let errors = "portunus_backend_errors_total";
        let labels = [("backend", "app"), ("reason", reason)];
        let labels = if reason.is_empty() { &labels[..1] } else { &labels };
        proxy.wait_for_metric(errors, labels, |count| count >= 1.0).await;
        let labels = [("code", "5xx")];
        proxy.wait_for_metric("portunus_http_requests_total", &labels, |count| count == 1.0).await;
        for (option, version) in [("--http1.1", "1.1"), ("--http2", "2")] {
            let Some(curl) = curl_for(&proxy, NAME) else { return };
            let curl = curl.args([option, "-o", "/dev/null", "-w", "%{http_code} %{http_version}"]);
            let output = curl.arg(url(&proxy, NAME, "/")).run().await.expect_success();
            assert_eq!(output, format!("{status} {version}"));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn content_that_is_cut_off_is_no_clean_end_for_the_client() {
    let cut = [
        answering("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nonly this"),
        answering("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"),
        answering("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\n"),
    ];
    for backend in cut {
        let proxy = behind(&backend).await;
        for option in ["--http1.1", "--http2"] {
            let Some(curl) = curl_for(&proxy, NAME) else { return };
            let output = curl.args([option, &url(&proxy, NAME, "/")]).run().await;
            assert!(!output.status.success(), "{option}: {}", output.everything());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn content_that_stops_coming_is_no_clean_end_for_the_client() {
    let backend = raw(|mut stream, _| async move {
        let mut buffer = [0; 4096];
        let _ = stream.read(&mut buffer).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhello").await;
        std::future::pending::<()>().await;
    });
    let proxy = impatient(&backend, "body").await;
    for option in ["--http1.1", "--http2"] {
        let Some(curl) = curl_for(&proxy, NAME) else { return };
        let output = curl.args([option, &url(&proxy, NAME, "/")]).run().await;
        assert!(!output.status.success(), "{option}: {}", output.everything());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_refuses_is_passed_over() {
    let alive = http();
    let proxy = Proxy::builder()
        .listener(https(NAME))
        .endpoints("app", &[unreachable().endpoint(), alive.endpoint()])
        .start()
        .await;
    for _ in 0..10 {
        let answer = ask(&proxy, get("/", "Connection: close\r\n")).await.unwrap();
        assert_eq!(answer.status, 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_goes_away_takes_its_request_with_it() {
    let backend = silent();
    let proxy = Proxy::builder().listener(https(NAME)).backend(&backend).start().await;
    for _ in 0..10 {
        let mut client = super::connect(&proxy).await;
        client.send(get("/", "").as_bytes()).await;
        proxy
            .wait_for_metric("portunus_backend_connections_active", &[], |count| count >= 1.0)
            .await;
        client.reset();
    }
    proxy.wait_for_metric("portunus_connections_active", &[], |count| count == 0.0).await;
    proxy.wait_for_metric("portunus_backend_connections_active", &[], |n| n == 0.0).await;
}

//! Messages that pass: every version, method and size, judged by curl.

use portunus_tests::foreign::{curl_for, nghttp, url};
use portunus_tests::{Proxy, http, https, read_response};

use super::{NAME, connect, get};

const VERSIONS: [(&str, &str); 2] = [("--http1.1", "1.1"), ("--http2", "2")];

#[tokio::test(flavor = "multi_thread")]
async fn curl_gets_an_answer_over_http_1_1_and_2() {
    let backend = http();
    let proxy = Proxy::builder().listener(https(NAME)).backend(&backend).start().await;
    for (option, version) in VERSIONS {
        let Some(curl) = curl_for(&proxy, NAME) else { return };
        let url = url(&proxy, NAME, "/a/b?c=d&e=%2F");
        let output = curl.args([option, "-w", "%{http_code} %{http_version}", &url]).run().await;
        assert_eq!(output.expect_success(), format!("hello from the backend\n200 {version}"));
        let seen = backend.last();
        assert_eq!((seen.method.as_str(), seen.target.as_str()), ("GET", "/a/b?c=d&e=%2F"));
        let labels = [("listener", "https"), ("version", version), ("code", "2xx")];
        let requests = "portunus_http_requests_total";
        proxy.wait_for_metric(requests, &labels, |count| count == 1.0).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_mebibytes_come_and_go_with_and_without_a_length() {
    let backend = http();
    let proxy = Proxy::builder().listener(https(NAME)).backend(&backend).start().await;
    let file = proxy.folder().join("upload");
    let content: Vec<u8> = (0_u32..10 << 18).flat_map(u32::to_le_bytes).collect();
    std::fs::write(&file, &content).unwrap();
    let data = format!("@{}", file.display());
    for (option, _) in VERSIONS {
        for more in [&[][..], &["-H", "Transfer-Encoding: chunked"], &["-H", "Expect:"]] {
            let Some(curl) = curl_for(&proxy, NAME) else { return };
            let url = url(&proxy, NAME, "/echo");
            let curl = curl.args([option, "--data-binary", &data]).args(more);
            let output = curl.arg(url).run().await;
            output.expect_success();
            assert!(output.out == content, "{option} {more:?}: {} bytes", output.out.len());
            assert!(backend.last().complete && backend.last().method == "POST");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn content_without_a_length_streams_back() {
    let proxy = Proxy::builder().listener(https(NAME)).backend(http()).start().await;
    for (option, _) in VERSIONS {
        for path in ["/chunks/3000000", "/bytes/3000000"] {
            let Some(curl) = curl_for(&proxy, NAME) else { return };
            let output = curl.args([option, &url(&proxy, NAME, path)]).run().await;
            output.expect_success();
            let expected: Vec<u8> = (0..3_000_000).map(|place| (place % 251) as u8).collect();
            assert!(output.out == expected, "{option} {path}: {} bytes", output.out.len());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_answer_to_head_has_a_length_and_no_content() {
    let proxy = Proxy::builder().listener(https(NAME)).backend(http()).start().await;
    for (option, _) in VERSIONS {
        let Some(curl) = curl_for(&proxy, NAME) else { return };
        let url = url(&proxy, NAME, "/bytes/1234");
        let output = curl.args([option, "--head", &url, &url]).run().await.expect_success();
        let lengths = output.to_lowercase().matches("content-length: 1234").count();
        assert_eq!(lengths, 2, "{output}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_method_and_status_passes() {
    let backend = http();
    let proxy = Proxy::builder().listener(https(NAME)).backend(&backend).start().await;
    for (option, _) in VERSIONS {
        for method in ["PUT", "DELETE", "PATCH", "OPTIONS", "QUERY"] {
            let Some(curl) = curl_for(&proxy, NAME) else { return };
            let url = url(&proxy, NAME, "/echo");
            curl.args([option, "-X", method, "-d", "x", &url]).run().await.expect_success();
            assert_eq!(backend.last().method, method);
        }
        for status in ["204", "304", "404", "500", "599"] {
            let Some(curl) = curl_for(&proxy, NAME) else { return };
            let url = url(&proxy, NAME, &format!("/status/{status}"));
            let output = curl.args([option, "-o", "/dev/null", "-w", "%{http_code}", &url]).run();
            assert_eq!(output.await.expect_success(), status);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_waits_for_100_is_told_to_go_on() {
    let backend = http();
    let proxy = Proxy::builder().listener(https(NAME)).backend(&backend).start().await;
    let mut client = connect(&proxy).await;
    let head = "POST /echo HTTP/1.1\r\nHost: app.example\r\nContent-Length: 5\r\n\
                Expect: 100-continue\r\n\r\n";
    client.send(head.as_bytes()).await;
    let mut buffer = Vec::new();
    assert_eq!(read_response(&mut client, &mut buffer).await.unwrap().status, 100);
    client.send(b"hello").await;
    let answer = read_response(&mut client, &mut buffer).await.unwrap();
    assert_eq!((answer.status, answer.text().as_str()), (200, "hello"));

    let Some(curl) = curl_for(&proxy, NAME) else { return };
    let curl = curl.args(["-v", "--http1.1", "-H", "Expect: 100-continue", "-d", "hello"]);
    let output = curl.arg(url(&proxy, NAME, "/echo")).run().await;
    assert_eq!(output.expect_success(), "hello");
    assert!(output.everything().contains("HTTP/1.1 100 Continue"), "{}", output.everything());
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_come_in_one_piece_are_answered_in_order() {
    let backend = http();
    let proxy = Proxy::builder().listener(https(NAME)).backend(&backend).start().await;
    let mut client = connect(&proxy).await;
    let requests = ["/bytes/10", "/status/404", "/bytes/30"].map(|path| get(path, ""));
    client.send(requests.concat().as_bytes()).await;
    let mut buffer = Vec::new();
    let mut answers = Vec::new();
    for _ in 0..3 {
        let answer = read_response(&mut client, &mut buffer).await.unwrap();
        answers.push((answer.status, answer.body.len()));
    }
    assert_eq!(answers, [(200, 10), (404, 12), (200, 30)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_may_come_one_byte_at_a_time() {
    let backend = http();
    let proxy = Proxy::builder().listener(https(NAME)).backend(&backend).start().await;
    let mut client = connect(&proxy).await;
    let request = "POST /echo HTTP/1.1\r\nHost: app.example\r\nTransfer-Encoding: chunked\r\n\r\n\
                   5\r\nhello\r\n1;ext=1\r\n!\r\n0\r\n\r\n";
    for byte in request.bytes() {
        client.send(&[byte]).await;
    }
    let answer = read_response(&mut client, &mut Vec::new()).await.unwrap();
    assert_eq!((answer.status, answer.text().as_str()), (200, "hello!"));
}

#[tokio::test(flavor = "multi_thread")]
async fn many_streams_of_one_connection_are_served_at_once() {
    let backend = http();
    let proxy = Proxy::builder().listener(https(NAME)).backend(&backend).start().await;
    let Some(nghttp) = nghttp() else { return };
    // The certificate is not what this is about, and nghttp has no way to resolve a name.
    let url = format!("https://{}/bytes/100000", proxy.first_address());
    let host = format!(":authority: {NAME}");
    let many = nghttp.args(["-n", "-s", "-m", "50", "--no-verify-peer", "-H", &host, &url]);
    let output = many.run().await.expect_success();
    assert_eq!(output.matches(" 200 ").count(), 50, "{output}");
    assert_eq!(backend.seen().len(), 50);
}

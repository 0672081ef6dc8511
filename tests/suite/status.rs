//! `/status`: what programs read about certificates while the product runs.

use std::fs;

use portunus_tests::{Proxy, authority, command, echo, tls};
use serde_json::{Value, json};

const NAME: &str = "app.example";

async fn status(proxy: &Proxy) -> Value {
    let answer = proxy.admin("/status").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.field("content-type"), "application/json");
    assert_eq!(answer.field("cache-control"), "no-store");
    serde_json::from_slice(&answer.body).unwrap()
}

/// A proxy with a good certificate, a bad file, and a name that would be a command to a terminal
/// and a tag to a browser.
async fn proxy() -> Proxy {
    Proxy::builder()
        .listener(tls(NAME))
        .certificate("good", &authority().issue(&[NAME]))
        .file("certs.d/<script>\"\\\u{1b}[31m\n.pem", "")
        .backend(echo())
        .start()
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn status_tells_what_certs_tells_and_where_the_process_stands() {
    let proxy = proxy().await;
    let status = status(&proxy).await;
    assert_eq!(status["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(status["phase"], "running");
    let mut certs = command();
    let config = proxy.folder().join("config.toml");
    let certs = certs.args(["certs", "--json", "--config"]).arg(config).output().unwrap();
    let certs: Value = serde_json::from_slice(&certs.stdout).unwrap();
    assert_eq!(status["certificates"], certs["certificates"]);
    assert_eq!(status["client_auth"], certs["client_auth"]);
    let certificates = &status["certificates"];
    assert_eq!(certificates["loaded"][0]["names"], json!([NAME]));
    assert_eq!(certificates["loaded"][0]["state"], "valid");
    assert_eq!((&certificates["total"], &certificates["truncated"]), (&json!(1), &json!(false)));
    let file = certificates["skipped"][0]["file"].as_str().unwrap();
    assert!(file.ends_with("certs.d/<script>\"\\\u{1b}[31m\n.pem"), "as it is, for programs");
}

#[tokio::test(flavor = "multi_thread")]
async fn status_is_one_line_of_json_without_secrets() {
    let proxy = proxy().await;
    let answer = proxy.admin("/status").await;
    let text = answer.text();
    assert!(text.ends_with('\n') && text.lines().count() == 1, "nothing in it ends a line");
    assert!(text.bytes().all(|byte| byte == b'\n' || byte >= b' '), "and nothing is a command");
    let pem = fs::read_to_string(proxy.folder().join("certs.d/good.pem")).unwrap();
    let key = pem.split_once("PRIVATE KEY-----").unwrap().1;
    for line in key.lines().filter(|line| line.len() > 20) {
        assert!(!text.contains(line), "{line}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn status_follows_a_reload() {
    let proxy = proxy().await;
    let before = status(&proxy).await;
    let fingerprint =
        |status: &Value| status["certificates"]["loaded"][0]["fingerprint_sha256"].clone();
    proxy.replace_certificate("good", &authority().issue(&[NAME])).await;
    assert_ne!(fingerprint(&status(&proxy).await), fingerprint(&before));
    fs::write(proxy.folder().join("certs.d/good.pem"), "").unwrap();
    proxy.reload().await;
    let after = status(&proxy).await;
    assert_eq!(after["certificates"]["kept"], 1, "{after}");
    assert_eq!(after["certificates"]["skipped_total"], 2, "{after}");
}

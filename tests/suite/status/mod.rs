//! `/status`: what programs read while the product runs. `schema` proves that the document that
//! describes it is right and complete.

pub(crate) mod rich;
mod schema;

use std::fs;

use portunus_tests::wait::eventually;
use portunus_tests::{Proxy, authority, command, echo, https, tls, unreachable};
use serde_json::{Value, json};

use crate::http::{ask, get};

const NAME: &str = "app.example";

pub(crate) async fn status(proxy: &Proxy) -> Value {
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
async fn a_backend_that_nobody_checks_is_critical_once_it_does_not_answer() {
    let proxy = Proxy::builder().listener(https(NAME)).backend(unreachable()).start().await;
    assert_eq!(status(&proxy).await["attention"], json!([]), "nobody has asked it yet");
    assert_eq!(ask(&proxy, get("/", "")).await.unwrap().status, 503);
    let status = status(&proxy).await;
    assert_eq!(status["backends"][0]["endpoints"][0]["standing"], "down", "{status}");
    let finding = &status["attention"][0];
    assert_eq!((&finding["severity"], &finding["area"]), (&json!("critical"), &json!("backends")));
    let page = proxy.admin("/").await.text();
    assert!(page.contains("<title>1 thing needs attention"), "{page}");
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
    // A reading that began before the change counts as one as well.
    eventually("another certificate", async || {
        (fingerprint(&status(&proxy).await) != fingerprint(&before)).then_some(())
    })
    .await;
    fs::write(proxy.folder().join("certs.d/good.pem"), "").unwrap();
    proxy.reload().await;
    let after = eventually("the last good certificate to be kept", async || {
        let after = status(&proxy).await;
        (after["certificates"]["kept"] == 1).then_some(after)
    })
    .await;
    assert_eq!(after["certificates"]["skipped_total"], 2, "{after}");
}

#[tokio::test(flavor = "multi_thread")]
async fn status_remembers_what_was_read_and_what_became_of_it() {
    let proxy = Proxy::builder().listener(tls(NAME)).backend(echo()).taking_orders().start().await;
    let last = |status: &Value| {
        let one = &status["reloads"][0];
        format!("{} {}", one["subject"].as_str().unwrap(), one["result"].as_str().unwrap())
    };
    let before = status(&proxy).await;
    assert_eq!(last(&before), "certificates changed");
    assert_eq!(before["attention"], json!([]));

    let path = proxy.folder().join("config.toml");
    let good = fs::read_to_string(&path).unwrap();
    fs::write(&path, format!("{good}\nnonsense = <script>\n")).unwrap();
    let (code, told) = proxy.order("/reload").await;
    assert_eq!((code, &told["result"]), (409, &json!("rejected")));
    let rejected = status(&proxy).await;
    assert_eq!(last(&rejected), "configuration rejected");
    assert_eq!(rejected["reloads"][0]["errors"], told["errors"]);
    assert_eq!(rejected["attention"][0]["area"], "configuration");
    assert_eq!(rejected["attention"][0]["severity"], "warning");

    fs::write(&path, good).unwrap();
    let (code, _) = proxy.order("/reload").await;
    assert_eq!(code, 200);
    let mended = status(&proxy).await;
    assert_eq!(last(&mended), "configuration unchanged");
    assert_eq!(mended["attention"], json!([]));
    assert!(mended["started"].as_i64() <= mended["time"].as_i64(), "{mended}");
}

#[tokio::test(flavor = "multi_thread")]
async fn status_tells_where_clients_come_in_and_how_it_went() {
    let proxy = Proxy::builder().listener(tls(NAME)).backend(echo()).start().await;
    let mut client = proxy.client(NAME).connect().await;
    client.send(b"hello").await;
    client.expect(b"hello").await;
    proxy.client("nobody.example").try_connect().await.unwrap_err();
    let listener = eventually("only one connection to be open", async || {
        let listener = status(&proxy).await["listeners"][0].take();
        (listener["connections"]["active"] == 1).then_some(listener)
    })
    .await;
    assert_eq!(listener["listener"], "tls");
    assert_eq!(listener["addresses"], json!([proxy.address("tls").to_string()]));
    assert_eq!(listener["connections"], json!({ "active": 1, "total": 2 }));
    assert_eq!(listener["handshakes"]["finished"], 1);
    assert_eq!(listener["handshakes"]["failures"], json!({ "unknown_name": 1 }));
    assert_eq!(listener["bytes"], json!({ "downstream": 5, "upstream": 5 }));
}

//! The status page as people get to see it, in a real browser; `rules` are about whoever asks.
//!
//! `PORTUNUS_TEST_SCREENSHOTS=FOLDER` keeps what the browser saw, for eyes that judge what no test
//! can.

mod rules;

use portunus_tests::Proxy;
use portunus_tests::foreign::{chromium, program};
use serde_json::{Value, json};

use crate::status::rich::{EVIL, rich};
use crate::status::status;

/// The token of a proxy that takes orders, as a browser has it.
fn address(proxy: &Proxy) -> String {
    format!("http://somebody:{}@{}/", portunus_tests::TOKEN, proxy.address("admin"))
}

async fn browse(arguments: &[&str]) -> Option<Value> {
    let browser = chromium()?.arg(program("browser.py")).args(arguments);
    Some(serde_json::from_str(&browser.run().await.expect_success()).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_reads_well_in_the_light_in_the_dark_on_a_desk_and_on_a_phone() {
    let proxy = rich().await;
    let url = address(&proxy) + "?refresh=off";
    let folder = std::env::var("PORTUNUS_TEST_SCREENSHOTS").ok();
    let arguments: Vec<_> = ["look", &url].into_iter().chain(folder.as_deref()).collect();
    let Some(seen) = browse(&arguments).await else { return };
    assert!(seen["title"].as_str().unwrap().contains("need attention – "), "{seen:#}");
    assert_eq!(seen["console"], json!([]), "the console is silent");
    assert_eq!(seen["asked"], json!([url]), "nobody else is asked, and nothing twice");
    for nothing in ["scripts", "styled", "heads_without_scope", "unnamed", "refreshes"] {
        assert_eq!(seen[nothing], 0, "{nothing}");
    }
    assert_eq!(seen["first_heads"], 1);
    let text = seen["text"].as_str().unwrap();
    assert!(text.contains(&EVIL.replace('/', "\u{2215}")), "it is shown, as text: {text}");
    for words in
        ["app.example", "about to expire", "rejected", "STARTTLS by smtp", "nobody.example"]
    {
        assert!(text.contains(words), "{words}: {text}");
    }
    for (view, facts) in seen["views"].as_object().unwrap() {
        assert!(facts["cut_off"].as_i64().unwrap() <= 0, "{view}: {facts}");
        assert!(facts["contrast"].as_f64().unwrap() >= 4.5, "{view}: {facts}");
        let is_table = facts["columns"] == "table";
        assert_eq!(is_table, view.starts_with("desk"), "on a phone, rows are cards: {facts}");
    }
    let ground = |view: &str| seen["views"][view]["ground"].clone();
    assert_ne!(ground("desk-light"), ground("desk-dark"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_another_site_gets_nothing_by_a_browser_that_knows_the_token() {
    let proxy = rich().await;
    let Some(told) = browse(&["attack", &address(&proxy)]).await else { return };
    assert_eq!(told["inside"], "{", "the reader is let in");
    let all = ["/", "/drain", "/metrics", "/reload", "/status", "/upgrade"];
    let refused: Value = all.iter().map(|path| ((*path).to_owned(), json!(403))).collect();
    assert_eq!(told["answers"], refused);
    assert_eq!(status(&proxy).await["phase"], "running");
}

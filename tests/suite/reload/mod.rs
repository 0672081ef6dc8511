//! Another configuration while everything goes on: what it changes takes effect, what it does not
//! is not touched, and a bad one changes nothing.
//!
//! `refused` is about configurations that cannot be had, `listeners` and `backends` about what
//! comes and goes, `wider` about an address that overlaps with the one before, `stores` about
//! where sessions lie, `rest` about what is neither, `asking` about who asks, how often, and what
//! is told, `hanging` about files that nobody can read, `late` about what comes of them in the
//! end.

mod asking;
mod backends;
mod hanging;
mod late;
mod listeners;
mod refused;
mod rest;
mod stores;
mod wider;

use std::fs;

use portunus_tests::{Builder, Proxy, write_and_rename};
use serde_json::Value;

const NAME: &str = "app.example";
const SEALING_KEY: &str = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=\n";

/// A proxy that reads its configuration when it is told to, and not because of the file.
fn builder() -> Builder {
    Proxy::builder()
        .taking_orders()
        .set("certificates.settle", "\"30s\"")
        .set("certificates.poll_interval", "\"1h\"")
}

/// Writes the configuration anew, with `to` in place of each `from`.
fn edit(proxy: &Proxy, edits: &[(&str, &str)]) {
    let path = proxy.folder().join("config.toml");
    let mut text = fs::read_to_string(&path).unwrap();
    for (from, to) in edits {
        assert!(text.contains(from), "no {from:?} in {text}");
        text = text.replace(from, to);
    }
    write_and_rename(&path, &text);
}

/// Adds to the configuration.
fn add(proxy: &Proxy, more: &str) {
    let path = proxy.folder().join("config.toml");
    let text = fs::read_to_string(&path).unwrap();
    write_and_rename(&path, &format!("{text}\n{more}"));
}

/// Has the configuration read, which has to succeed; returns what is told.
async fn reload(proxy: &Proxy) -> Value {
    let (status, told) = proxy.order("/reload").await;
    assert_eq!(status, 200, "{told}");
    told
}

/// Has the configuration read, which has to be refused; returns why.
async fn refused(proxy: &Proxy) -> Vec<String> {
    let (status, told) = proxy.order("/reload").await;
    assert_eq!((status, &told["result"]), (409, &"rejected".into()), "{told}");
    texts(&told["errors"])
}

fn texts(list: &Value) -> Vec<String> {
    let texts = list.as_array().unwrap().iter();
    texts.map(|text| text.as_str().unwrap().to_owned()).collect()
}

async fn generation(proxy: &Proxy) -> f64 {
    proxy.metric("portunus_config_generation", &[]).await
}

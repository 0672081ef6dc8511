//! Handshakes that fail: for which reason, and what is told of it.
//!
//! `reasons` has foreign clients fail in every way that there is, `told` is about what operators
//! get to read.

mod reasons;
mod told;

use portunus_tests::Proxy;
use serde_json::Value;

const FAILURES: &str = "portunus_handshake_failures_total";

/// What `/status` tells of failures, the newest first.
async fn failures(proxy: &Proxy) -> Vec<Value> {
    let status: Value = serde_json::from_slice(&proxy.admin("/status").await.body).unwrap();
    status["failures"].as_array().unwrap().clone()
}

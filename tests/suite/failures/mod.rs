//! Handshakes that fail: for which reason, and what is told of it.
//!
//! `reasons` has foreign clients fail in every way that there is, `told` is about what operators
//! get to read.

mod reasons;
mod told;

use portunus_tests::Proxy;
use portunus_tests::wait::eventually;
use serde_json::Value;

const FAILURES: &str = "portunus_handshake_failures_total";

/// What `/status` tells of failures, the newest first.
async fn failures(proxy: &Proxy) -> Vec<Value> {
    let status: Value = serde_json::from_slice(&proxy.admin("/status").await.body).unwrap();
    status["failures"].as_array().unwrap().clone()
}

/// The newest failure, once more than `before` are kept, which is a little after each is counted.
async fn newest(proxy: &Proxy, before: usize) -> Value {
    eventually("the failure to be kept", async || {
        let mut failures = failures(proxy).await;
        (failures.len() > before).then(|| failures.swap_remove(0))
    })
    .await
}

//! The life of the process: how it starts, what it is bound to, what it survives, how it ends.
//!
//! `start` is about beginnings that fail and addresses, `drain` about ends, `leaving` about what
//! clients see of them, `signals` about those who ask for them, `supervisor` about whoever started
//! the process, `watchdog` about workers that get nowhere, `scarcity` about too few descriptors and
//! slots, `demo` about the command that needs nothing.

mod demo;
mod drain;
mod leaving;
mod scarcity;
mod signals;
mod start;
mod supervisor;
mod watchdog;

use portunus_tests::wait::eventually;
use portunus_tests::{Proxy, get};

/// Waits until the answer for `path` is 503, unless the process ends before.
async fn becomes_unavailable(proxy: &Proxy, path: &str) -> Result<(), String> {
    let admin = proxy.address("admin");
    let answer = eventually(path, async || match get(admin, path).await {
        Ok(answer) if answer.status == 200 => None,
        answer => Some(answer),
    });
    let answer = answer.await.map_err(|error| format!("{path}: {error}"))?;
    assert_eq!(answer.status, 503, "{path}: {}", answer.text());
    Ok(())
}

/// Whether `line` is among the numbers, if there is still somebody to tell them.
async fn counts(proxy: &Proxy, line: &str) -> Result<(), String> {
    let answer = get(proxy.address("admin"), "/metrics").await;
    let numbers = answer.map_err(|error| format!("{line}: {error}"))?.text();
    let is_there = numbers.lines().any(|other| other == line);
    is_there.then_some(()).ok_or_else(|| format!("no {line}: {numbers}"))
}

//! A collector of traces that others wrote the understanding of: OpenTelemetry's own classes decode
//! what arrives.
//!
//! Owns the program `tests/foreign/collector.py`, what it is told to answer, and the spans that it
//! has understood. Refuses to know what a span should say.

use std::net::SocketAddr;
use std::path::Path;

use serde_json::Value;

use crate::foreign::{Conversation, program, python_of};
use crate::wait::eventually;

/// A collector that runs until it is dropped.
#[derive(Debug)]
pub struct Collector {
    running: Conversation,
    address: SocketAddr,
}

impl Collector {
    /// Runs one that takes everything, if there is a Python here that knows OpenTelemetry.
    pub async fn start() -> Option<Self> {
        Self::start_with(None).await
    }

    /// The same under TLS, with the chain and key that stand in `credential`.
    pub async fn start_secure(credential: &Path) -> Option<Self> {
        Self::start_with(Some(credential)).await
    }

    async fn start_with(credential: Option<&Path>) -> Option<Self> {
        let python = python_of("python-of-traces")?.arg(program("collector.py"));
        let mut running = python.args(credential).start();
        running.hear("listening ").await;
        let port = eventually("the port of a collector", async || {
            let heard = running.heard();
            let (_, rest) = heard.split_once("listening ")?;
            rest.split_once('\n')?.0.parse::<u16>().ok()
        });
        let address = SocketAddr::from(([127, 0, 0, 1], port.await));
        Some(Self { running, address })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Has it answer otherwise from now on; the words are those of the program.
    pub async fn answer(&mut self, order: &str) {
        let before = self.running.heard().matches("\"order\"").count();
        self.running.say(format!("{order}\n").as_bytes()).await;
        eventually("a collector to listen", async || {
            (self.running.heard().matches("\"order\"").count() > before).then_some(())
        })
        .await;
    }

    /// Every request so far, with what it holds.
    pub fn requests(&self) -> Vec<Value> {
        let heard = self.running.heard();
        let whole = heard.rsplit_once('\n').map_or("", |(whole, _)| whole);
        let lines = whole.lines().filter(|line| line.starts_with("{\"path\""));
        lines.map(|line| serde_json::from_str(line).expect("the program writes JSON")).collect()
    }

    /// Every span so far that was taken.
    pub fn spans(&self) -> Vec<Value> {
        let taken = |request: &Value| request["answer"] == "taken";
        let requests = self.requests().into_iter().filter(taken);
        requests
            .flat_map(|request| request["spans"].as_array().cloned().unwrap_or_default())
            .collect()
    }

    /// The spans, once there are `count` of this kind (`SERVER` or `CLIENT`).
    pub async fn wait_for(&self, kind: &str, count: usize) -> Vec<Value> {
        let kind = format!("SPAN_KIND_{kind}");
        eventually("spans at a collector", async || {
            let spans: Vec<_> =
                self.spans().into_iter().filter(|span| span["kind"] == kind.as_str()).collect();
            (spans.len() >= count).then_some(spans)
        })
        .await
    }

    /// Waits until it was asked so often.
    pub async fn wait_for_requests(&self, count: usize) {
        eventually("requests at a collector", async || {
            (self.requests().len() >= count).then_some(())
        })
        .await;
    }
}

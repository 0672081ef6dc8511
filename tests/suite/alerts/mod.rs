//! What Prometheus tells people of Portunus: the rules that ship, as `promtool` and a real
//! Prometheus understand them.
//!
//! `rules` is about the files: that they are sound, that each alert has its cases and its section
//! of the runbook. What a rule does with numbers that a test wrote stands in its cases, in
//! `dashboards/prometheus/tests`. All others cause the fault that an alert is about, on a Portunus
//! that runs, and wait for a Prometheus to tell of it: `presence`, `files` (certificates, lists,
//! the configuration), `clients`, `backends`, `limits`; `sight` sees to it that each rule looks at
//! something. Owns [`Watch`], for which the time of the rules passes faster, and nothing else of
//! them is changed.

mod backends;
mod clients;
mod faster;
mod files;
mod limits;
mod presence;
mod rules;
mod selectors;
mod sight;

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::time::Duration;

use portunus_tests::Proxy;
use portunus_tests::prometheus::{Alert, PrometheusServer, prometheus};
use tempfile::TempDir;

use crate::tidy::root;

const NAME: &str = "app.example";

/// How much faster time passes for the rules: what takes a quarter of an hour takes 7.5 seconds.
const FASTER: u64 = 120;

/// A Prometheus with the rules that ship.
struct Watch {
    server: PrometheusServer,
    _rules: TempDir,
}

/// One that watches `proxy`, if there is one on this machine.
async fn watch(proxy: &Proxy) -> Option<Watch> {
    Watch::of(proxy.address("admin"), FASTER).await
}

impl Watch {
    /// One that watches the admin listener at `address`, `faster` times as fast as people would.
    async fn of(address: SocketAddr, faster: u64) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mut prometheus = prometheus()?.interval(INTERVAL).scrape("portunus", &[address]);
        for name in ["recording.yml", "alerts.yml"] {
            let text = fs::read_to_string(root().join("dashboards/prometheus").join(name)).unwrap();
            let copy = folder.path().join(name);
            fs::write(&copy, faster::rules(&text, faster)).unwrap();
            prometheus = prometheus.rules(copy);
        }
        let server = prometheus.start().await;
        server.scrapes(2).await;
        Some(Self { server, _rules: folder })
    }

    /// Waits until the alert fires.
    async fn fires(&self, name: &str) -> Alert {
        let alert = self.server.wait_for_alert(name).await;
        assert_eq!(alert.annotations["runbook_url"], format!("RUNBOOK.md#{}", name.to_lowercase()));
        println!("{name}: {}", alert.annotations["summary"]);
        alert
    }

    /// Waits until it does not, since its cause is gone.
    async fn is_over(&self, name: &str) {
        self.server.wait_for_silence(name).await;
    }

    /// The alerts that fire now.
    async fn firing(&self) -> BTreeSet<String> {
        let alerts = self.server.alerts().await.into_iter();
        alerts.filter(|alert| alert.state == "firing").map(|alert| alert.name).collect()
    }

    /// Nothing is wrong yet.
    async fn is_calm(&self) {
        self.server.scrapes(3).await;
        self.tells_of(&[]).await;
    }

    /// These alerts fire now, and no others. Where the machine itself has held something up, that
    /// is waited out.
    async fn tells_of(&self, names: &[&str]) {
        let mut firing = self.firing().await;
        for _ in 0..10 {
            if !PASSING.iter().any(|name| firing.contains(*name)) {
                break;
            }
            self.server.scrapes(5).await;
            firing = self.firing().await;
        }
        assert_eq!(firing, names.iter().map(|name| (*name).to_owned()).collect());
    }

    /// Waits until the alert fires while `turn` is done over and over.
    async fn fires_amid(&self, name: &str, turn: impl AsyncFnMut()) -> Alert {
        amid(turn, self.fires(name)).await
    }
}

/// Does `turn` over and over, twenty times a second at the most, until `end` has come.
async fn amid<T>(mut turn: impl AsyncFnMut(), end: impl Future<Output = T>) -> T {
    let mut beats = tokio::time::interval(Duration::from_millis(50));
    let turns = async {
        loop {
            beats.tick().await;
            turn().await;
        }
    };
    tokio::select! {
        () = turns => unreachable!("it has no end"),
        end = end => end,
    }
}

/// What fires, as fast as time passes here, when a scrape or a process waits for the machine.
const PASSING: [&str; 3] = ["PortunusAbsent", "PortunusDown", "PortunusWorkerStalled"];

/// How often Prometheus looks: several times within the shortest window, however fast that passes.
const INTERVAL: Duration = Duration::from_millis(200);

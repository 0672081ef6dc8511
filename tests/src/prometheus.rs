//! A Prometheus of one's own: the real `prometheus`, which scrapes what it is told to.
//!
//! ```text
//! let Some(prometheus) = prometheus() else { return };
//! let server = prometheus.scrape("portunus", &[proxy.address("admin")]).start().await;
//! server.scrapes(3).await;
//! let samples = server.query("rate(portunus_connections_total[2s])").await;
//! ```
//!
//! Owns the process, its folder and its address, and asks it by its HTTP interface. Refuses to know
//! any metric, and what a rule should say.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::foreign;
use crate::process::Process;
use crate::proxy::{TOKEN, get};
use crate::reserved::Reserved;
use crate::wait::{PATIENCE, eventually, patiently};

/// What a server shall be, if `prometheus` is on this machine.
pub fn prometheus() -> Option<Prometheus> {
    let interval = Duration::from_millis(500);
    let (jobs, rules) = (Vec::new(), Vec::new());
    foreign::server("prometheus").then_some(Prometheus { interval, jobs, rules })
}

/// What a server shall be.
#[derive(Clone, Debug)]
pub struct Prometheus {
    interval: Duration,
    jobs: Vec<(String, Vec<SocketAddr>)>,
    rules: Vec<PathBuf>,
}

/// A running Prometheus. It ends with this, whatever happens.
#[derive(Debug)]
pub struct PrometheusServer {
    process: Process,
    port: Reserved,
    _folder: TempDir,
}

/// One series of an answer, at its last moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// The labels, the name of the metric among them as `__name__`.
    pub labels: BTreeMap<String, String>,
    /// The value.
    pub value: f64,
}

/// A rule that found something.
#[derive(Clone, Debug)]
pub struct Alert {
    /// The name of the rule.
    pub name: String,
    /// `pending` or `firing`.
    pub state: String,
    /// The labels, those of the rule among them.
    pub labels: BTreeMap<String, String>,
    /// What it tells people.
    pub annotations: BTreeMap<String, String>,
}

impl Prometheus {
    /// Scrapes and evaluates rules this often; half a second if nothing is said.
    #[must_use]
    pub fn interval(mut self, interval: Duration) -> Self {
        self.interval = interval;
        self
    }

    /// Scrapes `/metrics` of these addresses, as one job.
    #[must_use]
    pub fn scrape(mut self, job: &str, targets: &[SocketAddr]) -> Self {
        self.jobs.push((job.to_owned(), targets.to_vec()));
        self
    }

    /// Evaluates the rules of one more file.
    #[must_use]
    pub fn rules(mut self, file: impl AsRef<Path>) -> Self {
        self.rules.push(std::fs::canonicalize(file).expect("the file of rules is there"));
        self
    }

    /// Starts it, and waits until it serves.
    pub async fn start(self) -> PrometheusServer {
        let folder = tempfile::tempdir().expect("a folder");
        let config = folder.path().join("prometheus.yml");
        std::fs::write(&config, self.configuration()).expect("the folder is ours");
        let port = Reserved::new();
        let mut command = Command::new("prometheus");
        command
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{}", port.number()))
            .args(["--log.level=warn", "--log.format=json"]);
        let server = PrometheusServer { process: Process::spawn(command), port, _folder: folder };
        eventually("a prometheus that is ready", async || {
            let exited = server.process.exited();
            assert!(exited.is_none(), "prometheus: {exited:?}: {:?}", server.process.text());
            let answer = get(server.address(), "/-/ready").await.ok()?;
            (answer.status == 200).then_some(())
        })
        .await;
        server
    }

    fn configuration(&self) -> String {
        let interval = format!("{}ms", self.interval.as_millis());
        let mut text = format!(
            "global:\n  scrape_interval: {interval}\n  scrape_timeout: {interval}\n  \
             evaluation_interval: {interval}\nrule_files: {}\nscrape_configs:\n",
            serde_json::json!(self.rules),
        );
        for (job, targets) in &self.jobs {
            let targets: Vec<_> = targets.iter().map(SocketAddr::to_string).collect();
            let _ = write!(
                text,
                "  - job_name: {}\n    authorization: {{ credentials: {TOKEN} }}\n    \
                 static_configs: [{{ targets: {} }}]\n",
                serde_json::json!(job),
                serde_json::json!(targets),
            );
        }
        text
    }
}

impl PrometheusServer {
    /// Where it is.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.port.number()))
    }

    /// What `expression` is now; a failed test if Prometheus does not understand it.
    pub async fn query(&self, expression: &str) -> Vec<Sample> {
        let answer = self.try_query(expression).await;
        answer.unwrap_or_else(|error| panic!("{expression}: {error}"))
    }

    /// What `expression` is now, or what Prometheus says against it.
    pub async fn try_query(&self, expression: &str) -> Result<Vec<Sample>, String> {
        let data = self.ask(&format!("/api/v1/query?query={}", encoded(expression))).await?;
        let samples = |value: &Value| value.as_array().cloned().unwrap_or_default();
        Ok(match data["resultType"].as_str() {
            Some("scalar") => vec![Sample::new(BTreeMap::new(), &data["result"])],
            _ => samples(&data["result"])
                .iter()
                .map(|one| Sample::new(texts(&one["metric"]), &one["value"]))
                .collect(),
        })
    }

    /// Waits until `expression` has something to show, and returns it.
    pub async fn query_until(&self, expression: &str) -> Vec<Sample> {
        let what = format!("something that `{expression}` shows");
        let shown = async || Some(self.query(expression).await).filter(|all| !all.is_empty());
        eventually(&what, shown).await
    }

    /// Waits until each target was scraped `count` times more.
    pub async fn scrapes(&self, count: usize) {
        for _ in 0..count {
            let before = self.last_scrapes().await;
            eventually("another scrape of each target", async || {
                let now = self.last_scrapes().await;
                let is_later =
                    |(target, time): (&String, &String)| before.get(target) != Some(time);
                (!now.is_empty() && now.iter().all(is_later)).then_some(())
            })
            .await;
        }
    }

    /// What is wrong with the targets, by their URL; nothing if all is well.
    pub async fn target_errors(&self) -> BTreeMap<String, String> {
        let targets = self.targets().await;
        let errors = targets.into_iter().filter(|target| target["health"] != "up");
        errors.map(|target| (text(&target["scrapeUrl"]), text(&target["lastError"]))).collect()
    }

    /// What it knows of each metric of its targets: type, help and unit, by name.
    pub async fn metadata(&self) -> BTreeMap<String, Value> {
        let data = self.ask("/api/v1/metadata").await.expect("it tells what it knows");
        let families = data.as_object().cloned().unwrap_or_default();
        families.into_iter().map(|(name, facts)| (name, facts[0].clone())).collect()
    }

    /// Every alert that is pending or firing.
    pub async fn alerts(&self) -> Vec<Alert> {
        let data = self.ask("/api/v1/alerts").await.expect("it tells its alerts");
        let alerts = data["alerts"].as_array().cloned().unwrap_or_default();
        alerts.iter().map(Alert::new).collect()
    }

    /// Waits until the alert `name` fires.
    pub async fn wait_for_alert(&self, name: &str) -> Alert {
        let what = format!("the alert {name}");
        // Each scrape that comes too late has it begin anew.
        patiently(&what, PATIENCE * 4, async || {
            let mut alerts = self.alerts().await.into_iter();
            alerts.find(|alert| alert.name == name && alert.state == "firing")
        })
        .await
    }

    /// Waits until the alert `name` is neither pending nor firing.
    pub async fn wait_for_silence(&self, name: &str) {
        let what = format!("the end of the alert {name}");
        eventually(&what, async || {
            let alerts = self.alerts().await;
            alerts.iter().all(|alert| alert.name != name).then_some(())
        })
        .await;
    }

    /// Every rule, with what it says of itself.
    pub async fn rules(&self) -> Vec<Value> {
        let data = self.ask("/api/v1/rules").await.expect("it tells its rules");
        let groups = data["groups"].as_array().cloned().unwrap_or_default();
        let rules = |group: &Value| group["rules"].as_array().cloned().unwrap_or_default();
        groups.iter().flat_map(rules).collect()
    }

    async fn targets(&self) -> Vec<Value> {
        let data = self.ask("/api/v1/targets?state=active").await.expect("it tells its targets");
        data["activeTargets"].as_array().cloned().unwrap_or_default()
    }

    async fn last_scrapes(&self) -> BTreeMap<String, String> {
        let targets = self.targets().await;
        targets.iter().map(|one| (text(&one["scrapeUrl"]), text(&one["lastScrape"]))).collect()
    }

    async fn ask(&self, path: &str) -> Result<Value, String> {
        let answer = get(self.address(), path).await;
        let answer = answer.unwrap_or_else(|error| panic!("prometheus: {error}"));
        let mut answer: Value = serde_json::from_slice(&answer.body).expect("it speaks JSON");
        match answer["status"].as_str() {
            Some("success") => Ok(answer["data"].take()),
            _ => Err(text(&answer["error"])),
        }
    }
}

impl Sample {
    /// A sample with the value of a pair of moment and text.
    fn new(labels: BTreeMap<String, String>, pair: &Value) -> Self {
        let value = pair[1].as_str().and_then(|value| value.parse().ok());
        Self { labels, value: value.expect("Prometheus writes numbers as text") }
    }

    /// The value of a label; empty if there is none.
    pub fn label(&self, name: &str) -> &str {
        self.labels.get(name).map_or("", String::as_str)
    }
}

impl Alert {
    fn new(facts: &Value) -> Self {
        Self {
            name: text(&facts["labels"]["alertname"]),
            state: text(&facts["state"]),
            labels: texts(&facts["labels"]),
            annotations: texts(&facts["annotations"]),
        }
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn texts(value: &Value) -> BTreeMap<String, String> {
    let pairs = value.as_object().into_iter().flatten();
    pairs.map(|(name, value)| (name.clone(), text(value))).collect()
}

/// `text` as a part of a query of a URL.
fn encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => out.push(byte.into()),
            _ => {
                let _ = write!(out, "%{byte:02X}");
            }
        }
        out
    })
}

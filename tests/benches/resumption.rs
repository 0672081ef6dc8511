//! What a resumption costs the process, by where the session lies: in memory, in Redis, in a
//! folder, with the client.
//!
//! Owns a process for each place, one worker on the first CPU, and the load generator on the
//! second. There are so many clients that each returns when its session was handed over already.
//! Counted is the CPU time of the process alone, in turns, as the kernel accounts for it; that of
//! Redis is its own. Also owns the question of what a second worker costs. Reads `/proc`: for
//! Linux. Needs `taskset`, and `redis-server` for its part.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use portunus_tests::redis::{RedisServer, redis};
use portunus_tests::{Builder, Proxy, authority, echo, tls};

#[tokio::main]
async fn main() {
    let redis = match redis() {
        Some(redis) => Some(redis.start().await),
        None => None,
    };
    for kind in ["resumed13", "resumed12"] {
        let mut legs = Vec::new();
        // The clients of TLS 1.2 take session ids only.
        let has_kind = |place: &Place| kind == "resumed13" || place.settings != "tickets";
        for place in places(redis.as_ref()).into_iter().filter(has_kind) {
            legs.push((place.name, start(&place, "1").await, Vec::new()));
        }
        for _ in 0..RUNS {
            for (_, proxy, costs) in &mut legs {
                costs.push(cost(proxy, kind, "1"));
            }
        }
        let mut memory = None;
        for (name, proxy, mut costs) in legs {
            let cost = median(&mut costs);
            let memory = *memory.get_or_insert(cost);
            let found = share_found(&proxy).await;
            say(&format!(
                "resumption/{kind}/{name:12} {cost:7.1} us CPU  {:+5.1} %  ({found})",
                (cost / memory - 1.0) * 100.0
            ));
        }
    }
    workers(&Place::new("memory", "")).await;
}

/// What a second worker costs each handshake: contention is CPU time, or waiting.
async fn workers(place: &Place) {
    let (one, two) = (start(place, "1").await, start(place, "2").await);
    let (mut ones, mut twos) = (Vec::new(), Vec::new());
    for _ in 0..RUNS {
        ones.push(cost(&one, "resumed13", "0-1"));
        twos.push(cost(&two, "resumed13", "0-1"));
    }
    let (one, two) = (median(&mut ones), median(&mut twos));
    say(&format!("workers/resumed13: one {one:.1} us CPU, two {two:.1} us CPU each"));
    say(&format!(
        "workers/resumed13: on free CPUs, two do {:.2} x the work of one",
        2.0 * one / two
    ));
}

/// Where sessions lie, as the configuration has it.
struct Place {
    name: &'static str,
    settings: String,
}

impl Place {
    fn new(name: &'static str, settings: &str) -> Self {
        Self { name, settings: settings.to_owned() }
    }
}

fn places(redis: Option<&RedisServer>) -> Vec<Place> {
    let mut places = vec![Place::new("memory", ""), Place::new("tickets", "tickets")];
    if let Some(redis) = redis {
        places.push(Place::new("redis_tcp", &redis.url()));
        places.push(Place::new("redis_unix", &redis.socket_url()));
    }
    places.push(Place::new("folder", "file:sessions"));
    places
}

async fn start(place: &Place, workers: &str) -> Proxy {
    let cpus = if workers == "1" { "0" } else { "0-1" };
    let credential = authority().issue(&[NAME]);
    let builder = Proxy::builder()
        .listener(tls(NAME))
        .backend(echo())
        .certificate(NAME, &credential)
        .file("leaf.pem", &credential.pem())
        .set("server.workers", workers)
        .set("limits.handshakes_per_source", "100000")
        .set("log.level", "\"info\"")
        .under(&["taskset", "-c", cpus]);
    let shared = |builder: Builder, url: &str| {
        builder
            .file("sealing-keys", KEY)
            .set("resumption.shared.url", &format!("{url:?}"))
            .set("resumption.shared.sealing_key", "\"file:sealing-keys\"")
            .set("resumption.shared.timeout", "\"20ms\"")
    };
    match place.settings.as_str() {
        "" => builder.start().await,
        "tickets" => builder.set("resumption.mode", "\"tickets\"").start().await,
        url => shared(builder, url).start().await,
    }
}

/// Microseconds of CPU time of the process for each resumption.
fn cost(proxy: &Proxy, kind: &str, cpus: &str) -> f64 {
    let mut load = Load::warm(proxy, kind, cpus);
    let before = nanoseconds(proxy.process().id());
    load.go();
    let after = nanoseconds(proxy.process().id());
    (after - before) as f64 / 1e3 / COUNT as f64
}

/// The load generator, which stands still until it is told to go.
struct Load {
    child: Child,
    words: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Load {
    /// A client that is quicker than the first connection to a store gets a full handshake, and
    /// the load wants none: it begins again.
    fn warm(proxy: &Proxy, kind: &str, cpus: &str) -> Self {
        (0..WARMINGS_MAX)
            .find_map(|_| Self::start(proxy, kind, cpus))
            .expect("the load gets what it asks for")
    }

    fn start(proxy: &Proxy, kind: &str, cpus: &str) -> Option<Self> {
        let mut child = Command::new("taskset")
            .args(["-c", if cpus == "1" { "1" } else { cpus }])
            .arg(env!("CARGO_BIN_EXE_portunus-load"))
            .args(["handshake", "--kind", kind, "--count", &COUNT.to_string()])
            .args(["--parallel", &CLIENTS.to_string()])
            .args(["--address", &proxy.first_address().to_string()])
            .arg("--certificate")
            .arg(proxy.folder().join("leaf.pem"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("taskset and the load generator");
        let words = child.stdin.take().expect("a pipe");
        let answers = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut load = Self { child, words, answers };
        (load.answer().trim() == "ready").then_some(load)
    }

    fn go(&mut self) {
        writeln!(self.words, "go").expect("it listens");
        assert!(self.answer().contains("done"), "every handshake was a resumption");
    }

    fn answer(&mut self) -> String {
        let mut line = String::new();
        self.answers.read_line(&mut line).expect("it answers");
        line
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        let _ = writeln!(self.words, "end");
        let _ = self.child.wait();
    }
}

/// The CPU time of all threads of a process.
fn nanoseconds(process: u32) -> u64 {
    let threads = std::fs::read_dir(format!("/proc/{process}/task")).expect("it runs");
    let spent = threads.filter_map(|thread| {
        let account = std::fs::read_to_string(thread.ok()?.path().join("schedstat")).ok()?;
        account.split(' ').next()?.parse::<u64>().ok()
    });
    spent.sum()
}

/// Where sessions were found, in percent, so that a figure is not of something else.
async fn share_found(proxy: &Proxy) -> String {
    let mut counts = Vec::new();
    for tier in ["memory", "shared", "ticket"] {
        let labels = [("tier", tier), ("result", "hit")];
        counts.push((tier, proxy.metric("portunus_resumption_lookups_total", &labels).await));
    }
    let all: f64 = counts.iter().map(|(_, count)| count).sum();
    let shares = counts.iter().filter(|(_, count)| *count > 0.0);
    let words: Vec<_> =
        shares.map(|(tier, count)| format!("{tier} {:.0} %", count / all * 100.0)).collect();
    words.join(", ")
}

fn median(costs: &mut [f64]) -> f64 {
    costs.sort_unstable_by(f64::total_cmp);
    costs.get(costs.len() / 2).copied().unwrap_or_default()
}

fn say(line: &str) {
    writeln!(std::io::stdout(), "{line}").expect("standard output takes a line");
}

/// The name that the load generator asks for.
const NAME: &str = "bench.test";
/// So many that a client returns when its session was handed over.
const CLIENTS: usize = 64;
/// Resumptions in a run.
const COUNT: usize = 8_192;
const RUNS: usize = 5;
const WARMINGS_MAX: usize = 5;
const KEY: &str = "3q2+796tvu/erb7v3q2+796tvu/erb7v3q2+796tvu8=\n";

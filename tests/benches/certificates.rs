//! A folder of many certificates: the start, the memory, one change, and handshakes meanwhile.
//!
//! Owns the folder and a process that serves it, measured from outside, and the store by itself,
//! measured from inside. Time of the process is CPU time as the kernel accounts for it, in ticks
//! of ten milliseconds, so what is short is done several times. Reads `/proc`: for Linux.

#![allow(clippy::disallowed_methods, reason = "wall time is what is measured here")]

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use portunus_certs::store::{CertificateStore, Look, StoreOptions};
use portunus_tests::{Client, Line, Proxy, authority, echo, tls, write, write_and_rename};
use rustls::client::Resumption;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::UnixTime;

fn main() {
    let count = std::env::args().skip(1).find_map(|argument| argument.parse().ok());
    let count = count.unwrap_or(DEFAULT_COUNT).max(1);
    say(&format!("{count} certificates; `cargo bench --bench certificates -- {count}` repeats it"));
    let folder = tempfile::tempdir().expect("a temporary folder");
    let wrote = Instant::now();
    (0..count).for_each(|index| write(&file(folder.path(), index), &issue(index)));
    row("written (not measured)", &format!("{:.1} s", wrote.elapsed().as_secs_f64()));
    store(folder.path(), count);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(process(folder.path(), count));
}

fn name(index: usize) -> String {
    format!("site-{index}.bench.example")
}

fn file(folder: &Path, index: usize) -> PathBuf {
    folder.join(format!("{index:06}.pem"))
}

fn issue(index: usize) -> String {
    authority().issue(&[&name(index)]).pem()
}

/// The store alone: how long each kind of look takes when one file is another.
fn store(folder: &Path, count: usize) {
    let options = StoreOptions {
        paths: vec![folder.to_owned()],
        strict_permissions: false,
        provider: Arc::new(default_provider()),
    };
    let (store, report) = CertificateStore::open(options, UnixTime::now());
    assert_eq!(report.loaded, count, "every certificate is loaded");
    let changed = file(folder, count / 2);
    let hint = Look::At(BTreeSet::from([changed.clone()]));
    for (what, look) in
        [("told which file", hint), ("looking around", Look::Around), ("closely", Look::Closely)]
    {
        let mut spent = Vec::new();
        for _ in 0..CHANGES_OF_STORE {
            write_and_rename(&changed, &issue(count / 2));
            let began = Instant::now();
            assert!(store.look(&look, UnixTime::now()).changed, "the change is seen");
            spent.push(began.elapsed().as_secs_f64() * 1e3);
        }
        spent.sort_by(f64::total_cmp);
        row(&format!("store/one changed, {what}"), &format!("{:.2} ms", percentile(&spent, 50)));
    }
}

/// The process that serves the folder.
async fn process(folder: &Path, count: usize) {
    let began = Instant::now();
    let proxy = Proxy::builder()
        .listener(tls(&name(0)).without_sites())
        .file("unused", "")
        .backend(echo())
        .set("certificates.paths", &format!("[{folder:?}]"))
        .set("certificates.poll_interval", "\"1h\"")
        .set("certificates.settle", "\"10ms\"")
        .set("log.level", "\"info\"")
        .start()
        .await;
    let served = Served { proxy, folder, place: count / 2 };
    let wall = began.elapsed().as_secs_f64();
    row("process/start", &format!("{wall:.2} s wall, {:.2} s CPU", served.cpu()));
    row("process/memory", &format!("{} MiB resident", served.resident_mib()));
    served.changes().await;
    row("process/memory after that", &format!("{} MiB resident", served.resident_mib()));
    served.handshakes().await;
}

struct Served<'a> {
    proxy: Proxy,
    folder: &'a Path,
    /// Which certificate changes.
    place: usize,
}

impl Served<'_> {
    /// One file is another, again and again, and each time the next handshake shows it.
    async fn changes(&self) {
        let (began, before) = (Instant::now(), self.cpu());
        for _ in 0..CHANGES {
            let new = authority().issue(&[&name(self.place)]);
            let count = self.readings();
            write_and_rename(&file(self.folder, self.place), &new.pem());
            self.reading_after(count).await;
            let shown = self.client().connect().await.leaf();
            assert!(shown == new.leaf, "what was read is served");
        }
        let each = |total: f64| total * 1e3 / CHANGES as f64;
        let (wall, cpu) = (each(began.elapsed().as_secs_f64()), each(self.cpu() - before));
        row("process/one changed", &format!("{wall:.1} ms wall to live, {cpu:.2} ms CPU"));
    }

    /// Handshakes one after the other, in quiet, while one file changes, and while all are read.
    async fn handshakes(&self) {
        let quiet = self.latencies(async || tokio::time::sleep(QUIET).await).await;
        let one = self
            .latencies(async || {
                for _ in 0..CHANGES {
                    let count = self.readings();
                    write_and_rename(&file(self.folder, self.place), &issue(self.place));
                    self.reading_after(count).await;
                }
            })
            .await;
        let all = self
            .latencies(async || {
                for _ in 0..HANG_UPS {
                    let count = self.readings();
                    self.proxy.process().signal("HUP");
                    self.reading_after(count).await;
                }
            })
            .await;
        let quiet_p99 = percentile(&quiet, 99);
        for (what, latencies) in
            [("in quiet", quiet), ("while one changes", one), ("while all are read", all)]
        {
            let (p50, p99) = (percentile(&latencies, 50), percentile(&latencies, 99));
            row(
                &format!("handshakes/{what}"),
                &format!(
                    "{p50:.2} ms p50, {p99:.2} ms p99 ({:.2} x), of {}",
                    p99 / quiet_p99,
                    latencies.len()
                ),
            );
        }
    }

    /// How long handshakes take, in milliseconds, as long as `meanwhile` goes on.
    async fn latencies(&self, meanwhile: impl AsyncFnOnce()) -> Vec<f64> {
        let mut latencies = Vec::new();
        let client = self.client();
        let hands = async {
            loop {
                let began = Instant::now();
                client.connect().await.reset();
                latencies.push(began.elapsed().as_secs_f64() * 1e3);
            }
        };
        tokio::select! {
            () = hands => {}
            () = meanwhile() => {}
        }
        latencies.sort_by(f64::total_cmp);
        latencies
    }

    fn client(&self) -> Client {
        self.proxy.client(&name(self.place)).resumption(Resumption::disabled())
    }

    fn readings(&self) -> usize {
        let lines = self.proxy.process().lines();
        lines.iter().filter(|line| line.says("certificates read", &[])).count()
    }

    async fn reading_after(&self, count: usize) {
        let mut found = 0;
        let another = |line: &Line| {
            found += usize::from(line.says("certificates read", &[]));
            (found > count).then_some(())
        };
        self.proxy.process().line("another reading", another).await;
    }

    /// CPU time of the process since its start, in seconds.
    fn cpu(&self) -> f64 {
        let stat = self.account("stat");
        // Behind the name, which may hold anything, the 12th and 13th field.
        let rest = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
        let ticks = rest.split_whitespace().skip(11).take(2).map(str::parse::<f64>);
        ticks.map(|ticks| ticks.expect("ticks are a number")).sum::<f64>() / TICKS_PER_SECOND
    }

    fn resident_mib(&self) -> u64 {
        let status = self.account("status");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
        kib.expect("the kernel counts what is resident") / 1024
    }

    fn account(&self, what: &str) -> String {
        let path = format!("/proc/{}/{what}", self.proxy.process().id());
        fs::read_to_string(path).expect("the process runs")
    }
}

fn percentile(sorted: &[f64], percent: usize) -> f64 {
    sorted.get(sorted.len() * percent / 100).copied().unwrap_or(f64::NAN)
}

fn row(what: &str, value: &str) {
    say(&format!("certificates/{what:40} {value}"));
}

fn say(line: &str) {
    writeln!(io::stdout(), "{line}").expect("standard output takes a line");
}

const DEFAULT_COUNT: usize = 10_000;

/// Odd, so that the median is one of them.
const CHANGES_OF_STORE: usize = 5;
const CHANGES: usize = 50;
const HANG_UPS: usize = 10;
const QUIET: Duration = Duration::from_secs(3);

/// What Linux shows to programs, whatever it counts by itself.
const TICKS_PER_SECOND: f64 = 100.0;

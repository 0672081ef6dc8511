//! A folder of many certificates: the start, the memory, one change, and handshakes meanwhile.
//!
//! Owns the folder and a process that serves it, measured from outside, and the store by itself,
//! measured from inside. Time of the process is CPU time as the kernel accounts for it, in ticks
//! of ten milliseconds, so what is short is done several times. Reads `/proc`: for Linux.

#![allow(clippy::disallowed_methods, reason = "wall time is what is measured here")]

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write as _};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use portunus_certs::store::{CertificateStore, Look, StoreOptions};
use portunus_tests::{Client, Proxy, authority, echo, tls, write, write_and_rename};
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
        .set("certificates.settle", "\"0s\"")
        .set("log.level", "\"info\"")
        .start()
        .await;
    let served = Served { proxy, folder, place: count / 2 };
    let wall = began.elapsed().as_secs_f64();
    row("process/start", &format!("{wall:.2} s wall, {:.2} s CPU", served.cpu()));
    row("process/memory", &format!("{} MiB resident", served.resident_mib()));
    served.changes().await;
    row("process/memory after that", &format!("{} MiB resident", served.resident_mib()));
    served.handshakes();
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
        // The first look around, which follows the start, is over when this is read.
        self.change(&issue(self.place));
        let (began, before) = (Instant::now(), self.cpu());
        for _ in 0..CHANGES {
            let new = authority().issue(&[&name(self.place)]);
            self.change(&new.pem());
            let shown = self.client().connect().await.leaf();
            assert!(shown == new.leaf, "what was read is served");
        }
        let each = |total: f64| total * 1e3 / CHANGES as f64;
        let (wall, cpu) = (each(began.elapsed().as_secs_f64()), each(self.cpu() - before));
        row("process/one changed", &format!("{wall:.1} ms wall to live, {cpu:.2} ms CPU"));
    }

    /// Handshakes one after the other, before, while and after files are read.
    ///
    /// Of those with pauses in between only the handshakes count that began during a reading, so
    /// the pauses do not flatter it.
    fn handshakes(&self) {
        let quiet = || self.during(|| vec![span(|| std::thread::sleep(QUIET))]);
        let before = quiet();
        let change = |pause| {
            self.during(|| {
                let changes = (0..CHANGES_MEASURED).map(|_| {
                    let new = issue(self.place);
                    std::thread::sleep(pause);
                    self.change(&new)
                });
                changes.collect()
            })
        };
        let (single, back_to_back) = (change(PAUSE), change(Duration::ZERO));
        let busy = self.during(|| {
            vec![span(|| {
                for _ in 0..CHANGES_MEASURED {
                    let new = issue(self.place);
                    std::thread::sleep(PAUSE);
                    self.change(&new);
                }
            })]
        });
        let unread = self.folder.join("unread");
        let aside = self.during(|| {
            let writes = (0..CHANGES_MEASURED).map(|_| {
                let new = issue(self.place);
                std::thread::sleep(PAUSE);
                span(|| {
                    write_and_rename(&unread, &new);
                    (0..PROBES_ASIDE).for_each(|_| std::thread::sleep(PROBE));
                })
            });
            writes.collect()
        });
        let hang_up = |_| self.read(|| self.proxy.process().signal("HUP"));
        let all = self.during(|| (0..HANG_UPS).map(hang_up).collect());
        let after = quiet();
        let normal = (percentile(&before, 99) + percentile(&after, 99)) / 2.0;
        for (what, latencies) in [
            ("quiet, before", before),
            ("another file written", aside),
            ("one changed every 20 ms, all of that time", busy),
            ("one changed, with pauses", single),
            ("one changed, back to back", back_to_back),
            ("all read, back to back", all),
            ("quiet, after", after),
        ] {
            let at = |percent| percentile(&latencies, percent);
            row(
                &format!("handshakes/{what}"),
                &format!(
                    "{:.2} ms p50, {:.2} ms p99 ({:.2} x quiet), {:.2} ms most, of {}",
                    at(50),
                    at(99),
                    at(99) / normal,
                    at(100),
                    latencies.len()
                ),
            );
        }
    }

    /// How long the handshakes took, in milliseconds, that began in one of the spans in which
    /// `act` did something. The hands are on a thread of their own, so that what is done does not
    /// hold them up.
    fn during(&self, act: impl FnOnce() -> Vec<Span>) -> Vec<f64> {
        let done = AtomicBool::new(false);
        let (handshakes, spans) = std::thread::scope(|scope| {
            let hands = scope.spawn(|| self.shake_hands(&done));
            let spans = act();
            done.store(true, Ordering::Relaxed);
            (hands.join().expect("every handshake succeeds"), spans)
        });
        // A long handshake meets a span more easily than a short one; that it begins in one says
        // nothing of its length.
        let began_within = |handshake: &&Span| {
            let first = spans.partition_point(|span| span.end < handshake.start);
            spans.get(first).is_some_and(|span| span.start <= handshake.start)
        };
        let lengths = handshakes.iter().filter(began_within).map(|one| one.end - one.start);
        let mut lengths: Vec<_> = lengths.map(|length| length.as_secs_f64() * 1e3).collect();
        lengths.sort_by(f64::total_cmp);
        lengths
    }

    fn shake_hands(&self, done: &AtomicBool) -> Vec<Span> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.expect("a runtime");
        let client = self.client();
        let mut handshakes = Vec::new();
        while !done.load(Ordering::Relaxed) {
            handshakes.push(span(|| runtime.block_on(client.connect()).reset()));
        }
        handshakes
    }

    fn client(&self) -> Client {
        self.proxy.client(&name(self.place)).resumption(Resumption::disabled())
    }

    fn change(&self, new: &str) -> Span {
        self.read(|| write_and_rename(&file(self.folder, self.place), new))
    }

    /// Does what makes the process read, and waits until it says that it has.
    fn read(&self, cause: impl FnOnce()) -> Span {
        span(|| {
            let count = self.proxy.process().line_count();
            cause();
            while self.proxy.process().line_count() == count {
                std::thread::sleep(PROBE);
            }
        })
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

/// From when to when something was done.
type Span = Range<Instant>;

fn span(act: impl FnOnce()) -> Span {
    let start = Instant::now();
    act();
    start..Instant::now()
}

fn percentile(sorted: &[f64], percent: usize) -> f64 {
    sorted
        .get((sorted.len() * percent / 100).min(sorted.len().saturating_sub(1)))
        .copied()
        .unwrap_or(f64::NAN)
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
const CHANGES: usize = 200;
const HANG_UPS: usize = 10;

/// Enough for thousands of handshakes meanwhile, however short a reading is.
const CHANGES_MEASURED: usize = 500;
const PAUSE: Duration = Duration::from_millis(20);
const QUIET: Duration = Duration::from_secs(4);
/// How often it is asked whether the process has read.
const PROBE: Duration = Duration::from_micros(200);
/// About as long as a reading takes.
const PROBES_ASIDE: usize = 8;

/// What Linux shows to programs, whatever it counts by itself.
const TICKS_PER_SECOND: f64 = 100.0;

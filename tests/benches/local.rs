//! What the sessions folder costs: CPU time of this process for each text stored and fetched, with
//! 32 callers at once.
//!
//! `cargo bench -p portunus-tests --bench local` keeps the folder in `/dev/shm`.

#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a benchmark that measures real time, prints it, and fails where it fails"
)]

use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use portunus_certs::sealing::SealKey;
use portunus_certs::session::engine::{Engine, Record, Wanted};
use portunus_certs::session::id::Use;
use portunus_certs::session::local::{LocalEngine, LocalOptions};

const CALLERS: u64 = 32;
const EACH: u64 = 5_000;
const TEXT_BYTES: usize = 300;

fn main() {
    let path = "/dev/shm/portunus-costs";
    let options = LocalOptions { bytes_max: 256 << 20, ..LocalOptions::new(path) };
    let engine = Arc::new(LocalEngine::open(&options).unwrap());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    println!("{engine:?}");
    for round in ["cold", "warm"] {
        for (name, batch) in [("store one by one", 1), ("store in batches of 50", 50)] {
            measure(&runtime, &engine, &format!("{round}: {name}"), move |engine, caller| {
                Box::pin(store(engine, caller, batch))
            });
        }
        for usage in [Use::Repeated, Use::Single] {
            measure(
                &runtime,
                &engine,
                &format!("{round}: fetch {usage:?}"),
                move |engine, caller| Box::pin(fetch(engine, caller, usage)),
            );
        }
        measure(&runtime, &engine, &format!("{round}: miss"), move |engine, caller| {
            Box::pin(fetch(engine, caller, Use::Single))
        });
    }
}

type Work = std::pin::Pin<Box<dyn Future<Output = Duration> + Send>>;

/// Runs the callers, each of which says how long its slowest call took.
fn measure(
    runtime: &tokio::runtime::Runtime,
    engine: &Arc<LocalEngine>,
    name: &str,
    work: impl Fn(Arc<LocalEngine>, u64) -> Work,
) {
    let (cpu, begun) = (cpu_time(), Instant::now());
    let slowest = runtime.block_on(async {
        let callers: Vec<_> =
            (0..CALLERS).map(|caller| tokio::spawn(work(engine.clone(), caller))).collect();
        let mut slowest = Duration::ZERO;
        for caller in callers {
            slowest = slowest.max(caller.await.unwrap());
        }
        slowest
    });
    let (cpu, wall) = (cpu_time() - cpu, begun.elapsed());
    let count = (CALLERS * EACH) as f64;
    println!(
        "{name:32} {:6.2} us CPU each, {:8.0} each second, slowest call {:5.2} ms",
        cpu.as_secs_f64() * 1e6 / count,
        count / wall.as_secs_f64(),
        slowest.as_secs_f64() * 1e3,
    );
}

/// Spread by chance, as keyed digests are.
fn key(caller: u64, n: u64) -> [u8; 32] {
    static SPREAD: LazyLock<SealKey> = LazyLock::new(|| SealKey::generate().unwrap());
    SPREAD.digest(&[&(caller * EACH + n).to_be_bytes()])
}

async fn store(engine: Arc<LocalEngine>, caller: u64, batch: u64) -> Duration {
    let mut slowest = Duration::ZERO;
    for start in (0..EACH).step_by(batch as usize) {
        let records: Vec<_> = (start..start + batch)
            .map(|n| Record {
                key: key(caller, n),
                sealed: vec![1; TEXT_BYTES],
                lifetime: Duration::from_secs(3600),
            })
            .collect();
        let begun = Instant::now();
        assert!(engine.store(&records).await.unwrap().iter().all(Result::is_ok));
        slowest = slowest.max(begun.elapsed());
    }
    slowest
}

async fn fetch(engine: Arc<LocalEngine>, caller: u64, usage: Use) -> Duration {
    let mut slowest = Duration::ZERO;
    for n in 0..EACH {
        let begun = Instant::now();
        engine.fetch(&[Wanted { key: key(caller, n), usage }]).await.unwrap();
        slowest = slowest.max(begun.elapsed());
    }
    slowest
}

/// Of all threads, as the scheduler counts it.
fn cpu_time() -> Duration {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let nanos = tasks.filter_map(|task| {
        let text = std::fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
        text.split(' ').next()?.parse::<u64>().ok()
    });
    Duration::from_nanos(nanos.sum())
}

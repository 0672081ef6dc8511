//! What a session in Redis costs this process: CPU time of all of its threads, a server beside it.
//!
//! Owns the load: as many callers at once as a busy proxy has handshakes, or one alone. Without
//! `redis-server` on this machine there is nothing to measure.

mod measure;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use portunus_certs::session::engine::{Engine, Record, Wanted};
use portunus_certs::session::id::Use;
use portunus_certs::session::redis::{RedisEngine, RedisOptions};
use portunus_tests::redis::redis;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;

use measure::{process_cpu, run};

fn main() {
    let runtime = Builder::new_multi_thread().worker_threads(WORKERS).enable_all().build();
    let runtime = runtime.expect("a runtime");
    let Some(redis) = redis() else { return };
    let server = runtime.block_on(redis.start());
    for (way, url) in [("socket", server.socket_url()), ("tcp", server.url())] {
        let engine = RedisEngine::new(&RedisOptions::new(&url)).expect("an address");
        let bench = Bench { runtime: &runtime, engine: Arc::new(engine), next: AtomicU64::new(0) };
        for (callers, batch) in [(1, 1), (CALLERS, 1), (1, 16), (1, 64)] {
            let name = format!("redis/{way}/store/{callers}_callers/{batch}_records");
            run(&name, RECORDS, || {
                process_cpu(|| {
                    let _ = bench.store(callers, batch);
                })
            });
        }
        for callers in [1, CALLERS] {
            for (kind, usage) in [("single", Use::Single), ("repeated", Use::Repeated)] {
                let name = format!("redis/{way}/fetch_{kind}/{callers}_callers");
                run(&name, RECORDS, || {
                    let stored = bench.store(1, 64);
                    process_cpu(|| bench.fetch(callers, stored, usage))
                });
            }
        }
    }
}

struct Bench<'a> {
    runtime: &'a Runtime,
    engine: Arc<RedisEngine>,
    next: AtomicU64,
}

impl Bench<'_> {
    /// Stores new records, and returns the number of the first.
    fn store(&self, callers: usize, batch: usize) -> u64 {
        let first = self.next.fetch_add(RECORDS as u64, Ordering::Relaxed);
        self.each(callers, move |engine, caller| async move {
            let share = (RECORDS / callers) as u64;
            let mut records = Vec::with_capacity(batch);
            for number in first + caller * share..first + (caller + 1) * share {
                let lifetime = Duration::from_secs(60);
                records.push(Record { key: key(number), sealed: vec![7; SEALED_BYTES], lifetime });
                if records.len() == batch {
                    let stored = engine.store(&records).await.expect("the store is there");
                    assert!(stored.iter().all(Result::is_ok));
                    records.clear();
                }
            }
        });
        first
    }

    fn fetch(&self, callers: usize, first: u64, usage: Use) {
        self.each(callers, move |engine, caller| async move {
            let share = (RECORDS / callers) as u64;
            for number in first + caller * share..first + (caller + 1) * share {
                let wanted = [Wanted { key: key(number), usage }];
                let found = engine.fetch(&wanted).await.expect("the store is there");
                assert!(found.iter().all(Option::is_some));
            }
        });
    }

    fn each<F: Future<Output = ()> + Send + 'static>(
        &self,
        callers: usize,
        work: impl Fn(Arc<RedisEngine>, u64) -> F,
    ) {
        self.runtime.block_on(async {
            let mut tasks = JoinSet::new();
            for caller in 0..callers {
                tasks.spawn(work(Arc::clone(&self.engine), caller as u64));
            }
            tasks.join_all().await;
        });
    }
}

fn key(number: u64) -> [u8; 32] {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&number.to_le_bytes());
    key
}

const WORKERS: usize = 2;
const CALLERS: usize = 32;

/// A multiple of every number of callers and of every size of a batch.
const RECORDS: usize = 4096;

/// What a session of TLS 1.3 takes when it is sealed.
const SEALED_BYTES: usize = 320;

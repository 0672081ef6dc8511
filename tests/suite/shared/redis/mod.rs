//! The engine for Redis against the real `redis-server`: what is kept, what is fetched once, what
//! breaks and mends.
//!
//! Owns the few words that its topics share.

mod cluster;
mod connection;
mod entries;
mod failure;
mod sentinel;
mod server;
mod tls;

use std::error::Error;
use std::time::Duration;

use portunus_certs::session::engine::{Engine, EngineError, EntryKey, ErrorKind, Record, Wanted};
use portunus_certs::session::id::Use;
use portunus_certs::session::redis::{RedisEngine, RedisOptions};
use portunus_tests::redis::{RedisServer, Reply};
use portunus_tests::wait::{self, eventually, within};

fn engine(url: &str) -> RedisEngine {
    RedisEngine::new(&RedisOptions::new(url)).unwrap()
}

/// An engine that has its connection: on a machine that builds something else besides, the one or
/// other attempt takes longer than it may.
async fn connected(url: &str) -> RedisEngine {
    let engine = engine(url);
    eventually("a connection to the store", async || engine.probe().await.ok()).await;
    engine
}

/// How the store itself answers a call that fails: one that took too long to reach does not.
async fn failure<T: std::fmt::Debug>(
    mut call: impl AsyncFnMut() -> Result<T, EngineError>,
) -> EngineError {
    eventually("an error of the store's own", async || {
        let error = call().await.unwrap_err();
        (error.kind() != ErrorKind::Unreachable).then_some(error)
    })
    .await
}

/// Longer than anything takes but a sentinel, which does nothing for half a minute where its own
/// clock seems to have jumped.
const PATIENCE: Duration = Duration::from_secs(90);

/// Probes again and again, and fails after [`PATIENCE`].
async fn patiently<T>(what: &str, probe: impl AsyncFnMut() -> Option<T>) -> T {
    wait::patiently(what, PATIENCE, probe).await
}

fn key(number: u16) -> EntryKey {
    let mut key = [0xfb; 32];
    key[..2].copy_from_slice(&number.to_be_bytes());
    key
}

/// A record whose text tells its number.
fn record(number: u16) -> Record {
    let lifetime = Duration::from_secs(60);
    Record { key: key(number), sealed: format!("text {number}").into_bytes(), lifetime }
}

fn wanted(number: u16, usage: Use) -> Wanted {
    Wanted { key: key(number), usage }
}

async fn store(engine: &RedisEngine, record: Record) -> Result<(), EngineError> {
    let stored = within("an answer of the store", engine.store(&[record])).await?;
    stored.into_iter().next().unwrap()
}

async fn fetch(
    engine: &RedisEngine,
    number: u16,
    usage: Use,
) -> Result<Option<Vec<u8>>, EngineError> {
    let wanted = [wanted(number, usage)];
    let found = within("an answer of the store", engine.fetch(&wanted)).await?;
    Ok(found.into_iter().next().unwrap())
}

/// What kind of error it is; a failed test if it is none.
fn kind<T: std::fmt::Debug>(result: Result<T, EngineError>) -> ErrorKind {
    result.unwrap_err().kind()
}

/// All that an error says, and all that it shows.
fn everything(error: &EngineError) -> String {
    let mut text = format!("{error} {error:?}");
    let mut cause = error.source();
    while let Some(error) = cause {
        text += &format!(": {error}");
        cause = error.source();
    }
    text
}

/// The numbers of our connections, as the server counts them.
async fn connections(server: &RedisServer) -> Vec<String> {
    let Reply::Text(list) = server.ask(&["CLIENT", "LIST"]).await else { panic!("no list") };
    let ours = list.lines().filter(|line| line.contains(" name=portunus "));
    ours.map(|line| line.split(' ').next().unwrap().to_owned()).collect()
}

/// Waits until the server has this many connections of ours.
async fn connections_become(server: &RedisServer, count: usize) {
    eventually("so many connections", async || {
        (connections(server).await.len() == count).then_some(())
    })
    .await;
}

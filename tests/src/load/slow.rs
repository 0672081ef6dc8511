//! Clients that take their time: each begins something, gets on a little now and then, and is held.
//!
//! Owns the three ways of being slow. It reports once all have begun, and goes on until its
//! standard input says something. Refuses to know what a server may do about it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::options::Options;
use super::tls::{self, TlsStream, Version};
use super::{LoadError, gate, say, wait_for_line};

/// `--count` connections, opened by `--parallel` at a time: of every twenty, thirteen are slow
/// with their head, six with their body, and one with taking what it gets.
pub(crate) async fn run(options: &Options) -> Result<(), LoadError> {
    let (address, count, parallel) = (options.address()?, options.count()?, options.parallel()?);
    let config = tls::config(Version::Tls13, &options.certificate()?, false, &["http/1.1"])?;
    gate()?;
    let start = Instant::now();
    let mut clients = JoinSet::new();
    let opened = open(address, &config, count, parallel, &mut clients);
    let opened = tokio::time::timeout(OPENING_TIME_MAX, opened).await;
    opened.unwrap_or_else(|_| Err(LoadError::Unexpected("not all were let begin".to_owned())))?;
    say(&json!({ "done": clients.len(), "seconds": start.elapsed().as_secs_f64() }).to_string())?;
    let enough = tokio::task::spawn_blocking(wait_for_line);
    tokio::select! {
        _ = enough => Ok(()),
        ended = clients.join_next() => {
            Err(LoadError::Unexpected(format!("a client was not waited for: {ended:?}")))
        }
    }
}

async fn open(
    address: SocketAddr,
    config: &Arc<ClientConfig>,
    count: usize,
    parallel: usize,
    clients: &mut JoinSet<Result<(), LoadError>>,
) -> Result<(), LoadError> {
    let mut opening = JoinSet::new();
    for number in 0..count {
        if opening.len() >= parallel {
            hold(&mut opening, clients).await?;
        }
        let config = Arc::clone(config);
        opening.spawn(async move {
            let kind = match number % 20 {
                0..13 => Kind::Head,
                13..19 => Kind::Body,
                _ => Kind::Reader,
            };
            Ok((kind, begin(address, &config, kind).await?))
        });
    }
    while !opening.is_empty() {
        hold(&mut opening, clients).await?;
    }
    Ok(())
}

/// Lets the next that has begun go on by itself.
async fn hold(
    opening: &mut JoinSet<Result<(Kind, TlsStream), LoadError>>,
    clients: &mut JoinSet<Result<(), LoadError>>,
) -> Result<(), LoadError> {
    if let Some(opened) = opening.join_next().await {
        let begun = opened.map_err(|error| LoadError::io("begin a request", error.into()))?;
        let (kind, stream) = begun?;
        clients.spawn(go_on(stream, kind));
    }
    Ok(())
}

/// What a client is slow with.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Head,
    Body,
    Reader,
}

async fn begin(
    address: SocketAddr,
    config: &Arc<ClientConfig>,
    kind: Kind,
) -> Result<TlsStream, LoadError> {
    let mut stream = TlsStream::connect(address, config, BUFFER).await?;
    let bytes = match kind {
        Kind::Head => "GET / HTTP/1.1\r\nHost: bench.test\r\nX-Slow: ",
        Kind::Body => "POST / HTTP/1.1\r\nHost: bench.test\r\nContent-Length: 100000\r\n\r\nx",
        Kind::Reader => "GET /large HTTP/1.1\r\nHost: bench.test\r\n\r\n",
    };
    let begun = async {
        stream.write_all(bytes.as_bytes()).await?;
        stream.flush().await?;
        if matches!(kind, Kind::Reader) {
            stream.read_u8().await?;
        }
        Ok(())
    };
    begun.await.map_err(|source| LoadError::io("begin a request", source))?;
    Ok(stream)
}

async fn go_on(mut stream: TlsStream, kind: Kind) -> Result<(), LoadError> {
    let mut piece = vec![0; READ_SIZE];
    loop {
        sleep(BEAT).await;
        let step = match kind {
            Kind::Reader => stream.read_exact(&mut piece).await.map(drop),
            Kind::Head | Kind::Body => match stream.write_all(b"x").await {
                Ok(()) => stream.flush().await,
                Err(error) => Err(error),
            },
        };
        step.map_err(|source| LoadError::io("get on with a request", source))?;
    }
}

/// How long all of them may take to begin, on a machine that has much else to do.
const OPENING_TIME_MAX: Duration = Duration::from_secs(240);

/// The time between two bytes.
const BEAT: Duration = Duration::from_secs(5);

/// What a reader takes at a time: enough for its window to open now and then, without which the
/// connection would be a dead one.
const READ_SIZE: usize = 32 << 10;

const BUFFER: usize = 1024;

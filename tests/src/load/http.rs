//! Requests over kept connections: HTTP/1.1 one after the other, HTTP/2 many streams at once.
//!
//! Owns a client of HTTP/1.1 that does only what the answer of `backend` needs, and drives
//! hyper's for HTTP/2. Every answer must be a 200 with the whole body. Refuses to know what a
//! server adds to the head.

use std::io;

use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper::client::conn::http2::{self, SendRequest};
use hyper::{Request, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::backend::BODY_SIZE;
use super::options::Options;
use super::tls::{self, TlsStream, Version};
use super::{LoadError, bounded, gate, report};

/// `--count` requests over `--parallel` connections of HTTP/1.1.
pub(crate) async fn run_http1(options: &Options) -> Result<(), LoadError> {
    let (address, parallel) = (options.address()?, options.parallel()?);
    let config = tls::config(Version::Tls13, &options.certificate()?, false, &["http/1.1"])?;
    let mut clients = Vec::with_capacity(parallel);
    for _ in 0..parallel {
        let mut stream = TlsStream::connect(address, &config, READ_SIZE).await?;
        requests(&mut stream, WARM_UP).await?;
        clients.push(stream);
    }
    let share = options.count()? / parallel;
    gate()?;
    let start = Instant::now();
    let clients = bounded(async {
        let mut running = JoinSet::new();
        for mut stream in clients {
            running.spawn(async move { requests(&mut stream, share).await.map(|()| stream) });
        }
        let mut done = Vec::with_capacity(parallel);
        while let Some(ended) = running.join_next().await {
            done.push(ended.map_err(|error| LoadError::io("run a client", error.into()))??);
        }
        Ok(done)
    })
    .await?;
    let seconds = start.elapsed().as_secs_f64();
    report(&json!({ "done": share * parallel, "seconds": seconds }))?;
    drop(clients);
    Ok(())
}

/// `--count` requests over `--parallel` connections of HTTP/2, `--streams` at once on each.
pub(crate) async fn run_http2(options: &Options) -> Result<(), LoadError> {
    let (address, parallel) = (options.address()?, options.parallel()?);
    let streams: usize = options
        .text("streams")?
        .parse()
        .map_err(|_| LoadError::Usage("`--streams` makes no sense".to_owned()))?;
    let config = tls::config(Version::Tls13, &options.certificate()?, false, &["h2"])?;
    let mut senders = Vec::with_capacity(parallel);
    // The connections live as tasks here, until the report is given.
    let mut connections = JoinSet::new();
    for _ in 0..parallel {
        let stream = TlsStream::connect(address, &config, READ_SIZE).await?;
        if stream.protocol() != Some(b"h2") {
            return Err(LoadError::Unexpected("no h2 by ALPN".to_owned()));
        }
        let (mut sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .map_err(|error| LoadError::io("start HTTP/2", io::Error::other(error)))?;
        connections.spawn(connection);
        multiplexed(&mut sender, WARM_UP).await?;
        senders.push(sender);
    }
    let share = options.count()? / (parallel * streams);
    gate()?;
    let start = Instant::now();
    bounded(async {
        let mut running = JoinSet::new();
        for sender in senders.iter().flat_map(|sender| std::iter::repeat_n(sender, streams)) {
            let mut sender = sender.clone();
            running.spawn(async move { multiplexed(&mut sender, share).await });
        }
        while let Some(ended) = running.join_next().await {
            ended.map_err(|error| LoadError::io("run a stream", error.into()))??;
        }
        Ok(())
    })
    .await?;
    let seconds = start.elapsed().as_secs_f64();
    report(&json!({ "done": share * parallel * streams, "seconds": seconds }))
}

/// So many requests of HTTP/1.1, one after the other.
pub(crate) async fn requests(stream: &mut TlsStream, count: usize) -> Result<(), LoadError> {
    let mut answer = Vec::with_capacity(READ_SIZE);
    for _ in 0..count {
        stream
            .write_all(b"GET /1k HTTP/1.1\r\nHost: bench.test\r\n\r\n")
            .await
            .map_err(|source| LoadError::io("send a request", source))?;
        stream.flush().await.map_err(|source| LoadError::io("send a request", source))?;
        answer.clear();
        while !is_whole(&answer)? {
            let length = stream
                .read_buf(&mut answer)
                .await
                .map_err(|source| LoadError::io("read an answer", source))?;
            if length == 0 {
                return Err(LoadError::Unexpected("an answer ended early".to_owned()));
            }
        }
    }
    Ok(())
}

/// Whether the head and the whole body are there, and nothing behind them.
fn is_whole(answer: &[u8]) -> Result<bool, LoadError> {
    let Some(end) = answer.windows(4).position(|four| four == b"\r\n\r\n") else {
        return Ok(false);
    };
    if !answer.starts_with(b"HTTP/1.1 200") {
        let head = String::from_utf8_lossy(answer.get(..end).unwrap_or_default()).into_owned();
        return Err(LoadError::Unexpected(head));
    }
    match answer.len().cmp(&(end + 4 + BODY_SIZE)) {
        std::cmp::Ordering::Less => Ok(false),
        std::cmp::Ordering::Equal => Ok(true),
        std::cmp::Ordering::Greater => {
            Err(LoadError::Unexpected("a body longer than the backend's".to_owned()))
        }
    }
}

/// So many requests of HTTP/2, one after the other, beside those of the clones of `sender`.
async fn multiplexed(
    sender: &mut SendRequest<Empty<Bytes>>,
    count: usize,
) -> Result<(), LoadError> {
    for _ in 0..count {
        let request = Request::get("https://bench.test/1k")
            .body(Empty::new())
            .map_err(|error| LoadError::io("make a request", io::Error::other(error)))?;
        let response = sender
            .send_request(request)
            .await
            .map_err(|error| LoadError::io("send a request", io::Error::other(error)))?;
        let status = response.status();
        let body = response
            .into_body()
            .collect()
            .await
            .map_err(|error| LoadError::io("read an answer", io::Error::other(error)))?
            .to_bytes();
        if status != StatusCode::OK || body.len() != BODY_SIZE {
            let what = format!("{status} with {} bytes", body.len());
            return Err(LoadError::Unexpected(what));
        }
    }
    Ok(())
}

/// Requests of each connection before the clock is read.
const WARM_UP: usize = 20;

const READ_SIZE: usize = 8 * 1024;

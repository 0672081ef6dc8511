//! Connections that do nothing: opened, shown to reach the backend once, and held.
//!
//! Owns the opening of many and the check at the end that the server still has them all. The
//! starter reads the server's memory at the gate and when the report is there. Refuses to know
//! how that is done.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::backend::Order;
use super::options::Options;
use super::tls::{self, TlsStream, Version};
use super::{LoadError, bounded, gate, http, report};

/// `--kind tcp | http1`, `--count` connections, opened by `--parallel` at a time.
pub(crate) async fn run(options: &Options) -> Result<(), LoadError> {
    let kind = match options.text("kind")? {
        "http1" => Kind::Http1,
        "tcp" => Kind::Tcp,
        other => return Err(LoadError::Usage(format!("no kind is called `{other}`"))),
    };
    let (address, count, parallel) = (options.address()?, options.count()?, options.parallel()?);
    let config = tls::config(Version::Tls13, &options.certificate()?, false, &["http/1.1"])?;
    // What a server allocates once is not part of what a connection costs.
    drop(bounded(open(address, &config, kind, parallel, parallel)).await?);
    sleep(SETTLE).await;
    gate()?;
    let start = Instant::now();
    let streams = bounded(open(address, &config, kind, count, parallel)).await?;
    let seconds = start.elapsed().as_secs_f64();
    sleep(SETTLE).await;
    let open = streams.iter().filter(|stream| stream.is_open()).count();
    if open < count {
        return Err(LoadError::Unexpected(format!("only {open} of {count} stayed open")));
    }
    report(&json!({ "done": open, "seconds": seconds }))
}

/// What is opened.
#[derive(Clone, Copy, Debug)]
enum Kind {
    /// HTTP/1.1 after one request.
    Http1,
    /// A tunnel that has carried one byte each way.
    Tcp,
}

async fn open(
    address: SocketAddr,
    config: &Arc<ClientConfig>,
    kind: Kind,
    count: usize,
    parallel: usize,
) -> Result<Vec<TlsStream>, LoadError> {
    let mut streams = Vec::with_capacity(count);
    let mut opening = JoinSet::new();
    for _ in 0..count {
        if opening.len() >= parallel {
            streams.extend(opened(&mut opening).await?);
        }
        let config = Arc::clone(config);
        opening.spawn(async move { open_one(address, &config, kind).await });
    }
    while let Some(stream) = opened(&mut opening).await? {
        streams.push(stream);
    }
    Ok(streams)
}

/// The next that is open, if any is being opened.
async fn opened(
    opening: &mut JoinSet<Result<TlsStream, LoadError>>,
) -> Result<Option<TlsStream>, LoadError> {
    match opening.join_next().await {
        Some(Ok(stream)) => stream.map(Some),
        Some(Err(error)) => Err(LoadError::io("open a connection", error.into())),
        None => Ok(None),
    }
}

async fn open_one(
    address: SocketAddr,
    config: &Arc<ClientConfig>,
    kind: Kind,
) -> Result<TlsStream, LoadError> {
    let mut stream = TlsStream::connect(address, config, READ_SIZE).await?;
    match kind {
        Kind::Http1 => http::requests(&mut stream, 1).await?,
        Kind::Tcp => {
            let ping = async {
                stream.write_all(&Order::Download(1).encode()).await?;
                stream.flush().await?;
                stream.read_u8().await
            };
            ping.await.map_err(|source| LoadError::io("reach the backend", source))?;
        }
    }
    Ok(stream)
}

/// For the server to have done all that a new connection makes it do.
const SETTLE: Duration = Duration::from_millis(1500);

const READ_SIZE: usize = 4096;

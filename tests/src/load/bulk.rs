//! Bytes one way at a time through a tunnel: down is backend to client, up is client to backend.
//!
//! Owns the transfer and its check to the byte. Only ever one way at a time: both ways at once
//! over loopback stall in the kernel now and then, whoever stands in between. Refuses to know
//! what serves the bytes: that is `backend`.

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::backend::Order;
use super::options::Options;
use super::tls::{self, TlsStream, Version};
use super::{LoadError, bounded, gate, report};

/// `--direction down | up`, `--count` MiB over `--parallel` connections.
pub(crate) async fn run(options: &Options) -> Result<(), LoadError> {
    let order = match options.text("direction")? {
        "down" => Order::Download,
        "up" => Order::Upload,
        other => {
            return Err(LoadError::Usage(format!("no direction is called `{other}`")));
        }
    };
    let (address, parallel) = (options.address()?, options.parallel()?);
    let config = tls::config(Version::Tls13, &options.certificate()?, false, &[])?;
    let bytes = (options.count()? as u64 * MIB) / parallel as u64;
    let mut streams = Vec::with_capacity(parallel);
    for _ in 0..parallel {
        let stream = TlsStream::connect(address, &config, READ_SIZE).await?;
        streams.push(transfer(stream, order(WARM_UP)).await?);
    }
    gate()?;
    let start = Instant::now();
    let streams = bounded(async {
        let mut running = JoinSet::new();
        for stream in streams {
            running.spawn(transfer(stream, order(bytes)));
        }
        let mut done = Vec::with_capacity(parallel);
        while let Some(ended) = running.join_next().await {
            done.push(ended.map_err(|error| LoadError::io("run a transfer", error.into()))??);
        }
        Ok(done)
    })
    .await?;
    let seconds = start.elapsed().as_secs_f64();
    report(&json!({ "done": bytes * parallel as u64, "seconds": seconds }))?;
    drop(streams);
    Ok(())
}

/// One order, carried out to its last byte.
async fn transfer(mut stream: TlsStream, order: Order) -> Result<TlsStream, LoadError> {
    let carried_out = async {
        stream.write_all(&order.encode()).await?;
        let mut piece = vec![b'x'; READ_SIZE];
        let (mut down, mut up) = match order {
            Order::Download(length) => (length, 0),
            Order::Upload(length) => (1, length),
        };
        while up > 0 {
            let most = piece.len().min(usize::try_from(up).unwrap_or(READ_SIZE));
            let written = stream.write(piece.get(..most).unwrap_or_default()).await?;
            up -= written as u64;
        }
        stream.flush().await?;
        while down > 0 {
            let length = stream.read(&mut piece).await? as u64;
            if length == 0 || length > down {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            down -= length;
        }
        Ok(())
    };
    carried_out.await.map_err(|source| LoadError::io("transfer", source))?;
    Ok(stream)
}

const MIB: u64 = 1024 * 1024;

/// Enough for buffers and windows to have their size.
const WARM_UP: u64 = 8 * MIB;

const READ_SIZE: usize = 64 * 1024;

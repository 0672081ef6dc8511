//! Full and resumed handshakes: connect, shake hands, take the ticket, close; no request.
//!
//! Owns the loop and the check that every handshake was of the kind that is counted. A full
//! TLS 1.3 handshake takes its ticket as well, so that the server has sent what it sends and
//! ends in the same way for all. Refuses to know how TLS is driven: that is `tls`.

use std::sync::Arc;

use rustls::{ClientConfig, HandshakeKind};
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::options::Options;
use super::tls::{self, TlsStream, Version};
use super::{LoadError, bounded, gate, report};

/// `--kind full13 | resumed13 | resumed12`, `--count` handshakes by `--parallel` clients.
pub(crate) async fn run(options: &Options) -> Result<(), LoadError> {
    let (version, resumed) = match options.text("kind")? {
        "full13" => (Version::Tls13, false),
        "resumed12" => (Version::Tls12, true),
        "resumed13" => (Version::Tls13, true),
        other => return Err(LoadError::Usage(format!("no kind is called `{other}`"))),
    };
    let (address, certificate, count) =
        (options.address()?, options.certificate()?, options.count()?);
    let parallel = options.parallel()?;
    let mut clients = Vec::with_capacity(parallel);
    for _ in 0..parallel {
        let config = tls::config(version, &certificate, resumed, &["http/1.1"])?;
        let client = Client { address, config, version };
        // The first gives the session, the second shows that it is taken.
        client.handshake(HandshakeKind::Full).await?;
        if resumed {
            client.handshake(HandshakeKind::Resumed).await?;
        }
        clients.push(client);
    }
    let expected = if resumed { HandshakeKind::Resumed } else { HandshakeKind::Full };
    gate()?;
    let start = Instant::now();
    bounded(all(clients, count, expected)).await?;
    report(&json!({ "done": count, "seconds": start.elapsed().as_secs_f64() }))
}

/// `count` handshakes, each client one after the other, all clients at once.
async fn all(clients: Vec<Client>, count: usize, expected: HandshakeKind) -> Result<(), LoadError> {
    let share = count / clients.len();
    let mut left_over = count % clients.len();
    let mut running = JoinSet::new();
    for client in clients {
        let extra = left_over.min(1);
        left_over -= extra;
        running.spawn(async move {
            for _ in 0..share + extra {
                client.handshake(expected).await?;
            }
            Ok(())
        });
    }
    while let Some(ended) = running.join_next().await {
        ended.map_err(|error| LoadError::io("run a client", error.into()))??;
    }
    Ok(())
}

/// One client with its own session store.
struct Client {
    address: std::net::SocketAddr,
    config: Arc<ClientConfig>,
    version: Version,
}

impl Client {
    async fn handshake(&self, expected: HandshakeKind) -> Result<(), LoadError> {
        let mut stream = TlsStream::connect(self.address, &self.config, READ_SIZE).await?;
        let kind = stream.kind()?;
        if kind != expected {
            return Err(LoadError::Unexpected(format!("{kind:?} and not {expected:?}")));
        }
        if self.version == Version::Tls13 {
            stream.ticket().await?;
        }
        stream.close().await;
        Ok(())
    }
}

/// A whole flight of the server fits.
const READ_SIZE: usize = 4096;

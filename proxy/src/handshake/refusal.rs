//! Last words: a client that is refused hears why before the connection ends.
//!
//! Owns the lingering close, without which a reset for unread data would overtake the alert.
//! Refuses to know why the client is refused.

use std::time::Duration;

use rustls::server::AcceptedAlert;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use crate::net::Socket;

/// Sends `words` if there are any, ends our direction, and reads on for a moment so that the words
/// are not lost to a reset. Returns when the client has closed or the moment is over.
pub async fn tell(mut socket: Socket, words: &[u8]) {
    if words.is_empty() {
        return;
    }
    // Who does not listen is not told twice: every error ends the attempt.
    let _ = timeout(LINGER, async {
        socket.write_all(words).await?;
        socket.shutdown().await?;
        let mut rest = (&mut socket).take(LINGER_BYTES_MAX);
        tokio::io::copy(&mut rest, &mut tokio::io::sink()).await
    })
    .await;
}

/// The bytes of an alert that rustls made.
pub(super) fn alert_bytes(alert: &mut AcceptedAlert) -> Vec<u8> {
    let mut bytes = Vec::new();
    // Writing to a Vec cannot fail.
    let _ = alert.write_all(&mut bytes);
    bytes
}

/// A fatal alert in a record of its own (RFC 8446 §5.1 and §6).
pub(super) const fn fatal_alert(description: u8) -> [u8; 7] {
    [21, 3, 3, 0, 2, 2, description]
}

/// How long a refused client may take to close.
const LINGER: Duration = Duration::from_secs(1);

/// How much of what a refused client still sends is read away.
const LINGER_BYTES_MAX: u64 = 64 * 1024;

//! How a relay ends, so that each side learns the truth about the other.
//!
//! Owns [`End`] and what is done about it: an orderly end is one on both sides, and a side that
//! broke is answered with a reset on the other, as soon as what was already taken for that one is
//! sent. Refuses to know how the end came about, which is the relay's.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::time::Duration;

use tokio::io::AsyncWrite as _;
use tokio::time::{Instant, timeout, timeout_at};

use super::downstream::Downstream;
use super::{Relay, Terms};
use crate::backend::Link;
use crate::net::{Socket, is_reset};
use crate::outcome::CloseReason;

/// How a relay ended.
pub(super) enum End {
    BackendBroke(io::Error),
    ClientBroke(io::Error),
    Done,
    Idle,
    /// The client's direction ended without a word that it is whole.
    Truncated,
}

impl<C: Downstream> Relay<C> {
    /// Closes both ends in the way that tells the truth about how the relay ended.
    pub(super) async fn close(mut self, end: End, terms: &Terms<'_>) -> CloseReason {
        // The survivor of a break has as long as that of a half-close.
        let until = Instant::now() + terms.limits.half_close_timeout;
        match end {
            End::Done => CloseReason::Done,
            End::Idle => {
                // Both sides get an orderly end; who does not take it gets none.
                let Self { client, backend, .. } = &mut self;
                let end = poll_fn(|cx| Pin::new(&mut backend.link).poll_shutdown(cx));
                let _ = tokio::join!(farewell(client), timeout(FAREWELL_TIMEOUT, end));
                CloseReason::Idle
            }
            End::BackendBroke(error) => {
                self.backend.note_broken(&error, terms.backend);
                drop(self.backend);
                // What was taken for the client is still delivered. The reset then says that there
                // was more.
                let flush = poll_fn(|cx| self.client.poll_flush(cx));
                let _ = timeout_at(until, flush).await;
                reset(self.client.socket(), until).await;
                CloseReason::BackendError
            }
            End::ClientBroke(error) => {
                drop(self.client);
                reset_backend(&mut self.backend.link, until).await;
                match error.kind() {
                    _ if is_reset(&error) => CloseReason::ClientReset,
                    // It acknowledged neither what was sent nor the probes of the kernel.
                    io::ErrorKind::TimedOut => CloseReason::Timeout,
                    _ => CloseReason::ClientError,
                }
            }
            End::Truncated => {
                reset_backend(&mut self.backend.link, until).await;
                drop(self.backend);
                // The client may still listen to what was said so far, and gets no better end than
                // it gave.
                let flush = poll_fn(|cx| self.client.poll_flush(cx));
                let _ = timeout_at(until, flush).await;
                CloseReason::Truncated
            }
        }
    }
}

/// Has the coming close towards the backend be a reset, behind all that was taken for it, of which
/// TLS may hold some as well.
async fn reset_backend(link: &mut Link, until: Instant) {
    let _ = timeout_at(until, poll_fn(|cx| link.poll_push(cx))).await;
    reset(link.socket(), until).await;
}

/// Ends our direction to a client who is told nothing more. Who does not take it gets no end.
pub(super) async fn farewell<C: Downstream>(client: &mut C) {
    let end = poll_fn(|cx| client.poll_end(cx));
    let _ = timeout(FAREWELL_TIMEOUT, end).await;
}

/// Has the coming close be an abortive one, as soon as nothing waits to be sent any more, which a
/// reset would overtake, or at `until`.
async fn reset(socket: &Socket, until: Instant) {
    let _ = timeout_at(until, poll_fn(|cx| socket.poll_sent(cx))).await;
    socket.reset_on_close();
}

/// What a client gets to take our last words.
pub(super) const FAREWELL_TIMEOUT: Duration = Duration::from_secs(1);

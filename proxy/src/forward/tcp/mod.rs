//! Bytes: two streams joined, each direction for itself.
//!
//! Owns the relay. What the client says goes straight to the backend from where its stream keeps
//! it, and what the backend says goes through the thread's scratch buffer to the client, only when
//! nothing waits to be sent: an idle tunnel holds no buffer, and a slow reader slows the writer.
//! Either end may close its direction and still listen. Whether the client's stream is one of TLS
//! is `downstream`'s to know, how long nothing may move is `idle`'s, and what each side is told of
//! the other's end is `end`'s. Refuses to know the protocol. Read next: `downstream`, then
//! `backend`, for how the other stream came about.

pub mod downstream;
mod end;
pub mod greeting;
mod idle;
pub mod inquiry;
pub mod mysql;
pub mod opening;
pub mod postgresql;

use std::future::{Future, poll_fn};
use std::io;
use std::io::IoSlice;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use http::HeaderMap;
use tokio::io::AsyncWrite;

use crate::backend::{Backend, ConnectError, Dedicated, Link};
use crate::config::{Limits, Truncation};
use crate::metrics::{BackendMetrics, ListenerMetrics};
use crate::net::{ClientAddr, with_scratch};
use crate::outcome::CloseReason;
use crate::proxy_protocol::Introduction;
use downstream::{Downstream, LastWord};
use end::End;
use idle::Idle;

/// What holds for a tunnel.
#[derive(Clone, Copy, Debug)]
pub struct Terms<'a> {
    /// How long nothing may move.
    pub limits: &'a Limits,
    /// What an end of the client's direction means that nobody vouches for.
    pub on_truncation: Truncation,
    /// What the listener counts.
    pub listener: &'a ListenerMetrics,
    /// What the backend counts.
    pub backend: &'a BackendMetrics,
}

/// Connects to an endpoint of `backend`, while what is left of the handshake is sent. A client that
/// gets no connection is still to be told so: see [`greeting::decline`].
pub async fn connect<C: Downstream>(
    client: &mut C,
    addr: ClientAddr,
    backend: &Backend,
    introduction: &Introduction,
) -> Result<Dedicated, ConnectError> {
    let key = backend.balance_key(addr, &HeaderMap::new());
    let mut connect = pin!(backend.connect(key, introduction));
    let connected = poll_fn(|cx| {
        // An error shows again when there is something to say.
        let _ = client.poll_flush(cx);
        connect.as_mut().poll(cx)
    });
    connected.await
}

/// Joins `client` and `backend` until both directions have ended, one side breaks, or nothing moves
/// for as long as the limits allow.
pub async fn join<C: Downstream>(client: C, backend: Dedicated, terms: Terms<'_>) -> CloseReason {
    let mut relay = Relay {
        client,
        backend,
        upstream: Half::Open,
        downstream: Half::Open,
        broken: None,
        is_ahead: false,
        moved: false,
    };
    let timer = pin!(idle::timer(terms.limits));
    let mut idle = Idle::new(terms.limits, timer);
    let end = poll_fn(|cx| match relay.poll(cx, &terms) {
        Poll::Ready(end) => Poll::Ready(end),
        Poll::Pending => {
            if std::mem::take(&mut relay.moved) {
                idle.note_moved();
            }
            if relay.is_half() {
                idle.note_half();
            }
            idle.poll(cx).map(|()| relay.broken.take().map_or(End::Idle, End::BackendBroke))
        }
    });
    let end = end.await;
    relay.close(end, &terms).await
}

struct Relay<C> {
    client: C,
    backend: Dedicated,
    /// Client to backend.
    upstream: Half,
    /// Backend to client.
    downstream: Half,
    /// Why the backend takes nothing more; what it said before may still be there.
    broken: Option<io::Error>,
    /// Whether the kernel may still hold bytes for the backend.
    is_ahead: bool,
    /// Whether anything moved since the idle timer was last told.
    moved: bool,
}

/// One direction.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Half {
    Open,
    /// The source has ended; the sink is being told.
    Ending,
    Ended,
}

impl<C: Downstream> Relay<C> {
    /// Whether one direction has ended and the other has not.
    fn is_half(&self) -> bool {
        (self.upstream == Half::Ended) != (self.downstream == Half::Ended)
    }

    fn poll(&mut self, cx: &mut Context<'_>, terms: &Terms<'_>) -> Poll<End> {
        let upstream = match self.poll_upstream(cx, terms) {
            // It may have said why, which is read until it ends.
            Poll::Ready(Err(End::BackendBroke(error))) => {
                self.broken = Some(error);
                self.upstream = Half::Ended;
                Poll::Ready(())
            }
            Poll::Ready(Err(end)) => return Poll::Ready(end),
            upstream => upstream.map(drop),
        };
        match self.poll_downstream(cx, terms) {
            Poll::Ready(Err(end)) => Poll::Ready(end),
            Poll::Ready(Ok(())) if upstream.is_ready() => {
                Poll::Ready(self.broken.take().map_or(End::Done, End::BackendBroke))
            }
            Poll::Ready(Ok(())) | Poll::Pending => Poll::Pending,
        }
    }

    fn poll_upstream(&mut self, cx: &mut Context<'_>, terms: &Terms<'_>) -> Poll<Result<(), End>> {
        for _ in 0..STEPS_MAX {
            match self.upstream {
                Half::Open => {
                    if ready!(self.poll_transfer_up(cx))? == 0 {
                        self.hear_the_end(terms)?;
                        self.upstream = Half::Ending;
                    } else {
                        self.moved = true;
                    }
                }
                Half::Ending => {
                    // A backend that is gone already has no use for the end of the stream.
                    let _ = ready!(Pin::new(&mut self.backend.link).poll_shutdown(cx));
                    self.upstream = Half::Ended;
                    self.moved = true;
                }
                Half::Ended => return Poll::Ready(Ok(())),
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Decides what the end of the client's direction means.
    fn hear_the_end(&self, terms: &Terms<'_>) -> Result<(), End> {
        if self.client.last_word() == LastWord::Missing {
            terms.listener.tls_eof_without_notify.inc();
            if terms.on_truncation == Truncation::Reset {
                return Err(End::Truncated);
            }
        }
        Ok(())
    }

    /// Decides what the end of the backend's direction means.
    fn hear_the_end_of_backend(error: io::Error, terms: &Terms<'_>) -> Result<usize, End> {
        if error.kind() != io::ErrorKind::UnexpectedEof {
            return Err(End::BackendBroke(error));
        }
        terms.backend.tls_eof_without_notify.inc();
        match terms.on_truncation {
            Truncation::End => Ok(0),
            Truncation::Reset => Err(End::BackendBroke(error)),
        }
    }

    fn poll_downstream(
        &mut self,
        cx: &mut Context<'_>,
        terms: &Terms<'_>,
    ) -> Poll<Result<(), End>> {
        for _ in 0..STEPS_MAX {
            match self.downstream {
                Half::Open => {
                    ready!(self.client.poll_flush(cx)).map_err(End::ClientBroke)?;
                    if ready!(self.poll_transfer_down(cx, terms))? == 0 {
                        self.downstream = Half::Ending;
                    } else {
                        self.moved = true;
                    }
                }
                Half::Ending => {
                    ready!(self.client.poll_end(cx)).map_err(End::ClientBroke)?;
                    self.downstream = Half::Ended;
                    self.moved = true;
                }
                Half::Ended => return Poll::Ready(Ok(())),
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Gives the backend the next of what the client has said, and returns how much that was. As
    /// long as more is here already, the kernel is asked to fill its packets.
    fn poll_transfer_up(&mut self, cx: &mut Context<'_>) -> Poll<Result<usize, End>> {
        let Self { client, backend, is_ahead, .. } = self;
        let ready = client.poll_clear_text(cx).map_err(End::ClientBroke)?;
        if ready.is_pending() {
            if std::mem::take(is_ahead) {
                // What TLS cannot send now is still ahead.
                *is_ahead = backend.link.poll_push(cx).map_err(End::BackendBroke)?.is_pending();
            }
            return Poll::Pending;
        }
        let has_more = client.has_more();
        let clear = client.clear_text();
        if clear.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let count = if has_more {
            ready!(backend.link.poll_write_ahead(cx, &[IoSlice::new(clear)]))
        } else {
            ready!(Pin::new(&mut backend.link).poll_write(cx, clear))
        };
        let count = count.map_err(End::BackendBroke)?;
        *is_ahead = has_more || matches!(backend.link, Link::Tls(_));
        client.consume(count);
        Poll::Ready(Ok(count))
    }

    /// Gives the client what the backend has said, and returns how much that was. With nothing
    /// waiting to be sent, its stream takes at least as much at once as the scratch buffer holds.
    fn poll_transfer_down(
        &mut self,
        cx: &mut Context<'_>,
        terms: &Terms<'_>,
    ) -> Poll<Result<usize, End>> {
        with_scratch(|scratch| {
            let count = ready!(self.backend.link.poll_fill(cx, scratch));
            // The kernel reports a break once, and then shows an orderly end.
            if let Some(error) = self.broken.take_if(|_| is_end(&count)) {
                return Poll::Ready(Err(End::BackendBroke(error)));
            }
            let count = count.or_else(|error| Self::hear_the_end_of_backend(error, terms))?;
            let bytes = scratch.get(..count).unwrap_or_default();
            let taken = self.client.give(cx, bytes).map_err(End::ClientBroke)?;
            // With nothing to be sent there is room for all of it, unless our direction has ended.
            Poll::Ready(match taken == count {
                true => Ok(count),
                false => Err(End::ClientBroke(io::ErrorKind::WriteZero.into())),
            })
        })
    }
}

/// Whether nothing more can be read, for no reason that is worth telling.
fn is_end(read: &io::Result<usize>) -> bool {
    match read {
        Ok(count) => *count == 0,
        Err(error) => error.kind() == io::ErrorKind::UnexpectedEof,
    }
}

/// Steps of one direction before other tasks get their turn.
const STEPS_MAX: usize = 32;

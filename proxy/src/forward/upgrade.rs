//! What stops being HTTP: two streams joined after the backend agreed to another protocol.
//!
//! Owns the relay between a stream of a client and a socket. What either
//! side sent too early goes first. An idle tunnel holds no buffer: bytes pass through the stack,
//! and only what the other side does not take at once is kept. Refuses to know the protocol. Read
//! next: `tcp`, which does the same for connections that never were HTTP.

use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::rt::{Read, ReadBuf, Write};
use hyper_util::rt::TokioIo;
use tokio::time::{Instant, timeout};

use crate::backend::{Alarm, Tunnel};
use crate::config::Limits;
use crate::net::is_reset;
use crate::outcome::CloseReason;

/// Joins `client` and the tunnel until both directions have ended, one side breaks, or nothing
/// moves for as long as the limits allow. `early` is what the client has sent already.
pub(super) async fn join<I>(
    mut client: I,
    early: Bytes,
    tunnel: Tunnel,
    limits: &Limits,
) -> CloseReason
where
    I: Read + Write + Unpin,
{
    let Tunnel { link, early: answer, guards: _guards } = tunnel;
    let mut backend = TokioIo::new(link);
    let mut upstream = Direction::new(early);
    let mut downstream = Direction::new(answer);
    let mut alarm = Alarm::default();
    let mut since = Instant::now();
    let reason = poll_fn(|cx| {
        let up = upstream.poll(cx, &mut client, &mut backend);
        let down = downstream.poll(cx, &mut backend, &mut client);
        let up = match up {
            Poll::Ready(Err(fault)) => return Poll::Ready(fault.reason(Side::Client)),
            up => up.is_ready(),
        };
        let down = match down {
            Poll::Ready(Err(fault)) => return Poll::Ready(fault.reason(Side::Backend)),
            down => down.is_ready(),
        };
        if up && down {
            return Poll::Ready(CloseReason::Done);
        }
        if upstream.take_moved() | downstream.take_moved() {
            since = Instant::now();
        }
        let limit = if up || down { limits.half_close_timeout } else { limits.tunnel_idle_timeout };
        alarm.poll_at(cx, since + limit).map(|()| CloseReason::Idle)
    })
    .await;
    match reason {
        // A client that broke off did not end in order, and the backend is not told that it did.
        CloseReason::ClientError | CloseReason::ClientReset => backend.inner().reset_on_close(),
        CloseReason::Idle => {
            let farewell = poll_fn(|cx| Pin::new(&mut client).poll_shutdown(cx));
            let _ = timeout(FAREWELL_TIMEOUT, farewell).await;
        }
        _ => {}
    }
    reason
}

/// One direction of a tunnel.
struct Direction {
    /// What was read and not yet taken by the other side.
    pending: Bytes,
    state: State,
    moved: bool,
}

#[derive(Clone, Copy, Eq, PartialEq)]
enum State {
    Open,
    /// The source has ended; the sink is being told.
    Ending,
    Ended,
}

/// Which of the two ends of a direction broke.
enum Fault {
    Source(io::Error),
    Sink(io::Error),
}

/// Who is at an end of a direction.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Side {
    Backend,
    Client,
}

impl Direction {
    fn new(early: Bytes) -> Self {
        Self { pending: early, state: State::Open, moved: false }
    }

    /// Whether anything moved since this was last asked.
    fn take_moved(&mut self) -> bool {
        std::mem::take(&mut self.moved)
    }

    /// Ready when the source has ended and the sink knows it.
    fn poll<R: Read + Unpin, W: Write + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut R,
        sink: &mut W,
    ) -> Poll<Result<(), Fault>> {
        for _ in 0..TURNS_MAX {
            while !self.pending.is_empty() {
                let written = Pin::new(&mut *sink).poll_write(cx, &self.pending);
                match ready!(written).map_err(Fault::Sink)? {
                    0 => return Poll::Ready(Err(Fault::Sink(io::ErrorKind::WriteZero.into()))),
                    written => self.pending = self.pending.split_off(written),
                }
                self.moved = true;
            }
            match self.state {
                State::Open => {}
                State::Ending => {
                    ready!(Pin::new(&mut *sink).poll_shutdown(cx)).map_err(Fault::Sink)?;
                    self.state = State::Ended;
                    return Poll::Ready(Ok(()));
                }
                State::Ended => return Poll::Ready(Ok(())),
            }
            if self.poll_fill(cx, source, sink)?.is_pending() {
                // Nothing more to come for now: what the sink has gathered may go.
                let _ = Pin::new(&mut *sink).poll_flush(cx).map_err(Fault::Sink)?;
                return Poll::Pending;
            }
        }
        // The other direction and other connections want their turn.
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Reads once, and writes what the sink takes at once; ready if anything came.
    fn poll_fill<R: Read + Unpin, W: Write + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut R,
        sink: &mut W,
    ) -> Result<Poll<()>, Fault> {
        let mut scratch = [MaybeUninit::uninit(); SCRATCH_BYTES];
        let mut buf = ReadBuf::uninit(&mut scratch);
        match Pin::new(source).poll_read(cx, buf.unfilled()) {
            Poll::Pending => return Ok(Poll::Pending),
            Poll::Ready(result) => result.map_err(Fault::Source)?,
        }
        self.moved = true;
        let read = buf.filled();
        if read.is_empty() {
            self.state = State::Ending;
            return Ok(Poll::Ready(()));
        }
        let written = match Pin::new(sink).poll_write(cx, read) {
            Poll::Pending => 0,
            Poll::Ready(result) => result.map_err(Fault::Sink)?,
        };
        self.pending = Bytes::copy_from_slice(read.get(written..).unwrap_or_default());
        Ok(Poll::Ready(()))
    }
}

impl Fault {
    /// The reason, if `source` is where the direction comes from.
    fn reason(&self, source: Side) -> CloseReason {
        let (side, error) = match (self, source) {
            (Self::Source(error), side) => (side, error),
            (Self::Sink(error), Side::Client) => (Side::Backend, error),
            (Self::Sink(error), Side::Backend) => (Side::Client, error),
        };
        match side {
            Side::Backend => CloseReason::BackendError,
            Side::Client if is_reset(error) => CloseReason::ClientReset,
            Side::Client => CloseReason::ClientError,
        }
    }
}

/// What an idle client gets to take the end.
const FAREWELL_TIMEOUT: Duration = Duration::from_secs(1);
/// One full TLS record.
const SCRATCH_BYTES: usize = 16 * 1024;
/// Reads in one direction before the task yields.
const TURNS_MAX: usize = 16;

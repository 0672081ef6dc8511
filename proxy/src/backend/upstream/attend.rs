//! The task behind a connection of HTTP/2 to an endpoint.
//!
//! Owns how such a connection is opened, kept and given up: it ends when it is too old or was idle
//! for too long, when the process finishes, or when the endpoint does not answer a ping while
//! exchanges wait for it in silence. In one silence it is asked twice at most, since some
//! endpoints take more for an attack. Refuses to know what is exchanged. Read next: `http2`.

use std::io;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use h2::client::{Builder, Connection};
use h2::{Ping, PingPong};
use http::uri::Scheme;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use super::SendFault;
use super::http2::{SharedList, State, Stream};
use crate::backend::connections::Seat;
use crate::backend::link::Link;
use crate::config::{HttpLimits, Limits};
use crate::drain::DrainWatch;

/// What a new connection needs.
pub(in crate::backend) struct Opening<'a> {
    pub(in crate::backend) list: &'a Arc<SharedList>,
    pub(in crate::backend) limits: &'a Arc<Limits>,
    pub(in crate::backend) watch: DrainWatch,
    pub(in crate::backend) seat: Seat,
}

impl Opening<'_> {
    /// Makes a connection that exchanges share, and returns the first stream on it.
    pub(in crate::backend) async fn open(self, link: Link) -> Result<Stream, SendFault> {
        let Self { list, limits, watch, seat } = self;
        let scheme = match link {
            Link::Clear(_) => Scheme::HTTP,
            Link::Tls(_) => Scheme::HTTPS,
        };
        let heard = Arc::new(AtomicU64::new(0));
        let io = Counted { link, heard: Arc::clone(&heard) };
        let (sender, mut connection) = builder(&limits.http, list.streams_max())
            .handshake(io)
            .await
            .map_err(SendFault::Http2)?;
        let pings = connection.ping_pong();
        let (state, stream) = list.share(sender, scheme, watch.clone());
        let attendant = Attendant {
            list: Arc::downgrade(list),
            state,
            limits: Arc::clone(limits),
            idle_since: Instant::now(),
            vigil: Vigil { pings, heard, known: 0, since: Instant::now(), asked: None, count: 0 },
            _seat: seat,
        };
        let spawner = watch.clone();
        spawner.spawn(attendant.attend(connection, watch));
        Ok(stream)
    }
}

fn builder(limits: &HttpLimits, streams_max: usize) -> Builder {
    // What a client does not take stays in the window of its stream. That of the connection has
    // room for all of them, so that no exchange ever waits for the client of another.
    let streams_max = u32::try_from(streams_max).unwrap_or(u32::MAX);
    let connection_window = limits.h2_stream_window.saturating_mul(streams_max).min(WINDOW_MAX);
    let mut builder = Builder::new();
    builder
        .enable_push(false)
        .initial_window_size(limits.h2_stream_window)
        .initial_connection_window_size(connection_window)
        .max_send_buffer_size(limits.h2_send_buffer)
        .max_header_list_size(HEAD_BYTES_MAX);
    builder
}

struct Attendant {
    list: Weak<SharedList>,
    state: Arc<State>,
    limits: Arc<Limits>,
    idle_since: Instant,
    vigil: Vigil,
    _seat: Seat,
}

impl Attendant {
    async fn attend(mut self, connection: Connection<Counted>, mut watch: DrainWatch) {
        let mut connection = pin!(connection);
        let mut ticks = interval_at(Instant::now() + self.period(), self.period());
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut is_finishing = false;
        loop {
            tokio::select! {
                ended = &mut connection => {
                    if let Err(error) = ended {
                        tracing::debug!(%error, "a connection to an endpoint ended");
                    }
                    break;
                }
                () = watch.finish(), if !is_finishing => {
                    is_finishing = true;
                    self.retire();
                }
                now = ticks.tick() => {
                    if self.vigil.is_lost(now, self.in_use(), &self.limits.http) {
                        tracing::debug!("an endpoint does not answer a ping");
                        break;
                    }
                    self.rest(now);
                }
            }
        }
        self.retire();
    }

    /// How often limits are looked at.
    fn period(&self) -> Duration {
        let http = &self.limits.http;
        let shortest = http.pool_idle_timeout.min(http.h2_ping_interval).min(http.h2_ping_timeout);
        (shortest / 4).max(PERIOD_MIN)
    }

    fn in_use(&self) -> bool {
        self.state.streams.load(Ordering::Relaxed) > 0
    }

    /// Ends a connection that was idle for too long.
    fn rest(&mut self, now: Instant) {
        if self.state.was_used.swap(self.in_use(), Ordering::Relaxed) {
            self.idle_since = now;
        } else if now.duration_since(self.idle_since) >= self.limits.http.pool_idle_timeout {
            self.retire();
        }
    }

    fn retire(&self) {
        if let Some(list) = self.list.upgrade() {
            list.retire(&self.state);
        }
    }
}

/// Whether the endpoint still lives.
struct Vigil {
    pings: Option<PingPong>,
    heard: Arc<AtomicU64>,
    known: u64,
    /// When something was last heard.
    since: Instant,
    /// When it was asked, if the answer is due.
    asked: Option<Instant>,
    /// How often it was asked in this silence.
    count: u32,
}

impl Vigil {
    /// Whether the endpoint was asked and did not answer in time; asks it when that is due.
    fn is_lost(&mut self, now: Instant, in_use: bool, limits: &HttpLimits) -> bool {
        let heard = self.heard.load(Ordering::Relaxed);
        if heard != self.known || !in_use {
            // An answer to a ping is no end of the silence.
            if self.asked.take().is_none() {
                self.count = 0;
            }
            self.known = heard;
            self.since = now;
            self.drain_pong();
        }
        if let Some(asked) = self.asked {
            return now.duration_since(asked) >= limits.h2_ping_timeout;
        }
        let is_due = now.duration_since(self.since) >= limits.h2_ping_interval;
        if in_use && is_due && self.count < PINGS_MAX {
            let ping = |pings: &mut PingPong| pings.send_ping(Ping::opaque()).is_ok();
            if self.pings.as_mut().is_some_and(ping) {
                self.asked = Some(now);
                self.count += 1;
            }
        }
        false
    }

    /// Takes the answer to a ping out of the way of the next one.
    fn drain_pong(&mut self) {
        let mut cx = Context::from_waker(std::task::Waker::noop());
        if let Some(pings) = &mut self.pings {
            let _ = pings.poll_pong(&mut cx);
        }
    }
}

/// A link that counts how often something came.
#[derive(Debug)]
struct Counted {
    link: Link,
    heard: Arc<AtomicU64>,
}

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.link).poll_read(cx, buf);
        if result.is_ready() {
            self.heard.fetch_add(1, Ordering::Relaxed);
        }
        result
    }
}

impl AsyncWrite for Counted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.link).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.link).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.link).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.link).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }
}

/// All fields of a head together.
const HEAD_BYTES_MAX: u32 = 64 * 1024;
/// RFC 9113 §6.9.1.
const WINDOW_MAX: u32 = (1 << 31) - 1;
/// Pings in one silence. Implementations of gRPC end the connection for the fourth.
const PINGS_MAX: u32 = 2;
const PERIOD_MIN: Duration = Duration::from_millis(100);

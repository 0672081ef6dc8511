//! HTTP/1.1 on one connection: a codec of our own, our deadlines, and the end.
//!
//! Owns the time between requests: a request must be complete soon after it began, and a silent
//! connection is closed without a word. A connection that waits holds no buffer. Each request is a
//! `turn`; behind the last one the stream is left to say what was wrong, to become a tunnel, or to
//! be closed so that the last answer arrives. `head` and `chunks` are the grammar of what comes,
//! `answer` of what goes. Read next: `turn`.

mod answer;
mod chunks;
mod head;
mod supply;
#[cfg(test)]
mod tests;
mod turn;
mod wire;

use std::future::{Future, poll_fn};
use std::mem::MaybeUninit;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Version};
use hyper::rt::{Read, ReadBuf, Write};
use tokio::time::{Instant, timeout};

use super::exchange::exchange;
use super::io::ClientIo;
use super::page::{raw_page, unreadable};
use super::state::Connection;
use crate::backend::Alarm;
use crate::drain::{DrainWatch, Ear, Notice};
use crate::forward::upgrade;
use crate::metrics::{CodeClass, HttpReject};
use crate::net::Progress;
use crate::outcome::CloseReason;
use head::{Head, Scan};
use turn::Turn;
use wire::Wire;

/// Serves requests until there are no more.
pub(super) async fn serve<I>(io: I, connection: Arc<Connection>, watch: DrainWatch) -> CloseReason
where
    I: Read + Write + Progress + Unpin + Send + 'static,
{
    let mut wire = Wire::new(ClientIo::new(io, Arc::clone(&connection)));
    let mut ear = pin!(watch.ear());
    drop(watch);
    let mut patience = Alarm::default();
    let start = Instant::now();
    // The space for an exchange is large: a connection at rest does not hold it, and one that is
    // not does not ask for it again and again.
    let mut space = None;
    let end = loop {
        let rest = || {
            connection.hold(0);
            space = None;
        };
        let next = next(&mut wire, &mut patience, ear.as_mut(), &connection, rest).await;
        let (head, since) = match next {
            Ok(head) => head,
            Err(end) => break end,
        };
        let is_old = since - start >= connection.service.limits.http.connection_age_max;
        // Asked when the answer begins.
        let is_short = || connection.service.memory.is_short();
        let is_last = || is_old || ear.has_heard(Notice::Leaving) || is_short();
        connection.hold(EXCHANGE_BYTES);
        let (turn, request) = Turn::new(&mut wire, head, &connection);
        // RFC 9110 §15.2: a client of HTTP/1.0 has never heard of interim responses.
        let understands = request.version() > Version::HTTP_10;
        let interims = understands.then(|| Arc::clone(&connection.interims));
        let exchange = exchange(&connection, request, interims);
        let space = space.get_or_insert_with(|| Box::pin(None));
        space.as_mut().set(Some(exchange));
        if let Err(end) = turn.run(space.as_mut(), is_last).await {
            break end;
        }
    };
    drop(space);
    let Wire { io, buffer, .. } = wire;
    // The end needs more space than the life of a connection, which is longer.
    Box::pin(close(io.stream, buffer.freeze(), end, &connection)).await
}

/// Waits for the head of the next request; since when, or since when it came. When it does not come
/// for a while, all space is given back that waits for it, by `rest` too.
async fn next<I: Read + Unpin>(
    wire: &mut Wire<I>,
    patience: &mut Alarm,
    mut ear: Pin<&mut Ear<impl Future<Output = ()>>>,
    connection: &Connection,
    mut rest: impl FnMut(),
) -> Result<(Head, Instant), End> {
    let limits = &connection.service.limits.http;
    let is_first = connection.requests() == 0;
    let mut since = Instant::now();
    let mut scan = Scan::default();
    let mut is_at_rest = is_first;
    poll_fn(|cx| {
        loop {
            if !wire.buffer.is_empty() {
                match scan.take(&mut wire.buffer, &mut wire.spare, limits) {
                    Ok(Some(head)) => return Poll::Ready(Ok((head, since))),
                    Ok(None) => {}
                    Err(reason) => return Poll::Ready(Err(End::Refused(reason))),
                }
            }
            let was_silent = wire.buffer.is_empty();
            match wire.poll_fill(cx) {
                Poll::Ready(Ok(0)) if was_silent => return Poll::Ready(Err(End::Done)),
                Poll::Ready(Ok(1..)) => {}
                Poll::Ready(_) => return Poll::Ready(Err(End::Broken)),
                Poll::Pending => break,
            }
            if was_silent && !is_first {
                since = Instant::now();
            }
        }
        let is_silent = wire.buffer.is_empty();
        // Only now, so that a request that has come already is answered. The first one of a client
        // that has only just come is on its way.
        let is_over = is_silent && ear.as_mut().poll(cx, Notice::Finish);
        let (limit, end) = match (is_silent, is_first) {
            (true, true) if is_over => (limits.request_head_timeout.min(FIRST_GRACE), End::Done),
            (true, false) if is_over => return Poll::Ready(Err(End::Done)),
            (true, false) => (limits.keepalive_timeout, End::Idle),
            _ => (limits.request_head_timeout, End::Late),
        };
        if !is_at_rest {
            ready!(patience.poll_at(cx, since + limit.min(REST_AFTER)));
            is_at_rest = true;
            wire.spare = HeaderMap::new();
            rest();
        }
        patience.poll_at(cx, since + limit).map(|()| Err(end))
    })
    .await
}

/// How a connection ends.
#[derive(Clone, Copy, Debug)]
enum End {
    /// The stream is of no more use.
    Broken,
    /// A response has no end, and must not look as if it had.
    Cut,
    /// Everything was said.
    Done,
    /// Nothing of a next request came.
    Idle,
    /// Nothing of the first request came, or not all of a request.
    Late,
    /// What came was no request.
    Refused(HttpReject),
}

/// Ends the connection in the way that its end asks for.
async fn close<I>(mut stream: I, read: Bytes, end: End, connection: &Connection) -> CloseReason
where
    I: Read + Write + Progress + Unpin + Send + 'static,
{
    let (reason, last_words) = match end {
        End::Idle => (CloseReason::Idle, None),
        // A connection that never said anything is not answered.
        End::Late if read.is_empty() => (CloseReason::Timeout, None),
        End::Late => (CloseReason::Timeout, Some(HttpReject::Timeout)),
        End::Done => {
            if let Some(tunnel) = connection.take_tunnel() {
                return upgrade::join(stream, read, tunnel, &connection.service.limits).await;
            }
            (connection.fault().unwrap_or(CloseReason::Done), None)
        }
        End::Refused(reason) => (CloseReason::ClientError, Some(reason)),
        // The stream is dropped as it is.
        End::Cut => return connection.fault().unwrap_or(CloseReason::BackendError),
        End::Broken => return connection.fault().unwrap_or(CloseReason::ClientReset),
    };
    let _ = timeout(CLOSE_TIMEOUT, async {
        if let Some(reason) = last_words {
            count(connection, reason);
            write_all(&mut stream, &raw_page(reason)).await?;
        }
        poll_fn(|cx| Pin::new(&mut stream).poll_shutdown(cx)).await?;
        if last_words.is_some() || connection.has_unread() {
            linger(&mut stream).await?;
        }
        Ok::<_, std::io::Error>(())
    })
    .await;
    reason
}

fn count(connection: &Connection, reason: HttpReject) {
    let status = unreadable(reason).status;
    let class = CodeClass::of(status.as_u16());
    let service = &connection.service;
    service.metrics.http_rejects.of(reason).inc();
    service.metrics.http_requests.of(connection.version, class).inc();
    service.access.refuse(status.as_u16(), |entry| {
        entry.listener = Arc::clone(&service.name);
        entry.client = Some(connection.sender.addr());
        entry.ja4.clone_from(&connection.ja4);
    });
}

async fn write_all<I: Write + Unpin>(stream: &mut I, mut bytes: &[u8]) -> std::io::Result<()> {
    poll_fn(|cx| {
        while !bytes.is_empty() {
            let written = ready!(Pin::new(&mut *stream).poll_write(cx, bytes))?;
            if written == 0 {
                return Poll::Ready(Err(std::io::ErrorKind::WriteZero.into()));
            }
            bytes = bytes.get(written..).unwrap_or_default();
        }
        Pin::new(&mut *stream).poll_flush(cx)
    })
    .await
}

/// Reads what the client still sends, up to a limit, so that the kernel does not answer it with a
/// reset that destroys our last words on their way.
async fn linger<I: Read + Unpin>(stream: &mut I) -> std::io::Result<()> {
    let mut rest = LINGER_BYTES_MAX;
    poll_fn(|cx| {
        let mut scratch = [MaybeUninit::uninit(); LINGER_READ_BYTES];
        while rest > 0 {
            let mut buf = ReadBuf::uninit(&mut scratch);
            ready!(Pin::new(&mut *stream).poll_read(cx, buf.unfilled()))?;
            match buf.filled().len() {
                0 => break,
                read => rest = rest.saturating_sub(read),
            }
        }
        Poll::Ready(Ok(()))
    })
    .await
}

/// What an exchange may hold on its way: pieces of two bodies, and their heads.
const EXCHANGE_BYTES: usize = 128 * 1024;
/// How long space is kept for the next request.
const REST_AFTER: Duration = Duration::from_secs(1);
/// What a client that has only just come gets for its first request, when nobody new may.
const FIRST_GRACE: Duration = Duration::from_secs(1);
/// What is read at once of what nobody wants.
const LINGER_READ_BYTES: usize = 2048;
/// For the last words and the farewell of the client.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);
const LINGER_BYTES_MAX: usize = 64 * 1024;

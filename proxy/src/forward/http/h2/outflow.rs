//! The content of an answer on its way into a stream of HTTP/2.
//!
//! Owns [`Outflow`]: as much of a body as the client has room for, then the trailers. A stream is
//! reset whose client makes no room, or less than a trickle of it. The end and the trailers need no
//! room (RFC 9113 §6.9), and a body that is silent is not held against a client that has none.
//! Refuses to know where the body comes from. Read next: `backlog`, which says when enough waits.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use h2::{Reason, SendStream};
use http_body::{Body, Frame};
use tokio::time::Instant;

use super::backlog::Part;
use super::link::Link;
use crate::backend::Alarm;

/// How the exchange of a stream ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Ended {
    /// The client has no more use for it.
    Abandoned,
    /// By the book.
    Answered,
    /// The answer broke off.
    Cut,
    /// The client took nothing, or next to nothing.
    Stalled,
}

/// A body on its way into its stream.
pub(super) struct Outflow<B> {
    body: B,
    stream: SendStream<Part>,
    link: Arc<Link>,
    write_timeout: Duration,
    /// What the client has no room for yet.
    rest: Bytes,
    /// Whether the body has said that there is no more of it.
    is_over: bool,
    /// What went into the stream so far.
    bytes: u64,
    /// How long the client was waited for.
    waited: Duration,
    waiting_since: Option<Instant>,
    alarm: Alarm,
    /// Since when others were waited for, and what had gone by then.
    parked_since: Option<(Instant, u64)>,
    /// The turn of the connection in which the last of a body that is cut went into the stream.
    cut_in: Option<u64>,
}

impl<B: Body<Data = Bytes> + Unpin> Outflow<B> {
    pub(super) fn new(
        body: B,
        stream: SendStream<Part>,
        link: Arc<Link>,
        write_timeout: Duration,
    ) -> Self {
        Self {
            body,
            stream,
            link,
            write_timeout,
            rest: Bytes::new(),
            is_over: false,
            bytes: 0,
            waited: Duration::ZERO,
            waiting_since: None,
            alarm: Alarm::default(),
            parked_since: None,
            cut_in: None,
        }
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Ended> {
        loop {
            if let Some(turn) = self.cut_in {
                return self.poll_cut(cx, turn);
            }
            if !self.rest.is_empty() {
                if let Err(ended) = ready!(self.poll_room(cx)) {
                    return Poll::Ready(ended);
                }
                if let Some(ended) = self.send() {
                    return Poll::Ready(ended);
                }
                continue;
            }
            if let Err(ended) = ready!(self.poll_leave(cx)) {
                return Poll::Ready(ended);
            }
            let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) else {
                return self.stream.poll_reset(cx).map(|_| Ended::Abandoned);
            };
            match frame.transpose() {
                Ok(frame) => {
                    if let Some(ended) = self.pass(frame) {
                        return Poll::Ready(ended);
                    }
                }
                Err(_) => self.cut_in = Some(self.link.turn()),
            }
        }
    }

    /// Ready when the body may be asked: there is room for what it has, or it may be held, and not
    /// too much waits for this client.
    fn poll_leave(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Ended>> {
        self.stream.reserve_capacity(1);
        let is_full = self.stream.capacity() == 0;
        if is_full && (self.link.is_stuck() || !self.link.backlog().may_hold()) {
            if let Err(ended) = ready!(self.poll_room(cx)) {
                return Poll::Ready(Err(ended));
            }
        } else {
            self.waiting_since = None;
        }
        if self.link.backlog().has_room(cx.waker()) {
            self.parked_since = None;
            return Poll::Ready(Ok(()));
        }
        if self.stream.poll_reset(cx).is_ready() {
            return Poll::Ready(Err(Ended::Abandoned));
        }
        self.poll_parked(cx).map(Err)
    }

    /// Ready when nothing that waits for this client has moved for too long.
    fn poll_parked(&mut self, cx: &mut Context<'_>) -> Poll<Ended> {
        loop {
            let gone = self.link.backlog().gone();
            let (since, before) = *self.parked_since.get_or_insert((Instant::now(), gone));
            ready!(self.alarm.poll_at(cx, since + self.write_timeout));
            if gone == before && !self.link.is_stuck() {
                return Poll::Ready(self.give_up());
            }
            self.parked_since = None;
        }
    }

    /// Ready when the stream takes at least one byte.
    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Ended>> {
        while self.stream.capacity() == 0 {
            match self.stream.poll_capacity(cx) {
                Poll::Pending => return self.poll_stalled(cx).map(Err),
                Poll::Ready(Some(Ok(_))) => {}
                Poll::Ready(Some(Err(_)) | None) => return Poll::Ready(Err(Ended::Abandoned)),
            }
        }
        let Some(since) = self.waiting_since.take() else { return Poll::Ready(Ok(())) };
        self.waited += since.elapsed();
        let least = TRICKLE.saturating_mul(self.waited.as_secs());
        let is_trickle = self.waited > TRICKLE_GRACE && self.bytes < least;
        Poll::Ready(if is_trickle && !self.link.is_stuck() { Err(self.give_up()) } else { Ok(()) })
    }

    /// Ready when the client has made no room for too long. Where it is the connection that takes
    /// nothing, the deadline of the connection counts.
    fn poll_stalled(&mut self, cx: &mut Context<'_>) -> Poll<Ended> {
        loop {
            let since = *self.waiting_since.get_or_insert_with(Instant::now);
            ready!(self.alarm.poll_at(cx, since + self.write_timeout));
            if !self.link.is_stuck() {
                return Poll::Ready(self.give_up());
            }
            self.waiting_since = None;
        }
    }

    fn give_up(&mut self) -> Ended {
        tracing::debug!("a stream whose client takes nothing is reset");
        self.stream.send_reset(Reason::CANCEL);
        Ended::Stalled
    }

    /// Puts a frame into the stream; without one it ends.
    fn pass(&mut self, frame: Option<Frame<Bytes>>) -> Option<Ended> {
        match frame.map(Frame::into_data) {
            Some(Ok(data)) if data.is_empty() && !self.body.is_end_stream() => None,
            Some(Ok(data)) => {
                self.link.backlog().hold(data.len());
                self.rest = data;
                self.stream.reserve_capacity(self.rest.len());
                // The end needs no room.
                self.rest.is_empty().then(|| self.send()).flatten()
            }
            Some(Err(frame)) => {
                let trailers = frame.into_trailers().ok()?;
                let sent = self.stream.send_trailers(trailers);
                Some(sent.map_or(Ended::Abandoned, |()| Ended::Answered))
            }
            None => {
                self.is_over = true;
                self.send()
            }
        }
    }

    /// Puts as much of the rest into the stream as there is room for, so that nothing waits where
    /// it has no deadline.
    fn send(&mut self) -> Option<Ended> {
        if self.stream.capacity() < self.rest.len() {
            self.stream.reserve_capacity(self.rest.len());
        }
        let room = self.stream.capacity().min(self.rest.len());
        let data = self.rest.split_to(room);
        self.link.backlog().release(room);
        self.bytes += room as u64;
        if self.rest.is_empty() {
            self.link.credit().note_part(room);
        } else {
            self.link.credit().note_piece(room);
        }
        let is_last = self.rest.is_empty() && (self.is_over || self.body.is_end_stream());
        match self.stream.send_data(Part::new(data, &self.link), is_last) {
            Err(_) => Some(Ended::Abandoned),
            Ok(()) if is_last => Some(Ended::Answered),
            Ok(()) => None,
        }
    }

    /// Resets the stream, but not before the connection had the chance to send what came so far.
    fn poll_cut(&mut self, cx: &mut Context<'_>, turn: u64) -> Poll<Ended> {
        if self.link.turn() == turn {
            self.link.want_turn();
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.stream.send_reset(Reason::INTERNAL_ERROR);
        Poll::Ready(Ended::Cut)
    }
}

impl<B> Drop for Outflow<B> {
    fn drop(&mut self) {
        self.link.backlog().release(self.rest.len());
    }
}

/// What a client must take in a second, once it has been waited for for a while.
const TRICKLE: u64 = 100;
const TRICKLE_GRACE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::convert::Infallible;
    use std::future::poll_fn;
    use std::pin::pin;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use h2::RecvStream;
    use h2::server::SendResponse;
    use http::{Request, Response};
    use hyper_util::rt::TokioIo;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
    use tokio::time::timeout;

    use super::super::clock::Clock;
    use super::super::wire::Wire;
    use super::super::{Server, shake_hands};
    use super::*;
    use crate::drain::Drain;
    use crate::forward::http::state::Connection;
    use crate::forward::http::tests::frames::{
        DATA, END_STREAM, SETTINGS, WINDOW_UPDATE, frame, get,
    };
    use crate::forward::http::tests::{facts, service};
    use crate::metrics::HttpVersion;

    const STREAMS: u32 = 100;
    const PART_BYTES: usize = 64 * 1024;
    const PARTS: usize = 8;

    /// Content whose parts are as large as those of backends become.
    struct Content {
        parts: usize,
        asked: Arc<AtomicUsize>,
    }

    impl Body for Content {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            let Some(left) = self.parts.checked_sub(1) else { return Poll::Ready(None) };
            self.parts = left;
            self.asked.fetch_add(PART_BYTES, Ordering::Relaxed);
            Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&[b'x'; PART_BYTES])))))
        }
    }

    /// Reads until all streams have ended, and tells how much content came.
    async fn read_all(io: &mut DuplexStream) -> usize {
        let (mut content, mut ended) = (0, HashSet::new());
        while ended.len() < STREAMS as usize {
            let mut head = [0; 9];
            io.read_exact(&mut head).await.unwrap();
            let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
            io.read_exact(&mut payload).await.unwrap();
            if head[3] == DATA {
                content += payload.len();
                if head[4] & END_STREAM != 0 {
                    ended.insert(head[8]);
                }
            }
        }
        content
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_opens_every_window_and_reads_nothing_has_little_asked_for_it() {
        let (service, _metrics) = service("127.0.0.1:1", |_| {});
        let connection = Connection::new(service, facts(), HttpVersion::H2);
        let (mut io, ours) = duplex(64 * 1024);
        let most = (u32::MAX / 2).to_be_bytes();
        let rest = (u32::MAX / 2 - 65_535).to_be_bytes();
        let settings = frame(SETTINGS, 0, 0, &[&[0, 4][..], &most].concat());
        let window = frame(WINDOW_UPDATE, 0, 0, &rest);
        let requests: Vec<u8> = (0..STREAMS).flat_map(|n| get(2 * n + 1)).collect();
        let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
        io.write_all(&[&preface[..], &settings, &window, &requests].concat()).await.unwrap();

        let (link, mut clock) = (Arc::new(Link::default()), Clock::new());
        let wire = Wire::new(TokioIo::new(ours), Arc::clone(&connection), Arc::clone(&link));
        let http2 = shake_hands(wire, &connection, &link, &mut clock).await.unwrap();
        let asked = Arc::new(AtomicUsize::new(0));
        let answer = |_: Request<RecvStream>, mut respond: SendResponse<Part>| {
            let stream = respond.send_response(Response::new(()), false).unwrap();
            let content = Content { parts: PARTS, asked: Arc::clone(&asked) };
            let link = Arc::clone(&link);
            let mut outflow = Outflow::new(content, stream, link, Duration::from_secs(30));
            async move { poll_fn(|cx| outflow.poll(cx)).await }
        };
        let mut server = Server::new(http2, &connection, &link, clock, answer);
        let (_drain, watch) = Drain::new();
        let mut ear = pin!(watch.ear());
        let mut serving = pin!(poll_fn(|cx| server.poll(cx, ear.as_mut())));
        timeout(Duration::from_secs(20), &mut serving).await.unwrap_err();
        let waiting = asked.load(Ordering::Relaxed);
        assert!((256 * 1024..2 * 1024 * 1024).contains(&waiting), "{waiting}");

        // It loses nothing by that, should it read after all.
        let content = tokio::select! {
            reason = serving => panic!("{reason:?}"),
            content = read_all(&mut io) => content,
        };
        assert_eq!(content, STREAMS as usize * PARTS * PART_BYTES);
    }
}

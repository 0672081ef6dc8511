//! The body of a request on its way into a stream of HTTP/2.
//!
//! Owns [`Pump`], which hands over as much as the windows allow and holds one frame at most. What
//! an endpoint does not want any more is not sent; a body that breaks off resets the stream.
//! Refuses to know the response.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::{Reason, SendStream};
use http_body::Body as _;

use crate::backend::upload::Upload;

/// A body that is being sent; ready when there is nothing more to do for it.
#[derive(Debug)]
pub(super) struct Pump {
    stream: SendStream<Bytes>,
    body: Upload,
    /// What was taken from the body and has not been handed over.
    rest: Bytes,
    state: State,
    /// All that was taken, in case that the endpoint does not want the request; `None` once that is
    /// more than is worth keeping.
    taken: Option<Vec<Bytes>>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    Open,
    /// The rest is the end.
    Last,
    /// There is nothing more to do.
    Over,
}

impl Pump {
    pub(super) fn new(stream: SendStream<Bytes>, body: Upload) -> Self {
        Self { stream, body, rest: Bytes::new(), state: State::Open, taken: Some(Vec::new()) }
    }

    /// Whether there is something left to do.
    pub(super) fn is_open(&self) -> bool {
        self.state != State::Over
    }

    /// The body as it was, if all that was taken from it is still known.
    pub(super) fn into_body(mut self) -> Option<Upload> {
        self.body.put_back(self.taken?);
        Some(self.body)
    }

    /// From now on the request is there to stay: nothing need be kept.
    pub(super) fn settle(&mut self) {
        self.taken = None;
    }

    fn keep(&mut self, data: &Bytes) {
        self.taken = self.taken.take().and_then(|mut taken| {
            taken.push(data.clone());
            let length: usize = taken.iter().map(Bytes::len).sum();
            (length <= KEPT_BYTES_MAX && taken.len() <= KEPT_PARTS_MAX).then_some(taken)
        });
    }

    /// Hands over what is left, as far as there is room; ready when all of it was.
    fn poll_rest(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), h2::Error>> {
        while !self.rest.is_empty() {
            self.stream.reserve_capacity(self.rest.len());
            let mut room = self.stream.capacity();
            if room == 0 {
                let closed = || h2::Error::from(Reason::STREAM_CLOSED);
                room = ready!(self.stream.poll_capacity(cx)).ok_or_else(closed)??;
            }
            let piece = self.rest.split_to(room.min(self.rest.len()));
            let is_end = self.rest.is_empty() && self.state == State::Last;
            if !piece.is_empty() || is_end {
                self.stream.send_data(piece, is_end)?;
            }
        }
        Poll::Ready(Ok(()))
    }

    fn poll_all(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), h2::Error>> {
        loop {
            // The endpoint may have heard enough (RFC 9113 §8.1), or have gone.
            if self.stream.poll_reset(cx).is_ready() {
                return Poll::Ready(Ok(()));
            }
            let had_rest = !self.rest.is_empty();
            ready!(self.poll_rest(cx))?;
            if had_rest && self.state == State::Last {
                return Poll::Ready(Ok(()));
            }
            let frame = match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                None => return Poll::Ready(self.stream.send_data(Bytes::new(), true)),
                Some(Ok(frame)) => frame,
                Some(Err(_)) => {
                    self.taken = None;
                    // Whose fault it was is known from the progress of the body.
                    self.stream.send_reset(Reason::CANCEL);
                    return Poll::Ready(Ok(()));
                }
            };
            let is_last = self.body.is_end_stream();
            match frame.into_data() {
                Ok(data) if data.is_empty() && is_last => {
                    return Poll::Ready(self.stream.send_data(data, true));
                }
                Ok(data) => {
                    self.keep(&data);
                    self.rest = data;
                }
                Err(frame) => {
                    self.taken = None;
                    let trailers = frame.into_trailers().unwrap_or_default();
                    return Poll::Ready(self.stream.send_trailers(trailers));
                }
            }
            if is_last {
                self.state = State::Last;
            }
        }
    }
}

impl Future for Pump {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.state == State::Over {
            return Poll::Ready(());
        }
        let result = ready!(self.poll_all(cx));
        self.state = State::Over;
        if let Err(error) = result {
            // The response, or its absence, says what it means.
            tracing::trace!(%error, "the rest of a request body is not sent");
        }
        Poll::Ready(())
    }
}

/// Of a body, for as long as there is no response: enough for a message of a call.
const KEPT_BYTES_MAX: usize = 16 * 1024;
const KEPT_PARTS_MAX: usize = 16;

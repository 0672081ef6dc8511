//! The body of a request, from the connection of its client to whoever wants it.
//!
//! Owns [`Supply`]: a part of the body is read when the backend is ready to take one, and a client
//! that waits for leave to send it gets that leave then, and not before. Behind the body it watches
//! whether the client is still there. Refuses to know what becomes of the parts.

use std::task::{Context, Poll};

use bytes::BytesMut;
use http_body::Frame;
use hyper::rt::Read;

use super::End;
use super::chunks::{BadChunk, Chunks, Part};
use super::head::Length;
use super::wire::Wire;
use crate::body::{Feed, FeedError, Incoming, Then, feed};

/// The body of one request.
pub(super) struct Supply {
    /// `None` once there is nothing more to give.
    feed: Option<Feed>,
    rest: Rest,
    awaits_leave: bool,
    is_broken: bool,
}

/// What has not been read of a body.
enum Rest {
    Chunks(Chunks),
    Bytes(u64),
}

/// Whether anything has happened that others can go on with.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Moved {
    No,
    Yes,
}

impl Supply {
    /// The supply of a body of `length`, and the body.
    pub(super) fn new(length: Length, awaits_leave: bool) -> (Self, Incoming) {
        let (rest, known) = match length {
            Length::Chunked => (Rest::Chunks(Chunks::new()), None),
            Length::Known(length) => (Rest::Bytes(length), Some(length)),
            Length::None => {
                let supply =
                    Self { feed: None, rest: Rest::Bytes(0), awaits_leave, is_broken: false };
                return (supply, Incoming::Empty);
            }
        };
        let (feed, body) = feed(known);
        (Self { feed: Some(feed), rest, awaits_leave, is_broken: false }, Incoming::Fed(body))
    }

    /// Whether the connection stands behind the body, before the next request.
    pub(super) fn is_complete(&self) -> bool {
        self.feed.is_none() && !self.is_broken
    }

    /// Whether what came was no body.
    pub(super) fn is_broken(&self) -> bool {
        self.is_broken
    }

    /// Takes note that the final response has begun, and throws away what is here of a body that
    /// nobody wants.
    pub(super) fn settle(&mut self, buffer: &mut BytesMut) {
        self.awaits_leave = false;
        if !self.feed.as_ref().is_some_and(Feed::is_left) {
            return;
        }
        loop {
            match self.rest.next(buffer) {
                Ok(Some(Part::Data(_))) if self.rest.is_zero() => break,
                Ok(Some(Part::Data(_))) => {}
                Ok(Some(Part::End(_))) => break,
                Ok(None) => return,
                Err(BadChunk) => return self.is_broken = true,
            }
        }
        self.feed = None;
    }

    /// Gives the next part if it is wanted and there, and looks whether the client is.
    pub(super) fn poll<I: Read + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        wire: &mut Wire<I>,
    ) -> Result<Moved, End> {
        let Some(feed) = &self.feed else { return watch(cx, wire) };
        if self.is_broken || feed.is_left() {
            return Ok(Moved::No);
        }
        if !feed.is_wanted(cx) {
            return watch(cx, wire);
        }
        let part = loop {
            match self.rest.next(&mut wire.buffer) {
                Ok(Some(part)) => break Ok(part),
                Ok(None) => {}
                Err(BadChunk) => break Err(FeedError::Malformed),
            }
            if std::mem::take(&mut self.awaits_leave) {
                wire.text().extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
                return Ok(Moved::Yes);
            }
            match wire.poll_fill(cx) {
                Poll::Ready(Ok(1..)) => {}
                Poll::Ready(_) => break Err(FeedError::Cut),
                Poll::Pending => return Ok(Moved::No),
            }
        };
        match part {
            Ok(Part::Data(data)) if self.rest.is_zero() => {
                feed.give(cx, Ok(Frame::data(data)), Then::End);
                self.feed = None;
            }
            Ok(Part::Data(data)) => feed.give(cx, Ok(Frame::data(data)), Then::More),
            Ok(Part::End(trailers)) if trailers.is_empty() => {
                feed.end(cx);
                self.feed = None;
            }
            Ok(Part::End(trailers)) => {
                feed.give(cx, Ok(Frame::trailers(trailers)), Then::End);
                self.feed = None;
            }
            Err(error) => {
                feed.give(cx, Err(error), Then::End);
                self.is_broken = true;
            }
        }
        Ok(Moved::Yes)
    }
}

impl Rest {
    fn next(&mut self, buffer: &mut BytesMut) -> Result<Option<Part>, BadChunk> {
        match self {
            Self::Chunks(chunks) => chunks.next(buffer),
            Self::Bytes(_) if buffer.is_empty() => Ok(None),
            Self::Bytes(rest) => {
                let length = usize::try_from(*rest).unwrap_or(usize::MAX).min(buffer.len());
                let data = if length == buffer.len() {
                    std::mem::take(buffer)
                } else {
                    buffer.split_to(length)
                };
                *rest -= length as u64;
                Ok(Some(Part::Data(data.freeze())))
            }
        }
    }

    /// Whether the last byte was read; in chunks there is no telling.
    fn is_zero(&self) -> bool {
        matches!(self, Self::Bytes(0))
    }
}

/// While nothing of the body is wanted, and behind it: whether the client is still there. Some of
/// what it says meanwhile is kept, for whoever wants it next: one that has left may have said
/// something before.
fn watch<I: Read + Unpin>(cx: &mut Context<'_>, wire: &mut Wire<I>) -> Result<Moved, End> {
    while wire.buffer.len() < AHEAD_BYTES_MAX {
        match wire.poll_fill(cx) {
            Poll::Ready(Ok(1..)) => {}
            Poll::Pending => break,
            Poll::Ready(_) => return Err(End::Broken),
        }
    }
    Ok(Moved::No)
}

/// So much is read ahead at least, if it comes.
const AHEAD_BYTES_MAX: usize = 16 * 1024;

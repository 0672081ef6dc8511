//! A body as it arrives, from a client or from an endpoint, in either version of HTTP.
//!
//! Owns [`Incoming`]. Flow control goes along with reading: what was taken out of a body makes room
//! for more of it, and nothing else does. Refuses to know what is done with the bytes. Read next:
//! `feed`, for bodies that a connection of ours reads; `leave`, for clients that wait for it.

mod feed;
mod leave;

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::RecvStream;
use http_body::{Body, Frame, SizeHint};

pub use feed::{FedBody, Feed, FeedError, Then, feed};
pub use leave::Leave;

/// A body that is being received.
#[derive(Debug)]
pub enum Incoming {
    /// Nothing at all.
    Empty,
    /// Over HTTP/1.1, as the connection of a client hands it over.
    Fed(FedBody),
    /// Over HTTP/1.1, as hyper has it.
    Http1(hyper::body::Incoming),
    /// Over a stream of HTTP/2.
    Http2(Http2Body),
}

/// The content of a stream of HTTP/2.
#[derive(Debug)]
pub struct Http2Body {
    stream: RecvStream,
    /// What is left of the content, if its length was said.
    rest: Option<u64>,
    part: Part,
    /// What the other side waits for before it sends anything.
    leave: Option<Arc<Leave>>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Part {
    Data,
    Trailers,
    End,
}

impl Http2Body {
    /// The content of `stream`, of `length` bytes if that is known.
    pub fn new(stream: RecvStream, length: Option<u64>) -> Self {
        let part = if stream.is_end_stream() { Part::End } else { Part::Data };
        Self { stream, rest: length, part, leave: None }
    }

    /// The same of a client that sends it only when it has `leave`.
    pub fn awaiting(self, leave: Arc<Leave>) -> Self {
        Self { leave: Some(leave), ..self }
    }

    fn poll_part(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, h2::Error>>> {
        if self.part == Part::Data {
            let polled = self.stream.poll_data(cx);
            if let Some(leave) = self.leave.take()
                && polled.is_pending()
            {
                leave.ask();
            }
            if let Some(data) = ready!(polled) {
                let data = data?;
                self.stream.flow_control().release_capacity(data.len())?;
                self.rest = self.rest.map(|rest| rest.saturating_sub(data.len() as u64));
                return Poll::Ready(Some(Ok(Frame::data(data))));
            }
            self.part = Part::Trailers;
        }
        if self.part == Part::Trailers {
            let trailers = ready!(self.stream.poll_trailers(cx))?;
            self.part = Part::End;
            return Poll::Ready(trailers.map(|fields| Ok(Frame::trailers(fields))));
        }
        Poll::Ready(None)
    }
}

impl Body for Incoming {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match &mut *self {
            Self::Empty => Poll::Ready(None),
            Self::Fed(body) => {
                body.poll_part(cx).map(|frame| frame.map(|f| f.map_err(BodyError::Fed)))
            }
            Self::Http1(body) => Pin::new(body)
                .poll_frame(cx)
                .map(|frame| frame.map(|f| f.map_err(BodyError::Http1))),
            Self::Http2(body) => {
                body.poll_part(cx).map(|frame| frame.map(|f| f.map_err(BodyError::Http2)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Fed(body) => body.is_end(),
            Self::Http1(body) => body.is_end_stream(),
            Self::Http2(body) => body.part == Part::End || body.stream.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Fed(body) => body.rest().map_or_else(SizeHint::default, SizeHint::with_exact),
            Self::Http1(body) => body.size_hint(),
            Self::Http2(Http2Body { part: Part::End, .. }) => SizeHint::with_exact(0),
            Self::Http2(body) => body.rest.map_or_else(SizeHint::default, SizeHint::with_exact),
        }
    }
}

/// Why a body did not arrive completely.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// Over HTTP/1.1, from a client.
    #[error("the body was not handed over completely")]
    Fed(#[source] FeedError),
    /// Over HTTP/1.1.
    #[error("the body is not complete")]
    Http1(#[source] hyper::Error),
    /// Over HTTP/2.
    #[error("the stream ended before its body")]
    Http2(#[source] h2::Error),
}

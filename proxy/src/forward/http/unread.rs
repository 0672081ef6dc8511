//! The body of a request that is answered without it.
//!
//! Owns [`Unread`]: a short body that is on its way is taken and thrown away before the answer
//! goes out. Otherwise a connection of HTTP/1.1 would have to end, and a stream of HTTP/2 would be
//! reset behind its answer, which some clients take for a failure. A long body, or one that waits
//! for leave, is not waited for. Refuses to know the answer.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use http::HeaderMap;
use http::header::EXPECT;
use http_body::Body as _;
use tokio::time::Instant;

use crate::backend::Alarm;
use crate::body::Incoming;

/// A short body that nobody wants.
#[derive(Debug)]
pub(super) struct Unread(Incoming);

impl Unread {
    /// The body of a request with `headers`, if it is worth waiting for.
    pub(super) fn new(body: Incoming, headers: &HeaderMap) -> Option<Self> {
        let is_short = body.size_hint().upper().is_some_and(|length| length <= SHORT_BYTES_MAX);
        let is_worth_it = is_short && !body.is_end_stream() && !headers.contains_key(EXPECT);
        is_worth_it.then_some(Self(body))
    }

    /// Takes all of it; false if it did not come in time.
    pub(super) async fn discard(mut self, alarm: &mut Alarm) -> bool {
        let deadline = Instant::now() + PATIENCE;
        poll_fn(|cx| {
            while !self.0.is_end_stream() {
                match Pin::new(&mut self.0).poll_frame(cx) {
                    Poll::Ready(Some(Ok(_))) => {}
                    Poll::Ready(Some(Err(_))) => return Poll::Ready(false),
                    Poll::Ready(None) => return Poll::Ready(true),
                    Poll::Pending => return alarm.poll_at(cx, deadline).map(|()| false),
                }
            }
            Poll::Ready(true)
        })
        .await
    }
}

/// What fits into the first flight of a connection.
const SHORT_BYTES_MAX: u64 = 16 * 1024;
/// How long the answer waits: the body was sent right behind its head, or it is not short.
const PATIENCE: Duration = Duration::from_millis(500);

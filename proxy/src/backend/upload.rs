//! The body of a request on its way to a backend, and what the client did wrong with it.
//!
//! Owns [`Upload`], which passes frames on as they come, within the limits on silence and slowness,
//! and [`UploadProgress`], from which the exchange reads whether the body was sent completely and
//! whose fault it is if not. Time counts only while the client is waited for: a slow backend is not
//! held against it. Refuses to know what the exchange does about it. Read next: `upstream`.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use tokio::time::Instant;

use super::alarm::Alarm;
use crate::body::{BodyError, Incoming};
use crate::config::FieldEdit;

/// What a client may do with the body of its request.
#[derive(Clone, Copy, Debug)]
pub struct UploadBounds {
    /// How long it may be silent.
    pub silence_max: Duration,
    /// Bytes per second that it must reach.
    pub rate_min: u64,
    /// How much it may send, if there is a limit.
    pub bytes_max: Option<u64>,
}

/// What becomes of the fields behind a body.
#[derive(Clone, Debug)]
pub struct Sieve {
    /// Removes those that must not pass, among them what the operator's changes are about.
    pub clean: fn(&mut HeaderMap, &[FieldEdit]),
    /// The changes, if there are any.
    pub edits: Option<Arc<[FieldEdit]>>,
}

impl Sieve {
    /// Lets pass what may.
    pub fn clean(&self, fields: &mut HeaderMap) {
        (self.clean)(fields, self.edits.as_deref().unwrap_or_default());
    }
}

/// The body of a request on its way to a backend.
#[derive(Debug)]
pub struct Upload {
    body: Incoming,
    /// `None` if there is no body at all.
    pace: Option<Box<Pace>>,
}

impl Upload {
    /// Wraps the body of a client. `trailers` drops the fields that must not pass.
    pub fn new(body: Incoming, bounds: UploadBounds, trailers: Sieve) -> Self {
        let pace = if body.is_end_stream() { None } else { Some(Pace::new(bounds, trailers)) };
        Self { body, pace }
    }

    /// No body.
    pub fn none() -> Self {
        Self { body: Incoming::Empty, pace: None }
    }

    /// Puts back what was taken, to be given again.
    pub(super) fn put_back(&mut self, taken: Vec<Bytes>) {
        if let Some(pace) = &mut self.pace {
            pace.progress.set(UploadState::Sending);
            pace.again = taken.into();
        }
    }

    /// How far it is; `None` if there is no body at all.
    pub fn progress(&self) -> Option<Arc<UploadProgress>> {
        self.pace.as_ref().map(|pace| Arc::clone(&pace.progress))
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = UploadError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, UploadError>>> {
        let this = &mut *self;
        let Some(pace) = &mut this.pace else { return Poll::Ready(None) };
        if let Some(data) = pace.again.pop_front() {
            if pace.again.is_empty() && this.body.is_end_stream() {
                pace.progress.set(UploadState::Sent);
            }
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
        let frame = match Pin::new(&mut this.body).poll_frame(cx) {
            Poll::Pending => {
                let error = ready!(pace.poll_waited_too_long(cx));
                return Poll::Ready(Some(Err(pace.fail(error))));
            }
            Poll::Ready(None) => {
                pace.progress.set(UploadState::Sent);
                return Poll::Ready(None);
            }
            Poll::Ready(Some(Err(error))) => {
                return Poll::Ready(Some(Err(pace.fail(UploadError::Client(error)))));
            }
            Poll::Ready(Some(Ok(frame))) => frame,
        };
        if let Err(error) = pace.count(&frame) {
            return Poll::Ready(Some(Err(pace.fail(error))));
        }
        let frame = match frame.into_trailers() {
            Ok(mut fields) => {
                pace.trailers.clean(&mut fields);
                if fields.is_empty() {
                    pace.progress.set(UploadState::Sent);
                    return Poll::Ready(None);
                }
                Frame::trailers(fields)
            }
            Err(frame) => frame,
        };
        if frame.is_trailers() || this.body.is_end_stream() {
            pace.progress.set(UploadState::Sent);
        }
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        let Some(pace) = &self.pace else { return true };
        pace.again.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let again = self.pace.as_ref().map_or(0, |pace| pace.again.iter().map(Bytes::len).sum());
        let rest = self.body.size_hint();
        match rest.exact().and_then(|rest| rest.checked_add(again as u64)) {
            Some(length) => SizeHint::with_exact(length),
            None => rest,
        }
    }
}

/// What the client sent too late or not at all.
#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    /// The client broke off, or broke the framing.
    #[error("the body of the request is not complete")]
    Client(#[source] BodyError),
    /// The client sent nothing for too long.
    #[error("no part of the request body came for {0:?}")]
    Silent(Duration),
    /// The client sends more than it may.
    #[error("the request body has more than {0} bytes")]
    TooLarge(u64),
    /// The client sends less than it must.
    #[error("the request body comes at less than {0} bytes a second")]
    Slow(u64),
}

/// How far a request body is, for the exchange that it belongs to.
#[derive(Debug)]
pub struct UploadProgress {
    state: AtomicU8,
    frames: AtomicU64,
}

/// How far a request body is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum UploadState {
    /// The backend has not taken all that is there.
    Sending,
    /// The next part has not come from the client.
    Waiting,
    /// All of it was handed over.
    Sent,
    /// The client broke off, or broke the framing.
    Broken,
    /// The client was too slow.
    Late,
    /// The client sent more than it may.
    TooLarge,
}

impl UploadProgress {
    /// How far it is now.
    pub fn state(&self) -> UploadState {
        match self.state.load(Ordering::Relaxed) {
            0 => UploadState::Sending,
            1 => UploadState::Waiting,
            2 => UploadState::Sent,
            3 => UploadState::Broken,
            4 => UploadState::Late,
            _ => UploadState::TooLarge,
        }
    }

    /// How many parts of it were handed over: a number that grows as long as anything moves.
    pub fn frames(&self) -> u64 {
        self.frames.load(Ordering::Relaxed)
    }

    fn set(&self, state: UploadState) {
        self.state.store(state as u8, Ordering::Relaxed);
    }
}

/// Whether the client is fast enough.
#[derive(Debug)]
struct Pace {
    progress: Arc<UploadProgress>,
    /// What was taken and put back.
    again: VecDeque<Bytes>,
    bounds: UploadBounds,
    bytes: u64,
    /// Time spent waiting for the client.
    waited: Duration,
    waiting_since: Option<Instant>,
    alarm: Alarm,
    trailers: Sieve,
}

impl Pace {
    fn new(bounds: UploadBounds, trailers: Sieve) -> Box<Self> {
        Box::new(Self {
            progress: Arc::new(UploadProgress {
                state: AtomicU8::new(UploadState::Sending as u8),
                frames: AtomicU64::new(0),
            }),
            again: VecDeque::new(),
            bounds,
            bytes: 0,
            waited: Duration::ZERO,
            waiting_since: None,
            alarm: Alarm::default(),
            trailers,
        })
    }

    /// Ready when the client was silent for too long.
    fn poll_waited_too_long(&mut self, cx: &mut Context<'_>) -> Poll<UploadError> {
        let since = *self.waiting_since.get_or_insert_with(Instant::now);
        self.progress.set(UploadState::Waiting);
        ready!(self.alarm.poll_at(cx, since + self.bounds.silence_max));
        Poll::Ready(UploadError::Silent(self.bounds.silence_max))
    }

    /// Counts what came.
    fn count(&mut self, frame: &Frame<Bytes>) -> Result<(), UploadError> {
        self.progress.set(UploadState::Sending);
        self.progress.frames.fetch_add(1, Ordering::Relaxed);
        self.bytes += frame.data_ref().map_or(0, Bytes::len) as u64;
        if let Some(max) = self.bounds.bytes_max.filter(|&max| self.bytes > max) {
            return Err(UploadError::TooLarge(max));
        }
        if let Some(since) = self.waiting_since.take() {
            self.waited += since.elapsed();
        }
        let least = self.bounds.rate_min.saturating_mul(self.waited.as_secs());
        if self.waited > RATE_GRACE && self.bytes < least {
            return Err(UploadError::Slow(self.bounds.rate_min));
        }
        Ok(())
    }

    fn fail(&self, error: UploadError) -> UploadError {
        self.progress.set(match error {
            UploadError::Client(_) => UploadState::Broken,
            UploadError::Silent(_) | UploadError::Slow(_) => UploadState::Late,
            UploadError::TooLarge(_) => UploadState::TooLarge,
        });
        error
    }
}

/// How long a client may be waited for before its rate is looked at.
const RATE_GRACE: Duration = Duration::from_secs(10);

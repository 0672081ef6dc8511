//! The body of a response on its way to a client.
//!
//! Owns [`Download`], which moves the upstream connection along whenever the client can take more,
//! gives that connection back once everything went by the book, and closes it in every other case,
//! among them that the client goes away. A response that the backend cuts is cut for the client as
//! well. Read next: `backend::Lease`.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::Instant;

use super::state::InFlight;
use crate::access::{End, Entry, Record};
use crate::backend::{Backend, Lease, Sieve, Verdict};
use crate::body::{BodyError, Incoming};
use crate::outcome::{BackendFailure, CloseReason};

/// The body of a response.
#[derive(Debug)]
pub(super) struct Download {
    source: Source,
    in_flight: InFlight,
}

#[derive(Debug)]
enum Source {
    /// An answer of ours, or nothing.
    Text(Option<Bytes>),
    /// What a backend sends.
    Relay(Relay),
}

/// A response that is being received.
#[derive(Debug)]
pub(super) struct Relay {
    body: Incoming,
    backend: Arc<Backend>,
    lease: Option<Lease>,
    /// Whether the connection may serve another exchange after this one.
    is_reusable: bool,
    manner: Manner,
    verdicts: Verdicts,
    silent_since: Option<Instant>,
    /// The end of a response that is cut, held back until what came before it is sent.
    cut: Option<DownloadError>,
}

/// How a response is passed on.
#[derive(Debug)]
pub(super) struct Manner {
    /// How long the backend may be silent.
    pub(super) silence_max: Duration,
    /// Removes trailer fields that do not pass.
    pub(super) trailers: Sieve,
}

/// What the response says of its endpoint.
#[derive(Clone, Copy, Debug)]
pub(super) struct Verdicts {
    /// By the head alone. Said when the response ends: an endpoint that breaks off every body would
    /// else do well each time before it fails.
    pub(super) so_far: Verdict,
    /// If its body breaks, unless that says nothing.
    pub(super) if_broken: Option<Verdict>,
}

/// Why a response is cut.
#[derive(Debug, thiserror::Error)]
pub(super) enum DownloadError {
    #[error("the backend broke off its response")]
    Broken(#[source] BodyError),
    #[error("no part of the response came in time")]
    Silent,
}

impl Download {
    /// An answer of ours.
    pub(super) fn text(text: Bytes, mut in_flight: InFlight) -> Self {
        in_flight.record.note(|entry| entry.end = End::Complete);
        let text = Some(text).filter(|text| !text.is_empty());
        Self { source: Source::Text(text), in_flight }
    }

    /// What a backend sends. A response that is complete already frees its connection at once.
    pub(super) fn relay(mut relay: Relay, mut in_flight: InFlight) -> Self {
        if relay.body.is_end_stream() {
            relay.finish();
            in_flight.record.note(Entry::receive);
            return Self::text(Bytes::new(), in_flight);
        }
        Self { source: Source::Relay(relay), in_flight }
    }

    /// What the access log will say.
    pub(super) fn record(&mut self) -> &mut Record {
        &mut self.in_flight.record
    }
}

impl Relay {
    /// The body that comes over the connection of `lease`.
    pub(super) fn new(
        body: Incoming,
        backend: Arc<Backend>,
        lease: Lease,
        is_reusable: bool,
        manner: Manner,
        verdicts: Verdicts,
    ) -> Self {
        let lease = Some(lease);
        Self { body, backend, lease, is_reusable, manner, verdicts, silent_since: None, cut: None }
    }

    /// Nothing more is expected of the endpoint; it is said how it did.
    fn let_go(&mut self) -> Option<Lease> {
        let lease = self.lease.take()?;
        lease.note(self.verdicts.so_far);
        Some(lease)
    }

    /// The response was received completely.
    fn finish(&mut self) {
        if let Some(lease) = self.let_go()
            && self.is_reusable
        {
            lease.give_back();
        }
    }

    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) {
            return Poll::Ready(frame);
        }
        if let Some(lease) = &mut self.lease {
            lease.drive(cx);
        }
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
        in_flight: &mut InFlight,
    ) -> Poll<Option<Result<Frame<Bytes>, DownloadError>>> {
        if let Some(error) = self.cut.take() {
            return Poll::Ready(Some(Err(error)));
        }
        let frame = match self.poll_body(cx) {
            Poll::Pending => {
                let since = *self.silent_since.get_or_insert_with(Instant::now);
                ready!(in_flight.alarm.poll_at(cx, since + self.manner.silence_max));
                in_flight.connection().blame(CloseReason::Timeout);
                in_flight.record.note(|entry| {
                    entry.failure = Some(BackendFailure::Timeout);
                    entry.end = End::Timeout;
                });
                return self.fail(cx, BackendFailure::Timeout, DownloadError::Silent);
            }
            Poll::Ready(None) => {
                self.finish();
                in_flight.record.note(|entry| {
                    entry.receive();
                    entry.end = End::Complete;
                });
                return Poll::Ready(None);
            }
            Poll::Ready(Some(Err(error))) => {
                in_flight.connection().blame(CloseReason::BackendError);
                in_flight.record.note(|entry| {
                    entry.failure = Some(BackendFailure::Broken);
                    entry.end = End::Backend;
                });
                return self.fail(cx, BackendFailure::Broken, DownloadError::Broken(error));
            }
            Poll::Ready(Some(Ok(frame))) => frame,
        };
        self.silent_since = None;
        let is_end = self.body.is_end_stream();
        if is_end {
            self.finish();
        }
        in_flight.record.note(|entry| {
            entry.sent += frame.data_ref().map_or(0, Bytes::len) as u64;
            if is_end {
                entry.receive();
                entry.end = End::Complete;
            }
        });
        Poll::Ready(match frame.into_trailers() {
            Ok(mut trailers) => {
                self.manner.trailers.clean(&mut trailers);
                (!trailers.is_empty()).then(|| Ok(Frame::trailers(trailers)))
            }
            Err(frame) => Some(Ok(frame)),
        })
    }

    /// Cuts the response, but not before what came so far had the chance to be sent.
    fn fail<T>(
        &mut self,
        cx: &mut Context<'_>,
        failure: BackendFailure,
        error: DownloadError,
    ) -> Poll<T> {
        // Silence may be all that there is to say; a body that breaks is not.
        if let (DownloadError::Broken(_), Some(verdict)) = (&error, self.verdicts.if_broken) {
            self.verdicts.so_far = verdict;
        }
        self.let_go();
        self.backend.metrics().errors.of(failure).inc();
        self.cut = Some(error);
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.let_go();
    }
}

impl Body for Download {
    type Data = Bytes;
    type Error = DownloadError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, DownloadError>>> {
        let this = &mut *self;
        match &mut this.source {
            Source::Text(text) => {
                let text = text.take();
                let length = text.as_ref().map_or(0, Bytes::len) as u64;
                this.in_flight.record.note(|entry| entry.sent += length);
                Poll::Ready(text.map(|text| Ok(Frame::data(text))))
            }
            Source::Relay(relay) => relay.poll_frame(cx, &mut this.in_flight),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Text(text) => text.is_none(),
            Source::Relay(relay) => relay.body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Text(text) => SizeHint::with_exact(text.as_ref().map_or(0, Bytes::len) as u64),
            Source::Relay(relay) => relay.body.size_hint(),
        }
    }
}

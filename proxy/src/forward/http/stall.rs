//! Streams whose client grants no window.
//!
//! Owns [`Stream`], which gives a stream of HTTP/2 up when nothing but the client holds it. hyper
//! does not say what a stream waits for; but as long as it waits for us, it asks the exchange or
//! its body, which note it here. Refuses to know frames. Read next: `h2`.

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;
use tokio::time::Instant;

use super::state::Connection;
use crate::backend::Alarm;

thread_local! {
    /// Whether the stream that this thread polls now has asked us for anything.
    static HAS_ASKED: Cell<bool> = const { Cell::new(false) };
}

/// To be called by whatever a stream asks.
pub(super) fn note_asked() {
    HAS_ASKED.set(true);
}

pin_project! {
    /// The task of a stream. It ends early, which resets the stream, when the client takes nothing
    /// for as long as it may.
    pub(super) struct Stream<F> {
        #[pin]
        stream: F,
        connection: Arc<Connection>,
        stalled_since: Option<Instant>,
        alarm: Alarm,
    }
}

impl<F> Stream<F> {
    pub(super) fn new(stream: F, connection: Arc<Connection>) -> Self {
        Self { stream, connection, stalled_since: None, alarm: Alarm::default() }
    }
}

impl<F: Future<Output = ()>> Future for Stream<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        HAS_ASKED.set(false);
        if this.stream.poll(cx).is_ready() {
            return Poll::Ready(());
        }
        if HAS_ASKED.get() {
            *this.stalled_since = None;
            return Poll::Pending;
        }
        let since = *this.stalled_since.get_or_insert_with(Instant::now);
        let limit = this.connection.service.limits.http.write_timeout;
        let is_given_up = this.alarm.poll_at(cx, since + limit);
        if is_given_up.is_ready() {
            tracing::debug!("a stream whose client takes nothing is reset");
        }
        is_given_up
    }
}

pin_project! {
    /// An exchange that notes that it was asked.
    pub(super) struct Asked<F> {
        #[pin]
        exchange: F,
    }
}

impl<F> Asked<F> {
    pub(super) fn new(exchange: F) -> Self {
        Self { exchange }
    }
}

impl<F: Future> Future for Asked<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        note_asked();
        self.project().exchange.poll(cx)
    }
}

//! A body that is handed over part by part, by whoever reads the connection that it comes over.
//!
//! Owns the two ends: [`Feed`], which gives a part when it is asked for one, and [`FedBody`], which
//! asks. There is room for one part, so that nothing is read that nobody wants. The ends may be
//! polled by one task or by two; if by one, no waker is touched. Refuses to know the framing.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http_body::Frame;

/// The end that gives. A feed that is dropped before the end of the body has cut it.
#[derive(Debug)]
pub struct Feed(Arc<Shared>);

/// The end that asks.
#[derive(Debug)]
pub struct FedBody(Arc<Shared>);

/// Why a body that was fed has no end.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum FeedError {
    /// The connection ended before the body did.
    #[error("the connection ended before the body")]
    Cut,
    /// Its framing is wrong.
    #[error("the framing of the body is malformed")]
    Malformed,
}

#[derive(Debug)]
struct Shared(Mutex<State>);

#[derive(Debug)]
struct State {
    part: Option<Result<Frame<Bytes>, FeedError>>,
    /// Whether nothing comes behind `part`.
    is_complete: bool,
    /// What is left of the content, if its length was said.
    rest: Option<u64>,
    is_wanted: bool,
    is_left: bool,
    giver: Option<Waker>,
    asker: Option<Waker>,
}

/// The two ends of a body, of `length` bytes if that is known.
pub fn feed(length: Option<u64>) -> (Feed, FedBody) {
    let state = State {
        part: None,
        is_complete: false,
        rest: length,
        is_wanted: false,
        is_left: false,
        giver: None,
        asker: None,
    };
    let shared = Arc::new(Shared(Mutex::new(state)));
    (Feed(Arc::clone(&shared)), FedBody(shared))
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Feed {
    /// Whether a part is asked for; else the task is woken when one is.
    pub fn is_wanted(&self, cx: &Context<'_>) -> bool {
        let mut state = self.0.lock();
        if state.is_wanted {
            return true;
        }
        store(&mut state.giver, cx);
        false
    }

    /// Whether nobody will ask any more.
    pub fn is_left(&self) -> bool {
        self.0.lock().is_left
    }

    /// Gives the part that was asked for. Whoever has asked in this very task is not woken, but to
    /// be polled again.
    pub fn give(&self, cx: &Context<'_>, part: Result<Frame<Bytes>, FeedError>, then: Then) {
        let mut state = self.0.lock();
        state.is_complete = then == Then::End || part.is_err();
        state.part = Some(part);
        state.wake_asker(cx.waker());
    }

    /// Says that nothing more comes.
    pub fn end(&self, cx: &Context<'_>) {
        let mut state = self.0.lock();
        state.is_complete = true;
        state.wake_asker(cx.waker());
    }
}

/// What comes behind a part of a body.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Then {
    /// Nothing.
    End,
    /// Perhaps more.
    More,
}

impl State {
    fn wake_asker(&mut self, here: &Waker) {
        self.is_wanted = false;
        if let Some(asker) = &self.asker
            && !asker.will_wake(here)
        {
            asker.wake_by_ref();
        }
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        if state.is_complete {
            return;
        }
        state.is_complete = true;
        state.part = Some(Err(FeedError::Cut));
        if let Some(asker) = state.asker.take() {
            asker.wake();
        }
    }
}

impl FedBody {
    /// The next part, or `None` at the end.
    pub fn poll_part(&self, cx: &Context<'_>) -> Poll<Option<Result<Frame<Bytes>, FeedError>>> {
        let mut state = self.0.lock();
        if let Some(part) = state.part.take() {
            if let Ok(frame) = &part {
                let length = frame.data_ref().map_or(0, Bytes::len) as u64;
                state.rest = state.rest.map(|rest| rest.saturating_sub(length));
            } else {
                // Whoever asks again must not take what was cut for complete.
                state.part = Some(Err(FeedError::Cut));
            }
            return Poll::Ready(Some(part));
        }
        if state.is_complete {
            return Poll::Ready(None);
        }
        store(&mut state.asker, cx);
        if !state.is_wanted {
            state.is_wanted = true;
            if let Some(giver) = &state.giver
                && !giver.will_wake(cx.waker())
            {
                giver.wake_by_ref();
            }
        }
        Poll::Pending
    }

    /// Whether the end was reached.
    pub fn is_end(&self) -> bool {
        let state = self.0.lock();
        state.is_complete && state.part.is_none()
    }

    /// What is left of the content, if its length was said.
    pub fn rest(&self) -> Option<u64> {
        let state = self.0.lock();
        if state.is_complete && state.part.is_none() { Some(0) } else { state.rest }
    }
}

impl Drop for FedBody {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.is_left = true;
        if let Some(giver) = state.giver.take() {
            giver.wake();
        }
    }
}

fn store(place: &mut Option<Waker>, cx: &Context<'_>) {
    if !place.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
        *place = Some(cx.waker().clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data(text: &'static str) -> Result<Frame<Bytes>, FeedError> {
        Ok(Frame::data(Bytes::from_static(text.as_bytes())))
    }

    #[test]
    fn a_part_is_given_when_it_is_asked_for() {
        let cx = Context::from_waker(Waker::noop());
        let (feed, body) = feed(Some(5));
        assert!(!feed.is_wanted(&cx));
        assert!(body.poll_part(&cx).is_pending() && feed.is_wanted(&cx));
        feed.give(&cx, data("hel"), Then::More);
        assert!(!feed.is_wanted(&cx));
        assert!(matches!(body.poll_part(&cx), Poll::Ready(Some(Ok(_)))));
        assert_eq!((body.rest(), body.is_end()), (Some(2), false));
        feed.give(&cx, data("lo"), Then::End);
        assert!(!body.is_end());
        assert!(matches!(body.poll_part(&cx), Poll::Ready(Some(Ok(_)))));
        assert_eq!((body.rest(), body.is_end()), (Some(0), true));
        assert!(matches!(body.poll_part(&cx), Poll::Ready(None)));
    }

    #[test]
    fn a_feed_that_goes_has_cut_the_body_unless_it_has_ended() {
        let cx = Context::from_waker(Waker::noop());
        let (gone, body) = feed(None);
        drop(gone);
        for _ in 0..2 {
            assert!(matches!(body.poll_part(&cx), Poll::Ready(Some(Err(FeedError::Cut)))));
            assert!(!body.is_end());
        }
        let (ended, body) = feed(None);
        ended.end(&cx);
        drop(ended);
        assert!(matches!(body.poll_part(&cx), Poll::Ready(None)));
    }

    #[test]
    fn a_body_that_goes_is_known_to_have_gone() {
        let (feed, body) = feed(None);
        assert!(!feed.is_left());
        drop(body);
        assert!(feed.is_left());
    }
}

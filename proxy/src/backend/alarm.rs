//! A timer that costs nothing as long as it does not go off.
//!
//! Owns [`Alarm`], which is asked with a deadline whenever its owner waits. Deadlines mostly move
//! into the future, so the runtime's timer is left where it is and moved only when it fires too
//! early: a busy connection touches it once in a timeout, not twice in a request.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::time::{Instant, Sleep, sleep_until};

/// A timer for one wait after the other. A stale one may wake its task once for nothing.
#[derive(Debug, Default)]
pub(crate) struct Alarm(Option<Pin<Box<Sleep>>>);

impl Alarm {
    /// Ready once `deadline` has passed.
    pub(crate) fn poll_at(&mut self, cx: &mut Context<'_>, deadline: Instant) -> Poll<()> {
        let sleep = self.0.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if deadline < sleep.deadline() {
            sleep.as_mut().reset(deadline);
        }
        while sleep.as_mut().poll(cx).is_ready() {
            if Instant::now() >= deadline {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(deadline);
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_deadline_may_move_either_way() {
        let start = Instant::now();
        let mut alarm = Alarm::default();
        for seconds in [10, 75, 20, 300] {
            let deadline = Instant::now() + Duration::from_secs(seconds);
            poll_fn(|cx| alarm.poll_at(cx, deadline)).await;
            assert!(Instant::now() >= deadline);
        }
        assert_eq!(start.elapsed().as_secs(), 405);
    }
}

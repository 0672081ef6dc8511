//! How long nothing may move in a tunnel.
//!
//! Owns the one timer of a relay. It looks now and then whether anything moved, rather than being
//! set anew by each byte, so a limit takes effect up to a quarter late. Refuses to know what moves.

use std::future::Future as _;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::time::{Instant, Sleep, sleep};

use crate::config::Limits;

/// The timer.
pub(super) struct Idle<'a> {
    limits: &'a Limits,
    timer: Pin<&'a mut Sleep>,
    /// Whether one direction has ended, so that the other has less time.
    is_half: bool,
    moved: bool,
    quiet_ticks: u32,
}

/// What an [`Idle`] needs to be pinned by its owner.
pub(super) fn timer(limits: &Limits) -> Sleep {
    sleep(limits.tunnel_idle_timeout / TICKS)
}

impl<'a> Idle<'a> {
    /// The time runs from now on; `timer` is that of [`timer`].
    pub(super) fn new(limits: &'a Limits, timer: Pin<&'a mut Sleep>) -> Self {
        Self { limits, timer, is_half: false, moved: false, quiet_ticks: 0 }
    }

    /// Notes that bytes moved.
    pub(super) fn note_moved(&mut self) {
        self.moved = true;
    }

    /// Notes that one direction has ended and the other has not.
    pub(super) fn note_half(&mut self) {
        if !self.is_half {
            self.is_half = true;
            self.quiet_ticks = 0;
            self.rearm();
        }
    }

    /// Is ready when nothing has moved for as long as the limits allow.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            ready!(self.timer.as_mut().poll(cx));
            self.quiet_ticks = if self.moved { 0 } else { self.quiet_ticks + 1 };
            self.moved = false;
            if self.quiet_ticks == TICKS {
                return Poll::Ready(());
            }
            self.rearm();
        }
    }

    fn rearm(&mut self) {
        let limit = match self.is_half {
            true => self.limits.half_close_timeout,
            false => self.limits.tunnel_idle_timeout,
        };
        self.timer.as_mut().reset(Instant::now() + limit / TICKS);
    }
}

/// How often the timer looks within a limit.
const TICKS: u32 = 4;

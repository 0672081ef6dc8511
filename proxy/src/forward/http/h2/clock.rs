//! The deadlines of a connection of HTTP/2.
//!
//! Owns [`Clock`], which tells what is due: a farewell to a client that has no requests, or whose
//! connection is old; a question to a client that has been silent while it waits for us; the end of
//! one that does not hear. Refuses to know what is done about it. Read next: `mod`.

use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::Instant;

use crate::backend::Alarm;
use crate::config::HttpLimits;

/// When what is due.
#[derive(Debug)]
pub(super) struct Clock {
    alarm: Alarm,
    opened: Instant,
    /// Since when there are no streams.
    idle_since: Option<Instant>,
    /// Whether what only requests need has gone since then.
    has_rested: bool,
    /// When something was last found to have come, and how often anything had come by then.
    heard: (Instant, u64),
    /// When the client was asked whether it still lives.
    asked: Option<Instant>,
    /// When the client was told that there will be no more requests.
    farewell: Option<Instant>,
}

/// What a connection has been doing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Doings {
    /// Streams that are open.
    pub(super) streams: usize,
    /// Requests so far.
    pub(super) requests: u64,
    /// How often anything came.
    pub(super) reads: u64,
}

/// What is due.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Due {
    /// The connection is old: no more requests.
    Age,
    /// The client no longer lives.
    Dead,
    /// There has been no request for long: no more requests.
    Idle,
    /// The client is to be asked whether it still lives.
    Ping,
    /// There has been no request for a while: what only requests need may go.
    Rest,
    /// The farewell was not heard: the end, if there are no streams.
    Unheard,
}

impl Clock {
    pub(super) fn new() -> Self {
        let now = Instant::now();
        Self {
            alarm: Alarm::default(),
            opened: now,
            idle_since: Some(now),
            has_rested: true,
            heard: (now, 0),
            asked: None,
            farewell: None,
        }
    }

    pub(super) fn has_said_farewell(&self) -> bool {
        self.farewell.is_some()
    }

    /// Whether the client had the time to hear that there will be no more requests.
    pub(super) fn is_past_farewell(&self) -> bool {
        self.farewell.is_some_and(|said| said.elapsed() >= FAREWELL_TIMEOUT)
    }

    /// To be called when the client is told that there will be no more requests.
    pub(super) fn note_farewell(&mut self) {
        self.farewell.get_or_insert_with(Instant::now);
    }

    /// Ready with what is due next. It is told once.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        doings: Doings,
        limits: &HttpLimits,
    ) -> Poll<Due> {
        self.note(doings);
        let (at, due) = self.next(doings, limits);
        ready!(self.alarm.poll_at(cx, at));
        match due {
            Due::Ping => self.asked = Some(Instant::now()),
            Due::Age | Due::Idle => self.note_farewell(),
            Due::Rest => self.has_rested = true,
            Due::Dead | Due::Unheard => {}
        }
        Poll::Ready(due)
    }

    fn note(&mut self, doings: Doings) {
        if doings.streams > 0 {
            self.idle_since = None;
            self.has_rested = false;
        } else if self.idle_since.is_none() {
            self.idle_since = Some(Instant::now());
        }
        if self.heard.1 != doings.reads {
            self.heard = (Instant::now(), doings.reads);
            self.asked = None;
        }
    }

    fn next(&self, doings: Doings, limits: &HttpLimits) -> (Instant, Due) {
        let mut next = match (self.farewell, self.idle_since) {
            (Some(said), Some(idle)) => (said.max(idle) + FAREWELL_TIMEOUT, Due::Unheard),
            (None, Some(idle)) if doings.requests == 0 => {
                (idle + limits.request_head_timeout, Due::Idle)
            }
            (None, Some(idle)) => (idle + limits.keepalive_timeout, Due::Idle),
            (_, None) => match self.asked {
                Some(asked) => (asked + limits.h2_ping_timeout, Due::Dead),
                None => (self.heard.0 + limits.h2_ping_interval, Due::Ping),
            },
        };
        let aged = self.opened + limits.connection_age_max;
        if self.farewell.is_none() && aged < next.0 {
            next = (aged, Due::Age);
        }
        match self.idle_since {
            Some(idle) if !self.has_rested && idle + REST_AFTER < next.0 => {
                (idle + REST_AFTER, Due::Rest)
            }
            _ => next,
        }
    }
}

/// How long the space of requests is kept for the next ones.
const REST_AFTER: Duration = Duration::from_secs(1);
/// For the farewell of the client after ours.
pub(super) const FAREWELL_TIMEOUT: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    /// What is due, and after how many seconds.
    async fn due(clock: &mut Clock, doings: Doings) -> (Due, u64) {
        let limits = HttpLimits::default();
        let start = Instant::now();
        let due = poll_fn(|cx| clock.poll(cx, doings, &limits)).await;
        (due, start.elapsed().as_secs())
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_client_hears_a_farewell_and_is_left() {
        let silent = Doings { streams: 0, requests: 0, reads: 0 };
        let mut clock = Clock::new();
        assert_eq!(due(&mut clock, silent).await, (Due::Idle, 10));
        assert_eq!(due(&mut clock, silent).await, (Due::Unheard, 5));
        let mut clock = Clock::new();
        assert_eq!(due(&mut clock, Doings { requests: 1, ..silent }).await, (Due::Idle, 75));
    }

    #[tokio::test(start_paused = true)]
    async fn the_space_of_requests_goes_before_the_connection_does() {
        let idle = Doings { streams: 0, requests: 1, reads: 0 };
        let mut clock = Clock::new();
        assert_eq!(due(&mut clock, Doings { streams: 1, ..idle }).await, (Due::Ping, 30));
        assert_eq!(due(&mut clock, idle).await, (Due::Rest, 1));
        assert_eq!(due(&mut clock, idle).await, (Due::Idle, 74));
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_waits_is_asked_whether_it_lives() {
        let waiting = Doings { streams: 1, requests: 1, reads: 7 };
        let mut clock = Clock::new();
        assert_eq!(due(&mut clock, waiting).await, (Due::Ping, 30));
        let answered = Doings { reads: 8, ..waiting };
        assert_eq!(due(&mut clock, answered).await, (Due::Ping, 30));
        assert_eq!(due(&mut clock, answered).await, (Due::Dead, 20));
    }

    #[tokio::test(start_paused = true)]
    async fn an_old_connection_ends_even_if_it_is_busy() {
        let (mut clock, start) = (Clock::new(), Instant::now());
        for reads in 0.. {
            let (due, _) = due(&mut clock, Doings { streams: 1, requests: 1, reads }).await;
            if due == Due::Age {
                break;
            }
            assert_eq!(due, Due::Ping);
        }
        assert_eq!(start.elapsed(), HttpLimits::default().connection_age_max);
        assert!(clock.has_said_farewell());
        let (due, _) = due(&mut clock, Doings { streams: 1, requests: 1, reads: 0 }).await;
        assert_ne!(due, Due::Age);
    }
}

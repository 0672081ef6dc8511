//! When files are looked at: once they are quiet, and now and then in any case.
//!
//! Owns [`Quiet`], the clockwork of that. Refuses to know what the files are, and what is done
//! then.

use std::time::Duration;

use tokio::time::Instant;

/// When the files are looked at next: after they have been quiet for a while, within a bound.
pub(super) struct Quiet {
    looked: Instant,
    /// The first sign of a change, and when it has been quiet for long enough.
    pub(super) heard: Option<(Instant, Instant)>,
}

impl Quiet {
    pub(super) fn from(looked: Instant) -> Self {
        Self { looked, heard: None }
    }

    /// There was a sign of a change.
    pub(super) fn hear(&mut self, now: Instant, settle: Duration) {
        let (first, _) = self.heard.unwrap_or((now, now));
        self.heard = Some((first, (now + settle).min(first + settle * SETTLES_MAX)));
    }

    pub(super) fn due(&self, poll: Duration) -> Instant {
        let regular = self.looked + poll;
        self.heard.map_or(regular, |(_, quiet)| quiet.min(regular))
    }
}

/// Settle times after which files that never become quiet are read all the same.
const SETTLES_MAX: u32 = 3;

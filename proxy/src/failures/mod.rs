//! Handshakes that failed: the last of them, each with all that is known of its client.
//!
//! Owns [`Failures`], which keeps a fixed number of them, and decides which are worth a closer look
//! and which a line for everybody: under a flood that is a few of each reason, so that neither a
//! scanner nor a health check can make the work, fill the log or push out what is rare. What a
//! reason means to an operator is in `explain`. Refuses to know how a handshake fails; `connection`
//! tells.

mod explain;

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use crate::handshake::Profile;
use crate::net::ClientAddr;
use crate::outcome::{HandshakeFailure, Label as _};

pub use explain::{Explanation, explain};

/// A handshake that failed.
#[derive(Clone, Debug)]
pub struct Failure {
    /// When.
    pub time: SystemTime,
    /// The name of the listener.
    pub listener: Arc<str>,
    /// Whose it was.
    pub client: ClientAddr,
    /// Why.
    pub reason: HandshakeFailure,
    /// What the client had told of itself.
    pub profile: Profile,
    /// The error, with its causes.
    pub error: Box<str>,
}

/// How closely a failure is looked at.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Attention {
    /// It is counted, and no more.
    Counted,
    /// It is kept.
    Kept,
    /// It is kept, and everybody is told, also of how many of its reason nobody was told before.
    Told {
        /// Those since the last one that was told of.
        untold: u64,
    },
}

/// The last failures.
pub struct Failures(Mutex<Book>);

struct Book {
    /// The newest comes last.
    kept: VecDeque<Arc<Failure>>,
    /// By reason.
    paces: Vec<Pace>,
}

/// How often a reason comes.
#[derive(Clone, Copy, Debug)]
struct Pace {
    /// When all that were kept would have been due at the steady rate.
    keep: Instant,
    /// The same for those that were told of.
    tell: Instant,
    untold: u64,
}

impl Failures {
    /// Notes that a handshake has failed `now`, and says how closely to look at it.
    pub fn note(&self, reason: HandshakeFailure, now: Instant) -> Attention {
        let mut book = self.book();
        let Some(pace) = book.paces.get_mut(reason.index()) else { return Attention::Counted };
        if !is_due(&mut pace.keep, now, KEEP_PAUSE, KEEP_BURST) {
            pace.untold += 1;
            return Attention::Counted;
        }
        if is_routine(reason) || !is_due(&mut pace.tell, now, TELL_PAUSE, TELL_BURST) {
            pace.untold += 1;
            return Attention::Kept;
        }
        Attention::Told { untold: std::mem::take(&mut pace.untold) }
    }

    /// Keeps a failure. Where there is no more place, the oldest of those goes whose reason has the
    /// most: many of one kind tell no more than some of them.
    pub fn keep(&self, failure: Failure) {
        let failure = Arc::new(failure);
        let mut book = self.book();
        if book.kept.len() >= KEPT_MAX {
            let mut counts = [0_usize; HandshakeFailure::ALL.len()];
            for kept in &book.kept {
                counts.get_mut(kept.reason.index()).into_iter().for_each(|count| *count += 1);
            }
            let count = |kept: &Arc<Failure>| counts.get(kept.reason.index()).copied();
            let most = book.kept.iter().filter_map(count).max();
            let place = book.kept.iter().position(|kept| count(kept) == most);
            book.kept.remove(place.unwrap_or(0));
        }
        book.kept.push_back(failure);
    }

    /// Those that are kept, the newest first.
    pub fn recent(&self) -> Vec<Arc<Failure>> {
        self.book().kept.iter().rev().map(Arc::clone).collect()
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Failures {
    fn default() -> Self {
        let now = Instant::now();
        let pace = Pace { keep: now, tell: now, untold: 0 };
        let paces = vec![pace; HandshakeFailure::ALL.len()];
        Self(Mutex::new(Book { kept: VecDeque::with_capacity(KEPT_MAX), paces }))
    }
}

impl fmt::Debug for Failures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Failures").field("kept", &self.book().kept.len()).finish_non_exhaustive()
    }
}

/// Whether one more is due `now`, at one each `pause` with `burst` of them ahead of it.
fn is_due(due: &mut Instant, now: Instant, pause: Duration, burst: u32) -> bool {
    let next = (*due).max(now);
    let ahead = next.saturating_duration_since(now).saturating_add(pause);
    if ahead > pause.saturating_mul(burst) {
        return false;
    }
    *due = next.checked_add(pause).unwrap_or(next);
    true
}

/// Whether it happens all day wherever a port is open, so that nobody has to be told.
fn is_routine(reason: HandshakeFailure) -> bool {
    use HandshakeFailure as Reason;
    matches!(
        reason,
        Reason::ClientClosed
            | Reason::ClientReset
            | Reason::ClientSilent
            | Reason::NotTls
            | Reason::PlaintextHttp
            | Reason::TimeoutHello
    )
}

/// How many are kept: some hundred bytes each, a few kilobytes where clients try hard.
const KEPT_MAX: usize = 256;

/// Of one reason, looked at more closely: so many at once, and then ten in a second.
const KEEP_BURST: u32 = 100;
const KEEP_PAUSE: Duration = Duration::from_millis(100);

/// Of one reason, told to everybody: so many at once, and then one each ten seconds.
const TELL_BURST: u32 = 10;
const TELL_PAUSE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::PeerAddr;

    fn failure(reason: HandshakeFailure, error: &str) -> Failure {
        Failure {
            time: SystemTime::UNIX_EPOCH,
            listener: "web".into(),
            client: ClientAddr::from(PeerAddr::UNIX),
            reason,
            profile: Profile::default(),
            error: error.into(),
        }
    }

    #[test]
    fn the_newest_come_first_and_no_more_are_kept_than_there_is_place() {
        let failures = Failures::default();
        for number in 0..KEPT_MAX + 10 {
            failures.keep(failure(HandshakeFailure::NoCipher, &number.to_string()));
        }
        let recent = failures.recent();
        assert_eq!(recent.len(), KEPT_MAX);
        assert_eq!(&*recent.first().unwrap().error, (KEPT_MAX + 9).to_string());
        assert_eq!(&*recent.last().unwrap().error, "10");
    }

    #[test]
    fn many_of_one_reason_do_not_push_out_what_is_rare() {
        let failures = Failures::default();
        failures.keep(failure(HandshakeFailure::ClientAlertUnknownCa, "rare"));
        for _ in 0..KEPT_MAX * 3 {
            failures.keep(failure(HandshakeFailure::NotTls, "flood"));
        }
        let recent = failures.recent();
        assert_eq!(recent.len(), KEPT_MAX);
        assert_eq!(&*recent.last().unwrap().error, "rare");
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_is_looked_at_closely_only_now_and_then() {
        let failures = Failures::default();
        let start = Instant::now();
        let mut attention = [0, 0, 0];
        for step in 0..60_000 {
            let now = start + Duration::from_millis(step);
            match failures.note(HandshakeFailure::UnknownName, now) {
                Attention::Counted => attention[0] += 1,
                Attention::Kept => attention[1] += 1,
                Attention::Told { .. } => attention[2] += 1,
            }
        }
        let [counted, kept, told] = attention;
        assert_eq!(told, 10 + 5, "the first, and one each ten seconds");
        assert_eq!(kept + told, 100 + 599);
        assert_eq!(counted + kept + told, 60_000);
        let other = failures.note(HandshakeFailure::NoGroup, start + Duration::from_secs(60));
        assert_eq!(other, Attention::Told { untold: 0 }, "each reason by itself");
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_told_hears_of_all_that_came_before() {
        let failures = Failures::default();
        let now = Instant::now();
        let note = |now| failures.note(HandshakeFailure::NoVersion, now);
        for _ in 0..TELL_BURST {
            assert_eq!(note(now), Attention::Told { untold: 0 });
        }
        for _ in 0..200 {
            assert!(!matches!(note(now), Attention::Told { .. }));
        }
        assert_eq!(note(now + TELL_PAUSE), Attention::Told { untold: 200 });
        let silent = failures.note(HandshakeFailure::ClientSilent, now);
        assert_eq!(silent, Attention::Kept, "a health check is nothing to be told of");
    }
}

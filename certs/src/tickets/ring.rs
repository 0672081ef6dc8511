//! Which keys open and which one seals: the schedule, as a function of the moment.
//!
//! Owns [`RingOptions`], the arithmetic of periods, and [`Ring`], an immutable set of keys that
//! says for any [`Moment`] which one of them seals and which open. It holds no clock, makes no key
//! and changes nothing: [`super`] puts another ring in its place.
//!
//! Time is cut into periods of one rotation each, counted from 1970. The key of period *p*
//!
//! - is made or agreed on when period *p* − 1 begins, and until then waits as the *next* key;
//! - seals during period *p*, as the *current* key;
//! - opens from a minute before period *p*, for the sake of peers whose clock is ahead, until the
//!   lifetime of a ticket after period *p*, as a *previous* key.
//!
//! So a key lives for two rotations and the lifetime of a ticket: three hours by default, and never
//! more than four rotations. Each key carries that limit on the steady clock too, so that setting
//! the wall clock back does not bring it more. What seals was made at most two rotations ago: if
//! nobody makes keys any more, then after that time nothing seals.
//!
//! A key that was agreed on less than a minute ago may not have reached everybody. As long as the
//! previous one still can, that one seals, for the first minute of a period; if there is none, the
//! new one is still better than one that nobody else has.

use std::sync::Arc;
use std::time::Duration;

use super::Moment;
use super::key::{Origin, TicketKey};

/// How keys rotate, and how long tickets last.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct RingOptions {
    rotation_secs: u64,
    lifetime_secs: u64,
}

impl RingOptions {
    /// A new key each `rotation`, and tickets that resume for `lifetime`, both in whole seconds:
    /// what is beyond is cut off.
    ///
    /// # Errors
    ///
    /// [`RingOptionsError`], if one of them is too short or too long.
    pub fn new(rotation: Duration, lifetime: Duration) -> Result<Self, RingOptionsError> {
        let (rotation_secs, lifetime_secs) = (rotation.as_secs(), lifetime.as_secs());
        if !(1..=ROTATION_SECS_MAX).contains(&rotation_secs) {
            return Err(RingOptionsError::Rotation);
        }
        if !(1..=LIFETIME_SECS_MAX.min(2 * rotation_secs)).contains(&lifetime_secs) {
            return Err(RingOptionsError::Lifetime);
        }
        Ok(Self { rotation_secs, lifetime_secs })
    }

    /// How long a key seals.
    #[must_use]
    pub fn rotation(&self) -> Duration {
        Duration::from_secs(self.rotation_secs)
    }

    /// How long a ticket resumes.
    #[must_use]
    pub fn lifetime(&self) -> Duration {
        Duration::from_secs(self.lifetime_secs)
    }

    /// The longest that a key of a period exists: as the next, as the current, as a previous one.
    #[must_use]
    pub const fn life_max(&self) -> Duration {
        Duration::from_secs(2 * self.rotation_secs + self.lifetime_secs)
    }

    /// How long an agreement takes to reach everybody.
    pub(super) fn settling(&self) -> Duration {
        SETTLING.min(self.rotation() / 2)
    }

    /// The period of a moment.
    pub(super) fn period(&self, now: Moment) -> u64 {
        now.wall.as_secs() / self.rotation_secs
    }

    /// When a period begins.
    pub(super) fn starts(&self, period: u64) -> Duration {
        Duration::from_secs(period.saturating_mul(self.rotation_secs))
    }

    /// From when to when the key of a period opens.
    pub(super) fn opens(&self, period: u64) -> [Duration; 2] {
        let until = self.starts(period.saturating_add(1)).saturating_add(self.lifetime());
        [self.starts(period).saturating_sub(SKEW), until]
    }

    /// The periods whose keys are of use now: the current and the next one, and those before,
    /// whose tickets still resume.
    pub(super) fn periods(&self, now: Moment) -> impl Iterator<Item = u64> + use<> {
        let (options, current) = (*self, self.period(now));
        let earlier = (1..=EARLIER_MAX).filter_map(move |back| current.checked_sub(back));
        let earlier = earlier.filter(move |period| now.wall < options.opens(*period)[1]);
        [current, current.saturating_add(1)].into_iter().chain(earlier)
    }
}

impl Default for RingOptions {
    fn default() -> Self {
        DEFAULT
    }
}

/// Why keys cannot rotate like that.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum RingOptionsError {
    /// Tickets would last too long, or not at all.
    #[error("a ticket lasts for a second at least, and for two rotations or a week at most")]
    Lifetime,
    /// Keys would rotate too seldom, or all the time.
    #[error("a key seals for a second at least, and for a week at most")]
    Rotation,
}

/// The keys of a moment's ring. Immutable.
#[derive(Debug, Default)]
pub(super) struct Ring(Vec<Arc<TicketKey>>);

impl Ring {
    pub(super) fn new(keys: Vec<Arc<TicketKey>>) -> Self {
        Self(keys)
    }

    pub(super) fn keys(&self) -> &[Arc<TicketKey>] {
        &self.0
    }

    /// What the keys do at this moment.
    pub(super) fn view(&self, options: &RingOptions, now: Moment) -> View<'_> {
        let ranked = self.0.iter().filter_map(|key| Some((rank(key, options, now)?, key)));
        let sealing = ranked.max_by_key(|(rank, _)| *rank).map(|(_, key)| key.as_ref());
        View { keys: &self.0, sealing, now }
    }

    /// The key that processes agreed on for a period.
    pub(super) fn agreed(&self, wanted: u64) -> Option<&Arc<TicketKey>> {
        self.0
            .iter()
            .find(|key| matches!(key.origin(), Origin::Agreed { period, .. } if *period == wanted))
    }

    /// Whether there is a key to seal with during a period.
    pub(super) fn provides(&self, period: u64, now: Moment) -> bool {
        self.0.iter().any(|key| key.origin().period() == Some(period) && key.may_seal(now))
    }

    /// The keys of which something is still to be expected.
    pub(super) fn without_expired(&self, current: u64, now: Moment) -> Vec<Arc<TicketKey>> {
        let too_early = |key: &TicketKey| {
            key.origin().period().is_some_and(|period| period > current.saturating_add(EARLIER_MAX))
        };
        let kept = self.0.iter().filter(|key| !key.is_over(now) && !too_early(key));
        kept.map(Arc::clone).collect()
    }
}

/// The keys as they are at one moment.
pub(super) struct View<'a> {
    keys: &'a [Arc<TicketKey>],
    sealing: Option<&'a TicketKey>,
    now: Moment,
}

impl<'a> View<'a> {
    /// The one that seals.
    pub(super) fn sealing(&self) -> Option<&'a TicketKey> {
        self.sealing
    }

    /// Those that open.
    pub(super) fn opening(&self) -> impl Iterator<Item = &'a TicketKey> {
        let now = self.now;
        self.keys.iter().map(Arc::as_ref).filter(move |key| key.is_live(now))
    }

    /// The one of this name, if it opens.
    pub(super) fn find(&self, name: &[u8]) -> Option<&'a TicketKey> {
        self.opening().find(|key| key.name() == name)
    }
}

/// How well a key is suited to seal; `None` if it must not.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Rank {
    /// Only we can open what it seals.
    Local,
    /// Perhaps not everybody has it yet.
    Unsettled,
    /// It is due to be replaced by one that not everybody has yet.
    Previous,
    /// It is what everybody seals with.
    Current,
}

fn rank(key: &TicketKey, options: &RingOptions, now: Moment) -> Option<Rank> {
    if !key.is_live(now) || !key.may_seal(now) {
        return None;
    }
    let current = options.period(now);
    let start = options.starts(current);
    let is_settled = now.steady >= key.since().saturating_add(options.settling());
    match key.origin() {
        Origin::File { seals } => seals.then_some(Rank::Current),
        Origin::Local { period } => (*period == current).then_some(Rank::Local),
        Origin::Agreed { period, .. } if *period == current => {
            Some(if is_settled { Rank::Current } else { Rank::Unsettled })
        }
        Origin::Agreed { period, .. } => {
            let is_previous = period.checked_add(1) == Some(current);
            let is_short_ago = now.wall < start.saturating_add(options.settling());
            (is_previous && is_short_ago && is_settled).then_some(Rank::Previous)
        }
    }
}

/// How far the clocks of two processes may differ.
pub(super) const SKEW: Duration = Duration::from_secs(60);
/// How long an agreement takes to reach everybody, in rotations that are long enough for it.
const SETTLING: Duration = Duration::from_secs(60);
/// How many periods ago a ticket may have been sealed, since it lasts for two rotations at most.
const EARLIER_MAX: u64 = 2;
const ROTATION_SECS_MAX: u64 = 7 * 24 * 60 * 60;
/// The most that a client accepts (RFC 8446 §4.6.1).
const LIFETIME_SECS_MAX: u64 = 7 * 24 * 60 * 60;
const DEFAULT: RingOptions = RingOptions { rotation_secs: 60 * 60, lifetime_secs: 60 * 60 };
const _: () = assert!(DEFAULT.life_max().as_secs() == 3 * 60 * 60);

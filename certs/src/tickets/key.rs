//! One ticket key: its name, its secret, and the limits of its life.
//!
//! Owns [`TicketKey`]. The name stands in front of every ticket, and is derived from the secret, so
//! that two keys have one name only if they are one key, and nobody chooses a name. Refuses to
//! know where secrets come from, and which key seals, which is [`super::ring`].

use std::fmt;
use std::time::Duration;

use zeroize::Zeroizing;

use super::Moment;
use super::ring::RingOptions;
use crate::sealing::SealKey;

/// What names a key in front of a ticket. Public, like the ticket.
pub(super) type KeyName = [u8; NAME_BYTES];

/// A key. Its secret is wiped when it is dropped.
pub(super) struct TicketKey {
    name: KeyName,
    secret: SealKey,
    origin: Origin,
    /// When this process got it, on the steady clock.
    since: Duration,
    limits: Option<Limits>,
}

/// Where a key comes from, and what it may do by that.
#[derive(Clone)]
pub(super) enum Origin {
    /// From a file, of which the first key seals, for as long as it stands there.
    File { seals: bool },
    /// Made here, and known to nobody else.
    Local { period: u64 },
    /// Agreed on by all processes, as this text.
    Agreed { period: u64, text: Zeroizing<Vec<u8>> },
}

/// When a key of a period ends, whatever happens to the clock that the periods are read from.
#[derive(Clone, Copy)]
struct Limits {
    /// From when to when it opens, on the clock of the periods.
    opens: [Duration; 2],
    /// Until when it may seal, and until when it lives, on the steady clock.
    seals_until: Duration,
    dies: Duration,
}

impl TicketKey {
    /// A key that lives as long as it stands in a file.
    pub(super) fn of_file(secret: SealKey, seals: bool, since: Duration) -> Self {
        let origin = Origin::File { seals };
        Self { name: name_of(&secret), secret, origin, since, limits: None }
    }

    /// A key of a period, of which the rest begins now.
    pub(super) fn of_period(
        secret: SealKey,
        origin: Origin,
        options: &RingOptions,
        now: Moment,
    ) -> Self {
        let limits = origin.period().map(|period| {
            let [opens_from, opens_until] = options.opens(period);
            let seals_until = options.starts(period.saturating_add(1));
            let left = |until: Duration| {
                let left = until.saturating_sub(now.wall).min(options.life_max());
                now.steady.saturating_add(left)
            };
            // The clocks run apart by little: without this, a slow one would leave a gap.
            let seals_until = left(seals_until).saturating_add(options.settling());
            let dies = left(opens_until);
            Limits { opens: [opens_from, opens_until], seals_until: seals_until.min(dies), dies }
        });
        Self { name: name_of(&secret), secret, origin, since: now.steady, limits }
    }

    /// A key of a period that another process had before, with its limits, none of which is later
    /// than that of a key of now: from when to when it opens, until when it seals and lives, and
    /// since when there is one.
    pub(super) fn inherited(
        secret: SealKey,
        origin: Origin,
        [opens_from, opens_until, seals_until, dies, since]: [Duration; 5],
        now: Moment,
        options: &RingOptions,
    ) -> Self {
        let dies = dies.min(now.steady.saturating_add(options.life_max()));
        let seals_until = seals_until.min(dies);
        let limits = Limits { opens: [opens_from, opens_until], seals_until, dies };
        let since = since.min(now.steady);
        Self { name: name_of(&secret), secret, origin, since, limits: Some(limits) }
    }

    /// What [`Self::inherited`] takes; none for a key that has no limits.
    pub(super) fn times(&self) -> Option<[Duration; 5]> {
        let Limits { opens: [from, until], seals_until, dies } = self.limits?;
        Some([from, until, seals_until, dies, self.since])
    }

    /// The same key, with all its limits, as one that nobody else seals with.
    pub(super) fn as_local(&self) -> Self {
        let origin = match self.origin.period() {
            Some(period) => Origin::Local { period },
            None => self.origin.clone(),
        };
        Self { secret: self.secret.clone(), origin, ..*self }
    }

    pub(super) fn name(&self) -> &KeyName {
        &self.name
    }

    pub(super) fn secret(&self) -> &SealKey {
        &self.secret
    }

    pub(super) fn origin(&self) -> &Origin {
        &self.origin
    }

    /// What was agreed on.
    pub(super) fn text(&self) -> Option<Zeroizing<Vec<u8>>> {
        match &self.origin {
            Origin::Agreed { text, .. } => Some(text.clone()),
            Origin::File { .. } | Origin::Local { .. } => None,
        }
    }

    pub(super) fn since(&self) -> Duration {
        self.since
    }

    /// Whether it may open, and seal, at this moment.
    pub(super) fn is_live(&self, now: Moment) -> bool {
        self.limits.is_none_or(|Limits { opens: [from, until], dies, .. }| {
            (from..until).contains(&now.wall) && now.steady < dies
        })
    }

    /// Whether it is of no more use, even if the clock is set a little back.
    pub(super) fn is_over(&self, now: Moment) -> bool {
        self.limits.is_some_and(|Limits { opens: [_, until], dies, .. }| {
            now.wall >= until || now.steady >= dies
        })
    }

    /// Whether it has not sealed for longer than it may.
    pub(super) fn may_seal(&self, now: Moment) -> bool {
        self.limits.is_none_or(|limits| now.steady < limits.seals_until)
    }

    /// When it is over on the steady clock, whatever the wall clock says.
    pub(super) fn dies(&self) -> Duration {
        self.limits.map_or(Duration::MAX, |limits| limits.dies)
    }

    /// Until when it seals and lives, on the steady clock.
    pub(super) fn ends(&self) -> [Duration; 2] {
        self.limits.map_or([Duration::MAX; 2], |limits| [limits.seals_until, limits.dies])
    }

    /// The same key, with these ends, where its own are not earlier.
    pub(super) fn ending_by(mut self, [seals_until, dies]: [Duration; 2]) -> Self {
        if let Some(limits) = &mut self.limits {
            limits.seals_until = limits.seals_until.min(seals_until);
            limits.dies = limits.dies.min(dies);
        }
        self
    }

    /// How long until one of its limits is reached.
    pub(super) fn next_limit(&self, now: Moment) -> Option<Duration> {
        let Limits { opens: [_, until], seals_until, dies } = self.limits?;
        let on_steady = [seals_until, dies].map(|limit| limit.checked_sub(now.steady));
        let on_wall = until.checked_sub(now.wall);
        on_steady.into_iter().chain([on_wall]).flatten().filter(|left| !left.is_zero()).min()
    }
}

impl Origin {
    pub(super) fn period(&self) -> Option<u64> {
        match self {
            Self::File { .. } => None,
            Self::Local { period } | Self::Agreed { period, .. } => Some(*period),
        }
    }
}

impl fmt::Debug for TicketKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, ..] = self.name;
        write!(f, "TicketKey({a:02x}{b:02x}{c:02x}{d:02x}…, {:?})", self.origin)
    }
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { seals: true } => f.write_str("first of the file"),
            Self::File { seals: false } => f.write_str("of the file"),
            Self::Local { period } => write!(f, "local, period {period}"),
            Self::Agreed { period, .. } => write!(f, "agreed, period {period}"),
        }
    }
}

fn name_of(secret: &SealKey) -> KeyName {
    let mut name = [0; NAME_BYTES];
    let digest = secret.digest(&[b"portunus ticket key name v1"]);
    name.iter_mut().zip(digest).for_each(|(to, from)| *to = from);
    name
}

/// Bytes of a key's name.
pub(super) const NAME_BYTES: usize = 16;

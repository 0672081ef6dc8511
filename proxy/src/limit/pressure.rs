//! How short memory is, by what is in use and by who is there.
//!
//! Owns [`Pressure`], levels that are left only well below where they are entered, and
//! [`Barometer`], which knows one thing more: an allocator keeps much of what it was given back, so
//! that memory may look used that new connections would only fill again. Where a good part of the
//! connections has gone since a level was entered, and not much more is in use than then, there is
//! room, until as many have come again. Without that, a flood could leave a process that accepts
//! nobody for ever. At the end of memory there is no room for as long as anybody is there. Refuses
//! to know where the numbers come from. Read next: `memory`.

use std::num::NonZeroU64;

/// How short memory is.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub enum Pressure {
    /// Not at all.
    #[default]
    None,
    /// Connections end after what they are at, and nothing is kept open for later.
    High,
    /// Nothing new is accepted either.
    Severe,
    /// The largest connections are reset as well.
    Critical,
}

/// Decides how short memory is, from one reading to the next.
#[derive(Debug, Default)]
pub struct Barometer {
    level: Pressure,
    /// What there was when the level was entered, or when much more was in use than ever since.
    mark: Reading,
    /// Whether so many have gone since that what they held is enough for others.
    has_room: bool,
}

/// What is in use, and by how many.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Reading {
    /// Bytes.
    pub used: u64,
    /// Bytes that may be in use by the next reading.
    pub soon: u64,
    /// Connections.
    pub connections: usize,
}

impl Barometer {
    /// How short memory is at `now`, if there is `available` of it. Where there is room, new
    /// connections are accepted and none is reset; but none is kept open for later either.
    pub fn read(&mut self, now: Reading, available: NonZeroU64) -> Pressure {
        let level = self.level.next(now.soon, available);
        let much_more = self.mark.used.saturating_add(available.get() / MUCH_MORE_PART);
        if level > self.level || now.used > much_more {
            self.mark = now;
            self.has_room = false;
        }
        self.level = level;
        let enough = self.mark.connections - self.mark.connections / 4;
        // Where there is nobody, nobody is going to give anything back.
        if now.connections == 0 {
            self.has_room = true;
        } else if now.used > available.get() || now.connections > self.mark.connections {
            self.has_room = false;
        } else if now.connections < enough {
            self.has_room = true;
        }
        if self.has_room { level.min(Pressure::High) } else { level }
    }
}

impl Pressure {
    const ALL: [Self; 4] = [Self::None, Self::High, Self::Severe, Self::Critical];

    /// The level after this one, when `used` of `available` is in use.
    fn next(self, used: u64, available: NonZeroU64) -> Self {
        let part = u128::from(used) * 100 / u128::from(available.get());
        let entered = Self::ALL.into_iter().rev().find(|level| part >= level.entered_at());
        let kept = Self::ALL.into_iter().rev().find(|level| part >= level.left_below());
        let (entered, kept) = (entered.unwrap_or_default(), kept.unwrap_or_default());
        entered.max(kept.min(self))
    }

    /// The share of memory in use at which it is entered, in per cent.
    fn entered_at(self) -> u128 {
        match self {
            Self::None => 0,
            Self::High => 85,
            Self::Severe => 92,
            Self::Critical => 97,
        }
    }

    /// The share of memory in use below which it is left.
    fn left_below(self) -> u128 {
        match self {
            Self::None => 0,
            Self::High => 80,
            Self::Severe => 88,
            Self::Critical => 94,
        }
    }

    /// What has to go so that it is left.
    pub fn excess(self, used: u64, available: NonZeroU64) -> u64 {
        let kept = u128::from(available.get()) * self.left_below() / 100;
        used.saturating_sub(u64::try_from(kept).unwrap_or(u64::MAX))
    }

    /// As metrics have it.
    pub fn index(self) -> u8 {
        self as u8
    }
}

/// The part of memory by which more has to be in use to be much more.
const MUCH_MORE_PART: u64 = 50;

#[cfg(test)]
mod tests {
    use super::*;

    const AVAILABLE: NonZeroU64 = NonZeroU64::new(1_000).expect("it is not 0");

    #[test]
    fn levels_are_left_well_below_where_they_are_entered() {
        use Pressure::{Critical, High, None, Severe};
        let mut level = None;
        let course = [
            (849, None),
            (850, High),
            (919, High),
            (801, High),
            (799, None),
            (925, Severe),
            (890, Severe),
            (879, High),
            (975, Critical),
            (945, Critical),
            (939, Severe),
            (2_000, Critical),
            (0, None),
        ];
        for (used, expected) in course {
            level = level.next(used, AVAILABLE);
            assert_eq!(level, expected, "{used}");
        }
    }

    #[test]
    fn what_has_to_go_is_what_lies_above_the_way_out() {
        assert_eq!(Pressure::Critical.excess(1_000, AVAILABLE), 60);
        assert_eq!(Pressure::Critical.excess(900, AVAILABLE), 0);
    }

    fn reading(used: u64, connections: usize) -> Reading {
        Reading { used, soon: used, connections }
    }

    #[test]
    fn what_the_allocator_keeps_of_those_who_have_gone_is_room_for_others() {
        let mut barometer = Barometer::default();
        let mut read = |used, connections| barometer.read(reading(used, connections), AVAILABLE);
        assert_eq!(read(930, 400), Pressure::Severe);
        assert_eq!(read(930, 301), Pressure::Severe);
        assert_eq!(read(925, 299), Pressure::High);
        assert_eq!(read(925, 0), Pressure::High);
        // As many as there were come again, and a few more; then there is no more room.
        assert_eq!(read(935, 400), Pressure::High);
        assert_eq!(read(935, 401), Pressure::Severe);
        assert_eq!(read(790, 401), Pressure::None);
    }

    #[test]
    fn fewer_connections_that_hold_more_are_no_room() {
        let mut barometer = Barometer::default();
        let mut read = |used, connections| barometer.read(reading(used, connections), AVAILABLE);
        assert_eq!(read(930, 400), Pressure::Severe);
        assert_eq!(read(951, 100), Pressure::Severe);
        assert_eq!(read(975, 50), Pressure::Critical);
        assert_eq!(read(976, 40), Pressure::Critical);
        assert_eq!(read(976, 37), Pressure::High);
    }

    #[test]
    fn at_the_end_of_memory_there_is_no_room_whoever_has_gone() {
        let mut barometer = Barometer::default();
        let mut read = |used, connections| barometer.read(reading(used, connections), AVAILABLE);
        assert_eq!(read(990, 400), Pressure::Critical);
        assert_eq!(read(1_000, 100), Pressure::High);
        assert_eq!(read(1_001, 100), Pressure::Critical);
        assert_eq!(read(1_001, 1), Pressure::Critical);
        assert_eq!(read(1_001, 0), Pressure::High);
        assert_eq!(read(1_000, 1), Pressure::High);
    }

    #[test]
    fn what_was_only_expected_is_not_taken_for_what_was_there() {
        let mut barometer = Barometer::default();
        let mut read = |used, soon, connections| {
            barometer.read(Reading { used, soon, connections }, AVAILABLE)
        };
        assert_eq!(read(900, 1_100, 400), Pressure::Critical);
        assert_eq!(read(900, 900, 200), Pressure::High);
        // A fiftieth more than there was, not than there might have been.
        assert_eq!(read(970, 970, 200), Pressure::Critical);
    }

    #[test]
    fn where_nobody_is_there_is_nobody_to_wait_for() {
        let mut barometer = Barometer::default();
        for used in [930, 990] {
            assert_eq!(barometer.read(reading(used, 0), AVAILABLE), Pressure::High);
        }
    }
}

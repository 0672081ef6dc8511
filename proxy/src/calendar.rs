//! The calendar: which day it is, counted from 1970.
//!
//! Owns the arithmetic, for dates in logs, on the command line and on the status page, and the
//! words for how far away a moment is. Refuses to know clocks.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

/// A moment as RFC 3339 has it, in UTC; to the millisecond, or with `{:.6}` to the
/// microsecond.
pub(crate) struct Moment(pub(crate) SystemTime);

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let since = self.0.duration_since(UNIX_EPOCH).unwrap_or_default();
        let seconds = i64::try_from(since.as_secs()).unwrap_or_default();
        let (year, month, day) = day(seconds / 86_400);
        let (hour, minute, second) = (seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")?;
        match f.precision() {
            Some(6) => write!(f, ".{:06}Z", since.subsec_micros()),
            _ => write!(f, ".{:03}Z", since.subsec_millis()),
        }
    }
}

/// Year, month and day of a day counted from 1970, in the Gregorian calendar. Years begin in March
/// here, so that the leap day is the last one, and 400 of them always have as many days.
pub(crate) fn day(days: i64) -> (i64, i64, i64) {
    let days = days + DAYS_FROM_MARCH_OF_YEAR_0;
    let (era, day_of_era) = (days.div_euclid(DAYS_OF_ERA), days.rem_euclid(DAYS_OF_ERA));
    let leaps = day_of_era / 1460 - day_of_era / 36_524 + day_of_era / 146_096;
    let year_of_era = (day_of_era - leaps) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let (month, year) =
        if month_from_march < 10 { (month_from_march + 3, 0) } else { (month_from_march - 9, 1) };
    (era * 400 + year_of_era + year, month, day)
}

/// A moment, in seconds since 1970, as a date with its time in UTC.
pub(crate) fn date(seconds: i64) -> String {
    let (days, rest) = (seconds.div_euclid(DAY), seconds.rem_euclid(DAY));
    let (year, month, day) = day(days);
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02} UTC", rest / HOUR, rest % HOUR / 60)
}

/// A distance in seconds in its largest unit of which there are two or more.
pub(crate) fn distance(seconds: i64) -> String {
    let size = i64::try_from(seconds.unsigned_abs()).unwrap_or(i64::MAX);
    let units = [(365 * DAY, "years"), (DAY, "days"), (HOUR, "hours"), (60, "minutes")];
    let unit = units.iter().find(|(unit, _)| size >= 2 * unit);
    let text = match unit {
        Some((unit, name)) => format!("{} {name}", size / unit),
        None => "a minute".to_owned(),
    };
    if seconds < 0 { format!("{text} ago") } else { format!("in {text}") }
}

const HOUR: i64 = 60 * 60;
const DAY: i64 = 24 * HOUR;
const DAYS_FROM_MARCH_OF_YEAR_0: i64 = 719_468;
/// Of 400 years.
const DAYS_OF_ERA: i64 = 146_097;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        // As `date -u -d @SECONDS` has them.
        let dates = [
            (0, "1970-01-01 00:00 UTC"),
            (-1, "1969-12-31 23:59 UTC"),
            (951_782_400, "2000-02-29 00:00 UTC"),
            (951_868_799, "2000-02-29 23:59 UTC"),
            (1_740_787_199, "2025-02-28 23:59 UTC"),
            (1_798_761_599, "2026-12-31 23:59 UTC"),
            (4_107_542_400, "2100-03-01 00:00 UTC"),
            (253_402_300_799, "9999-12-31 23:59 UTC"),
        ];
        for (seconds, expected) in dates {
            assert_eq!(date(seconds), expected, "{seconds}");
        }
        for day in 0..200_000 {
            let ((.., before), (_, month, after)) = (super::day(day - 1), super::day(day));
            assert!(after == before + 1 || after == 1, "{day}");
            assert!((1..=12).contains(&month) && (1..=31).contains(&after), "{day}");
        }
    }

    #[test]
    fn distances_have_the_unit_that_says_enough() {
        let cases = [
            (90 * DAY, "in 90 days"),
            (2 * DAY, "in 2 days"),
            (2 * DAY - 1, "in 47 hours"),
            (HOUR, "in 60 minutes"),
            (5, "in a minute"),
            (-5, "a minute ago"),
            (-3 * DAY, "3 days ago"),
            (800 * DAY, "in 2 years"),
        ];
        for (seconds, expected) in cases {
            assert_eq!(distance(seconds), expected, "{seconds}");
        }
    }
}

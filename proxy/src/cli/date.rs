//! Moments as people read them: the date in UTC, and how far away it is.
//!
//! Owns the words. Refuses to know what happens at the moment.

use rustls::pki_types::UnixTime;

use crate::calendar;

/// Seconds since 1970.
pub(super) fn now() -> i64 {
    i64::try_from(UnixTime::now().as_secs()).unwrap_or(i64::MAX)
}

/// The date of a moment, in seconds since 1970, and how far it is from `now`.
pub(super) fn moment(seconds: i64, now: i64) -> String {
    format!("{}, {}", date(seconds), distance(seconds.saturating_sub(now)))
}

/// A moment, in seconds since 1970, as a date with its time in UTC.
pub(super) fn date(seconds: i64) -> String {
    let (days, rest) = (seconds.div_euclid(DAY), seconds.rem_euclid(DAY));
    let (year, month, day) = calendar::day(days);
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02} UTC", rest / HOUR, rest % HOUR / 60)
}

/// A distance in seconds in its largest unit of which there are two or more.
pub(super) fn distance(seconds: i64) -> String {
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
            let ((.., before), (_, month, after)) = (calendar::day(day - 1), calendar::day(day));
            assert!(after == before + 1 || after == 1, "{day}");
            assert!((1..=12).contains(&month) && (1..=31).contains(&after), "{day}");
        }
        // Neither end of the numbers is a panic.
        assert!(moment(i64::MAX, i64::MIN).contains("years") && !date(i64::MIN).is_empty());
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

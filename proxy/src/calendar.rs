//! The calendar: which day it is, counted from 1970.
//!
//! Owns the arithmetic, for dates in logs and on the command line. Refuses to know clocks.

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

const DAYS_FROM_MARCH_OF_YEAR_0: i64 = 719_468;
/// Of 400 years.
const DAYS_OF_ERA: i64 = 146_097;

//! Moments as people read them: the date in UTC, and how far away it is.
//!
//! Owns the words. Refuses to know what happens at the moment.

use rustls::pki_types::UnixTime;

pub(super) use crate::calendar::{date, distance};

/// Seconds since 1970.
pub(super) fn now() -> i64 {
    i64::try_from(UnixTime::now().as_secs()).unwrap_or(i64::MAX)
}

/// The date of a moment, in seconds since 1970, and how far it is from `now`.
pub(super) fn moment(seconds: i64, now: i64) -> String {
    format!("{}, {}", date(seconds), distance(seconds.saturating_sub(now)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neither_end_of_the_numbers_is_a_panic() {
        assert!(moment(i64::MAX, i64::MIN).contains("years") && !date(i64::MIN).is_empty());
    }
}

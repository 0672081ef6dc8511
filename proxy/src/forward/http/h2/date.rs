//! The date of a response that has none.
//!
//! Owns the form that HTTP gives a date (RFC 9110 §5.6.7). A proxy with a clock says when it
//! received a response that does not say when it was made (RFC 9110 §6.6.1). The text is made once
//! in a second on each thread.

use std::cell::RefCell;
use std::time::{SystemTime, UNIX_EPOCH};

use http::HeaderValue;

/// The date now.
pub(super) fn now() -> HeaderValue {
    thread_local! {
        static LAST: RefCell<Option<(u64, HeaderValue)>> = const { RefCell::new(None) };
    }
    // A clock that stands before 1970 has not been set yet.
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let seconds = since.as_secs();
    LAST.with_borrow_mut(|last| match last {
        Some((of, text)) if *of == seconds => text.clone(),
        _ => {
            // Digits, letters and spaces are a valid value.
            let text = HeaderValue::try_from(date(seconds));
            let text = text.unwrap_or(HeaderValue::from_static(EPOCH));
            *last = Some((seconds, text.clone()));
            text
        }
    })
}

/// The date `seconds` after the beginning of 1970.
fn date(seconds: u64) -> String {
    let seconds = seconds.min(LAST_SECOND);
    let (days, second) = (seconds / DAY, seconds % DAY);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    let weekday = name(&WEEKDAYS, days % 7);
    let (mut year, mut day) = (1970, days);
    while day >= days_of(year) {
        day -= days_of(year);
        year += 1;
    }
    let mut month = 0;
    while day >= days_of_month(year, month) {
        day -= days_of_month(year, month);
        month += 1;
    }
    let (day, month) = (day + 1, name(&MONTHS, month));
    format!("{weekday}, {day:02} {month} {year:04} {hour:02}:{minute:02}:{second:02} GMT")
}

fn name<const N: usize>(names: &[&'static str; N], place: u64) -> &'static str {
    usize::try_from(place).ok().and_then(|place| names.get(place)).copied().unwrap_or("?")
}

fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

fn days_of(year: u64) -> u64 {
    if is_leap(year) { 366 } else { 365 }
}

/// `month` counts from zero.
fn days_of_month(year: u64, month: u64) -> u64 {
    match month {
        1 if is_leap(year) => 29,
        1 => 28,
        3 | 5 | 8 | 10 => 30,
        _ => 31,
    }
}

/// Of the year 9999, which is the last one that the form has room for.
const LAST_SECOND: u64 = 253_402_300_799;
const DAY: u64 = 24 * 60 * 60;
const EPOCH: &str = "Thu, 01 Jan 1970 00:00:00 GMT";
/// From the first day of 1970 on.
const WEEKDAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        // As `date -u -R -d @SECONDS` has them.
        let dates = [
            (0, EPOCH),
            (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"),
            (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"),
            (1_740_787_199, "Fri, 28 Feb 2025 23:59:59 GMT"),
            (u64::MAX, "Fri, 31 Dec 9999 23:59:59 GMT"),
            (4_107_542_400, "Mon, 01 Mar 2100 00:00:00 GMT"),
        ];
        for (seconds, expected) in dates {
            assert_eq!(date(seconds), expected, "{seconds}");
        }
    }
}

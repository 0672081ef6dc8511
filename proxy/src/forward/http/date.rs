//! The date of a response that has none.
//!
//! Owns when it is made: a proxy with a clock says when it received a response that does not say
//! when it was made (RFC 9110 §6.6.1), and the text is made once in a second on each thread.

use std::cell::RefCell;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

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
            let text = date(seconds);
            *last = Some((seconds, text.clone()));
            text
        }
    })
}

/// The date `seconds` after the beginning of 1970.
fn date(seconds: u64) -> HeaderValue {
    let text = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(seconds.min(LAST_SECOND)));
    HeaderValue::try_from(text).expect("digits, letters and spaces are a value")
}

/// A year has four digits.
const LAST_SECOND: u64 = 253_402_300_799;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_has_the_form_of_http_whatever_the_clock_says() {
        let cases = [
            (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"),
            (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (u64::MAX, "Fri, 31 Dec 9999 23:59:59 GMT"),
        ];
        for (seconds, text) in cases {
            assert_eq!(date(seconds), text);
        }
    }
}

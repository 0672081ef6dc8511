//! Durations and sizes as people write them: `10s`, `1h30m`, `64 KiB`.
//!
//! Owns both directions: text to value, and value to the text that an error or the schema shows.
//! Refuses to know bounds and keys, which are in `schema`.

use std::fmt::Write as _;
use std::time::Duration;

/// Why a text is not a quantity.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum UnitError {
    /// Not `10s`, `500ms`, `1h30m`.
    #[error("not a duration: expected numbers with the units d, h, m, s, ms, the largest first")]
    Duration,
    /// Not `64 KiB`, `1 MiB`.
    #[error("not a size: expected a number with one of the units B, KiB, MiB, GiB")]
    Size,
    /// More than 64 bits hold.
    #[error("the number is too large")]
    TooLarge,
}

/// Reads a duration: one or several numbers with units, the largest unit first.
pub(super) fn parse_duration(text: &str) -> Result<Duration, UnitError> {
    let mut rest = text.trim();
    let mut units = DURATION_UNITS.iter();
    let mut total: u64 = 0;
    if rest.is_empty() {
        return Err(UnitError::Duration);
    }
    while !rest.is_empty() {
        let (number, behind) = split_number(rest).ok_or(UnitError::Duration)?;
        let letters = behind.bytes().take_while(u8::is_ascii_alphabetic).count();
        let (unit, behind) = behind.split_at_checked(letters).ok_or(UnitError::Duration)?;
        // The iterator goes on where the last unit was found: none twice, none larger.
        let (_, millis) = units.find(|(name, _)| *name == unit).ok_or(UnitError::Duration)?;
        let part = number.ok_or(UnitError::TooLarge)?.checked_mul(*millis);
        total = part.and_then(|part| total.checked_add(part)).ok_or(UnitError::TooLarge)?;
        rest = behind.trim_start();
    }
    Ok(Duration::from_millis(total))
}

/// The shortest text that [`parse_duration`] reads as `duration`, to the millisecond.
pub(super) fn format_duration(duration: Duration) -> String {
    let mut rest = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let mut text = String::new();
    for (name, millis) in DURATION_UNITS {
        let count = rest.checked_div(millis).unwrap_or(0);
        rest = rest.saturating_sub(count.saturating_mul(millis));
        if count > 0 {
            // Writing to a string cannot fail.
            let _ = write!(text, "{count}{name}");
        }
    }
    if text.is_empty() { "0s".to_owned() } else { text }
}

/// Reads a size: one number with one unit, powers of 1024 only.
pub(super) fn parse_size(text: &str) -> Result<u64, UnitError> {
    let (number, unit) = split_number(text.trim()).ok_or(UnitError::Size)?;
    let unit = unit.trim_start();
    let (_, bytes) = SIZE_UNITS.iter().find(|(name, _)| *name == unit).ok_or(UnitError::Size)?;
    number.and_then(|number| number.checked_mul(*bytes)).ok_or(UnitError::TooLarge)
}

/// The text with the largest unit that divides `bytes`.
pub(super) fn format_size(bytes: u64) -> String {
    let fits = |unit: &&(&str, u64)| bytes != 0 && bytes.is_multiple_of(unit.1);
    let (name, unit) = SIZE_UNITS.iter().find(fits).unwrap_or(&("B", 1));
    format!("{} {name}", bytes.checked_div(*unit).unwrap_or(bytes))
}

/// The digits in front, as a number if it fits, and what is behind them.
fn split_number(text: &str) -> Option<(Option<u64>, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, behind) = text.split_at_checked(digits)?;
    (digits > 0).then(|| (number.parse().ok(), behind))
}

/// The JSON schema's pattern for a duration.
pub(super) const DURATION_PATTERN: &str = r"^\s*([0-9]+(d|h|m|s|ms)\s*)+$|\$\{";

/// The JSON schema's pattern for a size.
pub(super) const SIZE_PATTERN: &str = r"^\s*[0-9]+\s*(B|KiB|MiB|GiB)\s*$|\$\{";

/// Units in milliseconds, the largest first.
const DURATION_UNITS: [(&str, u64); 5] =
    [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// Units in bytes, the largest first.
const SIZE_UNITS: [(&str, u64); 4] =
    [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn durations_are_read_as_people_write_them() {
        let millis = |text| parse_duration(text).map(|duration| duration.as_millis());
        assert_eq!(millis("10s"), Ok(10_000));
        assert_eq!(millis("500ms"), Ok(500));
        assert_eq!(millis("1h30m"), Ok(5_400_000));
        assert_eq!(millis("1h 30m"), Ok(5_400_000));
        assert_eq!(millis(" 2d "), Ok(172_800_000));
        assert_eq!(millis("0s"), Ok(0));
        for wrong in ["", " ", "10", "s", "10 s", "-1s", "1.5s", "10sec", "30m1h", "1s1s", "1µs"] {
            assert_eq!(millis(wrong), Err(UnitError::Duration), "{wrong}");
        }
        assert_eq!(millis("99999999999999999999s"), Err(UnitError::TooLarge));
        assert_eq!(millis("18446744073709551615d"), Err(UnitError::TooLarge));
    }

    #[test]
    fn sizes_are_read_as_people_write_them() {
        assert_eq!(parse_size("64 KiB"), Ok(65_536));
        assert_eq!(parse_size("64KiB"), Ok(65_536));
        assert_eq!(parse_size("1 MiB"), Ok(1 << 20));
        assert_eq!(parse_size("2 GiB"), Ok(2 << 30));
        assert_eq!(parse_size("500 B"), Ok(500));
        for wrong in ["", "64", "KiB", "64 KB", "64 kib", "1.5 MiB", "-1 B", "1 MiB 2 KiB", "1 µB"]
        {
            assert_eq!(parse_size(wrong), Err(UnitError::Size), "{wrong}");
        }
        assert_eq!(parse_size("99999999999 GiB"), Err(UnitError::TooLarge));
    }

    #[test]
    fn quantities_are_written_shortly() {
        assert_eq!(format_duration(Duration::ZERO), "0s");
        assert_eq!(format_duration(Duration::from_millis(5_400_500)), "1h30m500ms");
        assert_eq!(format_size(0), "0 B");
        assert_eq!(format_size(65_536), "64 KiB");
        assert_eq!(format_size(500), "500 B");
        assert_eq!(format_size((1 << 31) - 1), "2147483647 B");
    }

    proptest! {
        #[test]
        fn a_written_duration_is_read_back(millis in any::<u64>()) {
            let duration = Duration::from_millis(millis);
            prop_assert_eq!(parse_duration(&format_duration(duration)), Ok(duration));
        }

        #[test]
        fn a_written_size_is_read_back(bytes in any::<u64>()) {
            prop_assert_eq!(parse_size(&format_size(bytes)), Ok(bytes));
        }

        #[test]
        fn no_text_is_a_panic(text in ".*") {
            let _ = (parse_duration(&text), parse_size(&text));
        }
    }
}

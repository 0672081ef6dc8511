//! Values with bounds: counts, sizes, times.
//!
//! Owns that a number is within its bounds or reported, so that nothing behind the configuration
//! has to ask. Refuses to know any key. Read next: `schema`.

use std::time::Duration;

use serde_json::{Value as Json, json};
use toml::de::DeValue;

use super::error::{Place, Problem};
use super::section::{DURATION, Reader, SIZE};
use super::text::text;
use super::units;
use super::value::Kind;

/// A whole number from one bound to the other, both included.
pub(super) struct Count<T>(pub(super) T, pub(super) T);

impl<T: Quantity> Kind for Count<T> {
    type Value = T;

    fn parse(&self, place: &Place, value: &DeValue<'_>, reader: &mut Reader<'_>) -> Option<T> {
        let Some(number) = value.as_integer() else {
            reader.wrong_type(place, "a whole number", value);
            return None;
        };
        let number = i128::from_str_radix(number.as_str(), number.radix()).ok();
        let number = number.and_then(|number| u64::try_from(number).ok());
        within(place, number, (self.0, self.1), &|number| number.to_string(), reader)
    }

    fn json(&self) -> Json {
        json!({ "type": "integer", "minimum": wide(self.0), "maximum": wide(self.1) })
    }

    fn written(&self, value: &T) -> Json {
        wide(*value).into()
    }
}

/// A number from 0 to 1.
pub(super) struct Share;

impl Kind for Share {
    type Value = f64;

    fn parse(&self, place: &Place, value: &DeValue<'_>, reader: &mut Reader<'_>) -> Option<f64> {
        let number = match value {
            DeValue::Float(number) => number.as_str().parse::<f64>().ok(),
            DeValue::Integer(number) => number.as_str().parse::<f64>().ok(),
            other => {
                reader.wrong_type(place, "a number from 0 to 1, as `0.1`", other);
                return None;
            }
        };
        let share = number.filter(|number| (0.0..=1.0).contains(number));
        if share.is_none() {
            let problem = Problem::Range { min: "0".to_owned(), max: "1".to_owned() };
            reader.errors.report(place, problem, || None);
        }
        share
    }

    fn json(&self) -> Json {
        json!({ "type": "number", "minimum": 0, "maximum": 1 })
    }

    fn written(&self, value: &f64) -> Json {
        (*value).into()
    }
}

/// A number of bytes, from one bound to the other.
pub(super) struct Size<T>(pub(super) T, pub(super) T);

impl<T: Quantity> Kind for Size<T> {
    type Value = T;

    fn parse(&self, place: &Place, value: &DeValue<'_>, reader: &mut Reader<'_>) -> Option<T> {
        let written = text(place, value, SIZE, reader)?;
        match units::parse_size(&written.text) {
            Ok(size) => within(place, Some(size), (self.0, self.1), &units::format_size, reader),
            Err(error) => {
                reader.errors.report(place, error, || Some("as `64 KiB`".to_owned()));
                None
            }
        }
    }

    fn json(&self) -> Json {
        json!({ "type": "string", "pattern": units::SIZE_PATTERN })
    }

    fn written(&self, value: &T) -> Json {
        units::format_size(wide(*value)).into()
    }
}

/// A time, from one bound to the other.
pub(super) struct Time(pub(super) Duration, pub(super) Duration);

impl Kind for Time {
    type Value = Duration;

    fn parse(
        &self,
        place: &Place,
        value: &DeValue<'_>,
        reader: &mut Reader<'_>,
    ) -> Option<Duration> {
        let written = text(place, value, DURATION, reader)?;
        let problem = match units::parse_duration(&written.text) {
            Ok(time) if self.0 <= time && time <= self.1 => return Some(time),
            Ok(_) => Problem::Range {
                min: units::format_duration(self.0),
                max: units::format_duration(self.1),
            },
            Err(error) => error.into(),
        };
        reader.errors.report(place, problem, || None);
        None
    }

    fn json(&self) -> Json {
        json!({ "type": "string", "pattern": units::DURATION_PATTERN })
    }

    fn written(&self, value: &Duration) -> Json {
        units::format_duration(*value).into()
    }
}

/// The integers that counts and sizes are made of.
pub(super) trait Quantity: Copy + PartialOrd + TryFrom<u64> + TryInto<u64> {}

impl Quantity for u8 {}
impl Quantity for u16 {}
impl Quantity for u32 {}
impl Quantity for u64 {}
impl Quantity for usize {}

fn wide(number: impl Quantity) -> u64 {
    number.try_into().unwrap_or(u64::MAX)
}

fn within<T: Quantity>(
    place: &Place,
    number: Option<u64>,
    (min, max): (T, T),
    show: &dyn Fn(u64) -> String,
    reader: &mut Reader<'_>,
) -> Option<T> {
    let fits = |number: &T| min <= *number && *number <= max;
    let number = number.and_then(|number| T::try_from(number).ok()).filter(fits);
    if number.is_none() {
        let problem = Problem::Range { min: show(wide(min)), max: show(wide(max)) };
        reader.errors.report(place, problem, || None);
    }
    number
}

//! Values that may be written in more than one form, and tables whose keys are not ours.
//!
//! Owns that each form is read, and that a value in none of them says which there are. Refuses to
//! know any key. Read next: `schema`.

use std::marker::PhantomData;
use std::ops::RangeInclusive;

use serde_json::{Value as Json, json};
use toml::de::DeValue;

use super::Secret;
use super::error::{Place, Problem};
use super::list::{Entry, each};
use super::section::{Item, Key, Properties, Reader, Section, Table};
use super::settings::{Setting, Settings, Word};
use super::text::{Text, Written, text};
use super::value::Kind;

/// A text, or a section that says more.
#[derive(Debug)]
pub(super) enum TextOr<S> {
    Section(Entry<S>),
    Text(Written),
}

/// A list of texts and sections: at least one, and at most so many. A text is a section with this
/// one key.
pub(super) struct Mixed<S>(pub(super) usize, pub(super) PhantomData<S>, pub(super) &'static str);

impl<S: Section> Kind for Mixed<S> {
    type Value = Vec<TextOr<S>>;

    fn parse(
        &self,
        place: &Place,
        value: &DeValue<'_>,
        reader: &mut Reader<'_>,
    ) -> Option<Self::Value> {
        each(place, value, self.0, reader, |place, value, reader| match value {
            DeValue::Table(table) => {
                let section = Table::present(place.clone(), table).read(reader);
                Some(TextOr::Section(Entry { name: String::new(), place, section }))
            }
            value => Text.parse(&place, value, reader).map(TextOr::Text),
        })
    }

    fn json(&self) -> Json {
        let items = json!({ "anyOf": [Text.json(), Properties::of::<S>()] });
        json!({ "type": "array", "items": items, "minItems": 1, "maxItems": self.0 })
    }

    fn written(&self, _: &Self::Value) -> Json {
        Json::Null
    }

    fn setting(&self, value: &Self::Value) -> Setting {
        let each = value.iter().map(|entry| match entry {
            TextOr::Section(entry) => entry.section.settings(),
            TextOr::Text(text) => {
                let mut short = Settings::default();
                short.add(self.2, Some(Setting::Word(Word::from(text))));
                short
            }
        });
        Setting::Each(each.collect())
    }
}

/// A section, or the word `off`; without either, the section with its defaults.
#[derive(Debug)]
pub(super) enum Switch<S> {
    Off,
    On(S),
}

/// A key that holds a [`Switch`].
pub(super) struct SwitchKey<S>(pub(super) PhantomData<S>);

impl<S: Section> Key for SwitchKey<S> {
    type Value = Switch<S>;

    fn read(&self, item: &Item<'_>, reader: &mut Reader<'_>) -> Switch<S> {
        let table = match item.value {
            Some(DeValue::Table(entries)) => Table::present(item.place.clone(), entries),
            Some(value) => {
                if let Some(written) = text(&item.place, value, SWITCH, reader) {
                    if written.text == "off" {
                        return Switch::Off;
                    }
                    let options = "`off` or a section".to_owned();
                    let problem = Problem::Choice { written: written.quote(), options };
                    reader.errors.report(&item.place, problem, || None);
                }
                Table::absent(&item.place.key)
            }
            None => Table::absent(&item.place.key),
        };
        Switch::On(table.read(reader))
    }

    fn json(&self) -> Json {
        json!({ "anyOf": [{ "enum": ["off"] }, Properties::of::<S>()] })
    }

    fn setting(&self, value: &Switch<S>) -> Option<Setting> {
        Some(match value {
            Switch::Off => Setting::Plain("off".into()),
            Switch::On(section) => Setting::Keys(section.settings()),
        })
    }
}

/// Texts with names that the operator gives, in the order of the file.
pub(super) struct TextMap(pub(super) usize);

impl Kind for TextMap {
    type Value = Vec<(String, Written)>;

    fn parse(
        &self,
        place: &Place,
        value: &DeValue<'_>,
        reader: &mut Reader<'_>,
    ) -> Option<Self::Value> {
        let DeValue::Table(entries) = value else {
            reader.wrong_type(place, "names with texts, as `{ name = \"…\" }`", value);
            return None;
        };
        if entries.len() > self.0 {
            reader.errors.report(place, Problem::TooMany(self.0), || None);
            return None;
        }
        let mut texts = Vec::new();
        for (name, item) in Table::present(place.clone(), entries).items() {
            // The name stands in the path of its place.
            if name.len() > NAME_BYTES_MAX {
                reader.errors.report(place, Problem::LongName(NAME_BYTES_MAX), || None);
            } else if let Some(value) = item.value {
                let value = Text.parse(&item.place, value, reader);
                texts.extend(value.map(|value| (name.to_owned(), value)));
            }
        }
        Some(texts)
    }

    fn json(&self) -> Json {
        json!({
            "type": "object",
            "additionalProperties": Text.json(),
            "maxProperties": self.0,
        })
    }

    fn written(&self, value: &Self::Value) -> Json {
        value.iter().map(|(name, text)| (name.clone(), Text.written(text))).collect()
    }

    /// What a header field is set to may be a password.
    fn setting(&self, value: &Self::Value) -> Setting {
        let mut settings = Settings::default();
        for (name, written) in value {
            settings.add(name.clone(), Some(Setting::Secret(Secret::new(&written.text))));
        }
        Setting::Keys(settings)
    }
}

/// Status codes: numbers, and texts with two of them (`200-299`); from one count to the
/// other.
pub(super) struct Codes(pub(super) usize, pub(super) usize);

impl Kind for Codes {
    type Value = Vec<RangeInclusive<u16>>;

    fn parse(
        &self,
        place: &Place,
        value: &DeValue<'_>,
        reader: &mut Reader<'_>,
    ) -> Option<Self::Value> {
        if self.0 == 0 && value.as_array().is_some_and(|list| list.is_empty()) {
            return Some(Vec::new());
        }
        each(place, value, self.1, reader, |place, value, reader| {
            let written = match value.as_integer() {
                Some(number) if number.radix() == 10 => number.as_str().to_owned(),
                _ => text(&place, value, "a status code", reader)?.text,
            };
            let range = codes_of(&written);
            if range.is_none() {
                reader.errors.report(&place, Problem::Codes, || None);
            }
            range
        })
    }

    fn json(&self) -> Json {
        let number = json!({ "type": "integer", "minimum": CODE_MIN, "maximum": CODE_MAX });
        let pattern = r"^[1-5][0-9]{2}(-[1-5][0-9]{2})?$|\$\{";
        let items = json!({ "anyOf": [number, { "type": "string", "pattern": pattern }] });
        json!({ "type": "array", "items": items, "minItems": self.0, "maxItems": self.1 })
    }

    fn written(&self, value: &Self::Value) -> Json {
        let text = |range: &RangeInclusive<u16>| match (range.start(), range.end()) {
            (from, to) if from == to => Json::from(*from),
            (from, to) => format!("{from}-{to}").into(),
        };
        value.iter().map(text).collect()
    }
}

/// One status code, or from one to another.
fn codes_of(text: &str) -> Option<RangeInclusive<u16>> {
    let (from, to) = text.split_once('-').unwrap_or((text, text));
    let code = |text: &str| {
        let is_plain = text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse().ok().filter(|code| is_plain && (CODE_MIN..=CODE_MAX).contains(code))
    };
    let (from, to) = (code(from)?, code(to)?);
    (from <= to).then_some(from..=to)
}

const SWITCH: &str = "a section, or `\"off\"`";
const CODE_MIN: u16 = 100;
const CODE_MAX: u16 = 599;

/// Longer than the name of any field.
const NAME_BYTES_MAX: usize = 256;

//! Values that hold others: lists of texts, sections that may be absent, repeated, or named.
//!
//! Owns how they are walked, in the order of the file, and how many there may be, so that no
//! configuration can ask for more than the rest of the program was built for. Refuses to know any
//! key. Read next: `schema`.

use std::marker::PhantomData;

use serde_json::{Value as Json, json};
use toml::de::DeValue;

use super::error::{Place, Problem};
use super::section::{Item, Key, LIST, Properties, Reader, Section, Table};
use super::settings::{Setting, Word};
use super::text::{Choice, Text, Written};
use super::value::{Kind, Located};

/// A list of texts: at least one, and at most so many.
pub(super) struct Texts(pub(super) usize);

impl Kind for Texts {
    type Value = Vec<Written>;

    fn parse(
        &self,
        place: &Place,
        value: &DeValue<'_>,
        reader: &mut Reader<'_>,
    ) -> Option<Vec<Written>> {
        each(place, value, self.0, reader, |place, value, reader| Text.parse(&place, value, reader))
    }

    fn json(&self) -> Json {
        json!({ "type": "array", "items": Text.json(), "minItems": 1, "maxItems": self.0 })
    }

    fn written(&self, value: &Vec<Written>) -> Json {
        value.iter().map(|text| Text.written(text)).collect()
    }

    fn setting(&self, value: &Vec<Written>) -> Setting {
        Setting::Words(value.iter().map(Word::from).collect())
    }
}

/// Words of a choice, none of them twice; perhaps no word at all.
pub(super) struct Several<T: 'static>(pub(super) Choice<T>);

impl<T: Copy + PartialEq> Kind for Several<T> {
    type Value = Vec<Located<T>>;

    fn parse(
        &self,
        place: &Place,
        value: &DeValue<'_>,
        reader: &mut Reader<'_>,
    ) -> Option<Self::Value> {
        if value.as_array().is_some_and(|list| list.is_empty()) {
            return Some(Vec::new());
        }
        let mut words: Vec<Located<T>> = Vec::new();
        each(place, value, self.0.0.len(), reader, |place, value, reader| {
            let value = self.0.parse(&place, value, reader)?;
            if words.iter().any(|known| known.value == value) {
                let problem = Problem::Duplicate(self.0.word(value).to_owned());
                reader.errors.report(&place, problem, || None);
            }
            words.push(Located { value, place: Some(place) });
            Some(())
        })?;
        Some(words)
    }

    fn json(&self) -> Json {
        json!({ "type": "array", "items": self.0.json(), "maxItems": self.0.0.len() })
    }

    fn written(&self, value: &Self::Value) -> Json {
        value.iter().map(|word| self.0.written(&word.value)).collect()
    }
}

/// What `read` makes of each entry of a list of at least one and at most so many; entries that are
/// wrong are stepped over.
pub(super) fn each<T>(
    place: &Place,
    value: &DeValue<'_>,
    count_max: usize,
    reader: &mut Reader<'_>,
    mut read: impl FnMut(Place, &DeValue<'_>, &mut Reader<'_>) -> Option<T>,
) -> Option<Vec<T>> {
    let Some(list) = value.as_array() else {
        reader.wrong_type(place, LIST, value);
        return None;
    };
    if !count_is_good(place, list.len(), count_max, reader) {
        return None;
    }
    let mut entries = Vec::new();
    for (index, entry) in list.iter().enumerate() {
        let place = place.entry(index, entry.span().start);
        entries.extend(read(place, entry.get_ref(), reader));
    }
    Some(entries)
}

/// A section with the place where it was written.
#[derive(Debug)]
pub(super) struct Entry<S> {
    pub(super) name: String,
    pub(super) place: Place,
    pub(super) section: S,
}

/// A section that may be absent as a whole.
pub(super) struct Perhaps<S>(pub(super) PhantomData<S>);

impl<S: Section> Key for Perhaps<S> {
    type Value = Option<Entry<S>>;

    fn read(&self, item: &Item<'_>, reader: &mut Reader<'_>) -> Self::Value {
        match item.value? {
            DeValue::Table(entries) => {
                let place = item.place.clone();
                let section = Table::present(place.clone(), entries).read(reader);
                Some(Entry { name: String::new(), place, section })
            }
            other => {
                reader.wrong_type(&item.place, "a section", other);
                None
            }
        }
    }

    fn json(&self) -> Json {
        Properties::of::<S>()
    }

    fn setting(&self, value: &Self::Value) -> Option<Setting> {
        value.as_ref().map(|entry| Setting::Keys(entry.section.settings()))
    }
}

/// Sections that are repeated (`[[site]]`), none or at most so many.
pub(super) struct Repeated<S>(pub(super) usize, pub(super) PhantomData<S>);

impl<S: Section> Key for Repeated<S> {
    type Value = Vec<Entry<S>>;

    fn read(&self, item: &Item<'_>, reader: &mut Reader<'_>) -> Self::Value {
        let list = match item.value {
            Some(DeValue::Array(list)) => list,
            Some(other) => {
                reader.wrong_type(&item.place, "repeated sections in double brackets", other);
                return Vec::new();
            }
            None => return Vec::new(),
        };
        if !count_is_good(&item.place, list.len(), self.0, reader) {
            return Vec::new();
        }
        let mut entries = Vec::new();
        for (index, entry) in list.iter().enumerate() {
            let place = item.place.entry(index, entry.span().start);
            let section = match entry.get_ref() {
                DeValue::Table(table) => Table::present(place.clone(), table).read(reader),
                other => {
                    reader.wrong_type(&place, "a section", other);
                    continue;
                }
            };
            entries.push(Entry { name: String::new(), place, section });
        }
        entries
    }

    fn json(&self) -> Json {
        json!({ "type": "array", "items": Properties::of::<S>(), "maxItems": self.0 })
    }

    fn setting(&self, value: &Self::Value) -> Option<Setting> {
        let each = || value.iter().map(|entry| entry.section.settings()).collect();
        (!value.is_empty()).then(|| Setting::Each(each()))
    }
}

/// Sections with names that the operator gives (`[backend.app]`): at least one, at most so many.
pub(super) struct Named<S> {
    pub(super) max: usize,
    /// What to write if there is none.
    pub(super) example: &'static str,
    pub(super) section: PhantomData<S>,
}

impl<S: Section> Key for Named<S> {
    type Value = Vec<Entry<S>>;

    fn read(&self, item: &Item<'_>, reader: &mut Reader<'_>) -> Self::Value {
        let table = match item.value {
            Some(DeValue::Table(entries)) => Table::present(item.place.clone(), entries),
            Some(other) => {
                reader.wrong_type(&item.place, "a section", other);
                return Vec::new();
            }
            None => Table::absent(&item.place.key),
        };
        let items = table.items();
        if items.is_empty() {
            let hint = || Some(format!("add one: `{}`", self.example));
            reader.errors.report(&item.place, Problem::Empty, hint);
        }
        if items.len() > self.max {
            reader.errors.report(&item.place, Problem::TooMany(self.max), || None);
            return Vec::new();
        }
        let mut entries = Vec::new();
        for (name, item) in items {
            if !is_name(name) {
                let hint = || Some(format!("as in `{}`", self.example));
                reader.errors.report(&item.place, Problem::BadName, hint);
                // The name would stand in the path of every key below.
                if name.len() > NAME_BYTES_MAX {
                    continue;
                }
            }
            match item.value {
                Some(DeValue::Table(table)) => {
                    let section = Table::present(item.place.clone(), table).read(reader);
                    entries.push(Entry { name: name.to_owned(), place: item.place, section });
                }
                Some(other) => reader.wrong_type(&item.place, "a section", other),
                None => {}
            }
        }
        entries
    }

    fn json(&self) -> Json {
        json!({
            "type": "object",
            "propertyNames": { "pattern": "^[a-z0-9_-]{1,64}$" },
            "additionalProperties": Properties::of::<S>(),
            "minProperties": 1,
            "maxProperties": self.max,
        })
    }

    fn setting(&self, value: &Self::Value) -> Option<Setting> {
        let named = value.iter().map(|entry| (entry.name.clone(), entry.section.settings()));
        Some(Setting::Named(named.collect()))
    }

    fn required(&self) -> bool {
        true
    }
}

/// Names are labels of metrics and parts of key paths.
pub(super) fn is_name(name: &str) -> bool {
    let letter = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_');
    (1..=NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(letter)
}

fn count_is_good(place: &Place, count: usize, max: usize, reader: &mut Reader<'_>) -> bool {
    if count == 0 {
        reader.errors.report(place, Problem::Empty, || None);
    } else if count > max {
        reader.errors.report(place, Problem::TooMany(max), || None);
    }
    (1..=max).contains(&count)
}

const NAME_BYTES_MAX: usize = 64;

//! How a section of the file is described and read: the machinery behind `schema`.
//!
//! Owns the `section!` macro, which makes a struct, its reader and its JSON schema out of one
//! declaration, and the reader that goes on after an error, so that every one is found in one
//! run; serde stops at the first, which is why it is not used here. Refuses to know any key. Read
//! next: `value`, what a key holds.

use std::path::PathBuf;

use serde_json::{Map, Value as Json, json};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::{Collector, Place, Problem};
use super::reference::Surroundings;
use super::settings::{Setting, Settings};
use super::suggest;

/// A section: a struct whose fields are the keys that may stand in it.
pub(super) trait Section: Sized {
    /// The keys, in the order of the declaration.
    const KEYS: &'static [&'static str];

    /// Reads every key, those that are not there as well.
    fn read(table: &Table<'_>, reader: &mut Reader<'_>) -> Self;

    /// Adds each key to the JSON schema.
    fn describe(properties: &mut Properties);

    /// The keys that are not at their defaults.
    fn settings(&self) -> Settings;
}

/// A key of a section: a kind of value together with what its absence means.
pub(super) trait Key {
    /// What the field of the struct is.
    type Value;

    /// Reads the value; if it is wrong, reports that and stands in something harmless.
    fn read(&self, item: &Item<'_>, reader: &mut Reader<'_>) -> Self::Value;

    /// The JSON schema of the value, with its default if there is one.
    fn json(&self) -> Json;

    /// What the key is set to; none if it is as if it were absent.
    fn setting(&self, value: &Self::Value) -> Option<Setting>;

    /// Whether its absence is an error.
    fn required(&self) -> bool {
        false
    }
}

/// Declares a section; see `schema` for how it reads.
macro_rules! section {
    ($(#[doc = $about:literal])+ $name:ident {
        $($(#[doc = $doc:literal])+ $key:ident: $value:ty = $kind:expr;)+
    }) => {
        $(#[doc = $about])+
        #[derive(Debug)]
        pub(in crate::config) struct $name {
            $($(#[doc = $doc])+ pub(in crate::config) $key: $value,)+
        }

        impl Section for $name {
            const KEYS: &'static [&'static str] = &[$(stringify!($key)),+];

            fn read(table: &Table<'_>, reader: &mut Reader<'_>) -> Self {
                Self { $($key: Key::read(&$kind, &table.item(stringify!($key)), reader),)+ }
            }

            fn describe(properties: &mut Properties) {
                $(properties.add::<$value>(stringify!($key), concat!($($doc),+), &$kind);)+
            }

            fn settings(&self) -> $crate::config::settings::Settings {
                let mut settings = $crate::config::settings::Settings::default();
                $(settings.add(stringify!($key), Key::setting(&$kind, &self.$key));)+
                settings
            }
        }
    };
}
pub(super) use section;

/// What a reader carries along.
pub(super) struct Reader<'a> {
    pub(super) errors: Collector,
    pub(super) surroundings: &'a Surroundings<'a>,
    /// The files that values were read from, or should have been.
    pub(super) files: Vec<PathBuf>,
}

impl Reader<'_> {
    /// Reports that a value has the wrong type.
    pub(super) fn wrong_type(
        &mut self,
        place: &Place,
        expected: &'static str,
        value: &DeValue<'_>,
    ) {
        let found = match value {
            DeValue::String(_) => "a text",
            DeValue::Integer(_) => "a number",
            DeValue::Float(_) => "a number with a point",
            DeValue::Boolean(_) => "true or false",
            DeValue::Datetime(_) => "a date",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a section",
        };
        let hint = || match (expected, value) {
            (DURATION, DeValue::Integer(number)) => {
                Some(format!("write it with its unit: `\"{}s\"`", short(number.as_str())))
            }
            (SIZE, DeValue::Integer(number)) => {
                Some(format!("write it with its unit: `\"{} B\"`", short(number.as_str())))
            }
            (LIST, DeValue::String(_)) => Some("put it in brackets: `[\"…\"]`".to_owned()),
            _ => None,
        };
        self.errors.report(place, Problem::WrongType { expected, found }, hint);
    }
}

/// Numbers in hints are not longer than any that is meant.
fn short(number: &str) -> &str {
    number.get(..20).unwrap_or(number)
}

/// A section as it stands in the file, or one that is absent.
pub(super) struct Table<'t> {
    place: Place,
    entries: Option<&'t DeTable<'t>>,
}

impl<'t> Table<'t> {
    /// A section that is not in the file: every key has its default.
    pub(super) fn absent(key: &str) -> Self {
        Self { place: Place::unwritten(key), entries: None }
    }

    /// The section that was written at `place`.
    pub(super) fn present(place: Place, entries: &'t DeTable<'t>) -> Self {
        Self { place, entries: Some(entries) }
    }

    /// The key `name`, there or not.
    pub(super) fn item(&self, name: &str) -> Item<'t> {
        let found = self.entries.and_then(|entries| entries.get_key_value(name));
        Item {
            place: self.place.below(name, found.map(|(key, _)| key.span().start)),
            value: found.map(|(_, value)| value.get_ref()),
        }
    }

    /// Every key with its value, in the order of the file.
    pub(super) fn items(&self) -> Vec<(&'t str, Item<'t>)> {
        let mut entries: Vec<(&Spanned<_>, &Spanned<_>)> =
            self.entries.into_iter().flatten().collect();
        entries.sort_by_key(|(key, _)| key.span().start);
        let named = |(key, value): (&'t Spanned<std::borrow::Cow<'t, str>>, _)| {
            let name: &str = key.get_ref();
            let value: &'t Spanned<DeValue<'t>> = value;
            let place = self.place.below(name, Some(key.span().start));
            (name, Item { place, value: Some(value.get_ref()) })
        };
        entries.into_iter().map(named).collect()
    }

    /// Reads the section, and reports keys that it does not have.
    pub(super) fn read<S: Section>(&self, reader: &mut Reader<'_>) -> S {
        for (name, item) in self.items() {
            if !S::KEYS.contains(&name) {
                let hint = || match suggest::nearest(name, S::KEYS.iter().copied()) {
                    Some(meant) => Some(format!("did you mean `{meant}`?")),
                    None if S::KEYS.len() <= KEYS_LISTED_MAX => {
                        Some(format!("expected {}", one_of(S::KEYS.iter().copied())))
                    }
                    None => None,
                };
                reader.errors.report(&item.place, Problem::UnknownKey, hint);
            }
        }
        S::read(self, reader)
    }
}

/// A key as it stands in the file, or one that is absent.
pub(super) struct Item<'t> {
    pub(super) place: Place,
    pub(super) value: Option<&'t DeValue<'t>>,
}

/// `a`, `b` or `c`, in backquotes.
pub(super) fn one_of<'a>(words: impl Iterator<Item = &'a str>) -> String {
    let quoted: Vec<String> = words.map(|word| format!("`{word}`")).collect();
    match quoted.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, others)) => format!("{} or {last}", others.join(", ")),
        None => String::new(),
    }
}

/// The keys of a section in the words of JSON schema.
#[derive(Default)]
pub(super) struct Properties {
    properties: Map<String, Json>,
    required: Vec<Json>,
}

impl Properties {
    /// Adds the key `name`, whose value is a `V`.
    pub(super) fn add<V>(&mut self, name: &str, doc: &str, key: &impl Key<Value = V>) {
        let mut schema = key.json();
        if let Some(schema) = schema.as_object_mut() {
            schema.insert("description".to_owned(), doc.trim().into());
        }
        self.properties.insert(name.to_owned(), schema);
        if key.required() {
            self.required.push(name.into());
        }
    }

    /// The schema of a section.
    pub(super) fn of<S: Section>() -> Json {
        let mut all = Self::default();
        S::describe(&mut all);
        let mut schema = json!({
            "type": "object",
            "additionalProperties": false,
            "properties": all.properties,
        });
        if let (Some(schema), false) = (schema.as_object_mut(), all.required.is_empty()) {
            schema.insert("required".to_owned(), Json::Array(all.required));
        }
        schema
    }
}

/// What keys expect, in the words of an error.
pub(super) const DURATION: &str = "a duration in quotes, as `\"10s\"`";
pub(super) const SIZE: &str = "a size in quotes, as `\"64 KiB\"`";
pub(super) const LIST: &str = "a list";

/// A hint lists all keys of a section only if that is short.
const KEYS_LISTED_MAX: usize = 10;

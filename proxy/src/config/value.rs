//! What a key holds, and what its absence means: a default, nothing, or an error.
//!
//! Owns the trait of all kinds of values, and what can be made of any of them. Refuses to know
//! any key; those are in `schema`. Read next: `text` and `number` for the kinds, `list` for
//! values that hold others.

use std::marker::PhantomData;

use serde_json::Value as Json;
use toml::de::DeValue;

use super::error::{Place, Problem};
use super::section::{Item, Key, Properties, Reader, Section, Table};
use super::settings::Setting;

/// A kind of value, without what its absence means.
pub(super) trait Kind: Sized {
    /// What it is read as.
    type Value;

    /// Reads it; none if it is wrong, which is reported.
    fn parse(
        &self,
        place: &Place,
        value: &DeValue<'_>,
        reader: &mut Reader<'_>,
    ) -> Option<Self::Value>;

    /// Its JSON schema.
    fn json(&self) -> Json;

    /// How the file would write `value`.
    fn written(&self, value: &Self::Value) -> Json;

    /// What a key is set to that has `value`.
    fn setting(&self, value: &Self::Value) -> Setting {
        Setting::Plain(self.written(value))
    }

    /// A key that means `default` if it is absent.
    fn or(self, default: Self::Value) -> Or<Self> {
        Or { kind: self, default }
    }

    /// A key that may be absent.
    fn optional(self) -> Optional<Self> {
        Optional(self)
    }

    /// A key that must be there; a value that is not there or wrong is `None`.
    fn required(self) -> Required<Self> {
        Required { kind: self, hint: None }
    }

    /// The same, with what to do if it is not there.
    fn required_with(self, hint: &'static str) -> Required<Self> {
        Required { kind: self, hint: Some(hint) }
    }
}

/// A key with a default.
pub(super) struct Or<K: Kind> {
    kind: K,
    default: K::Value,
}

impl<K: Kind<Value: Clone>> Key for Or<K> {
    type Value = K::Value;

    fn read(&self, item: &Item<'_>, reader: &mut Reader<'_>) -> K::Value {
        item.value
            .and_then(|value| self.kind.parse(&item.place, value, reader))
            .unwrap_or_else(|| self.default.clone())
    }

    fn json(&self) -> Json {
        let mut schema = self.kind.json();
        if let Some(schema) = schema.as_object_mut() {
            schema.insert("default".to_owned(), self.kind.written(&self.default));
        }
        schema
    }

    fn setting(&self, value: &K::Value) -> Option<Setting> {
        let setting = self.kind.setting(value);
        (setting != self.kind.setting(&self.default)).then_some(setting)
    }
}

/// A key that may be absent.
pub(super) struct Optional<K>(K);

impl<K: Kind> Key for Optional<K> {
    type Value = Option<K::Value>;

    fn read(&self, item: &Item<'_>, reader: &mut Reader<'_>) -> Self::Value {
        item.value.and_then(|value| self.0.parse(&item.place, value, reader))
    }

    fn json(&self) -> Json {
        self.0.json()
    }

    fn setting(&self, value: &Self::Value) -> Option<Setting> {
        value.as_ref().map(|value| self.0.setting(value))
    }
}

/// A key that must be there.
pub(super) struct Required<K> {
    kind: K,
    hint: Option<&'static str>,
}

impl<K: Kind> Key for Required<K> {
    type Value = Option<K::Value>;

    fn read(&self, item: &Item<'_>, reader: &mut Reader<'_>) -> Self::Value {
        if item.value.is_none() {
            reader.errors.report(&item.place, Problem::Missing, || self.hint.map(str::to_owned));
        }
        item.value.and_then(|value| self.kind.parse(&item.place, value, reader))
    }

    fn json(&self) -> Json {
        self.kind.json()
    }

    fn setting(&self, value: &Self::Value) -> Option<Setting> {
        value.as_ref().map(|value| self.kind.setting(value))
    }

    fn required(&self) -> bool {
        true
    }
}

/// A value with the place where it was written, if it was.
#[derive(Clone, Debug)]
pub(super) struct Located<T> {
    pub(super) value: T,
    pub(super) place: Option<Place>,
}

/// A kind whose values know where they were written.
pub(super) struct Where<K>(pub(super) K);

impl<K: Kind> Kind for Where<K> {
    type Value = Located<K::Value>;

    fn parse(
        &self,
        place: &Place,
        value: &DeValue<'_>,
        reader: &mut Reader<'_>,
    ) -> Option<Self::Value> {
        let value = self.0.parse(place, value, reader)?;
        Some(Located { value, place: Some(place.clone()) })
    }

    fn json(&self) -> Json {
        self.0.json()
    }

    fn written(&self, value: &Self::Value) -> Json {
        self.0.written(&value.value)
    }

    fn setting(&self, value: &Self::Value) -> Setting {
        self.0.setting(&value.value)
    }
}

/// A section within a section; if it is absent, all of its keys are.
pub(super) struct Within<S>(pub(super) PhantomData<S>);

impl<S: Section> Key for Within<S> {
    type Value = S;

    fn read(&self, item: &Item<'_>, reader: &mut Reader<'_>) -> S {
        let table = match item.value {
            Some(DeValue::Table(entries)) => Table::present(item.place.clone(), entries),
            Some(other) => {
                reader.wrong_type(&item.place, "a section", other);
                Table::absent(&item.place.key)
            }
            None => Table::absent(&item.place.key),
        };
        table.read(reader)
    }

    fn json(&self) -> Json {
        Properties::of::<S>()
    }

    fn setting(&self, value: &S) -> Option<Setting> {
        Some(Setting::Keys(value.settings()))
    }
}

//! What differs between two configurations, in the operator's words.
//!
//! Owns [`changes`], a pure function. It compares what is set and not how that was written: the
//! order of sections, `10s` for `10000ms`, or a default that was spelled out, is no change. Sites,
//! routes and endpoints have no names, so one is known by what it is for: a host, a path, an
//! address. Secrets, and what variables hold, are compared and not shown. Refuses to know what a
//! change demands, and the contents of files that the configuration names, other than secrets. Read
//! next: `change`, the words.

mod change;
mod pairs;

use std::collections::HashMap;

use serde_json::Value as Json;

use self::change::How;
pub use self::change::{Change, Changes, Subject};
use super::settings::{Setting, Settings, Word};
use super::{Config, json_schema};

/// What a reload from `old` to `new` changes, in the order of the files.
pub fn changes(old: &Config, new: &Config) -> Changes {
    let schema = json_schema();
    let (old, new) = (&*old.settings, &*new.settings);
    let mut comparison = Comparison::default();
    comparison.settings(old, new, &schema);
    comparison.named("listener", (old, new), &schema, Subject::Listener);
    comparison.named("backend", (old, new), &schema, Subject::Backend);
    comparison.changes
}

/// A walk through both at once.
#[derive(Default)]
struct Comparison {
    subject: Subject,
    /// The key in whose section the walk is, with what follows it in a line.
    path: String,
    changes: Changes,
}

impl Comparison {
    /// Compares the sections below `key`, each of which is a subject.
    fn named(
        &mut self,
        key: &str,
        (old, new): (&Settings, &Settings),
        schema: &Json,
        subject: fn(String) -> Subject,
    ) {
        let schema = section_of(property(schema, key));
        let before = by_name(old.named(key));
        let after = by_name(new.named(key));
        for (name, old) in old.named(key) {
            self.subject = subject(name.clone());
            match after.get(name.as_str()) {
                Some(new) => self.settings(old, new, schema),
                None => self.note("", How::Removed),
            }
        }
        for (name, _) in new.named(key) {
            if !before.contains_key(name.as_str()) {
                self.subject = subject(name.clone());
                self.note("", How::Added);
            }
        }
    }

    /// Compares two sections key by key.
    fn settings(&mut self, old: &Settings, new: &Settings, schema: &Json) {
        let added = new.names().filter(|name| old.get(name).is_none());
        for name in old.names().chain(added) {
            let (before, after) = (old.get(name), new.get(name));
            if before != after {
                self.setting(name, before, after, property(schema, name));
            }
        }
    }

    /// Compares what `name` is set to, which is not the same.
    fn setting(&mut self, name: &str, old: Option<&Setting>, new: Option<&Setting>, schema: &Json) {
        use Setting::{Each, Keys, Named, Plain, Secret, Words};
        let how = match (old, new) {
            (Some(Keys(old)), Some(Keys(new))) => {
                let schema = section_of(schema);
                return self.within(name, ".", |walk| walk.settings(old, new, schema));
            }
            // These are subjects of their own.
            (Some(Named(_)), _) | (_, Some(Named(_))) => return,
            (Some(Each(_)) | None, Some(Each(_))) | (Some(Each(_)), None) => {
                return self.each(name, (sections(old), sections(new)), section_of(schema));
            }
            (Some(Words(_)) | None, Some(Words(_))) | (Some(Words(_)), None) => {
                How::List(pairs::list(&words(old, schema), &words(new, schema)))
            }
            (Some(Keys(_)), Some(Plain(_))) => How::Off,
            (Some(Plain(_)), Some(Keys(_))) => How::On,
            (None, Some(Keys(_) | Secret(_))) => How::Added,
            (Some(Keys(_) | Secret(_)), None) => How::Removed,
            (Some(Secret(_)), Some(Secret(_))) => How::Hidden,
            (old, new) => match (shown(old, schema), shown(new, schema)) {
                (from, to) if from == to => How::Expanded,
                (from, to) => How::Value { from, to },
            },
        };
        self.note(name, how);
    }

    /// Compares sections that have no names.
    fn each(&mut self, name: &str, (old, new): (&[Settings], &[Settings]), schema: &Json) {
        let pairs = pairs::sections(old, new);
        if !pairs.list.is_empty() {
            self.note(name, How::List(pairs.list));
        }
        for (before, after) in pairs.changed {
            let entry = format!("{name} {}", pairs::label(after));
            self.within(&entry, ": ", |walk| walk.settings(before, after, schema));
        }
    }

    /// Walks on below `name`.
    fn within(&mut self, name: &str, separator: &str, walk: impl FnOnce(&mut Self)) {
        let length = self.path.len();
        self.path.extend([name, separator]);
        walk(self);
        self.path.truncate(length);
    }

    fn note(&mut self, name: &str, how: How) {
        let subject = self.subject.clone();
        self.changes.add(|path| Change { subject, key: format!("{path}{name}"), how }, &self.path);
    }
}

fn by_name(sections: &[(String, Settings)]) -> HashMap<&str, &Settings> {
    sections.iter().map(|(name, settings)| (name.as_str(), settings)).collect()
}

/// The schema of the key `name`.
fn property<'a>(schema: &'a Json, name: &str) -> &'a Json {
    let known = schema.get("properties").and_then(|properties| properties.get(name));
    known.unwrap_or(&Json::Null)
}

/// The schema of the section that stands at a key, alone, named or repeated.
fn section_of(schema: &Json) -> &Json {
    let is_section = |schema: &&Json| schema.get("properties").is_some();
    let holder = schema.get("items").or(schema.get("additionalProperties"));
    let holder = holder.filter(|holder| holder.is_object()).unwrap_or(schema);
    let forms = holder.get("anyOf").and_then(Json::as_array).into_iter().flatten();
    [schema, holder].into_iter().chain(forms).find(is_section).unwrap_or(&Json::Null)
}

/// The sections that are set.
fn sections(setting: Option<&Setting>) -> &[Settings] {
    match setting {
        Some(Setting::Each(sections)) => sections,
        _ => &[],
    }
}

/// The texts of a list; if it is not set, those of the default.
fn words(setting: Option<&Setting>, schema: &Json) -> Vec<Word> {
    if let Some(Setting::Words(words)) = setting {
        return words.clone();
    }
    let default = schema.get("default").and_then(Json::as_array).into_iter().flatten();
    default.filter_map(Json::as_str).map(Word::plain).collect()
}

/// A value in words; without one, the default.
fn shown(setting: Option<&Setting>, schema: &Json) -> String {
    match setting {
        Some(Setting::Plain(value)) => change::value(value),
        Some(Setting::Word(word)) => change::text(&word.shown),
        _ => schema.get("default").map_or_else(|| "not set".to_owned(), change::value),
    }
}

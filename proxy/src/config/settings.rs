//! What the operator has set: every key of a file that is not at its default, as text.
//!
//! Owns the tree that is made of what was read, through the same declarations, so that `diff` can
//! say in the words of the file how two configurations differ. A text knows what it means with its
//! variables expanded, and shows what stands in the file; a secret is compared and never shown.
//! Refuses to know any key. Read next: `diff`.

use std::borrow::Cow;
use std::fmt;

use serde_json::Value as Json;

use super::Secret;
use super::text::Written;

/// What a key is set to.
#[derive(Clone, PartialEq)]
pub(super) enum Setting {
    /// Sections without names: sites, routes, endpoints.
    Each(Vec<Settings>),
    /// A section.
    Keys(Settings),
    /// Sections with names that the operator gives.
    Named(Vec<(String, Settings)>),
    /// A number, a word of a few, a size; as the file would have it.
    Plain(Json),
    /// What nobody is shown.
    Secret(Secret),
    /// A text.
    Word(Word),
    /// A list of texts.
    Words(Vec<Word>),
}

/// A section: its keys that are set.
#[derive(Clone, Default, PartialEq)]
pub(super) struct Settings(Vec<(Cow<'static, str>, Setting)>);

impl Settings {
    /// Adds `name`, if it is set.
    pub(super) fn add(&mut self, name: impl Into<Cow<'static, str>>, setting: Option<Setting>) {
        self.0.extend(setting.map(|setting| (name.into(), setting)));
    }

    /// What `name` is set to.
    pub(super) fn get(&self, name: &str) -> Option<&Setting> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, setting)| setting)
    }

    /// The keys that are set, in their order.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| &**name)
    }

    /// The sections that stand below `name`, which the operator has named.
    pub(super) fn named(&self, name: &str) -> &[(String, Self)] {
        match self.get(name) {
            Some(Setting::Named(sections)) => sections,
            _ => &[],
        }
    }
}

/// Variables may hold secrets, so nothing is shown.
impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Settings(..)")
    }
}

/// A text: two are equal if they mean the same.
#[derive(Clone)]
pub(super) struct Word {
    /// As it stands in the file.
    pub(super) shown: Box<str>,
    /// With variables expanded, if that is something else.
    meaning: Option<Box<str>>,
}

impl Word {
    /// A text without variables.
    pub(super) fn plain(text: &str) -> Self {
        Self { shown: text.into(), meaning: None }
    }

    /// What it means.
    pub(super) fn meaning(&self) -> &str {
        self.meaning.as_deref().unwrap_or(&self.shown)
    }
}

impl From<&Written> for Word {
    fn from(written: &Written) -> Self {
        let meaning = written.is_expanded().then(|| written.text.as_str().into());
        Self { shown: written.raw().into(), meaning }
    }
}

impl PartialEq for Word {
    fn eq(&self, other: &Self) -> bool {
        self.meaning() == other.meaning()
    }
}

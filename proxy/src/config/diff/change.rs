//! The words for a change: one line that an operator can hold against the file.
//!
//! Owns [`Change`] and its sentence: of what, which key, how. A line is short whatever stands in
//! the file, has no line ends and no escape sequences, and there is a limit on lines.

use std::fmt;

use serde_json::Value as Json;

use super::super::error::printable;

/// What differs; nothing if nobody could tell the two apart.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    list: Vec<Change>,
    left_off: usize,
}

impl Changes {
    /// Each of them, as far as they are listed.
    pub fn iter(&self) -> std::slice::Iter<'_, Change> {
        self.list.iter()
    }

    /// How many there are, with those that are too many to be listed.
    pub fn count(&self) -> usize {
        self.list.len() + self.left_off
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// A line for each, and one that says how many were left off.
    pub fn lines(&self) -> Vec<String> {
        let more = (self.left_off > 0).then(|| format!("and {} more", self.left_off));
        self.list.iter().map(Change::to_string).chain(more).collect()
    }

    pub(super) fn add(&mut self, change: impl FnOnce(&str) -> Change, path: &str) {
        if self.list.len() < CHANGES_MAX {
            self.list.push(change(path));
        } else {
            self.left_off += 1;
        }
    }
}

impl<'a> IntoIterator for &'a Changes {
    type Item = &'a Change;
    type IntoIter = std::slice::Iter<'a, Change>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// One thing that differs.
///
/// As a line: `listener https: tls.min_version: "1.2" → "1.3"`,
/// `backend app: endpoints: + 10.0.0.8:3000`, `listener mail: removed`,
/// `limits.connects: 256 → 512`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Change {
    pub(super) subject: Subject,
    pub(super) key: String,
    pub(super) how: How,
}

impl Change {
    /// Of what.
    pub fn subject(&self) -> &Subject {
        &self.subject
    }

    /// The key: `server.workers`, and from the subject on `tls.min_version` or
    /// `site app.example.com: backend`; empty if the subject came or went.
    pub fn key(&self) -> &str {
        &self.key
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.subject {
            Subject::Process => {}
            Subject::Listener(name) => write!(f, "listener {name}: ")?,
            Subject::Backend(name) => write!(f, "backend {name}: ")?,
        }
        match self.key.as_str() {
            "" => write!(f, "{}", self.how),
            key => write!(f, "{key}: {}", self.how),
        }
    }
}

/// What a change is of.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum Subject {
    /// The backend of this name.
    Backend(String),
    /// The listener of this name.
    Listener(String),
    /// What there is one of.
    #[default]
    Process,
}

/// How something differs.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum How {
    /// It was not there.
    Added,
    /// Its text is the same, and a variable in it has another value.
    Expanded,
    /// Its value is a secret.
    Hidden,
    /// A list.
    List(List),
    /// It was switched off.
    Off,
    /// It is no longer switched off.
    On,
    /// It is not there any more.
    Removed,
    /// From one value to another.
    Value {
        /// The one.
        from: String,
        /// The other.
        to: String,
    },
}

impl fmt::Display for How {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Added => f.write_str("added"),
            Self::Expanded => f.write_str("a variable has another value"),
            Self::Hidden => f.write_str("changed"),
            Self::List(list) => list.fmt(f),
            Self::Off => f.write_str("switched off"),
            Self::On => f.write_str("switched on"),
            Self::Removed => f.write_str("removed"),
            Self::Value { from, to } => write!(f, "{from} → {to}"),
        }
    }
}

/// How a list differs; if none of this is there, its order does.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct List {
    pub(super) added: Vec<String>,
    pub(super) removed: Vec<String>,
    /// Entries whose text is the same, and a variable in them has another value.
    pub(super) expanded: Vec<String>,
    pub(super) order: Order,
}

/// Whether entries that stayed stand in another order.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) enum Order {
    #[default]
    Kept,
    Other,
}

impl List {
    /// Whether there is nothing to say.
    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl fmt::Display for List {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        for (sign, entries) in [("+ ", &self.added), ("- ", &self.removed), ("", &self.expanded)] {
            let behind = if sign.is_empty() { ": a variable has another value" } else { "" };
            let shown = entries.iter().take(ENTRIES_MAX);
            parts.extend(shown.map(|entry| format!("{sign}{}{behind}", printable(entry))));
            match entries.len().saturating_sub(ENTRIES_MAX) {
                0 => {}
                more => parts.push(format!("{sign}{more} more")),
            }
        }
        if self.order == Order::Other {
            parts.push("in another order".to_owned());
        }
        f.write_str(&parts.join(", "))
    }
}

/// A text as a line shows it.
pub(super) fn text(text: &str) -> String {
    format!("\"{}\"", printable(text))
}

/// A value as a line shows it.
pub(super) fn value(value: &Json) -> String {
    match value {
        Json::String(word) => text(word),
        Json::Array(list) => {
            let list: Vec<String> = list.iter().map(self::value).collect();
            format!("[{}]", list.join(", "))
        }
        value => value.to_string(),
    }
}

/// More than anyone reads.
const CHANGES_MAX: usize = 500;

/// What is listed of a list, on either side.
const ENTRIES_MAX: usize = 16;

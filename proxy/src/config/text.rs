//! Values in words: texts, secrets, one word of a few, true and false.
//!
//! Owns that every text may refer to the environment and a secret to a file, and that an error
//! quotes a text as it was written, a secret never. Refuses to know any key. Read next: `schema`.

use std::fmt;
use std::path::PathBuf;

use serde_json::{Value as Json, json};
use toml::de::DeValue;

use super::error::{Place, Problem, printable};
use super::reference::expand;
use super::section::{Reader, one_of};
use super::settings::{Setting, Word};
use super::value::Kind;
use super::{Secret, load};

/// A text with the place where it was written, for checks that come later.
#[derive(Clone)]
pub(super) struct Written {
    /// With variables expanded.
    pub(super) text: String,
    /// As it stands in the file: what errors quote, since a variable may hold a secret.
    raw: String,
    /// Where.
    pub(super) place: Place,
}

impl Written {
    /// A default, which stands nowhere.
    pub(super) fn default(key: &str, text: &str) -> Self {
        Self { text: text.to_owned(), raw: text.to_owned(), place: Place::unwritten(key) }
    }

    /// What it names as a file or folder, from the folder of the configuration; none, and an
    /// error, if no system call would take it.
    pub(super) fn path(&self, reader: &mut Reader<'_>) -> Option<PathBuf> {
        file_path(&self.text, &self.place, reader)
    }

    /// As it stands in the file.
    pub(super) fn raw(&self) -> &str {
        &self.raw
    }

    /// Whether a variable stands in it, whose value may be a secret.
    pub(super) fn is_expanded(&self) -> bool {
        self.raw != self.text
    }

    /// What an error may show.
    pub(super) fn quote(&self) -> String {
        printable(&self.raw)
    }
}

impl fmt::Debug for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.raw, f)
    }
}

/// Any text.
pub(super) struct Text;

impl Kind for Text {
    type Value = Written;

    fn parse(
        &self,
        place: &Place,
        value: &DeValue<'_>,
        reader: &mut Reader<'_>,
    ) -> Option<Written> {
        text(place, value, "a text in quotes", reader)
    }

    fn json(&self) -> Json {
        json!({ "type": "string" })
    }

    fn written(&self, value: &Written) -> Json {
        value.raw.as_str().into()
    }

    fn setting(&self, value: &Written) -> Setting {
        Setting::Word(Word::from(value))
    }
}

/// A text that is never shown: literal, from a variable, or from a file (`file:/path`).
pub(super) struct SecretText;

impl Kind for SecretText {
    type Value = Secret;

    fn parse(&self, place: &Place, value: &DeValue<'_>, reader: &mut Reader<'_>) -> Option<Secret> {
        let written = text(place, value, "a text in quotes, or `\"file:…\"`", reader)?;
        let secret = match written.text.strip_prefix("file:") {
            Some(path) => {
                let path = reader.surroundings.folder.join(path);
                reader.files.push(path.clone());
                match load::read_text(&path, SECRET_FILE_BYTES_MAX) {
                    Ok(text) => text,
                    Err(error) => {
                        reader.errors.report(place, Problem::SecretFile(error), || None);
                        return None;
                    }
                }
            }
            None => written.text,
        };
        let secret = secret.trim_end_matches(['\r', '\n']);
        let good = (SECRET_BYTES_MIN..=SECRET_BYTES_MAX).contains(&secret.len())
            && secret.bytes().all(|byte| byte.is_ascii_graphic());
        if !good {
            let hint = || Some("make one with `openssl rand -hex 32`".to_owned());
            reader.errors.report(place, Problem::BadToken, hint);
        }
        good.then(|| Secret::new(secret))
    }

    fn json(&self) -> Json {
        json!({ "type": "string" })
    }

    fn written(&self, _: &Secret) -> Json {
        Json::Null
    }

    fn setting(&self, value: &Secret) -> Setting {
        Setting::Secret(value.clone())
    }
}

/// A text that may hold a secret, with the place where it was written.
#[derive(Clone, Debug)]
pub(super) struct Hidden {
    /// With variables expanded.
    pub(super) text: Secret,
    /// Where.
    pub(super) place: Place,
}

/// A text that is read like any other, and never shown.
pub(super) struct HiddenText;

impl Kind for HiddenText {
    type Value = Hidden;

    fn parse(&self, place: &Place, value: &DeValue<'_>, reader: &mut Reader<'_>) -> Option<Hidden> {
        let written = text(place, value, "a text in quotes", reader)?;
        Some(Hidden { text: Secret::new(&written.text), place: written.place })
    }

    fn json(&self) -> Json {
        json!({ "type": "string" })
    }

    fn written(&self, _: &Hidden) -> Json {
        Json::Null
    }

    fn setting(&self, value: &Hidden) -> Setting {
        Setting::Secret(value.text.clone())
    }
}

/// The file of a key (`file:/path`), which is read elsewhere. Anything else may be the key itself,
/// and is not shown.
pub(super) struct KeyFile;

impl Kind for KeyFile {
    type Value = PathBuf;

    fn parse(
        &self,
        place: &Place,
        value: &DeValue<'_>,
        reader: &mut Reader<'_>,
    ) -> Option<PathBuf> {
        let written = text(place, value, KEY_FILE, reader)?;
        match written.text.strip_prefix("file:") {
            Some(path) => file_path(path, place, reader),
            None => {
                let hint = || Some("put the key into a file: `\"file:PATH\"`".to_owned());
                reader.errors.report(place, Problem::KeyReference, hint);
                None
            }
        }
    }

    fn json(&self) -> Json {
        json!({ "type": "string", "pattern": r"^file:.|\$\{" })
    }

    fn written(&self, value: &PathBuf) -> Json {
        format!("file:{}", value.display()).into()
    }
}

/// What stands behind `file:`, from the folder of the configuration.
pub(super) fn file_path(path: &str, place: &Place, reader: &mut Reader<'_>) -> Option<PathBuf> {
    let good = !path.is_empty() && !path.contains('\0');
    if !good {
        reader.errors.report(place, Problem::BadPath, || None);
    }
    good.then(|| reader.surroundings.folder.join(path))
}

/// Reads a text and expands it.
pub(super) fn text(
    place: &Place,
    value: &DeValue<'_>,
    expected: &'static str,
    reader: &mut Reader<'_>,
) -> Option<Written> {
    let Some(raw) = value.as_str() else {
        reader.wrong_type(place, expected, value);
        return None;
    };
    match expand(raw, reader.surroundings.variable) {
        Ok(text) => {
            Some(Written { text: text.into_owned(), raw: raw.to_owned(), place: place.clone() })
        }
        Err(error) => {
            let hint = || Some("a default is written `${NAME:-default}`".to_owned());
            reader.errors.report(place, error, hint);
            None
        }
    }
}

/// One of a few words, each of which means a `T`.
pub(super) struct Choice<T: 'static>(pub(super) &'static [(&'static str, T)]);

impl<T: Copy + PartialEq> Kind for Choice<T> {
    type Value = T;

    fn parse(&self, place: &Place, value: &DeValue<'_>, reader: &mut Reader<'_>) -> Option<T> {
        let written = text(place, value, "a text in quotes", reader)?;
        let found = self.0.iter().find(|(word, _)| *word == written.text);
        if found.is_none() {
            let words = || self.0.iter().map(|(word, _)| *word);
            let problem = Problem::Choice { written: written.quote(), options: one_of(words()) };
            reader.errors.report(place, problem, || None);
        }
        found.map(|(_, meaning)| *meaning)
    }

    fn json(&self) -> Json {
        let words: Vec<&str> = self.0.iter().map(|(word, _)| *word).collect();
        json!({ "anyOf": [{ "enum": words }, { "type": "string", "pattern": r"\$\{" }] })
    }

    fn written(&self, value: &T) -> Json {
        self.word(*value).into()
    }
}

impl<T: Copy + PartialEq> Choice<T> {
    /// The word that means `value`.
    pub(super) fn word(&self, value: T) -> &'static str {
        let found = self.0.iter().find(|(_, meaning)| *meaning == value);
        found.map_or("", |(word, _)| *word)
    }
}

/// `true` or `false`.
pub(super) struct Flag;

impl Kind for Flag {
    type Value = bool;

    fn parse(&self, place: &Place, value: &DeValue<'_>, reader: &mut Reader<'_>) -> Option<bool> {
        let flag = value.as_bool();
        if flag.is_none() {
            reader.wrong_type(place, "true or false", value);
        }
        flag
    }

    fn json(&self) -> Json {
        json!({ "type": "boolean" })
    }

    fn written(&self, value: &bool) -> Json {
        (*value).into()
    }
}

/// What keys are written as.
pub(super) const KEY_FILE: &str = "a file in quotes, as `\"file:PATH\"`";

/// The longest token, which fits into a request head of the least size that can be set.
const SECRET_BYTES_MAX: usize = 4_096;

/// The shortest token: 16 random letters are beyond guessing over a network.
const SECRET_BYTES_MIN: usize = 16;

/// A file that is meant to hold one token.
const SECRET_FILE_BYTES_MAX: u64 = 64 << 10;

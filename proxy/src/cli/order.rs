//! `portunus reload`, `drain`, `upgrade`, `check --diff`: what the running process is asked to do.
//!
//! Owns the words for what came of it: changes are data and go to standard output, what is wrong
//! goes to standard error. Refuses to know how any of it is carried out. Read next: `ask`.

use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use super::ask::{Answer, ask_within};
use super::output::plain;
use super::{ConfigFile, DONE, FAILED, fail, output};

/// What the running process is asked to do.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Order {
    /// Serve what its configuration says now.
    Reload,
    /// Say what that would change.
    Rehearse,
    /// Finish and end.
    Drain,
    /// Have a new process take over.
    Upgrade,
}

impl Order {
    fn target(self) -> &'static str {
        match self {
            Self::Reload => "/reload",
            Self::Rehearse => "/reload?dry=true",
            Self::Drain => "/drain",
            Self::Upgrade => "/upgrade",
        }
    }
}

/// Has it done by the running process, and prints what came of it.
pub(super) fn run(order: Order, file: &ConfigFile, json: bool) -> u8 {
    let admin = match file.admin() {
        Ok(admin) => admin,
        Err(code) => return code,
    };
    let (told, code) = match ask_within(admin.as_ref(), "POST", order.target(), TIMEOUT) {
        Ok(Answer::Done(told)) => (told, DONE),
        Ok(Answer::Refused(told)) => (told, FAILED),
        Err(error) => return fail(&error, error.hint()),
    };
    match (file_read(&told, &file.config), order) {
        (Some(other), Order::Rehearse) => return fail(&other, Some(OtherFile::HINT)),
        (Some(other), _) => output::say(format_args!("warning: {other}")),
        (None, _) => {}
    }
    let printed = if json { output::print(&told) } else { say(&told) };
    code.max(printed)
}

/// What the process has read, where that is another file than `meant`; one that cannot be seen from
/// here may be the same in another place.
fn file_read(told: &Value, meant: &Path) -> Option<OtherFile> {
    let read = told.get("file").and_then(Value::as_str)?;
    let real = Path::new(read).canonicalize().ok()?;
    let is_other = meant.canonicalize().map_or(true, |meant| meant != real);
    is_other.then(|| OtherFile { read: plain(read), meant: meant.display().to_string() })
}

/// The process has another file than whoever asks.
#[derive(Debug, thiserror::Error)]
#[error("the running process reads `{read}`, not `{meant}`")]
struct OtherFile {
    read: String,
    meant: String,
}

impl OtherFile {
    const HINT: &str = "`portunus check` tries a file that is not in service; to have it compared, \
                        put it in the place of the one that is";
}

/// Says what was told, to people.
fn say(told: &Value) -> u8 {
    let parts = [("errors", "error"), ("warnings", "warning"), ("unchecked", "not tried")];
    for (key, word) in parts {
        for text in texts(told, key) {
            output::say(format_args!("{word}: {text}"));
        }
    }
    let changes: Vec<_> = texts(told, "changes").collect();
    let result = told.get("result").or_else(|| told.get("phase")).and_then(Value::as_str);
    let result = plain(result.unwrap_or_default());
    if changes.is_empty() { output::print(result) } else { output::print(changes.join("\n")) }
}

fn texts<'a>(told: &'a Value, key: &str) -> impl Iterator<Item = String> + 'a {
    let texts = told.get(key).and_then(Value::as_array).into_iter().flatten();
    texts.filter_map(Value::as_str).map(plain)
}

/// Longer than anything that is asked for may take.
const TIMEOUT: Duration = Duration::from_secs(90);

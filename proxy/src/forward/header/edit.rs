//! Changes of fields that the operator asks for.
//!
//! Owns their meaning. Which names they may touch is decided where the configuration is read; what
//! we set ourselves is set later and wins. Refuses to know who asked for what.

use http::HeaderMap;

use crate::config::FieldEdit;

/// Makes the changes, one after the other.
pub fn edit(headers: &mut HeaderMap, edits: &[FieldEdit]) {
    for edit in edits {
        match edit {
            FieldEdit::Add(name, value) => {
                headers.append(name.clone(), value.clone());
            }
            FieldEdit::Remove(name) => {
                headers.remove(name);
            }
            FieldEdit::Set(name, value) => {
                headers.insert(name.clone(), value.clone());
            }
        }
    }
}

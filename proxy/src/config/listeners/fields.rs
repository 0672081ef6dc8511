//! Changes of header fields: which names may be changed, and to which values.
//!
//! Owns the fields that no operator can touch: those that frame a message, those of one
//! connection, and those by which backends know the client, which only we write; `field` has the
//! lists. Read next: `config`, the result.

use std::collections::HashSet;

use http::header::{HOST, STRICT_TRANSPORT_SECURITY};
use http::{HeaderName, HeaderValue};

use super::super::FieldEdit;
use super::super::error::{FieldProblem, Place, printable};
use super::super::list::Entry;
use super::super::schema::FieldsSection;
use super::super::section::Reader;
use super::super::text::Written;
use crate::field::{self, Fate};

/// Whose fields are changed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Direction {
    Request,
    Response,
}

/// The changes in the order in which they are done: remove, set, add.
pub(super) fn edits(
    entry: Option<&Entry<FieldsSection>>,
    direction: Direction,
    reader: &mut Reader<'_>,
) -> Vec<FieldEdit> {
    let Some(entry) = entry else { return Vec::new() };
    let section = &entry.section;
    let mut edits = Vec::new();
    let mut seen = HashSet::new();
    for written in section.remove.iter().flatten() {
        let name = name(&written.text, &written.place, direction, reader);
        edits.extend(distinct(name, &written.place, &mut seen, reader).map(FieldEdit::Remove));
    }
    for (text, written) in section.set.iter().flatten() {
        let name = name(text, &written.place, direction, reader);
        let name = distinct(name, &written.place, &mut seen, reader);
        let value = value(written, reader);
        edits.extend(name.zip(value).map(|(name, value)| FieldEdit::Set(name, value)));
    }
    for (text, written) in section.add.iter().flatten() {
        let name = name(text, &written.place, direction, reader);
        let value = value(written, reader);
        edits.extend(name.zip(value).map(|(name, value)| FieldEdit::Add(name, value)));
    }
    edits
}

/// A name that is neither removed nor set yet.
fn distinct(
    name: Option<HeaderName>,
    place: &Place,
    seen: &mut HashSet<HeaderName>,
    reader: &mut Reader<'_>,
) -> Option<HeaderName> {
    let name = name?;
    if !seen.insert(name.clone()) {
        let problem = FieldProblem::Duplicate(name.to_string());
        reader.errors.report(place, problem, || None);
    }
    Some(name)
}

fn name(
    text: &str,
    place: &Place,
    direction: Direction,
    reader: &mut Reader<'_>,
) -> Option<HeaderName> {
    let Ok(name) = HeaderName::from_bytes(text.as_bytes()) else {
        reader.errors.report(place, FieldProblem::Name(printable(text)), || None);
        return None;
    };
    match fault(&name, direction) {
        Some(problem) => {
            reader.errors.report(place, problem, || None);
            None
        }
        None => Some(name),
    }
}

/// Why a field cannot be changed, if it cannot.
fn fault(name: &HeaderName, direction: Direction) -> Option<FieldProblem> {
    let shown = name.to_string();
    match (field::fate(name.as_str()), direction) {
        (Fate::Hop, _) => Some(FieldProblem::Hop(shown)),
        (Fate::Reserved, Direction::Request) => Some(FieldProblem::Reserved(shown)),
        (Fate::Reserved, Direction::Response) => None,
        (Fate::Pass, Direction::Request) if name == HOST => Some(FieldProblem::Host(shown)),
        (Fate::Pass, Direction::Response) if name == STRICT_TRANSPORT_SECURITY => {
            Some(FieldProblem::KeyFor(shown, "hsts"))
        }
        (Fate::Pass, _) => field::is_fixed(name).then_some(FieldProblem::Framing(shown)),
    }
}

/// The value of a field; one that a variable stands in is shown nowhere, since it may be a secret.
pub(super) fn value(written: &Written, reader: &mut Reader<'_>) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(&written.text).ok();
    match &mut value {
        Some(value) => value.set_sensitive(written.is_expanded()),
        None => reader.errors.report(&written.place, FieldProblem::Value, || None),
    }
    value
}

//! What programs are told about the last readings of files, and what came of each.
//!
//! Owns the form. Refuses to know when anything is read.

use serde_json::{Value, json};

use crate::history::{History, Reading};
use crate::outcome::Label;

/// The last readings, the newest first.
pub fn reloads(history: &History) -> Value {
    history.last().iter().map(facts).collect()
}

fn facts(reading: &Reading) -> Value {
    let Reading { time, subject, result, changes, errors, warnings } = reading;
    json!({
        "time": time,
        "subject": subject.label(),
        "result": result,
        "changes": changes,
        "errors": errors,
        "warnings": warnings,
    })
}

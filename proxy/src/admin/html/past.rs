//! What happened of late.
//!
//! Owns the part of the page about readings of files, with what came of each. Refuses to know what
//! was read.

use serde_json::Value;

use super::markup::Markup;
use super::section;
use super::table::Column::Words;
use super::table::{points, table};
use super::words::{Tone, badge, moment, small};
use crate::admin::status::read::{list, number, text, texts};
use crate::calendar::date;

/// The last readings of files.
pub(super) fn reloads(status: &Value, now: i64) -> Markup {
    let rows: Vec<_> = list(status, "/reloads").iter().map(|reading| row(reading, now)).collect();
    if rows.is_empty() {
        return Markup::new();
    }
    let columns = [Words("Read"), Words("When"), Words("Result"), Words("What came of it")];
    section("reloads", "Recent readings", &table("Recent readings", columns, &rows, READINGS_SHOWN))
}

fn row(reading: &Value, now: i64) -> [Markup; 4] {
    let time = number(reading, "/time");
    let result = text(reading, "/result");
    let tone = match result {
        "rejected" | "failed" => Tone::Critical,
        "partial" => Tone::Warning,
        "changed" => Tone::Good,
        _ => Tone::Plain,
    };
    let subject = match text(reading, "/subject") {
        "certificates" => "Certificates",
        "configuration" => "Configuration",
        "trust" => "Trust",
        _ => "Files",
    };
    let lines: Vec<_> = ["/errors", "/warnings", "/changes"]
        .into_iter()
        .flat_map(|kind| texts(reading, kind))
        .collect();
    [
        Markup::of(subject),
        moment(time, now).add(&small(&date(time))),
        badge(tone, result),
        points(&lines, LINES_SHOWN),
    ]
}

const LINES_SHOWN: usize = 3;
const READINGS_SHOWN: usize = 5;

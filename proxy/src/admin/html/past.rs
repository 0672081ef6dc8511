//! What happened of late.
//!
//! Owns two parts of the page: handshakes that failed, and readings of files, with what came of
//! each. Refuses to know why a handshake fails: `failures` does.

use serde_json::Value;

use super::markup::Markup;
use super::section;
use super::table::Column::Words;
use super::table::{points, table};
use super::traffic::lines;
use super::words::{Tone, badge, dated, prose, small};
use crate::admin::status::read::{list, number, text, texts};

/// The last handshakes that failed.
pub(super) fn failures(status: &Value, now: i64) -> Markup {
    let rows: Vec<_> = list(status, "/failures")
        .iter()
        .take(FAILURES_TOLD)
        .map(|failure| failed(failure, now))
        .collect();
    if rows.is_empty() {
        return Markup::new();
    }
    let columns = [
        Words("Client"),
        Words("When"),
        Words("Asked for"),
        Words("Offered"),
        Words("Why it failed"),
    ];
    let table = table("Failed handshakes", columns, &rows, FAILURES_SHOWN);
    section("failures", "Recent failures", &table)
}

fn failed(failure: &Value, now: i64) -> [Markup; 5] {
    // With a fraction, which is too fine for people.
    let time = failure.get("time").and_then(Value::as_f64).unwrap_or_default() as i64;
    let name = match text(failure, "/server_name") {
        "" => small("no name"),
        name => lines(std::iter::once(name)),
    };
    let versions: Vec<_> =
        texts(failure, "/versions").map(|version| format!("TLS {version}")).collect();
    let alpn: Vec<_> = texts(failure, "/alpn").collect();
    let words = prose(text(failure, "/words"));
    let why = words.element("small", "by", &prose(text(failure, "/hint")));
    [
        Markup::new()
            .element("span", "keep", &Markup::of(text(failure, "/client")))
            .add(&small(text(failure, "/listener"))),
        dated("", time, now),
        name,
        Markup::of(&versions.join(", "))
            .add(&small(&alpn.join(", ")))
            .add(&small(text(failure, "/ja4"))),
        why.add(&small(text(failure, "/error"))).add(&small(text(failure, "/reason"))),
    ]
}

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
        "keys" => "Keys",
        "trust" => "Trust",
        _ => "Files",
    };
    let lines: Vec<_> = ["/errors", "/warnings", "/changes"]
        .into_iter()
        .flat_map(|kind| texts(reading, kind))
        .collect();
    [
        Markup::new().element("span", "keep", &Markup::of(subject)),
        dated("", time, now),
        badge(tone, result),
        points(&lines, LINES_SHOWN),
    ]
}

const FAILURES_SHOWN: usize = 5;
/// More of them are in `/status`.
const FAILURES_TOLD: usize = 20;
const LINES_SHOWN: usize = 3;
const READINGS_SHOWN: usize = 5;

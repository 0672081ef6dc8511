//! `portunus status --failures`: which clients failed of late, and why.
//!
//! Owns the words for people: first what each reason means and what can be done, the most frequent
//! one first, and then the failures themselves, the newest first. Refuses to know how the process
//! is asked, which is `status`, and how the facts come about, which is `admin::status`.

use std::fmt::Write as _;
use std::time::{Duration, UNIX_EPOCH};

use serde_json::Value;

use super::output::{count, plain};
use crate::calendar::Moment;

/// The failures in words.
pub(super) fn text(failures: &[Value]) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail, here and below.
    let _ = writeln!(text, "{} of late", count(failures.len(), "failed handshake"));
    for (number, failure) in by_reason(failures) {
        let (reason, words) = (word(failure, "reason"), word(failure, "words"));
        let _ = writeln!(text, "\n{reason}, {number} of them: {words}");
        let _ = writeln!(text, "  hint: {}", word(failure, "hint"));
    }
    if !failures.is_empty() {
        text.push_str("\nnewest first:\n");
    }
    failures.iter().for_each(|failure| one(&mut text, failure));
    text
}

/// How many of each reason there are, with one of them; the most first.
fn by_reason(failures: &[Value]) -> Vec<(usize, &Value)> {
    let mut reasons: Vec<(usize, &Value)> = Vec::new();
    for failure in failures {
        let reason = failure.get("reason");
        match reasons.iter_mut().find(|(_, other)| other.get("reason") == reason) {
            Some((number, _)) => *number += 1,
            None => reasons.push((1, failure)),
        }
    }
    reasons.sort_by_key(|(number, _)| std::cmp::Reverse(*number));
    reasons
}

fn one(text: &mut String, failure: &Value) {
    let millis = failure.get("time").and_then(Value::as_f64).unwrap_or_default() * 1000.0;
    let time = UNIX_EPOCH + Duration::from_millis(millis.round() as u64);
    let _ = write!(
        text,
        "{} {} {} {}",
        Moment(time),
        word(failure, "listener"),
        word(failure, "client"),
        word(failure, "reason")
    );
    let list = |key: &str| {
        let words = failure.get(key).and_then(Value::as_array);
        let words = words.into_iter().flatten().filter_map(Value::as_str);
        plain(&words.collect::<Vec<_>>().join(" "))
    };
    let optional =
        |key: &str| failure.get(key).and_then(Value::as_str).map(plain).unwrap_or_default();
    let facts = [
        ("asks for", optional("server_name")),
        ("TLS", list("versions")),
        ("alpn", list("alpn")),
        ("ja4", optional("ja4")),
    ];
    for (name, fact) in facts.iter().filter(|(_, fact)| !fact.is_empty()) {
        let _ = write!(text, ", {name} {fact}");
    }
    let _ = writeln!(text, "\n  {}", word(failure, "error"));
}

fn word(value: &Value, key: &str) -> String {
    plain(value.get(key).and_then(Value::as_str).unwrap_or("?"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_a_reason_means_stands_once_and_each_failure_in_its_line() {
        let failure = |reason: &str, name: Value| {
            json!({
                "time": 1_709_210_096.007, "listener": "web", "client": "192.0.2.7:4000",
                "server_name": name, "versions": ["1.3", "1.2"], "alpn": [], "ja4": null,
                "reason": reason, "words": format!("{reason} in words"), "hint": "do this",
                "error": "why\n\u{1b}[31m",
            })
        };
        let failures = [
            failure("timeout", Value::Null),
            failure("no_alpn", json!("a.example")),
            failure("no_alpn", json!("b.example")),
        ];
        assert_eq!(
            text(&failures),
            "3 failed handshakes of late\n\n\
             no_alpn, 2 of them: no_alpn in words\n  hint: do this\n\n\
             timeout, 1 of them: timeout in words\n  hint: do this\n\n\
             newest first:\n\
             2024-02-29T12:34:56.007Z web 192.0.2.7:4000 timeout, TLS 1.3 1.2\n  \
             why\\n\\u{1b}[31m\n\
             2024-02-29T12:34:56.007Z web 192.0.2.7:4000 no_alpn, asks for a.example, \
             TLS 1.3 1.2\n  why\\n\\u{1b}[31m\n\
             2024-02-29T12:34:56.007Z web 192.0.2.7:4000 no_alpn, asks for b.example, \
             TLS 1.3 1.2\n  why\\n\\u{1b}[31m\n"
        );
        assert_eq!(text(&[]), "no failed handshakes of late\n");
    }
}

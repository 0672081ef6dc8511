//! Numbers, sizes, times and states as people read them.
//!
//! Owns the words and the small marks of a page: badges, bars, times. A state is never told by its
//! colour alone. Refuses to know which facts they are of.

use serde_json::Value;

use super::markup::Markup;
use crate::calendar::{date, distance};

/// How good or bad a thing is; the class of what shows it.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Tone {
    /// Neither.
    Plain,
    /// As it should be.
    Good,
    /// To be looked at.
    Warning,
    /// To be looked at now.
    Critical,
}

impl Tone {
    pub(super) fn class(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Good => "good",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

/// A word that tells a state.
pub(super) fn badge(tone: Tone, word: &str) -> Markup {
    let class = tone.class();
    Markup::new().raw("<span class=\"badge ").raw(class).raw("\">").text(word).raw("</span>")
}

/// A sentence, in which what stands between backticks is code.
pub(super) fn prose(sentence: &str) -> Markup {
    let mut page = Markup::new();
    let mut rest = sentence;
    while let Some((before, (code, behind))) =
        rest.split_once('`').and_then(|(before, rest)| Some((before, rest.split_once('`')?)))
    {
        page = page.text(before).raw("<code>").text(code).raw("</code>");
        rest = behind;
    }
    page.text(rest)
}

/// Text that matters less.
pub(super) fn small(text: &str) -> Markup {
    if text.is_empty() {
        return Markup::new();
    }
    Markup::new().element("small", "by", &Markup::of(text))
}

/// How much of something is used; programs that read aloud get the words beside it.
pub(super) fn bar(tone: Tone, used: i64, max: i64) -> Markup {
    let share = if max > 0 { (used.clamp(0, max) as f64 / max as f64) * 100.0 } else { 0.0 };
    Markup::new()
        .raw("<svg class=\"bar ")
        .raw(tone.class())
        .raw("\" viewBox=\"0 0 100 4\" preserveAspectRatio=\"none\" aria-hidden=\"true\">")
        .raw("<rect class=\"all\" width=\"100\" height=\"4\"/><rect height=\"4\" width=\"")
        .text(&format!("{share:.1}"))
        .raw("\"/></svg>")
}

/// A moment, and how far it is away from `now`.
pub(super) fn moment(seconds: i64, now: i64) -> Markup {
    let words = distance(seconds.saturating_sub(now));
    Markup::new()
        .raw("<time datetime=\"")
        .text(&iso(seconds))
        .raw("\">")
        .text(&words)
        .raw("</time>")
}

/// A moment behind a verb, such as `ends `.
pub(super) fn verb_moment(verb: &'static str, seconds: i64, now: i64) -> Markup {
    Markup::new().element("span", "keep", &Markup::new().raw(verb).add(&moment(seconds, now)))
}

/// A moment with its date below.
pub(super) fn dated(verb: &'static str, seconds: i64, now: i64) -> Markup {
    verb_moment(verb, seconds, now).element("small", "by keep", &Markup::of(&date(seconds)))
}

/// A moment as `datetime` wants it.
fn iso(seconds: i64) -> String {
    date(seconds).replacen(' ', "T", 1).replace(" UTC", "Z")
}

/// A number with its thousands apart.
pub(super) fn count(number: i64) -> String {
    let digits = number.unsigned_abs().to_string();
    let mut text = if number < 0 { "-".to_owned() } else { String::new() };
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// So many things of a kind.
pub(super) fn things(number: i64, one: &str, more: &str) -> String {
    format!("{} {}", count(number), if number == 1 { one } else { more })
}

/// A size in its largest unit of which there is one or more.
pub(super) fn size(bytes: i64) -> String {
    let units = [(1_i64 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    match units.iter().find(|(unit, _)| bytes >= *unit) {
        Some((unit, name)) => {
            let amount = bytes as f64 / *unit as f64;
            if amount < 100.0 {
                format!("{amount:.1} {name}")
            } else {
                format!("{amount:.0} {name}")
            }
        }
        None => format!("{bytes} B"),
    }
}

/// A span of time in its two largest units.
pub(super) fn span(seconds: i64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, minutes) => format!("{minutes} min"),
        (0, hours, minutes) => format!("{hours} h {minutes} min"),
        (days, hours, _) => format!("{days} d {hours} h"),
    }
}

/// What a part of `whole` is in per cent; a dash if there is nothing yet.
pub(super) fn share(part: i64, whole: i64) -> String {
    match whole {
        0 => "–".to_owned(),
        _ if part == 0 => "0 %".to_owned(),
        _ if part == whole => "100 %".to_owned(),
        _ => match part as f64 / whole as f64 * 100.0 {
            part if part < 0.1 => "< 0.1 %".to_owned(),
            part if part > 99.9 => "> 99.9 %".to_owned(),
            part => format!("{part:.1} %"),
        },
    }
}

/// Those counts of an object that are not zero, the largest first.
pub(super) fn counts(facts: Option<&Value>) -> String {
    let counts = facts.and_then(Value::as_object).into_iter().flatten();
    let mut seen: Vec<_> =
        counts.filter_map(|(name, number)| Some((name, number.as_i64()?))).collect();
    seen.retain(|(_, number)| *number > 0);
    seen.sort_by_key(|(_, number)| std::cmp::Reverse(*number));
    let words = seen.iter().map(|(name, number)| format!("{} {}", count(*number), spoken(name)));
    words.collect::<Vec<_>>().join(", ")
}

/// A word of metrics as people would write it.
pub(super) fn spoken(word: &str) -> String {
    word.replace('_', " ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_are_written_for_people() {
        assert_eq!([0, 999, 1_000, -1_234_567].map(count), ["0", "999", "1,000", "-1,234,567"]);
        assert_eq!([0, 1_023, 1_536, 1 << 31].map(size), ["0 B", "1023 B", "1.5 KiB", "2.0 GiB"]);
        assert_eq!([5, 65, 3_700, 90_000].map(span), ["5 s", "1 min", "1 h 1 min", "1 d 1 h"]);
        let shares = [(0, 0), (0, 9), (9, 9), (1, 3), (1, 5_000), (4_999, 5_000)];
        let shares = shares.map(|(part, whole)| share(part, whole));
        assert_eq!(shares, ["–", "0 %", "100 %", "33.3 %", "< 0.1 %", "> 99.9 %"]);
        let facts = json!({ "full": 1, "session_id": 1200, "ticket": 0, "hit_rate": 0.5 });
        assert_eq!(counts(Some(&facts)), "1,200 session id, 1 full");
        let prose = prose("a `<b>` c `d` e ` f").into_text();
        assert_eq!(prose, "a <code>&lt;b&gt;</code> c <code>d</code> e ` f");
        assert_eq!(iso(951_782_400), "2000-02-29T00:00Z");
    }
}

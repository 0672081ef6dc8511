//! An event as one line, in text and in JSON.
//!
//! Owns the two forms. Text is `MOMENT LEVEL words key=value …`, where a value with spaces, quotes
//! or `=` stands in quotes; JSON has `timestamp`, `level`, `message` and a member for each field.
//! Some of what is said comes from clients. So whatever could end a line, steer a terminal or turn
//! the direction of text is escaped, and every value is cut: what is said about each connection
//! behind 256 bytes, our own words behind 4096; `...` stands for the rest. Spans are not shown.
//! Refuses to know who speaks, and where lines go.

use std::error::Error;
use std::fmt::{self, Write as _};
use std::time::SystemTime;

use tracing::field::{Field, Visit};
use tracing::{Event, Level};

use super::{Chain, Format};
use crate::calendar::Moment;

/// How a line is to look.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Look {
    pub(super) format: Format,
    pub(super) colour: Colour,
}

/// Whether levels have colours, in text.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Colour {
    Never,
    Terminal,
}

/// Adds the line of `event`, with its end, to `line`.
pub(super) fn write(event: &Event<'_>, look: Look, now: SystemTime, line: &mut String) {
    let level = *event.metadata().level();
    begin(level, look, now, line);
    event.record(&mut Fields { line, format: look.format, bytes_max: bytes_max(level) });
    end(look, line);
}

/// Adds a line of the log about itself.
pub(super) fn write_own(
    level: Level,
    words: &str,
    fields: &[(&str, &dyn fmt::Display)],
    look: Look,
    line: &mut String,
) {
    begin(level, look, SystemTime::now(), line);
    let mut visit = Fields { line, format: look.format, bytes_max: bytes_max(level) };
    visit.text("message", words);
    for (name, value) in fields {
        visit.text(name, &value.to_string());
    }
    end(look, line);
}

/// What `event` says, without its fields.
pub(super) fn words(event: &Event<'_>) -> String {
    let mut words = Words(String::new());
    event.record(&mut words);
    words.0
}

fn begin(level: Level, look: Look, now: SystemTime, line: &mut String) {
    let now = Moment(now);
    // Writing to a string cannot fail, here and below.
    let _ = match (look.format, look.colour) {
        (Format::Json, _) => write!(line, "{{\"timestamp\":\"{now:.6}\",\"level\":\"{level}\""),
        (Format::Text, Colour::Never) => write!(line, "{now:.6} {level:>5}"),
        (Format::Text, Colour::Terminal) => {
            write!(line, "\x1b[2m{now:.6}\x1b[0m \x1b[{}m{level:>5}\x1b[0m", colour(level))
        }
    };
}

fn end(look: Look, line: &mut String) {
    line.push_str(match look.format {
        Format::Json => "}\n",
        Format::Text => "\n",
    });
}

/// The sequence of a level, as people are used to it.
fn colour(level: Level) -> u8 {
    match level {
        Level::ERROR => 31,
        Level::WARN => 33,
        Level::INFO => 32,
        Level::DEBUG => 34,
        Level::TRACE => 35,
    }
}

/// How much of a value is written.
fn bytes_max(level: Level) -> usize {
    if level <= Level::INFO { OWN_BYTES_MAX } else { CLIENT_BYTES_MAX }
}

/// Writes each field of an event.
struct Fields<'a> {
    line: &'a mut String,
    format: Format,
    bytes_max: usize,
}

impl Fields<'_> {
    fn text(&mut self, name: &str, value: &str) {
        let (value, rest) = cut(value, self.bytes_max);
        match (self.format, name) {
            (Format::Json, name) => {
                self.name(name);
                self.line.push('"');
                escape(value, Place::Json, self.line);
                self.line.push_str(rest);
                self.line.push('"');
            }
            (Format::Text, "message") => {
                self.line.push(' ');
                escape(value, Place::Words, self.line);
                self.line.push_str(rest);
            }
            (Format::Text, name) if is_plain(value) => {
                self.name(name);
                self.line.push_str(value);
                self.line.push_str(rest);
            }
            (Format::Text, name) => {
                self.name(name);
                self.line.push('"');
                escape(value, Place::Quoted, self.line);
                self.line.push_str(rest);
                self.line.push('"');
            }
        }
    }

    /// A value that is written as it is.
    fn bare(&mut self, name: &str, value: impl fmt::Display) {
        self.name(name);
        let _ = write!(self.line, "{value}");
    }

    fn name(&mut self, name: &str) {
        let _ = match self.format {
            Format::Json => write!(self.line, ",\"{name}\":"),
            Format::Text => write!(self.line, " {name}="),
        };
    }
}

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.text(field.name(), &format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.text(field.name(), value);
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        self.text(field.name(), &Chain(value).to_string());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.bare(field.name(), value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.bare(field.name(), value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.bare(field.name(), value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        // JSON has no other numbers.
        if value.is_finite() {
            self.bare(field.name(), value);
        } else {
            self.text(field.name(), &value.to_string());
        }
    }
}

/// Keeps the words of an event.
struct Words(String);

impl Visit for Words {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            let words = format!("{value:?}");
            self.0 = cut(&words, CLIENT_BYTES_MAX).0.to_owned();
        }
    }
}

/// Where a text is to stand.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Place {
    Json,
    Quoted,
    Words,
}

/// Adds `text` to `line` without what could end the line, the text, or steer a terminal.
fn escape(text: &str, place: Place, line: &mut String) {
    for letter in text.chars() {
        let _ = match letter {
            '"' | '\\' if place != Place::Words => {
                line.push('\\');
                line.write_char(letter)
            }
            '\n' => line.write_str("\\n"),
            letter if is_visible(letter) => line.write_char(letter),
            letter => {
                let mut units = [0; 2];
                let units = letter.encode_utf16(&mut units);
                units.iter().try_for_each(|unit| write!(line, "\\u{unit:04x}"))
            }
        };
    }
}

/// Neither a control character nor one that turns or hides what stands beside it.
fn is_visible(letter: char) -> bool {
    !letter.is_control()
        && !matches!(letter,
            '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{e0000}'..='\u{e0fff}')
}

/// Whether a value needs no quotes.
fn is_plain(value: &str) -> bool {
    let is_plain = |letter| !matches!(letter, ' ' | '"' | '=' | '\\') && is_visible(letter);
    !value.is_empty() && value.chars().all(is_plain)
}

/// As much of `text` as is written, and what is written for the rest.
fn cut(text: &str, bytes_max: usize) -> (&str, &'static str) {
    match text.get(..text.floor_char_boundary(bytes_max)) {
        Some(start) if start.len() < text.len() => (start, "..."),
        _ => (text, ""),
    }
}

/// What may come from a client: as long as a host name can be.
const CLIENT_BYTES_MAX: usize = 256;

/// What we have to say ourselves, lists among it.
const OWN_BYTES_MAX: usize = 4_096;

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};
    use std::time::{Duration, UNIX_EPOCH};

    use proptest::prelude::*;
    use tracing::{Subscriber, debug, error, info, warn};
    use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};

    use super::*;

    struct Kept(Look, Arc<Mutex<String>>);

    impl<S: Subscriber> Layer<S> for Kept {
        fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
            // 2024-02-29, a leap day.
            let now = UNIX_EPOCH + Duration::from_micros(1_709_210_096_007_008);
            write(event, self.0, now, &mut self.1.lock().unwrap());
        }
    }

    /// The lines of what `speak` says.
    fn lines(format: Format, speak: impl FnOnce()) -> String {
        let kept = Arc::new(Mutex::default());
        let look = Look { format, colour: Colour::Never };
        let logs = tracing_subscriber::registry().with(Kept(look, Arc::clone(&kept)));
        tracing::subscriber::with_default(logs, speak);
        Mutex::lock(&kept).unwrap().clone()
    }

    fn json(speak: impl FnOnce()) -> serde_json::Value {
        serde_json::from_str(&lines(Format::Json, speak)).unwrap()
    }

    #[test]
    fn a_line_of_text_is_for_people() {
        let speak = || {
            info!(listener = "https", address = %"[::]:443", count = 3, "listening");
            warn!(error = "no such file", path = "", "file skipped");
        };
        assert_eq!(
            lines(Format::Text, speak),
            "2024-02-29T12:34:56.007008Z  INFO listening listener=https address=[::]:443 count=3\n\
             2024-02-29T12:34:56.007008Z  WARN file skipped error=\"no such file\" path=\"\"\n"
        );
    }

    #[test]
    fn a_line_of_json_has_a_member_for_each_field() {
        let error = std::io::Error::other("cause");
        let error: &(dyn Error + 'static) = &error;
        let speak = || error!(error, yes = true, share = 0.5, none = f64::NAN, n = -1, "words");
        assert_eq!(
            lines(Format::Json, speak),
            "{\"timestamp\":\"2024-02-29T12:34:56.007008Z\",\"level\":\"ERROR\",\
             \"message\":\"words\",\"error\":\"cause\",\"yes\":true,\"share\":0.5,\
             \"none\":\"NaN\",\"n\":-1}\n"
        );
    }

    #[test]
    fn what_could_end_a_line_or_steer_a_terminal_is_escaped() {
        let forged = "a\r\n{\"level\":\"INFO\"}\x1b[2J\u{9b}31m\u{202e}\u{1f600}";
        let text = lines(Format::Text, || debug!(sni = forged, "{forged}"));
        assert_eq!(text.matches('\n').count(), 1);
        assert!(!text.contains(['\r', '\x1b', '\u{9b}', '\u{202e}']), "{text:?}");
        assert!(text.contains("a\\u000d\\n"), "{text:?}");
        let line = json(|| debug!(sni = forged, "{forged}"));
        assert_eq!(line["sni"], forged);
        assert_eq!(line["level"], "DEBUG");
    }

    #[test]
    fn no_value_of_a_client_is_longer_than_a_host_name() {
        let long = "µ".repeat(10_000);
        let text = lines(Format::Json, || debug!(sni = long, "{long}"));
        assert!(text.len() < 700, "{}", text.len());
        assert_eq!(json(|| debug!(sni = long, "x"))["sni"], format!("{}...", "µ".repeat(128)));
        assert!(lines(Format::Json, || info!(changes = long, "x")).len() > 4_000);
    }

    proptest! {
        #[test]
        fn whatever_is_said_one_line_can_be_read(said in "\\PC*|.*", words in ".*") {
            let line = json(|| info!(said, "{words}"));
            prop_assert_eq!(line["said"].as_str(), Some(said.as_str()));
            prop_assert_eq!(line["message"].as_str(), Some(words.as_str()));
            let text = lines(Format::Text, || info!(said, "{words}"));
            let (body, end) = text.split_at(text.len() - 1);
            prop_assert_eq!(end, "\n");
            prop_assert!(!body.chars().any(char::is_control), "{:?}", body);
        }
    }
}

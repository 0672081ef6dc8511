//! How all numbers are written down, for Prometheus or for anybody who reads OpenMetrics.
//!
//! Owns both formats: Prometheus' text 0.0.4, and OpenMetrics 1.0, which names a family of counters
//! without `_total`, says units, and has an end, so that half an answer is not taken for a whole
//! one. Series are the same in both, down to the bounds of buckets, so that nothing changes for
//! dashboards when a scraper asks for the other one. Refuses to know who asks for which.

use std::fmt::Write as _;

use prometheus::proto::Histogram;

use super::families::{Family, Kind};

/// A format of what is told.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Exposition {
    /// OpenMetrics 1.0.
    OpenMetrics,
    /// Prometheus' text format 0.0.4.
    Text,
}

impl Exposition {
    /// The value of `Content-Type`.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
        }
    }

    /// What `tell` writes down, which may be about as many bytes.
    pub(super) fn write(self, bytes: usize, tell: impl FnOnce(&mut Page)) -> String {
        let mut page = Page { out: String::with_capacity(bytes), exposition: self };
        tell(&mut page);
        if self == Self::OpenMetrics {
            page.out.push_str("# EOF\n");
        }
        page.out
    }
}

/// Where families are written down, one after the other.
#[derive(Debug)]
pub(super) struct Page {
    out: String,
    exposition: Exposition,
}

impl Page {
    /// Where the series of a family are written down; without any, nothing is.
    pub(super) fn sheet<'a>(&'a mut self, family: &'a Family) -> Sheet<'a> {
        Sheet { page: self, family, bounds: None }
    }
}

/// Where the series of one family are written down.
#[derive(Debug)]
pub(super) struct Sheet<'a> {
    page: &'a mut Page,
    family: &'a Family,
    /// Ends of the brackets of each bucket, once the head is written.
    bounds: Option<Vec<String>>,
}

impl Sheet<'_> {
    /// A number that only grows.
    pub(super) fn natural(&mut self, labels: &str, value: u64) {
        let out = self.sample("", labels);
        write_natural(out, value);
    }

    /// A whole number.
    pub(super) fn whole(&mut self, labels: &str, value: i64) {
        let out = self.sample("", labels);
        write_whole(out, value);
    }

    /// Any number.
    pub(super) fn real(&mut self, labels: &str, value: f64) {
        let out = self.sample("", labels);
        write_real(out, value);
    }

    /// The buckets, what came, and all of it together.
    pub(super) fn histogram(&mut self, labels: &str, histogram: &Histogram) {
        self.begin();
        let (name, count) = (self.family.name, histogram.get_sample_count());
        let (out, bounds) = (&mut self.page.out, self.bounds.as_deref().unwrap_or_default());
        let counts = histogram.get_bucket().iter().map(|bucket| bucket.cumulative_count());
        for (bound, count) in bounds.iter().zip(counts.chain([count])) {
            // Without labels before it there is no comma.
            let bound = if labels.is_empty() { bound.trim_start_matches(',') } else { bound };
            put(out, &[name, "_bucket{", labels, bound]);
            write_natural(out, count);
        }
        let out = self.sample("_count", labels);
        write_natural(out, count);
        let out = self.sample("_sum", labels);
        write_real(out, histogram.get_sample_sum());
    }

    /// Writes all of a line but its number.
    fn sample(&mut self, suffix: &str, labels: &str) -> &mut String {
        self.begin();
        let out = &mut self.page.out;
        if labels.is_empty() {
            put(out, &[self.family.name, suffix, " "]);
        } else {
            put(out, &[self.family.name, suffix, "{", labels, "} "]);
        }
        out
    }

    /// Writes the head, if it is not there yet.
    fn begin(&mut self) {
        if self.bounds.is_some() {
            return;
        }
        let (Family { name, help, kind, .. }, exposition) = (self.family, self.page.exposition);
        let out = &mut self.page.out;
        let titled = match (exposition, kind) {
            (Exposition::OpenMetrics, Kind::Counter) => family_name(name),
            _ => name,
        };
        put(out, &["# HELP ", titled, " "]);
        write_help(out, exposition, help);
        put(out, &["\n# TYPE ", titled, " ", word(*kind), "\n"]);
        if exposition == Exposition::OpenMetrics
            && let Some(unit) = unit(titled)
        {
            put(out, &["# UNIT ", titled, " ", unit, "\n"]);
        }
        self.bounds = Some(bounds(*kind));
    }
}

/// Help texts are ours, and have next to nothing that is written otherwise.
fn write_help(out: &mut String, exposition: Exposition, help: &str) {
    for c in help.chars() {
        match (c, exposition) {
            ('\\', _) => out.push_str("\\\\"),
            ('\n', _) => out.push_str("\\n"),
            ('"', Exposition::OpenMetrics) => out.push_str("\\\""),
            _ => out.push(c),
        }
    }
}

/// Writes a label and its value.
pub(super) fn write_label(out: &mut String, label: &str, value: &str) {
    put(out, &[label, "=\""]);
    for c in value.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '"' => out.push_str("\\\""),
            _ => out.push(c),
        }
    }
    out.push('"');
}

fn write_natural(out: &mut String, value: u64) {
    // Most numbers of most processes are this one.
    if value == 0 {
        out.push_str("0\n");
        return;
    }
    // Writing to a String cannot fail.
    let _ = writeln!(out, "{value}");
}

fn write_whole(out: &mut String, value: i64) {
    match u64::try_from(value) {
        Ok(natural) => write_natural(out, natural),
        Err(_) => {
            let _ = writeln!(out, "{value}");
        }
    }
}

fn write_real(out: &mut String, value: f64) {
    // Most are times of a clock, or nothing, and whole numbers are written much faster.
    if value.fract() == 0.0 && value.abs() < EXACT {
        return write_whole(out, value as i64);
    }
    let _ = writeln!(out, "{value}");
}

/// How the line of each bucket of a histogram goes on behind the labels, the last of them without a
/// bound.
fn bounds(kind: Kind) -> Vec<String> {
    let Kind::Histogram(bounds) = kind else { return Vec::new() };
    let bounds = bounds.iter().map(|upper| bound(*upper)).chain(["+Inf".to_owned()]);
    bounds.map(|bound| format!(",le=\"{bound}\"}} ")).collect()
}

/// The bound of a bucket as OpenMetrics wants it: with a point, and small ones with an exponent of
/// two digits.
fn bound(bound: f64) -> String {
    if bound.abs() >= 1e-4 || bound == 0.0 {
        return format!("{bound:?}");
    }
    let written = format!("{bound:e}");
    match written.split_once("e-") {
        Some((digits, exponent)) => format!("{digits}e-{exponent:0>2}"),
        None => written,
    }
}

fn put(out: &mut String, parts: &[&str]) {
    parts.iter().for_each(|part| out.push_str(part));
}

fn word(kind: Kind) -> &'static str {
    match kind {
        Kind::Counter => "counter",
        Kind::Gauge => "gauge",
        Kind::Histogram(_) => "histogram",
    }
}

/// The name of a family of counters in OpenMetrics.
fn family_name(name: &str) -> &str {
    name.strip_suffix("_total").unwrap_or(name)
}

/// The unit that a family is named for.
fn unit(name: &str) -> Option<&'static str> {
    ["seconds", "bytes"].into_iter().find(|unit| {
        name.strip_suffix(unit).is_some_and(|rest| rest.ends_with('_') && rest.len() > 1)
    })
}

/// Below it, every whole number is one of `f64`.
const EXACT: f64 = 9_007_199_254_740_992.0;

#[cfg(test)]
mod tests {
    use prometheus::IntGauge;

    use super::super::families::TABLE;
    use super::super::vector::{HistogramVec, IntCounterVec, Numbers as _};
    use super::*;

    const BYTES: Family = Family {
        name: "some_bytes_total",
        help: "Say \"b\".",
        kind: Kind::Counter,
        labels: &["x"],
    };
    const OPEN: Family = Family { name: "open", help: "Open now.", kind: Kind::Gauge, labels: &[] };
    const KIND: Kind = Kind::Histogram(&[0.000_05, 1.0]);
    const WAIT: Family = Family { name: "wait_seconds", help: "Waits.", kind: KIND, labels: &[] };

    fn told(exposition: Exposition) -> String {
        let bytes = IntCounterVec::create(&BYTES);
        bytes.with_label_values(&["a\"\\\nb"]).inc_by(3);
        let open = IntGauge::create(&OPEN);
        let wait = HistogramVec::create(&WAIT);
        wait.with_label_values::<&str>(&[]).observe(0.5);
        exposition.write(0, |page| {
            bytes.tell_all(&mut page.sheet(&BYTES));
            open.tell_all(&mut page.sheet(&OPEN));
            IntCounterVec::create(&BYTES).tell_all(&mut page.sheet(&BYTES));
            wait.tell_all(&mut page.sheet(&WAIT));
        })
    }

    const SERIES: [&str; 7] = [
        "some_bytes_total{x=\"a\\\"\\\\\\nb\"} 3",
        "open 0",
        "wait_seconds_bucket{le=\"5e-05\"} 0",
        "wait_seconds_bucket{le=\"1.0\"} 1",
        "wait_seconds_bucket{le=\"+Inf\"} 1",
        "wait_seconds_count 1",
        "wait_seconds_sum 0.5",
    ];

    #[test]
    fn series_are_the_same_in_both_formats() {
        for format in [Exposition::OpenMetrics, Exposition::Text] {
            let text = told(format);
            let series: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).collect();
            assert_eq!(series, SERIES, "{format:?}");
        }
    }

    #[test]
    fn only_openmetrics_has_units_and_an_end_and_names_counters_without_their_suffix() {
        let text = told(Exposition::Text);
        assert!(text.starts_with("# HELP some_bytes_total Say \"b\".\n"), "{text}");
        assert!(text.contains("\n# TYPE wait_seconds histogram\n"), "{text}");
        assert!(!text.contains("# UNIT") && !text.contains("# EOF"), "{text}");
        let text = told(Exposition::OpenMetrics);
        let head = "# HELP some_bytes Say \\\"b\\\".\n# TYPE some_bytes counter\n\
                    # UNIT some_bytes bytes\n";
        assert!(text.starts_with(head), "{text}");
        assert!(text.contains("\n# TYPE open gauge\nopen 0\n"), "{text}");
        assert!(text.contains("\n# UNIT wait_seconds seconds\n"), "{text}");
        assert!(text.ends_with("\n# EOF\n"), "{text}");
    }

    #[test]
    fn every_family_has_a_name_that_both_formats_allow() {
        let mut names: Vec<_> = TABLE.iter().map(|family| family_name(family.name)).collect();
        let is_part = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        assert!(names.iter().all(|name| name.chars().all(is_part)), "{names:?}");
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), TABLE.len(), "two families differ by _total alone");
        for family in TABLE {
            let is_counter = matches!(family.kind, Kind::Counter);
            assert_eq!(family.name.ends_with("_total"), is_counter, "{}", family.name);
            // OpenMetrics makes series with these ends of histograms and infos.
            let ends = ["_bucket", "_count", "_created", "_sum"];
            assert!(!ends.iter().any(|end| family.name.ends_with(end)), "{}", family.name);
        }
    }

    #[test]
    fn numbers_are_written_as_rust_writes_them() {
        let numbers = [0.0, 1.0, -3.0, 0.5, 1.8e9, 1.8e9 + 0.25, 9.1e15, 1e300, 5e-324, -0.1];
        for value in numbers.into_iter().chain([f64::INFINITY]) {
            let text = Exposition::Text.write(0, |page| page.sheet(&OPEN).real("", value));
            assert!(text.ends_with(&format!("\nopen {value}\n")), "{text}");
        }
        let (least, most) = (i64::MIN, u64::MAX);
        let text = Exposition::Text.write(0, |page| {
            let mut sheet = page.sheet(&OPEN);
            sheet.whole("", least);
            sheet.natural("", most);
        });
        assert!(text.ends_with(&format!("\nopen {least}\nopen {most}\n")), "{text}");
    }
}

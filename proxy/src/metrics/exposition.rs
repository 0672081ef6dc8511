//! How all numbers are written down, for Prometheus or for anybody who reads OpenMetrics.
//!
//! Owns both formats: Prometheus' text 0.0.4, and OpenMetrics 1.0, which names a family of counters
//! without `_total`, says units, and has an end, so that half an answer is not taken for a whole
//! one. Series are the same in both, down to the bounds of buckets, so that nothing changes for
//! dashboards when a scraper asks for the other one. Refuses to know who asks for which.

use std::fmt::Write as _;

use prometheus::proto::{Histogram, LabelPair, MetricFamily, MetricType};

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

    /// Writes these families down.
    pub(super) fn write(self, families: &[MetricFamily]) -> String {
        let lines: usize = families.iter().map(lines).sum();
        let mut out = String::with_capacity(lines * LINE_BYTES);
        for family in families {
            self.write_family(&mut out, family);
        }
        if self == Self::OpenMetrics {
            out.push_str("# EOF\n");
        }
        out
    }

    fn write_family(self, out: &mut String, family: &MetricFamily) {
        let name = family.name();
        let kind = family.get_field_type();
        let titled = match (self, kind) {
            (Self::OpenMetrics, MetricType::COUNTER) => family_name(name),
            _ => name,
        };
        put(out, &["# HELP ", titled, " "]);
        self.write_help(out, family.help());
        put(out, &["\n# TYPE ", titled, " ", word(kind), "\n"]);
        if self == Self::OpenMetrics
            && let Some(unit) = unit(titled)
        {
            put(out, &["# UNIT ", titled, " ", unit, "\n"]);
        }
        let bounds = bounds(family);
        let mut labels = String::new();
        for series in family.get_metric() {
            labels.clear();
            write_labels(&mut labels, series.get_label());
            let value = match kind {
                MetricType::HISTOGRAM => {
                    write_histogram(out, name, &labels, &bounds, series.get_histogram());
                    continue;
                }
                MetricType::COUNTER => series.get_counter().get_value(),
                _ => series.get_gauge().get_value(),
            };
            write_sample(out, [name, ""], &labels, value);
        }
    }

    /// Help texts are ours, and have next to nothing that is written otherwise.
    fn write_help(self, out: &mut String, help: &str) {
        for c in help.chars() {
            match (c, self) {
                ('\\', _) => out.push_str("\\\\"),
                ('\n', _) => out.push_str("\\n"),
                ('"', Self::OpenMetrics) => out.push_str("\\\""),
                _ => out.push(c),
            }
        }
    }
}

fn write_histogram(
    out: &mut String,
    name: &str,
    labels: &str,
    bounds: &[String],
    histogram: &Histogram,
) {
    let count = histogram.get_sample_count() as f64;
    let counts = histogram.get_bucket().iter().map(|bucket| bucket.cumulative_count() as f64);
    let comma = if labels.is_empty() { "" } else { "," };
    for (bound, count) in bounds.iter().zip(counts.chain([count])) {
        put(out, &[name, "_bucket{", labels, comma, "le=\"", bound, "\"}"]);
        write_value(out, count);
    }
    write_sample(out, [name, "_count"], labels, count);
    write_sample(out, [name, "_sum"], labels, histogram.get_sample_sum());
}

fn write_sample(out: &mut String, name: [&str; 2], labels: &str, value: f64) {
    put(out, &name);
    if !labels.is_empty() {
        put(out, &["{", labels, "}"]);
    }
    write_value(out, value);
}

/// What stands between the brackets.
fn write_labels(out: &mut String, labels: &[LabelPair]) {
    for label in labels {
        let comma = if out.is_empty() { "" } else { "," };
        put(out, &[comma, label.name(), "=\""]);
        write_label_value(out, label.value());
        out.push('"');
    }
}

fn write_label_value(out: &mut String, value: &str) {
    // Names of the configuration may hold anything, and most hold nothing of the kind.
    if !value.contains(['\\', '\n', '"']) {
        out.push_str(value);
        return;
    }
    for c in value.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '"' => out.push_str("\\\""),
            _ => out.push(c),
        }
    }
}

fn write_value(out: &mut String, value: f64) {
    // Most numbers of most processes are this one.
    if value == 0.0 {
        out.push_str(" 0\n");
        return;
    }
    // Writing to a String cannot fail.
    let _ = writeln!(out, " {value}");
}

/// Where the buckets of a histogram end, the last of them nowhere; all its series have the same.
fn bounds(family: &MetricFamily) -> Vec<String> {
    let first = family.get_metric().first().map(|series| series.get_histogram().get_bucket());
    let bounds = first.unwrap_or_default().iter().map(|bucket| bound(bucket.upper_bound()));
    bounds.chain(["+Inf".to_owned()]).collect()
}

/// How many lines a family takes.
fn lines(family: &MetricFamily) -> usize {
    let series = family.get_metric();
    let buckets = series.first().map_or(0, |one| one.get_histogram().get_bucket().len());
    let each = if buckets == 0 { 1 } else { buckets + 3 };
    3 + series.len() * each
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

fn word(kind: MetricType) -> &'static str {
    match kind {
        MetricType::COUNTER => "counter",
        MetricType::GAUGE => "gauge",
        MetricType::HISTOGRAM => "histogram",
        _ => "unknown",
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

/// For the capacity of what is written.
const LINE_BYTES: usize = 96;

#[cfg(test)]
mod tests {
    use prometheus::core::Collector as _;
    use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, IntGauge, Opts};

    use super::super::families::{Kind, TABLE};
    use super::*;

    fn families() -> Vec<MetricFamily> {
        let bytes = IntCounterVec::new(Opts::new("some_bytes_total", "Say \"b\"."), &["x"]);
        let bytes = bytes.expect("a name");
        bytes.with_label_values(&["a\"\\\nb"]).inc_by(3);
        let open = IntGauge::new("open", "Open now.").expect("a name");
        let opts = HistogramOpts::new("wait_seconds", "Waits.").buckets(vec![0.000_05, 1.0]);
        let wait = HistogramVec::new(opts, &[]).expect("a name");
        wait.with_label_values::<&str>(&[]).observe(0.5);
        [bytes.collect(), open.collect(), wait.collect()].concat()
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
            let text = format.write(&families());
            let series: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).collect();
            assert_eq!(series, SERIES, "{format:?}");
        }
    }

    #[test]
    fn only_openmetrics_has_units_and_an_end_and_names_counters_without_their_suffix() {
        let text = Exposition::Text.write(&families());
        assert!(text.starts_with("# HELP some_bytes_total Say \"b\".\n"), "{text}");
        assert!(text.contains("\n# TYPE wait_seconds histogram\n"), "{text}");
        assert!(!text.contains("# UNIT") && !text.contains("# EOF"), "{text}");
        let text = Exposition::OpenMetrics.write(&families());
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
}

//! The list of all metrics as a document for people, made from the same table as the metrics.

use std::fmt::Write as _;

use super::families::{Kind, TABLE};

/// The reference of all metrics, as Markdown.
pub fn reference() -> String {
    let mut text = String::from(HEAD);
    for family in TABLE {
        let kind = match family.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram(_) => "histogram",
        };
        let labels: Vec<_> = family.labels.iter().map(|label| format!("`{label}`")).collect();
        let labels = if labels.is_empty() { "–".to_owned() } else { labels.join(", ") };
        // Writing to a String cannot fail.
        let _ = writeln!(text, "| `{}` | {kind} | {labels} | {} |", family.name, family.help);
    }
    text
}

const HEAD: &str = "\
# Metrics

What `GET /metrics` on the admin listener shows, in Prometheus' text format or, to whoever asks for
it, as OpenMetrics 1.0. Times are in seconds, sizes in bytes. Label values are closed sets or names
from the configuration, never a server name, a host, a path or an address of a client, so the number
of series does not depend on traffic.

| name | kind | labels | meaning |
|---|---|---|---|
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reference_in_the_tree_is_that_of_the_code() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../dashboards/METRICS.md");
        if std::env::var_os("PORTUNUS_TEST_WRITE").is_some() {
            std::fs::write(path, reference()).expect("the tree can be written");
        }
        let written = std::fs::read_to_string(path).expect("the reference is in the tree");
        assert!(written == reference(), "PORTUNUS_TEST_WRITE=1 cargo test renews {path}");
    }
}

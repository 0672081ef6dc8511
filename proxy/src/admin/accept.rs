//! Which format of the metrics a scraper would rather have (RFC 9110 §12.5.1).
//!
//! Owns the reading of `Accept`, as far as the two formats go. Whoever does not name OpenMetrics
//! gets Prometheus' text: browsers, curl, and whoever says that anything will do. Refuses to know
//! what the formats are.

use http::HeaderMap;
use http::header::ACCEPT;

use crate::metrics::Exposition;

/// The format that suits whoever sent these fields.
pub(super) fn exposition(headers: &HeaderMap) -> Exposition {
    let fields = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let (mut open, mut text) = (0, 0);
    for range in fields.flat_map(|value| value.split(',')).filter_map(Range::read) {
        if range.names("application/openmetrics-text") {
            // Of a version that is not spoken here, nobody would get what was asked for.
            if range.version.is_none_or(|version| version.starts_with("1.")) {
                open = open.max(range.weight);
            }
        } else if range.names("text/plain") {
            text = text.max(range.weight);
        }
    }
    if open > 0 && open >= text { Exposition::OpenMetrics } else { Exposition::Text }
}

/// One thing that is accepted.
struct Range<'a> {
    kind: &'a str,
    version: Option<&'a str>,
    /// In thousandths.
    weight: u32,
}

impl<'a> Range<'a> {
    /// None if it is not written as it should be.
    fn read(text: &'a str) -> Option<Self> {
        let mut parts = text.split(';').map(str::trim);
        let mut range = Self { kind: parts.next()?, version: None, weight: 1000 };
        for (name, value) in parts.filter_map(|part| part.split_once('=')) {
            match name.trim() {
                "q" | "Q" => range.weight = weight(value.trim())?,
                "version" => range.version = Some(value.trim().trim_matches('"')),
                _ => {}
            }
        }
        Some(range)
    }

    fn names(&self, kind: &str) -> bool {
        self.kind.eq_ignore_ascii_case(kind)
    }
}

/// A weight from 0 to 1, in thousandths.
fn weight(text: &str) -> Option<u32> {
    let value: f32 = text.parse().ok()?;
    (0.0..=1.0).contains(&value).then_some((value * 1000.0) as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(accept: &[&str]) -> Exposition {
        let mut headers = HeaderMap::new();
        for value in accept {
            headers.append(ACCEPT, value.parse().expect("a value"));
        }
        exposition(&headers)
    }

    #[test]
    fn openmetrics_is_for_those_who_ask_for_it() {
        // What Prometheus 2.42, 2.54 and 3.0 send.
        let scrapers = [
            "application/openmetrics-text;version=1.0.0,application/openmetrics-text;\
             version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,\
             application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=1.0.0;q=0.3,\
             text/plain;version=0.0.4;q=0.2,/;q=0.1",
            "application/openmetrics-text",
            "Application/OpenMetrics-Text; version=\"1.0.0\"; charset=utf-8",
        ];
        for accept in scrapers {
            assert_eq!(wanted(&[accept]), Exposition::OpenMetrics, "{accept}");
        }
        let split = ["text/plain;q=0.5", "application/openmetrics-text;q=0.6"];
        assert_eq!(wanted(&split), Exposition::OpenMetrics);
    }

    #[test]
    fn everybody_else_gets_the_text_of_prometheus() {
        let others = [
            "",
            "*/*",
            "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
            "text/plain;version=0.0.4;q=1,*/*;q=0.1",
            "application/openmetrics-text;q=0",
            "application/openmetrics-text;q=nonsense",
            "application/openmetrics-text;q=2",
            "application/openmetrics-text;version=2.0.0",
            "application/openmetrics-text;version=0.0.1",
            "application/openmetrics-text;q=0.4,text/plain;q=0.5",
            "text/openmetrics, ;;;=, ,",
        ];
        for accept in others {
            assert_eq!(wanted(&[accept]), Exposition::Text, "{accept}");
        }
        assert_eq!(wanted(&[]), Exposition::Text);
    }
}

//! What dashboards and rules ask Prometheus for.
//!
//! Owns the reading of their files, and of PromQL as far as names of metrics and labels go: whether
//! a query is one is for Prometheus to say. Refuses to know what an answer should be.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use serde_json::Value;

use crate::tidy::root;

/// A query, and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Query {
    pub(super) place: String,
    pub(super) text: String,
}

/// A dashboard.
#[derive(Clone, Debug)]
pub(super) struct Dashboard {
    pub(super) file: String,
    pub(super) json: Value,
}

/// Each metric of the reference, by the name of its series, with its labels.
pub(super) type Reference = BTreeMap<String, BTreeSet<String>>;

/// Every dashboard.
pub(super) fn dashboards() -> Vec<Dashboard> {
    let folder = fs::read_dir(root().join("dashboards/grafana")).unwrap().flatten();
    let mut dashboards: Vec<_> = folder
        .map(|file| {
            let text = fs::read_to_string(file.path()).unwrap();
            let file = file.file_name().to_string_lossy().into_owned();
            let json = serde_json::from_str(&text);
            Dashboard { json: json.unwrap_or_else(|error| panic!("{file}: {error}")), file }
        })
        .collect();
    dashboards.sort_by(|one, other| one.file.cmp(&other.file));
    dashboards
}

impl Dashboard {
    /// Its panels, without the titles of rows.
    pub(super) fn panels(&self) -> Vec<&Value> {
        let panels = self.json["panels"].as_array().unwrap().iter();
        panels.filter(|panel| panel["type"] != "row").collect()
    }

    /// What its panels ask.
    pub(super) fn queries(&self) -> Vec<Query> {
        let of = |panel: &Value| -> Vec<Query> {
            let place = format!("{}: {}", self.file, panel["title"].as_str().unwrap());
            let targets = panel["targets"].as_array().unwrap().iter();
            let text = |target: &Value| target["expr"].as_str().unwrap().to_owned();
            targets.map(|target| Query { place: place.clone(), text: text(target) }).collect()
        };
        self.panels().into_iter().flat_map(of).collect()
    }

    /// What its annotations ask.
    pub(super) fn annotations(&self) -> Vec<Query> {
        let all = self.json["annotations"]["list"].as_array().unwrap().iter();
        let place = format!("{}: annotation", self.file);
        let query = |one: &Value| {
            let text = one["expr"].as_str()?.to_owned();
            Some(Query { place: place.clone(), text })
        };
        all.filter_map(query).collect()
    }
}

/// What the reference says.
pub(super) fn reference() -> Reference {
    let text = fs::read_to_string(root().join("dashboards/METRICS.md")).unwrap();
    let mut reference = Reference::new();
    for line in text.lines() {
        let Some(row) = line.strip_prefix("| `") else { continue };
        let cells: Vec<_> = row.split('|').map(str::trim).collect();
        let name = cells[0].trim_matches('`');
        let labels = cells[2].split(',').map(|label| label.trim().trim_matches('`'));
        let mut labels: BTreeSet<_> =
            labels.filter(|label| *label != "–").map(str::to_owned).collect();
        // Whoever scrapes adds these.
        labels.extend(["job", "instance"].map(str::to_owned));
        if cells[1] == "histogram" {
            for end in ["count", "sum"] {
                reference.insert(format!("{name}_{end}"), labels.clone());
            }
            labels.insert("le".to_owned());
            reference.insert(format!("{name}_bucket"), labels);
        } else {
            reference.insert(name.to_owned(), labels);
        }
    }
    reference
}

/// Names of ours and of processes that stand in `query`.
pub(super) fn metrics(query: &str) -> BTreeSet<String> {
    words(query)
        .into_iter()
        .filter(|(word, _)| word.starts_with("portunus_") || word.starts_with("process_"))
        .map(|(word, _)| word.to_owned())
        .collect()
}

/// What is wrong with the names of `query`: metrics that there are not, or labels that they have
/// not.
pub(super) fn unknown(query: &str, reference: &Reference) -> Vec<String> {
    let mut found = Vec::new();
    let mut labels: BTreeSet<&str> = BTreeSet::new();
    for name in metrics(query) {
        match reference.get(&name) {
            Some(known) => labels.extend(known.iter().map(String::as_str)),
            None => found.push(format!("no metric `{name}`")),
        }
    }
    for (word, rest) in words(query) {
        let rest_of_selector = rest.strip_prefix('{').and_then(|rest| rest.split_once('}'));
        if let Some((matchers, _)) = rest_of_selector
            && let Some(known) = reference.get(word)
        {
            let names = matchers.split(',').filter_map(|one| one.split_once(['=', '!']));
            let strange = names.map(|(name, _)| name.trim()).filter(|name| !known.contains(*name));
            found.extend(strange.map(|name| format!("`{word}` has no label `{name}`")));
        }
        let grouping = rest.trim_start().strip_prefix('(').and_then(|rest| rest.split_once(')'));
        if let (true, Some((names, _))) = (GROUPINGS.contains(&word), grouping) {
            let names = names.split(',').map(str::trim).filter(|name| !name.is_empty());
            let made = |name: &str| query.contains(&format!("\"{name}\""));
            let strange = names.filter(|name| !labels.contains(name) && !made(name));
            found.extend(strange.map(|name| format!("no metric here has the label `{name}`")));
        }
    }
    found
}

/// Each word of `query` outside of texts, with what follows it.
pub(super) fn words(query: &str) -> Vec<(&str, &str)> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    let (mut words, mut rest, mut in_text) = (Vec::new(), query, false);
    while let Some(c) = rest.chars().next() {
        if c == '"' {
            in_text = !in_text;
        }
        let end = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
        if in_text || end == 0 {
            rest = &rest[c.len_utf8()..];
        } else {
            words.push(rest.split_at(end));
            rest = &rest[end..];
        }
    }
    words
}

/// Words behind which names of labels stand in brackets.
const GROUPINGS: [&str; 6] = ["by", "without", "on", "ignoring", "group_left", "group_right"];

#[test]
fn planted_names_are_found() {
    let reference = reference();
    let good =
        "sum by (listener) (rate(portunus_connections_total{job=~\"$job\",listener!=\"x\"}[5m]))";
    assert_eq!(unknown(good, &reference), [""; 0]);
    let planted = [
        ("portunus_connection_total", "no metric `portunus_connection_total`"),
        ("portunus_tasks{listener=\"x\"}", "`portunus_tasks` has no label `listener`"),
        ("sum by (backend) (portunus_tasks)", "no metric here has the label `backend`"),
        ("portunus_tasks / on (sni) portunus_workers", "no metric here has the label `sni`"),
        ("rate(portunus_http_request_duration_seconds[1m])", "no metric"),
    ];
    for (query, complaint) in planted {
        let found = unknown(query, &reference);
        assert!(found.len() == 1 && found[0].starts_with(complaint), "{query}: {found:?}");
    }
    assert_eq!(unknown("x{reason=\"portunus_nothing by (x)\"}", &reference), [""; 0]);
}

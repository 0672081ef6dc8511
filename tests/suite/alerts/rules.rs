//! The rules as files: sound, told of in the runbook, each with cases in which it fires and in
//! which it keeps quiet.
//!
//! The files are read line by line, as they are written here; `promtool` judges them as YAML.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use portunus_tests::foreign::promtool;

use super::selectors::{Selector, selectors};
use crate::tidy::root;

/// An alert, by the keys of its rule: texts without their quotes.
type Alert = BTreeMap<String, String>;

fn folder() -> PathBuf {
    root().join("dashboards/prometheus")
}

fn read(path: &str) -> String {
    fs::read_to_string(folder().join(path)).unwrap()
}

/// The files with cases.
fn cases() -> Vec<PathBuf> {
    let files = fs::read_dir(folder().join("tests")).unwrap().flatten();
    let mut files: Vec<_> = files.map(|file| file.path()).collect();
    files.sort();
    files
}

/// Every alert by its name.
fn alerts() -> BTreeMap<String, Alert> {
    let text = read("alerts.yml");
    let mut alerts = BTreeMap::<String, Alert>::new();
    let mut name = String::new();
    for line in text.lines() {
        if let Some(begun) = line.trim().strip_prefix("- alert: ") {
            assert!(!alerts.contains_key(begun), "{begun} stands there twice");
            begun.clone_into(&mut name);
            alerts.insert(name.clone(), Alert::new());
        } else if let Some((key, value)) = line.trim().split_once(": ")
            && let Some(alert) = alerts.get_mut(&name)
        {
            alert.insert(key.to_owned(), value.trim_matches('"').to_owned());
        }
    }
    assert!(alerts.len() >= 30, "{}", alerts.len());
    alerts
}

#[tokio::test]
async fn promtool_finds_nothing_wrong_with_the_rules() {
    let Some(promtool) = promtool() else { return };
    let files = [folder().join("alerts.yml"), folder().join("recording.yml")];
    let judged = promtool.args(["check", "rules", "--lint-fatal"]).args(files).run().await;
    let said = judged.expect_success();
    assert!(said.contains(&format!("{} rules found", alerts().len())), "{said}");
}

#[tokio::test]
async fn every_alert_fires_in_its_case_and_keeps_quiet_in_the_others() {
    let Some(promtool) = promtool() else { return };
    // It plays hours of samples through all rules.
    let promtool = promtool.patience(Duration::from_secs(120));
    let said = promtool.args(["test", "rules"]).args(cases()).run().await.expect_success();
    assert_eq!(said.matches("SUCCESS").count(), cases().len(), "{said}");
}

#[test]
fn every_alert_has_a_case_in_which_it_fires_and_one_in_which_it_must_not() {
    let (mut loud, mut quiet) = (BTreeSet::new(), BTreeSet::new());
    for file in cases() {
        let text = fs::read_to_string(file).unwrap();
        let lines: Vec<_> = text.lines().map(str::trim).collect();
        for pair in lines.windows(2) {
            let Some(name) = pair[0].strip_prefix("alertname: ") else { continue };
            let set = if pair[1] == "exp_alerts: []" { &mut quiet } else { &mut loud };
            set.insert(name.to_owned());
        }
    }
    let alerts: BTreeSet<_> = alerts().into_keys().collect();
    assert_eq!(alerts, loud, "with a case in which it fires");
    assert_eq!(alerts, quiet, "with a case in which it must not");
}

#[test]
fn every_alert_has_a_section_of_the_runbook_and_no_section_is_left_over() {
    let runbook = fs::read_to_string(root().join("dashboards/RUNBOOK.md")).unwrap();
    let sections: Vec<_> =
        runbook.lines().filter_map(|line| line.strip_prefix("### ")).map(str::to_owned).collect();
    let alerts = alerts();
    let names: BTreeSet<_> = alerts.keys().cloned().collect();
    assert_eq!(names, sections.iter().cloned().collect());
    assert_eq!(names.len(), sections.len(), "none has two");
    for (name, alert) in &alerts {
        let anchor = format!("RUNBOOK.md#{}", name.to_lowercase());
        assert_eq!(alert["runbook_url"], anchor, "{name}");
        let begin = runbook.find(&format!("### {name}\n")).unwrap();
        let severity = format!("### {name}\n\n**{}** · ", alert["severity"]);
        assert!(runbook[begin..].starts_with(&severity), "{name}: {severity}");
    }
    for (_, link) in runbook.match_indices("](#").map(|(at, _)| runbook[at..].split_at(3)) {
        let anchor = link.split(')').next().unwrap();
        assert!(names.iter().any(|name| name.to_lowercase() == anchor), "{anchor}");
    }
}

#[test]
fn every_alert_says_who_has_to_come_after_how_long_and_what_to_do() {
    let text = read("alerts.yml");
    for (name, alert) in alerts() {
        assert!(["page", "ticket"].contains(&alert["severity"].as_str()), "{name}");
        let rule = text.split(&format!("- alert: {name}\n")).nth(1).unwrap();
        let duration = rule.lines().position(|line| line.trim().starts_with("for: ")).unwrap();
        let reason = rule.lines().nth(duration - 1).unwrap().trim();
        assert!(reason.starts_with("# "), "{name}: no reason for its duration: {reason}");
        // All but the alert about nobody being there are about somebody.
        let whom = alert["summary"].contains("{{ $labels.instance }}: ");
        assert!(whom || name == "PortunusAbsent", "{name}: {}", alert["summary"]);
        assert!(alert["description"].ends_with('.'), "{name}");
        let words = |text: &str| text.split_whitespace().count();
        assert!(words(&alert["summary"]) >= 5 && words(&alert["description"]) >= 12, "{name}");
    }
}

#[test]
fn the_rules_are_about_metrics_and_labels_that_there_are() {
    let reference = fs::read_to_string(root().join("dashboards/METRICS.md")).unwrap();
    let metrics: BTreeMap<&str, BTreeSet<&str>> = reference
        .lines()
        .filter_map(|line| line.strip_prefix("| `"))
        .map(|line| {
            let mut cells = line.split(" | ");
            let name = cells.next().unwrap().trim_end_matches('`');
            let labels = cells.nth(1).unwrap().split(", ").map(|label| label.trim_matches('`'));
            (name, labels.collect())
        })
        .collect();
    let texts = [read("alerts.yml"), read("recording.yml")];
    let selectors: Vec<_> = texts.iter().flat_map(|text| selectors(text)).collect();
    assert!(selectors.len() >= 80, "{}", selectors.len());
    for Selector { metric, matchers } in selectors {
        if metric.contains(':') {
            assert!(texts[1].contains(&format!("- record: {metric}\n")), "{metric} is recorded");
            continue;
        }
        let parts = ["_bucket", "_sum", "_count"];
        let base = parts.iter().find_map(|part| metric.strip_suffix(part));
        let labels = metrics.get(metric.as_str()).or_else(|| metrics.get(base?));
        let labels = labels.unwrap_or_else(|| panic!("no metric {metric}"));
        for matcher in matchers {
            assert!(labels.contains(matcher.label.as_str()), "{metric}: no label {matcher:?}");
        }
    }
}

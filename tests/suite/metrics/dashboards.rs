//! Dashboards as files: that Grafana can read them, and that people can read what they show.

use std::collections::BTreeSet;
use std::fs;

use portunus_tests::foreign::{program, python_of};
use serde_json::Value;

use super::queries::{Dashboard, dashboards, metrics, reference, unknown};
use crate::tidy::root;

/// The files, and nothing else, that are provisioned.
const FILES: [&str; 6] = [
    "backends-http.json",
    "certificates.json",
    "overview.json",
    "resumption.json",
    "runtime.json",
    "tls.json",
];

/// Everything that is wrong, so that one run tells all of it.
fn complaints(check: impl Fn(&Dashboard) -> Vec<String>) -> Vec<String> {
    let found = dashboards();
    found
        .iter()
        .flat_map(|one| check(one).into_iter().map(|it| format!("{}: {it}", one.file)))
        .collect()
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

#[test]
fn there_are_six_and_each_has_a_place_of_its_own() {
    let all = dashboards();
    let files: Vec<_> = all.iter().map(|one| one.file.as_str()).collect();
    assert_eq!(files, FILES);
    let distinct = |key: &str| all.iter().map(|one| text(&one.json, key)).collect::<BTreeSet<_>>();
    assert_eq!((distinct("uid").len(), distinct("title").len()), (6, 6));
    let complaints = complaints(|one| {
        let json = &one.json;
        let mut found = Vec::new();
        if !text(json, "uid").starts_with("portunus-") || json["tags"][0] != "portunus" {
            found.push("a uid and a tag by which the others link to it".to_owned());
        }
        if json["schemaVersion"].as_u64() < Some(39) {
            found.push("a schema that Grafana still writes".to_owned());
        }
        let variables = json["templating"]["list"].as_array().unwrap().iter();
        let names: BTreeSet<_> = variables.map(|variable| text(variable, "name")).collect();
        let missing = ["datasource", "job", "instance"].into_iter();
        found.extend(missing.filter(|name| !names.contains(name)).map(|it| format!("no ${it}")));
        found
    });
    assert!(complaints.is_empty(), "{complaints:#?}");
}

#[tokio::test]
async fn the_models_of_grafana_read_all_that_is_in_them() {
    let Some(python) = python_of("python-of-grafana") else { return };
    let all = dashboards();
    let mut questions: Vec<_> = all.iter().map(|one| one.json.clone()).collect();
    let mut slip = all[0].json.clone();
    slip["panels"][1]["fieldConfig"]["defaults"]["unti"] = "s".into();
    questions.push(slip);
    let question = serde_json::to_string(&questions).unwrap();
    let said = python.arg(program("dashboards.py")).input(question).run().await.expect_success();
    let mut lost: Vec<BTreeSet<String>> = serde_json::from_str(&said).unwrap();
    // What Prometheus has besides, which the models leave to each source of data.
    let known = ["step", "textFormat", "titleFormat"].map(|it| format!("/annotations/list/{it}"));
    let known = known.into_iter().chain(["/templating/list/definition".to_owned()]);
    let known = known.collect::<BTreeSet<_>>();
    let slip = lost.pop().unwrap();
    assert_eq!(slip.difference(&known).collect::<Vec<_>>(), ["/panels/fieldConfig/defaults/unti"]);
    for (dashboard, lost) in all.iter().zip(&lost) {
        assert!(lost.is_subset(&known), "{}: {lost:?}", dashboard.file);
    }
}

#[test]
fn every_panel_says_what_is_good_and_what_to_do() {
    let complaints = complaints(|one| {
        let bad = |panel: &&Value| {
            let description = text(panel, "description");
            let says = description.contains("Good:") || description.contains("What is good");
            !says || description.len() < 40 || text(panel, "title").is_empty()
        };
        let title = |panel: &Value| format!("`{}` says too little", text(panel, "title"));
        one.panels().into_iter().filter(bad).map(title).collect()
    });
    assert!(complaints.is_empty(), "{complaints:#?}");
}

#[test]
fn settings_that_descriptions_name_are_settings() {
    let config = fs::read_to_string(root().join("config.toml")).unwrap();
    let sections =
        ["admin.", "certificates.", "client_auth.", "limits.", "log.", "resumption.", "server."];
    let complaints = complaints(|one| {
        let panels = one.panels().into_iter();
        let quoted =
            panels.flat_map(|panel| text(panel, "description").split('`').skip(1).step_by(2));
        let named = quoted.filter(|word| sections.iter().any(|section| word.starts_with(section)));
        let key = |word: &str| word.rsplit('.').next().unwrap().to_owned();
        let known = |word: &str| {
            let key = key(word);
            config.lines().any(|line| {
                let line = line.trim_start_matches(['#', ' ']);
                line.split_once('=').is_some_and(|(name, _)| name.trim().ends_with(&key))
            })
        };
        named.filter(|word| !known(word)).map(|word| format!("no setting `{word}`")).collect()
    });
    assert!(complaints.is_empty(), "{complaints:#?}");
}

#[test]
fn every_query_is_about_metrics_and_labels_that_there_are() {
    let reference = reference();
    let complaints = complaints(|one| {
        let queries = one.queries().into_iter().chain(one.annotations());
        queries
            .flat_map(|query| {
                let found = unknown(&query.text, &reference).into_iter();
                found.map(|complaint| format!("{}: {complaint}", query.place)).collect::<Vec<_>>()
            })
            .collect()
    });
    assert!(complaints.is_empty(), "{complaints:#?}");
}

#[test]
fn every_metric_is_on_some_dashboard() {
    let queries = dashboards().into_iter().flat_map(|one| one.queries());
    let shown: BTreeSet<_> = queries.flat_map(|query| metrics(&query.text)).collect();
    let reference = reference();
    // A histogram is shown by its buckets.
    let wanted = reference.keys().filter(|name| {
        let bucket = |end| name.strip_suffix(end).map(|name| format!("{name}_bucket"));
        let bucket = bucket("_count").or_else(|| bucket("_sum"));
        bucket.is_none_or(|bucket| !reference.contains_key(&bucket))
    });
    let missing: Vec<_> = wanted.filter(|name| !shown.contains(*name)).collect();
    assert!(missing.is_empty(), "on no dashboard: {missing:?}");
}

#[test]
fn queries_go_by_the_variables_and_only_by_those_that_there_are() {
    let complaints = complaints(|one| {
        let variables = one.json["templating"]["list"].as_array().unwrap().iter();
        let known: Vec<_> = variables.map(|variable| text(variable, "name")).collect();
        let mut found = Vec::new();
        for query in one.queries().into_iter().chain(one.annotations()) {
            for word in query.text.split('$').skip(1) {
                let end = word.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
                let name = &word[..end.unwrap_or(word.len())];
                if !known.contains(&name) && name != "__rate_interval" {
                    found.push(format!("{}: ${name}", query.place));
                }
            }
            if !query.text.contains("job=~\"$job\",instance=~\"$instance\"") {
                found.push(format!("{}: not by job and instance", query.place));
            }
        }
        let strange = |panel: &&Value| {
            let targets = panel["targets"].as_array().unwrap().iter();
            let mut sources = targets.chain([*panel]).map(|one| text(&one["datasource"], "uid"));
            sources.any(|uid| uid != "${datasource}")
        };
        let panels = one.panels().into_iter().filter(strange);
        found.extend(panels.map(|panel| format!("{}: another source", text(panel, "title"))));
        found
    });
    assert!(complaints.is_empty(), "{complaints:#?}");
}

#[test]
fn panels_lie_side_by_side_and_none_over_another() {
    let complaints = complaints(|one| {
        let panels = one.json["panels"].as_array().unwrap();
        let mut taken = BTreeSet::new();
        let mut ids = BTreeSet::new();
        let mut found = Vec::new();
        for panel in panels {
            let title = text(panel, "title");
            let side = |key: &str| panel["gridPos"][key].as_u64().unwrap();
            let (x, y, w, h) = (side("x"), side("y"), side("w"), side("h"));
            if x + w > 24 || !ids.insert(panel["id"].as_u64().unwrap()) {
                found.push(format!("`{title}` is out of the grid, or has the id of another"));
            }
            let cells = (x..x + w).flat_map(|x| (y..y + h).map(move |y| (x, y)));
            let (before, count) = (taken.len() as u64, w * h);
            taken.extend(cells);
            if taken.len() as u64 != before + count {
                found.push(format!("`{title}` lies over another"));
            }
        }
        found
    });
    assert!(complaints.is_empty(), "{complaints:#?}");
}

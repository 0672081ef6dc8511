//! What the documents show is a configuration that works: each whole one is checked as it stands.

use std::fs;
use std::path::Path;

use portunus_tests::{ClientAuthority, authority, write};

use super::{err, out, portunus};
use crate::tidy::root;

/// The blocks of TOML in `README.md` that are whole, with the heading above each.
fn configurations() -> Vec<(String, String)> {
    let text = fs::read_to_string(root().join("README.md")).unwrap();
    let mut found = Vec::new();
    let mut heading = "";
    let mut block: Option<String> = None;
    for line in text.lines() {
        match &mut block {
            Some(text) if matches!(line, "```" | "TOML") => {
                found.push((heading.to_owned(), std::mem::take(text)));
                block = None;
            }
            Some(text) => *text += &format!("{line}\n"),
            None if line == "```toml" || line.ends_with("<<'TOML'") => block = Some(String::new()),
            None => heading = line.strip_prefix("## ").unwrap_or(heading),
        }
    }
    found.retain(|(_, text)| text.contains("[listener.") && text.contains("[backend."));
    found
}

/// Every text in quotes that stands behind one of `keys`.
fn values<'a>(text: &'a str, keys: &[&str]) -> Vec<&'a str> {
    let value = |line: &'a str, key: &str| {
        let (_, behind) = line.split_once(&format!("{key} = "))?;
        let end =
            if behind.starts_with('[') { behind.find(']') } else { behind.find(['\n', ',', '}']) };
        behind.get(..end.unwrap_or(behind.len()))
    };
    let found = text.lines().flat_map(|line| keys.iter().filter_map(move |key| value(line, key)));
    found.flat_map(|value| value.split('"').skip(1).step_by(2)).collect()
}

/// The files that `text` names, in `folder`: certificates for its hosts, authorities, lists.
fn write_files(folder: &Path, text: &str) {
    let others = ClientAuthority::new("others");
    let mut hosts = values(text, &["hosts"]);
    hosts.push("localhost");
    hosts.sort_unstable();
    hosts.dedup();
    fs::create_dir(folder.join("certs.d")).unwrap();
    for (index, host) in hosts.iter().enumerate() {
        let credential = authority().issue(&[host]);
        write(&folder.join(format!("certs.d/{index}.pem")), &credential.pem());
    }
    for file in values(text, &["ca"]) {
        write(&folder.join(file), &others.pem());
    }
    for file in values(text, &["crl"]) {
        write(&folder.join(file), &others.crl(&[]));
    }
    for file in values(text, &["credential"]) {
        write(&folder.join(file), &authority().issue(&["client.example"]).pem());
    }
}

#[tokio::test]
async fn every_configuration_of_the_readme_is_accepted_without_a_warning() {
    let all = configurations();
    let headings: Vec<&str> = all.iter().map(|(heading, _)| heading.as_str()).collect();
    for heading in [
        "A first configuration of your own",
        "Requests",
        "Mail, databases, directories",
        "Programs that know no TLS",
        "Names that are passed through",
        "Behind a load balancer",
    ] {
        assert!(headings.contains(&heading), "{heading}: {headings:?}");
    }
    for (heading, text) in all {
        let folder = tempfile::tempdir().unwrap();
        let text = text.replace("/var/log/portunus/", "");
        write_files(folder.path(), &text);
        write(&folder.path().join("config.toml"), &text);
        let output = portunus(folder.path(), &["check"]);
        assert_eq!(output.status.code(), Some(0), "{heading}: {}", err(&output));
        assert_eq!(err(&output), "", "{heading}");
        assert!(out(&output).contains("no errors, no warnings"), "{heading}: {}", out(&output));
    }
}

//! The reference at the root and the JSON schema, both compared with what the program knows.

use serde_json::Value as Json;

use super::*;

const REFERENCE: &str = include_str!("../../../../config.toml");

#[test]
fn the_reference_equals_the_defaults() {
    let reference = parse(REFERENCE).unwrap();
    let least = parse(LEAST).unwrap();
    assert_eq!(format!("{reference:#?}"), format!("{least:#?}"));
}

#[test]
fn the_reference_shows_every_key() {
    let reference: toml::Table = REFERENCE.parse().unwrap();
    let written = serde_json::to_value(&reference).unwrap();
    let mut missing = Vec::new();
    compare(&json_schema(), &written, "", &mut missing);
    assert!(missing.is_empty(), "config.toml does not show {missing:?} with their defaults");
}

/// Names the keys of `schema` that `written` does not have; those without a default may stand in
/// a comment.
fn compare(schema: &Json, written: &Json, path: &str, missing: &mut Vec<String>) {
    for (name, schema) in schema["properties"].as_object().into_iter().flatten() {
        let path = format!("{path}.{name}");
        let named = &schema["additionalProperties"];
        match (&written[name], schema.get("default")) {
            (Json::Null, Some(_)) => missing.push(path),
            (Json::Null, None) => {
                let shown = |key: &str| {
                    let shows = |line: &str| {
                        let line = line.trim_start_matches("# ");
                        line.starts_with(&format!("{key} = "))
                            || line.ends_with(&format!(".{key}]]"))
                    };
                    REFERENCE.lines().any(shows)
                };
                match schema["properties"].as_object() {
                    // A section that may be absent is shown as `section.key`.
                    Some(keys) => missing.extend(
                        keys.keys().map(|key| format!("{name}.{key}")).filter(|key| !shown(key)),
                    ),
                    None if !shown(name) => missing.push(path),
                    None => {}
                }
            }
            (written, _) if named.is_object() => {
                for written in written.as_object().into_iter().flatten() {
                    compare(named, written.1, &path, missing);
                }
            }
            (written, _) => compare(schema, written, &path, missing),
        }
        compare(&schema["items"], &Json::Null, &format!("{name}[]"), missing);
    }
}

#[test]
fn client_authentication_reads_as_the_reference_shows_it_and_with_the_defaults_that_it_names() {
    let shown = REFERENCE.lines().filter_map(|line| line.strip_prefix("# client_auth."));
    let shown: Vec<String> = shown.map(|line| format!("client_auth.{line}")).collect();
    assert_eq!(shown.len(), 6);
    let marker = "# client_auth.ca";
    let parsed = parse(&REFERENCE.replacen(marker, &format!("{}\n{marker}", shown.join("\n")), 1));
    let whole = parsed.unwrap().client_auths;
    let short = shown.iter().filter(|line| line.contains("ca = ") || line.contains("crl = "));
    let short = short.cloned().collect::<Vec<_>>().join("\n");
    let parsed = parse(&REFERENCE.replacen(marker, &format!("{short}\n{marker}"), 1));
    assert_eq!(parsed.unwrap().client_auths, whole);
}

#[test]
fn the_json_schema_at_the_root_is_fresh() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../config.schema.json");
    let fresh = format!("{:#}\n", json_schema());
    if std::env::var_os("PORTUNUS_TEST_WRITE").is_some() {
        std::fs::write(path, &fresh).unwrap();
    }
    let stored = std::fs::read_to_string(path).unwrap_or_default();
    assert!(stored == fresh, "run this test with PORTUNUS_TEST_WRITE=1 to renew {path}");
}

#[test]
fn the_json_schema_says_what_the_reader_does() {
    let schema = json_schema();
    assert_eq!(schema["additionalProperties"], false);
    assert_eq!(schema["required"], serde_json::json!(["listener", "backend"]));
    let limits = &schema["properties"]["limits"]["properties"];
    assert_eq!(limits["handshake_timeout"]["default"], "10s");
    assert_eq!(limits["client_hello_size"]["default"], "16 KiB");
    assert_eq!(limits["connect_attempts"]["maximum"], 64);
    assert_eq!(limits["http"]["properties"]["requests"]["default"], 1_000);
    let listener = &schema["properties"]["listener"]["additionalProperties"];
    assert_eq!(listener["required"], serde_json::json!(["listen"]));
    assert_eq!(listener["properties"]["mode"]["anyOf"][0]["enum"][1], "tcp");
    assert_eq!(listener["properties"]["site"]["items"]["required"][1], "backend");
    let paths = &schema["properties"]["certificates"]["properties"]["paths"];
    assert_eq!(paths["default"], serde_json::json!(["certs.d"]));
    assert_eq!(schema["properties"]["admin"]["properties"]["token"].get("default"), None);
}

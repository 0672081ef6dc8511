//! `status.schema.json`: what `/status` tells, written down, as a validator of others reads it.

use portunus_tests::foreign::{program, python_with};
use portunus_tests::{Proxy, tls, unreachable};
use serde_json::{Value, json};

use super::rich::rich;
use super::status;
use crate::tidy::root;

fn schema() -> Value {
    let text = std::fs::read_to_string(root().join("status.schema.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// What is wrong with `status`, and which parts of the schema none of it is an example of.
async fn judged(statuses: &[Value]) -> Option<Value> {
    let question = json!({ "schema": schema(), "instances": statuses }).to_string();
    let python = python_with(&["jsonschema"])?.arg(program("schema.py")).input(question);
    Some(serde_json::from_str(&python.run().await.expect_success()).unwrap())
}

/// What the rich proxy cannot be brought to tell: a certificate that waits has no staple yet, and
/// where sessions are kept nobody carries them in tickets.
const NEVER_SEEN: [&str; 7] = [
    "/$defs/pending/ocsp_staple",
    "/$defs/pending/properties/ocsp_staple/anyOf/file",
    "/$defs/pending/properties/ocsp_staple/anyOf/next_update",
    "/$defs/pending/properties/ocsp_staple/anyOf/sent",
    "/$defs/pending/properties/ocsp_staple/anyOf/status",
    "/$defs/pending/properties/ocsp_staple/anyOf/this_update",
    "/$defs/resumption/properties/tickets/properties/lookups/hit_rate",
];

#[tokio::test(flavor = "multi_thread")]
async fn the_schema_describes_all_that_status_tells_and_nothing_else() {
    let poor = Proxy::builder()
        .listener(tls("app.example"))
        .backend(unreachable())
        .set("server.sandbox", "\"off\"")
        .start()
        .await;
    let rich = status(&rich().await).await;
    let Some(told) = judged(&[status(&poor).await, rich.clone()]).await else { return };
    assert_eq!(told["errors"], json!([]), "{rich:#}");
    assert_eq!(told["never_seen"], json!(NEVER_SEEN), "{rich:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_field_that_the_schema_does_not_name_is_an_error() {
    let proxy = Proxy::builder().listener(tls("app.example")).backend(unreachable()).start().await;
    let mut status = status(&proxy).await;
    status["listeners"][0]["novelty"] = json!(1);
    status["phase"] = json!("confused");
    let Some(told) = judged(&[status]).await else { return };
    let errors = told["errors"].as_array().unwrap();
    assert_eq!(errors.len(), 2, "{errors:?}");
    assert!(errors[0].as_str().unwrap().contains("novelty"), "{errors:?}");
}

#[test]
fn every_field_of_the_schema_is_explained_and_every_object_is_closed() {
    fn walk(schema: &Value, path: &str, faults: &mut Vec<String>) {
        if let Some(properties) = schema["properties"].as_object() {
            if schema["additionalProperties"] != json!(false) {
                faults.push(format!("{path} is open"));
            }
            let mut required: Vec<_> = schema["required"].as_array().unwrap().iter().collect();
            required.sort_by_key(|name| name.as_str());
            let names: Vec<_> = properties.keys().map(|name| json!(name)).collect();
            if required != names.iter().collect::<Vec<_>>() {
                faults.push(format!("{path}: not every field is required"));
            }
            for (name, field) in properties {
                if !field["description"].is_string() {
                    faults.push(format!("{path}/{name} is not explained"));
                }
            }
        }
        match schema {
            Value::Object(fields) => {
                fields.iter().for_each(|(name, it)| walk(it, &format!("{path}/{name}"), faults));
            }
            Value::Array(items) => items.iter().for_each(|item| walk(item, path, faults)),
            _ => {}
        }
    }
    let mut faults = Vec::new();
    walk(&schema(), "", &mut faults);
    assert!(faults.is_empty(), "{faults:#?}");
}

//! What is found, how bad it is said to be, and what is not found.

use super::*;

const NOW: i64 = 1_800_000_000;

/// Facts of a process with which all is well.
fn well() -> Value {
    json!({
        "phase": "running", "ready": true,
        "listeners": [{ "listener": "web", "entrance": "tls" }],
        "resources": {
            "connections": { "used": 10, "max": 100 },
            "handshakes": { "used": 0, "max": 0 },
            "open_files": null,
            "memory": { "pressure": "none" },
            "workers_stalled": 0, "panics": 0,
        },
        "certificates": {
            "total": 1, "kept": 0, "skipped": [],
            "loaded": [certificate("good", 90, 60)],
        },
        "client_auth": [{
            "authorities": [{ "subject": "CN=ca", "not_after": NOW + DAY }],
            "crls": [{ "file": "a.crl", "next_update": null }],
        }],
        "backends": [{ "backend": "app", "endpoints": [endpoint(1, "usable")] }],
        "reloads": [],
        "resumption": { "shared": null },
    })
}

/// A certificate that lives for so many days, of which some are left.
fn certificate(label: &str, lifetime: i64, left: i64) -> Value {
    let end = NOW + left * DAY;
    json!({ "certificate": label, "not_before": end - lifetime * DAY, "not_after": end })
}

fn endpoint(number: usize, standing: &str) -> Value {
    json!({ "address": format!("10.0.0.{number}:80"), "standing": standing })
}

/// Severity and words of what is found where the fact at `pointer` is `value`.
fn found(pointer: &str, value: Value) -> Vec<String> {
    let mut facts = well();
    *facts.pointer_mut(pointer).expect("there is such a fact") = value;
    let told = attention(&facts, NOW);
    let told = told.as_array().expect("a list").iter();
    let words = |one: &Value| format!("{}: {}", text(one, "/severity"), text(one, "/what"));
    told.map(words).collect()
}

#[test]
fn where_all_is_well_nothing_calls_for_attention() {
    assert_eq!(attention(&well(), NOW), json!([]));
    assert_eq!(attention(&json!({}), NOW), json!([]));
}

#[test]
fn a_certificate_is_warned_of_by_its_own_lifetime() {
    let stage = |lifetime, left| expiry(&certificate("a", lifetime, left), NOW);
    assert_eq!(stage(90, 22), Expiry::Far);
    assert_eq!(stage(90, 20), Expiry::Soon);
    assert_eq!(stage(90, 6), Expiry::Urgent);
    assert_eq!(stage(90, 0), Expiry::Past);
    assert_eq!(stage(398, 22), Expiry::Far);
    assert_eq!(stage(398, 20), Expiry::Soon);
    assert_eq!(stage(398, 6), Expiry::Urgent);
    assert_eq!(stage(7, 2), Expiry::Far);
    assert_eq!(stage(7, 1), Expiry::Soon);
    assert_eq!(stage(20, 1), Expiry::Urgent);
}

#[test]
fn the_worst_comes_first_and_things_of_a_kind_are_one_finding() {
    let ends = [("z", -1), ("a", 17), ("b", 17), ("c", 17), ("d", 17), ("e", 90)];
    let loaded = ends.map(|(label, left)| certificate(label, 90, left));
    let found = found("/certificates/loaded", json!(loaded));
    let date = date(NOW + 17 * DAY);
    assert_eq!(found.len(), 2);
    assert!(found[0].starts_with("critical: expired: z ("), "{found:?}");
    let soon = ["a", "b", "c"].map(|label| format!("{label} ({date}, in 17 days)")).join(", ");
    assert_eq!(found[1], format!("warning: to be renewed: {soon} and 1 more"));
}

#[test]
fn an_expired_certificate_that_nobody_gets_is_to_be_deleted_and_no_disaster() {
    let mut one = certificate("a", 90, -1);
    one["state"] = json!("superseded");
    let found = found("/certificates/loaded", json!([one]));
    assert_eq!(found.len(), 1);
    assert!(found[0].starts_with("warning: expired, and another one is served: a ("), "{found:?}");
}

#[test]
fn a_backend_without_a_usable_endpoint_is_worse_than_one_that_lacks_some() {
    let endpoints = |all: &[Value]| found("/backends/0/endpoints", json!(all));
    let (well, ill) = (endpoint(1, "usable"), endpoint(2, "ejected"));
    let one = "10.0.0.2:80 (ejected)";
    assert_eq!(
        endpoints(&[well.clone(), ill.clone()]),
        [format!("warning: endpoints that cannot be used: {one} of `app`")]
    );
    assert_eq!(
        endpoints(&[ill]),
        [format!("critical: backends without a usable endpoint: `app`: {one}")]
    );
    let dead = "critical: backends without a usable endpoint: `app`: 10.0.0.4:80 (down)";
    assert_eq!(endpoints(&[endpoint(4, "down")]), [dead], "nothing takes it away, but it is dead");
    assert_eq!(endpoints(&[]), ["critical: backends without an address: `app`"]);
    assert!(endpoints(&[well, endpoint(3, "draining")]).is_empty(), "somebody wished it");
    let mut facts = self::well();
    facts["backends"][0]["endpoints"] = json!([endpoint(3, "draining")]);
    let told = attention(&facts, NOW);
    assert_eq!(told[0]["what"], "backends of which every endpoint drains: `app`");
    let hint = told[0]["hint"].as_str().expect("a way out");
    assert!(hint.contains("`portunus endpoint resume"), "it does not come back by itself: {hint}");
}

#[test]
fn what_is_nearly_used_up_is_told_before_it_is() {
    let used = |used: i64| found("/resources/connections/used", json!(used));
    assert!(used(89).is_empty());
    assert_eq!(used(90), ["warning: 90 of 100 connections are in use"]);
    assert_eq!(used(100), ["critical: 100 of 100 connections are in use"]);
    let pressure = |word: &str| found("/resources/memory/pressure", json!(word)).concat();
    assert!(pressure("high").starts_with("warning: memory runs short"));
    assert!(pressure("severe").starts_with("critical: memory is short"));
    assert!(found("/resources/workers_stalled", json!(1))[0].starts_with("critical: 1 of the"));
    assert!(found("/resources/panics", json!(2))[0].starts_with("warning: 2 connections"));
}

#[test]
fn a_rejected_reading_is_told_until_a_good_one_follows() {
    let reading = |subject: &str, errors: &[&str]| json!({ "subject": subject, "errors": errors });
    let (bad, good) = (reading("configuration", &["no"]), reading("configuration", &[]));
    let other = reading("certificates", &["skipped"]);
    let found = |readings: &[&Value]| found("/reloads", json!(readings));
    assert_eq!(
        found(&[&other, &bad, &good]),
        ["warning: the configuration that was read last: rejected, so the one before serves: no"]
    );
    assert!(found(&[&good, &bad]).is_empty());
}

#[test]
fn what_clients_are_refused_for_is_critical() {
    let found = |pointer, value: Value| found(pointer, value).concat();
    let crl = found("/client_auth/0/crls/0/next_update", json!(NOW));
    assert!(crl.starts_with("critical: revocation lists past their end"), "{crl}");
    let authority = found("/client_auth/0/authorities/0/not_after", json!(NOW - 1));
    assert_eq!(authority, "warning: expired authorities of clients: CN=ca");
}

#[test]
fn without_a_certificate_there_is_nobody_to_serve() {
    let mut facts = well();
    facts["certificates"] = json!({ "total": 0 });
    assert_eq!(attention(&facts, NOW), json!([]), "where none is needed");
    facts["ready"] = json!(false);
    assert_eq!(attention(&facts, NOW)[0]["severity"], "critical");
    facts["phase"] = json!("draining");
    assert_eq!(attention(&facts, NOW), json!([]));
}

#[test]
fn a_file_that_is_skipped_a_tier_that_is_away_and_a_last_good_are_told() {
    let skipped = json!([{ "file": "a.pem", "reason": "is empty" }]);
    let skipped = found("/certificates/skipped", skipped);
    assert_eq!(skipped, ["warning: not usable, so skipped: a.pem (is empty)"]);
    assert!(found("/certificates/kept", json!(2))[0].contains("the last good of 2"));
    let mut waits = well();
    waits["certificates"]["skipped"] = json!([{ "file": "a.pem", "reason": "not valid yet" }]);
    waits["certificates"]["kept"] = json!(1);
    waits["certificates"]["pending"] = json!([{ "chain_file": "a.pem" }]);
    assert_eq!(attention(&waits, NOW), json!([]), "it waits for its time");
    let away = found("/resumption/shared", json!({ "up": false }));
    assert!(away[0].starts_with("warning: the shared tier is away"), "{away:?}");
    assert!(found("/resumption/shared", json!({ "up": true })).is_empty());
}

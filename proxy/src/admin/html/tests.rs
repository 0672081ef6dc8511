//! What is on the page, in which order, and what can never be on it.

use serde_json::{Value, json};

use super::*;
use crate::outcome::{HandshakeFailure, Label as _};

const NOW: i64 = 1_800_000_000;
const DAY: i64 = 24 * 60 * 60;

fn shown(status: &Value) -> String {
    page(status, NOW, Refresh::Off)
}

/// A status in which every text is `text`.
fn all_is(text: &str) -> Value {
    json!({
        "machine": text, "version": text, "phase": text,
        "attention": [{ "severity": text, "area": text, "what": text, "hint": text }],
        "listeners": [{
            "listener": text, "mode": text, "entrance": text, "starttls": text,
            "addresses": [text], "handshakes": { "failed": 1, "failures": { text: 1 } },
        }],
        "certificates": {
            "loaded": [{
                "certificate": text, "names": [text], "issuer": text, "key": text, "state": text,
                "not_after": 0, "ocsp_staple": { "status": text },
            }],
            "pending": [{ "certificate": text, "names": [text], "state": "not_yet_valid" }],
            "skipped": [{ "file": text, "reason": text }],
            "warnings": [text],
        },
        "client_auth": [{
            "ca": text, "mode": text, "listeners": [{ "listener": text, "hosts": [text] }],
            "authorities": [{ "subject": text }], "crls": [{ "issuer": text }],
        }],
        "resumption": {
            "listeners": [{ "listener": text, "mode": text, "handshakes": { text: 1 } }],
            "shared": { "store": text, "up": true },
        },
        "backends": [{
            "backend": text,
            "endpoints": [{ "endpoint": "e", "address": text, "standing": text }],
        }],
        "failures": [{
            "listener": text, "client": text, "server_name": text, "versions": [text],
            "alpn": [text], "ja4": text, "reason": text, "words": text, "hint": text, "error": text,
        }],
        "reloads": [{
            "subject": text, "result": text, "changes": [text], "errors": [text],
            "warnings": [text],
        }],
        "confinement": { "sandbox": text, "missing": [text] },
    })
}

#[test]
fn names_from_anywhere_are_text_and_never_markup() {
    let page = shown(&all_is("<script>alert('x')</script>&\""));
    assert!(!page.contains("<script") && !page.contains("alert('"), "{page}");
    assert!(page.matches("&lt;script&gt;").count() > 30, "{page}");
}

#[test]
fn the_policy_allows_the_one_style_and_an_icon_and_nothing_else() {
    let policy = policy();
    assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"), "{policy}");
    assert!(!policy.contains("unsafe") && !policy.contains("script"), "{policy}");
    let page = shown(&all_is("a"));
    assert!(!page.contains(" style=") && !page.contains("javascript:"), "{page}");
    assert_eq!(page.matches("<style>").count(), 1);
}

#[test]
fn the_page_is_fetched_again_unless_its_reader_wants_to_read() {
    let head = |query| page(&json!({}), NOW, Refresh::asked(query));
    assert!(head(None).contains("http-equiv=\"refresh\" content=\"10\""));
    assert!(head(Some("60")).contains("content=\"60\""));
    for (query, seconds) in [("0", "2"), ("x", "10"), ("99999", "3600")] {
        assert!(head(Some(query)).contains(&format!("content=\"{seconds}\"")), "{query}");
    }
    assert!(!head(Some("off")).contains("http-equiv"));
}

#[test]
fn the_verdict_stands_first_and_in_the_title() {
    let well = shown(&json!({ "phase": "running", "machine": "edge-1" }));
    assert!(well.contains("<title>All is well – edge-1 – Portunus</title>"), "{well}");
    let finding = json!({ "severity": "critical", "what": "w", "hint": "h" });
    let ill = shown(&json!({ "phase": "running", "attention": [finding] }));
    assert!(ill.contains("<title>1 thing needs attention – "), "{ill}");
    let place = |words: &str| ill.find(words).unwrap();
    assert!(place("class=\"verdict critical\"") < place("class=\"tiles\""));
}

#[test]
fn failed_handshakes_are_those_of_clients_that_speak_tls() {
    let failures = json!({
        "client_silent": 900, "not_tls": 30, "source_rate": 7,
        "client_alert_unknown_ca": 1, "client_cert_missing": 2, "no_version": 3,
    });
    let handshakes = json!({ "finished": 94, "failed": 943, "failures": failures });
    let page = shown(&json!({ "listeners": [{ "handshakes": handshakes }] }));
    let (_, tile) = page.split_once("<dt>Failed handshakes").unwrap();
    assert!(tile.split_once("</div>").unwrap().0.contains(">6.0 %"), "{tile}");
    assert!(tile.contains("6 of 100 that spoke TLS"), "{tile}");
}

#[test]
fn a_failure_shows_the_error_that_its_hint_may_speak_of() {
    let failure = json!({ "words": "w", "hint": "the error says which", "error": "the rule" });
    let page = shown(&json!({ "failures": [failure] }));
    assert!(page.contains(">the rule</small>"), "{page}");
}

#[test]
fn of_many_endpoints_the_worst_are_seen_and_of_many_certificates_those_that_end_first() {
    let standing = |place: usize| if place % 100 == 7 { "unhealthy" } else { "usable" };
    let endpoints = (0..500).map(|place| {
        json!({ "endpoint": "e", "address": format!("h{place}:80"), "standing": standing(place) })
    });
    let loaded = (0..1000).map(|place| {
        let end = NOW + 30 * DAY + place;
        json!({ "certificate": format!("c{place}"), "not_before": NOW, "not_after": end })
    });
    let page = shown(&json!({
        "backends": [{ "backend": "b", "total": 500, "endpoints": endpoints.collect::<Value>() }],
        "certificates": { "total": 1000, "loaded": loaded.collect::<Value>() },
    }));
    let (_, rest) = page.split_once("<h3>Endpoints</h3>").unwrap();
    let (seen, folded) = rest.split_once("<details><summary>Show 490 more").unwrap();
    for place in [7, 107, 207, 307, 407] {
        assert!(seen.contains(&format!(">h{place}:80<")), "{seen}");
    }
    let (endpoints, rest) = folded.split_once("id=\"certificates\"").unwrap();
    assert_eq!(endpoints.matches("<tr>").count(), 491);
    let (seen, folded) = rest.split_once("<details><summary>Show 988 more").unwrap();
    assert!(seen.contains(">c0<") && seen.contains(">c11<") && !seen.contains(">c12<"));
    assert!(folded.contains(">c999<"));
    assert!(page.len() < 1_000_000, "{} bytes", page.len());
}

#[test]
fn failures_of_clients_are_those_of_the_recorded_rate() {
    let rules = include_str!("../../../../dashboards/prometheus/recording.yml");
    let (_, recorded) = rules.split_once("handshake_failures_total{reason=~\"").unwrap();
    let (recorded, _) = recorded.split_once('"').unwrap();
    let labels: Vec<_> = HandshakeFailure::ALL.iter().map(|reason| reason.label()).collect();
    for label in &labels {
        let is = |one: &str| match one.strip_suffix(".*") {
            Some(start) => label.starts_with(start),
            None => one == *label,
        };
        let is_recorded = recorded.split('|').any(is);
        assert_eq!(overview::is_of_a_client(label), is_recorded, "{label}");
    }
    assert!(overview::FAILURES_OF_CLIENTS.iter().all(|reason| labels.contains(reason)));
}

//! The status page for people: the facts of `/status` as HTML.
//!
//! Owns the layout. It holds no script and fetches nothing, and its policy (CSP Level 3) allows
//! neither: the one style is named by its digest. Every text is escaped, since names come from
//! certificates and thereby from anybody. Refuses to know how the facts come about.

use std::fmt::Write as _;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::status::{counts, percent};

/// The page that shows `status`, at `now` in seconds since 1970.
pub(super) fn page(status: &Value, now: i64) -> String {
    let (version, phase) = (text(status, "/version"), text(status, "/phase"));
    let mut page = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\">\
         <meta http-equiv=\"refresh\" content=\"10\">\
         <title>Portunus: {phase}</title><style>{STYLE}</style>\
         <h1>Portunus {version} <small class=\"{phase}\">{phase}</small></h1>"
    );
    backends(&mut page, status);
    resumption(&mut page, status);
    certificates(&mut page, status, now);
    page.push_str(
        "<p><a href=\"/status\">/status</a> has all of it as JSON, \
         <a href=\"/metrics\">/metrics</a> for Prometheus.</p></html>\n",
    );
    page
}

/// What a browser may do with the page.
pub(super) fn policy() -> String {
    let style = STANDARD.encode(digest(&SHA256, STYLE.as_bytes()));
    format!(
        "default-src 'none'; style-src 'sha256-{style}'; base-uri 'none'; form-action 'none'; \
         frame-ancestors 'none'"
    )
}

fn backends(page: &mut String, status: &Value) {
    page.push_str("<h2>Where requests go</h2>");
    let all = status.pointer("/backends").and_then(Value::as_array);
    let mut shown = Vec::new();
    for backend in all.into_iter().flatten() {
        let endpoints = rows(backend, "/endpoints", |endpoint| {
            let is_backup = endpoint.get("backup").and_then(Value::as_bool).unwrap_or_default();
            [
                text(backend, "/backend"),
                text(endpoint, "/endpoint"),
                text(endpoint, "/address"),
                text(endpoint, "/standing"),
                number(endpoint, "/weight").unwrap_or_default().to_string(),
                if is_backup { "backup".to_owned() } else { String::new() },
                number(endpoint, "/load").unwrap_or_default().to_string(),
            ]
        });
        if endpoints.is_empty() {
            let none = String::new;
            let words = "no address".to_owned();
            shown.push([text(backend, "/backend"), words, none(), none(), none(), none(), none()]);
        }
        shown.extend(endpoints);
    }
    let heads = ["backend", "endpoint", "address", "standing", "weight", "", "load"];
    table(page, heads, &shown);
}

fn resumption(page: &mut String, status: &Value) {
    page.push_str("<h2>Clients that come back</h2>");
    let listeners = rows(status, "/resumption/listeners", |listener| {
        [
            text(listener, "/listener"),
            text(listener, "/mode"),
            percent(listener.get("resumed_of_returning")),
            percent(listener.get("resumed_of_all")),
            escaped(&counts(listener.get("handshakes"))),
            escaped(&counts(listener.get("not_resumed"))),
        ]
    });
    let heads =
        ["listener", "mode", "of returning", "of all handshakes", "handshakes", "not resumed"];
    table(page, heads, &listeners);
    page.push_str("<h2>Where sessions are looked for</h2>");
    let mut tiers = Vec::new();
    for (name, pointer) in
        [("memory", "/memory"), ("shared tier", "/shared"), ("tickets", "/tickets")]
    {
        let pointer = format!("/resumption{pointer}");
        let Some(tier) = status.pointer(&pointer).filter(|tier| !tier.is_null()) else { continue };
        let state = match (tier.get("up").and_then(Value::as_bool), number(tier, "/sessions")) {
            (Some(true), _) => format!("{}, up", text(tier, "/store")),
            (Some(false), _) => format!("{}, away", text(tier, "/store")),
            (None, Some(sessions)) => format!("{sessions} sessions"),
            (None, None) => String::new(),
        };
        let found = percent(tier.pointer("/lookups/hit_rate"));
        tiers.push([name.to_owned(), state, found, escaped(&counts(tier.get("lookups")))]);
    }
    table(page, ["tier", "state", "found", "look-ups"], &tiers);
}

fn certificates(page: &mut String, status: &Value, now: i64) {
    let count = |what: &str| number(status, &format!("/certificates/{what}")).unwrap_or(0);
    let _ = write!(
        page,
        "<h2>Certificates</h2><p>{} loaded, {} pending, {} skipped, {} kept</p>",
        count("total"),
        count("pending_total"),
        count("skipped_total"),
        count("kept"),
    );
    let loaded = rows(status, "/certificates/loaded", |certificate| {
        let names = certificate.get("names").and_then(Value::as_array).into_iter().flatten();
        let names: Vec<_> = names.filter_map(Value::as_str).take(NAMES_SHOWN_MAX).collect();
        let ends = certificate.get("not_after").and_then(Value::as_i64).unwrap_or(now);
        let days = (ends - now).div_euclid(DAY_SECONDS);
        [
            text(certificate, "/certificate"),
            escaped(&names.join(" ")),
            text(certificate, "/state"),
            format!("{days} days"),
        ]
    });
    let shown = loaded.get(..CERTIFICATES_SHOWN_MAX).unwrap_or(&loaded);
    table(page, ["certificate", "names", "state", "ends in"], shown);
    if shown.len() < loaded.len() {
        page.push_str("<p>These end first; <a href=\"/status\">/status</a> has more.</p>");
    }
    let skipped =
        rows(status, "/certificates/skipped", |file| [text(file, "/file"), text(file, "/reason")]);
    if !skipped.is_empty() {
        let shown = skipped.get(..CERTIFICATES_SHOWN_MAX).unwrap_or(&skipped);
        table(page, ["skipped file", "reason"], shown);
    }
}

fn table<const N: usize>(page: &mut String, heads: [&str; N], rows: &[[String; N]]) {
    page.push_str("<table><tr>");
    heads.iter().for_each(|head| page.extend(["<th>", head, "</th>"]));
    for row in rows {
        page.push_str("<tr>");
        row.iter().for_each(|cell| page.extend(["<td>", cell, "</td>"]));
    }
    page.push_str("</table>");
}

fn rows<const N: usize>(
    value: &Value,
    pointer: &str,
    row: impl Fn(&Value) -> [String; N],
) -> Vec<[String; N]> {
    value.pointer(pointer).and_then(Value::as_array).into_iter().flatten().map(row).collect()
}

fn text(value: &Value, pointer: &str) -> String {
    escaped(value.pointer(pointer).and_then(Value::as_str).unwrap_or_default())
}

fn number(value: &Value, pointer: &str) -> Option<u64> {
    value.pointer(pointer).and_then(Value::as_u64)
}

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            letter => escaped.push(letter),
        }
    }
    escaped
}

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:72rem;\
    padding:0 1rem;color:#222;background:#fff}h1 small{font-size:1rem;padding:.2rem .6rem;\
    border-radius:1rem;background:#eee}h1 .running{background:#d7f0dd}h2{font-size:1.1rem;\
    margin-top:2rem}table{border-collapse:collapse;width:100%}th,td{text-align:left;\
    padding:.3rem .8rem .3rem 0;border-bottom:1px solid #ddd;vertical-align:top}th{color:#555;\
    font-weight:600}@media(prefers-color-scheme:dark){body{color:#ddd;background:#161616}\
    th{color:#aaa}th,td{border-color:#333}h1 small{background:#333}h1 .running{background:#1d4d2b}\
    a{color:#8ab4f8}}";
const CERTIFICATES_SHOWN_MAX: usize = 50;
const NAMES_SHOWN_MAX: usize = 8;
const DAY_SECONDS: i64 = 24 * 60 * 60;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_of_certificates_are_text_and_never_markup() {
        let evil = "<script>alert('x')</script>&\"";
        let status = json!({
            "version": "1", "phase": "running",
            "certificates": {
                "loaded": [{ "certificate": evil, "names": [evil], "not_after": 0 }],
                "skipped": [{ "file": evil, "reason": evil }],
            },
            "resumption": { "listeners": [{ "listener": evil, "handshakes": { "full": 1 } }] },
            "backends": [{ "backend": evil, "endpoints": [{ "endpoint": evil, "address": evil }] }],
        });
        let page = page(&status, 0);
        assert!(!page.contains("<script") && !page.contains("alert('"), "{page}");
        assert_eq!(page.matches("&lt;script&gt;").count(), 8);
        assert!(page.contains("1 full"));
    }

    #[test]
    fn the_policy_allows_the_one_style_and_nothing_else() {
        let policy = policy();
        assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"), "{policy}");
        assert!(!policy.contains("unsafe") && !policy.contains("script"), "{policy}");
    }
}

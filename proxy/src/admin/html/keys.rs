//! Certificates, whom clients are trusted by, and sessions.
//!
//! Owns three parts of the page. Certificates stand in the order of their end, so that the next one
//! to be renewed is on top. Refuses to know when one is near its end: `status` does.

use serde_json::Value;

use super::markup::Markup;
use super::table::Column::Words;
use super::table::{points, table};
use super::traffic::lines;
use super::words::{
    Tone, badge, bar, count, counts, dated, moment, prose, share, size, small, span, spoken,
    things, verb_moment,
};
use super::{section, sentence};
use crate::admin::status::read::{holds, list, number, text, texts};
use crate::admin::status::{Expiry, expiry};

/// Certificates, and files that are none.
pub(super) fn certificates(status: &Value, now: i64) -> Markup {
    let loaded = list(status, "/certificates/loaded");
    let rows: Vec<_> = loaded.iter().map(|one| certificate(one, now)).collect();
    let columns =
        [Words("Certificate"), Words("Names"), Words("Ends"), Words("State"), Words("Issuer")];
    let pending = list(status, "/certificates/pending");
    let waiting: Vec<_> = pending.iter().map(|one| certificate(one, now)).collect();
    let skipped: Vec<_> = list(status, "/certificates/skipped")
        .iter()
        .map(|one| [file(text(one, "/file")), prose(text(one, "/reason"))])
        .collect();
    let warnings: Vec<_> = texts(status, "/certificates/warnings").collect();
    let total = number(status, "/certificates/total");
    let mut page = match loaded.is_empty() {
        true => sentence("None is loaded."),
        false => table("Certificates", columns, &rows, CERTIFICATES_SHOWN),
    };
    let more = total - loaded.len() as i64;
    if more > 0 {
        page = page.add(&sentence(&format!("{} end later.", things(more, "more", "more"))));
    }
    if !waiting.is_empty() {
        let waiting = table("Waiting certificates", columns, &waiting, FILES_SHOWN);
        page = page.raw("<h3>Renewed, and waiting for their time</h3>").add(&waiting);
    }
    if !skipped.is_empty() {
        let skipped = table("Skipped files", [Words("File"), Words("Why")], &skipped, FILES_SHOWN);
        page = page.raw("<h3>Skipped files</h3>").add(&skipped);
    }
    if !warnings.is_empty() {
        page = page.raw("<h3>Warnings</h3>").add(&points(&warnings, FILES_SHOWN));
    }
    section("certificates", "Certificates", &page)
}

fn certificate(one: &Value, now: i64) -> [Markup; 5] {
    let names: Vec<_> = texts(one, "/names").collect();
    let more = names.len().saturating_sub(NAMES_SHOWN);
    let shown = lines(names.iter().copied().take(NAMES_SHOWN));
    let shown = match more {
        0 => shown,
        more => shown.add(&small(&format!("and {} more", count(more as i64)))),
    };
    let end = number(one, "/not_after");
    let (tone, word) = match (text(one, "/state"), expiry(one, now)) {
        ("not_yet_valid", _) => (Tone::Warning, "not valid yet"),
        ("superseded", _) => (Tone::Warning, "superseded"),
        (_, Expiry::Past) => (Tone::Critical, "expired"),
        (_, Expiry::Urgent) => (Tone::Critical, "about to expire"),
        (_, Expiry::Soon) => (Tone::Warning, "to be renewed"),
        (_, Expiry::Far) => (Tone::Good, "valid"),
    };
    let end = match text(one, "/state") {
        "not_yet_valid" => {
            let from = number(one, "/not_before");
            dated("begins ", from, now)
        }
        _ => dated("", end, now),
    };
    [
        file(text(one, "/certificate")).add(&small(text(one, "/key"))),
        shown,
        end,
        badge(tone, word).add(&staple(one)),
        Markup::of(text(one, "/issuer")),
    ]
}

fn staple(one: &Value) -> Markup {
    let status = text(one, "/ocsp_staple/status");
    match (status, holds(one, "/ocsp_staple/sent"), holds(one, "/must_staple")) {
        ("", _, false) => Markup::new(),
        ("", _, true) => badge(Tone::Critical, "staple missing"),
        ("good", true, _) => small("stapled"),
        ("good", false, _) => badge(Tone::Warning, "staple too old"),
        (status, ..) => badge(Tone::Critical, status),
    }
}

/// The name of a file: of a long path, the end says most.
fn file(path: &str) -> Markup {
    match path.rsplit_once('/') {
        Some((folder, name)) if !folder.is_empty() => Markup::of(name).add(&small(folder)),
        _ => Markup::of(path),
    }
}

/// Who may be a client, where that is asked.
pub(super) fn clients(status: &Value, now: i64) -> Markup {
    let policies = list(status, "/client_auth");
    if policies.is_empty() {
        return Markup::new();
    }
    let rows: Vec<_> = policies.iter().map(|policy| client_policy(policy, now)).collect();
    let columns = [
        Words("Authorities"),
        Words("Asked by"),
        Words("Certificate"),
        Words("Trusted until"),
        Words("Revocation lists"),
    ];
    section(
        "clients",
        "Clients with certificates",
        &table("Clients", columns, &rows, CLIENTS_SHOWN),
    )
}

fn client_policy(policy: &Value, now: i64) -> [Markup; 5] {
    let asker = |page: Markup, one: &Value| {
        let hosts: Vec<_> = texts(one, "/hosts").take(NAMES_SHOWN).collect();
        page.text(text(one, "/listener")).add(&small(&hosts.join(" ")))
    };
    let authority = |page: Markup, one: &Value| {
        page.add(&moment(number(one, "/not_after"), now)).add(&small(text(one, "/subject")))
    };
    let crl = |page: Markup, one: &Value| {
        let revoked = things(number(one, "/revoked"), "revoked", "revoked");
        let end = match one.get("next_update").and_then(Value::as_i64) {
            Some(end) if end <= now => badge(Tone::Critical, "past its end"),
            Some(end) => verb_moment("ends ", end, now),
            None => Markup::of("without an end"),
        };
        page.add(&end).add(&small(&format!("{revoked}, {}", text(one, "/issuer"))))
    };
    let crls = list(policy, "/crls");
    let lists = if crls.is_empty() { Markup::of("none") } else { Markup::new() };
    let mode = if text(policy, "/mode") == "require" { "required" } else { "asked for" };
    [
        file(text(policy, "/ca")),
        Markup::new().each(list(policy, "/listeners"), asker),
        Markup::of(mode),
        Markup::new().each(list(policy, "/authorities").iter().take(AUTHORITIES_SHOWN), authority),
        lists.each(crls.iter().take(AUTHORITIES_SHOWN), crl),
    ]
}

/// Clients that came back, and where their sessions were looked for.
pub(super) fn resumption(status: &Value) -> Markup {
    let listeners = list(status, "/resumption/listeners");
    let rows: Vec<_> = listeners.iter().map(returning).collect();
    let columns = [
        Words("Listener"),
        Words("Resumed, of those that came back"),
        Words("Handshakes"),
        Words("Not resumed, and why"),
    ];
    let tiers = [("Memory", "memory"), ("Shared tier", "shared"), ("Tickets", "tickets")];
    let tiers = tiers.into_iter().filter_map(|(name, key)| {
        let facts = status.pointer(&format!("/resumption/{key}"))?;
        (!facts.is_null()).then(|| tier(name, facts))
    });
    let tiers: Vec<_> = tiers.collect();
    let of_tiers = [Words("Tier"), Words("State"), Words("Found"), Words("Look-ups")];
    let page = table("Clients that came back", columns, &rows, LISTENERS_SHOWN)
        .raw("<h3>Where sessions are looked for</h3>")
        .add(&table("Tiers of sessions", of_tiers, &tiers, tiers.len()));
    section("resumption", "Resumption", &page)
}

fn returning(one: &Value) -> [Markup; 4] {
    let sum = |key: &str, but: &str| {
        let counts = one.get(key).and_then(Value::as_object).into_iter().flatten();
        let counts = counts.filter(|(name, _)| *name != but);
        counts.filter_map(|(_, count)| count.as_i64()).sum::<i64>()
    };
    let (resumed, not) = (sum("handshakes", "full"), sum("not_resumed", ""));
    let rate = match resumed + not {
        0 => Markup::of("–"),
        all => Markup::of(&share(resumed, all)).add(&bar(Tone::Plain, resumed, all)),
    };
    [
        Markup::of(text(one, "/listener")).add(&small(text(one, "/mode"))),
        rate,
        Markup::of(&counts(one.get("handshakes"))),
        Markup::of(&counts(one.get("not_resumed"))),
    ]
}

fn tier(name: &'static str, facts: &Value) -> [Markup; 4] {
    let state = match (facts.get("up").and_then(Value::as_bool), facts.get("sessions")) {
        (Some(true), _) => badge(Tone::Good, "up").add(&small(text(facts, "/store"))),
        (Some(false), _) => badge(Tone::Warning, "away").add(&small(text(facts, "/store"))),
        (None, Some(_)) => {
            let sessions = things(number(facts, "/sessions"), "session", "sessions");
            Markup::of(&sessions).add(&small(&size(number(facts, "/bytes"))))
        }
        (None, None) => match facts.get("key_age_seconds").and_then(Value::as_f64) {
            Some(age) if age > 0.0 => Markup::of(&format!("key of {}", span(age as i64))),
            _ => Markup::of("–"),
        },
    };
    let lookups = facts.get("lookups");
    let count = |key: &str| lookups.and_then(|all| all.get(key)?.as_i64()).unwrap_or_default();
    let all = ["hit", "miss", "expired", "policy", "timeout", "error"].map(count).iter().sum();
    [
        Markup::of(name),
        state,
        Markup::of(&share(count("hit"), all)),
        Markup::of(&spoken(&counts(lookups))),
    ]
}

const AUTHORITIES_SHOWN: usize = 3;
const CERTIFICATES_SHOWN: usize = 12;
const CLIENTS_SHOWN: usize = 10;
const FILES_SHOWN: usize = 5;
const LISTENERS_SHOWN: usize = 20;
const NAMES_SHOWN: usize = 4;

//! Where clients come in, and where their requests go.
//!
//! Owns two parts of the page: listeners, and backends with their endpoints, those first that
//! cannot be used. Refuses to know why an endpoint stands as it does.

use std::cmp::Reverse;

use serde_json::Value;

use super::markup::Markup;
use super::table::Column::{Numbers, Words};
use super::table::table;
use super::words::{Tone, badge, bar, count, counts, share, size, small, span, spoken, things};
use super::{section, sentence};
use crate::admin::status::read::{holds, list, number, text, texts};

/// Who listens where, who came, and how it went.
pub(super) fn listeners(status: &Value) -> Markup {
    let rows: Vec<_> = list(status, "/listeners").iter().map(listener).collect();
    let columns = [
        Words("Listener"),
        Words("Waits at"),
        Numbers("Open"),
        Numbers("Accepted"),
        Numbers("Handshakes"),
        Numbers("Failed"),
        Words("Why"),
        Numbers("To clients"),
        Numbers("To backends"),
    ];
    section("listeners", "Listeners", &table("Listeners", columns, &rows, LISTENERS_SHOWN))
}

fn listener(one: &Value) -> [Markup; 9] {
    let finished = number(one, "/handshakes/finished");
    let failed = number(one, "/handshakes/failed");
    let is_clear = text(one, "/entrance") == "clear";
    let of_tls =
        |number: i64| if is_clear { Markup::of("–") } else { Markup::of(&count(number)) };
    let passed = number(one, "/passed_through");
    let passed = match passed {
        0 => Markup::new(),
        passed => small(&format!("{} passed through", count(passed))),
    };
    let failures = match failed {
        0 => of_tls(0),
        _ => of_tls(failed).add(&small(&share(failed, finished + failed))),
    };
    [
        Markup::of(text(one, "/listener")).add(&small(&protocol(one))),
        lines(texts(one, "/addresses")),
        Markup::of(&count(number(one, "/connections/active"))),
        Markup::of(&count(number(one, "/connections/total"))),
        of_tls(finished).add(&passed),
        failures,
        Markup::of(&counts(one.pointer("/handshakes/failures"))),
        Markup::of(&size(number(one, "/bytes/downstream"))),
        Markup::of(&size(number(one, "/bytes/upstream"))),
    ]
}

/// What is spoken there.
fn protocol(one: &Value) -> String {
    let inside = if text(one, "/mode") == "http" { "HTTP" } else { "TCP" };
    match (text(one, "/entrance"), text(one, "/starttls")) {
        ("clear", _) => format!("{inside} in the clear"),
        (_, "") => format!("{inside} in TLS"),
        (_, before) => format!("{inside} in TLS, STARTTLS by {before}"),
    }
}

/// Short texts, a line each.
pub(super) fn lines<'a>(texts: impl Iterator<Item = &'a str>) -> Markup {
    let line = |page: Markup, text: &str| match text.len() {
        ..=SHORT_BYTES => page.raw("<div class=\"keep\">").text(text).raw("</div>"),
        _ => page.raw("<div>").text(text).raw("</div>"),
    };
    Markup::new().each(texts, line)
}

/// Backends and their endpoints.
pub(super) fn backends(status: &Value) -> Markup {
    let all = list(status, "/backends");
    if all.is_empty() {
        return Markup::new();
    }
    let mut rows: Vec<_> = all.iter().map(|one| (usable(one), backend(one))).collect();
    rows.sort_by_key(|(tone, _)| Reverse(*tone));
    let rows: Vec<_> = rows.into_iter().map(|(_, row)| row).collect();
    let columns =
        [Words("Backend"), Words("Endpoints"), Numbers("Going on"), Numbers("Names resolved")];
    let mut endpoints: Vec<_> = all
        .iter()
        .flat_map(|backend| list(backend, "/endpoints").iter().map(move |one| (backend, one)))
        .collect();
    let is_usable = |one: &Value| text(one, "/standing") == "usable";
    endpoints.sort_by_key(|(_, one)| {
        (is_usable(one), Reverse(standing(one).0), Reverse(number(one, "/load")))
    });
    let told: i64 = all.iter().map(|one| number(one, "/total")).sum();
    let more = told - endpoints.len() as i64;
    let endpoints: Vec<_> =
        endpoints.into_iter().map(|(backend, one)| endpoint(backend, one)).collect();
    let of_endpoints = [
        Words("Endpoint"),
        Words("Backend"),
        Words("Standing"),
        Numbers("Going on"),
        Numbers("Weight"),
    ];
    let page = table("Backends", columns, &rows, BACKENDS_SHOWN)
        .raw("<h3>Endpoints</h3>")
        .add(&table("Endpoints", of_endpoints, &endpoints, ENDPOINTS_SHOWN));
    let page = match more {
        ..=0 => page,
        more => page.add(&sentence(&format!("{} are not told.", things(more, "more", "more")))),
    };
    section("backends", "Backends", &page)
}

/// How well a backend is.
fn usable(backend: &Value) -> Tone {
    let endpoints = list(backend, "/endpoints");
    let are_usable = endpoints.iter().filter(|one| text(one, "/standing") == "usable").count();
    match are_usable {
        0 => Tone::Critical,
        some if some < endpoints.len() => Tone::Warning,
        _ => Tone::Good,
    }
}

fn backend(one: &Value) -> [Markup; 4] {
    let endpoints = list(one, "/endpoints");
    let are_usable = endpoints.iter().filter(|one| text(one, "/standing") == "usable").count();
    let words = match endpoints.len() {
        0 => "no address".to_owned(),
        all => format!("{} of {} usable", count(are_usable as i64), count(all as i64)),
    };
    let load = endpoints.iter().map(|one| number(one, "/load")).sum();
    let age = one.get("resolve_age_seconds").and_then(Value::as_i64);
    let age = age.map_or("–".to_owned(), |age| format!("{} ago", span(age)));
    let tone = usable(one);
    let bar = match tone {
        Tone::Good => Markup::new(),
        tone => bar(tone, are_usable as i64, endpoints.len() as i64),
    };
    [
        Markup::of(text(one, "/backend")),
        badge(tone, &words).add(&bar),
        Markup::of(&count(load)),
        Markup::of(&age),
    ]
}

fn endpoint(backend: &Value, one: &Value) -> [Markup; 5] {
    let (name, address) = (text(one, "/endpoint"), text(one, "/address"));
    let name = if name == address { String::new() } else { name.to_owned() };
    let (tone, word) = standing(one);
    let kind = if holds(one, "/backup") { "backup" } else { "" };
    [
        Markup::of(address).add(&small(&name)),
        Markup::of(text(backend, "/backend")),
        badge(tone, &spoken(word)),
        Markup::of(&count(number(one, "/load"))),
        Markup::of(&count(number(one, "/weight"))).add(&small(kind)),
    ]
}

/// How an endpoint stands.
fn standing(one: &Value) -> (Tone, &str) {
    let tone = match text(one, "/standing") {
        "usable" => Tone::Good,
        "draining" => Tone::Plain,
        "ejected" => Tone::Warning,
        _ => Tone::Critical,
    };
    (tone, text(one, "/standing"))
}

/// Text that is not broken.
const SHORT_BYTES: usize = 24;
const LISTENERS_SHOWN: usize = 10;
const BACKENDS_SHOWN: usize = 10;
const ENDPOINTS_SHOWN: usize = 10;

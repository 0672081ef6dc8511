//! What is seen first: who this is, whether all is well, and how much of everything is used.
//!
//! Owns the head of the page, its title and icon, the verdict and the tiles. Refuses to judge:
//! `status::attention` does.

use serde_json::Value;

use super::Refresh;
use super::markup::Markup;
use super::words::{Tone, badge, bar, count, prose, share, size, small, span, spoken, things};
use crate::admin::status::read::{list, number, text, texts};
use crate::calendar::{date, distance};

/// The title and the icon, which tell the verdict to those who see only a tab.
pub(super) fn head(status: &Value, refresh: Refresh) -> Markup {
    let head = match refresh {
        Refresh::Every(seconds) => Markup::new()
            .raw("<meta http-equiv=\"refresh\" content=\"")
            .text(&seconds.to_string())
            .raw("\">"),
        Refresh::Off => Markup::new(),
    };
    let (tone, verdict) = judged(status);
    let [before, behind] = ICON;
    head.raw("<title>")
        .text(&verdict)
        .raw(" – ")
        .text(text(status, "/machine"))
        .raw(" – Portunus</title><link rel=\"icon\" href=\"")
        .raw(before)
        .raw(match tone {
            Tone::Good => "18713a",
            Tone::Warning => "c77700",
            Tone::Critical => "b3211e",
            Tone::Plain => "59616b",
        })
        .raw(behind)
        .raw("\">")
}

/// How bad it is, and the sentence for it.
fn judged(status: &Value) -> (Tone, String) {
    let findings = list(status, "/attention");
    let is_critical = |one: &&Value| text(one, "/severity") == "critical";
    match (findings.iter().filter(is_critical).count(), findings.len()) {
        (0, 0) => match text(status, "/phase") {
            "running" => (Tone::Good, "All is well".to_owned()),
            phase => (Tone::Plain, format!("The process is {phase}")),
        },
        (0, all) => (Tone::Warning, needs(all)),
        (_, all) => (Tone::Critical, needs(all)),
    }
}

fn needs(findings: usize) -> String {
    match findings {
        1 => "1 thing needs attention".to_owned(),
        more => format!("{more} things need attention"),
    }
}

/// Who this is, and since when.
pub(super) fn header(status: &Value, now: i64, refresh: Refresh) -> Markup {
    let phase = text(status, "/phase");
    let tone = if phase == "running" { Tone::Good } else { Tone::Warning };
    let facts = format!(
        "Portunus {} · up {} · configuration {}",
        text(status, "/version"),
        span(number(status, "/uptime_seconds")),
        number(status, "/generation"),
    );
    let header = Markup::new()
        .raw("<header>")
        .raw(MARK)
        .raw("<div class=\"who\"><h1>")
        .text(text(status, "/machine"))
        .raw(" ")
        .add(&badge(tone, phase))
        .raw("</h1><p>")
        .text(&facts)
        .raw("</p></div><p class=\"when\">As of ")
        .text(&date(now))
        .raw("<br>");
    let header = match refresh {
        Refresh::Every(seconds) => header
            .raw("again every ")
            .text(&seconds.to_string())
            .raw(" s · <a href=\"?refresh=off\">stop</a>"),
        Refresh::Off => header.raw("stopped · <a href=\"?\">go on</a>"),
    };
    header.raw("</p></header>")
}

/// Whether all is well, and what is not.
pub(super) fn verdict(status: &Value) -> Markup {
    let (tone, words) = judged(status);
    let findings = list(status, "/attention");
    let page = Markup::new()
        .raw("<div class=\"verdict ")
        .raw(tone.class())
        .raw("\" role=\"status\"><h2>")
        .text(&words)
        .raw("</h2>");
    let finding = |page: Markup, finding: &Value| {
        let severity = text(finding, "/severity");
        let tone = if severity == "critical" { Tone::Critical } else { Tone::Warning };
        page.raw("<li>")
            .add(&badge(tone, severity))
            .add(&prose(text(finding, "/what")))
            .element("small", "by", &prose(text(finding, "/hint")))
            .raw("</li>")
    };
    let page = match findings.is_empty() {
        true => page,
        false => page.raw("<ul>").each(findings, finding).raw("</ul>"),
    };
    page.raw("</div>")
}

/// How much of everything is used.
pub(super) fn tiles(status: &Value, now: i64) -> Markup {
    let of = |key: &str| {
        let at = |which: &str| number(status, &format!("/resources/{key}/{which}"));
        (at("used"), at("max"))
    };
    let used = |name, key| {
        let (used, max) = of(key);
        let by = if max > 0 { format!("of {}", count(max)) } else { String::new() };
        tile(name, &count(used), &by, Some((used, max)))
    };
    let memory = {
        let (resident, max) = (
            number(status, "/resources/memory/resident_bytes"),
            number(status, "/resources/memory/max_bytes"),
        );
        let counted = number(status, "/resources/memory/used_bytes");
        match max {
            0 => tile("Memory", &size(resident), "without a limit", None),
            max => {
                tile("Memory", &size(counted), &format!("of {}", size(max)), Some((counted, max)))
            }
        }
    };
    Markup::new()
        .raw("<dl class=\"tiles\">")
        .add(&used("Open connections", "connections"))
        .add(&used("Handshakes going on", "handshakes"))
        .add(&memory)
        .add(&used("Open files", "open_files"))
        .add(&handshakes(status))
        .add(&returning(status))
        .add(&endpoints(status))
        .add(&certificates(status, now))
        .raw("</dl>")
}

fn handshakes(status: &Value) -> Markup {
    let listeners = list(status, "/listeners");
    let finished: i64 = listeners.iter().map(|one| number(one, "/handshakes/finished")).sum();
    let failures = listeners.iter().filter_map(|one| one.pointer("/handshakes/failures"));
    let failures = failures.filter_map(Value::as_object).flatten();
    let failed: i64 = failures
        .filter(|(reason, _)| is_of_a_client(reason))
        .filter_map(|(_, count)| count.as_i64())
        .sum();
    let by = format!("{} of {} that spoke TLS", count(failed), count(finished + failed));
    tile("Failed handshakes", &share(failed, finished + failed), &by, None)
}

/// Whether a handshake that failed for `reason` was with a client that speaks TLS and was not
/// turned away by a limit: not with a scanner. The recorded rate of failures counts the same.
pub(super) fn is_of_a_client(reason: &str) -> bool {
    reason.starts_with("client_alert")
        || reason.starts_with("client_cert_")
        || FAILURES_OF_CLIENTS.contains(&reason)
}

fn returning(status: &Value) -> Markup {
    let sum = |key: &str, but: &str| {
        let listeners = list(status, "/resumption/listeners").iter();
        let counts = listeners.filter_map(|one| one.get(key)?.as_object()).flatten();
        let counts = counts.filter(|(name, _)| *name != but);
        counts.filter_map(|(_, count)| count.as_i64()).sum::<i64>()
    };
    let (resumed, not) = (sum("handshakes", "full"), sum("not_resumed", ""));
    let by = format!("{} of {} that came back", count(resumed), count(resumed + not));
    tile("Resumed clients", &share(resumed, resumed + not), &by, None)
}

fn endpoints(status: &Value) -> Markup {
    let backends = list(status, "/backends");
    let all = backends.iter().flat_map(|one| list(one, "/endpoints"));
    let (usable, all) = all.fold((0, 0), |(usable, all), one| {
        (usable + i64::from(text(one, "/standing") == "usable"), all + 1)
    });
    let by = format!("usable, of {}", things(backends.len() as i64, "backend", "backends"));
    let value = format!("{} / {}", count(usable), count(all));
    tile("Endpoints", &value, &by, None)
}

fn certificates(status: &Value, now: i64) -> Markup {
    let first = list(status, "/certificates/loaded").first();
    let by = match first.and_then(|one| one.get("not_after")?.as_i64()) {
        Some(end) if end <= now => format!("the first ended {}", distance(end - now)),
        Some(end) => format!("the first ends {}", distance(end - now)),
        None => String::new(),
    };
    tile("Certificates", &count(number(status, "/certificates/total")), &by, None)
}

fn tile(name: &'static str, value: &str, by: &str, used: Option<(i64, i64)>) -> Markup {
    let page = Markup::new()
        .raw("<div class=\"tile\"><dt>")
        .raw(name)
        .raw("</dt><dd><div class=\"value\">")
        .text(value)
        .raw("</div>")
        .add(&small(by));
    let page = match used {
        Some((used, max)) if max > 0 => page.add(&bar(fullness(used, max), used, max)),
        _ => page,
    };
    page.raw("</dd></div>")
}

/// How bad it is that so much is used.
fn fullness(used: i64, max: i64) -> Tone {
    match used.saturating_mul(10) {
        tenths if tenths >= max.saturating_mul(10) => Tone::Critical,
        tenths if tenths >= max.saturating_mul(9) => Tone::Warning,
        _ => Tone::Plain,
    }
}

/// What the process has given up, and where to read on.
pub(super) fn footer(status: &Value) -> Markup {
    let missing: Vec<_> = texts(status, "/confinement/missing").map(spoken).collect();
    let sandbox = match (text(status, "/confinement/sandbox"), missing.is_empty()) {
        ("", _) => String::new(),
        ("off", _) => "The sandbox is off. ".to_owned(),
        (_, true) => "The process is confined by all that this system offers. ".to_owned(),
        (_, false) => format!("Not to be had on this system: {}. ", missing.join(", ")),
    };
    Markup::new()
        .raw("<footer><p>")
        .text(&sandbox)
        .raw("<a href=\"/status\">/status</a> has all of this as JSON, ")
        .raw("<a href=\"/metrics\">/metrics</a> for Prometheus.</p></footer>")
}

/// Reasons for which handshakes fail of clients that speak TLS, besides what they say themselves
/// and what is said of their certificates.
pub(super) const FAILURES_OF_CLIENTS: [&str; 7] = [
    "internal",
    "no_alpn",
    "no_certificate",
    "no_cipher",
    "no_group",
    "no_signature_scheme",
    "no_version",
];

/// An icon of one colour, in the address itself: what stands before the colour, and behind it.
const ICON: [&str; 2] = [
    "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 40 40'%3E\
     %3Cpath fill='%23",
    "' d='M5 38V17a15 15 0 0 1 30 0v21z'/%3E%3Cg fill='none' stroke='%23fff' \
     stroke-width='2.5'%3E%3Ccircle cx='20' cy='16' r='4.5'/%3E\
     %3Cpath d='M20 20.5V32m0-5h4m-4 5h4'/%3E%3C/g%3E%3C/svg%3E",
];

/// A key in a door.
const MARK: &str = "<svg class=\"mark\" viewBox=\"0 0 40 40\" aria-hidden=\"true\">\
    <path class=\"door\" d=\"M5 38V17a15 15 0 0 1 30 0v21z\"/><g class=\"key\">\
    <circle cx=\"20\" cy=\"16\" r=\"4.5\"/><path d=\"M20 20.5V32m0-5h4m-4 5h4\"/></g></svg>";

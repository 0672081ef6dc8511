//! `portunus status`: what the running process says of itself.
//!
//! Owns the words for people; JSON is passed on as it came. Refuses to know how the process is
//! asked, which is `ask`, and how the facts come about, which is `admin::status`.

use std::fmt::Write as _;

use serde_json::Value;

use crate::admin::status::read::{self, list};
use crate::admin::status::{counts, percent};
use crate::config::Sought;

use super::output::{count, plain};
use super::{ConfigFile, DONE, ask, fail, failures, output, unusable};

/// What is wanted to be known.
#[derive(Debug, clap::Args)]
pub(super) struct Question {
    /// Print JSON, as `/status` has it
    #[arg(long)]
    json: bool,
    /// Tell which handshakes failed of late, and why, instead
    #[arg(long)]
    failures: bool,
    /// Fail unless the process is ready for clients, as `/readyz` does; for health checks
    #[arg(long)]
    ready: bool,
    #[command(flatten)]
    config: ConfigFile,
}

/// Asks the running process, and prints what it says.
pub(super) fn run(question: &Question) -> u8 {
    // A process that goes on serving is well, whatever has become of its file.
    let Sought { admin, doubt } = question.config.seek_admin();
    let status = match (ask::ask(admin.as_ref(), "GET", "/status"), doubt) {
        (Ok(status), _) => status,
        (Err(_), Some(doubt)) => return unusable(&doubt),
        (Err(error), None) => return fail(&error, error.hint()),
    };
    let failures = status.pointer("/failures").unwrap_or(&Value::Null);
    let code = match (question.failures, question.json) {
        (false, false) => output::print(text(&status).trim_end()),
        (false, true) => output::print(&status),
        (true, false) => {
            let failures = failures.as_array().map(Vec::as_slice).unwrap_or_default();
            output::print(failures::text(failures).trim_end())
        }
        (true, true) => output::print(failures),
    };
    let is_ready = status.pointer("/ready").and_then(Value::as_bool).unwrap_or_default();
    if code == DONE && question.ready && !is_ready {
        return fail(&NotReady, Some("it is ready once it runs and has a certificate to serve"));
    }
    code
}

/// The process answers, but does not want clients.
#[derive(Debug, thiserror::Error)]
#[error("the running process is not ready")]
struct NotReady;

/// A backend in words: how many of its endpoints stand in which way, and which are not usable.
fn backend_text(text: &mut String, backend: &Value) {
    let word =
        |value: &Value, key: &str| plain(value.get(key).and_then(Value::as_str).unwrap_or("?"));
    let endpoints = backend.get("endpoints").and_then(Value::as_array);
    let (mut usable, mut others) = (0, Vec::new());
    for endpoint in endpoints.into_iter().flatten() {
        match word(endpoint, "standing") {
            standing if standing == "usable" => usable += 1,
            standing => others.push(format!("{} {standing}", word(endpoint, "address"))),
        }
    }
    others.truncate(ENDPOINTS_SHOWN_MAX);
    let (name, count) = (word(backend, "backend"), count(usable, "usable endpoint"));
    let _ = writeln!(text, "backend {name}: {}", [vec![count], others].concat().join(", "));
}

/// The facts in words.
fn text(status: &Value) -> String {
    let mut text = String::new();
    let word =
        |pointer: &str| plain(status.pointer(pointer).and_then(Value::as_str).unwrap_or("?"));
    let number = |pointer: &str| status.pointer(pointer).and_then(Value::as_u64).unwrap_or(0);
    // Writing to a String cannot fail.
    let _ = writeln!(text, "portunus {}, {}", word("/version"), word("/phase"));
    for finding in list(status, "/attention") {
        let word = |pointer: &str| plain(read::text(finding, pointer));
        let _ = writeln!(text, "{}: {}; {}", word("/severity"), word("/what"), word("/hint"));
    }
    let certificates = usize::try_from(number("/certificates/total")).unwrap_or(usize::MAX);
    let _ = writeln!(
        text,
        "{}: {} pending, {} skipped, {} kept",
        count(certificates, "certificate"),
        number("/certificates/pending_total"),
        number("/certificates/skipped_total"),
        number("/certificates/kept"),
    );
    let backends = status.pointer("/backends").and_then(Value::as_array);
    backends.into_iter().flatten().for_each(|backend| backend_text(&mut text, backend));
    let listeners = status.pointer("/resumption/listeners").and_then(Value::as_array);
    for listener in listeners.into_iter().flatten() {
        listener_text(&mut text, listener);
    }
    let _ = writeln!(
        text,
        "sessions in memory: {} ({} KiB), {} of look-ups hit",
        number("/resumption/memory/sessions"),
        number("/resumption/memory/bytes") / 1024,
        percent(status.pointer("/resumption/memory/lookups/hit_rate")),
    );
    let missing = status.pointer("/confinement/missing").and_then(Value::as_array);
    let missing: Vec<_> = missing.into_iter().flatten().filter_map(Value::as_str).collect();
    if !missing.is_empty() {
        let _ = writeln!(text, "not confined: {}", plain(&missing.join(", ")));
    }
    if let Some(shared) = status.pointer("/resumption/shared").filter(|shared| !shared.is_null()) {
        let up = shared.get("up").and_then(Value::as_bool).unwrap_or_default();
        let _ = writeln!(
            text,
            "shared tier ({}): {}, {} of look-ups hit",
            plain(shared.get("store").and_then(Value::as_str).unwrap_or("?")),
            if up { "up" } else { "AWAY, memory alone serves" },
            percent(shared.pointer("/lookups/hit_rate")),
        );
    }
    text
}

fn listener_text(text: &mut String, listener: &Value) {
    let word = |key: &str| plain(listener.get(key).and_then(Value::as_str).unwrap_or("?"));
    let counts = |key: &str| plain(&counts(listener.get(key)));
    let handshakes = counts("handshakes");
    let _ = writeln!(
        text,
        "listener {} ({}): {} of returning clients resumed; handshakes: {}",
        word("listener"),
        word("mode"),
        percent(listener.get("resumed_of_returning")),
        if handshakes.is_empty() { "none" } else { &handshakes },
    );
    let not_resumed = counts("not_resumed");
    if !not_resumed.is_empty() {
        let _ = writeln!(text, "  not resumed: {not_resumed}");
    }
}

/// Names of endpoints that are not usable.
const ENDPOINTS_SHOWN_MAX: usize = 8;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn rates_are_told_as_percentages_and_what_never_happened_is_left_out() {
        let status = json!({
            "version": "1", "phase": "running",
            "certificates": { "total": 1, "pending_total": 0, "skipped_total": 2, "kept": 0 },
            "resumption": {
                "listeners": [{
                    "listener": "a", "mode": "both", "resumed_of_returning": 0.75,
                    "handshakes": { "full": 5, "ticket": 3, "stateful": 0 },
                    "not_resumed": { "policy": 1, "expired": 0 },
                }],
                "memory": { "sessions": 4, "bytes": 2048, "lookups": { "hit_rate": null } },
                "shared": { "store": "redis", "up": false, "lookups": { "hit_rate": 0.5 } },
            },
            "backends": [{ "backend": "app", "endpoints": [
                { "address": "10.0.0.1:80", "standing": "usable" },
                { "address": "10.0.0.2:80", "standing": "ejected" },
                { "address": "10.0.0.3:80", "standing": "down" },
            ] }],
            "confinement": { "missing": ["files", "system_calls"] },
            "attention": [{ "severity": "critical", "what": "expired: a\n", "hint": "renew it" }],
        });
        let text = text(&status);
        for line in [
            "critical: expired: a\\n; renew it",
            "1 certificate: 0 pending, 2 skipped, 0 kept",
            "backend app: 1 usable endpoint, 10.0.0.2:80 ejected, 10.0.0.3:80 down",
            "listener a (both): 75.0 % of returning clients resumed; handshakes: 5 full, 3 ticket",
            "  not resumed: 1 policy",
            "not confined: files, system_calls",
            "sessions in memory: 4 (2 KiB), – of look-ups hit",
            "shared tier (redis): AWAY, memory alone serves, 50.0 % of look-ups hit",
        ] {
            assert!(text.lines().any(|shown| shown == line), "{line:?} in {text}");
        }
    }
}

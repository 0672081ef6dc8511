//! What somebody should look at, the worst first: what an operator wants to know within seconds.
//!
//! Owns the judgement of the facts that `/status` tells anyway, with the way out of each. It holds
//! no state: a thing is told for as long as it is so. Things of a kind are one finding, which names
//! the first few. Refuses to know how the facts came about, and who is told.

use serde_json::{Value, json};

use super::read::{list, number, text, texts};
use crate::calendar::{date, distance};

/// How bad a thing is.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Severity {
    /// Clients suffer from it, or will very soon.
    Critical,
    /// They will if nobody does anything.
    Warning,
}

/// What should be looked at.
#[derive(Debug)]
struct Finding {
    severity: Severity,
    area: &'static str,
    what: String,
    hint: &'static str,
}

/// Collects findings about `facts`, at `now`.
struct Judge<'a> {
    facts: &'a Value,
    now: i64,
    found: Vec<Finding>,
}

/// What should be looked at of `facts`, at `now` in seconds since 1970.
pub fn attention(facts: &Value, now: i64) -> Value {
    let mut judge = Judge { facts, now, found: Vec::new() };
    judge.resources();
    judge.certificates();
    judge.trust();
    judge.backends();
    judge.reloads();
    judge.resumption();
    judge.found.sort_by_key(|finding| finding.severity);
    let told = judge.found.iter().map(|Finding { severity, area, what, hint }| {
        json!({
            "severity": match severity {
                Severity::Critical => "critical",
                Severity::Warning => "warning",
            },
            "area": area,
            "what": what,
            "hint": hint,
        })
    });
    told.collect()
}

impl Judge<'_> {
    fn find(&mut self, severity: Severity, area: &'static str, what: String, hint: &'static str) {
        self.found.push(Finding { severity, area, what, hint });
    }

    fn number(&self, pointer: &str) -> i64 {
        number(self.facts, pointer)
    }

    fn resources(&mut self) {
        let stalled = self.number("/resources/workers_stalled");
        if stalled > 0 {
            let what = format!("{stalled} of the workers get nowhere");
            self.find(Severity::Critical, "resources", what, STALLED);
        }
        let pressure = self.facts.pointer("/resources/memory/pressure").and_then(Value::as_str);
        match pressure {
            None | Some("none") => {}
            Some("high") => {
                let what = "memory runs short: connections end after what they are at".to_owned();
                self.find(Severity::Warning, "resources", what, MEMORY);
            }
            Some(_) => {
                let what = "memory is short: no new connection is accepted".to_owned();
                self.find(Severity::Critical, "resources", what, MEMORY);
            }
        }
        for (key, noun, hint) in [
            ("connections", "connections", "raise `server.max_connections`, or add a machine"),
            ("handshakes", "handshakes at once", "raise `limits.handshakes`, or add CPUs"),
            ("open_files", "open files", "raise the limit of open files (LimitNOFILE=, ulimit -n)"),
        ] {
            let used = self.number(&format!("/resources/{key}/used"));
            let max = self.number(&format!("/resources/{key}/max"));
            let severity = match used {
                _ if max == 0 || used * 10 < max * 9 => continue,
                _ if used < max => Severity::Warning,
                _ => Severity::Critical,
            };
            self.find(severity, "resources", format!("{used} of {max} {noun} are in use"), hint);
        }
        let panics = self.number("/resources/panics");
        if panics > 0 {
            let what = format!("{panics} connections ended by a panic since the start");
            self.find(Severity::Warning, "resources", what, PANICS);
        }
    }

    fn certificates(&mut self) {
        let listeners = list(self.facts, "/listeners");
        let is_tls = |one: &Value| text(one, "/entrance") == "tls";
        let is_ready = self.facts.get("ready").and_then(Value::as_bool).unwrap_or_default();
        let is_running = text(self.facts, "/phase") == "running";
        // Where no TLS ends, none is needed to be ready.
        let has_none = self.number("/certificates/total") == 0 && is_running && !is_ready;
        if has_none && listeners.iter().any(is_tls) {
            let what = "no certificate is loaded, so no client can be served".to_owned();
            self.find(Severity::Critical, "certificates", what, NO_CERTIFICATE);
        }
        let loaded = list(self.facts, "/certificates/loaded");
        let stage = |one: &&Value| expiry(one, self.now);
        let at = |wanted: Expiry| {
            let these = loaded.iter().filter(|one| stage(one) == wanted && !is_superseded(one));
            these.map(|one| label_and_end(one, self.now)).collect::<Vec<_>>()
        };
        let [expired, urgent, soon] = [Expiry::Past, Expiry::Urgent, Expiry::Soon].map(at);
        let superseded = loaded.iter().filter(|one| is_superseded(one));
        let superseded = superseded.map(|one| label_and_end(one, self.now)).collect();
        for (names, severity, what, hint) in [
            (expired, Severity::Critical, "expired", RENEW),
            (urgent, Severity::Critical, "about to expire", RENEW),
            (soon, Severity::Warning, "to be renewed", RENEW),
            (superseded, Severity::Warning, "expired, and another one is served", SUPERSEDED),
        ] {
            if !names.is_empty() {
                let what = format!("{what}: {}", some_of(&names));
                self.find(severity, "certificates", what, hint);
            }
        }
        // Those that wait for their time are as they should be.
        let pending = list(self.facts, "/certificates/pending");
        let waits = |file| pending.iter().any(|one| text(one, "/chain_file") == file);
        let skipped = list(self.facts, "/certificates/skipped").iter();
        let skipped: Vec<_> = skipped.filter(|one| !waits(text(one, "/file"))).collect();
        if !skipped.is_empty() {
            let words = |one: &&Value| format!("{} ({})", text(one, "/file"), text(one, "/reason"));
            let files: Vec<_> = skipped.iter().map(words).collect();
            let what = format!("not usable, so skipped: {}", some_of(&files));
            self.find(Severity::Warning, "certificates", what, SKIPPED);
        }
        let kept = self.number("/certificates/kept") - pending.len() as i64;
        if kept > 0 {
            let what = format!("the last good of {kept} certificates is served");
            self.find(Severity::Warning, "certificates", what, SKIPPED);
        }
    }

    fn trust(&mut self) {
        let policies = list(self.facts, "/client_auth");
        let crls = policies.iter().flat_map(|policy| list(policy, "/crls"));
        let end = |crl: &Value| crl.get("next_update").and_then(Value::as_i64);
        let past = crls.filter(|crl| end(crl).is_some_and(|end| end <= self.now));
        let past: Vec<_> = past.map(|crl| text(crl, "/file").to_owned()).collect();
        if !past.is_empty() {
            let what = format!(
                "revocation lists past their end, whose clients are refused: {}",
                some_of(&past)
            );
            self.find(Severity::Critical, "client_auth", what, "fetch the lists anew");
        }
        let authorities = policies.iter().flat_map(|policy| list(policy, "/authorities"));
        let past = authorities.filter(|one| {
            one.get("not_after").and_then(Value::as_i64).unwrap_or(i64::MAX) < self.now
        });
        let past: Vec<_> = past.map(|one| text(one, "/subject").to_owned()).collect();
        if !past.is_empty() {
            let what = format!("expired authorities of clients: {}", some_of(&past));
            self.find(Severity::Warning, "client_auth", what, "put the new ones into the file");
        }
    }

    fn backends(&mut self) {
        let [mut unresolved, mut drained, mut down, mut away] = [const { Vec::new() }; 4];
        for backend in list(self.facts, "/backends") {
            let name = text(backend, "/backend");
            let endpoints = list(backend, "/endpoints");
            let failing = endpoints
                .iter()
                .filter(|one| matches!(text(one, "/standing"), "down" | "ejected" | "unhealthy"))
                .map(|one| format!("{} ({})", text(one, "/address"), text(one, "/standing")));
            let is_usable = |one: &Value| text(one, "/standing") == "usable";
            if endpoints.is_empty() {
                unresolved.push(format!("`{name}`"));
            } else if endpoints.iter().any(is_usable) {
                away.extend(failing.map(|one| format!("{one} of `{name}`")));
            } else {
                match failing.collect::<Vec<_>>() {
                    none if none.is_empty() => drained.push(format!("`{name}`")),
                    failing => down.push(format!("`{name}`: {}", some_of(&failing))),
                }
            }
        }
        for (these, severity, what, hint) in [
            (unresolved, Severity::Critical, "backends without an address", UNRESOLVED),
            (drained, Severity::Critical, "backends of which every endpoint drains", DRAINED),
            (down, Severity::Critical, "backends without a usable endpoint", ENDPOINTS),
            (away, Severity::Warning, "endpoints that cannot be used", ENDPOINTS),
        ] {
            if !these.is_empty() {
                let what = format!("{what}: {}", some_of(&these));
                self.find(severity, "backends", what, hint);
            }
        }
    }

    fn reloads(&mut self) {
        let newest = |subject: &str| {
            list(self.facts, "/reloads").iter().find(|one| text(one, "/subject") == subject)
        };
        for (subject, area, what, hint) in [
            ("configuration", "configuration", "the configuration that was read last", MEND),
            ("keys", "resumption", "files of keys that seal sessions", MEND_KEYS),
            ("trust", "client_auth", "files that decide who is trusted", MEND_TRUST),
        ] {
            let errors = newest(subject).into_iter().flat_map(|one| texts(one, "/errors"));
            let errors: Vec<_> = errors.collect();
            if !errors.is_empty() {
                let what =
                    format!("{what}: rejected, so the one before serves: {}", some_of(&errors));
                self.find(Severity::Warning, area, what, hint);
            }
        }
    }

    fn resumption(&mut self) {
        let shared = self.facts.pointer("/resumption/shared/up").and_then(Value::as_bool);
        if shared == Some(false) {
            let what = "the shared tier is away; sessions of other machines and processes do not \
                        resume here"
                .to_owned();
            self.find(Severity::Warning, "resumption", what, SHARED);
        }
    }
}

/// How near its end a certificate is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Expiry {
    /// Past.
    Past,
    /// So near that a renewal that fails once more will be too late.
    Urgent,
    /// So near that it should have been renewed.
    Soon,
    /// Far.
    Far,
}

/// How near its end the certificate of these facts is at `now`, by its own lifetime: one of a week
/// is renewed in its last days, one of a year weeks before. Alerts have the same bounds.
pub fn expiry(certificate: &Value, now: i64) -> Expiry {
    let moment = |key| certificate.get(key).and_then(Value::as_i64);
    let Some(end) = moment("not_after") else { return Expiry::Far };
    let (left, lifetime) = (end - now, end - moment("not_before").unwrap_or(end));
    match left {
        ..=0 => Expiry::Past,
        left if left < (lifetime / 10).min(URGENT_MAX) => Expiry::Urgent,
        left if left < (lifetime / 4).min(SOON_MAX) => Expiry::Soon,
        _ => Expiry::Far,
    }
}

/// Whether it has expired and nobody gets it.
fn is_superseded(certificate: &Value) -> bool {
    text(certificate, "/state") == "superseded"
}

fn label_and_end(certificate: &Value, now: i64) -> String {
    let end = certificate.get("not_after").and_then(Value::as_i64).unwrap_or(now);
    let end = format!("{}, {}", date(end), distance(end - now));
    format!("{} ({end})", text(certificate, "/certificate"))
}

/// The first few of `things`, and how many there are besides.
fn some_of(things: &[impl AsRef<str>]) -> String {
    let shown: Vec<_> = things.iter().take(NAMED_MAX).map(AsRef::as_ref).collect();
    match things.len() - shown.len() {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

/// Things of a kind that are named.
const NAMED_MAX: usize = 3;
const DAY: i64 = 24 * 60 * 60;
/// What is left of a long lifetime when a certificate is about to expire.
const URGENT_MAX: i64 = 7 * DAY;
/// What is left of a long lifetime when a certificate should have been renewed.
const SOON_MAX: i64 = 21 * DAY;

const STALLED: &str = "something blocks them: a disk, or a bug worth reporting with the log";
const MEMORY: &str = "raise `server.memory_max` or the memory of the control group, or lower \
                      `server.max_connections`";
const PANICS: &str = "a panic is a bug: please report the message in the log";
const NO_CERTIFICATE: &str = "put certificates and their keys where `certificates.paths` points";
const RENEW: &str = "put the renewed certificate in its place; it is taken without a reload";
const SUPERSEDED: &str = "delete its files, or renew it";
const SKIPPED: &str = "`portunus check` says what is wrong with each file";
const UNRESOLVED: &str = "its names do not resolve: look at DNS";
const DRAINED: &str = "`portunus endpoint resume BACKEND ENDPOINT` ends what somebody ordered";
const ENDPOINTS: &str = "look at the service there; it comes back by itself once it answers \
                         a client or a check";
const MEND: &str = "mend the file; `portunus check` tells what is wrong with files, \
                    `portunus reload` also what only the running process can tell";
const MEND_TRUST: &str = "mend the files; they are read by themselves";
const MEND_KEYS: &str =
    "mend the files before the process starts anew; they are read by themselves";
const SHARED: &str = "look at Redis and at the way to it; nobody waits for it meanwhile";

#[cfg(test)]
mod tests;

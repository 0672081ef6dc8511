//! `portunus certs`: what is loaded, what waits, what was skipped, and whom clients must prove to
//! be.
//!
//! Owns the list for people, the certificate that expires first on top; the one for programs is
//! made where `/status` is. Who gets what for a name is in `explain`.

use std::fmt::Write as _;

use portunus_certs::credential::{Credential, Validity};
use portunus_certs::load::CertificateStatus;
use portunus_certs::resolver::CertificateIndex;
use portunus_certs::store::{ReloadReport, Skipped};
use rustls::pki_types::UnixTime;
use serde_json::json;

use crate::admin::status::{self, NOTHING_LOADED, reason};
use crate::runtime::clients::options;

use super::clients::Clients;
use super::explain::Explained;
use super::finding::{Findings, way_out};
use super::{ConfigFile, USAGE, check, date, fail, name, output};

/// Lists the certificates, or explains which of them a client gets for `name`.
pub(super) fn run(name: Option<&str>, json: bool, file: &ConfigFile) -> u8 {
    let config = match file.load() {
        Ok(config) => config,
        Err(code) => return code,
    };
    let name = match name.map(name::host).transpose() {
        Ok(name) => name,
        Err(error) => {
            fail(&error, Some("NAME is a host name as a client would ask for it"));
            return USAGE;
        }
    };
    let (store, report) = check::open(&config);
    let index = store.load();
    if let Some(name) = name {
        let policies = options(&config);
        let explained = Explained::new(&name, &config, &index, &policies);
        let text = || format!("{HEAD}\n\n{}", explained.text());
        let text = if json { explained.json().to_string() } else { text() };
        return explained.code().max(output::print(text));
    }
    let clients = Clients::open(&options(&config), &config, UnixTime::now());
    let now = date::now();
    if json {
        let certificates = status::certificates(&index, &report, now, usize::MAX);
        let status = json!({ "certificates": certificates, "client_auth": clients.json() });
        return output::print(status);
    }
    let mut text = format!("{HEAD}\n\n{}", listed(&index, &report, now));
    let clients = clients.text(now);
    if !clients.is_empty() {
        text = format!("{text}\n{clients}");
    }
    let code = output::print(text.trim_end());
    let mut findings = Findings::default();
    findings.add_warnings(&report);
    findings.say();
    if index.is_empty() && !config.certificates.paths.is_empty() {
        output::say(format_args!("error: {NOTHING_LOADED}"));
    }
    code
}

/// A process keeps what was good before a file went bad, and only it knows that.
const HEAD: &str = "as a new process would serve the files; `portunus status` tells what is kept";

/// Everything that the reading gave.
fn listed(index: &CertificateIndex, report: &ReloadReport, now: i64) -> String {
    let mut text = format!("loaded: {}\n", output::count(index.len(), "certificate"));
    for credential in index.soonest() {
        write_credential(&mut text, credential, now);
    }
    if !report.pending.is_empty() {
        let pending = output::count(report.pending.len(), "certificate");
        // Writing to a `String` cannot fail, here and below.
        let _ = writeln!(text, "\npending: {pending}");
        for credential in &report.pending {
            write_credential(&mut text, credential, now);
            write_replaced(&mut text, credential, index, now);
        }
    }
    if !report.skipped.is_empty() {
        let skipped = output::count(report.skipped.len(), "file");
        let _ = writeln!(text, "\nskipped: {skipped}");
        for skipped in &report.skipped {
            write_skipped(&mut text, skipped);
        }
    }
    text
}

/// A certificate as a paragraph. Its label is the file, with a number behind it if the file has
/// several.
fn write_credential(text: &mut String, credential: &Credential, now: i64) {
    let _ = writeln!(text, "\n  {}", output::plain(credential.label()));
    let names: Vec<_> = credential.names().iter().map(ToString::to_string).collect();
    let names = match names.as_slice() {
        [] => "none, so only clients that ask for no name can get it".to_owned(),
        names => names.join(", "),
    };
    let _ = writeln!(text, "    names    {names}");
    let key_path = output::plain(&credential.key_path().display().to_string());
    let _ = writeln!(text, "    key      {}, in {key_path}", credential.key_kind());
    let _ = writeln!(text, "    issuer   {}", output::plain(credential.issuer()));
    let (from, to) = (credential.not_before(), credential.not_after());
    if credential.validity(now) == Validity::Pending {
        let _ = writeln!(text, "    starts   {} NOT YET VALID", date::moment(from, now));
    }
    let expired = credential.validity(now) == Validity::Expired;
    let (verb, mark) = if expired { ("expired", " EXPIRED") } else { ("expires", "") };
    let _ = writeln!(text, "    {verb}  {}{mark}", date::moment(to, now));
    write_staple(text, credential, now);
}

/// Whether clients get an OCSP answer with it; most certificates have none, and need none.
fn write_staple(text: &mut String, credential: &Credential, now: i64) {
    let Some(staple) = credential.staple() else {
        if credential.must_staple() {
            let _ = writeln!(text, "    OCSP     MISSING: the certificate demands a staple");
        }
        return;
    };
    let path = output::plain(&staple.path.display().to_string());
    let end = date::moment(staple.next_update, now);
    let said = match (staple.status, staple.is_sent(now)) {
        (CertificateStatus::Good, true) => format!("good until {end}"),
        (CertificateStatus::Good, false) if staple.next_update <= now => {
            format!("NOT SENT: it ended {end}")
        }
        (CertificateStatus::Good, false) => {
            format!("NOT SENT: it starts {}", date::moment(staple.this_update, now))
        }
        (CertificateStatus::Revoked, _) => {
            "NOT SENT: the authority has REVOKED the certificate".to_owned()
        }
        (CertificateStatus::Unknown, _) => {
            "NOT SENT: the authority does not know the certificate".to_owned()
        }
    };
    let _ = writeln!(text, "    OCSP     {said}, from {path}");
}

/// What a renewed certificate waits for, and in whose place it will be.
fn write_replaced(text: &mut String, pending: &Credential, index: &CertificateIndex, now: i64) {
    let mut loaded = index.credentials();
    let replaced = loaded.find(|credential| credential.label() == pending.label());
    let end = replaced.map(|credential| date::moment(credential.not_after(), now));
    let _ = match end {
        Some(end) => {
            writeln!(text, "    replaces the one that is served from there, which expires {end}")
        }
        None => writeln!(text, "    replaces nothing"),
    };
}

fn write_skipped(text: &mut String, skipped: &Skipped) {
    let path = output::plain(&skipped.path.display().to_string());
    let mut reason = output::plain(&reason(&skipped.error));
    if let Some(way_out) = way_out(&skipped.error) {
        reason = format!("{reason}; {way_out}");
    }
    let _ = writeln!(text, "\n  {path}\n    reason   {reason}");
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use portunus_certs::issue::{DevelopmentCa, Issued, KeyChoice};
    use portunus_certs::store::{CertificateStore, StoreOptions};
    use rustls::crypto::aws_lc_rs;

    use super::*;

    const DAY: i64 = 24 * 60 * 60;

    fn write(folder: &Path, issued: &Issued) {
        let pem = format!("{}{}", issued.chain_pem, *issued.key_pem);
        std::fs::write(folder.join("app.pem"), pem).expect("it can be written");
    }

    #[test]
    fn a_renewal_that_waits_says_from_when_and_what_it_replaces() {
        let folder = tempfile::tempdir().expect("a folder");
        let now = date::now();
        let ca = DevelopmentCa::new(UnixTime::now()).expect("an authority");
        let issue = |from, to| {
            let (from, to) = (now + from * DAY, now + to * DAY);
            let issued = ca.issue_with(&["app.example"], KeyChoice::EcdsaP256, from, to);
            issued.expect("a certificate")
        };
        write(folder.path(), &issue(-9, 10));
        let paths = vec![folder.path().to_owned()];
        let provider = Arc::new(aws_lc_rs::default_provider());
        let options = StoreOptions { paths, strict_permissions: false, provider };
        let (store, _) = CertificateStore::open(options, UnixTime::now());
        write(folder.path(), &issue(5, 95));
        let report = store.reload(UnixTime::now());
        let text = listed(&store.load(), &report, now);
        let (loaded, pending) = text.split_once("pending: 1 certificate\n").expect("it waits");
        assert!(loaded.contains("in 10 days") && !loaded.contains("NOT YET"), "{text}");
        let expected = [
            format!("starts   {}", date::date(now + 5 * DAY)),
            "in 95 days".to_owned(),
            format!("which expires {}", date::date(now + 10 * DAY)),
        ];
        for words in expected {
            assert!(pending.contains(&words), "{words}: {text}");
        }
    }
}

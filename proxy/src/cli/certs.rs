//! `portunus certs`: what is loaded, and who gets what.

use std::fmt::Write as _;

use portunus_certs::credential::Credential;
use portunus_certs::resolver::CertificateIndex;
use portunus_certs::store::ReloadReport;
use rustls::pki_types::UnixTime;
use serde_json::{Value, json};

use crate::log::Chain;

use super::explain::Explained;
use super::{ConfigFile, USAGE, check, fail, name, output};

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
    let Some(name) = name else {
        return if json { output::print(listed(&index, &report)) } else { list(&index, &report) };
    };
    let explained = Explained::new(&name, &config, &index);
    let text = if json { explained.json().to_string() } else { explained.text() };
    explained.code().max(output::print(text))
}

fn list(index: &CertificateIndex, report: &ReloadReport) -> u8 {
    let mut text = String::new();
    for credential in index.credentials() {
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "{}\n  names    {}\n  key      {}\n  issuer   {}\n  expires  {}\n  key file {}",
            credential.label(),
            names(credential),
            credential.key_kind(),
            credential.issuer(),
            expiry(credential),
            credential.key_path().display(),
        );
    }
    for skipped in &report.skipped {
        let (path, error) = (skipped.path.display(), Chain(&skipped.error));
        let _ = writeln!(text, "{path}\n  skipped  {error}");
    }
    let code = output::print_bytes(text.as_bytes());
    for warning in &report.warnings {
        output::say(format_args!("warning: {warning}"));
    }
    code
}

fn listed(index: &CertificateIndex, report: &ReloadReport) -> Value {
    let skipped = report.skipped.iter().map(
        |skipped| json!({ "file": skipped.path, "reason": Chain(&skipped.error).to_string() }),
    );
    json!({
        "loaded": index.credentials().map(|credential| facts(credential)).collect::<Vec<_>>(),
        "skipped": skipped.collect::<Vec<_>>(),
        "pending": report.pending.iter().map(|credential| facts(credential)).collect::<Vec<_>>(),
        "warnings": report.warnings.iter().map(ToString::to_string).collect::<Vec<_>>(),
    })
}

/// A certificate for programs.
pub(super) fn facts(credential: &Credential) -> Value {
    json!({
        "certificate": &**credential.label(),
        "names": credential.names().iter().map(ToString::to_string).collect::<Vec<_>>(),
        "key": credential.key_kind().to_string(),
        "issuer": credential.issuer(),
        "not_before": credential.not_before(),
        "not_after": credential.not_after(),
        "fingerprint_sha256": credential.fingerprint(),
        "chain_file": credential.chain_path(),
        "key_file": credential.key_path(),
    })
}

fn names(credential: &Credential) -> String {
    let names: Vec<_> = credential.names().iter().map(ToString::to_string).collect();
    if names.is_empty() {
        "none: only for clients that name nobody".to_owned()
    } else {
        names.join(", ")
    }
}

fn expiry(credential: &Credential) -> String {
    let now = i64::try_from(UnixTime::now().as_secs()).unwrap_or(i64::MAX);
    let days = (credential.not_after() - now).div_euclid(24 * 60 * 60);
    match days {
        ..0 => format!("{} days ago", -days),
        days => format!("in {days} days"),
    }
}

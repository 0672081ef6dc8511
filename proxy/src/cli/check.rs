//! `portunus check`: everything that is wrong, before it is served.

use std::sync::Arc;

use portunus_certs::name::{HostName, NamePattern};
use portunus_certs::resolver::CertificateIndex;
use portunus_certs::store::{CertificateStore, StoreOptions};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::UnixTime;

use crate::config::{Config, Sites};
use crate::log::Chain;

use super::{ConfigFile, FAILED, output};

/// Checks the configuration, then the certificates that it names.
pub(super) fn run(file: &ConfigFile) -> u8 {
    let config = match file.load() {
        Ok(config) => config,
        Err(code) => return code,
    };
    let (store, report) = open(&config);
    for warning in &report.warnings {
        output::say(format_args!("warning: {warning}"));
    }
    for skipped in &report.skipped {
        output::say(format_args!("error: {}: {}", skipped.path.display(), Chain(&skipped.error)));
    }
    let index = store.load();
    if index.is_empty() {
        output::say(format_args!("error: {NOTHING_LOADED}"));
    }
    let expiring = warn_of_expiry(&index);
    let bare = warn_of_bare_names(&config, &index);
    let warnings = report.warnings.len() + expiring + bare;
    let told = output::print(format_args!(
        "{}: {} listeners, {} backends, {} certificates, {} skipped, {warnings} warnings",
        file.config.display(),
        config.listeners.len(),
        config.backends.len(),
        index.len(),
        report.skipped.len(),
    ));
    if report.skipped.is_empty() && !index.is_empty() { told } else { FAILED }
}

/// Reads the certificates that the configuration names.
pub(super) fn open(config: &Config) -> (CertificateStore, portunus_certs::store::ReloadReport) {
    let options = StoreOptions {
        paths: config.certificates.paths.clone(),
        strict_permissions: config.certificates.strict_permissions,
        provider: Arc::new(aws_lc_rs::default_provider()),
    };
    CertificateStore::open(options, UnixTime::now())
}

/// Warns of certificates of whose life less than a fifth is left.
fn warn_of_expiry(index: &CertificateIndex) -> usize {
    let now = i64::try_from(UnixTime::now().as_secs()).unwrap_or(i64::MAX);
    let mut warnings = 0;
    for credential in index.credentials() {
        let left = credential.not_after() - now;
        let life = credential.not_after() - credential.not_before();
        if (0..life / 5).contains(&left) {
            let days = left / SECONDS_OF_DAY;
            output::say(format_args!(
                "warning: {}: expires in {days} days",
                credential.chain_path().display()
            ));
            warnings += 1;
        }
    }
    warnings
}

/// Warns of names of sites for which there is no certificate.
fn warn_of_bare_names(config: &Config, index: &CertificateIndex) -> usize {
    let mut warnings = 0;
    for listener in &config.listeners {
        let Sites::Named(sites) = &listener.sites else {
            continue;
        };
        for host in sites.iter().flat_map(|site| &site.hosts) {
            if !is_covered(host, index) {
                output::say(format_args!(
                    "warning: listener `{}`: no certificate for `{host}`",
                    listener.name
                ));
                warnings += 1;
            }
        }
    }
    warnings
}

fn is_covered(host: &NamePattern, index: &CertificateIndex) -> bool {
    index
        .credentials()
        .any(|credential| credential.names().iter().any(|name| name == host || covers(name, host)))
}

fn covers(name: &NamePattern, host: &NamePattern) -> bool {
    match host {
        NamePattern::Exact(host) => name.matches(&HostName::clone(host)),
        NamePattern::Wildcard(_) => false,
    }
}

const NOTHING_LOADED: &str = "no certificate is loaded, so no client would be served: subfolders \
    are not read, name them in `certificates.paths`; for development, \
    `portunus issue localhost --out certs.d`";

const SECONDS_OF_DAY: i64 = 24 * 60 * 60;

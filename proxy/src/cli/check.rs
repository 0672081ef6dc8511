//! `portunus check`: everything that is wrong, before it is served.
//!
//! Owns the verdict: an error makes the command fail, a warning does not. The words for what is
//! wrong with certificates are in `finding`. Refuses to know how files are read.

use std::sync::Arc;

use portunus_certs::name::NamePattern;
use portunus_certs::resolver::CertificateIndex;
use portunus_certs::store::{CertificateStore, ReloadReport, StoreOptions};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::UnixTime;

use crate::config::{Config, Site, Sites, Termination};
use crate::log::Chain;
use crate::runtime::clients::options;
use crate::runtime::resumption;

use super::clients::Clients;
use super::finding::{Findings, Severity, is_covered};
use super::{ConfigFile, FAILED, date, exposure, output, rights, traffic};

/// Checks the configuration, then the certificates that it names.
pub(super) fn run(file: &ConfigFile) -> u8 {
    let config = match file.load() {
        Ok(config) => config,
        Err(code) => return code,
    };
    let (store, report) = open(&config);
    let index = store.load();
    let mut findings = Findings::default();
    findings.add_report(&report, &index, &config.certificates);
    findings.add_dates(&index, date::now());
    if !index.is_empty() {
        add_bare_names(&config, &index, &mut findings);
    }
    let clients = Clients::open(&options(&config), &config, UnixTime::now());
    clients.add_findings(&mut findings);
    for error in resumption::faults(&config) {
        findings.error(Chain(&error), Some(error.hint()));
    }
    for path in resumption::exposed(&config) {
        let text = format!("{}: others than its owner can read these keys", path.display());
        findings.warning(text, Some("chmod 600 it"));
    }
    traffic::add(&config, &mut findings);
    exposure::add(&config, &mut findings);
    rights::add(&config, &mut findings);
    findings.say();
    let errors = findings.count(Severity::Error);
    let told = output::print(format_args!(
        "{}: {}, {}, {}: {}, {}",
        file.config.display(),
        output::count(config.listeners.len(), "listener"),
        output::count(config.backends.len(), "backend"),
        output::count(index.len(), "certificate"),
        output::count(errors, "error"),
        output::count(findings.count(Severity::Warning), "warning"),
    ));
    if errors == 0 { told } else { FAILED }
}

/// Reads the certificates that the configuration names.
pub(super) fn open(config: &Config) -> (CertificateStore, ReloadReport) {
    let options = StoreOptions {
        paths: config.certificates.paths.clone(),
        strict_permissions: config.certificates.strict_permissions,
        provider: Arc::new(aws_lc_rs::default_provider()),
    };
    CertificateStore::open(options, UnixTime::now())
}

/// Adds the names of sites for which there is no certificate.
fn add_bare_names(config: &Config, index: &CertificateIndex, findings: &mut Findings) {
    for listener in &config.listeners {
        let Sites::Named(sites) = &listener.sites else {
            continue;
        };
        let ours = |site: &&Site| site.termination == Termination::Here;
        for host in sites.iter().filter(ours).flat_map(|site| &site.hosts) {
            if is_covered(host, index) {
                continue;
            }
            let hint = match host {
                NamePattern::Exact(_) => "clients that ask for it are refused",
                NamePattern::Wildcard(_) => {
                    "of its names only those are served that a certificate states one by one"
                }
            };
            let text = format!("listener `{}`: no certificate for `{host}`", listener.name);
            findings.warning(text, Some(hint));
        }
    }
}

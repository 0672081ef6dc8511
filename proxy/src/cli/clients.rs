//! Client authentication as `check` and `certs` tell it: who asks, whom it trusts, what is wrong.
//!
//! Owns the reading of the files for these commands, and the words. What is wrong with a bundle or
//! a revocation list is for `portunus_certs::client_auth` to find. Refuses to know connections.

use std::fmt::Write as _;

use portunus_certs::client_auth::{
    ClientAuth, ClientAuthError, ClientAuthOptions, CrlFacts, Demand, TrustReport,
};
use rustls::pki_types::UnixTime;
use serde_json::{Value, json};

use crate::admin::status::{Asker, askers, policy_facts};
use crate::config::Config;
use crate::log::Chain;

use super::finding::Findings;
use super::{date, output};

/// Every policy of client authentication, in the order of the configuration.
pub(super) struct Clients(Vec<Policy>);

struct Policy {
    options: ClientAuthOptions,
    askers: Vec<Asker>,
    opened: Result<(ClientAuth, TrustReport), ClientAuthError>,
}

impl Clients {
    /// Reads the files of `policies`, which are in the order of the configuration.
    pub(super) fn open(policies: &[ClientAuthOptions], config: &Config, now: UnixTime) -> Self {
        let policy = |(index, options): (usize, &ClientAuthOptions)| Policy {
            options: options.clone(),
            askers: askers(config, index),
            opened: ClientAuth::open(options.clone(), now),
        };
        Self(policies.iter().enumerate().map(policy).collect())
    }

    /// Adds what is wrong with the files.
    pub(super) fn add_findings(&self, findings: &mut Findings) {
        for Policy { askers, opened, .. } in &self.0 {
            match opened {
                Ok((_, report)) => {
                    for failure in &report.failures {
                        findings.error(Chain(failure), None);
                    }
                    for warning in &report.warnings {
                        findings.warning(warning, None);
                    }
                }
                Err(error) => {
                    let refusal = format!("{} needs it, and Portunus will not start", who(askers));
                    findings.error(Chain(error), Some(&refusal));
                }
            }
        }
    }

    /// What each asks for and trusts at `now`, in seconds since 1970; empty if there are none.
    pub(super) fn text(&self, now: i64) -> String {
        if self.0.is_empty() {
            return String::new();
        }
        let mut text = "client authentication\n".to_owned();
        for policy in &self.0 {
            policy.write(&mut text, now);
        }
        text
    }

    /// The same for programs.
    pub(super) fn json(&self) -> Value {
        self.0.iter().map(Policy::json).collect()
    }
}

impl Policy {
    /// Writing to a `String` cannot fail, here and below.
    fn write(&self, text: &mut String, now: i64) {
        let ca = self.options.ca.display().to_string();
        let _ = writeln!(text, "\n  {}", output::plain(&ca));
        let _ = writeln!(text, "    mode       {}", demand(self.options.demand));
        let _ = writeln!(text, "    asked by   {}", output::plain(&who(&self.askers)));
        let (trust, report) = match &self.opened {
            Ok((auth, report)) => (auth.load(), report),
            Err(error) => {
                let error = Chain(error).to_string();
                let _ = writeln!(text, "    ERROR      {}", output::plain(&error));
                return;
            }
        };
        for authority in trust.authorities() {
            let subject = output::plain(&authority.subject);
            let verb = if authority.not_after < now { "expired" } else { "expires" };
            let end = date::moment(authority.not_after, now);
            let _ = writeln!(text, "    authority  {subject}, {verb} {end}");
        }
        if self.options.crls.is_empty() {
            let _ = writeln!(text, "    CRLs       none: no certificate counts as revoked");
        }
        for crl in trust.crls() {
            let _ = writeln!(text, "    CRL        {}", output::plain(&revocations(crl, now)));
        }
        for failure in &report.failures {
            let failure = Chain(failure).to_string();
            let _ = writeln!(text, "    ERROR      {}", output::plain(&failure));
        }
        for warning in &report.warnings {
            let _ = writeln!(text, "    WARNING    {}", output::plain(warning));
        }
    }

    fn json(&self) -> Value {
        let trust = self.opened.as_ref().ok().map(|(auth, _)| auth.load());
        let mut facts = policy_facts(&self.options, &self.askers, trust.as_deref());
        let (errors, warnings): (Vec<_>, &[String]) = match &self.opened {
            Ok((_, report)) => {
                let failures = report.failures.iter();
                (failures.map(|error| Chain(error).to_string()).collect(), &report.warnings)
            }
            Err(error) => (vec![Chain(error).to_string()], &[]),
        };
        if let Some(facts) = facts.as_object_mut() {
            facts.insert("errors".to_owned(), json!(errors));
            facts.insert("warnings".to_owned(), json!(warnings));
        }
        facts
    }
}

/// What is demanded, in words.
pub(super) fn demand(demand: Demand) -> &'static str {
    match demand {
        Demand::Request => "request: a client may do without a certificate",
        Demand::Require => "require: no client without a certificate",
    }
}

/// Who asks for a policy.
fn who(askers: &[Asker]) -> String {
    let words = askers.iter().map(|Asker { listener, hosts }| match hosts.as_slice() {
        [] => format!("listener `{listener}`"),
        hosts => format!("{} of listener `{listener}`", hosts.join(", ")),
    });
    words.collect::<Vec<_>>().join("; ")
}

/// A revocation list in a line.
fn revocations(crl: &CrlFacts, now: i64) -> String {
    let path = crl.path.display();
    let revoked = output::count(crl.revoked, "certificate");
    let due = match crl.next_update {
        None => "no date for the next one".to_owned(),
        Some(next) if next < now => {
            format!("OVERDUE: the next one was due {}", date::moment(next, now))
        }
        Some(next) => format!("the next one is due {}", date::moment(next, now)),
    };
    let made = date::moment(crl.this_update, now);
    format!("{path} by {}: {revoked} revoked, made {made}, {due}", crl.issuer)
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};
    use std::sync::Arc;

    use portunus_certs::client_auth::{ChainBounds, CrlDepth};
    use portunus_certs::issue::DevelopmentCa;
    use rustls::crypto::aws_lc_rs;

    use super::*;
    use crate::cli::finding::Severity;
    use crate::config::Sites;

    const NOW: i64 = 1_800_000_000;
    const DAY: i64 = 24 * 60 * 60;

    /// Two sites that ask for certificates: `a.example` must get one, `b.example` may.
    fn clients(folder: &Path) -> Clients {
        let text = "[listener.web]\nlisten = ['[::]:1']\n\
                    [[listener.web.site]]\nhosts = ['a.example']\nbackend = 'b'\n\
                    [[listener.web.site]]\nhosts = ['b.example']\nbackend = 'b'\n\
                    [backend.b]\nendpoints = ['h:1']\n";
        let mut config = Config::parse(text, "config.toml", folder).expect("it is good");
        for listener in &mut config.listeners {
            if let Sites::Named(sites) = &mut listener.sites {
                let sites = sites.iter_mut().enumerate();
                sites.for_each(|(index, site)| site.client_auth = Some(index));
            }
        }
        let ca = DevelopmentCa::new(UnixTime::now()).expect("an authority");
        std::fs::write(folder.join("ca.pem"), ca.certificate_pem()).expect("it can be written");
        let options = |demand, ca: &str| ClientAuthOptions {
            demand,
            ca: folder.join(ca),
            crls: Vec::new(),
            crl_depth: CrlDepth::Chain,
            bounds: ChainBounds { certificates_max: 8, bytes_max: 32 << 10 },
            provider: Arc::new(aws_lc_rs::default_provider()),
        };
        let policies = [options(Demand::Require, "ca.pem"), options(Demand::Request, "none.pem")];
        Clients::open(&policies, &config, UnixTime::now())
    }

    #[test]
    fn a_bundle_that_cannot_be_taken_is_an_error_with_those_who_need_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let clients = clients(folder.path());
        let mut findings = Findings::default();
        clients.add_findings(&mut findings);
        assert_eq!(findings.count(Severity::Error), 1, "{findings:?}");
        let said = format!("{findings:?}");
        assert!(said.contains("none.pem") && !said.contains("ca.pem"), "{said}");
        assert!(said.contains("b.example of listener `web` needs it"), "{said}");
    }

    #[test]
    fn each_policy_is_told_with_its_mode_its_bundle_and_what_is_wrong() {
        let folder = tempfile::tempdir().expect("a folder");
        let clients = clients(folder.path());
        let text = clients.text(NOW);
        let (good, bad) = text.split_once("none.pem").expect("both are told");
        for word in ["ca.pem", "require", "a.example of listener `web`", "no certificate counts"] {
            assert!(good.contains(word), "{word}: {text}");
        }
        for word in ["request", "b.example of listener `web`", "ERROR"] {
            assert!(bad.contains(word), "{word}: {text}");
        }
        let json = clients.json();
        let at = |pointer: &str| json.pointer(pointer).cloned().unwrap_or_default();
        assert_eq!((at("/0/mode"), at("/1/mode")), (json!("require"), json!("request")));
        assert_eq!((at("/0/errors"), at("/0/crl_depth")), (json!([]), json!("chain")));
        assert_eq!(at("/1/listeners/0"), json!({ "listener": "web", "hosts": ["b.example"] }));
        assert!(at("/1/errors/0").as_str().is_some_and(|error| error.contains("none.pem")));
        assert_eq!(Clients(Vec::new()).text(NOW), "");
        assert_eq!(Clients(Vec::new()).json(), json!([]));
    }

    #[test]
    fn a_revocation_list_says_whether_it_is_overdue() {
        let mut crl = CrlFacts {
            path: PathBuf::from("crl.pem"),
            issuer: "CN=Clients".into(),
            this_update: NOW - 10 * DAY,
            next_update: Some(NOW + 20 * DAY),
            revoked: 1,
        };
        let expected = "crl.pem by CN=Clients: 1 certificate revoked, made 2027-01-05 08:00 UTC, \
                        10 days ago, the next one is due 2027-02-04 08:00 UTC, in 20 days";
        assert_eq!(revocations(&crl, NOW), expected);
        crl.next_update = Some(NOW - 3 * DAY);
        assert!(revocations(&crl, NOW).contains("OVERDUE: the next one was due 2027-01-12"));
        crl.next_update = None;
        assert!(revocations(&crl, NOW).contains("no date for the next one"));
    }
}

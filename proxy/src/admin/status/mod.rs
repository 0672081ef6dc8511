//! What programs are told about certificates and about who may be a client; in modules of their
//! own, about `listeners`, clients that came back (`resumption`), clients that failed (`failures`),
//! `backends`, `resources`, `reloads`, the `confinement` of the process, and what of all that calls
//! for `attention`.
//!
//! Owns the facts that `/status` and `portunus certs --json` share, so that both say the same of
//! the same files. Times are seconds since 1970. Of a key it tells the file and the algorithm,
//! never more. Refuses to know who asks, and the words that people get to read.

mod attention;
mod backends;
mod confinement;
mod failures;
mod listeners;
pub mod read;
mod reloads;
mod resources;
mod resumption;

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use portunus_certs::client_auth::{
    AuthorityFacts, ClientAuth, ClientAuthOptions, ClientTrust, CrlDepth, CrlFacts, Demand,
};
use portunus_certs::credential::{Credential, Validity};
use portunus_certs::load::{CertificateStatus, LoadError};
use portunus_certs::resolver::CertificateIndex;
use portunus_certs::staple::StapleFacts;
use portunus_certs::store::{ReloadReport, Skipped};
use serde_json::{Value, json};

use crate::config::{Config, Sites};
use crate::log::Chain;

pub use attention::{Expiry, attention, expiry};
pub use backends::backends;
pub use confinement::confinement;
pub use failures::failures;
pub use listeners::Listeners;
pub use reloads::reloads;
pub use resources::Resources;
pub use resumption::{Resumption, counts, percent};

/// Everything about certificates at `now`, in seconds since 1970. Of each list at most `shown_max`
/// entries are told, of the loaded ones those that expire first.
pub fn certificates(
    index: &CertificateIndex,
    report: &ReloadReport,
    now: i64,
    shown_max: usize,
) -> Value {
    let ReloadReport { pending, skipped, warnings, kept, .. } = report;
    let longest = index.len().max(pending.len()).max(skipped.len()).max(warnings.len());
    let facts = |credential: &Arc<Credential>| {
        let mut facts = credential_facts(credential, now);
        if index.is_superseded(credential, now)
            && let Some(state) = facts.get_mut("state")
        {
            *state = json!("superseded");
        }
        facts
    };
    let loaded = index.soonest().take(shown_max);
    json!({
        "loaded": loaded.map(facts).collect::<Vec<_>>(),
        "pending": pending_facts(pending, index, now, shown_max),
        "skipped": skipped.iter().take(shown_max).map(skipped_facts).collect::<Vec<_>>(),
        "warnings":
            warnings.iter().take(shown_max).map(ToString::to_string).collect::<Vec<_>>(),
        "kept": kept,
        "total": index.len(),
        "pending_total": pending.len(),
        "skipped_total": skipped.len(),
        "warnings_total": warnings.len(),
        "truncated": longest > shown_max,
    })
}

/// A certificate at `now`, in seconds since 1970.
pub fn credential_facts(credential: &Credential, now: i64) -> Value {
    json!({
        "certificate": &**credential.label(),
        "state": match credential.validity(now) {
            Validity::Valid => "valid",
            Validity::Pending => "not_yet_valid",
            Validity::Expired => "expired",
        },
        "names": credential.names().iter().map(ToString::to_string).collect::<Vec<_>>(),
        "key": credential.key_kind().to_string(),
        "issuer": credential.issuer(),
        "not_before": credential.not_before(),
        "not_after": credential.not_after(),
        "fingerprint_sha256": credential.fingerprint(),
        "chain_certificates": credential.key().cert.len(),
        "chain_file": path_text(credential.chain_path()),
        "key_file": path_text(credential.key_path()),
        "must_staple": credential.must_staple(),
        "ocsp_staple": credential.staple().map(|staple| staple_facts(staple, now)),
    })
}

fn staple_facts(staple: &StapleFacts, now: i64) -> Value {
    json!({
        "file": path_text(&staple.path),
        "status": match staple.status {
            CertificateStatus::Good => "good",
            CertificateStatus::Revoked => "revoked",
            CertificateStatus::Unknown => "unknown",
        },
        "this_update": staple.this_update,
        "next_update": staple.next_update,
        "sent": staple.is_sent(now),
    })
}

/// Renewed certificates that wait for the start of their validity, each with the one whose place
/// it will take.
fn pending_facts(
    pending: &[Arc<Credential>],
    index: &CertificateIndex,
    now: i64,
    shown_max: usize,
) -> Vec<Value> {
    let shown = || pending.iter().take(shown_max);
    let labels: HashSet<_> = shown().map(|credential| credential.label()).collect();
    let loaded = index.credentials().filter(|credential| labels.contains(credential.label()));
    let replaced: HashMap<_, _> =
        loaded.map(|credential| (credential.label(), credential.fingerprint())).collect();
    let facts = |credential: &Arc<Credential>| {
        let mut facts = credential_facts(credential, now);
        if let Some(facts) = facts.as_object_mut() {
            let replaced = json!(replaced.get(credential.label()));
            facts.insert("replaces_fingerprint_sha256".to_owned(), replaced);
        }
        facts
    };
    shown().map(facts).collect()
}

fn skipped_facts(skipped: &Skipped) -> Value {
    json!({ "file": path_text(&skipped.path), "reason": reason(&skipped.error) })
}

/// Why a file was skipped, for a sentence that has named the file.
pub fn reason(error: &LoadError) -> String {
    match error {
        LoadError::NoKey { searched, .. } => {
            format!("no private key in {searched} matches its certificate")
        }
        LoadError::NoCertificate { searched, .. } => {
            format!("no certificate in {searched} matches its private key")
        }
        error => Chain(error).to_string(),
    }
}

/// A policy of client authentication, with those who ask for it.
#[derive(Clone, Debug)]
pub struct ClientPolicy {
    /// What it trusts, kept current.
    pub auth: Arc<ClientAuth>,
    /// Where it holds.
    pub askers: Vec<Asker>,
}

/// Who asks clients for certificates.
#[derive(Clone, Debug)]
pub struct Asker {
    /// The name of the listener.
    pub listener: Arc<str>,
    /// The names of the sites; empty if the listener asks whatever the name is.
    pub hosts: Vec<String>,
}

/// The policies `auths`, which are in the order of the configuration, with those who ask for them.
pub fn client_policies(auths: Vec<Arc<ClientAuth>>, config: &Config) -> Vec<ClientPolicy> {
    let policy = |(index, auth)| ClientPolicy { auth, askers: askers(config, index) };
    auths.into_iter().enumerate().map(policy).collect()
}

/// Who asks for the policy with this index.
pub fn askers(config: &Config, policy: usize) -> Vec<Asker> {
    let asks = |client_auth: Option<usize>| client_auth == Some(policy);
    let mut askers = Vec::new();
    for listener in &config.listeners {
        let sites = match &listener.sites {
            Sites::Any(_) => &[][..],
            Sites::Named(sites) => sites,
        };
        let sites = sites.iter().filter(|site| asks(site.client_auth));
        let hosts: Vec<_> = sites.flat_map(|site| &site.hosts).map(ToString::to_string).collect();
        if !hosts.is_empty() || asks(listener.client_auth) {
            askers.push(Asker { listener: Arc::clone(&listener.name), hosts });
        }
    }
    askers
}

/// Every policy of client authentication.
pub fn client_auth(policies: &[ClientPolicy]) -> Value {
    let facts = |policy: &ClientPolicy| {
        policy_facts(policy.auth.options(), &policy.askers, Some(&policy.auth.load()))
    };
    policies.iter().map(facts).collect()
}

/// A policy of client authentication; without `trust` its files could not be taken.
pub fn policy_facts(
    options: &ClientAuthOptions,
    askers: &[Asker],
    trust: Option<&ClientTrust>,
) -> Value {
    let authority = |authority: &AuthorityFacts| {
        let AuthorityFacts { subject, not_after, .. } = authority;
        json!({ "subject": &**subject, "not_after": not_after })
    };
    let crl = |crl: &CrlFacts| {
        json!({
            "file": path_text(&crl.path),
            "issuer": &*crl.issuer,
            "this_update": crl.this_update,
            "next_update": crl.next_update,
            "revoked": crl.revoked,
        })
    };
    let asker = |asker: &Asker| json!({ "listener": &*asker.listener, "hosts": asker.hosts });
    let authorities = trust.map(ClientTrust::authorities).unwrap_or_default();
    let crls = trust.map(ClientTrust::crls).unwrap_or_default();
    json!({
        "listeners": askers.iter().map(asker).collect::<Vec<_>>(),
        "mode": demand_label(options.demand),
        "ca": path_text(&options.ca),
        "crl_depth": match options.crl_depth {
            CrlDepth::Chain => "chain",
            CrlDepth::Leaf => "leaf",
        },
        "authorities": authorities.iter().map(authority).collect::<Vec<_>>(),
        "crls": crls.iter().map(crl).collect::<Vec<_>>(),
    })
}

/// What the configuration calls it.
pub fn demand_label(demand: Demand) -> &'static str {
    match demand {
        Demand::Request => "request",
        Demand::Require => "require",
    }
}

/// A path as text: one that is not UTF-8 has no other form in JSON.
fn path_text(path: &Path) -> String {
    path.display().to_string()
}

/// Why no client is served, and the way out.
pub const NOTHING_LOADED: &str = "no certificate is loaded, so no client can be served: \
    subfolders are not read, name them in `certificates.paths`; for development, \
    `portunus issue localhost --out certs.d`";

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use portunus_certs::issue::{DevelopmentCa, KeyChoice};
    use portunus_certs::store::{CertificateStore, StoreOptions};
    use rustls::crypto::aws_lc_rs;
    use rustls::pki_types::UnixTime;

    use super::*;

    const DAY: i64 = 24 * 60 * 60;

    #[test]
    fn the_certificates_that_expire_first_are_told_first_and_no_more_than_asked_for() {
        let folder = tempfile::tempdir().expect("a folder");
        let now = i64::try_from(UnixTime::now().as_secs()).expect("a date of this age");
        let ca = DevelopmentCa::new(UnixTime::now()).expect("an authority");
        for days in [5, 3, 9, 1, 7] {
            let name = format!("d{days}.example");
            let (from, to) = (now - DAY, now + days * DAY);
            let issued = ca.issue_with(&[&name], KeyChoice::EcdsaP256, from, to);
            issued.expect("a certificate").write(folder.path(), &name).expect("it can be written");
        }
        for name in ["a.pem", "b.pem", "c.pem"] {
            std::fs::write(folder.path().join(name), "").expect("it can be written");
        }
        let paths = vec![folder.path().to_owned()];
        let provider = Arc::new(aws_lc_rs::default_provider());
        let options = StoreOptions { paths, strict_permissions: false, provider };
        let (store, report) = CertificateStore::open(options, UnixTime::now());
        let told = |shown_max| certificates(&store.load(), &report, now, shown_max);
        let names = |facts: &Value| {
            let loaded = facts.pointer("/loaded").and_then(Value::as_array);
            let names = loaded.into_iter().flatten().filter_map(|one| one.pointer("/names/0"));
            names.filter_map(Value::as_str).collect::<Vec<_>>().join(" ")
        };
        let some = told(2);
        assert_eq!(names(&some), "d1.example d3.example");
        let count = |key: &str| some.get(key).cloned();
        assert_eq!(count("total"), Some(json!(5)));
        assert_eq!(
            (count("skipped_total"), count("truncated")),
            (Some(json!(3)), Some(json!(true)))
        );
        let all = told(5);
        assert_eq!(names(&all), "d1.example d3.example d5.example d7.example d9.example");
        assert_eq!(all.get("truncated"), Some(&json!(false)));
        assert_eq!(names(&told(0)), "");
    }

    #[test]
    fn those_who_ask_for_certificates_of_clients_are_named() {
        let text = "[listener.web]\nlisten = ['[::]:1']\n\
                    [[listener.web.site]]\nhosts = ['a.example', '*.a.example']\nbackend = 'b'\n\
                    [[listener.web.site]]\nhosts = ['b.example']\nbackend = 'b'\n\
                    [listener.mail]\nlisten = ['[::]:2']\nbackend = 'b'\nmode = 'tcp'\n\
                    [backend.b]\nendpoints = ['h:1']\n";
        let mut config = Config::parse(text, "config.toml", Path::new("/")).expect("it is good");
        for listener in &mut config.listeners {
            match &mut listener.sites {
                Sites::Any(_) => listener.client_auth = Some(1),
                Sites::Named(sites) => sites.iter_mut().take(1).for_each(|site| {
                    site.client_auth = Some(0);
                }),
            }
        }
        let told = |policy| {
            let askers = askers(&config, policy).into_iter();
            askers.map(|asker| format!("{} {:?}", asker.listener, asker.hosts)).collect::<String>()
        };
        assert_eq!(told(0), r#"web ["a.example", "*.a.example"]"#);
        assert_eq!(told(1), "mail []");
        assert_eq!(told(2), "");
    }

    #[test]
    fn a_path_that_is_not_utf8_is_told_all_the_same() {
        use std::os::unix::ffi::OsStringExt as _;

        let path = PathBuf::from(std::ffi::OsString::from_vec(b"certs.d/\xff.key".to_vec()));
        let facts = skipped_facts(&Skipped { path, error: LoadError::Empty });
        assert_eq!(facts, json!({ "file": "certs.d/\u{fffd}.key", "reason": "is empty" }));
    }
}

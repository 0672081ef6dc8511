//! `portunus certs NAME`: which certificate each kind of client gets, listener by listener.
//!
//! Owns the words. The choice is made as for a connection: the sites of the listener say whether
//! the name is served at all, `no_sni` what a client without a name gets, the index the rest. What
//! the site asks of the client in turn is told beside it. Where TLS does not end here, that is the
//! answer.

use std::fmt::Write as _;

use portunus_certs::client_auth::{ClientAuthOptions, Demand};
use portunus_certs::name::{HostName, NamePattern};
use portunus_certs::resolver::{CertificateIndex, ClientKind, Explanation};
use rustls::pki_types::UnixTime;
use serde_json::{Value, json};

use crate::admin::status::{credential_facts, demand_label};
use crate::config::{self, Config, Entrance, Listener, NoSni, Termination};
use crate::handshake::sites::{SiteId, Sites};

use super::{DONE, FAILED, date, output};

/// What clients that want `name` get on each listener.
pub(super) struct Explained<'a> {
    name: &'a HostName,
    listeners: Vec<(&'a Listener, Vec<Answer<'a>>)>,
}

/// What a kind of client gets, and what it has to show.
struct Answer<'a> {
    explanation: Explanation,
    client_auth: Option<&'a ClientAuthOptions>,
    end: End,
}

/// Where the TLS of a client ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum End {
    Endpoint,
    Here,
    Nowhere,
}

impl<'a> Explained<'a> {
    /// Explains `name`; `policies` are those of client authentication, as in the configuration.
    pub(super) fn new(
        name: &'a HostName,
        config: &'a Config,
        index: &CertificateIndex,
        policies: &'a [ClientAuthOptions],
    ) -> Self {
        let now = UnixTime::now();
        let answers = |listener: &'a Listener| {
            let answers = answers(name, listener, index, now).into_iter().map(|explanation| {
                let site = match explanation.client {
                    ClientKind::NoServerName => Some(SiteId::FIRST),
                    _ => Sites::new(&listener.sites).of_name(name),
                };
                let end = end(listener, site);
                let explanation = match end {
                    End::Here => explanation,
                    End::Endpoint => {
                        elsewhere(&explanation, "its TLS passes through, and ends there")
                    }
                    End::Nowhere => elsewhere(&explanation, "the listener has `clear = true`"),
                };
                let served = explanation.credential.is_some();
                let policy = site.filter(|_| served).and_then(|site| client_auth(listener, site));
                let client_auth = policy.and_then(|index| policies.get(index));
                Answer { explanation, client_auth, end }
            });
            (listener, answers.collect())
        };
        Self { name, listeners: config.listeners.iter().map(answers).collect() }
    }

    /// Done if there is a listener where a client of today gets a certificate, from here or there.
    pub(super) fn code(&self) -> u8 {
        let mut answers = self.listeners.iter().flat_map(|(_, answers)| answers);
        let served = answers.any(|Answer { explanation, end, .. }| {
            let is_served = explanation.credential.is_some() || *end == End::Endpoint;
            explanation.client == ClientKind::Modern && is_served
        });
        if served { DONE } else { FAILED }
    }

    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        for (listener, answers) in &self.listeners {
            // Writing to a `String` cannot fail.
            let _ = writeln!(text, "listener `{}`, for {}", listener.name, self.name);
            answers.iter().for_each(|answer| answer.write(&mut text));
            text.push('\n');
        }
        text.truncate(text.trim_end().len());
        text
    }

    pub(super) fn json(&self) -> Value {
        let now = date::now();
        let answer = |Answer { explanation, client_auth, .. }: &Answer<'_>| {
            let client_auth = client_auth.map(|policy| {
                json!({
                    "mode": demand_label(policy.demand),
                    "ca": policy.ca.display().to_string(),
                })
            });
            let credential = explanation.credential.as_deref();
            json!({
                "client": explanation.client.to_string(),
                "certificate": credential.map(|credential| credential_facts(credential, now)),
                "reason": explanation.reason,
                "client_auth": client_auth,
            })
        };
        let listener = |(listener, answers): &(&Listener, Vec<Answer<'_>>)| {
            json!({
                "listener": *listener.name,
                "clients": answers.iter().map(answer).collect::<Vec<_>>(),
            })
        };
        let listeners: Vec<_> = self.listeners.iter().map(listener).collect();
        json!({ "name": self.name.as_str(), "listeners": listeners })
    }
}

impl Answer<'_> {
    /// Writes a paragraph; writing to a `String` cannot fail.
    fn write(&self, text: &mut String) {
        let Explanation { client, credential, reason } = &self.explanation;
        let _ = writeln!(text, "\n  {client} ({})", what_is(*client));
        let gets = match (credential, self.end) {
            (Some(credential), _) => {
                let label = output::plain(credential.label());
                let end = date::moment(credential.not_after(), date::now());
                format!("{label} ({}, until {end})", credential.key_kind())
            }
            (None, End::Here) => format!("nothing but {ALERT}"),
            (None, End::Endpoint) => "what the backend has for it".to_owned(),
            (None, End::Nowhere) => "no TLS".to_owned(),
        };
        let _ = writeln!(text, "    gets     {gets}");
        let _ = writeln!(text, "    because  {}", output::plain(reason));
        if let Some(policy) = self.client_auth {
            let demand = match policy.demand {
                Demand::Request => "which it may do without",
                Demand::Require => "or is refused",
            };
            let ca = output::plain(&policy.ca.display().to_string());
            let _ = writeln!(text, "    shows    a certificate of its own by {ca}, {demand}");
        }
    }
}

/// What a client of this kind can do, for those who meet the word for the first time.
fn what_is(client: ClientKind) -> &'static str {
    match client {
        ClientKind::Modern => "TLS 1.3, and checks ECDSA and RSA",
        ClientKind::RsaOnly => "TLS 1.2, and checks RSA only",
        ClientKind::NoServerName => "does not say which name it wants",
    }
}

/// Where the TLS of clients of `site` ends.
fn end(listener: &Listener, site: Option<SiteId>) -> End {
    let site = match &listener.sites {
        config::Sites::Any(_) => None,
        config::Sites::Named(sites) => site.and_then(|site| sites.get(site.index())),
    };
    match (listener.entrance, site.map(|site| site.termination)) {
        (Entrance::Clear, _) => End::Nowhere,
        (Entrance::Tls, Some(Termination::Endpoint)) => End::Endpoint,
        (Entrance::Tls, Some(Termination::Here) | None) => End::Here,
    }
}

/// The same without a certificate of ours.
fn elsewhere(explanation: &Explanation, reason: &str) -> Explanation {
    Explanation { client: explanation.client, credential: None, reason: reason.to_owned() }
}

/// Which policy of client authentication a site has.
fn client_auth(listener: &Listener, site: SiteId) -> Option<usize> {
    match &listener.sites {
        config::Sites::Any(_) => listener.client_auth,
        config::Sites::Named(sites) => sites.get(site.index())?.client_auth,
    }
}

fn answers(
    name: &HostName,
    listener: &Listener,
    index: &CertificateIndex,
    now: UnixTime,
) -> Vec<Explanation> {
    let served = Sites::new(&listener.sites).of_name(name).is_some();
    let answer = |answer: Explanation| match answer.client {
        ClientKind::NoServerName => without_name(answer, listener, index, now),
        _ if served => answer,
        _ => Explanation {
            credential: None,
            reason: "no site of the listener has this name".to_owned(),
            ..answer
        },
    };
    index.explain(name, now).into_iter().map(answer).collect()
}

/// What a client gets that names nobody; `default` is what the index has for it.
fn without_name(
    default: Explanation,
    listener: &Listener,
    index: &CertificateIndex,
    now: UnixTime,
) -> Explanation {
    if listener.no_sni == NoSni::Reject {
        let reason = "the listener has `no_sni = \"reject\"`".to_owned();
        return Explanation { credential: None, reason, ..default };
    }
    let as_for_first = first_name(listener).and_then(|name| {
        let mut answers = index.explain(name, now).into_iter();
        // One that names nobody can otherwise do what a client of today can.
        let answer = answers.find(|answer| answer.client == ClientKind::Modern)?;
        answer.credential.is_some().then(|| {
            let reason = format!("as for {name}, the first name of the first site");
            Explanation { reason, credential: answer.credential, ..default.clone() }
        })
    });
    match as_for_first {
        Some(answer) => answer,
        None if default.credential.is_none() => {
            Explanation { reason: "no certificate is loaded".to_owned(), ..default }
        }
        None => default,
    }
}

/// The first exact name of the first site.
fn first_name(listener: &Listener) -> Option<&HostName> {
    let config::Sites::Named(sites) = &listener.sites else { return None };
    sites.first()?.hosts.iter().find_map(|host| match host {
        NamePattern::Exact(name) => Some(name),
        NamePattern::Wildcard(_) => None,
    })
}

/// What the client is told (RFC 6066 section 3).
const ALERT: &str = "the alert unrecognized_name";

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use portunus_certs::client_auth::{ChainBounds, CrlDepth};
    use portunus_certs::issue::DevelopmentCa;
    use portunus_certs::store::{CertificateStore, StoreOptions};
    use rustls::crypto::aws_lc_rs;

    use super::*;

    /// The second site of the listener asks its clients for certificates.
    fn config() -> Config {
        let text = "[listener.web]\nlisten = ['[::]:1']\n\
                    [[listener.web.site]]\nhosts = ['open.example']\nbackend = 'b'\n\
                    [[listener.web.site]]\nhosts = ['closed.example']\nbackend = 'b'\n\
                    [backend.b]\nendpoints = ['h:1']\n";
        let mut config = Config::parse(text, "config.toml", Path::new("/")).expect("it is good");
        for listener in &mut config.listeners {
            if let config::Sites::Named(sites) = &mut listener.sites {
                sites.iter_mut().skip(1).for_each(|site| site.client_auth = Some(0));
            }
        }
        config
    }

    #[test]
    fn a_site_that_asks_for_certificates_of_clients_says_so() {
        let folder = tempfile::tempdir().expect("a folder");
        let ca = DevelopmentCa::new(UnixTime::now()).expect("an authority");
        let issued = ca.issue(&["open.example", "closed.example"], UnixTime::now());
        issued.expect("a certificate").write(folder.path(), "both").expect("it can be written");
        let paths = vec![folder.path().to_owned()];
        let provider = Arc::new(aws_lc_rs::default_provider());
        let policy = ClientAuthOptions {
            demand: Demand::Require,
            ca: "clients.pem".into(),
            crls: Vec::new(),
            crl_depth: CrlDepth::Chain,
            bounds: ChainBounds { certificates_max: 8, bytes_max: 32 << 10 },
            provider: Arc::clone(&provider),
        };
        let options = StoreOptions { paths, strict_permissions: false, provider };
        let (store, _) = CertificateStore::open(options, UnixTime::now());
        let (config, index, policies) = (config(), store.load(), [policy]);
        let told = |name| {
            let name = HostName::parse(name).expect("a name");
            let explained = Explained::new(&name, &config, &index, &policies);
            let json = explained.json();
            let modes = [0, 1, 2].map(|client| {
                let pointer = format!("/listeners/0/clients/{client}/client_auth/mode");
                json.pointer(&pointer).and_then(Value::as_str).map(str::to_owned)
            });
            (explained.text(), modes)
        };
        let (text, modes) = told("closed.example");
        assert!(text.contains("a certificate of its own by clients.pem, or is refused"), "{text}");
        // Who names nobody gets the first site, which asks for nothing.
        assert_eq!(modes.each_ref().map(Option::is_some), [true, true, false], "{text}");
        let (text, modes) = told("open.example");
        assert!(!text.contains("of its own"), "{text}");
        assert_eq!(modes, [None, None, None]);
    }

    #[test]
    fn where_tls_does_not_end_here_the_answer_says_so() {
        let text = "[listener.mixed]\nlisten = ['[::]:1']\nmode = 'tcp'\n\
                    [[listener.mixed.site]]\nhosts = ['passed.example']\nbackend = 'b'\n\
                    passthrough = true\n\
                    [[listener.mixed.site]]\nhosts = ['ours.example']\nbackend = 'b'\n\
                    [listener.out]\nlisten = ['127.0.0.1:2']\nmode = 'tcp'\nclear = true\n\
                    backend = 'c'\n\
                    [backend.b]\nendpoints = ['h:1']\n[backend.c]\nendpoints = ['h:1']\ntls = {}\n";
        let config = Config::parse(text, "config.toml", Path::new("/")).expect("it is good");
        let provider = Arc::new(aws_lc_rs::default_provider());
        let options = StoreOptions { paths: Vec::new(), strict_permissions: false, provider };
        let (store, _) = CertificateStore::open(options, UnixTime::now());
        let index = store.load();
        let told = |name| {
            let name = HostName::parse(name).expect("a name");
            let explained = Explained::new(&name, &config, &index, &[]);
            (explained.code(), explained.text())
        };
        let (code, text) = told("passed.example");
        assert_eq!(code, DONE, "{text}");
        assert_eq!(text.matches("gets     what the backend has for it").count(), 3, "{text}");
        assert_eq!(text.matches("gets     no TLS").count(), 3, "{text}");
        let (code, text) = told("ours.example");
        assert_eq!(code, FAILED, "{text}");
        // Who names nobody is taken for one who names the first of all.
        assert_eq!(text.matches("gets     what the backend has for it").count(), 1, "{text}");
        assert_eq!(text.matches("nothing but").count(), 2, "{text}");
    }
}

//! `portunus certs NAME`: which certificate each kind of client gets, listener by listener.
//!
//! Owns the words. The choice is made as for a connection: the sites of the listener say whether
//! the name is served at all, `no_sni` what a client without a name gets, the index the rest.

use std::fmt::Write as _;

use portunus_certs::name::{HostName, NamePattern};
use portunus_certs::resolver::{CertificateIndex, ClientKind, Explanation};
use rustls::pki_types::UnixTime;
use serde_json::{Value, json};

use crate::config::{self, Config, Listener, NoSni};
use crate::handshake::sites::Sites;

use super::certs::facts;
use super::{DONE, FAILED};

/// What clients that want `name` get on each listener.
pub(super) struct Explained<'a> {
    name: &'a HostName,
    listeners: Vec<(&'a Listener, Vec<Explanation>)>,
}

impl<'a> Explained<'a> {
    pub(super) fn new(name: &'a HostName, config: &'a Config, index: &CertificateIndex) -> Self {
        let now = UnixTime::now();
        let listeners = config.listeners.iter();
        let answers = |listener: &Listener| answers(name, listener, index, now);
        Self { name, listeners: listeners.map(|listener| (listener, answers(listener))).collect() }
    }

    /// Done if there is a listener where a client of today gets a certificate.
    pub(super) fn code(&self) -> u8 {
        let mut answers = self.listeners.iter().flat_map(|(_, answers)| answers);
        let served = answers
            .any(|answer| answer.client == ClientKind::Modern && answer.credential.is_some());
        if served { DONE } else { FAILED }
    }

    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        for (listener, answers) in &self.listeners {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "listener `{}`", listener.name);
            for Explanation { client, credential, reason } in answers {
                let label = credential.as_ref().map_or("nothing", |credential| credential.label());
                let _ = writeln!(text, "  {client}: {label} ({reason})");
            }
        }
        text.truncate(text.trim_end().len());
        text
    }

    pub(super) fn json(&self) -> Value {
        let answer = |answer: &Explanation| {
            json!({
                "client": answer.client.to_string(),
                "certificate": answer.credential.as_deref().map(facts),
                "reason": answer.reason,
            })
        };
        let listener = |(listener, answers): &(&Listener, Vec<Explanation>)| {
            json!({
                "listener": *listener.name,
                "clients": answers.iter().map(answer).collect::<Vec<_>>(),
            })
        };
        let listeners: Vec<_> = self.listeners.iter().map(listener).collect();
        json!({ "name": self.name.as_str(), "listeners": listeners })
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
    let refused = |answer: Explanation| match answer.credential {
        Some(_) => answer,
        None => Explanation { reason: format!("{}; {ALERT}", answer.reason), ..answer },
    };
    index.explain(name, now).into_iter().map(answer).map(refused).collect()
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

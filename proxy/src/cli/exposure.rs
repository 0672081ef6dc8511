//! What is open to more than it should be: peers that are believed, passwords in the clear, trust
//! in addresses.
//!
//! Owns what a configuration without a fault can still get wrong about who may do what on listeners
//! of bytes. Refuses to connect anywhere. Read next: `check`, which asks.

use crate::config::{
    Action, Backend, Behind, Config, Entrance, Listener, Sites, StarttlsProtocol, WithoutTls,
};
use crate::net::EndpointName;

use super::finding::Findings;

/// Adds what is said of every listener.
pub(super) fn add(config: &Config, findings: &mut Findings) {
    for listener in &config.listeners {
        add_announcers(listener, findings);
        add_clear(listener, findings);
        add_optional(listener, findings);
        add_relays(listener, config, findings);
        add_standing(listener, config, findings);
    }
}

/// Whoever may say who a client is can say that it is anybody.
fn add_announcers(listener: &Listener, findings: &mut Findings) {
    let from = listener.proxy_protocol.iter().flat_map(|rule| &rule.from);
    for block in from.filter(|block| block.prefix_len() == 0) {
        let text = format!(
            "listener `{}`: `proxy_protocol.from` has `{block}`, so everybody may say who the \
             client is",
            listener.name
        );
        findings.warning(text, Some("name the load balancers in front of it"));
    }
}

/// Connections without TLS are for this machine.
fn add_clear(listener: &Listener, findings: &mut Findings) {
    if listener.entrance == Entrance::Tls {
        return;
    }
    for address in listener.addresses.iter().filter(|address| !address.is_local()) {
        let text = format!(
            "listener `{}`: takes connections without TLS at `{address}`, where other machines can \
             connect",
            listener.name
        );
        findings.warning(text, Some("listen on 127.0.0.1 or unix:PATH"));
    }
}

/// Between mail servers nobody may require TLS (RFC 3207 §4); in all else it is passwords.
fn add_optional(listener: &Listener, findings: &mut Findings) {
    let starttls = listener.starttls.as_ref();
    let optional = starttls.filter(|starttls| starttls.without_tls == WithoutTls::Allowed);
    if let Some(starttls) = optional.filter(|it| it.protocol != StarttlsProtocol::Smtp) {
        let text = format!(
            "listener `{}`: clients of `{}` may go on without TLS, and show their passwords",
            listener.name,
            starttls.protocol.name()
        );
        findings.warning(text, Some("leave `require_tls` out once all of them speak TLS"));
        if starttls.protocol == StarttlsProtocol::Ldap {
            let text = format!(
                "listener `{}`: a client that says anything before StartTLS is taken for one \
                 without TLS, and cannot have it any more",
                listener.name
            );
            findings.warning(text, Some("leave `require_tls` out"));
        }
    }
}

/// Mail servers trust their own machine and network, which is where we are.
fn add_relays(listener: &Listener, config: &Config, findings: &mut Findings) {
    let protocol = listener.starttls.as_ref().map(|starttls| starttls.protocol);
    if protocol != Some(StarttlsProtocol::Smtp) {
        return;
    }
    for backend in backends_behind(listener, config) {
        if backend.send_proxy.is_none() {
            let text = format!(
                "backend `{}`: does not hear who the client of listener `{}` is, and may relay \
                 mail for whoever comes from here",
                backend.name, listener.name
            );
            let hint = "add `send_proxy = \"v2\"`, or see that it trusts no address";
            findings.warning(text, Some(hint));
        }
    }
}

/// Databases and directories go by who connects, too: OpenLDAP takes the user of a process at its
/// socket for the client, and MySQL blocks an address that leaves too often before it logs in.
fn add_standing(listener: &Listener, config: &Config, findings: &mut Findings) {
    let Some(starttls) = &listener.starttls else { return };
    for backend in backends_behind(listener, config) {
        let mut names = backend.endpoints.iter().map(|endpoint| &endpoint.name);
        let is_unix = |name: &EndpointName| matches!(name, EndpointName::Unix(_));
        let (what, hint) = match starttls.protocol {
            StarttlsProtocol::Ldap if names.any(is_unix) => (
                "takes the user that portunus runs as for every client",
                "lead to a TCP endpoint, as `slapd -h pldap://127.0.0.1:10389/` is",
            ),
            // Connections of its own machine are never blocked.
            StarttlsProtocol::Mysql if backend.send_proxy.is_none() && !names.all(is_unix) => (
                "may block all clients once many have left before they logged in",
                "add `send_proxy = \"v2\"` if it is MariaDB, or have a large `max_connect_errors`",
            ),
            _ => continue,
        };
        let text =
            format!("backend `{}`, behind listener `{}`: {what}", backend.name, listener.name);
        findings.warning(text, Some(hint));
    }
}

/// What is behind the sites of a listener.
pub(super) fn behinds(listener: &Listener) -> impl Iterator<Item = &Behind> {
    let (any, named) = match &listener.sites {
        Sites::Any(behind) => (Some(behind), [].as_slice()),
        Sites::Named(sites) => (None, sites.as_slice()),
    };
    any.into_iter().chain(named.iter().map(|site| &site.behind))
}

/// Each backend that a listener leads to, once.
fn backends_behind<'a>(
    listener: &Listener,
    config: &'a Config,
) -> impl Iterator<Item = &'a Backend> + use<'a> {
    let mut backends: Vec<usize> = behinds(listener).flat_map(backends_of).collect();
    backends.sort_unstable();
    backends.dedup();
    backends.into_iter().filter_map(|index| config.backends.get(index))
}

fn backends_of(behind: &Behind) -> impl Iterator<Item = usize> {
    behind.routes.iter().filter_map(|route| match route.action {
        Action::Forward { backend, .. } => Some(backend),
        Action::Redirect { .. } | Action::Respond { .. } => None,
    })
}

//! What will hurt requests: files that are not there, backends that nobody reaches, peers that
//! should not be believed.
//!
//! Owns what a configuration without a fault can still get wrong about HTTP and backends. Refuses
//! to connect anywhere: a backend may start after us. Read next: `check`, which asks.

use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;

use crate::backend::check_trust;
use crate::config::{AccessLog, Action, BackendTls, Config, Listener, Mode};
use crate::log::Chain;
use crate::net::EndpointName;

use super::exposure::behinds;
use super::finding::Findings;

/// Adds everything about routes, backends and the access log.
pub(super) fn add(config: &Config, findings: &mut Findings) {
    if let AccessLog::File(path) = &config.log.access {
        add_access_log(path, findings);
    }
    for listener in config.listeners.iter().filter(|listener| listener.mode == Mode::Http) {
        add_peers(listener, findings);
        add_challenges(listener, findings);
        add_loops(listener, findings);
    }
    for backend in &config.backends {
        if let Some(Err(error)) = backend.tls.as_ref().map(check_trust) {
            let text = format!("backend `{}`: {}", backend.name, Chain(&error));
            findings.error(text, Some("nothing starts without it"));
        }
    }
    let collector = config.traces.as_ref().and_then(|traces| traces.collector.tls.as_ref());
    if let Some(Err(error)) = collector.map(check_trust) {
        let text = format!("the collector of traces: {}", Chain(&error));
        findings.error(text, Some("nothing starts without it"));
    }
    add_unused(config, findings);
    add_unnamed(config, findings);
}

fn add_access_log(path: &Path, findings: &mut Findings) {
    let shown = path.display();
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    if !folder.unwrap_or(Path::new(".")).is_dir() {
        findings.error(format_args!("{shown}: there is no folder for the access log"), None);
    }
    if let Ok(meta) = std::fs::metadata(path)
        && (meta.is_dir() || meta.file_type().is_fifo())
    {
        findings.error(format_args!("{shown}: the access log is not a file"), None);
    }
}

/// Whoever is believed can be anybody.
fn add_peers(listener: &Listener, findings: &mut Findings) {
    for block in listener.http.trusted_peers.iter().filter(|block| block.prefix_len() == 0) {
        let text = format!(
            "listener `{}`: `trusted_peers` has `{block}`, so everybody is believed",
            listener.name
        );
        findings.warning(text, Some("name the proxies in front of this one"));
    }
}

fn add_challenges(listener: &Listener, findings: &mut Findings) {
    let redirect = listener.http.redirect.as_ref();
    let folder = redirect.and_then(|redirect| redirect.challenges.as_deref());
    if let Some(folder) = folder.filter(|folder| !folder.is_dir()) {
        let text = format!(
            "listener `{}`: there is no folder `{}` for challenges",
            listener.name,
            folder.display()
        );
        findings.warning(text, Some("make it, or the authority gets no answer"));
    }
}

/// Redirects that lead to where the client has come from.
fn add_loops(listener: &Listener, findings: &mut Findings) {
    for route in behinds(listener).flat_map(|behind| &behind.routes) {
        if let Action::Redirect { to, .. } = &route.action
            && **to == *"https://{host}{path}"
        {
            let text = format!(
                "listener `{}`: the redirect of `{}` leads to where the client has come from",
                listener.name, route.path
            );
            findings.warning(text, Some("`redirect_http` is for requests in the clear"));
        }
    }
}

fn add_unused(config: &Config, findings: &mut Findings) {
    for (index, backend) in config.backends.iter().enumerate() {
        let leads_here = |action: &Action| match action {
            Action::Forward { backend, .. } => *backend == index,
            Action::Redirect { .. } | Action::Respond { .. } => false,
        };
        let mut routes = config.listeners.iter().flat_map(behinds).flat_map(|site| &site.routes);
        if !routes.any(|route| leads_here(&route.action)) {
            findings.warning(format_args!("backend `{}`: nothing leads to it", backend.name), None);
        }
    }
}

/// Endpoints whose certificate must bear an address, which few do.
fn add_unnamed(config: &Config, findings: &mut Findings) {
    let unnamed = |tls: &&BackendTls| tls.server_name.is_none();
    for backend in &config.backends {
        if backend.tls.as_ref().filter(unnamed).is_none() {
            continue;
        }
        for endpoint in &backend.endpoints {
            if let EndpointName::Host { host, .. } = &endpoint.name
                && host.parse::<std::net::IpAddr>().is_ok()
            {
                let text = format!(
                    "backend `{}`: the certificate of `{}` must bear that address",
                    backend.name, endpoint.name
                );
                findings.warning(text, Some("name it by `tls.server_name` if it bears a name"));
            }
        }
    }
}

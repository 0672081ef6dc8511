//! What can happen to the listeners and backends of a configuration, so that it is shown at zero.
//!
//! Owns the reading of the configuration for `metrics`, which knows what there is to show.

use crate::config::{
    Action, Backend, Behind, Config, Entrance, Listener, Mode, ResumptionMode, Sites, Termination,
    TlsVersion,
};
use crate::metrics::{BackendTrait, ListenerTrait, Metrics};

use super::generation::has_names;

/// Shows all that `config` lets happen.
pub(super) fn show(config: &Config, metrics: &Metrics) {
    for listener in &config.listeners {
        metrics.expect_listener(&listener.name, &of_listener(listener));
    }
    for (index, backend) in config.backends.iter().enumerate() {
        metrics.expect_backend(&backend.name, &of_backend(index, backend, config));
    }
}

fn of_listener(listener: &Listener) -> Vec<ListenerTrait> {
    use ListenerTrait as Is;
    let sites: &[_] = match &listener.sites {
        Sites::Any(_) => &[],
        Sites::Named(sites) => sites,
    };
    let has_tickets = matches!(listener.resumption, ResumptionMode::Both | ResumptionMode::Tickets);
    let has_ids = matches!(listener.resumption, ResumptionMode::Both | ResumptionMode::Stateful);
    let asks = listener.client_auth.is_some() || sites.iter().any(|s| s.client_auth.is_some());
    let mut passes = sites.iter().map(|site| site.termination);
    [
        (Is::ClientAuth, asks),
        (Is::Hello, listener.entrance == Entrance::Tls),
        (Is::Http, listener.mode == Mode::Http),
        (Is::PassThrough, passes.any(|termination| termination == Termination::Endpoint)),
        (Is::ProxyHeader, listener.proxy_protocol.is_some()),
        (Is::SessionIds, has_ids),
        (Is::Starttls, listener.starttls.is_some()),
        (Is::Stateful, listener.resumption == ResumptionMode::Stateful),
        (Is::Tcp, listener.mode == Mode::Tcp),
        (Is::Tickets, has_tickets),
        (Is::Tls, listener.terminates()),
        (Is::Tls12, listener.tls_version_min == TlsVersion::V1_2),
    ]
    .into_iter()
    .filter_map(|(one, is)| is.then_some(one))
    .collect()
}

fn of_backend(index: usize, backend: &Backend, config: &Config) -> Vec<BackendTrait> {
    use BackendTrait as Is;
    let mut listeners = config.listeners.iter().filter(|listener| listener.mode == Mode::Http);
    [
        (Is::Ejection, backend.ejection.is_some()),
        (Is::Health, backend.health.is_some()),
        (Is::Http, listeners.any(|listener| asks(listener, index))),
        (Is::Names, has_names(backend)),
        (Is::SendProxy, backend.send_proxy.is_some()),
        (Is::Starttls, backend.tls.as_ref().is_some_and(|tls| tls.starttls.is_some())),
        (Is::Tls, backend.tls.is_some()),
    ]
    .into_iter()
    .filter_map(|(one, is)| is.then_some(one))
    .collect()
}

/// Whether anything of `listener` goes to the backend at `index`.
fn asks(listener: &Listener, index: usize) -> bool {
    let goes = |behind: &Behind| {
        let mut actions = behind.routes.iter().map(|route| &route.action);
        actions.any(|action| matches!(action, Action::Forward { backend, .. } if *backend == index))
    };
    match &listener.sites {
        Sites::Any(behind) => goes(behind),
        Sites::Named(sites) => sites.iter().any(|site| goes(&site.behind)),
    }
}

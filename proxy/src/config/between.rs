//! What listeners and the backends behind them mean for each other.
//!
//! Owns the rules that neither a listener nor a backend could break alone. Each is told of once for
//! a backend, however many listeners lead to it. Read next: `config`, the result.

use std::collections::BTreeMap;

use super::error::{BackendProblem, BytesProblem, Place, Problem};
use super::list::Entry;
use super::schema::{BackendSection, BackendTlsSection};
use super::section::Reader;
use super::{Action, Backend, Balance, Behind, Entrance, Listener, Mode, Sites, Termination};

/// Reports what a backend cannot do for a listener that leads to it.
pub(super) fn check(
    listeners: &[Listener],
    backends: &[Backend],
    written: &[Entry<BackendSection>],
    reader: &mut Reader<'_>,
) {
    for listener in listeners {
        for (index, termination) in backends_of(&listener.sites) {
            let found = backends.get(index).zip(written.get(index));
            let Some((backend, entry)) = found else { continue };
            let joint = Joint { listener, backend, entry };
            joint.check_clear(reader);
            match listener.mode {
                Mode::Http => joint.check_requests(reader),
                Mode::Tcp => joint.check_bytes(termination, reader),
            }
        }
    }
}

/// A listener and a backend that it leads to.
struct Joint<'a> {
    listener: &'a Listener,
    backend: &'a Backend,
    entry: &'a Entry<BackendSection>,
}

impl Joint<'_> {
    /// What came in without TLS leaves with it.
    fn check_clear(&self, reader: &mut Reader<'_>) {
        if let (None, Entrance::Clear) = (&self.entry.section.tls, self.listener.entrance) {
            let place = self.entry.place.below("tls", None);
            let hint = "add `tls = {}`, or leave `clear` out";
            let problem = BytesProblem::ClearToClear(self.listener.name.to_string());
            once(&place, problem, hint, reader);
        }
    }

    /// Connections that carry requests are shared, and HTTP has its own ways.
    fn check_requests(&self, reader: &mut Reader<'_>) {
        let listener = || self.listener.name.to_string();
        let section = &self.entry.section;
        if let Some(place) = section.send_proxy.as_ref().and_then(|written| written.place.as_ref())
        {
            let hint = "leave it out: `forwarded` of the listener tells of each";
            once(place, BytesProblem::ProxyOfRequests(listener()), hint, reader);
        }
        let Some(tls) = self.tls() else { return };
        if let Some(place) = tls.starttls.as_ref().and_then(|written| written.place.as_ref()) {
            let problem = BytesProblem::StarttlsOfRequests(listener());
            once(place, problem, "leave it out", reader);
        }
        if let Some(place) = tls.alpn.as_ref().and_then(|written| written.place.as_ref()) {
            once(place, BytesProblem::AlpnOfRequests(listener()), "leave it out", reader);
        }
    }

    fn check_bytes(&self, termination: Termination, reader: &mut Reader<'_>) {
        let listener = || self.listener.name.to_string();
        let section = &self.entry.section;
        if matches!(self.backend.balance, Balance::HashHeader(_) | Balance::HashCookie(_)) {
            let problem = BackendProblem::TunnelBalance(listener());
            once(&section.balance.place, problem, "as `hash-client`", reader);
        }
        if let (Some(tls), Termination::Endpoint) = (&section.tls, termination) {
            let hint = "leave it out, or use another backend";
            once(&tls.place, BytesProblem::PassthroughTls(listener()), hint, reader);
        }
        let asked = self.tls().and_then(|tls| tls.starttls.as_ref());
        if let (Some(asked), Some(spoken)) = (asked, &self.listener.starttls)
            && let (true, Some(place)) = (asked.value != spoken.protocol, &asked.place)
        {
            let problem = BytesProblem::StarttlsMismatch {
                listener: listener(),
                spoken: spoken.protocol.name(),
            };
            once(place, problem, "leave it out, or say the same in both", reader);
        }
    }

    fn tls(&self) -> Option<&BackendTlsSection> {
        self.entry.section.tls.as_ref().map(|entry| &entry.section)
    }
}

/// Reports a problem unless there is one at that place already.
fn once(place: &Place, problem: impl Into<Problem>, hint: &'static str, reader: &mut Reader<'_>) {
    if !reader.errors.is_blamed(&place.key) {
        reader.errors.report(place, problem, || Some(hint.to_owned()));
    }
}

/// The backends that a listener leads to, and whether any site has its TLS end there.
fn backends_of(sites: &Sites) -> BTreeMap<usize, Termination> {
    let named: &[_] = match sites {
        Sites::Any(behind) => {
            return indices(behind).map(|index| (index, Termination::Here)).collect();
        }
        Sites::Named(sites) => sites,
    };
    let mut backends = BTreeMap::new();
    for site in named {
        for index in indices(&site.behind) {
            let known = backends.entry(index).or_insert(site.termination);
            if site.termination == Termination::Endpoint {
                *known = Termination::Endpoint;
            }
        }
    }
    backends
}

fn indices(behind: &Behind) -> impl Iterator<Item = usize> {
    behind.routes.iter().filter_map(|route| match route.action {
        Action::Forward { backend, .. } => Some(backend),
        Action::Redirect { .. } | Action::Respond { .. } => None,
    })
}

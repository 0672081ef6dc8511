//! The endpoints of a backend, as they are now.
//!
//! Owns [`Members`]: the list, which is swapped as a whole when names resolve differently, and the
//! choice of one of it. Who is next among those that can be used is decided by `balance`. Refuses to
//! know how an endpoint is reached and where addresses come from. Read next: `balance`, and
//! `maintain`, which keeps the list current.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use http::HeaderMap;

use super::balance;
use super::endpoint::{Endpoint, Load};
use super::{key, random, resolve};
use crate::config::{self, Balance, Limits};
use crate::metrics::BackendMetrics;
use crate::net::{ClientAddr, EndpointAddr, EndpointName};

/// The endpoints of a backend.
#[derive(Debug)]
pub(super) struct Members {
    balance: Balance,
    turn: AtomicU64,
    names: Vec<EndpointName>,
    endpoints: ArcSwap<Vec<Arc<Endpoint>>>,
    limits: Arc<Limits>,
    metrics: BackendMetrics,
}

impl Members {
    /// Endpoints with literal addresses; the others follow when their names are resolved.
    pub(super) fn new(
        config: &config::Backend,
        limits: &Arc<Limits>,
        metrics: &BackendMetrics,
    ) -> Arc<Self> {
        let members = Self {
            balance: config.balance.clone(),
            turn: AtomicU64::new(0),
            names: config.endpoints.iter().map(|endpoint| endpoint.name.clone()).collect(),
            endpoints: ArcSwap::default(),
            limits: Arc::clone(limits),
            metrics: metrics.clone(),
        };
        let literal = |(place, name)| Some(members.endpoint(place, resolve::literal(name)?));
        let endpoints = members.names.iter().enumerate().filter_map(literal).collect();
        members.replace(endpoints);
        Arc::new(members)
    }

    /// The names of the endpoints, in the order of the configuration.
    pub(super) fn names(&self) -> &[EndpointName] {
        &self.names
    }

    /// Every endpoint, whatever state it is in.
    pub(super) fn all(&self) -> Arc<Vec<Arc<Endpoint>>> {
        self.endpoints.load_full()
    }

    /// A new endpoint at the address that the name at `place` has.
    pub(super) fn endpoint(&self, place: usize, addr: EndpointAddr) -> Arc<Endpoint> {
        let name = self.names.get(place).map_or_else(String::new, ToString::to_string);
        Endpoint::new(place, &name, addr, &self.limits, &self.metrics)
    }

    /// From now on, these are the endpoints.
    pub(super) fn replace(&self, endpoints: Vec<Arc<Endpoint>>) {
        self.endpoints.store(Arc::new(endpoints));
    }

    /// What the choice goes by for the requests of one client, if it is to be the same for all.
    pub(super) fn key(&self, client: ClientAddr, headers: &HeaderMap) -> Option<u64> {
        key::of(&self.balance, client, headers)
    }

    /// The endpoint whose turn it is, without those in `tried`.
    pub(super) fn choose(&self, _key: Option<u64>, tried: &[Arc<Endpoint>]) -> Option<Load> {
        let all = self.endpoints.load();
        let rest: Vec<Arc<Endpoint>>;
        let candidates = if tried.is_empty() {
            &**all
        } else {
            let fresh = |one: &&Arc<Endpoint>| !tried.iter().any(|other| other.addr == one.addr);
            rest = all.iter().filter(fresh).cloned().collect();
            &rest
        };
        let number = match &self.balance {
            // A second choice for the same connection does not cost anybody a turn.
            Balance::RoundRobin if tried.is_empty() => self.turn.fetch_add(1, Ordering::Relaxed),
            _ => random(),
        };
        let load = |place: usize| candidates.get(place).map_or(0, |endpoint| endpoint.load());
        balance::choose(&self.balance, number, candidates.len(), load)
            .and_then(|place| candidates.get(place))
            .map(|endpoint| Load::new(Arc::clone(endpoint)))
    }
}

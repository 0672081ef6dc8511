//! Names of endpoints become addresses, in the background and never for the sake of a connection.
//!
//! Owns the rhythm: each name is looked up anew when its last answer ends, no sooner than after a
//! second and no later than the configuration says; after a failure sooner than that, more and more
//! slowly. What is asked is in `dns`, what is believed in `ledger`. Refuses to know how an address
//! is used. Read next: `ledger`.

mod dns;
mod ledger;
#[cfg(test)]
mod tests;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::time::{Instant, sleep_until};
use tracing::{info, warn};

use super::{Backend, random};
use crate::log::Chain;
use crate::net::{EndpointAddr, EndpointName};
use crate::outcome::BackendFailure;

pub use dns::Resolver;
pub(super) use ledger::Ledger;

use dns::Found;
use ledger::News;

/// The address of an endpoint that needs no look-up.
pub(super) fn literal(name: &EndpointName) -> Option<EndpointAddr> {
    match name {
        EndpointName::Host { host, port } => {
            let ip: IpAddr = host.parse().ok()?;
            Some(EndpointAddr::Tcp(SocketAddr::new(ip.to_canonical(), *port)))
        }
        EndpointName::Service(_) => None,
        EndpointName::Unix(path) => Some(EndpointAddr::Unix(Arc::clone(path))),
    }
}

impl Backend {
    /// Looks up every name that is due, and waits for the answers. A name without an answer keeps
    /// the addresses that it had.
    pub async fn resolve_now(&self, resolver: &Resolver) {
        let due = self.members.ledger().due(Instant::now());
        let config = self.members.config();
        let mut lookups = FuturesUnordered::new();
        for place in due {
            let Some(endpoint) = config.endpoints.get(place) else { continue };
            let allow = &config.resolve.allow;
            lookups.push(async move { (place, resolver.look_up(&endpoint.name, allow).await) });
        }
        let mut changed = false;
        while let Some((place, answer)) = lookups.next().await {
            changed |= self.take_answer(place, &answer);
        }
        if changed {
            self.members.replace_by_ledger();
        }
    }

    /// Looks names up again and again; never ends.
    pub(super) async fn refresh(&self, resolver: &Resolver) {
        loop {
            let Some(next) = self.members.ledger().next_due() else {
                return std::future::pending().await;
            };
            sleep_until(next).await;
            self.resolve_now(resolver).await;
        }
    }

    /// Has the metrics say what they can only say when they are asked.
    pub fn refresh_metrics(&self) {
        let room = self.members.config().pool.connections_max;
        let limit = room.saturating_mul(self.members.all().len());
        self.metrics.connections_limit.set(i64::try_from(limit).unwrap_or(i64::MAX));
        if let Some(age) = self.members.ledger().age(Instant::now()) {
            self.metrics.resolve_age.set(age.as_secs_f64());
        }
        self.members.let_time_pass();
    }

    /// Writes down what became of a look-up; returns whether addresses changed.
    fn take_answer(&self, place: usize, answer: &Result<Found, dns::ResolveError>) -> bool {
        let result = answer.as_ref().map_or_else(dns::ResolveError::result, Found::result);
        self.metrics.resolutions.of(result).inc();
        let news =
            self.members.ledger().settle(place, answer.as_ref().ok(), random(), Instant::now());
        let (backend, name) = (self.metrics.name(), self.members.name(place));
        if let Err(error) = answer {
            self.metrics.errors.of(BackendFailure::Resolve).inc();
            let (error, kept) = (Chain(error), self.members.ledger().count(place));
            match news {
                News::Lost => {
                    warn!(backend, endpoint = name, %error, "the last good addresses are too old");
                }
                News::Failing => {
                    let words = "the name of an endpoint cannot be resolved";
                    warn!(backend, endpoint = name, %error, kept, "{words}");
                }
                _ => {}
            }
        } else if news == News::Recovered {
            info!(backend, endpoint = name, "the name of an endpoint is resolved again");
        }
        matches!(news, News::Changed | News::Lost | News::Recovered)
    }
}

//! What a backend does in the background, for as long as the process lives.
//!
//! Owns the order of look-ups, and the sweeping of the pools. A look-up that fails changes nothing.
//! Refuses to know what a look-up is. Read next: `resolve`.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval_at};

use super::{Backend, resolve};
use crate::config;
use crate::drain::DrainWatch;
use crate::net::EndpointName;
use crate::outcome::BackendFailure;

impl Backend {
    /// Looks up every endpoint that is named, and waits for the answers. A name without an answer
    /// keeps the addresses that it had.
    pub async fn resolve_now(&self) {
        let mut endpoints = Vec::new();
        let known = self.members.all();
        for (place, config::Endpoint { name, .. }) in
            self.members.config().endpoints.iter().enumerate()
        {
            let mut of_name = known.iter().filter(|(endpoint, _)| endpoint.place == place);
            match resolve::lookup(name).await {
                Ok(addrs) => endpoints.extend(addrs.into_iter().map(|addr| {
                    let same = of_name.clone().find(|(endpoint, _)| endpoint.addr == addr);
                    let same = same.map(|(endpoint, _)| Arc::clone(endpoint));
                    let endpoint = same.unwrap_or_else(|| self.members.endpoint(place, addr));
                    (endpoint, self.members.share(place))
                })),
                Err(error) => {
                    self.report_unresolved(name, &error, of_name.clone().count());
                    endpoints.extend(of_name.by_ref().cloned());
                }
            }
        }
        self.members.replace(endpoints);
    }

    /// Keeps addresses fresh, the pool small, and an eye on health, until the process finishes.
    pub async fn maintain(self: Arc<Self>, mut watch: DrainWatch) {
        tokio::select! {
            () = watch.finish() => {}
            () = self.refresh() => {}
            () = self.sweep() => {}
            () = self.watch_health() => {}
        }
    }

    async fn refresh(&self) {
        if self.members.config().endpoints.iter().all(|one| resolve::literal(&one.name).is_some()) {
            return std::future::pending().await;
        }
        let mut ticks = ticks(self.resolve_interval);
        loop {
            ticks.tick().await;
            self.resolve_now().await;
        }
    }

    async fn sweep(&self) {
        let mut ticks = ticks(self.limits.http.pool_idle_timeout / 4);
        loop {
            let now = ticks.tick().await;
            for (endpoint, _) in self.members.all() {
                endpoint.pool.sweep(now);
            }
        }
    }

    fn report_unresolved(&self, name: &EndpointName, error: &io::Error, kept: usize) {
        self.metrics.errors.of(BackendFailure::Resolve).inc();
        tracing::warn!(
            backend = %self.name, endpoint = %name, error = %error, kept,
            "the name of an endpoint cannot be resolved",
        );
    }
}

fn ticks(period: Duration) -> tokio::time::Interval {
    let period = period.max(PERIOD_MIN);
    let mut ticks = interval_at(Instant::now() + period, period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

/// A period of zero would spin.
const PERIOD_MIN: Duration = Duration::from_millis(100);

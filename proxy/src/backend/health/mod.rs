//! Whether endpoints are well: they are asked, over and over.
//!
//! Owns the rhythm: each endpoint is asked as soon as it is known, or soon after if it is one of
//! many, and then again after each answer, give or take a tenth of the interval, so that many
//! processes do not ask in step; and how many are asked at once. What is asked is in `check`; what
//! follows from the answer is decided by `standing`. Refuses to know requests of clients. Read
//! next: `check`.

mod check;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::sync::Semaphore;
use tokio::time::sleep;
use tracing::{info, warn};

use super::endpoint::Endpoint;
use super::{Backend, random};
use crate::config::Health;
use crate::log::Chain;
use crate::metrics::CheckResult;
use crate::net::EndpointAddr;

impl Backend {
    /// Asks every endpoint again and again whether it is well; never ends.
    pub(super) async fn watch_health(&self) {
        let config = self.members.config();
        let Some(health) = &config.health else { return std::future::pending().await };
        // Each endpoint is in here once, by its address.
        let mut asked = BTreeSet::new();
        let turns = Semaphore::new(CHECKS_MAX);
        let mut checks = FuturesUnordered::new();
        loop {
            let mut endpoints = self.members.all();
            endpoints.retain(|(endpoint, _)| asked.insert(endpoint.addr.clone()));
            for (order, (endpoint, _)) in endpoints.into_iter().enumerate() {
                let pause = first_pause(order, health.interval, random());
                checks.push(self.check_after(pause, &turns, endpoint, health));
            }
            tokio::select! {
                Some(addr) = checks.next() => match self.members.at(&addr) {
                    Some(endpoint) => {
                        let pause = jitter(health.interval, random());
                        checks.push(self.check_after(pause, &turns, endpoint, health));
                    }
                    None => {
                        asked.remove(&addr);
                    }
                },
                () = self.members.changed() => {}
            }
        }
    }

    /// Asks `endpoint` after a pause and takes the answer into account; returns its address.
    async fn check_after(
        &self,
        pause: Duration,
        turns: &Semaphore,
        endpoint: Arc<Endpoint>,
        health: &Health,
    ) -> EndpointAddr {
        sleep(pause).await;
        // The semaphore is never closed.
        let turn = turns.acquire().await;
        let answer = self.check(&endpoint, health).await;
        drop(turn);
        let result = answer.as_ref().map_or_else(check::CheckError::result, |()| CheckResult::Good);
        self.metrics.health_checks.of(result).inc();
        if result == CheckResult::Unasked {
            return endpoint.addr.clone();
        }
        endpoint.tell_up(answer.is_ok());
        let backend = self.metrics.name();
        match (self.members.check(&endpoint, answer.is_ok()), answer) {
            (Some(false), Err(error)) => {
                let error = Chain(&error);
                warn!(backend, endpoint = %endpoint.addr, %error, "endpoint is unhealthy");
            }
            (Some(_), _) => info!(backend, endpoint = %endpoint.addr, "endpoint is healthy"),
            (None, _) => {}
        }
        endpoint.addr.clone()
    }
}

/// Before an endpoint is asked for the first time: nothing for some, and up to a tenth of
/// `interval` for those that come behind them.
fn first_pause(order: usize, interval: Duration, chance: u64) -> Duration {
    let thousandths = u32::try_from(chance % 100).unwrap_or_default();
    if order < AT_ONCE { Duration::ZERO } else { interval.saturating_mul(thousandths) / 1_000 }
}

/// From nine to eleven tenths of `interval`.
fn jitter(interval: Duration, chance: u64) -> Duration {
    let thousandths = u32::try_from(900 + chance % 201).unwrap_or(1_000);
    interval.saturating_mul(thousandths) / 1_000
}

/// Endpoints of one backend that are asked without a pause when they are new.
const AT_ONCE: usize = 8;

/// Questions of one backend at once: a thousand handshakes would keep requests waiting.
const CHECKS_MAX: usize = 64;

//! What a backend does in the background, for as long as the process lives.
//!
//! Owns that all of it goes on at the same time, and ends together; and the sweeping of the pools.
//! Refuses to know what the rest of it is. Read next: `resolve`, `health`.

use std::future::Future;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{Backend, Resolver};
use crate::drain::DrainWatch;

impl Backend {
    /// Keeps addresses fresh, the pool small, and an eye on health, until the process finishes, or
    /// `configured` says that the backend is one of an earlier configuration. Then connections of
    /// that time may still use it: it ends with the last of them.
    pub fn maintain_while(
        self: Arc<Self>,
        resolver: Arc<Resolver>,
        mut watch: DrainWatch,
        mut configured: DrainWatch,
    ) -> impl Future<Output = ()> {
        // A backend is maintained once.
        let _ = self.watch.set(watch.downgrade());
        async move {
            tokio::select! {
                () = configured.finish() => {}
                () = self.refresh(&resolver) => {}
                () = self.sweep() => {}
                () = self.watch_health() => {}
            }
            drop(configured);
            let left = Arc::downgrade(&self);
            drop(self);
            tokio::select! {
                () = watch.finish() => {}
                () = sweep_what_is_left(&left) => {}
            }
        }
    }

    /// The same, for a backend that is never taken out of the configuration.
    #[cfg(test)]
    pub(crate) fn maintain(
        self: Arc<Self>,
        resolver: Arc<Resolver>,
        watch: DrainWatch,
    ) -> impl Future<Output = ()> {
        self.maintain_while(resolver, watch.clone(), watch)
    }

    /// Closes every connection that waits for its next request.
    pub fn rest(&self) {
        self.members.sweep(Instant::now() + self.means.limits().http.pool_idle_timeout);
    }

    async fn sweep(&self) {
        loop {
            let period = self.period();
            sleep(period).await;
            self.members.sweep(Instant::now());
        }
    }

    fn period(&self) -> Duration {
        (self.means.limits().http.pool_idle_timeout / 4).max(PERIOD_MIN)
    }
}

/// Keeps the pool of a backend small for as long as somebody uses it.
async fn sweep_what_is_left(left: &Weak<Backend>) {
    while let Some(period) = left.upgrade().map(|backend| backend.period().min(PERIOD_MAX)) {
        sleep(period).await;
        if let Some(backend) = left.upgrade() {
            backend.members.sweep(Instant::now());
        }
    }
}

/// How soon it is noticed that nobody uses a backend any more.
const PERIOD_MAX: Duration = Duration::from_secs(1);

/// A period of zero would spin.
const PERIOD_MIN: Duration = Duration::from_millis(100);
